//! `return`: gives kinds back to CRDs.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use backend_proto::fence::RETIRED;
use tokio::time::{Instant, sleep_until};

use super::api_services;
use super::gateway::Gateway;
use super::policy::Policy;
use super::rights;
use super::state::{self, Phase, Record, State};
use super::{refuse, served_by_store, until};
use crate::args;
use crate::crds::cluster::{Cluster, Definition, Kind};
use crate::crds::content::Content;
use crate::crds::export::saved;
use crate::crds::fill::gather;
use crate::crds::outgoing::{NAMED, Outgoing};
use crate::crds::shadow::{Diff, Shadow};
use crate::deadlines::Deadlines;
use crate::output;
use crate::stop::Stop;
use crate::store::Store;

/// Reason of the fence after the prefix.
const REASON: &str = "the kinds return to the cluster's CRDs";
/// Largest value that etcd stores by default, with room for its key.
const ETCD_VALUE: usize = 1_500_000;
/// Time until every kube-apiserver serves the CRDs.
const SWITCHED: Duration = Duration::from_secs(120);

const PLAN: &str = "\
1. check rights, CRDs, namespaces, the store and etcd; report everything at once
2. fence the store; from here on, the gateway rejects everything with 503, and ends watches with 410
3. make the CRDs' objects in etcd equal to the store's; what is replaced or deleted is saved first
4. wait until every client has noticed (--goodbye)
5. give the APIServices back; from here on, kube-apiserver serves the CRDs, still closed for writes
6. compare all objects, and open the CRDs for writes
The store stays fenced; arkctl adopt uses it again.";

/// Parts of a return.
struct GivingBack<'a> {
    arguments: &'a args::Return,
    cluster: &'a Cluster,
    crds: Vec<Definition>,
    kinds: Vec<Arc<Kind>>,
    /// Names of the APIServices.
    names: BTreeSet<String>,
    gateway: Gateway,
    policy: Policy,
    store: Store,
    shadow: Shadow,
}

/// Gives kinds back to CRDs; a repeated command carries on.
///
/// # Errors
/// If there are obstacles, in which case nothing has changed, or if a step fails.
pub async fn run(arguments: &args::Return, deadlines: Deadlines) -> Result<()> {
    if arguments.plan {
        output::line(PLAN);
        return Ok(());
    }
    let cluster = Cluster::of(&arguments.cluster)?;
    let crds = cluster.definitions().await?;
    let kinds: Vec<Arc<Kind>> = crds.iter().map(|it| it.kind.clone()).collect();
    let gateway = Gateway::of(&cluster, &arguments.gateway).await?;
    let namespace = gateway.target.namespace.clone();
    let address = arguments
        .etcd
        .etcd
        .as_deref()
        .context("--etcd is required")?;
    let etcd = arguments.etcd.connect(address).await?;
    let mut record = Record::read(&cluster, &namespace).await?;
    let work = GivingBack {
        arguments,
        cluster: &cluster,
        names: api_services::names(&kinds),
        crds,
        kinds,
        gateway,
        policy: Policy::new(&namespace),
        store: Store::from(&arguments.from, deadlines)?,
        shadow: Shadow::new(etcd, &arguments.etcd.etcd_prefix),
    };
    let mut stop = Stop::listen()?;
    tokio::select! {
        returned = work.run(&mut record) => returned,
        interrupted = stop.asked() => Err(interrupted),
    }
}

impl GivingBack<'_> {
    async fn run(&self, record: &mut Record<'_>) -> Result<()> {
        let phase = self.phase(record).await?;
        if phase == Phase::Returned {
            output::line("returned already");
            return Ok(());
        }
        let began = Instant::now();
        if phase < Phase::GivingBack {
            let outgoing = self.check(record).await?;
            if self.arguments.dry_run {
                let diff = self.shadow.diff(&self.kinds, &outgoing.objects).await?;
                output::line(format_args!("would be: {}", diff.summary()));
                output::line("no obstacles; nothing was changed");
                return Ok(());
            }
            self.retire(record).await?;
            let goodbye = Instant::now() + Duration::from_secs(self.arguments.goodbye);
            self.restore().await?;
            sleep_until(goodbye).await;
            record.advance(Phase::GivingBack).await?;
        } else if self.arguments.dry_run {
            output::line("a return is unfinished: repeat the command without --dry-run");
            return Ok(());
        }
        if phase < Phase::Opening {
            self.switch(record).await?;
        }
        self.policy.open(self.cluster, &self.crds).await?;
        record.advance(Phase::Returned).await?;
        let seconds = began.elapsed().as_secs_f64();
        output::line(format_args!(
            "returned in {seconds:.1} s: the CRDs serve {}; the store stays fenced",
            self.cluster.groups.join(", ")
        ));
        Ok(())
    }

    /// The phase of an earlier run, or that of an adoption.
    async fn phase(&self, record: &mut Record<'_>) -> Result<Phase> {
        let handed_over = self.cluster.handed_over(&self.kinds).await?;
        let Some(state) = &record.state else {
            ensure!(
                !handed_over.is_empty(),
                "kube-apiserver serves the CRDs: there is nothing to return"
            );
            ensure!(
                !handed_over.is_empty(),
                "kube-apiserver serves the CRDs: there is nothing to return"
            );
            ensure!(
                handed_over.len() == self.names.len(),
                state::missing(&handed_over, self.names.len())
            );
            // The kinds were taken over without arkctl adopt.
            let header = self.store.head().await?;
            let mut groups = self.cluster.groups.clone();
            groups.sort();
            let state = State {
                phase: Phase::Adopted,
                groups,
                crds: self.kinds.iter().map(|kind| kind.crd.clone()).collect(),
                store_id: header.store_id,
                epoch: header.epoch,
                digest: String::new(),
            };
            if !self.arguments.dry_run {
                record.write(state).await?;
            }
            return Ok(Phase::Adopted);
        };
        let kinds = self.kinds.iter().map(Arc::as_ref);
        match (state.phase, state.mismatch(&self.cluster.groups, kinds)) {
            (Phase::Returned, _) => {
                ensure!(
                    handed_over.is_empty(),
                    "the state is returned, but APIServices point at another server: {}",
                    handed_over.join(" ")
                );
            }
            (_, Some(mismatch)) => bail!(mismatch),
            (phase, None) if phase < Phase::Adopted => {
                bail!("an adoption is unfinished: repeat arkctl adopt, or arkctl adopt --undo")
            }
            _ => {}
        }
        Ok(state.phase)
    }

    async fn check(&self, record: &Record<'_>) -> Result<Outgoing> {
        let described = self.store.describe().await?;
        let outgoing = Outgoing::read(&self.store, self.cluster).await?;
        let needed = rights::needed(&self.crds, &self.gateway.target.namespace, true);
        let mut obstacles = rights::lacking(self.cluster, needed).await?;
        obstacles.extend(outgoing.obstacles.iter().cloned());
        obstacles.extend(self.shadow.strangers(&self.kinds).await?);
        let fenced = &described.fenced;
        if !fenced.is_empty() && *fenced != reason() {
            obstacles.push(format!(
                "{}: it is fenced: {fenced}. Another store may have taken over",
                self.store.address
            ));
        }
        let id = described.header.unwrap_or_default().store_id;
        if let Some(state) = record.state.as_ref().filter(|it| it.store_id != id) {
            obstacles.push(format!(
                "{}: this is not the store of the move: its id is {id}, not {}",
                self.store.address, state.store_id
            ));
        }
        let large = outgoing
            .objects
            .iter()
            .filter(|it| it.value.len() > ETCD_VALUE);
        obstacles.extend(large.map(|object| {
            format!(
                "{}: {} bytes are too large for etcd",
                self.shadow.key(&object.key),
                object.value.len()
            )
        }));
        refuse(&obstacles)?;
        Ok(outgoing)
    }

    /// Ends service by the gateway.
    async fn retire(&self, record: &mut Record<'_>) -> Result<()> {
        self.policy.close_hidden(self.cluster, &self.crds).await?;
        record.advance(Phase::Retiring).await?;
        let revision = self.store.fence(Some(&reason())).await?.revision;
        output::line(format_args!(
            "fenced: no change comes after revision {revision}"
        ));
        let kind = self.kinds.first().context("no kinds")?;
        self.gateway.retired(&kind.path(&kind.storage, "")).await
    }

    /// Makes the CRDs' objects equal to those of the store.
    async fn restore(&self) -> Result<()> {
        let outgoing = Outgoing::read(&self.store, self.cluster).await?;
        refuse(&outgoing.obstacles)?;
        let diff = self.shadow.diff(&self.kinds, &outgoing.objects).await?;
        report(&diff);
        let save = saved(self.arguments.save.as_deref());
        self.shadow.apply(&diff, &save).await?;
        if !diff.lost.is_empty() {
            let save = save.display();
            output::line(format_args!("the former objects are in {save}"));
        }
        let rest = self.shadow.diff(&self.kinds, &outgoing.objects).await?;
        ensure!(
            rest.changes.is_empty(),
            "the CRDs' objects change although they are closed: {}",
            rest.summary()
        );
        Ok(())
    }

    /// Makes kube-apiserver serve the CRDs, and compares.
    async fn switch(&self, record: &mut Record<'_>) -> Result<()> {
        for name in &self.names {
            api_services::give_back(self.cluster, name).await?;
        }
        let epoch = record.state.as_ref().map_or(0, |state| state.epoch);
        until(SWITCHED, async || {
            served_by_store(self.cluster, &self.kinds, epoch, false).await
        })
        .await?;
        let entries = gather(self.cluster, &self.kinds).await?;
        let theirs = Content::of_entries(&entries);
        let ours = Content::of_store(&self.store, &self.cluster.groups).await?;
        if let Some(difference) = ours.difference(&theirs) {
            bail!(
                "the CRDs differ from the store: {difference}. They stay closed, and the store \
                 fenced; compare the definitions of both"
            );
        }
        let digest = ours.digest();
        output::line(format_args!(
            "equal: {} objects, content digest {digest}",
            ours.0.len()
        ));
        let state = record.state.clone().context("no state to continue")?;
        let phase = Phase::Opening;
        record
            .write(State {
                phase,
                digest,
                ..state
            })
            .await
    }
}

fn reason() -> String {
    format!("{RETIRED}{REASON}")
}

fn report(diff: &Diff) {
    output::line(diff.summary());
    for key in diff.deleted.iter().take(NAMED) {
        output::line(format_args!("not in the store, and deleted: {key}"));
    }
}
