//! Users.

use std::collections::BTreeMap;

/// The group whose members are authorized for everything and not shed.
pub const MASTERS_GROUP: &str = "system:masters";
/// The group of all authenticated users.
pub const AUTHENTICATED_GROUP: &str = "system:authenticated";
/// The group of callers without credentials.
pub const UNAUTHENTICATED_GROUP: &str = "system:unauthenticated";
/// The name of callers without credentials.
pub const ANONYMOUS: &str = "system:anonymous";

/// How a caller was identified.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Method {
    /// Without credentials, or by an authenticator that does not matter to authorization.
    #[default]
    Other,
    /// By the request headers of a front proxy, which presented its certificate.
    FrontProxy,
    /// By the certificate of the connection.
    ClientCertificate,
    /// By a bearer token.
    BearerToken,
}

/// The identity of a caller, as an authenticator determined it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct User {
    /// The user's name; never empty for an authenticated user.
    pub name: String,
    /// A UID that is not reused with the name, if the authenticator provides one.
    pub uid: Option<String>,
    /// Groups, in the authenticator's order.
    pub groups: Vec<String>,
    /// Further attributes: lower-case key → values in order.
    pub extra: BTreeMap<String, Vec<String>>,
    /// How the caller was identified.
    pub method: Method,
}

impl User {
    /// A user with name and groups only.
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
