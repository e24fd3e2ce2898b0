//! Checks of rendered objects that need no server.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::cases::{BESIDE_CRDS, Case};
use crate::helm::Helm;
use crate::object::{Object, only};
use crate::report::Report;

/// Renders a case.
///
/// # Errors
/// If Helm rejects the values, or its output is not YAML.
pub(crate) async fn render(helm: &Helm, case: &Case) -> Result<Vec<Object>> {
    if case.lint {
        helm.lint(&case.values).await.context("lint")?;
    }
    Object::parse(&helm.template(&case.values).await?)
}

/// A check of the objects of a case.
type Check = fn(&Case, &[Object]) -> Result<()>;

/// Checks the objects of a case.
pub(crate) fn check(case: &Case, objects: &[Object], report: &mut Report) {
    let checks: &[(&str, Check)] = &[
        ("objects", plain_objects),
        ("rules", least_rules),
        ("deployment", deployment),
        ("containers", containers),
        ("volumes", volumes),
        ("references", references),
    ];
    for (name, check) in checks {
        report.record(&format!("{}: {name}", case.name), check(case, objects));
    }
}

/// No hooks, so that `kubectl apply` and GitOps tools install the same as Helm; no generated
/// Secrets, which would change with each rendering; no object twice.
fn plain_objects(_: &Case, objects: &[Object]) -> Result<()> {
    let mut seen = BTreeSet::new();
    for object in objects {
        let annotations = object.value["metadata"]["annotations"].to_string();
        ensure!(
            !annotations.contains("helm.sh/hook"),
            "{} is a hook",
            object.id()
        );
        let secret = object.kind() == "Secret";
        let filled = object.value.get("data").is_some() || object.value.get("stringData").is_some();
        ensure!(!(secret && filled), "{} has content", object.id());
        ensure!(seen.insert(object.path()?), "{} occurs twice", object.id());
    }
    Ok(())
}

/// No wildcards, and Secrets only by name.
fn least_rules(_: &Case, objects: &[Object]) -> Result<()> {
    let is_role = |object: &&Object| matches!(object.kind(), "Role" | "ClusterRole");
    for role in objects.iter().filter(is_role) {
        for rule in items(&role.value["rules"]) {
            let text = rule.to_string();
            ensure!(!text.contains("\"*\""), "{} has a wildcard", role.id());
            if items(&rule["resources"]).any(|it| it == "secrets") {
                let named = items(&rule["resourceNames"]).count() == 1;
                ensure!(role.kind() == "Role" && named, "{}: {text}", role.id());
            }
        }
    }
    Ok(())
}

fn deployment(case: &Case, objects: &[Object]) -> Result<()> {
    let spec = &only(objects, "Deployment")?.value["spec"];
    let expected = &case.pods;
    ensure!(
        spec["replicas"] == expected.replicas,
        "replicas {}",
        spec["replicas"]
    );
    let strategy = &spec["strategy"];
    ensure!(strategy["type"] == expected.strategy, "strategy {strategy}");
    if expected.strategy == "RollingUpdate" {
        let unavailable = &strategy["rollingUpdate"]["maxUnavailable"];
        ensure!(*unavailable == 0, "maxUnavailable {unavailable}");
    }
    let pod = &spec["template"]["spec"];
    let init: Vec<&str> = items(&pod["initContainers"])
        .filter_map(|it| it["name"].as_str())
        .collect();
    ensure!(init == expected.init, "init containers {init:?}");
    // A driver that were an ordinary container would get SIGTERM together with the gateway.
    for container in items(&pod["initContainers"]) {
        let stays = container["restartPolicy"] == "Always";
        let driver = container["name"] == "driver" || container["name"] == "source";
        ensure!(stays == driver, "restartPolicy of {}", container["name"]);
    }
    let budgets = objects
        .iter()
        .filter(|it| it.kind() == "PodDisruptionBudget")
        .count();
    ensure!(
        budgets == usize::from(expected.replicas > 1),
        "{budgets} PodDisruptionBudgets"
    );
    Ok(())
}

/// A read-only root, and the token of the service account in no container but the gateway.
fn containers(_: &Case, objects: &[Object]) -> Result<()> {
    let pod = &only(objects, "Deployment")?.value["spec"]["template"]["spec"];
    ensure!(
        pod["automountServiceAccountToken"] == false,
        "the token is mounted everywhere"
    );
    for container in items(&pod["initContainers"]).chain(items(&pod["containers"])) {
        let name = container["name"].as_str().unwrap_or_default();
        let context = &container["securityContext"];
        ensure!(
            context["readOnlyRootFilesystem"] == true,
            "{name} has a writable root"
        );
        let token = items(&container["volumeMounts"]).any(|it| it["name"] == "token");
        ensure!(token == (name == "gateway"), "token of {name}");
        let memory = &container["resources"]["limits"]["memory"];
        ensure!(memory.is_string(), "{name} has no memory limit");
        let image = container["image"].as_str().unwrap_or_default();
        let tagged = image.contains("@sha256:")
            || image.rsplit('/').next().is_some_and(|it| it.contains(':'));
        ensure!(
            tagged && !image.ends_with(":latest"),
            "{name}: image {image:?}"
        );
    }
    Ok(())
}

/// Every mounted volume exists, and every volume is mounted.
fn volumes(_: &Case, objects: &[Object]) -> Result<()> {
    let pod = &only(objects, "Deployment")?.value["spec"]["template"]["spec"];
    let mut used: BTreeMap<&str, bool> = BTreeMap::new();
    for volume in items(&pod["volumes"]) {
        let name = volume["name"].as_str().context("a volume without a name")?;
        ensure!(
            used.insert(name, false).is_none(),
            "volume {name} occurs twice"
        );
    }
    for container in items(&pod["initContainers"]).chain(items(&pod["containers"])) {
        for mount in items(&container["volumeMounts"]) {
            let name = mount["name"].as_str().unwrap_or_default();
            match used.get_mut(name) {
                Some(seen) => *seen = true,
                None => bail!("{} mounts {name}, which does not exist", container["name"]),
            }
        }
    }
    let unused: Vec<_> = used.iter().filter(|(_, used)| !**used).collect();
    ensure!(unused.is_empty(), "unused volumes {unused:?}");
    Ok(())
}

/// Objects that name each other exist: Service, ports, labels, claim, account.
fn references(case: &Case, objects: &[Object]) -> Result<()> {
    let service = only(objects, "Service")?;
    let template = &only(objects, "Deployment")?.value["spec"]["template"];
    let pod = &template["spec"];
    let labels = &template["metadata"]["labels"];
    let selector = service.value["spec"]["selector"]
        .as_object()
        .context("a Service without selector")?;
    for (key, value) in selector {
        ensure!(labels[key] == *value, "the Service selects {key}={value}");
    }
    let ports = items(&pod["containers"]).chain(items(&pod["initContainers"]));
    let ports: BTreeSet<&str> = ports
        .flat_map(|container| items(&container["ports"]))
        .filter_map(|port| port["name"].as_str())
        .collect();
    let port = &service.value["spec"]["ports"][0];
    ensure!(
        port["targetPort"]
            .as_str()
            .is_some_and(|it| ports.contains(it)),
        "targetPort {port}"
    );
    for policy in objects.iter().filter(|it| it.kind() == "NetworkPolicy") {
        for rule in items(&policy.value["spec"]["ingress"]) {
            let named = items(&rule["ports"])
                .all(|it| it["port"].as_str().is_some_and(|it| ports.contains(it)));
            ensure!(named, "ports of the NetworkPolicy: {rule}");
        }
    }
    let mut versions = 0;
    for api_service in objects.iter().filter(|it| it.kind() == "APIService") {
        let spec = &api_service.value["spec"];
        versions += 1;
        ensure!(
            spec["service"]["name"] == *service.name(),
            "{} names another Service",
            api_service.id()
        );
        ensure!(
            spec["service"]["port"] == port["port"],
            "{} names another port",
            api_service.id()
        );
        let unverified = spec["insecureSkipTLSVerify"] == true;
        ensure!(
            !(unverified && spec.get("caBundle").is_some()),
            "{} contradicts itself",
            api_service.id()
        );
    }
    let registers = case.name != BESIDE_CRDS;
    ensure!((versions > 0) == registers, "{versions} APIServices");
    let account = only(objects, "ServiceAccount")?;
    ensure!(
        pod["serviceAccountName"] == *account.name(),
        "another service account"
    );
    for claim in objects
        .iter()
        .filter(|it| it.kind() == "PersistentVolumeClaim")
    {
        let used = items(&pod["volumes"])
            .any(|it| it["persistentVolumeClaim"]["claimName"] == *claim.name());
        ensure!(used, "{} is not used", claim.id());
        let kept = &claim.value["metadata"]["annotations"]["helm.sh/resource-policy"];
        ensure!(
            *kept == "keep",
            "{} would be deleted with the release",
            claim.id()
        );
    }
    Ok(())
}

/// The items of an array; none if it is absent.
pub(crate) fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}
