//! Objects of the cluster that are followed by a watch.

pub mod authentication;
pub mod namespaces;

mod follow;

pub use authentication::{AuthenticationConfig, AuthenticationInformer, FrontProxyConfig};
pub use namespaces::{Namespaces, Phase};

pub(super) use follow::follow;
