//! Checks of the chart's files: what a rendering depends on, and lists that must follow other parts
//! of the repository.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use scenarios::repository::files_below;
use serde_json::Value;

use crate::helm::Helm;
use crate::rendered::items;
use crate::report::Report;

/// Functions and objects whose result differs between two renderings, or between `helm install` and
/// `helm template`.
const IMPURE: &[&str] = &[
    "lookup ",
    "genCA",
    "genSelfSigned",
    "genSignedCert",
    "genPrivateKey",
    "rand",
    "uuidv4",
    "now ",
    "Release.IsInstall",
    "Release.IsUpgrade",
    "Release.Revision",
    ".Capabilities",
];

/// Prefixes of the metrics of this repository.
const METRIC_PREFIXES: &[&str] = &["ark_", "apiserver_"];

/// Checks the files.
pub(crate) fn check(helm: &Helm, report: &mut Report) -> Result<()> {
    let chart = helm.root.join("chart");
    for file in files_below(&chart.join("templates"), &["yaml", "tpl", "txt"])? {
        let text = std::fs::read_to_string(&file)?;
        let name = file.display().to_string();
        for impure in IMPURE {
            report.expect(&name, !text.contains(impure), || format!("uses {impure:?}"));
        }
        let hooks = text.contains("helm.sh/hook");
        let test = name.ends_with("templates/tests/available.yaml");
        report.expect(&name, hooks == test, || {
            "hooks other than the test".to_owned()
        });
    }
    report.record("kinds in the roles", kinds(&helm.root));
    report.record("values and schema", values_and_schema(&chart));
    for file in [
        "templates/prometheusrule.yaml",
        "dashboards/ark-apiserver.json",
    ] {
        report.record(file, metrics(&helm.root, &chart.join(file)));
    }
    Ok(())
}

/// The roles of users list Ark's kinds, by scope.
fn kinds(root: &Path) -> Result<()> {
    let names = std::fs::read_to_string(root.join("chart/templates/_names.tpl"))?;
    let mut expected = [BTreeSet::new(), BTreeSet::new()];
    for file in files_below(&root.join("kinds/ark"), &["yaml"])? {
        let manifest: Value = serde_saphyr::from_str(&std::fs::read_to_string(&file)?)?;
        let plural = manifest["spec"]["names"]["plural"].as_str();
        let cluster = manifest["spec"]["scope"] == "Cluster";
        expected[usize::from(cluster)].insert(plural.context("no plural")?.to_owned());
    }
    for (template, expected) in ["ark.namespacedKinds", "ark.clusterKinds"]
        .iter()
        .zip(expected)
    {
        let (_, rest) = names
            .split_once(&format!("define {template:?} -}}}}\n["))
            .with_context(|| format!("no template {template}"))?;
        let list = rest.split(']').next().unwrap_or_default();
        let found: BTreeSet<String> = list.split(", ").map(str::to_owned).collect();
        ensure!(
            found == expected,
            "{template}: {found:?}, but kinds/ark has {expected:?}"
        );
    }
    Ok(())
}

/// Every value of the schema has a default in values.yaml, where its comment documents it. The
/// opposite is checked by Helm, because the schema permits no other values.
fn values_and_schema(chart: &Path) -> Result<()> {
    let values: Value =
        serde_saphyr::from_str(&std::fs::read_to_string(chart.join("values.yaml"))?)?;
    let schema: Value = serde_json::from_slice(&std::fs::read(chart.join("values.schema.json"))?)?;
    let mut missing = Vec::new();
    compare(&schema, &schema, &values, "", &mut missing);
    missing.retain(|path| path != "/global");
    ensure!(missing.is_empty(), "not in values.yaml: {missing:?}");
    Ok(())
}

/// The depth is that of the schema, which is a file of the chart.
fn compare(root: &Value, schema: &Value, values: &Value, path: &str, missing: &mut Vec<String>) {
    let schema = match schema["$ref"].as_str() {
        Some(name) => &root["definitions"][name.trim_start_matches("#/definitions/")],
        None => schema,
    };
    let Some(properties) = schema["properties"].as_object() else {
        return;
    };
    // Maps that users fill, and fields of Kubernetes.
    if values.as_object().is_some_and(serde_json::Map::is_empty) || path.ends_with("Probe") {
        return;
    }
    for (name, property) in properties {
        let path = format!("{path}/{name}");
        match values.get(name) {
            Some(value) => compare(root, property, value, &path, missing),
            None if path.ends_with("esources/claims") => {}
            None => missing.push(path),
        }
    }
}

/// Metrics of alerts and dashboards are documented.
fn metrics(root: &Path, file: &Path) -> Result<()> {
    let guide = std::fs::read_to_string(root.join("docs/operating.md"))?;
    let text = std::fs::read_to_string(file)?;
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c: char| !is_part(c));
    let names: BTreeSet<&str> = words
        .filter(|word| {
            METRIC_PREFIXES
                .iter()
                .any(|prefix| word.starts_with(prefix))
        })
        .map(|word| {
            ["_bucket", "_count", "_sum"]
                .iter()
                .find_map(|suffix| word.strip_suffix(suffix))
                .unwrap_or(word)
        })
        .collect();
    ensure!(!names.is_empty(), "names no metric");
    for name in names {
        ensure!(
            guide.contains(&format!("`{name}`")),
            "{name} is not in docs/operating.md"
        );
    }
    Ok(())
}

/// The rendering with tests has no hooks but those of `helm test`, and each of them is deleted.
pub(crate) fn hooks(objects: &[crate::object::Object]) -> Result<()> {
    let hook = |it: &&crate::object::Object| {
        it.value["metadata"]["annotations"]
            .get("helm.sh/hook")
            .is_some()
    };
    let mut pods = 0;
    for object in objects.iter().filter(hook) {
        let annotations = &object.value["metadata"]["annotations"];
        ensure!(
            annotations["helm.sh/hook"] == "test",
            "{} is another hook",
            object.id()
        );
        let deleted = annotations["helm.sh/hook-delete-policy"].as_str();
        ensure!(
            deleted.is_some_and(|it| it.contains("hook-succeeded")),
            "{} stays",
            object.id()
        );
        if object.kind() == "Pod" {
            pods += 1;
            let spec = &object.value["spec"];
            let all = items(&spec["initContainers"]).chain(items(&spec["containers"]));
            for container in all {
                ensure!(
                    container["securityContext"]["readOnlyRootFilesystem"] == true,
                    "writable root"
                );
            }
        }
    }
    ensure!(pods == 1, "{pods} pods of helm test");
    Ok(())
}
