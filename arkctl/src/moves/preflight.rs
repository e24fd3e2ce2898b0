//! What would make an adoption fail or lose something, all at once.

use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::Value;

use super::gateway::Gateway;
use super::{rights, schemas};
use crate::args;
use crate::crds::cluster::{Cluster, Definition};

/// Fields that are named for each version.
const NAMED_FIELDS: usize = 5;

/// Result of the checks.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) obstacles: Vec<String>,
    pub(super) warnings: Vec<String>,
}

/// Checks the cluster, its CRDs and the gateway; not the store.
///
/// # Errors
/// If the cluster is unreachable.
pub(super) async fn of_cluster(
    cluster: &Cluster,
    gateway: &Gateway,
    crds: &[Definition],
    arguments: &args::Adopt,
) -> Result<Findings> {
    let mut findings = Findings::default();
    let policy = !arguments.without_policy;
    let needed = rights::needed(crds, &gateway.target.namespace, policy);
    findings.obstacles = rights::lacking(cluster, needed).await?;
    findings.warnings = rights::controllers(cluster, crds).await?;
    for definition in crds {
        findings.obstacles.extend(definition.kind.mixed());
        findings.obstacles.extend(converted(definition));
    }
    let unreachable = gateway.obstacles(cluster).await;
    if !unreachable.is_empty() {
        findings.obstacles.extend(unreachable);
        return Ok(findings);
    }
    let lost = compare(gateway, crds, &mut findings.obstacles).await?;
    if arguments.accept_lost_fields {
        findings.warnings.extend(lost);
    } else {
        findings.obstacles.extend(lost);
    }
    Ok(findings)
}

/// Returns the obstacle of a conversion webhook, which the gateway does not call.
fn converted(definition: &Definition) -> Option<String> {
    let conversion = &definition.object["spec"]["conversion"];
    let name = &definition.kind.crd.0;
    (conversion["strategy"] == "Webhook").then(|| {
        format!("{name}: versions are converted by a webhook, which the gateway does not call")
    })
}

/// Returns a message for each version with fields that the gateway lacks; kinds and versions that it
/// lacks are obstacles.
async fn compare(
    gateway: &Gateway,
    crds: &[Definition],
    obstacles: &mut Vec<String>,
) -> Result<Vec<String>> {
    let mut documents: BTreeMap<(String, String), Option<Value>> = BTreeMap::new();
    let mut lost = Vec::new();
    for definition in crds {
        let kind = &definition.kind;
        for (version, _, _) in kind.versions.iter().filter(|(_, served, _)| *served) {
            let key = (kind.group.clone(), version.clone());
            if !documents.contains_key(&key) {
                let document = gateway.openapi(&kind.group, version).await?;
                documents.insert(key.clone(), document);
            }
            let document = documents.get(&key).and_then(Option::as_ref);
            let name = &kind.crd.0;
            let fields = document.and_then(|it| schemas::lost_fields(definition, version, it));
            match fields {
                None => obstacles.push(format!(
                    "{name}: the gateway does not serve version {version}: its objects would \
                     vanish. Give the CRD's manifest to the gateway with --resources"
                )),
                Some(fields) if fields.is_empty() => {}
                Some(fields) => lost.push(sentence(name, version, &fields)),
            }
        }
    }
    Ok(lost)
}

fn sentence(name: &str, version: &str, fields: &[String]) -> String {
    let shown: Vec<&str> = fields
        .iter()
        .take(NAMED_FIELDS)
        .map(String::as_str)
        .collect();
    let more = fields.len() - shown.len();
    let more = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    format!(
        "{name} {version}: the gateway does not know {}{more}: it would drop these fields at the \
         next write. Give the CRD's manifest to the gateway with --resources, or accept it with \
         --accept-lost-fields",
        shown.join(", ")
    )
}
