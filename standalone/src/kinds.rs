//! The kinds of kube-apiserver that clients need besides custom resources
//! (docs/adr/0025-standalone-kinds.md). Only a server without a cluster has them.

mod messages;
mod reviews;

use api_types::protobuf::read::Field;
use gateway::resources::{BuiltIn, View};

/// A manifest of `standalone/kinds`.
macro_rules! manifest {
    ($name:literal) => {
        include_str!(concat!("../kinds/", $name, ".yaml"))
    };
}

/// Verbs in the order of kube-apiserver's own kinds.
const ALL: &[&str] = &[
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "update",
    "watch",
];
/// Verbs of definitions, which manifests declare.
const READ: &[&str] = &["get", "list", "watch"];
/// Verbs of reviews, which are not stored.
const CREATE: &[&str] = &["create"];

/// Every kind.
pub(crate) const BUILT_IN: &[BuiltIn] = &[
    stored(manifest!("namespaces"), messages::NAMESPACE),
    stored(manifest!("leases"), messages::LEASE),
    stored(manifest!("events"), messages::EVENT),
    BuiltIn {
        view: Some(EVENTS),
        ..stored(manifest!("events.events"), messages::EVENTS_EVENT)
    },
    BuiltIn {
        verbs: READ,
        ..stored(manifest!("customresourcedefinitions"), &[])
    },
    BuiltIn {
        review: Some(reviews::access),
        verbs: CREATE,
        ..stored(
            manifest!("selfsubjectaccessreviews"),
            messages::ACCESS_REVIEW,
        )
    },
    BuiltIn {
        review: Some(reviews::rules),
        verbs: CREATE,
        ..stored(manifest!("selfsubjectrulesreviews"), messages::RULES_REVIEW)
    },
    BuiltIn {
        review: Some(reviews::user),
        verbs: CREATE,
        ..stored(manifest!("selfsubjectreviews"), messages::USER_REVIEW)
    },
];

/// Events of `events.k8s.io/v1` are those of the core group: `pkg/apis/events/v1/conversion.go` in
/// kubernetes.
const EVENTS: View = View {
    group: "",
    api_version: "v1",
    fields: &[
        ("regarding", "involvedObject"),
        ("note", "message"),
        ("reportingController", "reportingComponent"),
        ("deprecatedSource", "source"),
        ("deprecatedFirstTimestamp", "firstTimestamp"),
        ("deprecatedLastTimestamp", "lastTimestamp"),
        ("deprecatedCount", "count"),
    ],
};

const fn stored(manifest: &'static str, message: &'static [Field]) -> BuiltIn {
    BuiltIn {
        manifest,
        message,
        verbs: ALL,
        view: None,
        review: None,
    }
}
