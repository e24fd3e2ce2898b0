//! Conversion between the versions of a kind, by the strategy `None`: only `apiVersion` changes.

use structured_merge::{ConvertError, Converter, TypedValue, ValidationErrors};

use crate::resources::Served;

/// Converts objects of a kind; errors are those of the target version's schema.
#[derive(Clone, Copy, Debug)]
pub(super) struct Versions<'a>(pub(super) &'a Served);

impl Converter for Versions<'_> {
    type Error = ValidationErrors;

    fn convert(
        &self,
        object: &TypedValue,
        version: &str,
    ) -> Result<TypedValue, ConvertError<ValidationErrors>> {
        if object.value()["apiVersion"] == version {
            return Ok(object.clone());
        }
        let typed = self.0.typed_in(version);
        let typed = typed.ok_or_else(|| ConvertError::MissingVersion(version.to_owned()))?;
        let mut value = object.value().clone();
        value["apiVersion"] = version.into();
        // As in kube-apiserver, an object with duplicates has no form in another version.
        Ok(typed.applied(value)?)
    }
}
