//! Removal of what a manager applied before and does not apply any more.

use std::collections::BTreeMap;

use crate::managers::{Managers, Owned};
use crate::set::FieldSet;
use crate::typed::TypedValue;
use crate::update::{ConvertError, Converter, PruneError, Updater};

impl<C: Converter> Updater<C> {
    /// Removes from the merged object what was applied last and has no owner now. `version`
    /// is that of the configuration.
    pub(super) fn prune(
        &self,
        merged: TypedValue,
        managers: &Managers,
        version: &str,
        last: Option<&Owned>,
    ) -> Result<TypedValue, PruneError<C::Error>> {
        let Some(last) = last.filter(|last| !last.set.is_empty()) else {
            return Ok(merged);
        };
        let step = "failed to convert merged object to last applied version";
        let Some(converted) = self.convert(&merged, &last.version, || step.to_owned())? else {
            return Ok(merged);
        };
        let before = with_named_fields(&converted, &last.set);
        let pruned = converted.remove_items(&before);
        let pruned = self.add_back_owned(&converted, pruned, &last.version, managers)?;
        let pruned = self.add_back_dangling(&converted, &pruned, last, &before)?;
        let back = self.converter.convert(&pruned, version);
        back.map_err(PruneError::Back)
    }

    /// Adds back what is owned in any version, the configuration's new fields included.
    fn add_back_owned(
        &self,
        merged: &TypedValue,
        pruned: TypedValue,
        pruned_version: &str,
        managers: &Managers,
    ) -> Result<TypedValue, PruneError<C::Error>> {
        let mut owned_at: BTreeMap<&str, Vec<FieldSet>> = BTreeMap::new();
        for owned in managers.values() {
            let at = owned_at.entry(owned.version.as_str()).or_default();
            at.push(owned.set.clone());
        }
        // The version of the pruned object first: a conversion may need fields that were pruned.
        let first = owned_at.remove_entry(pruned_version);
        let mut state = (merged.clone(), pruned);
        for (version, owned) in first.into_iter().chain(owned_at) {
            state = self.add_back_at(state, version, &FieldSet::union_all(owned))?;
        }
        Ok(state.1)
    }

    /// Adds back what is owned in one version. Returns the merged and the pruned object in that
    /// version.
    fn add_back_at(
        &self,
        (merged, pruned): (TypedValue, TypedValue),
        version: &str,
        owned: &FieldSet,
    ) -> Result<(TypedValue, TypedValue), PruneError<C::Error>> {
        let step = |object: &str, what: &str| {
            format!(
                "failed add back owned items: failed to {what} {object} object at version {version}"
            )
        };
        let convert = |object, name| self.convert(object, version, || step(name, "convert"));
        let Some(in_version) = convert(&merged, "merged")? else {
            return Ok((merged, pruned));
        };
        let merged = in_version;
        let Some(pruned_in_version) = convert(&pruned, "pruned")? else {
            return Ok((merged, pruned));
        };
        let what = "create field set from";
        let merged_set = field_set(&merged, || step("merged", what))?;
        let pruned_set = field_set(&pruned_in_version, || step("pruned", what))?;
        let keep =
            with_named_fields(&merged, &pruned_set).union(&with_named_fields(&merged, owned));
        let remove = with_named_fields(&merged, &merged_set).difference(&keep);
        let pruned = merged.remove_items(&remove);
        Ok((merged, pruned))
    }

    /// Adds back what the manager did not own before.
    fn add_back_dangling(
        &self,
        merged: &TypedValue,
        pruned: &TypedValue,
        last: &Owned,
        before: &FieldSet,
    ) -> Result<TypedValue, PruneError<C::Error>> {
        let step = |what: &str| format!("failed add back dangling items: failed to {what}");
        let what = "convert pruned object to last applied version";
        let Some(pruned) = self.convert(pruned, &last.version, || step(what))? else {
            return Ok(merged.clone());
        };
        let what = "create field set from pruned object in last applied version";
        let pruned_set = field_set(&pruned, || step(what))?;
        let what = "create field set from merged object in last applied version";
        let merged_set = field_set(merged, || step(what))?;
        let gone = with_named_fields(merged, &merged_set)
            .difference(&with_named_fields(merged, &pruned_set));
        Ok(merged.remove_items(&gone.intersection(before)))
    }

    /// The object in a version; `None` if the version does not exist.
    fn convert(
        &self,
        object: &TypedValue,
        version: &str,
        step: impl FnOnce() -> String,
    ) -> Result<Option<TypedValue>, PruneError<C::Error>> {
        match self.converter.convert(object, version) {
            Ok(object) => Ok(Some(object)),
            Err(ConvertError::MissingVersion(_)) => Ok(None),
            Err(error) => Err(PruneError::Convert {
                step: step(),
                error,
            }),
        }
    }
}

fn with_named_fields(object: &TypedValue, set: &FieldSet) -> FieldSet {
    set.with_named_fields(object.schema(), object.type_id())
}

fn field_set<E>(
    object: &TypedValue,
    step: impl FnOnce() -> String,
) -> Result<FieldSet, PruneError<E>> {
    object.to_field_set().map_err(|error| PruneError::FieldSet {
        step: step(),
        error,
    })
}
