// client-go: discovery, reviews, an informer, both recorders of events, leader election.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	authentication "k8s.io/api/authentication/v1"
	authorization "k8s.io/api/authorization/v1"
	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	typedcore "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/client-go/tools/record"
)

const namespace = "client-go"

var queries = schema.GroupVersionResource{
	Group: "ark.mckinsey.com", Version: "v1alpha1", Resource: "queries",
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	check(err)
	client, err := kubernetes.NewForConfig(config)
	check(err)
	_, err = client.CoreV1().Namespaces().Create(ctx, &core.Namespace{
		ObjectMeta: meta.ObjectMeta{Name: namespace},
	}, meta.CreateOptions{})
	check(err)
	discover(client)
	review(ctx, client)
	query := inform(ctx, config)
	recordOld(ctx, client, query)
	recordNew(ctx, client, query)
	elect(ctx, client)
	check(client.CoreV1().Namespaces().Delete(ctx, namespace, meta.DeleteOptions{}))
}

// discover finds every kind that the other steps use.
func discover(client *kubernetes.Clientset) {
	_, lists, err := client.Discovery().ServerGroupsAndResources()
	check(err)
	found := map[string]bool{}
	for _, list := range lists {
		for _, resource := range list.APIResources {
			found[list.GroupVersion+" "+resource.Name] = true
		}
	}
	for _, wanted := range []string{
		"v1 namespaces", "v1 events", "events.k8s.io/v1 events", "coordination.k8s.io/v1 leases",
		"apiextensions.k8s.io/v1 customresourcedefinitions",
		"authorization.k8s.io/v1 selfsubjectaccessreviews",
		"authentication.k8s.io/v1 selfsubjectreviews", "ark.mckinsey.com/v1alpha1 queries",
	} {
		expect(found[wanted], "%s is not in discovery", wanted)
	}
}

// review asks who the user is and what it may do.
func review(ctx context.Context, client *kubernetes.Clientset) {
	who, err := client.AuthenticationV1().SelfSubjectReviews().Create(
		ctx, &authentication.SelfSubjectReview{}, meta.CreateOptions{})
	check(err)
	expect(who.Status.UserInfo.Username != "", "no user: %v", who)
	may, err := client.AuthorizationV1().SelfSubjectAccessReviews().Create(
		ctx, &authorization.SelfSubjectAccessReview{
			Spec: authorization.SelfSubjectAccessReviewSpec{
				ResourceAttributes: &authorization.ResourceAttributes{
					Namespace: namespace, Verb: "create", Group: queries.Group, Resource: "queries",
				},
			},
		}, meta.CreateOptions{})
	check(err)
	expect(may.Status.Allowed, "not allowed: %v", may)
	rules, err := client.AuthorizationV1().SelfSubjectRulesReviews().Create(
		ctx, &authorization.SelfSubjectRulesReview{
			Spec: authorization.SelfSubjectRulesReviewSpec{Namespace: namespace},
		}, meta.CreateOptions{})
	check(err)
	expect(len(rules.Status.ResourceRules) > 0, "no rules: %v", rules)
}

// inform follows the life of a Query by an informer; it returns the deleted Query.
func inform(ctx context.Context, config *rest.Config) *unstructured.Unstructured {
	client, err := dynamic.NewForConfig(config)
	check(err)
	seen := make(chan string, 16)
	factory := dynamicinformer.NewFilteredDynamicSharedInformerFactory(client, 0, namespace, nil)
	informer := factory.ForResource(queries).Informer()
	_, err = informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { seen <- "add" },
		UpdateFunc: func(any, any) { seen <- "update" },
		DeleteFunc: func(any) { seen <- "delete" },
	})
	check(err)
	ctx, cancel := context.WithCancel(ctx)
	defer factory.Shutdown()
	defer cancel()
	factory.Start(ctx.Done())
	expect(cache.WaitForCacheSync(ctx.Done(), informer.HasSynced), "the informer does not sync")
	objects := client.Resource(queries).Namespace(namespace)
	query, err := objects.Create(ctx, &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "ark.mckinsey.com/v1alpha1", "kind": "Query",
		"metadata": map[string]any{"name": "informed"},
		"spec":     map[string]any{"input": "hello"},
	}}, meta.CreateOptions{})
	check(err)
	expectNext(ctx, seen, "add")
	_, err = objects.Patch(ctx, "informed", types.MergePatchType,
		[]byte(`{"status":{"phase":"running"}}`), meta.PatchOptions{}, "status")
	check(err)
	expectNext(ctx, seen, "update")
	check(objects.Delete(ctx, "informed", meta.DeleteOptions{}))
	expectNext(ctx, seen, "delete")
	return query
}

// recordOld reports twice with the recorder of the core group, which counts repetitions by patches.
func recordOld(ctx context.Context, client *kubernetes.Clientset, about *unstructured.Unstructured) {
	broadcaster := record.NewBroadcaster()
	defer broadcaster.Shutdown()
	broadcaster.StartRecordingToSink(&typedcore.EventSinkImpl{
		Interface: client.CoreV1().Events(""),
	})
	recorder := broadcaster.NewRecorder(scheme.Scheme, core.EventSource{Component: "client-go"})
	for range 2 {
		recorder.Event(about, core.EventTypeNormal, "Old", "from the old recorder")
	}
	eventually(ctx, "the event is not counted", func() bool {
		found, err := client.CoreV1().Events(namespace).List(ctx, meta.ListOptions{
			FieldSelector: "reason=Old,involvedObject.name=informed",
		})
		check(err)
		return len(found.Items) == 1 && found.Items[0].Count == 2
	})
	found, err := client.EventsV1().Events(namespace).List(ctx, meta.ListOptions{
		FieldSelector: "reason=Old",
	})
	check(err)
	expect(len(found.Items) == 1, "%d events in events.k8s.io", len(found.Items))
	event := found.Items[0]
	expect(event.Note == "from the old recorder" && event.Regarding.Name == "informed" &&
		event.DeprecatedCount == 2, "an event of the core group became %v", event)
}

// recordNew reports with the recorder of events.k8s.io.
func recordNew(ctx context.Context, client *kubernetes.Clientset, about *unstructured.Unstructured) {
	broadcaster := events.NewBroadcaster(&events.EventSinkImpl{Interface: client.EventsV1()})
	defer broadcaster.Shutdown()
	check(broadcaster.StartRecordingToSinkWithContext(ctx))
	recorder := broadcaster.NewRecorder(scheme.Scheme, "clients/go")
	for range 2 {
		recorder.Eventf(about, nil, core.EventTypeNormal, "New", "Test", "from the new recorder")
	}
	var found *core.EventList
	eventually(ctx, "the event is not shown", func() bool {
		var err error
		found, err = client.CoreV1().Events(namespace).List(ctx, meta.ListOptions{
			FieldSelector: "reason=New",
		})
		check(err)
		return len(found.Items) == 1 && found.Items[0].Series != nil
	})
	event := found.Items[0]
	expect(event.Message == "from the new recorder" && event.InvolvedObject.Name == "informed" &&
		event.ReportingController == "clients/go" && !event.EventTime.IsZero(),
		"an event of events.k8s.io became %v", event)
}

// elect lets two candidates lead one after the other.
func elect(ctx context.Context, client *kubernetes.Clientset) {
	for _, name := range []string{"first", "second"} {
		lock := &resourcelock.LeaseLock{
			LeaseMeta:  meta.ObjectMeta{Namespace: namespace, Name: "election"},
			Client:     client.CoordinationV1(),
			LockConfig: resourcelock.ResourceLockConfig{Identity: name},
		}
		ctx, cancel := context.WithCancel(ctx)
		led := false
		leaderelection.RunOrDie(ctx, leaderelection.LeaderElectionConfig{
			Lock: lock, ReleaseOnCancel: true,
			LeaseDuration: 10 * time.Second, RenewDeadline: 5 * time.Second,
			RetryPeriod: 100 * time.Millisecond,
			Callbacks: leaderelection.LeaderCallbacks{
				OnStartedLeading: func(ctx context.Context) {
					lease, err := client.CoordinationV1().Leases(namespace).Get(
						ctx, "election", meta.GetOptions{})
					check(err)
					led = *lease.Spec.HolderIdentity == name
					// At least one renewal.
					time.Sleep(300 * time.Millisecond)
					cancel()
				},
				OnStoppedLeading: func() {},
			},
		})
		cancel()
		expect(led, "%s does not lead", name)
	}
	lease, err := client.CoordinationV1().Leases(namespace).Get(ctx, "election", meta.GetOptions{})
	check(err)
	expect(*lease.Spec.LeaseTransitions > 0, "no transition: %v", lease)
	err = client.CoordinationV1().Leases(namespace).Delete(ctx, "election", meta.DeleteOptions{})
	check(err)
	_, err = client.CoordinationV1().Leases(namespace).Get(ctx, "election", meta.GetOptions{})
	expect(apierrors.IsNotFound(err), "a deleted Lease is returned: %v", err)
}

func expectNext(ctx context.Context, seen <-chan string, wanted string) {
	select {
	case got := <-seen:
		expect(got == wanted, "%s instead of %s", got, wanted)
	case <-ctx.Done():
		log.Fatalf("no %s", wanted)
	}
}

func eventually(ctx context.Context, failure string, condition func() bool) {
	for !condition() {
		expect(ctx.Err() == nil, "%s", failure)
		time.Sleep(50 * time.Millisecond)
	}
}

func expect(holds bool, format string, values ...any) {
	if !holds {
		log.Fatal(fmt.Sprintf(format, values...))
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
