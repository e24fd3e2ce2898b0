//! Conversion between the versions of a kind, by the strategy `None`: only `apiVersion` changes.

use structured_merge::{ConvertError, Converter, TypedValue, ValidationErrors};

use crate::resources::Served;

/// Converts objects of a kind.
#[derive(Clone, Copy, Debug)]
pub(super) struct Versions<'a>(pub(super) &'a Served);

/// Why an object cannot be converted. The texts are kube-apiserver's.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum VersionError {
    /// The definition has no such version. kube-apiserver does not skip such managers of custom
    /// resources, so that applies fail until the entry is removed:
    /// <https://github.com/kubernetes/kubernetes/issues/111937>
    #[error("request to convert CR to an invalid group/version: {0}")]
    Unknown(String),
    /// The object does not conform to the schema of the version.
    #[error(transparent)]
    Invalid(#[from] ValidationErrors),
}

impl Converter for Versions<'_> {
    type Error = VersionError;

    fn convert(
        &self,
        object: &TypedValue,
        version: &str,
    ) -> Result<TypedValue, ConvertError<VersionError>> {
        if object.value()["apiVersion"] == version {
            return Ok(object.clone());
        }
        let typed = self.0.typed_in(version);
        let typed = typed.ok_or_else(|| VersionError::Unknown(version.to_owned()))?;
        let mut value = object.value().clone();
        value["apiVersion"] = version.into();
        // As in kube-apiserver, an object with duplicates has no form in another version.
        Ok(typed.applied(value).map_err(VersionError::from)?)
    }
}
