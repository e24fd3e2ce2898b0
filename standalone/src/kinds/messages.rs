//! The protobuf messages of the kinds: `generated.proto` of the groups in `k8s.io/api`. kubectl and
//! controller-runtime write typed objects in protobuf.

use api_types::protobuf::read::{Field, OBJECT_META, Shape, field};

const METADATA: Shape = Shape::Message(OBJECT_META);

/// `core/v1` Namespace.
pub(super) const NAMESPACE: &[Field] = &[
    field(1, "metadata", METADATA),
    field(2, "spec", Shape::Message(NAMESPACE_SPEC)),
    field(3, "status", Shape::Message(NAMESPACE_STATUS)),
];

const NAMESPACE_SPEC: &[Field] = &[field(1, "finalizers", Shape::Texts)];

const NAMESPACE_STATUS: &[Field] = &[
    field(1, "phase", Shape::Text),
    field(2, "conditions", Shape::Messages(NAMESPACE_CONDITION)),
];

const NAMESPACE_CONDITION: &[Field] = &[
    field(1, "type", Shape::Text),
    field(2, "status", Shape::Text),
    field(4, "lastTransitionTime", Shape::Time),
    field(5, "reason", Shape::Text),
    field(6, "message", Shape::Text),
];

/// `coordination/v1` Lease.
pub(super) const LEASE: &[Field] = &[
    field(1, "metadata", METADATA),
    field(2, "spec", Shape::Message(LEASE_SPEC)),
];

const LEASE_SPEC: &[Field] = &[
    field(1, "holderIdentity", Shape::OptionalText),
    field(2, "leaseDurationSeconds", Shape::OptionalNumber),
    field(3, "acquireTime", Shape::MicroTime),
    field(4, "renewTime", Shape::MicroTime),
    field(5, "leaseTransitions", Shape::OptionalNumber),
    field(6, "strategy", Shape::OptionalText),
    field(7, "preferredHolder", Shape::OptionalText),
];

/// `core/v1` Event.
pub(super) const EVENT: &[Field] = &[
    field(1, "metadata", METADATA),
    field(2, "involvedObject", Shape::Message(OBJECT_REFERENCE)),
    field(3, "reason", Shape::Text),
    field(4, "message", Shape::Text),
    field(5, "source", Shape::Message(EVENT_SOURCE)),
    field(6, "firstTimestamp", Shape::Time),
    field(7, "lastTimestamp", Shape::Time),
    field(8, "count", Shape::Number),
    field(9, "type", Shape::Text),
    field(10, "eventTime", Shape::MicroTime),
    field(11, "series", Shape::Message(EVENT_SERIES)),
    field(12, "action", Shape::Text),
    field(13, "related", Shape::Message(OBJECT_REFERENCE)),
    field(14, "reportingComponent", Shape::Text),
    field(15, "reportingInstance", Shape::Text),
];

/// `events/v1` Event.
pub(super) const EVENTS_EVENT: &[Field] = &[
    field(1, "metadata", METADATA),
    field(2, "eventTime", Shape::MicroTime),
    field(3, "series", Shape::Message(EVENT_SERIES)),
    field(4, "reportingController", Shape::Text),
    field(5, "reportingInstance", Shape::Text),
    field(6, "action", Shape::Text),
    field(7, "reason", Shape::Text),
    field(8, "regarding", Shape::Message(OBJECT_REFERENCE)),
    field(9, "related", Shape::Message(OBJECT_REFERENCE)),
    field(10, "note", Shape::Text),
    field(11, "type", Shape::Text),
    field(12, "deprecatedSource", Shape::Message(EVENT_SOURCE)),
    field(13, "deprecatedFirstTimestamp", Shape::Time),
    field(14, "deprecatedLastTimestamp", Shape::Time),
    field(15, "deprecatedCount", Shape::Number),
];

const OBJECT_REFERENCE: &[Field] = &[
    field(1, "kind", Shape::Text),
    field(2, "namespace", Shape::Text),
    field(3, "name", Shape::Text),
    field(4, "uid", Shape::Text),
    field(5, "apiVersion", Shape::Text),
    field(6, "resourceVersion", Shape::Text),
    field(7, "fieldPath", Shape::Text),
];

const EVENT_SOURCE: &[Field] = &[
    field(1, "component", Shape::Text),
    field(2, "host", Shape::Text),
];

const EVENT_SERIES: &[Field] = &[
    field(1, "count", Shape::Number),
    field(2, "lastObservedTime", Shape::MicroTime),
];

/// `authorization/v1` SelfSubjectAccessReview, whose status the server sets.
pub(super) const ACCESS_REVIEW: &[Field] = &[
    field(1, "metadata", METADATA),
    field(2, "spec", Shape::Message(ACCESS_REVIEW_SPEC)),
];

const ACCESS_REVIEW_SPEC: &[Field] = &[
    field(1, "resourceAttributes", Shape::Message(RESOURCE_ATTRIBUTES)),
    field(2, "nonResourceAttributes", Shape::Message(PATH_ATTRIBUTES)),
];

const RESOURCE_ATTRIBUTES: &[Field] = &[
    field(1, "namespace", Shape::Text),
    field(2, "verb", Shape::Text),
    field(3, "group", Shape::Text),
    field(4, "version", Shape::Text),
    field(5, "resource", Shape::Text),
    field(6, "subresource", Shape::Text),
    field(7, "name", Shape::Text),
    field(8, "fieldSelector", Shape::Message(SELECTOR)),
    field(9, "labelSelector", Shape::Message(SELECTOR)),
];

const PATH_ATTRIBUTES: &[Field] = &[field(1, "path", Shape::Text), field(2, "verb", Shape::Text)];

const SELECTOR: &[Field] = &[
    field(1, "rawSelector", Shape::Text),
    field(2, "requirements", Shape::Messages(REQUIREMENT)),
];

const REQUIREMENT: &[Field] = &[
    field(1, "key", Shape::Text),
    field(2, "operator", Shape::Text),
    field(3, "values", Shape::Texts),
];

/// `authorization/v1` SelfSubjectRulesReview, whose status the server sets.
pub(super) const RULES_REVIEW: &[Field] = &[
    field(1, "metadata", METADATA),
    field(2, "spec", Shape::Message(RULES_REVIEW_SPEC)),
];

const RULES_REVIEW_SPEC: &[Field] = &[field(1, "namespace", Shape::Text)];

/// `authentication/v1` SelfSubjectReview, whose status the server sets.
pub(super) const USER_REVIEW: &[Field] = &[field(1, "metadata", METADATA)];
