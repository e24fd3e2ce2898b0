package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	core "k8s.io/api/core/v1"
	rbac "k8s.io/api/rbac/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	openai  = `{"provider": "openai", "model": {"value": "m"}, "config": {"openai": {"apiKey": {"value": "k"}, "baseUrl": {"value": "u"}}}}`
	oldType = `{"type": "openai", "model": {"value": "m"}, "config": {"openai": {"apiKey": {"value": "k"}, "baseUrl": {"value": "u"}}}}`
	bedrock = `{"provider": "bedrock", "model": {"value": "m"}, "config": {"bedrock": {"apiKey": {"value": "k"}, "accessKeyId": {"value": "k"}}}}`
)

// prepareNamespace creates the namespace, and two service accounts: one may read agents.
func (o *operator) prepareNamespace(ctx context.Context) {
	create := func(err error) { check(err) }
	_, err := o.typed.CoreV1().Namespaces().Create(ctx,
		&core.Namespace{ObjectMeta: meta.ObjectMeta{Name: o.namespace}}, meta.CreateOptions{})
	create(err)
	for _, name := range []string{"reader", "stranger"} {
		_, err = o.typed.CoreV1().ServiceAccounts(o.namespace).Create(ctx,
			&core.ServiceAccount{ObjectMeta: meta.ObjectMeta{Name: name}}, meta.CreateOptions{})
		create(err)
	}
	_, err = o.typed.RbacV1().Roles(o.namespace).Create(ctx, &rbac.Role{
		ObjectMeta: meta.ObjectMeta{Name: "reader"},
		Rules: []rbac.PolicyRule{{
			APIGroups: []string{o.group}, Resources: []string{"agents"}, Verbs: []string{"get"},
		}},
	}, meta.CreateOptions{})
	create(err)
	_, err = o.typed.RbacV1().RoleBindings(o.namespace).Create(ctx, &rbac.RoleBinding{
		ObjectMeta: meta.ObjectMeta{Name: "reader"},
		RoleRef:    rbac.RoleRef{APIGroup: rbac.GroupName, Kind: "Role", Name: "reader"},
		Subjects:   []rbac.Subject{{Kind: "ServiceAccount", Namespace: o.namespace, Name: "reader"}},
	}, meta.CreateOptions{})
	create(err)
}

// drive performs all requests, in an order in which each outcome is determined.
func (d *driver) drive(ctx context.Context) {
	d.eventually(ctx, "a leader", func() bool {
		leases, err := d.typed.CoordinationV1().Leases(d.namespace).List(ctx, meta.ListOptions{})
		check(err)
		return len(leases.Items) == 1 && leases.Items[0].Spec.HolderIdentity != nil
	})
	d.observe("a leader", "elected")
	d.admissions(ctx)
	d.references(ctx)
	d.selectors(ctx)
	d.generations(ctx)
	d.memories(ctx)
	d.queries(ctx)
	d.deletions(ctx)
}

// admissions: denials, warnings and migrations, and the default of the cluster's ArkConfig.
func (d *driver) admissions(ctx context.Context) {
	d.create(ctx, "model with deprecated type", d.named("Model", "old", oldType))
	d.create(ctx, "bedrock with both keys", d.named("Model", "bedrock", bedrock))
	d.create(ctx, "model without config", d.named("Model", "none", strings.Replace(openai, `"openai": {`, `"azure": {`, 1)))
	d.create(ctx, "model of an unknown provider", d.named("Model", "none", strings.Replace(openai, `"provider": "openai"`, `"provider": "x"`, 1)))
	d.create(ctx, "model without its required fields", d.named("Model", "none", `{"provider": "openai"}`))
	d.create(ctx, "agent tool without name", d.named("Agent", "none", `{"tools": [{"type": "custom"}]}`))
	d.create(ctx, "team without members", d.named("Team", "none", `{"strategy": "sequential", "members": []}`))
	d.create(ctx, "graph team", d.named("Team", "graph", `{"strategy": "graph", "maxTurns": 3, "members": [{"name": "one", "type": "agent"}], "graph": {"edges": []}}`))
	d.create(ctx, "round-robin team", d.named("Team", "robin", `{"strategy": "round-robin", "members": [{"name": "one", "type": "agent"}]}`))
	d.create(ctx, "query without target", d.named("Query", "none", `{"input": "hello"}`))
	d.create(ctx, "misnamed config", d.named("ArkConfig", "other", `{}`))
	d.create(ctx, "config with a wrong time", d.named("ArkConfig", "default", `{"queryTTL": "soon"}`))
	d.create(ctx, "config", d.named("ArkConfig", "default", `{"queryTTL": "48h"}`))
	// Dry runs call the webhooks and store nothing.
	dry := d.named("Model", "dry", oldType)
	err := d.client.Create(ctx, dry, client.DryRunAll)
	d.answer("dry run", err, dry)
	d.left(ctx, "models", "Model")
	d.change(ctx, "update migrates", "Model", "bedrock", func(model *unstructured.Unstructured) {
		model.Object["spec"] = d.named("Model", "", oldType).Object["spec"]
	})
	d.change(ctx, "update denied", "Model", "bedrock", func(model *unstructured.Unstructured) {
		check(unstructured.SetNestedField(model.Object, "azure", "spec", "provider"))
	})
	team := d.object("Team")
	team.SetName("graph")
	team.SetNamespace(d.namespace)
	err = d.client.Patch(ctx, team, client.RawPatch(types.MergePatchType, []byte(`{"spec": {"strategy": "round-robin"}}`)))
	d.answer("patch migrates", err, team)
	applied := d.named("Team", "applied", `{"strategy": "round-robin", "members": [{"name": "one", "type": "agent"}]}`)
	err = d.client.Apply(ctx, client.ApplyConfigurationFromUnstructured(applied), client.FieldOwner("applier"))
	d.answer("apply migrates", err, applied)
}

// references: conditions follow the referenced objects.
func (d *driver) references(ctx context.Context) {
	d.create(ctx, "agent one", d.named("Agent", "one", `{"prompt": "p"}`))
	d.create(ctx, "agent two", d.named("Agent", "two", `{"prompt": "p", "modelRef": {"name": "second"}}`))
	d.create(ctx, "team of both", d.named("Team", "both", `{"strategy": "sequential", "members": [{"name": "one", "type": "agent"}, {"name": "two", "type": "agent"}]}`))
	d.settled(ctx, "agent without model", "Agent", "one", has("Available", meta.ConditionFalse, ""))
	d.settled(ctx, "team without models", "Team", "both", has("Available", meta.ConditionFalse, "not available: one"))
	d.create(ctx, "model of agent one", d.named("Model", "default", openai))
	d.settled(ctx, "model", "Model", "default", has("ModelAvailable", meta.ConditionTrue, ""))
	d.settled(ctx, "agent with model", "Agent", "one", has("Available", meta.ConditionTrue, ""))
	d.settled(ctx, "team waits for the second", "Team", "both", has("Available", meta.ConditionFalse, "not available: two"))
	d.create(ctx, "model of agent two", d.named("Model", "second", openai))
	d.settled(ctx, "team with models", "Team", "both", has("Available", meta.ConditionTrue, ""))
	d.change(ctx, "model fails", "Model", "default", func(model *unstructured.Unstructured) {
		model.SetLabels(map[string]string{"reachable": "no"})
	})
	d.settled(ctx, "agent with failed model", "Agent", "one", func(agent *unstructured.Unstructured) bool {
		return has("Available", meta.ConditionFalse, "")(agent) && has("Resolved", meta.ConditionTrue, "")(agent)
	})
	d.settled(ctx, "team with a failed model", "Team", "both", has("Available", meta.ConditionFalse, "not available: one"))
	d.change(ctx, "model recovers", "Model", "default", func(model *unstructured.Unstructured) {
		model.SetLabels(map[string]string{"reachable": "yes"})
	})
	d.settled(ctx, "team with recovered model", "Team", "both", has("Available", meta.ConditionTrue, ""))
	stale := d.read(ctx, "Team", "both")
	stale.SetResourceVersion("1")
	d.answer("stale status", d.client.Status().Update(ctx, stale), stale)
}

func has(name string, state meta.ConditionStatus, message string) func(*unstructured.Unstructured) bool {
	return func(object *unstructured.Unstructured) bool {
		found := apimeta.FindStatusCondition(conditions(object), name)
		return found != nil && found.Status == state && (message == "" || found.Message == message)
	}
}

// selectors: fields and labels.
func (d *driver) selectors(ctx context.Context) {
	d.left(ctx, "agents by name", "Agent", client.MatchingFieldsSelector{Selector: fields.OneTermEqualSelector("metadata.name", "two")})
	d.left(ctx, "agents by another field", "Agent", client.MatchingFieldsSelector{Selector: fields.OneTermEqualSelector("spec.prompt", "p")})
	d.left(ctx, "agents by label", "Agent", client.MatchingLabels{"app": "operator"})
	d.left(ctx, "agents without label", "Agent", client.MatchingLabels{"app": "other"})
}

// generations: only changes of the spec and the mark of a deletion count.
func (d *driver) generations(ctx context.Context) {
	tool := d.named("Tool", "counted", `{"type": "http", "http": {"url": "https://example.com"}}`)
	tool.SetFinalizers([]string{"operator.example.com/held"})
	d.create(ctx, "tool", tool)
	d.change(ctx, "labels", "Tool", "counted", func(tool *unstructured.Unstructured) {
		tool.SetLabels(map[string]string{"a": "b"})
	})
	d.change(ctx, "annotations", "Tool", "counted", func(tool *unstructured.Unstructured) {
		tool.SetAnnotations(map[string]string{"a": "b"})
	})
	d.change(ctx, "the same", "Tool", "counted", func(*unstructured.Unstructured) {})
	d.change(ctx, "spec", "Tool", "counted", func(tool *unstructured.Unstructured) {
		check(unstructured.SetNestedField(tool.Object, "d", "spec", "description"))
	})
	d.answer("deletion", d.client.Delete(ctx, d.read(ctx, "Tool", "counted")), nil)
	marked := d.read(ctx, "Tool", "counted")
	d.observe("marked", []any{marked.GetGeneration(), marked.GetDeletionTimestamp() != nil, marked.GetDeletionGracePeriodSeconds()})
	marked.SetFinalizers(nil)
	d.answer("finalizer", d.client.Update(ctx, marked), nil)
	d.gone(ctx, "tool gone", "Tool", "counted")
}

// memories: the status heals when a ConfigMap appears, and follows it.
func (d *driver) memories(ctx context.Context) {
	d.create(ctx, "memory", d.named("Memory", "kept", `{"address": {"valueFrom": {"configMapKeyRef": {"name": "where", "key": "address"}}}}`))
	phase := func(wanted, address string) func(*unstructured.Unstructured) bool {
		return func(memory *unstructured.Unstructured) bool {
			return field(memory, "status.phase") == wanted && field(memory, "status.lastResolvedAddress") == address
		}
	}
	d.settled(ctx, "memory without address", "Memory", "kept", phase("error", ""))
	where := &core.ConfigMap{ObjectMeta: meta.ObjectMeta{Namespace: d.namespace, Name: "where"}, Data: map[string]string{"address": "http://one"}}
	check(d.client.Create(ctx, where))
	d.settled(ctx, "memory with address", "Memory", "kept", phase("ready", "http://one"))
	where.Data["address"] = "http://two"
	check(d.client.Update(ctx, where))
	d.settled(ctx, "memory with another address", "Memory", "kept", phase("ready", "http://two"))
}

// queries: an impersonated read for each, a finalizer, events, and what a watcher sees.
func (d *driver) queries(ctx context.Context) {
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(d.kind("QueryList"))
	watcher, err := d.client.Watch(ctx, list, client.InNamespace(d.namespace),
		client.MatchingFieldsSelector{Selector: fields.OneTermEqualSelector("metadata.name", "reader")})
	check(err)
	for _, account := range []string{"reader", "stranger", "nobody"} {
		query := d.named("Query", account, fmt.Sprintf(`{"input": "hello", "target": {"type": "agent", "name": "one"}, "serviceAccount": %q}`, account))
		d.create(ctx, "query as "+account, query)
		d.settled(ctx, "query of "+account, "Query", account, func(query *unstructured.Unstructured) bool {
			return field(query, "status.response.phase") != ""
		})
	}
	d.create(ctx, "query of a missing agent", d.named("Query", "missing", `{"input": "hello", "ttl": "1h", "target": {"type": "agent", "name": "missing"}}`))
	d.settled(ctx, "query without agent", "Query", "missing", func(query *unstructured.Unstructured) bool {
		return field(query, "status.response.phase") != ""
	})
	d.events(ctx)
	d.answer("query deleted", d.client.Delete(ctx, d.named("Query", "reader", "{}")), nil)
	d.gone(ctx, "query gone", "Query", "reader")
	d.observe("watched", d.watched(watcher))
	d.change(ctx, "query protected", "Query", "missing", func(query *unstructured.Unstructured) {
		query.SetAnnotations(map[string]string{protected: "true"})
	})
	d.answer("deletion denied", d.client.Delete(ctx, d.named("Query", "missing", "{}")), nil)
}

func (d *driver) events(ctx context.Context) {
	var found []string
	d.eventually(ctx, "events", func() bool {
		all, err := d.typed.CoreV1().Events(d.namespace).List(ctx, meta.ListOptions{FieldSelector: "involvedObject.kind=Query"})
		check(err)
		found = nil
		for _, event := range all.Items {
			object := event.InvolvedObject
			found = append(found, strings.Join([]string{object.APIVersion, object.Kind, object.Name, event.Type, event.Reason, event.Message}, " "))
		}
		return len(found) == 4
	})
	slices.Sort(found)
	d.observe("events", found)
}

// watched is the history of a query until it was deleted.
func (d *driver) watched(watcher watch.Interface) []string {
	defer watcher.Stop()
	seen := []string{}
	timeout := time.After(settleTimeout)
	for {
		select {
		case event, open := <-watcher.ResultChan():
			if !open {
				return append(seen, "closed")
			}
			query, ok := event.Object.(*unstructured.Unstructured)
			if !ok {
				return append(seen, fmt.Sprint(event))
			}
			seen = append(seen, fmt.Sprintf("%s %s finalizers=%v deleted=%t generation=%d", event.Type,
				field(query, "status.phase"), query.GetFinalizers(), query.GetDeletionTimestamp() != nil, query.GetGeneration()))
			if event.Type == watch.Deleted {
				return seen
			}
		case <-timeout:
			return append(seen, "not in time")
		}
	}
}

// deletions: collections by label, with an object that a webhook protects, and owners.
func (d *driver) deletions(ctx context.Context) {
	for _, name := range []string{"a", "b", "c", "d"} {
		tool := d.named("Tool", name, `{"type": "http", "http": {"url": "https://example.com"}}`)
		tool.SetLabels(map[string]string{"server": map[bool]string{true: "x", false: "y"}[name < "c"]})
		check(d.client.Create(ctx, tool))
	}
	d.take()
	err := d.client.DeleteAllOf(ctx, d.object("Tool"), client.InNamespace(d.namespace), client.MatchingLabels{"server": "x"})
	d.answer("tools of x deleted", err, nil)
	d.left(ctx, "tools of y left", "Tool")
	d.change(ctx, "tool protected", "Tool", "c", func(tool *unstructured.Unstructured) {
		tool.SetAnnotations(map[string]string{protected: "true"})
	})
	err = d.client.DeleteAllOf(ctx, d.object("Tool"), client.InNamespace(d.namespace), client.MatchingLabels{"server": "y"})
	d.answer("protected tools of y", err, nil)
	d.left(ctx, "protected tools left", "Tool", client.MatchingFieldsSelector{Selector: fields.OneTermEqualSelector("metadata.name", "c")})
	owner := d.read(ctx, "Agent", "two")
	owned := d.named("Tool", "owned", `{"type": "http", "http": {"url": "https://example.com"}}`)
	controller := true
	owned.SetOwnerReferences([]meta.OwnerReference{{
		APIVersion: d.group + "/" + version, Kind: "Agent", Name: "two", UID: owner.GetUID(), Controller: &controller,
	}})
	d.create(ctx, "owned tool", owned)
	err = d.client.Delete(ctx, owner, client.PropagationPolicy(meta.DeletePropagationForeground))
	d.answer("owner deleted", err, nil)
	d.gone(ctx, "owned tool gone", "Tool", "owned")
	d.gone(ctx, "owner gone", "Agent", "two")
	d.settled(ctx, "team without an agent", "Team", "both", has("Available", meta.ConditionFalse, "not available: two"))
	for _, kind := range []string{"Agent", "Model", "Query", "Team", "Memory"} {
		d.left(ctx, "left of "+kind, kind)
	}
	d.clear(ctx)
}

// clear deletes all objects while the operator still removes their finalizers.
func (d *driver) clear(ctx context.Context) {
	d.change(ctx, "query unprotected", "Query", "missing", func(query *unstructured.Unstructured) {
		query.SetAnnotations(nil)
	})
	d.change(ctx, "tool unprotected", "Tool", "c", func(tool *unstructured.Unstructured) {
		tool.SetAnnotations(nil)
	})
	for _, kind := range []string{"Query", "Team", "Agent", "Model", "Memory", "Tool"} {
		err := d.client.DeleteAllOf(ctx, d.object(kind), client.InNamespace(d.namespace))
		d.answer("all of "+kind+" deleted", err, nil)
		d.eventually(ctx, "end of "+kind, func() bool {
			list := &unstructured.UnstructuredList{}
			list.SetGroupVersionKind(d.kind(kind + "List"))
			check(d.client.List(ctx, list, client.InNamespace(d.namespace)))
			return len(list.Items) == 0
		})
	}
	d.answer("config deleted", d.client.Delete(ctx, d.named("ArkConfig", "default", "{}")), nil)
}
