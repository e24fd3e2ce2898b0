//! Values for tests of this module.

use super::cluster::Kind;

/// A kind with one version, which has the status subresource.
pub(crate) fn kind() -> Kind {
    Kind {
        group: "g".to_owned(),
        plural: "r".to_owned(),
        namespaced: true,
        storage: "v1".to_owned(),
        versions: vec![("v1".to_owned(), true, true)],
        selectable: Vec::new(),
        crd: ("r.g".to_owned(), "u".to_owned()),
        former: Vec::new(),
    }
}
