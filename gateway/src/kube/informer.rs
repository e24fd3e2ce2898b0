//! Objects of the cluster that are followed by a watch.

pub mod authentication;
pub mod namespaces;
pub mod webhooks;

mod follow;

pub use authentication::{AuthenticationConfig, AuthenticationInformer, FrontProxyConfig};
pub use namespaces::{Labels, Namespaces, Phase};
pub use webhooks::{WebhookConfigurations, WebhookKind};

pub(super) use follow::follow;
