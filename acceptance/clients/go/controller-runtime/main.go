// controller-runtime: a manager with leader election whose reconciler sets the status of queries.
package main

import (
	"context"
	"log"
	"os"
	"time"

	coordination "k8s.io/api/coordination/v1"
	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

const (
	namespace = "controller-runtime"
	finalizer = "clients.example.com/held"
)

// reconciler sets the status of each Query, and holds its deletion until it has seen it.
type reconciler struct {
	client.Client
	recorder events.EventRecorder
}

func (r *reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	query := newQuery()
	if err := r.Get(ctx, request.NamespacedName, query); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if !query.GetDeletionTimestamp().IsZero() {
		if controllerutil.RemoveFinalizer(query, finalizer) {
			return ctrl.Result{}, r.Update(ctx, query)
		}
		return ctrl.Result{}, nil
	}
	if controllerutil.AddFinalizer(query, finalizer) {
		return ctrl.Result{}, r.Update(ctx, query)
	}
	if phase, _, _ := unstructured.NestedString(query.Object, "status", "phase"); phase == "done" {
		return ctrl.Result{}, nil
	}
	before := query.DeepCopy()
	if err := unstructured.SetNestedField(query.Object, "done", "status", "phase"); err != nil {
		return ctrl.Result{}, err
	}
	r.recorder.Eventf(query, nil, core.EventTypeNormal, "Reconciled", "Reconcile", "phase done")
	return ctrl.Result{}, r.Status().Patch(ctx, query, client.MergeFrom(before))
}

func main() {
	ctrl.SetLogger(zap.New())
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	check(err)
	typed, err := kubernetes.NewForConfig(config)
	check(err)
	_, err = typed.CoreV1().Namespaces().Create(ctx, &core.Namespace{
		ObjectMeta: meta.ObjectMeta{Name: namespace},
	}, meta.CreateOptions{})
	check(err)
	manager, err := ctrl.NewManager(config, ctrl.Options{
		LeaderElection:                true,
		LeaderElectionID:              "clients.example.com",
		LeaderElectionNamespace:       namespace,
		LeaderElectionReleaseOnCancel: true,
		Metrics:                       server.Options{BindAddress: "0"},
	})
	check(err)
	r := &reconciler{Client: manager.GetClient(), recorder: manager.GetEventRecorder("clients")}
	check(ctrl.NewControllerManagedBy(manager).For(newQuery()).Complete(r))
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- manager.Start(running) }()

	use(ctx, manager.GetClient(), typed)
	stop()
	check(<-ended)
	check(typed.CoreV1().Namespaces().Delete(ctx, namespace, meta.DeleteOptions{}))
}

// use creates a Query, waits for its status, and deletes it.
func use(ctx context.Context, c client.Client, typed *kubernetes.Clientset) {
	query := newQuery()
	query.SetNamespace(namespace)
	query.SetName("reconciled")
	query.Object["spec"] = map[string]any{"input": "hello"}
	check(c.Create(ctx, query))
	objects := client.ObjectKeyFromObject(query)
	eventually(ctx, "the status is not set", func() bool {
		found := newQuery()
		if err := c.Get(ctx, objects, found); err != nil {
			return false
		}
		phase, _, _ := unstructured.NestedString(found.Object, "status", "phase")
		return phase == "done"
	})
	leases, err := typed.CoordinationV1().Leases(namespace).List(ctx, meta.ListOptions{})
	check(err)
	if len(leases.Items) != 1 || holder(leases.Items[0]) == "" {
		log.Fatalf("no leader: %v", leases)
	}
	eventually(ctx, "no event", func() bool {
		found, err := typed.CoreV1().Events(namespace).List(ctx, meta.ListOptions{
			FieldSelector: "reason=Reconciled,involvedObject.name=reconciled",
		})
		check(err)
		return len(found.Items) == 1 && found.Items[0].Message == "phase done"
	})
	check(c.Delete(ctx, query))
	eventually(ctx, "the finalizer stays", func() bool {
		return apierrors.IsNotFound(c.Get(ctx, objects, newQuery()))
	})
}

func newQuery() *unstructured.Unstructured {
	query := &unstructured.Unstructured{}
	query.SetGroupVersionKind(schema.GroupVersionKind{
		Group: "ark.mckinsey.com", Version: "v1alpha1", Kind: "Query",
	})
	return query
}

func holder(lease coordination.Lease) string {
	if lease.Spec.HolderIdentity == nil {
		return ""
	}
	return *lease.Spec.HolderIdentity
}

func eventually(ctx context.Context, failure string, condition func() bool) {
	for !condition() {
		if ctx.Err() != nil {
			log.Fatal(failure)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
