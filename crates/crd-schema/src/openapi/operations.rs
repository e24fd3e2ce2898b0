//! The paths of a kind and what can be done there.

use serde_json::{Map, Value, json};

use super::{Kind, SCALE, meta_name, model_name, reference};

/// Query parameters: name, type, description.
type Parameter = (&'static str, &'static str, &'static str);

const PRETTY: Parameter = ("pretty", "string", "Whether JSON is indented.");

const LIST: &[Parameter] = &[
    (
        "allowWatchBookmarks",
        "boolean",
        "Whether a watch may send bookmarks.",
    ),
    (
        "continue",
        "string",
        "Where to go on with a list, from the page before.",
    ),
    ("fieldSelector", "string", "Which fields objects must have."),
    ("labelSelector", "string", "Which labels objects must have."),
    ("limit", "integer", "How many objects a page holds at most."),
    (
        "resourceVersion",
        "string",
        "The revision to list at or to watch from.",
    ),
    (
        "resourceVersionMatch",
        "string",
        "How the revision is meant: Exact or NotOlderThan.",
    ),
    (
        "sendInitialEvents",
        "boolean",
        "Whether a watch begins with the objects there are.",
    ),
    (
        "shardSelector",
        "string",
        "Which part of the objects to list; not served.",
    ),
    (
        "timeoutSeconds",
        "integer",
        "After how many seconds to end.",
    ),
    (
        "watch",
        "boolean",
        "Whether to stream changes rather than list.",
    ),
];

const GET: &[Parameter] = &[(
    "resourceVersion",
    "string",
    "How fresh the object has to be.",
)];

const WRITE: &[Parameter] = &[
    (
        "dryRun",
        "string",
        "All: do everything but store the outcome.",
    ),
    (
        "fieldManager",
        "string",
        "Who the written fields belong to.",
    ),
    (
        "fieldValidation",
        "string",
        "What to do about unknown fields: Ignore, Warn or Strict.",
    ),
];

const FORCE: Parameter = (
    "force",
    "boolean",
    "Whether an apply takes fields from other managers.",
);

const DELETE: &[Parameter] = &[
    ("dryRun", "string", "All: do everything but delete."),
    (
        "gracePeriodSeconds",
        "integer",
        "How long the object may take to stop.",
    ),
    (
        "ignoreStoreReadErrorWithClusterBreakingPotential",
        "boolean",
        "Whether to delete what cannot be read; not served.",
    ),
    (
        "orphanDependents",
        "boolean",
        "The older form of propagationPolicy Orphan.",
    ),
    (
        "propagationPolicy",
        "string",
        "What becomes of dependents: Foreground, Background or Orphan.",
    ),
];

const BODIES: &[&str] = &["application/json", "application/yaml"];

const PATCHES: &[&str] = &[
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
];

/// Adds all paths of a kind.
pub(super) fn add(kind: &Kind<'_>, paths: &mut Map<String, Value>) {
    let base = format!("/apis/{}/{}", kind.group, kind.version);
    let namespace = if kind.namespaced {
        "/namespaces/{namespace}"
    } else {
        ""
    };
    let collection = format!("{base}{namespace}/{}", kind.plural);
    if kind.namespaced {
        let suffix = format!("{}ForAllNamespaces", kind.kind);
        let mut item = json!({"get": kind.operation("list", &suffix, "", &[])});
        // With one operation, its parameters are the path's.
        let mut shared = LIST.to_vec();
        shared.push(PRETTY);
        shared.sort_unstable();
        item["parameters"] = shared.iter().map(query).collect();
        paths.insert(format!("{base}/{}", kind.plural), item);
    }
    let scope = if kind.namespaced { "Namespaced" } else { "" };
    let name = format!("{scope}{}", kind.kind);
    let item = json!({
        "get": kind.operation("list", &name, "", LIST),
        "post": kind.operation("create", &name, "", WRITE),
        "delete": kind.operation("deletecollection", &format!("Collection{name}"), "", LIST),
        "parameters": kind.path_parameters(false),
    });
    paths.insert(collection.clone(), item);
    let own = model_name(kind, kind.kind);
    let mut item = kind.object_item(&name, "", &own);
    item["delete"] = kind.operation("delete", &name, "", DELETE);
    paths.insert(format!("{collection}/{{name}}"), item);
    if kind.status {
        let item = kind.object_item(&format!("{name}Status"), " status of", &own);
        paths.insert(format!("{collection}/{{name}}/status"), item);
    }
    if kind.scale {
        let item = kind.object_item(&format!("{name}Scale"), " scale of", SCALE);
        paths.insert(format!("{collection}/{{name}}/scale"), item);
    }
}

impl Kind<'_> {
    /// Reading, replacing and patching an object or a part of it, whose schema is `model`.
    fn object_item(&self, name: &str, part: &str, model: &str) -> Value {
        let mut patch = WRITE.to_vec();
        patch.push(FORCE);
        let operation =
            |verb, parameters: &[Parameter]| self.operation_on(verb, name, part, parameters, model);
        json!({
            "get": operation("read", GET),
            "put": operation("replace", WRITE),
            "patch": operation("patch", &patch),
            "parameters": self.path_parameters(true),
        })
    }

    fn path_parameters(&self, name: bool) -> Value {
        let path = |name: &str, description: &str| {
            let schema = json!({"type": "string", "uniqueItems": true});
            json!({
                "name": name, "in": "path", "description": description, "required": true,
                "schema": schema,
            })
        };
        let mut parameters = Vec::new();
        if name {
            parameters.push(path("name", &format!("name of the {}", self.kind)));
        }
        if self.namespaced {
            parameters.push(path("namespace", "The namespace of the object."));
        }
        parameters.push(query(&PRETTY));
        Value::Array(parameters)
    }

    fn operation(&self, verb: &str, suffix: &str, part: &str, parameters: &[Parameter]) -> Value {
        let own = model_name(self, self.kind);
        self.operation_on(verb, suffix, part, parameters, &own)
    }

    fn operation_on(
        &self,
        verb: &str,
        suffix: &str,
        part: &str,
        parameters: &[Parameter],
        model: &str,
    ) -> Value {
        let own = model.to_owned();
        let (action, prefix, answer) = match verb {
            "list" => ("list", "list", model_name(self, self.list_kind)),
            "deletecollection" => ("deletecollection", "delete", meta_name("Status")),
            "delete" => ("delete", "delete", meta_name("Status")),
            "create" => ("post", "create", own.clone()),
            "replace" => ("put", "replace", own.clone()),
            "read" => ("get", "read", own.clone()),
            other => (other, other, own.clone()),
        };
        let tag = camel_case(self.group.trim_end_matches(".k8s.io"), false);
        let group = camel_case(self.group.trim_end_matches(".k8s.io"), true);
        let version = camel_case(self.version, true);
        let mut operation = json!({
            "tags": [format!("{tag}_{}", self.version)],
            "description": self.description(verb, part),
            "operationId": format!("{prefix}{group}{version}{suffix}"),
            "responses": responses(action, &answer),
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": {
                "group": self.group, "version": self.version, "kind": self.kind,
            },
        });
        if !parameters.is_empty() {
            operation["parameters"] = parameters.iter().map(query).collect();
        }
        match action {
            "post" | "put" => operation["requestBody"] = body(BODIES, &own, true),
            "patch" => operation["requestBody"] = body(PATCHES, &meta_name("Patch"), true),
            "delete" => {
                operation["requestBody"] = body(BODIES, &meta_name("DeleteOptions"), false);
            }
            _ => {}
        }
        operation
    }

    fn description(&self, verb: &str, part: &str) -> String {
        let kind = self.kind;
        match verb {
            "list" => format!("list objects of kind {kind}"),
            "deletecollection" => format!("delete collection of {kind}"),
            "patch" => format!("partially update{part} the specified {kind}"),
            "create" | "delete" => format!("{verb}{part} {}{kind}", article(kind)),
            other => format!("{other}{part} the specified {kind}"),
        }
    }
}

fn query((name, kind, description): &Parameter) -> Value {
    json!({
        "name": name, "in": "query", "description": description,
        "schema": {"type": kind, "uniqueItems": true},
    })
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
