package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	registration "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
)

// migration is the annotation in which a mutating webhook leaves what it changed, and from which the
// validating webhook makes a warning.
const migration = "operator.example.com/migration-warning-0"

// protected is the annotation of objects that must not be deleted.
const protected = "operator.example.com/protected"

// hooked maps plurals to kinds with webhooks, and says which of them are mutated.
var hooked = []struct {
	plural, kind string
	mutated      bool
}{
	{"agents", "Agent", true},
	{"models", "Model", true},
	{"queries", "Query", true},
	{"teams", "Team", true},
	{"arkconfigs", "ArkConfig", false},
	{"memories", "Memory", false},
	{"tools", "Tool", false},
}

// serveWebhooks listens on a free port of 127.0.0.1.
func (o *operator) serveWebhooks() *httptest.Server {
	mux := http.NewServeMux()
	for _, it := range hooked {
		kind := it.kind
		mux.Handle("/validate/"+it.plural, &admission.Webhook{
			Handler: admission.HandlerFunc(func(_ context.Context, request admission.Request) admission.Response {
				return o.validate(kind, request)
			}),
		})
		if it.mutated {
			mux.Handle("/mutate/"+it.plural, &admission.Webhook{
				Handler: admission.HandlerFunc(func(ctx context.Context, request admission.Request) admission.Response {
					return o.mutate(ctx, kind, request)
				}),
			})
		}
	}
	webhooks := httptest.NewUnstartedServer(mux)
	var certificate tls.Certificate
	certificate, o.authority = issue()
	webhooks.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	webhooks.StartTLS()
	return webhooks
}

// issue makes an authority and a serving certificate for 127.0.0.1; the authority as PEM.
func issue() (tls.Certificate, []byte) {
	now := time.Now()
	sign := func(template, parent *x509.Certificate, signer *ecdsa.PrivateKey) ([]byte, *ecdsa.PrivateKey) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		check(err)
		if signer == nil {
			signer = key
		}
		template.NotBefore, template.NotAfter = now.Add(-time.Hour), now.Add(time.Hour)
		der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
		check(err)
		return der, key
	}
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "operator-ca"}, IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	root, signer := sign(authority, authority, nil)
	leaf, key := sign(&x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "operator"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, authority, signer)
	bundle := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root})
	return tls.Certificate{Certificate: [][]byte{leaf}, PrivateKey: key}, bundle
}

// mutate migrates old spellings, and fills references and times that are not given.
func (o *operator) mutate(ctx context.Context, kind string, request admission.Request) admission.Response {
	object := o.object(kind)
	if err := json.Unmarshal(request.Object.Raw, &object.Object); err != nil {
		return admission.Errored(http.StatusBadRequest, err)
	}
	set := func(value any, path ...string) { check(unstructured.SetNestedField(object.Object, value, path...)) }
	note := func(text string) {
		annotations := object.GetAnnotations()
		if annotations == nil {
			annotations = map[string]string{}
		}
		annotations[migration] = text
		object.SetAnnotations(annotations)
	}
	switch kind {
	case "Model":
		old := field(object, "spec.type")
		if old != "" && old != "completions" && field(object, "spec.provider") == "" {
			set(old, "spec", "provider")
			set("completions", "spec", "type")
			note(fmt.Sprintf("spec.type is deprecated for provider values - migrated '%s' to spec.provider", old))
		}
	case "Agent":
		if field(object, "spec.modelRef.name") == "" {
			set("default", "spec", "modelRef", "name")
		}
	case "Team":
		if field(object, "spec.strategy") == "round-robin" {
			set("sequential", "spec", "strategy")
			set(true, "spec", "loops")
			note("strategy 'round-robin' is deprecated - migrated to 'sequential' with loops")
		}
	case "Query":
		if field(object, "spec.ttl") == "" {
			config := o.object("ArkConfig")
			err := o.reader.Get(ctx, client.ObjectKey{Name: "default"}, config)
			if client.IgnoreNotFound(err) != nil {
				return admission.Errored(http.StatusInternalServerError, err)
			}
			if ttl := field(config, "spec.queryTTL"); err == nil && ttl != "" {
				set(ttl, "spec", "ttl")
			}
		}
	}
	changed, err := json.Marshal(object.Object)
	if err != nil {
		return admission.Errored(http.StatusInternalServerError, err)
	}
	return admission.PatchResponseFromRaw(request.Object.Raw, changed)
}

// validate denies what the schemas cannot express, and warns about old spellings.
func (o *operator) validate(kind string, request admission.Request) admission.Response {
	object := o.object(kind)
	raw := request.Object.Raw
	if request.Operation == admissionv1.Delete {
		raw = request.OldObject.Raw
	}
	if err := json.Unmarshal(raw, &object.Object); err != nil {
		return admission.Errored(http.StatusBadRequest, err)
	}
	if request.Operation == admissionv1.Delete {
		if object.GetAnnotations()[protected] == "true" {
			return admission.Denied(fmt.Sprintf("%s %s is protected", kind, object.GetName()))
		}
		return admission.Allowed("").WithWarnings(kind + " " + object.GetName() + " is deleted")
	}
	var warnings []string
	if text := object.GetAnnotations()[migration]; text != "" && !o.mutant("no-warnings") {
		warnings = append(warnings, text)
	}
	var err error
	switch kind {
	case "Model":
		provider := field(object, "spec.provider")
		config, found, _ := unstructured.NestedMap(object.Object, "spec", "config", provider)
		if !found {
			err = fmt.Errorf("spec.config.%s is required for provider '%s'", provider, provider)
		}
		if config["apiKey"] != nil && config["accessKeyId"] != nil {
			warnings = append(warnings, "apiKey takes precedence over accessKeyId")
		}
	case "Agent":
		tools, _, _ := unstructured.NestedSlice(object.Object, "spec", "tools")
		for index, tool := range tools {
			if content, _ := tool.(map[string]any); content["name"] == nil {
				err = fmt.Errorf("spec.tools[%d]: a name is required", index)
			}
		}
	case "Team":
		members, _, _ := unstructured.NestedSlice(object.Object, "spec", "members")
		if len(members) == 0 {
			err = fmt.Errorf("spec.members must not be empty")
		}
		if field(object, "spec.strategy") == "graph" {
			warnings = append(warnings, "strategy 'graph' is deprecated", "use 'selector' with a graph")
		}
	case "Query":
		if field(object, "spec.target.name") == "" {
			return admission.Response{AdmissionResponse: admissionv1.AdmissionResponse{
				Result: &apierrors.NewInvalid(o.kind(kind).GroupKind(), object.GetName(), nil).ErrStatus,
			}}
		}
	case "ArkConfig":
		if object.GetName() != "default" {
			err = fmt.Errorf("the only ArkConfig is named 'default'")
		} else if ttl := field(object, "spec.queryTTL"); ttl != "" {
			_, err = time.ParseDuration(ttl)
		}
	}
	if err != nil {
		return admission.Denied(err.Error()).WithWarnings(warnings...)
	}
	return admission.Allowed("").WithWarnings(warnings...)
}

func (o *operator) configureWebhooks(ctx context.Context, webhooks *httptest.Server) {
	fail, none := registration.Fail, registration.SideEffectClassNone
	timeout := int32(10)
	url := func(path string) registration.WebhookClientConfig {
		address := webhooks.URL + path
		return registration.WebhookClientConfig{URL: &address, CABundle: o.authority}
	}
	rules := func(plural string, operations ...registration.OperationType) []registration.RuleWithOperations {
		return []registration.RuleWithOperations{{
			Operations: operations,
			Rule: registration.Rule{
				APIGroups: []string{o.group}, APIVersions: []string{version}, Resources: []string{plural},
			},
		}}
	}
	var mutating []registration.MutatingWebhook
	var validating []registration.ValidatingWebhook
	for _, it := range hooked {
		if it.mutated {
			mutating = append(mutating, registration.MutatingWebhook{
				Name: "m" + it.plural + ".operator.example.com", ClientConfig: url("/mutate/" + it.plural),
				Rules:         rules(it.plural, registration.Create, registration.Update),
				FailurePolicy: &fail, SideEffects: &none, TimeoutSeconds: &timeout,
				AdmissionReviewVersions: []string{"v1"},
			})
		}
		validating = append(validating, registration.ValidatingWebhook{
			Name: "v" + it.plural + ".operator.example.com", ClientConfig: url("/validate/" + it.plural),
			Rules:         rules(it.plural, registration.Create, registration.Update, registration.Delete),
			FailurePolicy: &fail, SideEffects: &none, TimeoutSeconds: &timeout,
			AdmissionReviewVersions: []string{"v1"},
		})
	}
	name := meta.ObjectMeta{Name: o.namespace}
	api := o.typed.AdmissionregistrationV1()
	_, err := api.MutatingWebhookConfigurations().Create(ctx,
		&registration.MutatingWebhookConfiguration{ObjectMeta: name, Webhooks: mutating}, meta.CreateOptions{})
	check(err)
	_, err = api.ValidatingWebhookConfigurations().Create(ctx,
		&registration.ValidatingWebhookConfiguration{ObjectMeta: name, Webhooks: validating}, meta.CreateOptions{})
	check(err)
}

func (o *operator) removeWebhooks(ctx context.Context) {
	api := o.typed.AdmissionregistrationV1()
	check(api.MutatingWebhookConfigurations().Delete(ctx, o.namespace, meta.DeleteOptions{}))
	check(api.ValidatingWebhookConfigurations().Delete(ctx, o.namespace, meta.DeleteOptions{}))
}

// waitForWebhooks waits until the server has seen both configurations.
func (d *driver) waitForWebhooks(ctx context.Context) {
	d.eventually(ctx, "the webhooks are called", func() bool {
		probe := d.named("Team", "probe", `{"strategy": "round-robin", "members": []}`)
		err := d.client.Create(ctx, probe, client.DryRunAll)
		if err == nil || !strings.Contains(err.Error(), "must not be empty") {
			return false
		}
		probe = d.named("Model", "probe", `{"type": "openai", "model": {"value": "m"}, "config": {}}`)
		err = d.client.Create(ctx, probe, client.DryRunAll)
		return err != nil && strings.Contains(err.Error(), "spec.config.openai is required")
	})
	d.take()
}
