//! Makes authorities and certificates.

use pki::{Pair, Validity};
use time::OffsetDateTime;

use super::content::Content;
use super::decide::{AUTHORITY_LIFETIME, Change, Facts, SERVING_LIFETIME, decide};

/// Steps of one change: restore, authority, certificate, clean, and one to spare.
const MAX_STEPS: usize = 5;
/// Previous authorities that a bundle keeps; further ones are from repeated damage.
const MAX_PREVIOUS: usize = 3;

/// The content after all changes that are due, with the changes.
pub(super) fn changed(facts: Facts<'_>) -> Result<(Content, Vec<Change>), pki::Error> {
    let mut content = facts.stored.clone();
    let mut changes = Vec::new();
    while changes.len() < MAX_STEPS {
        let next = Facts {
            stored: &content,
            // Nothing of a changed content is published yet.
            published: facts.published && changes.is_empty(),
            ..facts
        };
        let Some(change) = decide(next).change else {
            break;
        };
        content = change.made(&content, facts)?;
        changes.push(change);
    }
    Ok((content, changes))
}

/// A certificate and its key that no client trusts, for probes until the first one is read.
pub(super) fn provisional(names: &[String], now: OffsetDateTime) -> Result<Pair, pki::Error> {
    let validity = Validity::starting(now, SERVING_LIFETIME);
    let authority = pki::authority_valid(&name(), validity)?;
    pki::serving_valid(&authority, names, validity)
}

impl Change {
    fn made(&self, stored: &Content, facts: Facts<'_>) -> Result<Content, pki::Error> {
        let now = facts.now;
        let mut inspected = stored.inspect(facts.names, now);
        let mut content = stored.clone();
        match self {
            Self::Restore => return Ok(facts.remembered.unwrap_or(stored).clone()),
            Self::NewAuthority => {
                let validity = Validity::starting(now, AUTHORITY_LIFETIME);
                let pair = pki::authority_valid(&name(), validity)?;
                // The one that signed the served certificate stays in any case.
                let issuer = inspected.serving.as_ref().map(|it| it.issuer.as_str());
                let previous = inspected.signer.iter().chain(&inspected.others);
                let previous = previous.map(|it| it.pem.as_str());
                let previous = previous.filter(|pem| Some(*pem) != issuer);
                let kept = issuer.into_iter().chain(previous).take(MAX_PREVIOUS);
                let bundle = std::iter::once(pair.certificate.as_str()).chain(kept);
                content.authorities = bundle.collect();
                content.authority_key = pair.key;
            }
            Self::NewServing(names) => {
                if let Some(signer) = &inspected.signer {
                    let mut validity = Validity::starting(now, SERVING_LIFETIME);
                    validity.not_after = validity.not_after.min(signer.expires);
                    let authority = Pair {
                        certificate: signer.pem.clone(),
                        key: stored.authority_key.clone(),
                    };
                    let pair = pki::serving_valid(&authority, names, validity)?;
                    content.certificate = pair.certificate;
                    content.key = pair.key;
                }
            }
            Self::DropAuthorities => {
                inspected.others.clear();
                content.authorities = inspected.bundle();
            }
            Self::Clean => content.authorities = inspected.bundle(),
        }
        Ok(content)
    }
}

/// A unique name, because a certificate is matched to its authority by name.
fn name() -> String {
    format!("ark-apiserver-{:016x}", rand::random::<u64>())
}
