//! State of a move: a ConfigMap of the cluster.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::crds::cluster::{Cluster, Kind, message};

/// Name of the ConfigMap.
pub(super) const NAME: &str = "arkctl-move";
/// Its key.
const KEY: &str = "state";

/// How far a move is. Each phase begins when it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// The store is filled while clients use the CRDs.
    Importing,
    /// The CRDs are being closed, or are closed; clients still read them.
    Closing,
    /// The APIServices are being changed, or are changed.
    Switching,
    /// The gateway serves; watches on the CRDs are being ended.
    Ending,
    /// The gateway serves.
    Adopted,
    /// The store is being fenced, or is fenced; the gateway rejects everything.
    Retiring,
    /// The CRDs have the store's objects; the APIServices are being given back.
    GivingBack,
    /// The CRDs respond and are compared, then opened.
    Opening,
    /// The CRDs serve.
    Returned,
}

const PHASES: [(Phase, &str); 9] = [
    (Phase::Importing, "importing"),
    (Phase::Closing, "closing"),
    (Phase::Switching, "switching"),
    (Phase::Ending, "ending-watches"),
    (Phase::Adopted, "adopted"),
    (Phase::Retiring, "retiring"),
    (Phase::GivingBack, "giving-back"),
    (Phase::Opening, "opening"),
    (Phase::Returned, "returned"),
];

/// The state of a move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct State {
    pub(super) phase: Phase,
    pub(super) groups: Vec<String>,
    /// uids of the CRDs by name.
    pub(super) crds: BTreeMap<String, String>,
    pub(super) store_id: String,
    pub(super) epoch: i64,
    /// Digest of the content at the last comparison; empty before it.
    pub(super) digest: String,
}

/// The ConfigMap.
#[derive(Debug)]
pub(super) struct Record<'a> {
    cluster: &'a Cluster,
    namespace: String,
    /// Empty if there is none yet.
    resource_version: String,
    pub(super) state: Option<State>,
}

impl<'a> Record<'a> {
    /// Reads it.
    ///
    /// # Errors
    /// If the cluster rejects the request, or the ConfigMap was written by a later release.
    pub(super) async fn read(cluster: &'a Cluster, namespace: &str) -> Result<Self> {
        let mut record = Self {
            cluster,
            namespace: namespace.to_owned(),
            resource_version: String::new(),
            state: None,
        };
        if let Some(object) = cluster.find(&record.path()).await? {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            record.resource_version = text(&object["metadata"]["resourceVersion"]);
            let state = State::parse(&text(&object["data"][KEY]));
            record.state = Some(state.with_context(|| damaged(namespace))?);
        }
        Ok(record)
    }

    /// Stores a state.
    ///
    /// # Errors
    /// If another arkctl has stored one since this one read it, or the cluster rejects the request.
    pub(super) async fn write(&mut self, state: State) -> Result<()> {
        let mut object = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": NAME, "namespace": self.namespace, "labels":
                {"app.kubernetes.io/managed-by": "arkctl"}},
            "data": {KEY: state.document().to_string()},
        });
        let namespace = &self.namespace;
        let (method, path) = if self.resource_version.is_empty() {
            ("POST", format!("/api/v1/namespaces/{namespace}/configmaps"))
        } else {
            object["metadata"]["resourceVersion"] = self.resource_version.as_str().into();
            ("PUT", self.path())
        };
        let (status, response) = self.cluster.send(method, &path, Some(&object)).await?;
        match status {
            200 | 201 => {}
            409 => bail!(
                "another arkctl works on this move: ConfigMap {namespace}/{NAME} has changed; end \
                 that command, and repeat this one"
            ),
            _ => bail!(
                "ConfigMap {namespace}/{NAME}: {status} {}",
                message(&response)
            ),
        }
        let version = response["metadata"]["resourceVersion"].as_str();
        self.resource_version = version.unwrap_or_default().to_owned();
        self.state = Some(state);
        Ok(())
    }

    /// Stores the same state with another phase.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub(super) async fn advance(&mut self, phase: Phase) -> Result<()> {
        let state = self.state.clone().context("no state to continue")?;
        self.write(State { phase, ..state }).await
    }

    fn path(&self) -> String {
        let namespace = &self.namespace;
        format!("/api/v1/namespaces/{namespace}/configmaps/{NAME}")
    }
}

impl State {
    /// Returns the reason why this move is not about these groups and CRDs.
    pub(super) fn mismatch<'k>(
        &self,
        groups: &[String],
        kinds: impl Iterator<Item = &'k Kind>,
    ) -> Option<String> {
        let known = self.groups.join(", ");
        let mut given = groups.to_vec();
        given.sort();
        if given != self.groups {
            return Some(format!(
                "the move of ConfigMap {NAME} is about the groups {known}: give exactly these by \
                 --group"
            ));
        }
        let now: BTreeMap<String, String> = kinds.map(|kind| kind.crd.clone()).collect();
        let changed = |(name, uid): &(&String, &String)| now.get(*name) != Some(*uid);
        self.crds
            .iter()
            .find(changed)
            .map(|(name, _)| format!("the CRD {name} was replaced or deleted since the move began"))
    }

    fn document(&self) -> Value {
        json!({
            "phase": self.phase.to_string(), "groups": self.groups, "crds": self.crds,
            "storeId": self.store_id, "epoch": self.epoch, "digest": self.digest,
        })
    }

    fn parse(text: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(text).ok()?;
        let name = value["phase"].as_str()?;
        let (phase, _) = PHASES.iter().find(|(_, known)| *known == name)?;
        let text = |value: &Value| value.as_str().map(ToOwned::to_owned);
        let groups = value["groups"].as_array()?;
        let crds = value["crds"].as_object()?.iter();
        Some(Self {
            phase: *phase,
            groups: groups.iter().map(text).collect::<Option<_>>()?,
            crds: crds
                .map(|(name, uid)| Some((name.clone(), text(uid)?)))
                .collect::<Option<_>>()?,
            store_id: text(&value["storeId"])?,
            epoch: value["epoch"].as_i64()?,
            digest: text(&value["digest"])?,
        })
    }
}

/// The remedy for a state that cannot be read.
fn damaged(namespace: &str) -> String {
    format!(
        "ConfigMap {namespace}/{NAME} is damaged, or was written by a later release: use that \
         release, or restore the ConfigMap from a backup. If there is none, delete it with kubectl \
         delete configmap -n {namespace} {NAME}; then, if all APIServices of the groups point at the \
         gateway, run arkctl return, and if none does, run arkctl adopt --overwrite-store"
    )
}

/// The remedy for a move without state, of whose `all` APIServices `handed_over` point at another
/// server.
pub(super) fn missing(handed_over: &[String], all: usize) -> String {
    let names = handed_over.join(" ");
    if handed_over.len() == all {
        format!(
            "the cluster hands the kinds to another server already: {names}, and the ConfigMap \
             {NAME} of a move is missing. If that server is the gateway, arkctl return works without \
             it; otherwise remove these APIServices"
        )
    } else {
        format!(
            "the ConfigMap {NAME} of a move is missing, and some of the APIServices point at another \
             server: {names}. Patch the others to point at the gateway, or these back to \
             kube-apiserver, and repeat the command"
        )
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = PHASES.iter().find(|(phase, _)| phase == self);
        out.write_str(name.map_or("unknown", |(_, name)| name))
    }
}

#[cfg(test)]
mod tests {
    use super::{PHASES, State, damaged, missing};
    use crate::crds::testing::kind;

    #[test]
    fn every_phase_is_read_as_it_was_written() {
        for (phase, _) in PHASES {
            let state = State {
                phase,
                groups: vec!["g".to_owned()],
                crds: [("r.g".to_owned(), "u".to_owned())].into(),
                store_id: "s".to_owned(),
                epoch: 5,
                digest: "d".to_owned(),
            };
            let text = state.document().to_string();
            assert_eq!(State::parse(&text), Some(state));
        }
        for unknown in ["", "{}", r#"{"phase":"later"}"#] {
            assert_eq!(State::parse(unknown), None);
        }
    }

    #[test]
    fn unreadable_or_missing_state_names_the_next_command() {
        let names = ["v1.g".to_owned(), "v2.g".to_owned()];
        for (message, expected) in [
            (damaged("n"), "kubectl delete configmap -n n arkctl-move"),
            (
                missing(&names, 2),
                "v1.g v2.g, and the ConfigMap arkctl-move",
            ),
            (missing(&names, 2), "arkctl return works"),
            (missing(&names[..1], 2), "server: v1.g. Patch the others"),
        ] {
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn move_of_other_groups_or_crds_is_not_continued() {
        let text = r#"{"phase":"adopted","groups":["g"],"crds":{"r.g":"u"},"storeId":"s","epoch":1,
            "digest":""}"#;
        let state = State::parse(text).expect("a state");
        let mut replaced = kind();
        replaced.crd.1 = "another".to_owned();
        let same = ["g".to_owned()];
        let found = state.mismatch(&same, [&kind()].into_iter());
        assert_eq!(found, None);
        let found = state.mismatch(&same, [&replaced].into_iter());
        assert!(found.is_some_and(|it| it.contains("r.g")));
        let found = state.mismatch(&["h".to_owned()], [&kind()].into_iter());
        assert!(found.is_some_and(|it| it.contains("groups g")));
    }
}
