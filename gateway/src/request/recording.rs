//! Parts of a request's body that its audit event contains.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Memory that audit events may hold. Clones share it.
#[derive(Debug, Clone)]
pub struct Budget(Arc<Semaphore>);

/// Bytes that are charged to a [`Budget`] until they are dropped.
#[derive(Debug)]
pub struct Charged {
    bytes: Bytes,
    _charge: OwnedSemaphorePermit,
}

/// Collects the object of one request. The default records nothing, at no cost; clones share one
/// record.
#[derive(Debug, Clone, Default)]
pub struct Recording(Option<Arc<Inner>>);

/// What a request contained.
#[derive(Debug, Clone, Default)]
pub struct Recorded {
    /// `metadata.name` of the object; empty without one.
    pub name: String,
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.resourceVersion`.
    pub resource_version: String,
    /// The object, the patch or the options, as JSON.
    pub body: Option<Arc<Charged>>,
    /// Whether a body was left out for want of memory.
    pub truncated: bool,
}

/// What is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// Names only.
    Names,
    /// Names and bodies.
    Bodies {
        /// Whether objects are recorded without `metadata.managedFields`.
        omit_managed_fields: bool,
    },
}

#[derive(Debug)]
struct Inner {
    detail: Detail,
    budget: Budget,
    recorded: Mutex<Recorded>,
}

// === impl Budget ===

impl Budget {
    /// A budget of this many bytes.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS))))
    }

    /// Charges memory, unless too little is left.
    #[must_use]
    pub fn charge(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let bytes = u32::try_from(bytes).ok()?;
        Arc::clone(&self.0).try_acquire_many_owned(bytes).ok()
    }

    /// Charges shared bytes, unless too little memory is left.
    #[must_use]
    pub fn hold(&self, bytes: Bytes) -> Option<Charged> {
        let charge = self.charge(bytes.len())?;
        Some(Charged {
            bytes,
            _charge: charge,
        })
    }
}

impl Charged {
    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

// === impl Recording ===

impl Recording {
    /// Records with this detail.
    #[must_use]
    pub fn new(detail: Detail, budget: Budget) -> Self {
        Self(Some(Arc::new(Inner {
            detail,
            budget,
            recorded: Mutex::default(),
        })))
    }

    /// Whether anything is recorded.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Records the decoded object of the request.
    pub fn object(&self, object: &Value) {
        let Some(inner) = &self.0 else {
            return;
        };
        let metadata = &object["metadata"];
        let text = |key: &str| metadata[key].as_str().unwrap_or_default().to_owned();
        let recorded = Recorded {
            name: text("name"),
            namespace: text("namespace"),
            uid: text("uid"),
            resource_version: text("resourceVersion"),
            ..Recorded::default()
        };
        *inner.recorded.lock() = recorded;
        if let Detail::Bodies {
            omit_managed_fields,
        } = inner.detail
        {
            inner.body(written(object, omit_managed_fields));
        }
    }

    /// Records a patch or the options of a delete. The text is made only if it is recorded.
    pub fn body(&self, json: impl FnOnce() -> Bytes) {
        if let Some(inner) = &self.0
            && inner.detail != Detail::Names
        {
            inner.body(json());
        }
    }

    /// What was recorded until now.
    #[must_use]
    pub fn recorded(&self) -> Recorded {
        let recorded = self.0.as_ref().map(|inner| inner.recorded.lock().clone());
        recorded.unwrap_or_default()
    }
}

impl Inner {
    fn body(&self, json: Bytes) {
        let held = self.budget.hold(json).map(Arc::new);
        let mut recorded = self.recorded.lock();
        recorded.truncated = held.is_none();
        recorded.body = held;
    }
}

/// An object as JSON, with or without its managed fields.
fn written(object: &Value, omit_managed_fields: bool) -> Bytes {
    let managed = || object["metadata"].get("managedFields").is_some();
    let Some(fields) = object.as_object() else {
        return kube_json::to_vec(object).into();
    };
    if !omit_managed_fields || !managed() {
        return kube_json::to_vec(object).into();
    }
    let mut json = Vec::new();
    let mut writer = kube_json::ObjectWriter::begin(&mut json);
    for (key, value) in fields {
        match value {
            Value::Object(metadata) if key == "metadata" => {
                let mut inner = writer.object(key);
                let kept = metadata.iter().filter(|(key, _)| *key != "managedFields");
                kept.for_each(|(key, value)| inner.value(key, value));
                inner.end();
            }
            value => writer.value(key, value),
        }
    }
    writer.end();
    json.into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn recorded(detail: Detail, bytes: usize) -> Recorded {
        let recording = Recording::new(detail, Budget::new(bytes));
        recording.object(&json!({
            "kind": "Thing",
            "metadata": {"name": "n", "uid": "u", "managedFields": [{"manager": "m"}]},
        }));
        recording.recorded()
    }

    #[test]
    fn detail_decides_about_bodies_and_managed_fields() {
        let text = |recorded: &Recorded| {
            let body = recorded.body.as_ref()?;
            Some(String::from_utf8(body.bytes().to_vec()).unwrap())
        };
        let names = recorded(Detail::Names, 1 << 20);
        assert_eq!((&*names.name, &*names.uid), ("n", "u"));
        assert_eq!(text(&names), None);
        let bodies = |omit_managed_fields| Detail::Bodies {
            omit_managed_fields,
        };
        let all = text(&recorded(bodies(false), 1 << 20)).unwrap();
        assert!(all.contains("managedFields"), "{all}");
        assert_eq!(
            text(&recorded(bodies(true), 1 << 20)).unwrap(),
            r#"{"kind":"Thing","metadata":{"name":"n","uid":"u"}}"#
        );
    }

    #[test]
    fn body_beyond_the_budget_is_left_out() {
        let detail = Detail::Bodies {
            omit_managed_fields: false,
        };
        let recorded = recorded(detail, 10);
        assert!(recorded.body.is_none());
        assert!(recorded.truncated);
    }

    #[test]
    fn charge_ends_with_the_bytes() {
        let budget = Budget::new(8);
        let held = budget.hold(Bytes::from_static(b"12345678")).unwrap();
        assert!(budget.charge(1).is_none());
        drop(held);
        assert!(budget.charge(8).is_some());
    }
}
