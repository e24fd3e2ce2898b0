//! The paths of a kind and their operations.

use serde_json::{Map, Value, json};

use super::kubernetes::Published;
use super::{Kind, SCALE, group_name, meta_name, model_name, reference};

const BODIES: &[&str] = &["application/json", "application/yaml"];

const PATCHES: &[&str] = &[
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
];

/// Adds all paths of a kind.
pub(super) fn add(kind: &Kind<'_>, published: &Published, paths: &mut Map<String, Value>) {
    let operations = Operations { kind, published };
    let base = match kind.group {
        "" => format!("/api/{}", kind.version),
        group => format!("/apis/{group}/{}", kind.version),
    };
    let namespace = if kind.namespaced {
        "/namespaces/{namespace}"
    } else {
        ""
    };
    let collection = format!("{base}{namespace}/{}", kind.plural);
    let list = model_name(kind, kind.list_kind);
    if kind.namespaced {
        let item = operations.everywhere_item(&list);
        paths.insert(format!("{base}/{}", kind.plural), item);
    }
    let scope = if kind.namespaced { "Namespaced" } else { "" };
    let name = format!("{scope}{}", kind.kind);
    let own = model_name(kind, kind.kind);
    let status = meta_name("Status");
    let item = json!({
        "get": operations.operation("list", &name, "", &list),
        "post": operations.operation("create", &name, "", &own),
        "delete": operations.operation("deletecollection", &format!("Collection{name}"), "", &status),
        "parameters": operations.path_parameters(false),
    });
    paths.insert(collection.clone(), item);
    let mut item = operations.object_item(&name, "", &own);
    item["delete"] = operations.operation("delete", &name, "", &status);
    paths.insert(format!("{collection}/{{name}}"), item);
    if kind.status {
        let item = operations.object_item(&format!("{name}Status"), " status of", &own);
        paths.insert(format!("{collection}/{{name}}/status"), item);
    }
    if kind.scale {
        let item = operations.object_item(&format!("{name}Scale"), " scale of", SCALE);
        paths.insert(format!("{collection}/{{name}}/scale"), item);
    }
}

/// Builds the operations of a kind.
#[derive(Clone, Copy)]
struct Operations<'a> {
    kind: &'a Kind<'a>,
    published: &'a Published,
}

impl Operations<'_> {
    /// The list of all namespaces.
    fn everywhere_item(&self, list: &str) -> Value {
        let suffix = format!("{}ForAllNamespaces", self.kind.kind);
        let mut operation = self.operation("list", &suffix, "", list);
        // With a single operation, its parameters belong to the path.
        let mut parameters = self.path_parameters(false);
        parameters.retain(|parameter| parameter["in"] == "query");
        if let Value::Array(own) = operation["parameters"].take() {
            parameters.extend(own);
        }
        parameters.sort_by_key(|parameter| parameter["name"].to_string());
        if let Some(fields) = operation.as_object_mut() {
            fields.remove("parameters");
        }
        json!({"get": operation, "parameters": parameters})
    }

    /// Reading, replacing and patching an object or a subresource, whose schema is `model`.
    fn object_item(&self, name: &str, part: &str, model: &str) -> Value {
        json!({
            "get": self.operation("read", name, part, model),
            "put": self.operation("replace", name, part, model),
            "patch": self.operation("patch", name, part, model),
            "parameters": self.path_parameters(true),
        })
    }

    fn path_parameters(&self, name: bool) -> Vec<Value> {
        let mut parameters = self.published.parameters("path");
        if !self.kind.namespaced {
            parameters.retain(|parameter| parameter["name"] != "namespace");
        }
        if name {
            let name = json!({
                "name": "name", "in": "path", "description": format!("name of the {}", self.kind.kind),
                "required": true, "schema": {"type": "string", "uniqueItems": true},
            });
            parameters.insert(0, name);
        }
        parameters
    }

    /// The operation of a verb on an object or a subresource; the response is a `model`.
    fn operation(&self, verb: &str, suffix: &str, part: &str, model: &str) -> Value {
        let kind = self.kind;
        let (action, prefix) = match verb {
            "deletecollection" => ("deletecollection", "delete"),
            "create" => ("post", "create"),
            "replace" => ("put", "replace"),
            "read" => ("get", "read"),
            other => (other, other),
        };
        let group = group_name(kind).trim_end_matches(".k8s.io");
        let (tag, group) = (camel_case(group, false), camel_case(group, true));
        let version = camel_case(kind.version, true);
        let mut operation = json!({
            "tags": [format!("{tag}_{}", kind.version)],
            "description": description(kind.kind, verb, part),
            "operationId": format!("{prefix}{group}{version}{suffix}"),
            "responses": responses(action, model),
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": {
                "group": kind.group, "version": kind.version, "kind": kind.kind,
            },
        });
        let parameters = self.published.parameters(action);
        if !parameters.is_empty() {
            operation["parameters"] = Value::Array(parameters);
        }
        match action {
            "post" | "put" => operation["requestBody"] = body(BODIES, model, true),
            "patch" => operation["requestBody"] = body(PATCHES, &meta_name("Patch"), true),
            "delete" => {
                operation["requestBody"] = body(BODIES, &meta_name("DeleteOptions"), false);
            }
            _ => {}
        }
        operation
    }
}

fn description(kind: &str, verb: &str, part: &str) -> String {
    match verb {
        "list" => format!("list objects of kind {kind}"),
        "deletecollection" => format!("delete collection of {kind}"),
        "patch" => format!("partially update{part} the specified {kind}"),
        "create" | "delete" => format!("{verb}{part} {}{kind}", article(kind)),
        other => format!("{other}{part} the specified {kind}"),
    }
}

fn body(types: &[&str], schema: &str, required: bool) -> Value {
    let mut body = json!({ "content": content(types, schema) });
    if required {
        body["required"] = Value::Bool(true);
    }
    body
}

fn content(types: &[&str], schema: &str) -> Map<String, Value> {
    let one = |kind: &&str| ((*kind).to_owned(), json!({ "schema": reference(schema) }));
    types.iter().map(one).collect()
}

fn responses(action: &str, schema: &str) -> Value {
    let codes: &[(&str, &str)] = match action {
        "post" => &[("200", "OK"), ("201", "Created"), ("202", "Accepted")],
        "put" => &[("200", "OK"), ("201", "Created")],
        "delete" => &[("200", "OK"), ("202", "Accepted")],
        _ => &[("200", "OK")],
    };
    let mut responses = json!({"401": {"description": "Unauthorized"}});
    for (code, description) in codes {
        let content = content(BODIES, schema);
        responses[code] = json!({"description": description, "content": content});
    }
    responses
}

/// `xExampleCom` or `XExampleCom` for `x.example.com`.
fn camel_case(text: &str, mut upper: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if !(c.is_ascii_alphanumeric() || c == '_') {
            upper = true;
        } else if upper {
            out.push(c.to_ascii_uppercase());
            upper = false;
        } else {
            out.push(c);
        }
    }
    out
}

fn article(kind: &str) -> &'static str {
    if kind.ends_with('s') && !kind.ends_with("ss") {
        return "";
    }
    if kind.starts_with(['a', 'e', 'i', 'o', 'u', 'A', 'E', 'I', 'O', 'U']) {
        return "an ";
    }
    "a "
}
