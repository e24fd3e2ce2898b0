//! The self-managed serving certificate: an authority and a certificate in one Secret, which all
//! replicas share, and the authority in the APIServices
//! (docs/adr/0019-self-managed-serving-certificate.md).
//!
//! `content` reads the Secret, `decide` chooses the next change, `issue` makes it, and [`Keeper`]
//! does the IO. Rotation of an authority: the new one is published beside the old one; after an hour
//! it signs the certificate; a day later the old one is removed.

mod content;
mod decide;
mod issue;

mod keeper;

pub use keeper::{Error, Keeper};

use crate::kube::ObjectName;

/// What the certificate is for, and where it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelfManaged {
    /// Holds the authority and the certificate.
    pub secret: ObjectName,
    /// The Service whose names the certificate has.
    pub service: ObjectName,
    /// Names of the APIServices that get the authority.
    pub api_services: Vec<String>,
}

impl SelfManaged {
    /// The host names of the Service. kube-apiserver verifies the first one.
    #[must_use]
    pub fn host_names(&self) -> Vec<String> {
        let ObjectName { namespace, name } = &self.service;
        vec![
            format!("{name}.{namespace}.svc"),
            format!("{name}.{namespace}.svc.cluster.local"),
            format!("{name}.{namespace}"),
        ]
    }
}

#[cfg(test)]
mod tests;
