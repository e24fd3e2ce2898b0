//! `adopt`: takes kinds over from CRDs.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use backend_proto::fence::RETIRED;
use backend_proto::v1::DescribeResponse;

use super::api_services::{self, available, take};
use super::gateway::Gateway;
use super::policy::Policy;
use super::preflight::{self, Findings};
use super::state::{self, Phase, Record, State};
use super::touch::touch;
use super::{refuse, served_by_store, until};
use crate::args;
use crate::crds::cluster::{Cluster, Definition, Kind};
use crate::crds::content::Content;
use crate::crds::converge::converge;
use crate::crds::fill::{fill, gather, obstacles};
use crate::deadlines::Deadlines;
use crate::output;
use crate::stop::Stop;
use crate::store::Store;

/// Rounds of following, and the number of changes after which the last round is short enough.
const ROUNDS: usize = 10;
const CAUGHT_UP: usize = 50;
/// Time until every kube-apiserver proxies to the gateway.
const SWITCHED: Duration = Duration::from_secs(60);

const PLAN: &str = "\
1. check rights, CRDs, schemas, the gateway and the store; report everything at once
2. copy the objects into the store, then what changes, until it is current
3. close the CRDs by a ValidatingAdmissionPolicy; from here on, writes are rejected
4. copy the last changes, and compare all objects
5. patch the APIServices; from here on, the gateway serves
6. change the spec of each CRD and change it back, which ends the watches on the CRDs
The policy stays as long as the gateway serves: kube-apiserver serves the CRDs for a moment after a
restart. Before step 5, arkctl adopt --undo undoes everything; afterwards, arkctl return does.";

/// Parts of an adoption.
struct Adoption<'a> {
    arguments: &'a args::Adopt,
    cluster: &'a Cluster,
    crds: Vec<Definition>,
    kinds: Vec<Arc<Kind>>,
    /// Names of the APIServices.
    names: BTreeSet<String>,
    gateway: Gateway,
    policy: Policy,
    store: Store,
}

/// Takes kinds over from CRDs; a repeated command carries on.
///
/// # Errors
/// If there are obstacles, in which case nothing has changed. If a step fails: before the APIServices
/// have changed, the CRDs are opened again.
pub async fn run(arguments: &args::Adopt, deadlines: Deadlines) -> Result<()> {
    if arguments.plan {
        output::line(PLAN);
        return Ok(());
    }
    let cluster = Cluster::of(&arguments.cluster)?;
    let crds = cluster.definitions().await?;
    let kinds: Vec<Arc<Kind>> = crds.iter().map(|it| it.kind.clone()).collect();
    let gateway = Gateway::of(&cluster, &arguments.gateway).await?;
    let namespace = gateway.target.namespace.clone();
    let mut record = Record::read(&cluster, &namespace).await?;
    let adoption = Adoption {
        arguments,
        cluster: &cluster,
        names: api_services::names(&kinds),
        crds,
        kinds,
        gateway,
        policy: Policy::new(&namespace),
        store: Store::to(&arguments.to, deadlines)?,
    };
    if arguments.undo {
        return adoption.undo(&mut record).await;
    }
    let mut stop = Stop::listen()?;
    let adopted = tokio::select! {
        adopted = adoption.run(&mut record) => adopted,
        interrupted = stop.asked() => Err(interrupted),
    };
    let phase = record.state.as_ref().map(|state| state.phase);
    if adopted.is_err() && matches!(phase, Some(Phase::Closing | Phase::Switching)) {
        adoption.back_out(&mut record).await;
    }
    adopted
}

impl Adoption<'_> {
    async fn run(&self, record: &mut Record<'_>) -> Result<()> {
        let switching = record.state.as_ref();
        if switching.is_some_and(|state| state.phase == Phase::Switching) {
            self.expire_patches().await?;
        }
        let handed_over = self.cluster.handed_over(&self.kinds).await?;
        let phase = self.expect_continuable(record, &handed_over)?;
        if phase == Some(Phase::Adopted) {
            output::line("adopted already");
            return Ok(());
        }
        let began = Instant::now();
        let mut closed = None;
        if handed_over.is_empty() {
            let described = self.store.describe().await?;
            let findings = self.check(record, &described).await?;
            for warning in &findings.warnings {
                output::line(format_args!("warning: {warning}"));
            }
            refuse(&findings.obstacles)?;
            if self.arguments.dry_run {
                output::line("no obstacles; nothing was changed");
                return Ok(());
            }
            self.copy(record, described).await?;
            closed = Some(Instant::now());
            self.close(record).await?;
        } else if self.arguments.dry_run {
            output::line("an adoption is unfinished: repeat the command without --dry-run");
            return Ok(());
        }
        let epoch = record.state.as_ref().map_or(0, |state| state.epoch);
        if phase != Some(Phase::Ending) {
            self.switch(record, epoch).await?;
        }
        if let Some(closed) = closed {
            let seconds = closed.elapsed().as_secs_f64();
            output::line(format_args!("writes were rejected for {seconds:.1} s"));
        }
        record.advance(Phase::Ending).await?;
        touch(self.cluster, &self.crds).await?;
        record.advance(Phase::Adopted).await?;
        let seconds = began.elapsed().as_secs_f64();
        output::line(format_args!(
            "adopted in {seconds:.1} s: the gateway serves {}; watches on the CRDs have ended, and \
             clients list again",
            self.cluster.groups.join(", ")
        ));
        Ok(())
    }

    /// Returns the phase in which an earlier run ended; `None` if the move begins.
    fn expect_continuable(
        &self,
        record: &Record<'_>,
        handed_over: &[String],
    ) -> Result<Option<Phase>> {
        let Some(state) = &record.state else {
            ensure!(
                handed_over.is_empty(),
                state::missing(handed_over, self.names.len())
            );
            return Ok(None);
        };
        if state.phase == Phase::Returned {
            return Ok(None);
        }
        let kinds = self.kinds.iter().map(Arc::as_ref);
        if let Some(mismatch) = state.mismatch(&self.cluster.groups, kinds) {
            bail!(mismatch);
        }
        let complete = handed_over.len() == self.names.len();
        match state.phase {
            Phase::Retiring | Phase::GivingBack | Phase::Opening => {
                bail!("a return is unfinished: repeat arkctl return")
            }
            Phase::Adopted | Phase::Ending if !complete => bail!(
                "the state is {}, but not all APIServices point at the gateway: {} of {}; another \
                 program has changed them",
                state.phase,
                handed_over.len(),
                self.names.len()
            ),
            phase => Ok(Some(phase)),
        }
    }

    async fn check(&self, record: &Record<'_>, described: &DescribeResponse) -> Result<Findings> {
        let mut findings =
            preflight::of_cluster(self.cluster, &self.gateway, &self.crds, self.arguments).await?;
        let mut open = described.clone();
        if is_returned(record) && described.fenced.starts_with(RETIRED) {
            // The fence of arkctl return, which this run lifts.
            open.fenced.clear();
        }
        let entries = gather(self.cluster, &self.kinds).await?;
        let unusable = obstacles(&open, &entries);
        let usable = unusable.is_empty();
        findings.obstacles.extend(unusable);
        if !usable {
            return Ok(findings);
        }
        let header = described.header.clone().unwrap_or_default();
        let ours = record.state.as_ref();
        let ours = ours.is_some_and(|state| state.store_id == header.store_id);
        let stored = Content::of_store(&self.store, &self.cluster.groups).await?;
        if !stored.0.is_empty() && !ours && !self.arguments.overwrite_store {
            findings.obstacles.push(format!(
                "{}: the store has {} objects of these groups, and no move has put them there: \
                 --overwrite-store makes them equal to the CRDs'",
                self.store.address,
                stored.0.len()
            ));
        }
        let newest = entries.iter().map(|entry| entry.order).max().unwrap_or(0);
        if !self.store.is_empty().await? && newest > header.revision {
            findings.obstacles.push(format!(
                "{}: its revision {} is below the cluster's {newest}: use a new store",
                self.store.address, header.revision
            ));
        }
        let content = Content::of_entries(&entries);
        output::line(content.counts());
        Ok(findings)
    }

    /// Makes the store nearly equal to the CRDs, while clients use these.
    async fn copy(&self, record: &mut Record<'_>, described: DescribeResponse) -> Result<()> {
        let empty = self.store.is_empty().await?;
        let header = described.header.clone().unwrap_or_default();
        let store_id = if empty {
            uuid::Uuid::new_v4().to_string()
        } else {
            header.store_id.clone()
        };
        let was_returned = is_returned(record);
        let mut groups = self.cluster.groups.clone();
        groups.sort();
        // Before the import: a store with this id is ours.
        record
            .write(State {
                phase: Phase::Importing,
                groups,
                crds: self.kinds.iter().map(|kind| kind.crd.clone()).collect(),
                store_id: store_id.clone(),
                epoch: header.epoch,
                digest: String::new(),
            })
            .await?;
        if was_returned && described.fenced.starts_with(RETIRED) {
            self.store.fence(None).await?;
            output::line("lifted the fence of arkctl return");
        }
        if empty {
            let entries = gather(self.cluster, &self.kinds).await?;
            fill(&self.store, &described, entries, store_id).await?;
        }
        let described = self.store.describe().await?;
        for _ in 0..ROUNDS {
            let entries = gather(self.cluster, &self.kinds).await?;
            let groups = &self.cluster.groups;
            let changes = converge(&self.store, groups, &entries, &described).await?;
            output::line(format_args!("followed: {changes}"));
            if changes.count() <= CAUGHT_UP {
                break;
            }
        }
        self.gateway.ready().await
    }

    /// Closes the CRDs, copies the last changes and compares.
    async fn close(&self, record: &mut Record<'_>) -> Result<()> {
        record.advance(Phase::Closing).await?;
        if self.arguments.without_policy {
            output::line(
                "warning: the CRDs are not closed: writes from now on are lost, also those that \
                 kube-apiserver accepts after a restart",
            );
        } else {
            output::line("closing the CRDs");
            self.policy.close(self.cluster, &self.crds).await?;
        }
        let described = self.store.describe().await?;
        let entries = gather(self.cluster, &self.kinds).await?;
        let groups = &self.cluster.groups;
        let changes = converge(&self.store, groups, &entries, &described).await?;
        output::line(format_args!("the last changes: {changes}"));
        let (ours, theirs) = (
            Content::of_store(&self.store, groups).await?,
            Content::of_entries(&entries),
        );
        if let Some(difference) = theirs.difference(&ours) {
            bail!("the store differs from the CRDs: {difference}");
        }
        let digest = ours.digest();
        output::line(format_args!(
            "equal: {} objects, content digest {digest}",
            ours.0.len()
        ));
        let Some(state) = record.state.clone() else {
            bail!("no state to continue");
        };
        let header = described.header.unwrap_or_default();
        let phase = Phase::Switching;
        let epoch = header.epoch;
        record
            .write(State {
                phase,
                epoch,
                digest,
                ..state
            })
            .await
    }

    /// Makes the gateway serve, and waits until it does.
    async fn switch(&self, record: &Record<'_>, epoch: i64) -> Result<()> {
        ensure!(
            record
                .state
                .as_ref()
                .is_some_and(|it| it.phase >= Phase::Switching),
            "APIServices were changed before the CRDs and the store were compared"
        );
        let target = &self.gateway.target;
        for name in &self.names {
            take(self.cluster, name, target).await?;
        }
        available(self.cluster, &self.names, target).await?;
        until(SWITCHED, async || {
            served_by_store(self.cluster, &self.kinds, epoch, true).await
        })
        .await
    }

    /// After an error before the switch, opens the CRDs again.
    async fn back_out(&self, record: &mut Record<'_>) {
        match self.undo(record).await {
            Ok(()) => {}
            Err(error) => output::line(format_args!(
                "the adoption is unfinished ({error:#}): repeat the command to continue"
            )),
        }
    }

    /// Makes the patches of a killed run, which may still be on their way, expect an older version.
    async fn expire_patches(&self) -> Result<()> {
        for name in &self.names {
            api_services::bump(self.cluster, name).await?;
        }
        Ok(())
    }

    /// Opens the CRDs, unless the gateway may serve.
    async fn undo(&self, record: &mut Record<'_>) -> Result<()> {
        let Some(state) = record.state.clone() else {
            output::line("there is nothing to undo");
            return Ok(());
        };
        match state.phase {
            Phase::Returned => {
                output::line("there is nothing to undo");
                return Ok(());
            }
            Phase::Importing | Phase::Closing => {}
            Phase::Switching => self.expire_patches().await?,
            phase => bail!("the move is {phase}: use arkctl return"),
        }
        let handed_over = self.cluster.handed_over(&self.kinds).await?;
        ensure!(
            handed_over.is_empty(),
            "APIServices point at the gateway already: {}",
            handed_over.join(" ")
        );
        self.policy.open(self.cluster, &self.crds).await?;
        record.advance(Phase::Returned).await?;
        output::line("undone: the CRDs accept writes; the store keeps what was copied");
        Ok(())
    }
}

fn is_returned(record: &Record<'_>) -> bool {
    let state = record.state.as_ref();
    state.is_some_and(|state| matches!(state.phase, Phase::Returned | Phase::Importing))
}
