//! May this user do this? The answer is a [`Permit`], and handlers demand one.

use std::sync::Arc;

use crate::request::User;

/// Proof that a request was authorized. Only this module makes one, so a handler that takes a
/// `Permit` cannot be reached past authorization.
#[derive(Debug, Clone)]
pub struct Permit {
    user: Arc<User>,
}

impl Permit {
    /// The user the permit was given to.
    pub fn user(&self) -> &User {
        &self.user
    }

    /// A permit for tests of what lies behind authorization.
    #[cfg(test)]
    pub(crate) fn for_tests(user: User) -> Self {
        Self {
            user: Arc::new(user),
        }
    }
}
