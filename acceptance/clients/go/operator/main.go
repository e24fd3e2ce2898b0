// An operator in Ark's shape, and a driver that records what it observes of it.
//
//	operator GROUP NAMESPACE [mutant ...]
//
// GROUP serves Ark's kinds. The program starts admission webhooks and a manager with leader election,
// performs one sequence of requests, and prints one line of JSON for each observation. Names that
// differ between two runs are replaced, so that the output is equal for equal servers. A mutant
// changes the operator, which shows that the comparison notices it.
package main

import (
	"context"
	"encoding/json"
	"log"
	"os"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

const version = "v1alpha1"

// operator has what its webhooks and reconcilers share.
type operator struct {
	group, namespace string
	mutants          []string
	config           *rest.Config
	client           client.Client
	// reader reads ArkConfigs, which are outside the namespace, past the cache.
	reader client.Reader
	typed  *kubernetes.Clientset
	// authority of the webhooks' certificate, as PEM.
	authority []byte
}

func main() {
	ctrl.SetLogger(zap.New(zap.WriteTo(os.Stderr)))
	if len(os.Args) < 3 {
		log.Fatal("usage: operator GROUP NAMESPACE [mutant ...]")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	check(err)
	config.QPS, config.Burst = 200, 400
	o := &operator{group: os.Args[1], namespace: os.Args[2], mutants: os.Args[3:], config: config}
	o.typed, err = kubernetes.NewForConfig(config)
	check(err)
	o.prepareNamespace(ctx)
	quiet := rest.CopyConfig(config)
	quiet.WarningHandler = rest.NoWarnings{}
	manager, err := ctrl.NewManager(quiet, ctrl.Options{
		Cache:                         cache.Options{DefaultNamespaces: map[string]cache.Config{o.namespace: {}}},
		LeaderElection:                true,
		LeaderElectionID:              "operator",
		LeaderElectionNamespace:       o.namespace,
		LeaderElectionReleaseOnCancel: true,
		Metrics:                       server.Options{BindAddress: "0"},
	})
	check(err)
	o.client, o.reader = manager.GetClient(), manager.GetAPIReader()
	webhooks := o.serveWebhooks()
	defer webhooks.Close()
	d := newDriver(o)
	o.configureWebhooks(ctx, webhooks)
	d.waitForWebhooks(ctx)
	o.addReconcilers(manager)
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- manager.Start(running) }()

	d.drive(ctx)
	stop()
	check(<-ended)
	o.removeWebhooks(ctx)
	d.end()
}

// mutant reports whether the operator has this fault.
func (o *operator) mutant(name string) bool { return slices.Contains(o.mutants, name) }

func (o *operator) kind(kind string) schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: o.group, Version: version, Kind: kind}
}

// object makes an object without a name, to read into.
func (o *operator) object(kind string) *unstructured.Unstructured {
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(o.kind(kind))
	return object
}

// named makes an object from the text of its spec.
func (o *operator) named(kind, name, spec string) *unstructured.Unstructured {
	object := o.object(kind)
	object.SetName(name)
	if kind != "ArkConfig" {
		object.SetNamespace(o.namespace)
	}
	object.SetLabels(map[string]string{"app": "operator"})
	var content map[string]any
	check(json.Unmarshal([]byte(spec), &content))
	object.Object["spec"] = content
	return object
}

// field is a string of an object; empty if it is absent.
func field(object *unstructured.Unstructured, path string) string {
	value, _, _ := unstructured.NestedString(object.Object, strings.Split(path, ".")...)
	return value
}

func check(err error) {
	if err != nil {
		log.Output(2, err.Error())
		os.Exit(1)
	}
}
