package main

import (
	"context"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func controllerApply(ctx context.Context, config *rest.Config, namespace string) error {
	c, err := client.New(config, client.Options{})
	if err != nil {
		return err
	}
	apply := func(size int64, options ...client.ApplyOption) error {
		object := widget("controller", map[string]any{"size": size})
		object.SetNamespace(namespace)
		return c.Apply(ctx, client.ApplyConfigurationFromUnstructured(object), options...)
	}
	if err := apply(1, client.FieldOwner("first")); err != nil {
		return err
	}
	if err := expectConflict(apply(2, client.FieldOwner("second")), "first", ".spec.size"); err != nil {
		return err
	}
	if err := apply(2, client.FieldOwner("second"), client.ForceOwnership); err != nil {
		return err
	}
	stored := widget("controller", nil)
	if err := c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "controller"}, stored); err != nil {
		return err
	}
	return expectManagers(stored, "second Apply")
}
