//! Writes whose audit events nothing takes.

use http::Method;

use super::requests::{JSON, dry, object};
use super::{Attack, Expect, Shot};
use crate::client::Request;
use crate::server::Setup;

pub(super) const ATTACKS: &[Attack] = &[Attack::requests(
    "audits/hung-collector",
    "80 bodies of 2.5 MB, audited with their responses for a collector that never responds",
    hung,
)
.setup(Setup::HungCollector)];

/// Events of 400 MB, above the limit of the suite.
fn hung() -> Vec<Shot> {
    let spec = format!(r#"{{"text":"{}"}}"#, "x".repeat(2_500_000));
    let body = object("blobs", "new", "", &spec);
    let request = Request::send(Method::POST, dry("blobs"), JSON, body);
    let shot = || {
        Shot::new("an audited body", request.clone())
            .expect(Expect::Success)
            .copies(2)
    };
    (0..40).map(|_| shot()).collect()
}
