//! Who is asking.

use std::collections::BTreeMap;

/// The group whose members may do everything and are never shed.
pub const MASTERS_GROUP: &str = "system:masters";
/// The group every identified user is in.
pub const AUTHENTICATED_GROUP: &str = "system:authenticated";
/// The group of callers without credentials.
pub const UNAUTHENTICATED_GROUP: &str = "system:unauthenticated";
/// The name of callers without credentials.
pub const ANONYMOUS: &str = "system:anonymous";

/// An authenticated identity, as an authenticator understood it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct User {
    /// The user's name; never empty for an authenticated user.
    pub name: String,
    /// A value that survives the name's reuse, where the authenticator knows one.
    pub uid: Option<String>,
    /// Groups, in the authenticator's order.
    pub groups: Vec<String>,
    /// Further attributes: lower-case key → values in order.
    pub extra: BTreeMap<String, Vec<String>>,
}

impl User {
    /// A user known by name and groups only.
    pub fn new(name: impl Into<String>, groups: impl IntoIterator<Item = String>) -> Self {
        Self {
            name: name.into(),
            groups: groups.into_iter().collect(),
            ..Self::default()
        }
    }

    /// Whether the user is in `group`.
    pub fn in_group(&self, group: &str) -> bool {
        self.groups.iter().any(|g| g == group)
    }

    /// Whether authorization and load shedding do not apply.
    pub fn is_master(&self) -> bool {
        self.in_group(MASTERS_GROUP)
    }
}
