package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"time"

	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

const finalizer = "operator.example.com/finalizer"

// addReconcilers adds one reconciler for each kind, with watches of the kinds that it refers to.
func (o *operator) addReconcilers(manager ctrl.Manager) {
	recorder := manager.GetEventRecorder("operator")
	add := func(kind string, on client.Object, reconcile func(context.Context, *unstructured.Unstructured) error) {
		builder := ctrl.NewControllerManagedBy(manager).Named(kind).For(o.object(kind))
		if on != nil {
			builder = builder.Watches(on, handler.EnqueueRequestsFromMapFunc(o.allOf(kind)))
		}
		check(builder.Complete(o.reconciler(kind, reconcile)))
	}
	add("Model", nil, o.reconcileModel)
	add("Agent", o.object("Model"), o.reconcileAgent)
	add("Team", o.object("Agent"), o.reconcileTeam)
	add("Memory", &core.ConfigMap{}, o.reconcileMemory)
	add("Query", nil, func(ctx context.Context, query *unstructured.Unstructured) error {
		return o.reconcileQuery(ctx, query, recorder)
	})
}

// reconciler reads the object, and repeats what another write has overtaken.
func (o *operator) reconciler(
	kind string, reconcile func(context.Context, *unstructured.Unstructured) error,
) reconcile.Reconciler {
	return reconcilerFunc(func(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
		object := o.object(kind)
		if err := o.client.Get(ctx, request.NamespacedName, object); err != nil {
			return ctrl.Result{}, client.IgnoreNotFound(err)
		}
		err := reconcile(ctx, object)
		if apierrors.IsConflict(err) {
			return ctrl.Result{RequeueAfter: 50 * time.Millisecond}, nil
		}
		return ctrl.Result{}, err
	})
}

type reconcilerFunc func(context.Context, ctrl.Request) (ctrl.Result, error)

func (f reconcilerFunc) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	return f(ctx, request)
}

// allOf requests all objects of a kind: there are few.
func (o *operator) allOf(kind string) handler.MapFunc {
	return func(ctx context.Context, _ client.Object) []reconcile.Request {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(o.kind(kind + "List"))
		if err := o.client.List(ctx, list, client.InNamespace(o.namespace)); err != nil {
			if ctx.Err() == nil {
				log.Fatal(err)
			}
			return nil
		}
		var requests []reconcile.Request
		for _, item := range list.Items {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&item)})
		}
		return requests
	}
}

func (o *operator) reconcileModel(ctx context.Context, model *unstructured.Unstructured) error {
	available, reason := meta.ConditionTrue, "ModelResolved"
	if model.GetLabels()["reachable"] == "no" {
		available, reason = meta.ConditionFalse, "ModelProbeFailed"
	}
	return o.setConditions(ctx, model, condition("ModelAvailable", available, reason, ""))
}

func (o *operator) reconcileAgent(ctx context.Context, agent *unstructured.Unstructured) error {
	name := field(agent, "spec.modelRef.name")
	found, available, err := o.available(ctx, "Model", name, "ModelAvailable")
	if err != nil {
		return err
	}
	resolved := condition("Resolved", truth(found), "References", "model "+name)
	usable := condition("Available", truth(available), "Dependencies", "model "+name)
	if o.mutant("other-order") {
		resolved, usable = usable, resolved
	}
	return o.setConditions(ctx, agent, resolved, usable)
}

func (o *operator) reconcileTeam(ctx context.Context, team *unstructured.Unstructured) error {
	members, _, _ := unstructured.NestedSlice(team.Object, "spec", "members")
	message := "all members are available"
	for _, member := range members {
		content, _ := member.(map[string]any)
		name, _ := content["name"].(string)
		_, available, err := o.available(ctx, "Agent", name, "Available")
		if err != nil {
			return err
		}
		if !available {
			message = "not available: " + name
			break
		}
	}
	state := truth(message == "all members are available")
	return o.setConditions(ctx, team, condition("Available", state, "Members", message))
}

// reconcileMemory resolves the address, and heals when the ConfigMap appears or changes.
func (o *operator) reconcileMemory(ctx context.Context, memory *unstructured.Unstructured) error {
	name := field(memory, "spec.address.valueFrom.configMapKeyRef.name")
	status := map[string]any{}
	config := &core.ConfigMap{}
	err := o.client.Get(ctx, types.NamespacedName{Namespace: o.namespace, Name: name}, config)
	switch {
	case apierrors.IsNotFound(err):
		status["phase"], status["message"] = "error", err.Error()
	case err != nil:
		return err
	default:
		status["phase"], status["lastResolvedAddress"] = "ready", config.Data["address"]
	}
	return o.setStatus(ctx, memory, status)
}

// reconcileQuery reads the target with the rights of the query's service account.
func (o *operator) reconcileQuery(
	ctx context.Context, query *unstructured.Unstructured, recorder events.EventRecorder,
) error {
	if !query.GetDeletionTimestamp().IsZero() {
		if controllerutil.RemoveFinalizer(query, finalizer) {
			return o.client.Update(ctx, query)
		}
		return nil
	}
	if controllerutil.AddFinalizer(query, finalizer) {
		return o.client.Update(ctx, query)
	}
	switch field(query, "status.phase") {
	case "done", "error":
		return nil
	case "running":
	default:
		return o.setStatus(ctx, query, map[string]any{"phase": "running"})
	}
	reader, err := o.impersonated(field(query, "spec.serviceAccount"))
	if err != nil {
		return err
	}
	target := o.object("Agent")
	key := types.NamespacedName{Namespace: o.namespace, Name: field(query, "spec.target.name")}
	phase, content := "done", ""
	if err := reader.Get(ctx, key, target); err == nil {
		content = "asked " + field(target, "spec.modelRef.name")
	} else if status := apierrors.APIStatus(nil); errors.As(err, &status) {
		phase, content = "error", err.Error()
	} else {
		return err
	}
	recorder.Eventf(query, nil, core.EventTypeNormal, "Query"+phase, "Reconcile", "%s", content)
	return o.setStatus(ctx, query, map[string]any{
		"phase": phase, "response": map[string]any{"content": content, "phase": phase},
	})
}

// impersonated makes a client with the rights of a service account; the operator's own without one.
func (o *operator) impersonated(account string) (client.Client, error) {
	config := rest.CopyConfig(o.config)
	if account != "" {
		config.Impersonate = rest.ImpersonationConfig{
			UserName: fmt.Sprintf("system:serviceaccount:%s:%s", o.namespace, account),
		}
	}
	return client.New(config, client.Options{Mapper: o.client.RESTMapper()})
}

// available reads the condition of a referenced object.
func (o *operator) available(ctx context.Context, kind, name, condition string) (bool, bool, error) {
	object := o.object(kind)
	err := o.client.Get(ctx, types.NamespacedName{Namespace: o.namespace, Name: name}, object)
	if err != nil {
		return false, false, client.IgnoreNotFound(err)
	}
	return true, apimeta.IsStatusConditionTrue(conditions(object), condition), nil
}

func condition(name string, state meta.ConditionStatus, reason, message string) meta.Condition {
	return meta.Condition{Type: name, Status: state, Reason: reason, Message: message}
}

func truth(value bool) meta.ConditionStatus {
	if value {
		return meta.ConditionTrue
	}
	return meta.ConditionFalse
}

func conditions(object *unstructured.Unstructured) []meta.Condition {
	content, _, _ := unstructured.NestedSlice(object.Object, "status", "conditions")
	text, err := json.Marshal(content)
	check(err)
	var all []meta.Condition
	check(json.Unmarshal(text, &all))
	return all
}

func (o *operator) setConditions(
	ctx context.Context, object *unstructured.Unstructured, wanted ...meta.Condition,
) error {
	all := conditions(object)
	for _, one := range wanted {
		one.ObservedGeneration = object.GetGeneration()
		apimeta.SetStatusCondition(&all, one)
	}
	text, err := json.Marshal(all)
	check(err)
	var content []any
	check(json.Unmarshal(text, &content))
	for _, one := range content {
		// The type that the decoder of objects has for integers.
		one.(map[string]any)["observedGeneration"] = object.GetGeneration()
	}
	return o.setStatus(ctx, object, map[string]any{"conditions": content})
}

// setStatus replaces the status if it differs.
func (o *operator) setStatus(ctx context.Context, object *unstructured.Unstructured, status map[string]any) error {
	if equality.Semantic.DeepEqual(object.Object["status"], any(status)) {
		return nil
	}
	object.Object["status"] = status
	return o.client.Status().Update(ctx, object)
}
