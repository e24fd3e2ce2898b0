package main

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
)

func dynamicApply(ctx context.Context, config *rest.Config, namespace string) error {
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return err
	}
	widgets := client.Resource(resource).Namespace(namespace)
	name := "dynamic"
	created, err := widgets.Apply(ctx, name, widget(name, map[string]any{"size": int64(1)}),
		metav1.ApplyOptions{FieldManager: "first"})
	if err != nil {
		return err
	}
	if err := expectManagers(created, "first Apply"); err != nil {
		return err
	}
	_, err = widgets.Apply(ctx, name, widget(name, map[string]any{"size": int64(2)}),
		metav1.ApplyOptions{FieldManager: "second"})
	if err := expectConflict(err, "first", ".spec.size"); err != nil {
		return err
	}
	forced, err := widgets.Apply(ctx, name, widget(name, map[string]any{"size": int64(2)}),
		metav1.ApplyOptions{FieldManager: "second", Force: true})
	if err != nil {
		return err
	}
	if err := expectManagers(forced, "second Apply"); err != nil {
		return err
	}
	status := widget(name, nil)
	delete(status.Object, "spec")
	status.Object["status"] = map[string]any{"phase": "Ready"}
	updated, err := widgets.ApplyStatus(ctx, name, status, metav1.ApplyOptions{FieldManager: "controller"})
	if err != nil {
		return err
	}
	return expectManagers(updated, "second Apply", "controller Apply")
}
