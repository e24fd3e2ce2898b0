package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// settleTimeout bounds the wait for what reconcilers and controllers do.
const settleTimeout = 60 * time.Second

// driver sends requests, and prints what it observes.
type driver struct {
	*operator
	client client.WithWatch
	// warnings of the responses since the last observation.
	mutex    sync.Mutex
	warnings []string
	replacer *strings.Replacer
	uids     *regexp.Regexp
	failed   bool
}

func newDriver(o *operator) *driver {
	d := &driver{
		operator: o,
		replacer: strings.NewReplacer(o.group, "GROUP", o.namespace, "NAMESPACE"),
		uids:     regexp.MustCompile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
	}
	config := rest.CopyConfig(o.config)
	config.WarningHandler = d
	var err error
	d.client, err = client.NewWithWatch(config, client.Options{})
	check(err)
	return d
}

// HandleWarningHeader keeps a warning of a response.
func (d *driver) HandleWarningHeader(code int, agent string, text string) {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	d.warnings = append(d.warnings, fmt.Sprintf("%d %s %s", code, agent, text))
}

// take returns the warnings since the last call.
func (d *driver) take() []string {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	taken := d.warnings
	d.warnings = nil
	return taken
}

// observe prints a value without what differs between two runs.
func (d *driver) observe(title string, value any) {
	text, err := json.Marshal(map[string]any{"title": title, "value": value, "warnings": d.take()})
	check(err)
	fmt.Println(d.uids.ReplaceAllString(d.replacer.Replace(string(text)), "UID"))
}

// answer observes the outcome of a request: an error with everything that clients read of it, or the
// object.
func (d *driver) answer(title string, err error, object *unstructured.Unstructured) {
	status := apierrors.APIStatus(nil)
	switch {
	case errors.As(err, &status):
		d.observe(title, status.Status())
	case err != nil:
		d.observe(title, err.Error())
	case object == nil:
		d.observe(title, "done")
	default:
		d.observe(title, shown(object))
	}
}

// create creates an object, and observes the answer.
func (d *driver) create(ctx context.Context, title string, object *unstructured.Unstructured) {
	err := d.client.Create(ctx, object)
	d.answer(title, err, object)
}

// change reads an object, changes and updates it, and observes the answer. Another write in between
// repeats it, as the reconcilers write too.
func (d *driver) change(ctx context.Context, title, kind, name string, change func(*unstructured.Unstructured)) {
	for range 20 {
		object := d.read(ctx, kind, name)
		change(object)
		err := d.client.Update(ctx, object)
		if apierrors.IsConflict(err) {
			d.take()
			continue
		}
		d.answer(title, err, object)
		return
	}
	log.Fatalf("%s: always in conflict", title)
}

func (d *driver) read(ctx context.Context, kind, name string) *unstructured.Unstructured {
	object := d.object(kind)
	check(d.client.Get(ctx, d.key(kind, name), object))
	return object
}

func (d *driver) key(kind, name string) client.ObjectKey {
	if kind == "ArkConfig" {
		return client.ObjectKey{Name: name}
	}
	return client.ObjectKey{Namespace: d.namespace, Name: name}
}

// settled waits until an object has a state, and observes its status.
func (d *driver) settled(
	ctx context.Context, title, kind, name string, state func(*unstructured.Unstructured) bool,
) *unstructured.Unstructured {
	object := d.object(kind)
	d.eventually(ctx, title, func() bool {
		object = d.object(kind)
		return d.client.Get(ctx, d.key(kind, name), object) == nil && state(object)
	})
	d.observe(title, map[string]any{
		"status": withoutTimes(object.DeepCopy().Object["status"]), "generation": object.GetGeneration(),
		"finalizers": object.GetFinalizers(),
	})
	return object
}

// gone waits until an object does not exist.
func (d *driver) gone(ctx context.Context, title, kind, name string) {
	d.eventually(ctx, title, func() bool {
		return apierrors.IsNotFound(d.client.Get(ctx, d.key(kind, name), d.object(kind)))
	})
	d.observe(title, "gone")
}

// left observes the names of the objects that a list returns.
func (d *driver) left(ctx context.Context, title, kind string, options ...client.ListOption) {
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(d.kind(kind + "List"))
	options = append(options, client.InNamespace(d.namespace))
	if err := d.client.List(ctx, list, options...); err != nil {
		d.answer(title, err, nil)
		return
	}
	names := []string{}
	for _, item := range list.Items {
		names = append(names, item.GetName())
	}
	slices.Sort(names)
	d.observe(title, names)
}

// eventually waits for a condition; if it does not come, that is an observation too.
func (d *driver) eventually(ctx context.Context, title string, condition func() bool) {
	deadline := time.Now().Add(settleTimeout)
	for !condition() {
		if ctx.Err() != nil || time.Now().After(deadline) {
			d.observe(title, "not in time")
			d.failed = true
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// end fails if something did not happen in time.
func (d *driver) end() {
	if d.failed {
		os.Exit(1)
	}
}

// shown is an object without what differs between two objects of the same content.
func shown(object *unstructured.Unstructured) map[string]any {
	content := object.DeepCopy().Object
	metadata := content["metadata"].(map[string]any)
	for _, key := range []string{"uid", "resourceVersion", "creationTimestamp"} {
		delete(metadata, key)
	}
	managers, _ := metadata["managedFields"].([]any)
	for _, entry := range managers {
		delete(entry.(map[string]any), "time")
	}
	// Reconcilers write to the object at any time.
	metadata["managedFields"] = slices.DeleteFunc(managers, func(entry any) bool {
		return entry.(map[string]any)["subresource"] == "status"
	})
	delete(content, "status")
	return content
}

// withoutTimes removes the times of conditions.
func withoutTimes(status any) any {
	content, _ := status.(map[string]any)
	all, _ := content["conditions"].([]any)
	for _, one := range all {
		delete(one.(map[string]any), "lastTransitionTime")
	}
	return status
}
