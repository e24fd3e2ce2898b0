//! Ownership of fields across writes.

mod prune;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::conflict::Conflicts;
use crate::managers::{Managers, Owned};
use crate::set::{FieldSet, Filter, Lookup};
use crate::typed::{Comparison, TypedValue, ValidationErrors};

/// Converts objects between API versions.
pub trait Converter {
    /// Why an object of a known version cannot be converted.
    type Error: std::error::Error;

    /// The object in a version. If it has that version already, it is returned unchanged: a clone
    /// is cheap.
    ///
    /// # Errors
    /// [`ConvertError::MissingVersion`] if there is no such version any more. The fields of
    /// managers that name them in that version are forgotten.
    fn convert(
        &self,
        object: &TypedValue,
        version: &str,
    ) -> Result<TypedValue, ConvertError<Self::Error>>;
}

/// Why an object has no form in a version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConvertError<E> {
    /// The version does not exist.
    #[error("no version {0:?}")]
    MissingVersion(String),
    /// The conversion failed.
    #[error(transparent)]
    Failed(#[from] E),
}

/// The converter of kinds with one schema for all versions.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoConversion;

/// Computes who owns which fields after a write, and merges applied configurations.
///
/// ```
/// use serde_json::json;
/// use structured_merge::{ApplyError, Managers, NoConversion, SchemaBuilder, TypedValue, Updater};
///
/// let schema = SchemaBuilder::default().build()?;
/// let value = |value| TypedValue::new(value, &schema, schema.deduced());
/// let updater = Updater::new(NoConversion);
///
/// // A controller creates the object, a user applies a part of it.
/// let live = value(json!({"replicas": 1, "image": "a"}))?;
/// let managers = updater.update(&value(json!({}))?, &live, "v1", &Managers::new(), "controller")?;
///
/// let config = value(json!({"replicas": 2}))?;
/// let error = updater.apply(&live, &config, "v1", &managers, "user", false).unwrap_err();
/// assert_eq!(error.to_string(), "conflict with \"controller\": .replicas");
///
/// let applied = updater.apply(&live, &config, "v1", &managers, "user", true)?;
/// assert_eq!(*applied.object.value(), json!({"replicas": 2, "image": "a"}));
/// assert_eq!(applied.managers["controller"].set.to_json(), r#"{"f:image":{}}"#);
/// assert_eq!(applied.managers["user"].set.to_json(), r#"{"f:replicas":{}}"#);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Updater<C> {
    /// Converts between the versions of the managers.
    pub converter: C,
    /// Per version, which fields of a write count. The others are neither owned nor compared.
    pub filters: BTreeMap<String, Filter>,
}

/// The outcome of an apply.
#[derive(Clone, Debug)]
pub struct Applied {
    /// The merged object.
    pub object: TypedValue,
    /// Whether the object differs from the live one; `1` equals `1.0`.
    pub changed: bool,
    /// Who owns which fields.
    pub managers: Managers,
}

/// Why a write failed. The messages are those of the reference.
#[derive(Clone, Debug, thiserror::Error)]
pub enum UpdateError<E> {
    /// The objects cannot be compared.
    #[error("failed to compare objects: {0}")]
    Compare(ValidationErrors),
    /// The live or the new object cannot be converted to the version of a manager.
    #[error("failed to convert {object} object: {error}")]
    Convert {
        /// `old` or `new`.
        object: &'static str,
        /// The cause.
        error: ConvertError<E>,
    },
    /// The live object cannot be converted to the version of a manager whose fields are adapted to
    /// the schema.
    #[error(transparent)]
    ConvertLive(ConvertError<E>),
    /// The fields of a manager cannot be adapted to the schema.
    #[error("errors reconciling field set with schema: {0}")]
    Reconcile(ValidationErrors),
}

/// Why an apply failed. The messages are those of the reference.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ApplyError<E> {
    /// Other managers own fields that the configuration changes: apply with force, or leave them
    /// out of the configuration.
    #[error(transparent)]
    Conflicts(#[from] Conflicts),
    /// The configuration cannot be merged.
    #[error("failed to merge config: {0}")]
    Merge(ValidationErrors),
    /// The fields of the configuration are unknown.
    #[error("failed to get field set: {0}")]
    FieldSet(ValidationErrors),
    /// The fields that the manager no longer applies cannot be removed.
    #[error("failed to prune fields: {0}")]
    Prune(#[from] PruneError<E>),
    /// The ownership cannot be computed.
    #[error(transparent)]
    Update(#[from] UpdateError<E>),
}

/// Why fields cannot be removed. The messages are those of the reference.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PruneError<E> {
    /// The object cannot be converted to the version of a manager, or back.
    #[error("{step}: {error}")]
    Convert {
        /// What was being done.
        step: String,
        /// The cause.
        error: ConvertError<E>,
    },
    /// The pruned object has no form in the version of the configuration.
    #[error(transparent)]
    Back(ConvertError<E>),
    /// The fields of the object are unknown.
    #[error("{step}: {error}")]
    FieldSet {
        /// What was being done.
        step: String,
        /// The cause.
        error: ValidationErrors,
    },
}

/// What a write leaves to the managers.
struct Disowned {
    managers: Managers,
    /// What they owned of the fields that were modified or added.
    conflicts: Managers,
    /// The changes in the version of the write.
    changes: Comparison,
}

/// What a write changed, in one version.
struct Changed {
    /// Modified or added.
    written: Lookup,
    removed: Lookup,
}

// === impl Changed ===

impl Changed {
    fn of(changes: &Comparison) -> Self {
        Self {
            written: Lookup::new(changes.modified.union(&changes.added)),
            removed: Lookup::new(changes.removed.clone()),
        }
    }
}

// === impl NoConversion ===

impl Converter for NoConversion {
    type Error = std::convert::Infallible;

    fn convert(
        &self,
        object: &TypedValue,
        _version: &str,
    ) -> Result<TypedValue, ConvertError<Self::Error>> {
        Ok(object.clone())
    }
}

// === impl Updater ===

impl<C: Converter> Updater<C> {
    /// An updater for which all fields count.
    pub const fn new(converter: C) -> Self {
        Self {
            converter,
            filters: BTreeMap::new(),
        }
    }

    /// The managers after `manager` wrote `new` over `live` in another way than by apply. A created
    /// object is written over an empty one.
    ///
    /// The manager owns what it changed, in addition to what it owned; no other manager owns what
    /// was changed or removed.
    ///
    /// n log n in the size of the objects and of all sets; objects are compared once per version of
    /// the managers.
    ///
    /// # Errors
    /// If the objects have different types, or a conversion fails.
    pub fn update(
        &self,
        live: &TypedValue,
        new: &TypedValue,
        version: &str,
        managers: &Managers,
        manager: &str,
    ) -> Result<Managers, UpdateError<C::Error>> {
        let managers = self.reconcile(live, managers)?;
        let Disowned {
            mut managers,
            changes,
            ..
        } = self.disown(live, new, version, managers, manager)?;
        let own = managers.get(manager).map(|owned| &owned.set);
        let own = own.map_or_else(FieldSet::default, |set| set.difference(&changes.removed));
        let set = own.union(&changes.modified).union(&changes.added);
        let set = self.count(version, set);
        if set.is_empty() {
            managers.remove(manager);
        } else {
            let owned = Owned {
                set,
                version: version.to_owned(),
                applied: false,
            };
            managers.insert(manager.to_owned(), owned);
        }
        Ok(managers)
    }

    /// The object and the managers after `manager` applied `config` to `live`.
    ///
    /// The manager owns what the configuration mentions. What it applied before and does not
    /// mention any more is removed, unless another manager owns it. A field that another manager
    /// owns may only change with `force`, which takes it from the other manager.
    ///
    /// n log n in the size of the objects and of all sets; objects are converted and compared once
    /// per version of the managers.
    ///
    /// # Errors
    /// On conflicts without `force`, if the objects have different types, or a conversion fails.
    pub fn apply(
        &self,
        live: &TypedValue,
        config: &TypedValue,
        version: &str,
        managers: &Managers,
        manager: &str,
        force: bool,
    ) -> Result<Applied, ApplyError<C::Error>> {
        let mut managers = self.reconcile(live, managers)?;
        let merged = live.merge(config).map_err(ApplyError::Merge)?;
        let set = config.to_field_set().map_err(ApplyError::FieldSet)?;
        let owned = Owned {
            set: self.count(version, set),
            version: version.to_owned(),
            applied: true,
        };
        let last = managers.insert(manager.to_owned(), owned);
        let object = self.prune(merged, &managers, version, last.as_ref())?;
        let disowned = self.disown(live, &object, version, managers, manager)?;
        if !force && !disowned.conflicts.is_empty() {
            return Err(Conflicts::of(&disowned.conflicts).into());
        }
        Ok(Applied {
            changed: !live.equals(&object),
            object,
            managers: disowned.managers,
        })
    }

    /// The members of a computed set that count.
    fn count(&self, version: &str, set: FieldSet) -> FieldSet {
        match self.filters.get(version) {
            Some(filter) => filter.apply(&set),
            None => set,
        }
    }

    /// Removes what changed from the sets of all managers except the writer.
    fn disown(
        &self,
        live: &TypedValue,
        new: &TypedValue,
        version: &str,
        managers: Managers,
        writer: &str,
    ) -> Result<Disowned, UpdateError<C::Error>> {
        let changes = live.compare(new).map_err(UpdateError::Compare)?;
        let changes = changes.filtered(self.filters.get(version));
        let own = Some(Changed::of(&changes));
        let mut by_version = BTreeMap::from([(version.to_owned(), own)]);
        let mut conflicts = Managers::new();
        let mut left = Managers::new();
        for (name, mut owned) in managers {
            if name == writer {
                if !owned.set.is_empty() {
                    left.insert(name, owned);
                }
                continue;
            }
            if !by_version.contains_key(&owned.version) {
                let changes = self.changes_in(live, new, &owned.version)?;
                by_version.insert(owned.version.clone(), changes);
            }
            // A manager of a version that does not exist is forgotten.
            let Some(Some(changes)) = by_version.get(&owned.version) else {
                continue;
            };
            let (conflict, rest) = changes.written.split(&owned.set);
            let (_, set) = changes.removed.split(&rest);
            if !conflict.is_empty() {
                let conflict = Owned {
                    set: conflict,
                    version: owned.version.clone(),
                    applied: false,
                };
                conflicts.insert(name.clone(), conflict);
            }
            if !set.is_empty() {
                owned.set = set;
                left.insert(name, owned);
            }
        }
        Ok(Disowned {
            managers: left,
            conflicts,
            changes,
        })
    }

    /// The differences of the objects in a version; `None` if it does not exist.
    fn changes_in(
        &self,
        live: &TypedValue,
        new: &TypedValue,
        version: &str,
    ) -> Result<Option<Changed>, UpdateError<C::Error>> {
        let mut converted = Vec::with_capacity(2);
        for (object, value) in [("old", live), ("new", new)] {
            match self.converter.convert(value, version) {
                Ok(value) => converted.push(value),
                Err(ConvertError::MissingVersion(_)) => return Ok(None),
                Err(error) => return Err(UpdateError::Convert { object, error }),
            }
        }
        let [live, new] = converted.as_slice() else {
            return Ok(None);
        };
        let changes = live.compare(new).map_err(UpdateError::Compare)?;
        let changes = changes.filtered(self.filters.get(version));
        Ok(Some(Changed::of(&changes)))
    }

    /// Adapts the sets of all managers to schemas that changed since they were computed.
    fn reconcile(
        &self,
        live: &TypedValue,
        managers: &Managers,
    ) -> Result<Managers, UpdateError<C::Error>> {
        let mut out = Managers::new();
        let mut objects = BTreeMap::new();
        for (name, owned) in managers {
            let version = owned.version.as_str();
            if !objects.contains_key(version) {
                let object = match self.converter.convert(live, version) {
                    Ok(object) => Some(object),
                    // Obsolete versions are dropped.
                    Err(ConvertError::MissingVersion(_)) => None,
                    Err(error) => return Err(UpdateError::ConvertLive(error)),
                };
                objects.insert(version, object);
            }
            let Some(Some(object)) = objects.get(version) else {
                continue;
            };
            let mut owned = owned.clone();
            let set = object.reconcile(&owned.set);
            if let Some(set) = set.map_err(UpdateError::Reconcile)? {
                owned.set = set;
            }
            out.insert(name.clone(), owned);
        }
        Ok(out)
    }
}
