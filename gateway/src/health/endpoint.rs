//! The three probes.

use super::Check;

/// What is probed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    /// `/healthz`: the old name; what a person looks at.
    Healthz,
    /// `/livez`: whether the process must be started again.
    Livez,
    /// `/readyz`: whether requests should be sent here.
    Readyz,
}

impl Endpoint {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Healthz, Self::Livez, Self::Readyz];

    /// The first part of its path.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Healthz => "healthz",
            Self::Livez => "livez",
            Self::Readyz => "readyz",
        }
    }

    /// The names of its checks, in the order in which they are listed.
    pub fn check_names(self) -> impl Iterator<Item = &'static str> {
        self.checks().iter().map(|check| check.name())
    }

    pub(super) const fn checks(self) -> &'static [Check] {
        match self {
            Self::Healthz => &[Check::Ping, Check::Storage],
            Self::Livez => &[Check::Ping],
            Self::Readyz => &[Check::Ping, Check::Storage, Check::Shutdown],
        }
    }
}
