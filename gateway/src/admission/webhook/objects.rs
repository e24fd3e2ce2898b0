//! The objects of a write as webhooks get them: in the version of the webhook's rule, and as JSON.
//! Work on large objects runs on the pool.

use std::collections::HashMap;
use std::sync::Arc;

use api_types::status::ApiError;
use bytes::Bytes;
use kube_json::Weight;
use serde_json::Value;

use super::request::Encoded;
use crate::admission::{Attributes, Operation};
use crate::compute::{Client, Run};
use crate::resources::Served;
use crate::scale;

/// The objects of a write. A write of a scale has Scales.
#[derive(Debug)]
pub(super) struct ReviewObjects {
    compute: Client,
    /// Objects of a scale are the same in every version.
    scaled: bool,
    old: Option<Arc<Value>>,
    /// In the version of the request, except while a mutating webhook of another one is called.
    new: Option<Arc<Value>>,
    old_json: HashMap<usize, Bytes>,
    new_json: HashMap<usize, Bytes>,
}

impl ReviewObjects {
    /// The objects of a write. A delete has no new object.
    ///
    /// # Errors
    /// 500 if an object has no valid scale.
    pub(super) fn new(
        compute: Client,
        attributes: &Attributes<'_>,
        old: Option<&Arc<Value>>,
        new: Option<Arc<Value>>,
    ) -> Result<Self, ApiError> {
        let scaled = attributes.subresource == "scale";
        let new = new.filter(|_| attributes.operation != Operation::Delete);
        let old = old.filter(|_| attributes.operation != Operation::Create);
        let (old, new) = match &attributes.served.version().scale {
            Some(paths) if scaled => {
                let scale = |object: Option<&Arc<Value>>| {
                    let scale = object.map(|it| scale::view(it, paths).map(Arc::new));
                    scale.transpose()
                };
                (scale(old)?, scale(new.as_ref())?)
            }
            _ => (old.cloned(), new),
        };
        Ok(Self {
            compute,
            scaled,
            old,
            new,
            old_json: HashMap::new(),
            new_json: HashMap::new(),
        })
    }

    /// The pool of the user.
    pub(super) const fn compute(&self) -> &Client {
        &self.compute
    }

    /// Both objects, for selectors.
    pub(super) fn both(&self) -> [Option<&Value>; 2] {
        [self.new.as_deref(), self.old.as_deref()]
    }

    /// The new object.
    pub(super) const fn new_object(&self) -> Option<&Arc<Value>> {
        self.new.as_ref()
    }

    /// The new object, which the caller changes.
    pub(super) fn take_new(&mut self) -> Option<Arc<Value>> {
        self.new_json.clear();
        self.new.take()
    }

    /// Sets the new object.
    pub(super) fn set_new(&mut self, object: Value) {
        self.new_json.clear();
        self.new = Some(Arc::new(object));
    }

    /// Both objects as JSON in a version.
    pub(super) async fn encoded(&mut self, served: &Served) -> Encoded {
        let version = (!self.scaled).then(|| served.api_version().to_owned());
        let object = encode(
            &self.compute,
            &self.new,
            &mut self.new_json,
            served,
            &version,
        );
        let object = object.await;
        let old_object = encode(
            &self.compute,
            &self.old,
            &mut self.old_json,
            served,
            &version,
        );
        Encoded {
            object,
            old_object: old_object.await,
        }
    }
}

async fn encode(
    compute: &Client,
    object: &Option<Arc<Value>>,
    known: &mut HashMap<usize, Bytes>,
    served: &Served,
    version: &Option<String>,
) -> Option<Bytes> {
    let object = object.as_ref()?;
    // All versions of a scale are one.
    let index = version.as_ref().map_or(0, |_| served.index());
    if let Some(bytes) = known.get(&index) {
        return Some(bytes.clone());
    }
    let (object, version) = (Arc::clone(object), version.clone());
    let weight = weight(&object);
    let work = move |_: &Run| match version {
        Some(version) if object["apiVersion"] != version => {
            let mut converted = (*object).clone();
            converted["apiVersion"] = version.into();
            kube_json::to_vec(&converted)
        }
        _ => kube_json::to_vec(&object),
    };
    let bytes = Bytes::from(compute.run_accepted(weight, work).await);
    known.insert(index, bytes.clone());
    Some(bytes)
}

/// Weight of work on an object for the pool, which counts bytes of JSON: a tree takes about four
/// times as many.
pub(super) fn weight(object: &Value) -> usize {
    Weight::of(object).memory / 4
}
