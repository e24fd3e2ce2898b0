//! The three probe endpoints.

use super::Check;

/// A probe endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    /// `/healthz`: deprecated by kube-apiserver; for people.
    Healthz,
    /// `/livez`: whether the process must be restarted.
    Livez,
    /// `/readyz`: whether requests should be routed here.
    Readyz,
}

impl Endpoint {
    /// All endpoints.
    pub const ALL: [Self; 3] = [Self::Healthz, Self::Livez, Self::Readyz];

    /// The first segment of the path.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Healthz => "healthz",
            Self::Livez => "livez",
            Self::Readyz => "readyz",
        }
    }

    pub(super) const fn checks(self) -> &'static [Check] {
        match self {
            Self::Healthz => &[Check::Ping, Check::Storage],
            Self::Livez => &[Check::Ping],
            Self::Readyz => &[
                Check::Ping,
                Check::Loaded,
                Check::Storage,
                Check::Certificate,
                Check::Authorities,
                Check::Shutdown,
            ],
        }
    }
}
