package main

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	applymetav1 "k8s.io/client-go/applyconfigurations/meta/v1"
	"k8s.io/client-go/gentype"
	"k8s.io/client-go/rest"
)

// Widget as code generators write it.
type Widget struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              WidgetSpec `json:"spec,omitempty"`
}

// WidgetSpec has some of its fields.
type WidgetSpec struct {
	Size  int64  `json:"size,omitempty"`
	Owner string `json:"owner,omitempty"`
}

// WidgetList is a list of Widgets.
type WidgetList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Widget `json:"items"`
}

// WidgetApply is the apply configuration of a Widget.
type WidgetApply struct {
	applymetav1.TypeMetaApplyConfiguration    `json:",inline"`
	*applymetav1.ObjectMetaApplyConfiguration `json:"metadata,omitempty"`
	Spec                                      *WidgetSpecApply `json:"spec,omitempty"`
}

// WidgetSpecApply is the apply configuration of its spec.
type WidgetSpecApply struct {
	Size  *int64  `json:"size,omitempty"`
	Owner *string `json:"owner,omitempty"`
}

// GetName is what the generic client reads.
func (w *WidgetApply) GetName() *string { return w.Name }

// GetNamespace is what the generic client reads.
func (w *WidgetApply) GetNamespace() *string { return w.Namespace }

// GetKind is what the generic client reads.
func (w *WidgetApply) GetKind() *string { return w.Kind }

// GetAPIVersion is what the generic client reads.
func (w *WidgetApply) GetAPIVersion() *string { return w.APIVersion }

// IsApplyConfiguration marks the type.
func (w *WidgetApply) IsApplyConfiguration() {}

// DeepCopyObject implements runtime.Object.
func (w *Widget) DeepCopyObject() runtime.Object {
	out := *w
	w.ObjectMeta.DeepCopyInto(&out.ObjectMeta)
	return &out
}

// DeepCopyObject implements runtime.Object.
func (l *WidgetList) DeepCopyObject() runtime.Object {
	out := *l
	out.Items = append([]Widget(nil), l.Items...)
	return &out
}

func typedApply(ctx context.Context, config *rest.Config, namespace string) error {
	scheme := runtime.NewScheme()
	scheme.AddKnownTypes(group, &Widget{}, &WidgetList{})
	metav1.AddToGroupVersion(scheme, group)
	codec := runtime.NewParameterCodec(scheme)
	config = rest.CopyConfig(config)
	config.GroupVersion, config.APIPath = &group, "/apis"
	config.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	client, err := rest.RESTClientFor(config)
	if err != nil {
		return err
	}
	widgets := gentype.NewClientWithListAndApply[*Widget, *WidgetList, *WidgetApply](
		"widgets", client, codec, namespace,
		func() *Widget { return &Widget{} }, func() *WidgetList { return &WidgetList{} })
	configuration := func(size int64) *WidgetApply {
		name, kind, version := "typed", "Widget", group.String()
		return &WidgetApply{
			TypeMetaApplyConfiguration: applymetav1.TypeMetaApplyConfiguration{
				Kind: &kind, APIVersion: &version,
			},
			ObjectMetaApplyConfiguration: &applymetav1.ObjectMetaApplyConfiguration{Name: &name},
			Spec:                         &WidgetSpecApply{Size: &size},
		}
	}
	if _, err := widgets.Apply(ctx, configuration(1), metav1.ApplyOptions{FieldManager: "first"}); err != nil {
		return err
	}
	_, err = widgets.Apply(ctx, configuration(2), metav1.ApplyOptions{FieldManager: "second"})
	if err := expectConflict(err, "first", ".spec.size"); err != nil {
		return err
	}
	forced, err := widgets.Apply(ctx, configuration(2), metav1.ApplyOptions{FieldManager: "second", Force: true})
	if err != nil {
		return err
	}
	if forced.Spec.Size != 2 {
		return fmt.Errorf("size %d after a forced apply", forced.Spec.Size)
	}
	return expectManagers(forced, "second Apply")
}
