//! Reads a definition from its manifest.

use api_types::field::{Error, Path};
use api_types::names;
use serde_json::{Map, Value};

use super::fields::{list, object, text};
use super::{Definition, Loaded, Scope, Version, names as resource_names, strict, version};

pub(super) fn definition(manifest: &Value) -> Result<Loaded, Vec<Error>> {
    let mut errors = Vec::new();
    let mut warnings = Vec::new();
    type_meta(manifest, &mut errors);
    strict::check(manifest, &mut errors, &mut warnings);
    let spec_path = Path::new("spec");
    let spec = object(manifest.get("spec"), &spec_path, &mut errors);
    let group = group(spec, &spec_path, &mut errors);
    let scope = scope(spec, &spec_path, &mut errors);
    let versions = versions(spec, &spec_path, &mut errors, &mut warnings);
    let names_path = spec_path.child("names");
    let names_map = object(spec.get("names"), &names_path, &mut errors);
    let names = resource_names::read(names_map, &names_path, &mut errors);
    name(manifest, &names.plural, &group, &mut errors);
    approval(manifest, &group, &mut errors);
    unsupported(spec, &spec_path, &mut errors);
    if !errors.is_empty() {
        return Err(errors);
    }
    for version in &versions {
        warn(version, &mut warnings);
    }
    let definition = Definition {
        group: group.clone(),
        names,
        scope,
        versions,
    };
    Ok(Loaded {
        definition: with_deprecations(definition),
        warnings,
    })
}

fn type_meta(manifest: &Value, errors: &mut Vec<Error>) {
    for (key, want) in [
        ("apiVersion", "apiextensions.k8s.io/v1"),
        ("kind", "CustomResourceDefinition"),
    ] {
        let found = manifest.get(key).and_then(Value::as_str).unwrap_or("");
        if found != want {
            let detail = format!("must be {want}");
            errors.push(Error::invalid(Path::new(key), found, detail));
        }
    }
}

fn name(manifest: &Value, plural: &str, group: &str, errors: &mut Vec<Error>) {
    let name = manifest.pointer("/metadata/name").and_then(Value::as_str);
    let want = format!("{plural}.{group}");
    let metadata = Path::new("metadata");
    match name.unwrap_or("") {
        "" => {
            let detail = "name or generateName is required";
            errors.push(Error::required(metadata.child("name"), detail));
        }
        name if name != want => {
            let detail = "must be spec.names.plural+\".\"+spec.group";
            errors.push(Error::invalid(metadata.child("name"), name, detail));
        }
        _ => {}
    }
}

/// Requires the annotation of approved groups for the groups of the Kubernetes community.
fn approval(manifest: &Value, group: &str, errors: &mut Vec<Error>) {
    const ANNOTATION: &str = "api-approved.kubernetes.io";
    const SEE: &str = "see https://github.com/kubernetes/enhancements/pull/1111";
    let community = |domain: &str| {
        let rest = group.strip_suffix(domain);
        rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    if !community("k8s.io") && !community("kubernetes.io") {
        return;
    }
    let annotations = manifest.pointer("/metadata/annotations");
    let value = annotations
        .and_then(|it| it.get(ANNOTATION))
        .and_then(Value::as_str);
    let metadata = Path::new("metadata");
    let path = metadata.child("annotations");
    let path = path.key(ANNOTATION);
    let must = format!("protected groups must have approval annotation {ANNOTATION:?}");
    match value.unwrap_or_default() {
        "" => errors.push(Error::required(path, format!("{must}, {SEE}"))),
        text if text.starts_with("unapproved") || is_url(text) => {}
        text => {
            let detail =
                format!("{must} with either a URL or a reason starting with \"unapproved\", {SEE}");
            errors.push(Error::invalid(path, text, detail));
        }
    }
}

/// Whether a text is a URI with a scheme and a host.
fn is_url(text: &str) -> bool {
    let host = text.split_once("://").map(|(_, rest)| rest);
    let has_host = host.is_some_and(|host| !host.is_empty() && !host.starts_with(['/', '?']));
    has_host && crate::format::is_valid("uri", text)
}

fn group(spec: &Map<String, Value>, path: &Path<'_>, errors: &mut Vec<Error>) -> String {
    let group = text(spec, "group", path, errors);
    let path = path.child("group");
    let wrong = names::dns1123_subdomain(group);
    if group.is_empty() {
        errors.push(Error::required(path, ""));
    } else if !wrong.is_empty() {
        errors.push(Error::invalid(path, group, wrong.join(",")));
    } else if !group.contains('.') {
        let detail = "should be a domain with at least one dot";
        errors.push(Error::invalid(path, group, detail));
    }
    group.to_owned()
}

fn scope(spec: &Map<String, Value>, path: &Path<'_>, errors: &mut Vec<Error>) -> Scope {
    match text(spec, "scope", path, errors) {
        "Namespaced" => return Scope::Namespaced,
        "Cluster" => {}
        "" => errors.push(Error::required(path.child("scope"), "")),
        other => {
            let supported = ["Cluster", "Namespaced"];
            errors.push(Error::not_supported(path.child("scope"), other, &supported));
        }
    }
    Scope::Cluster
}

fn versions(
    spec: &Map<String, Value>,
    path: &Path<'_>,
    errors: &mut Vec<Error>,
    warnings: &mut Vec<String>,
) -> Vec<Version> {
    let items = list(spec, "versions", path, errors);
    let path = path.child("versions");
    let read = |(index, value)| version::read(value, &path.index(index), errors, warnings);
    let versions: Vec<Version> = items.iter().enumerate().map(read).collect();
    let mut names: Vec<&str> = versions.iter().map(|version| &*version.name).collect();
    names.sort_unstable();
    let shown = Value::Array(names.iter().map(|name| Value::from(*name)).collect());
    if names.windows(2).any(|pair| pair[0] == pair[1]) {
        let detail = "must contain unique version names";
        errors.push(Error::invalid(path, &shown, detail));
    }
    if versions.iter().filter(|version| version.storage).count() != 1 {
        let detail = "must have exactly one version marked as storage version";
        errors.push(Error::invalid(path, &shown, detail));
    }
    versions
}

/// Rejects features of kube-apiserver that this server does not support.
fn unsupported(spec: &Map<String, Value>, path: &Path<'_>, errors: &mut Vec<Error>) {
    if spec.get("preserveUnknownFields") == Some(&Value::Bool(true)) {
        let detail = "must be false";
        errors.push(Error::invalid(
            path.child("preserveUnknownFields"),
            true,
            detail,
        ));
    }
    let strategy = spec
        .get("conversion")
        .and_then(|conversion| conversion.get("strategy"))
        .and_then(Value::as_str);
    if let Some(strategy) = strategy.filter(|strategy| *strategy != "None") {
        let conversion = path.child("conversion");
        let path = conversion.child("strategy");
        errors.push(Error::not_supported(path, strategy, &["None"]));
    }
}

/// Warns about rules that are not evaluated.
fn warn(version: &Version, warnings: &mut Vec<String>) {
    let mut rules = 0;
    let mut open = vec![&*version.schema];
    while let Some(schema) = open.pop() {
        rules += schema.extensions.validations.len();
        open.extend(schema.children());
    }
    if rules > 0 {
        warnings.push(format!(
            "version {}: {rules} x-kubernetes-validations rules are kept but not evaluated",
            version.name
        ));
    }
}

/// Sets the warning of deprecated versions without a custom one.
fn with_deprecations(mut definition: Definition) -> Definition {
    let names: Vec<(String, bool)> = definition
        .versions
        .iter()
        .map(|version| {
            let usable = version.served && version.deprecated.is_none();
            (version.name.clone(), usable)
        })
        .collect();
    for version in &mut definition.versions {
        if version.deprecated.as_deref() == Some("") {
            let newer = newest(&names, &version.name);
            let (group, kind) = (&definition.group, &definition.names.kind);
            let mut warning = format!("{group}/{} {kind} is deprecated", version.name);
            if let Some(newer) = newer {
                warning.push_str(&format!("; use {group}/{newer} {kind}"));
            }
            version.deprecated = Some(warning);
        }
    }
    definition
}

/// The most preferred usable version, if it precedes `than` in version order.
fn newest<'a>(names: &'a [(String, bool)], than: &str) -> Option<&'a str> {
    names
        .iter()
        .filter(|(_, usable)| *usable)
        .map(|(name, _)| name.as_str())
        .filter(|name| api_types::version_order::compare(name, than).is_lt())
        .min_by(|a, b| api_types::version_order::compare(a, b))
}
