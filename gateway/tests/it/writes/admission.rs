//! Admission steps receive every kind of write, and their changes are validated.

use std::sync::Arc;

use api_types::gvk::GroupResource;
use api_types::status::ApiError;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use gateway::admission::{Attributes, Chain, ManageFields, Mutate, Objects, Review};
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::server::{TestServer, thing};

/// Records its calls; the label `wanted` selects its action.
#[derive(Clone, Debug, Default)]
struct Witness(Arc<Mutex<Vec<String>>>);

impl Witness {
    fn chain(&self) -> Chain {
        Chain {
            fields: vec![Box::new(self.clone())],
            mutating: vec![Box::new(self.clone())],
            validating: vec![Box::new(self.clone())],
            ..Chain::default()
        }
    }

    /// The lines since the last call.
    fn seen(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock())
    }

    fn note(
        &self,
        step: &str,
        attributes: &Attributes<'_>,
        old: Option<&Value>,
        new: Option<&Value>,
    ) {
        let size = |object: Option<&Value>| {
            object.map_or_else(|| "-".to_owned(), |it| it["spec"]["size"].to_string())
        };
        self.0.lock().push(format!(
            "{step} {:?} {} {}/{} {} {}>{} dry={} by {}",
            attributes.operation,
            attributes.verb,
            attributes.name,
            attributes.subresource,
            attributes.user.name,
            size(old),
            size(new),
            attributes.dry_run,
            attributes.field_manager,
        ));
    }
}

impl ManageFields for Witness {
    fn manage(
        &self,
        attributes: &Attributes<'_>,
        old: Option<&Arc<Value>>,
        new: &mut Value,
    ) -> Result<(), ApiError> {
        self.note("fields", attributes, old.map(|old| &**old), Some(new));
        Ok(())
    }
}

impl Mutate for Witness {
    fn handles(&self, _attributes: &Attributes<'_>) -> bool {
        true
    }

    fn mutate<'a>(
        &'a self,
        attributes: &'a Attributes<'_>,
        old: Option<&'a Arc<Value>>,
        new: Option<&'a mut Value>,
    ) -> BoxFuture<'a, Result<bool, ApiError>> {
        async move {
            self.note("mutate", attributes, old.map(|old| &**old), new.as_deref());
            let Some(object) = new else { return Ok(false) };
            match object["metadata"]["labels"]["wanted"].as_str() {
                Some("grow") => object["spec"]["size"] = json!(100),
                Some("break") => object["spec"]["size"] = json!("large"),
                Some("move") => object["metadata"]["namespace"] = json!("b"),
                _ => {}
            }
            Ok(true)
        }
        .boxed()
    }
}

impl Review for Witness {
    fn handles(&self, _attributes: &Attributes<'_>) -> bool {
        true
    }

    fn review<'a>(
        &'a self,
        attributes: &'a Attributes<'_>,
        objects: Objects<'a>,
    ) -> BoxFuture<'a, Result<(), ApiError>> {
        async move {
            let (old, new) = (objects.old.map(|it| &**it), objects.new.map(|it| &**it));
            self.note("review", attributes, old, new);
            let object = new.or(old);
            let wanted = object.map(|object| &object["metadata"]["labels"]["wanted"]);
            if wanted.is_some_and(|wanted| wanted == "nothing") {
                let resource = GroupResource::new("example.com", "things");
                return Err(ApiError::forbidden(&resource, attributes.name, "not today"));
            }
            Ok(())
        }
        .boxed()
    }
}

fn labelled(name: &str, wanted: &str) -> String {
    let mut object: Value = serde_json::from_str(&thing(name, 1)).expect("JSON");
    object["metadata"]["labels"] = json!({ "wanted": wanted });
    object.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_write_passes_admission_once() {
    let witness = Witness::default();
    let test_server = TestServer::admitting(witness.chain()).await;
    let by = "ark-admin";
    let all = |line: &str| -> Vec<String> {
        let steps: &[&str] = if line.starts_with("Delete") {
            &["mutate", "review"]
        } else {
            &["fields", "mutate", "review"]
        };
        steps.iter().map(|step| format!("{step} {line}")).collect()
    };
    let held = thing("held", 7).replace(
        r#""name":"held""#,
        r#""name":"held","finalizers":["example.com/f"]"#,
    );
    let cases = [
        (
            "POST things?fieldManager=me",
            thing("x", 1),
            "Create create x/ {by} ->1 dry=false by me",
        ),
        (
            "POST things",
            held,
            "Create create held/ {by} ->7 dry=false by unknown",
        ),
        (
            "MERGE things/x?dryRun=All&fieldManager=me",
            r#"{"spec":{"size":2}}"#.to_owned(),
            "Update patch x/ {by} 1>2 dry=true by me",
        ),
        (
            "MERGE things/x",
            r#"{"spec":{"size":2}}"#.to_owned(),
            "Update patch x/ {by} 1>2 dry=false by unknown",
        ),
        (
            "MERGE things/x/status",
            r#"{"status":{"a":2}}"#.to_owned(),
            "Update patch x/status {by} 2>2 dry=false by unknown",
        ),
        (
            "MERGE things/x/scale",
            r#"{"spec":{"replicas":2}}"#.to_owned(),
            "Update patch x/scale {by} 2>2 dry=false by unknown",
        ),
        (
            "DELETE things/held",
            String::new(),
            "Delete delete held/ {by} 7>7 dry=false by unknown",
        ),
        (
            "DELETE things/x",
            String::new(),
            "Delete delete x/ {by} 2>- dry=false by unknown",
        ),
        (
            "DELETE things",
            String::new(),
            "Delete deletecollection held/ {by} 7>7 dry=false by unknown",
        ),
    ];
    for (line, body, expected) in cases {
        // The cache is current: a write for an older object would repeat the steps after its
        // conflict.
        test_server.request("GET things", "").await.expect(200);
        let response = test_server.request(line, body).await;
        assert!(response.code < 300, "{line}: {response:?}");
        let expected = expected.replace("{by}", by);
        let mut expected = all(&expected);
        if line.contains("/scale") {
            // The managers of a Scale are those of one field of the object: its plan maps them.
            expected.retain(|call| !call.starts_with("fields "));
        }
        assert_eq!(witness.seen(), expected, "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn admission_changes_are_validated_and_stored() {
    let witness = Witness::default();
    let test_server = TestServer::admitting(witness.chain()).await;
    let grown = test_server
        .request("POST things", labelled("x", "grow"))
        .await;
    assert_eq!(grown.expect(201)["spec"]["size"], 100);
    let broken = test_server
        .request("POST things", labelled("y", "break"))
        .await;
    assert_eq!(broken.expect(422)["reason"], "Invalid");
    let moved = test_server
        .request("POST things", labelled("y", "move"))
        .await;
    assert_eq!(moved.expect(400)["reason"], "BadRequest");
    let patch = r#"{"metadata":{"labels":{"wanted":"break"}}}"#;
    test_server
        .request("MERGE things/x", patch)
        .await
        .expect(422);
    assert_eq!(
        test_server.x().await["metadata"]["labels"]["wanted"],
        "grow"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rejected_write_stores_nothing() {
    let witness = Witness::default();
    let test_server = TestServer::admitting(witness.chain()).await;
    let status = test_server
        .request("POST things", labelled("x", "nothing"))
        .await;
    assert_eq!(
        status.expect(403)["message"],
        r#"things.example.com "x" is forbidden: not today"#
    );
    test_server.request("GET things/x", "").await.expect(404);
    test_server
        .request("POST things", labelled("x", ""))
        .await
        .expect(201);
    let patch = r#"{"metadata":{"labels":{"wanted":"nothing"}}}"#;
    test_server
        .request("MERGE things/x", patch)
        .await
        .expect(403);
    test_server
        .request("MERGE things/x?dryRun=All", patch)
        .await
        .expect(403);
    assert_eq!(test_server.x().await["metadata"]["labels"]["wanted"], "");
}
