//! kubectl's verbs on our kinds and on the same kinds as CRDs.

use anyhow::{Result, bail};
use scenarios::report::print_line;
use serde_json::json;

use crate::crds::GROUPS;
use crate::kubectl::{Kubectl, Output};
use crate::users::{rule, user};
use crate::world::World;

const NAMESPACE: &str = "verbs";

/// In order; `{}` is the group.
const COMMANDS: &[&str] = &[
    "create -f widget.json",
    "create -f widget.json",
    "get widgets.{}",
    "get widgets.{} a -o wide",
    "get widgets.{} a -o yaml",
    "get widgets.{} -o name --field-selector spec.size=1",
    "describe widgets.{} a",
    "label widgets.{} a tier=one",
    "annotate widgets.{} a note=text",
    "get widgets.{} -l tier=one -o name",
    "patch widgets.{} a --type=merge -p {\"spec\":{\"size\":2}}",
    "patch widgets.{} a --type=json -p [{\"op\":\"test\",\"path\":\"/spec/size\",\"value\":9}]",
    "patch widgets.{} a --type=merge --subresource=status -p {\"status\":{\"phase\":\"Ready\"}}",
    "wait widgets.{} a --for=jsonpath={.status.phase}=Ready --timeout=10s",
    "scale widgets.{} a --replicas=3",
    "apply -f applied.json",
    "diff -f widget.json",
    "apply -f applied.json --dry-run=server -o yaml",
    "edit widgets.{} a",
    "replace -f replaced.json",
    "get widgets.{} a -o jsonpath={.spec}",
    "get --raw /apis/{}/v1/namespaces/verbs/widgets/none",
    "get widgets.{} --all-namespaces",
    "get realms.{}",
    "auth can-i delete widgets.{}",
    "delete widgets.{} a --dry-run=server",
    "delete widgets.{} a",
    "delete widgets.{} a",
    "create -f widget.json",
    "delete widgets.{} --all",
    "get widgets.{}",
];

pub(super) async fn kubectl(world: &mut World) -> Result<String> {
    let world = &*world;
    world.namespace(NAMESPACE).await?;
    let rules = [rule(&["*"], &["*"], &[])];
    world
        .grant(NAMESPACE, "editor", &rules, &user("editor"))
        .await?;
    for group in GROUPS {
        let resource = json!({"namespace": NAMESPACE, "verb": "create", "group": group,
            "resource": "widgets"});
        let spec = json!({"user": "editor", "resourceAttributes": resource});
        world.wait_allowed(&spec).await?;
    }
    let [ours, peer] = [run(world, GROUPS[0]).await?, run(world, GROUPS[1]).await?];
    let mut failures = 0;
    for ((command, ours), peer) in COMMANDS.iter().zip(ours).zip(peer) {
        if ours != peer {
            failures += 1;
            print_line(&format!(
                "kubectl {command}:\n{ours:#?}\ninstead of\n{peer:#?}"
            ));
        }
    }
    if failures > 0 {
        bail!("{failures} of {} commands differ", COMMANDS.len());
    }
    Ok(format!("{} commands", COMMANDS.len()))
}

/// Runs all commands on the kinds of a group.
async fn run(world: &World, group: &str) -> Result<Vec<Output>> {
    let folder = world.folder.path().join(group);
    std::fs::create_dir_all(&folder)?;
    for (name, size) in [("widget", 1), ("applied", 4), ("replaced", 5)] {
        let object = json!({"apiVersion": format!("{group}/v1"), "kind": "Widget",
            "metadata": {"name": "a"}, "spec": {"size": size, "replicas": 1}});
        std::fs::write(folder.join(format!("{name}.json")), format!("{object:#}"))?;
    }
    let kubeconfig = world.user("editor", None)?.kubeconfig;
    let kubectl = Kubectl::new(world, "editor", &kubeconfig, NAMESPACE)?;
    let mut outputs = Vec::new();
    for command in COMMANDS {
        let command = command.replace("{}", group);
        outputs.push(kubectl.run(&command, &folder).await?);
    }
    Ok(outputs)
}
