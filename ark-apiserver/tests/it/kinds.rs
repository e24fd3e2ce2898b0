//! Kinds of kube-apiserver that clients need, and names of the server.

use http::StatusCode;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::client::Client;
use crate::program::{DEADLINE, Program, eventually};

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const QUERIES: &str = "/apis/ark.mckinsey.com/v1alpha1/namespaces/team/queries";

/// Code and body of the response.
pub(crate) async fn call(
    client: &Client,
    method: &str,
    path: &str,
    body: &Value,
) -> (StatusCode, Value) {
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let (code, text) = client.send(method, path, body).await.expect("a response");
    (code, serde_json::from_str(&text).unwrap_or_default())
}

/// The body of a successful response.
pub(crate) async fn done(client: &Client, method: &str, path: &str, body: &Value) -> Value {
    let (code, answer) = call(client, method, path, body).await;
    assert!(code.is_success(), "{method} {path}: {code}: {answer}");
    answer
}

fn names(list: &Value) -> Vec<&str> {
    let items = list["items"].as_array().unwrap().iter();
    let names = items.map(|item| item["metadata"]["name"].as_str().unwrap());
    names.collect()
}

#[tokio::test]
async fn kinds_of_a_cluster_are_in_discovery() {
    let directory = tempfile::tempdir().unwrap();
    let program = Program::start(directory.path(), &[]);
    let admin = program.admin();
    for (path, resource, verbs) in [
        ("/api/v1", "namespaces", 8),
        ("/api/v1", "events", 8),
        ("/apis/events.k8s.io/v1", "events", 8),
        ("/apis/coordination.k8s.io/v1", "leases", 8),
        (
            "/apis/apiextensions.k8s.io/v1",
            "customresourcedefinitions",
            3,
        ),
        (
            "/apis/authorization.k8s.io/v1",
            "selfsubjectaccessreviews",
            1,
        ),
        (
            "/apis/authorization.k8s.io/v1",
            "selfsubjectrulesreviews",
            1,
        ),
        ("/apis/authentication.k8s.io/v1", "selfsubjectreviews", 1),
    ] {
        let list = done(&admin, "GET", path, &Value::Null).await;
        let mut resources = list["resources"].as_array().unwrap().iter();
        let found = resources.find(|it| it["name"] == resource).expect(resource);
        assert_eq!(
            found["verbs"].as_array().unwrap().len(),
            verbs,
            "{resource}"
        );
        assert_eq!(
            list["groupVersion"],
            path.rsplit_once("api/")
                .map_or_else(|| path.trim_start_matches("/apis/"), |(_, version)| version)
        );
    }
    let paths = done(&admin, "GET", "/openapi/v3", &Value::Null).await;
    assert!(paths["paths"]["api/v1"].is_object(), "{paths}");
    let document = done(&admin, "GET", "/openapi/v3/api/v1", &Value::Null).await;
    assert!(document["paths"]["/api/v1/namespaces/{namespace}/events"].is_object());
}

#[tokio::test]
async fn definitions_are_those_of_the_manifests() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let kinds = directory.path().join("kinds");
    std::fs::create_dir(&kinds).unwrap();
    let manifest = |column: &str| {
        json!({
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": "notes.x.io", "labels": {"a": "b"}},
            "spec": {
                "group": "x.io",
                "scope": "Namespaced",
                "names": {"kind": "Note", "plural": "notes"},
                "versions": [{
                    "name": "v1", "served": true, "storage": true,
                    "schema": {"openAPIV3Schema": {"type": "object"}},
                    "additionalPrinterColumns": [
                        {"name": column, "type": "string", "jsonPath": ".spec.a"},
                    ],
                }],
            },
        })
    };
    let file = kinds.join("notes.json");
    std::fs::write(&file, manifest("One").to_string()).unwrap();
    let arguments = ["--resources", kinds.to_str().unwrap()];
    let program = Program::start(&data, &arguments);
    let admin = program.admin();
    let list = done(&admin, "GET", DEFINITIONS, &Value::Null).await;
    let found = names(&list);
    assert!(found.contains(&"notes.x.io") && found.contains(&"queries.ark.mckinsey.com"));
    // Built-in kinds have no definition, as in kube-apiserver.
    assert!(
        found.iter().all(|name| !name.ends_with("k8s.io")),
        "{found:?}"
    );
    let path = format!("{DEFINITIONS}/notes.x.io");
    let note = done(&admin, "GET", &path, &Value::Null).await;
    assert_eq!(note["spec"]["names"]["listKind"], "NoteList");
    assert_eq!(note["metadata"]["labels"]["a"], "b");
    assert_eq!(note["status"]["conditions"][1]["type"], "Established");

    for (method, path, body) in [
        ("POST", DEFINITIONS, manifest("Two")),
        ("DELETE", path.as_str(), Value::Null),
        ("MERGE", path.as_str(), json!({"spec": {"group": "y.io"}})),
    ] {
        let (code, answer) = call(&admin, method, path, &body).await;
        assert_eq!(code, StatusCode::FORBIDDEN, "{answer}");
        let message = answer["message"].as_str().unwrap();
        assert!(message.contains("--resources DIR"), "{message}");
    }

    let watched = format!(
        "{DEFINITIONS}?watch=true&fieldSelector=metadata.name%3Dnotes.x.io&resourceVersion={}",
        note["metadata"]["resourceVersion"].as_str().unwrap()
    );
    let mut changed = admin.watch(&watched).await;
    std::fs::write(&file, manifest("Two").to_string()).unwrap();
    program.signal(Signal::HUP);
    let event = changed.event().await.unwrap();
    assert_eq!(event["type"], "MODIFIED");
    let column = &event["object"]["spec"]["versions"][0]["additionalPrinterColumns"][0];
    assert_eq!(column["name"], "Two");
    program.signal(Signal::TERM);
    assert!(program.ended().0.success());

    let program = Program::start(&data, &[]);
    let list = done(&program.admin(), "GET", DEFINITIONS, &Value::Null).await;
    assert!(!names(&list).contains(&"notes.x.io"));
}

#[tokio::test]
async fn namespace_begins_with_its_first_object_and_ends_with_its_last() {
    let directory = tempfile::tempdir().unwrap();
    let program = Program::start(directory.path(), &[]);
    let admin = program.admin();
    let namespaces = "/api/v1/namespaces";
    let team = "/api/v1/namespaces/team";
    let list = done(&admin, "GET", namespaces, &Value::Null).await;
    assert_eq!(names(&list), ["default"]);
    assert_eq!(list["items"][0]["status"]["phase"], "Active");

    let query = json!({
        "apiVersion": "ark.mckinsey.com/v1alpha1",
        "kind": "Query",
        "metadata": {"name": "held", "finalizers": ["x.io/held"]},
        "spec": {"input": "hello"},
    });
    let dry_run = format!("{QUERIES}?dryRun=All");
    done(&admin, "POST", &dry_run, &query).await;
    assert_eq!(
        call(&admin, "GET", team, &Value::Null).await.0,
        StatusCode::NOT_FOUND
    );
    done(&admin, "POST", QUERIES, &query).await;
    let created = done(&admin, "GET", team, &Value::Null).await;
    assert_eq!(
        created["metadata"]["labels"]["kubernetes.io/metadata.name"],
        "team"
    );
    assert_eq!(created["status"]["phase"], "Active");

    // As `kubectl replace` of a manifest does. The namespace is held until its objects are deleted.
    let no_finalizers = json!({"metadata": {"finalizers": null}});
    done(&admin, "MERGE", team, &no_finalizers).await;
    done(&admin, "DELETE", team, &Value::Null).await;
    done(&admin, "MERGE", team, &no_finalizers).await;
    let phase = async || done(&admin, "GET", team, &Value::Null).await["status"]["phase"].clone();
    eventually("the deletion begins", DEADLINE, async || {
        phase().await == "Terminating"
    })
    .await;
    let (code, answer) = call(
        &admin,
        "POST",
        QUERIES,
        &json!({
            "apiVersion": "ark.mckinsey.com/v1alpha1",
            "kind": "Query",
            "metadata": {"name": "late"},
            "spec": {"input": "hello"},
        }),
    )
    .await;
    assert_eq!(code, StatusCode::FORBIDDEN);
    assert_eq!(
        answer["message"],
        "queries.ark.mckinsey.com \"late\" is forbidden: unable to create new content in \
         namespace team because it is being terminated"
    );
    let held = format!("{QUERIES}/held");
    eventually("the object is being deleted", DEADLINE, async || {
        let held = done(&admin, "GET", &held, &Value::Null).await;
        held["metadata"]["deletionTimestamp"].is_string()
    })
    .await;
    done(
        &admin,
        "MERGE",
        &held,
        &json!({"metadata": {"finalizers": null}}),
    )
    .await;
    eventually("the namespace is gone", DEADLINE, async || {
        call(&admin, "GET", team, &Value::Null).await.0 == StatusCode::NOT_FOUND
    })
    .await;
}

#[tokio::test]
async fn default_namespace_stays_and_names_are_labels() {
    let directory = tempfile::tempdir().unwrap();
    let program = Program::start(directory.path(), &[]);
    let admin = program.admin();
    let (code, answer) = call(&admin, "DELETE", "/api/v1/namespaces/default", &Value::Null).await;
    assert_eq!(code, StatusCode::FORBIDDEN, "{answer}");
    // Clients with types of their own leave out the kind.
    let dotted = json!({"metadata": {"name": "a.b"}});
    let (code, answer) = call(&admin, "POST", "/api/v1/namespaces", &dotted).await;
    assert_eq!(code, StatusCode::UNPROCESSABLE_ENTITY, "{answer}");
}

#[tokio::test]
async fn namespaces_of_objects_from_earlier_releases_exist() {
    let directory = tempfile::tempdir().unwrap();
    // Only without controllers can a namespace be removed before its objects.
    let program = Program::start(directory.path(), &["--no-controllers"]);
    let query = json!({
        "apiVersion": "ark.mckinsey.com/v1alpha1",
        "kind": "Query",
        "metadata": {"name": "old"},
        "spec": {"input": "hello"},
    });
    let admin = program.admin();
    done(&admin, "POST", QUERIES, &query).await;
    let path = "/api/v1/namespaces/team";
    done(
        &admin,
        "MERGE",
        path,
        &json!({"metadata": {"finalizers": null}}),
    )
    .await;
    done(&admin, "DELETE", path, &Value::Null).await;
    assert_eq!(admin.get(path).await.0, StatusCode::NOT_FOUND);
    program.signal(Signal::TERM);
    assert!(program.ended().0.success());

    let program = Program::start(directory.path(), &[]);
    let admin = program.admin();
    eventually("the namespace exists", DEADLINE, async || {
        admin.get(path).await.0 == StatusCode::OK
    })
    .await;
}

#[tokio::test]
async fn event_is_the_same_in_both_groups() {
    let directory = tempfile::tempdir().unwrap();
    let program = Program::start(directory.path(), &[]);
    let admin = program.admin();
    let (core, events) = (
        "/api/v1/namespaces/default/events",
        "/apis/events.k8s.io/v1/namespaces/default/events",
    );
    let old = json!({
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": "old"},
        "involvedObject": {"kind": "Query", "name": "q", "uid": "1"},
        "reason": "Old", "message": "hello", "count": 1, "type": "Normal",
        "source": {"component": "test"}, "eventTime": null,
        "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2999-01-01T00:00:00Z",
    });
    done(&admin, "POST", core, &old).await;
    let shown = done(&admin, "GET", &format!("{events}/old"), &Value::Null).await;
    assert_eq!(shown["apiVersion"], "events.k8s.io/v1");
    assert_eq!(shown["regarding"]["name"], "q");
    assert_eq!(shown["note"], "hello");
    assert_eq!(shown["deprecatedCount"], 1);
    assert_eq!(shown["deprecatedSource"]["component"], "test");
    assert!(shown.get("message").is_none(), "{shown}");

    let new = json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "new"},
        "regarding": {"kind": "Query", "name": "q"}, "note": "bye", "reason": "New",
        "action": "Test", "type": "Normal", "reportingController": "x.io/c",
        "reportingInstance": "i", "eventTime": "2999-01-01T00:00:00.000001Z",
    });
    let created = done(&admin, "POST", events, &new).await;
    assert_eq!(created["note"], "bye");
    let path = "/api/v1/namespaces/default/events?fieldSelector=involvedObject.name%3Dq";
    let list = done(&admin, "GET", path, &Value::Null).await;
    assert_eq!(names(&list), ["new", "old"]);
    assert_eq!(list["items"][0]["message"], "bye");
    assert_eq!(list["items"][0]["reportingComponent"], "x.io/c");
    assert_eq!(list["items"][0]["kind"], "Event");

    let mut watch = admin
        .watch(&format!("{events}?watch=true&resourceVersion=0"))
        .await;
    let mut seen = vec![watch.event().await.unwrap(), watch.event().await.unwrap()];
    // What client-go's recorder sends.
    let request = http::Request::patch(format!("{core}/old"))
        .header("content-type", "application/strategic-merge-patch+json");
    let patch = json!({"count": 2, "message": "again"}).to_string();
    let (code, answer) = admin.response(request, patch.into()).await.unwrap();
    assert_eq!(code, StatusCode::OK, "{answer}");
    seen.push(watch.event().await.unwrap());
    let notes = seen.iter().map(|event| event["object"]["note"].as_str());
    let notes: Vec<_> = notes.map(Option::unwrap).collect();
    assert_eq!(notes, ["bye", "hello", "again"]);
    assert_eq!(seen[2]["object"]["deprecatedCount"], 2);

    done(
        &admin,
        "MERGE",
        &format!("{events}/new"),
        &json!({"note": "changed"}),
    )
    .await;
    let shown = done(&admin, "GET", &format!("{core}/new"), &Value::Null).await;
    assert_eq!(
        (&shown["message"], &shown["apiVersion"]),
        (&json!("changed"), &json!("v1"))
    );
    done(&admin, "DELETE", &format!("{events}/old"), &Value::Null).await;
    let (code, _) = call(&admin, "GET", &format!("{core}/old"), &Value::Null).await;
    assert_eq!(code, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn reviews_answer_about_their_user() {
    let directory = tempfile::tempdir().unwrap();
    let program = Program::start(directory.path(), &[]);
    let admin = program.admin();
    let rights = "/apis/authorization.k8s.io/v1";
    let review = |kind: &str, spec: Value| {
        json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": kind,
            "metadata": {"creationTimestamp": null}, "spec": spec,
            "status": {"allowed": false},
        })
    };
    let access = format!("{rights}/selfsubjectaccessreviews");
    let spec = json!({"resourceAttributes": {"verb": "get", "resource": "pods"}});
    let asked = review("SelfSubjectAccessReview", spec);
    let answer = done(&admin, "POST", &access, &asked).await;
    assert_eq!(answer["status"], json!({"allowed": true}));
    assert_eq!(answer["spec"]["resourceAttributes"]["resource"], "pods");
    let asked = review("SelfSubjectAccessReview", json!({}));
    let (code, answer) = call(&admin, "POST", &access, &asked).await;
    assert_eq!(code, StatusCode::UNPROCESSABLE_ENTITY, "{answer}");
    assert_eq!(
        answer["message"],
        ".authorization.k8s.io \"\" is invalid: spec: Invalid value: null: exactly one of \
         nonResourceAttributes or resourceAttributes must be specified"
    );

    let asked = review("SelfSubjectRulesReview", json!({"namespace": "default"}));
    let path = format!("{rights}/selfsubjectrulesreviews");
    let answer = done(&admin, "POST", &path, &asked).await;
    assert_eq!(answer["status"]["resourceRules"][0]["verbs"], json!(["*"]));

    let path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let asked = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let answer = done(&admin, "POST", path, &asked).await;
    let user = &answer["status"]["userInfo"];
    assert_eq!(user["username"], "ark-admin");
    assert_eq!(
        user["groups"],
        json!(["system:masters", "system:authenticated"])
    );
    let (code, answer) = call(&admin, "GET", path, &Value::Null).await;
    assert_eq!(code, StatusCode::METHOD_NOT_ALLOWED, "{answer}");
}

#[tokio::test]
async fn typed_objects_in_protobuf_are_accepted() {
    let directory = tempfile::tempdir().unwrap();
    let program = Program::start(directory.path(), &[]);
    let admin = program.admin();
    let send = async |method: &str, path: &str, body: &[u8]| {
        let request = http::Request::builder().method(method).uri(path);
        let request = request.header("content-type", "application/vnd.kubernetes.protobuf");
        let (code, text) = admin.response(request, body.to_vec().into()).await.unwrap();
        (code, serde_json::from_str::<Value>(&text).unwrap())
    };
    // `kubectl create namespace typed`: ObjectMeta has a name, and the other fields are empty.
    let namespace =
        b"k8s\0\x0a\x0f\x0a\x02v1\x12\x09Namespace\x12\x0d\x0a\x07\x0a\x05typed\x12\0\x1a\0";
    let (code, answer) = send("POST", "/api/v1/namespaces", namespace).await;
    assert_eq!(code, StatusCode::CREATED, "{answer}");
    assert_eq!(answer["metadata"]["name"], "typed");
    assert_eq!(answer["spec"]["finalizers"], json!(["kubernetes"]));
    // DeleteOptions with a propagation policy.
    let options = b"k8s\0\x0a\x13\x0a\x02v1\x12\x0dDeleteOptions\x12\x0c\x22\x0aBackground";
    let (code, answer) = send("DELETE", "/api/v1/namespaces/typed", options).await;
    assert!(code.is_success(), "{answer}");
    let (code, answer) = send("POST", "/api/v1/namespaces", b"k8s\0\x12\x02\x0a\x05").await;
    assert_eq!(code, StatusCode::BAD_REQUEST, "{answer}");
    // Custom resources have no messages.
    let (code, answer) = send("POST", QUERIES, namespace).await;
    assert_eq!(code, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{answer}");
}

#[tokio::test]
async fn server_is_reachable_by_its_further_names() {
    let directory = tempfile::tempdir().unwrap();
    let program = Program::start(directory.path(), &["--tls-san", "ark.example.com,10.9.8.7"]);
    for name in ["ark.example.com", "10.9.8.7", "localhost"] {
        assert!(program.admin().under_name(name).is_ready().await, "{name}");
    }
    assert!(
        program
            .admin()
            .under_name("x.example.com")
            .connect()
            .await
            .is_none()
    );
    drop(program);

    let url = "https://other.example.com:8443";
    let program = Program::start(directory.path(), &["--advertise-url", url]);
    let kubeconfig = std::fs::read_to_string(directory.path().join("kubeconfig")).unwrap();
    assert!(
        kubeconfig.contains(&format!("server: {url}\n")),
        "{kubeconfig}"
    );
    drop(program);

    // The certificate is still that of the run before.
    let program = Program::start(directory.path(), &[]);
    assert!(
        program
            .admin()
            .under_name("other.example.com")
            .is_ready()
            .await
    );
}
