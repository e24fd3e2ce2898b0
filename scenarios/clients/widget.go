package main

import (
	"fmt"
	"sort"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

var (
	group    = schema.GroupVersion{Group: "judge.example.com", Version: "v1"}
	resource = group.WithResource("widgets")
)

func load() (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{})
	return loader.ClientConfig()
}

func widget(name string, spec map[string]any) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": group.String(),
		"kind":       "Widget",
		"metadata":   map[string]any{"name": name},
		"spec":       spec,
	}}
}

// expectManagers checks the managers of an object and their operations.
func expectManagers(object metav1.Object, expected ...string) error {
	var found []string
	for _, entry := range object.GetManagedFields() {
		found = append(found, fmt.Sprintf("%s %s", entry.Manager, entry.Operation))
	}
	sort.Strings(found)
	sort.Strings(expected)
	if fmt.Sprint(found) != fmt.Sprint(expected) {
		return fmt.Errorf("managers %v, expected %v", found, expected)
	}
	return nil
}

// expectConflict checks that an apply was rejected because of one field of a manager.
func expectConflict(err error, manager, field string) error {
	status, ok := err.(apierrors.APIStatus)
	if !ok || !apierrors.IsConflict(err) {
		return fmt.Errorf("%v, expected a conflict", err)
	}
	for _, cause := range status.Status().Details.Causes {
		if cause.Type == metav1.CauseTypeFieldManagerConflict && cause.Field == field {
			return nil
		}
	}
	return fmt.Errorf("no conflict with %s at %s: %v", manager, field, err)
}
