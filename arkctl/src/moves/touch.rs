//! Ends running watches on CRDs that an APIService hides. kube-apiserver keeps serving them without an
//! error and without changes; it ends them when the *spec* of the CRD changes.
//!
//! The change is a space at the end of a description, which no client interprets, and is undone.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use tokio::time::sleep;

use crate::crds::cluster::{Cluster, Definition, message};

const API: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
/// Attempts to change a CRD that changes meanwhile.
const ATTEMPTS: usize = 20;
/// kube-apiserver may take two changes for none if the second follows at once.
const PAUSE: Duration = Duration::from_secs(3);

/// Changes the spec of each CRD, and changes it back.
///
/// # Errors
/// If the cluster rejects a change.
pub(super) async fn touch(cluster: &Cluster, crds: &[Definition]) -> Result<()> {
    for marked in [true, false] {
        for definition in crds {
            change(cluster, &definition.kind.crd.0, marked).await?;
        }
        sleep(PAUSE).await;
    }
    Ok(())
}

async fn change(cluster: &Cluster, name: &str, marked: bool) -> Result<()> {
    let path = format!("{API}/{name}");
    for _ in 0..ATTEMPTS {
        let mut object = cluster.get(&path).await?;
        if !mark(&mut object, marked).with_context(|| format!("CRD {name} has no schema"))? {
            return Ok(());
        }
        let (status, response) = cluster.send("PUT", &path, Some(&object)).await?;
        match status {
            200 => return Ok(()),
            409 => {}
            _ => bail!("CRD {name}: {status} {}", message(&response)),
        }
    }
    bail!("CRD {name} changes all the time: which other program writes it?")
}

/// Adds or removes the mark; returns whether the object has changed. `None` if there is no schema.
fn mark(object: &mut Value, marked: bool) -> Option<bool> {
    let schema = object.pointer_mut("/spec/versions/0/schema/openAPIV3Schema")?;
    let fields = schema.as_object_mut()?;
    let text = fields.get("description").and_then(Value::as_str);
    let text = text.unwrap_or_default().to_owned();
    match (marked, text.strip_suffix(' ')) {
        (true, None) => fields.insert("description".to_owned(), format!("{text} ").into()),
        (false, Some("")) => fields.remove("description"),
        (false, Some(rest)) => fields.insert("description".to_owned(), rest.into()),
        _ => return Some(false),
    };
    Some(true)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::mark;

    #[test]
    fn mark_changes_the_spec_and_is_undone() {
        for schema in [
            json!({"type": "object"}),
            json!({"type": "object", "description": "A kind."}),
        ] {
            let of =
                |schema| json!({"spec": {"versions": [{"schema": {"openAPIV3Schema": schema}}]}});
            let original = of(schema);
            let mut object = original.clone();
            assert_eq!(mark(&mut object, true), Some(true));
            assert_ne!(object, original);
            assert_eq!(mark(&mut object, true), Some(false));
            assert_eq!(mark(&mut object, false), Some(true));
            assert_eq!(object, original);
            assert_eq!(mark(&mut object, false), Some(false));
        }
    }
}
