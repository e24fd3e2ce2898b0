//! Replicas that interleave: at every moment, the published bundle verifies what they serve.

use std::time::Duration;

use proptest::prelude::*;
use rustls::RootCertStore;
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::server::ParsedCertificate;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use time::OffsetDateTime;

use super::super::content::Content;
use super::super::decide::{Facts, Plan, decide};
use super::super::issue::changed;
use super::{DAY, HOUR, MINUTE, after, names, start};

const NAME: &str = "ark.ark-system.svc";
/// How old a replica's copies may be, and how long a request may take, in the simulation. Together
/// they are shorter than the overlap.
const STALE: Duration = Duration::from_secs(25 * 60);

#[derive(Debug, Clone)]
enum Action {
    /// Both watches of a replica catch up.
    Observe(usize),
    /// It serves what it knows, and changes the Secret.
    Step(usize),
    /// It reads the Secret in order to publish the bundle.
    Read(usize),
    /// Its request reaches the APIService.
    Apply(usize),
    /// It starts again.
    Restart(usize),
    /// Minutes pass.
    Advance(u64),
    /// Somebody empties the Secret, or removes the key of the authority or of the certificate.
    Damage(u8),
}

struct World {
    now: OffsetDateTime,
    secret: (u64, Content),
    bundle: String,
    replicas: Vec<Replica>,
}

#[derive(Clone)]
struct Replica {
    secret: (u64, Content),
    bundle: String,
    observed: OffsetDateTime,
    pending: Option<(String, OffsetDateTime)>,
    /// What it serves.
    memory: Option<Content>,
}

impl World {
    fn new(replicas: usize, secret: Content, age: Duration) -> Self {
        let now = start() + age;
        let replica = Replica {
            secret: (0, secret.clone()),
            bundle: String::new(),
            observed: now,
            pending: None,
            memory: None,
        };
        Self {
            now,
            secret: (0, secret),
            bundle: String::new(),
            replicas: vec![replica; replicas],
        }
    }

    fn with_facts<T>(&self, of: usize, stored: &Content, run: impl FnOnce(Facts<'_>) -> T) -> T {
        let (replica, names) = (&self.replicas[of], names());
        run(Facts {
            stored,
            remembered: replica.memory.as_ref(),
            published: replica.bundle == stored.inspect(&names, self.now).bundle(),
            names: &names,
            now: self.now,
        })
    }

    fn plan(&self, of: usize, stored: &Content) -> Plan {
        self.with_facts(of, stored, decide)
    }

    fn run(&mut self, action: &Action) {
        match action {
            Action::Observe(of) => self.observe(*of),
            Action::Step(of) => self.step(*of),
            Action::Read(of) => self.read(*of),
            Action::Apply(of) => self.apply(*of),
            Action::Restart(of) => {
                if self.plan(*of, &self.secret.1).serve {
                    self.replicas[*of].memory = None;
                    self.replicas[*of].pending = None;
                    self.observe(*of);
                    self.step(*of);
                }
            }
            Action::Advance(minutes) => self.advance(MINUTE * u32::try_from(*minutes).unwrap()),
            Action::Damage(part) => {
                // Memory that is older than the Secret may restore what is no longer published.
                self.settle();
                let content = &mut self.secret.1;
                match part {
                    0 => *content = Content::default(),
                    1 => content.authority_key.clear(),
                    _ => content.key.clear(),
                }
                self.secret.0 += 1;
            }
        }
        self.check(action);
    }

    fn observe(&mut self, of: usize) {
        let replica = &mut self.replicas[of];
        replica.secret = self.secret.clone();
        replica.bundle = self.bundle.clone();
        replica.observed = self.now;
    }

    fn step(&mut self, of: usize) {
        let (version, stored) = self.replicas[of].secret.clone();
        let plan = self.plan(of, &stored);
        if plan.serve {
            self.replicas[of].memory = Some(stored.clone());
        }
        if plan.change.is_none() {
            return;
        }
        let (content, _) = self.with_facts(of, &stored, changed).unwrap();
        if version == self.secret.0 {
            self.secret = (version + 1, content);
        }
        // The response, or what another replica has written.
        self.replicas[of].secret = self.secret.clone();
    }

    fn read(&mut self, of: usize) {
        let stored = self.replicas[of].secret.1.clone();
        let wanted = self.plan(of, &stored).publish;
        let Some(wanted) = wanted.filter(|it| *it != self.replicas[of].bundle) else {
            return;
        };
        let current = self.plan(of, &self.secret.1).publish;
        if current.as_ref() == Some(&wanted) {
            self.replicas[of].pending = Some((wanted, self.now));
        } else {
            self.replicas[of].secret = self.secret.clone();
        }
    }

    fn apply(&mut self, of: usize) {
        if let Some((bundle, _)) = self.replicas[of].pending.take() {
            self.bundle.clone_from(&bundle);
            self.replicas[of].bundle = bundle;
        }
    }

    /// Lets time pass. No copy and no request gets older than they can be.
    fn advance(&mut self, by: Duration) {
        if by > STALE {
            self.settle();
        }
        for of in 0..self.replicas.len() {
            let then = self.now + by;
            let old = |since: OffsetDateTime| then - since > STALE;
            let pending = self.replicas[of].pending.as_ref();
            if pending.is_some_and(|(_, since)| old(*since)) {
                self.apply(of);
            }
            if old(self.replicas[of].observed) {
                self.observe(of);
                self.step(of);
            }
        }
        self.now += by;
        if by > STALE {
            self.settle();
        }
    }

    /// Every replica does what it has to.
    fn settle(&mut self) {
        for _ in 0..3 {
            for of in 0..self.replicas.len() {
                self.apply(of);
                self.observe(of);
                self.step(of);
                self.step(of);
                self.read(of);
                self.apply(of);
            }
        }
        for of in 0..self.replicas.len() {
            self.observe(of);
        }
    }

    /// kube-apiserver, with the published bundle, accepts the certificate of each replica.
    fn check(&self, action: &Action) {
        if self.bundle.is_empty() {
            return;
        }
        for (of, replica) in self.replicas.iter().enumerate() {
            let Some(served) = &replica.memory else {
                continue;
            };
            let verified = verify(&served.certificate, &self.bundle, self.now);
            assert!(verified, "replica {of} is not trusted after {action:?}");
        }
    }
}

fn verify(certificate: &str, bundle: &str, now: OffsetDateTime) -> bool {
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(bundle.as_bytes()) {
        roots.add(root.unwrap()).unwrap();
    }
    let der = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
    let parsed = ParsedCertificate::try_from(&der).unwrap();
    let seconds = u64::try_from(now.unix_timestamp()).unwrap();
    let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms;
    let name = ServerName::try_from(NAME).unwrap();
    verify_server_cert_signed_by_trust_anchor(&parsed, &roots, &[], now, algorithms.all).is_ok()
        && verify_server_name(&parsed, &name).is_ok()
}

fn action() -> impl Strategy<Value = Action> {
    let replica = || 0..2_usize;
    prop_oneof![
        4 => replica().prop_map(Action::Observe),
        4 => replica().prop_map(Action::Step),
        4 => replica().prop_map(Action::Read),
        4 => replica().prop_map(Action::Apply),
        1 => replica().prop_map(Action::Restart),
        4 => (1..20_u64).prop_map(Action::Advance),
        1 => (60..3_000_u64).prop_map(Action::Advance),
        1 => (0..3_u8).prop_map(Action::Damage),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(24) })]

    #[test]
    fn served_certificate_is_always_trusted(
        rotates in any::<bool>(),
        actions in prop::collection::vec(action(), 1..80),
    ) {
        let mut secret = Content::default();
        let mut age = Duration::ZERO;
        if rotates {
            // The authority is due within the simulated days.
            secret = after(&secret, Duration::ZERO, true);
            age = 549 * DAY + 20 * HOUR;
            secret = after(&secret, 540 * DAY, true);
        }
        let mut world = World::new(2, secret, age);
        for action in &actions {
            world.run(action);
        }
        for minutes in [20, 20, 20, 20, 600, 600, 600, 600] {
            world.run(&Action::Advance(minutes));
        }
        world.settle();
        let stored = world.secret.1.clone();
        prop_assert_eq!(&world.bundle, &stored.authorities);
        prop_assert!(world.replicas.iter().all(|it| it.memory.as_ref() == Some(&stored)));
    }
}
