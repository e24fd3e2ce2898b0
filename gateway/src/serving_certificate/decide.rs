//! Chooses the next change of the Secret from its content and the time. No IO, no randomness.
//!
//! Everything is derived from the certificates, so that replicas decide alike and a restart loses
//! nothing.

use std::time::Duration;

use time::OffsetDateTime;

use super::content::{Content, Inspected};

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(24 * 3_600);

/// Validity of a serving certificate.
pub(super) const SERVING_LIFETIME: Duration = DAY.saturating_mul(90);
/// A serving certificate with less remaining validity is renewed.
pub(super) const SERVING_RENEWAL: Duration = DAY.saturating_mul(30);
/// Validity of an authority.
pub(super) const AUTHORITY_LIFETIME: Duration = DAY.saturating_mul(730);
/// An authority with less remaining validity is replaced; twice the lifetime of what it signs.
pub(super) const AUTHORITY_RENEWAL: Duration = DAY.saturating_mul(180);
/// How long a new authority is published before it signs the serving certificate. Longer than
/// kube-apiservers and replicas take to see a change, including one request with its retries.
pub(super) const OVERLAP: Duration = HOUR;
/// How long the old authority is published after the new one signed. Longer than a replica may be
/// without a connection to kube-apiserver.
pub(super) const RETAIN: Duration = DAY;
/// With less remaining validity of the serving certificate, the new authority signs although an
/// APIService does not have it: the old certificate is about to be rejected as well.
pub(super) const FORCED: Duration = DAY;
/// Longest pause between two decisions, because clocks are set.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(600);
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);

/// What a decision depends on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Facts<'a> {
    /// The Secret as it was read.
    pub(super) stored: &'a Content,
    /// Its last valid content in this process.
    pub(super) remembered: Option<&'a Content>,
    /// Whether each existing APIService has the bundle of `stored`.
    pub(super) published: bool,
    /// The names that the certificate must have.
    pub(super) names: &'a [String],
    /// The time.
    pub(super) now: OffsetDateTime,
}

/// One step of a change. Steps follow until there is none; then all are written at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// Write the remembered content, because the Secret has no valid certificate.
    Restore,
    /// Make an authority, published beside the others.
    NewAuthority,
    /// Sign a certificate for these names by the newest authority.
    NewServing(Vec<String>),
    /// Remove all authorities but the newest.
    DropAuthorities,
    /// Remove expired and unreadable authorities.
    Clean,
}

/// A decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    /// Whether the certificate of the Secret is to be served. Otherwise the last one remains.
    pub(super) serve: bool,
    /// The bundle to publish; `None` if the Secret has no valid certificate.
    pub(super) publish: Option<String>,
    /// The next change of the Secret.
    pub(super) change: Option<Change>,
    /// When to decide again if nothing changes.
    pub(super) look_again: Duration,
}

pub(super) fn decide(facts: Facts<'_>) -> Plan {
    let inspected = facts.stored.inspect(facts.names, facts.now);
    let valid = inspected.serving.is_some();
    Plan {
        serve: valid,
        publish: valid.then(|| inspected.bundle()),
        change: change(facts, &inspected),
        look_again: look_again(facts.now, &inspected),
    }
}

fn change(facts: Facts<'_>, stored: &Inspected) -> Option<Change> {
    let now = facts.now;
    let remembered = facts.remembered.filter(|remembered| {
        let inspected = remembered.inspect(facts.names, now);
        inspected.serving.is_some()
    });
    if stored.serving.is_none() && remembered.is_some() {
        return Some(Change::Restore);
    }
    let signer = stored.signer.as_ref();
    let Some(signer) = signer.filter(|signer| signer.expires - now > AUTHORITY_RENEWAL) else {
        return Some(Change::NewAuthority);
    };
    let wanted = || facts.names.to_vec();
    let Some(serving) = &stored.serving else {
        return Some(Change::NewServing(united(facts.names, &stored.names)));
    };
    let left = serving.expires - now;
    if !serving.by_signer {
        let due = now >= signer.created + OVERLAP && facts.published;
        return (due || left <= FORCED).then(|| Change::NewServing(wanted()));
    }
    if left <= SERVING_RENEWAL {
        return Some(Change::NewServing(wanted()));
    }
    if !stored.others.is_empty() && now >= serving.created + RETAIN {
        return Some(Change::DropAuthorities);
    }
    (facts.stored.authorities != stored.bundle()).then_some(Change::Clean)
}

/// The wanted names, then those of the last certificate: during an update, replicas with another
/// Service must not replace each other's certificate for ever. The next renewal drops them.
fn united(wanted: &[String], present: &[String]) -> Vec<String> {
    let mut names = wanted.to_vec();
    let further = present.iter().filter(|name| {
        // bounded: a Service has three names, and at most 16 are read from a certificate.
        !wanted.contains(name)
    });
    names.extend(further.cloned());
    names
}

fn look_again(now: OffsetDateTime, inspected: &Inspected) -> Duration {
    let signer = inspected.signer.iter();
    let signer = signer.flat_map(|it| [it.expires - AUTHORITY_RENEWAL, it.created + OVERLAP]);
    let serving = inspected.serving.iter().flat_map(|it| {
        let (renewal, forced) = (it.expires - SERVING_RENEWAL, it.expires - FORCED);
        [renewal, forced, it.created + RETAIN]
    });
    let moments = signer.chain(serving).filter(|moment| *moment > now);
    let next = moments.map(|moment| (moment - now).unsigned_abs()).min();
    let pause = next.unwrap_or(LONGEST_PAUSE);
    pause.clamp(SHORTEST_PAUSE, LONGEST_PAUSE)
}
