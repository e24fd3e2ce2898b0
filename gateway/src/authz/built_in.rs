//! Authorizers that need only the request.

use async_trait::async_trait;

use super::authorizer::{Attributes, Authorizer, Verdict};
use crate::request::probe::is_probe;
use crate::request::user::MASTERS_GROUP;

/// Allows probes to everybody.
#[derive(Debug, Clone, Copy, Default)]
pub struct AlwaysAllowProbes;

/// Allows everything to members of these groups.
#[derive(Debug, Clone)]
pub struct PrivilegedGroups(pub Vec<String>);

impl Default for PrivilegedGroups {
    fn default() -> Self {
        Self(vec![MASTERS_GROUP.to_owned()])
    }
}

#[async_trait]
impl Authorizer for AlwaysAllowProbes {
    async fn authorize(&self, attributes: &Attributes<'_>) -> Verdict {
        let info = attributes.info;
        Verdict::allow_if(!info.is_resource_request && is_probe(&info.path))
    }
}

#[async_trait]
impl Authorizer for PrivilegedGroups {
    async fn authorize(&self, attributes: &Attributes<'_>) -> Verdict {
        let mut groups = self.0.iter();
        Verdict::allow_if(groups.any(|group| attributes.user.in_group(group)))
    }
}
