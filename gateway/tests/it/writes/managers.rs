//! Managers of stored objects that a definition of today does not know.

use serde_json::json;

use super::server::{TestServer, thing};

/// kube-apiserver 1.37 does the same: <https://github.com/kubernetes/kubernetes/issues/111937>
#[tokio::test(flavor = "multi_thread")]
async fn apply_fails_while_a_manager_has_a_removed_version() {
    let test_server = TestServer::of_x().await;
    let mut stored = test_server.x().await;
    stored["metadata"]["managedFields"] = json!([{
        "apiVersion": "example.com/v0",
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:spec": {"f:size": {}}},
        "manager": "m",
        "operation": "Apply",
        "time": "2026-01-01T00:00:00Z",
    }]);
    let stored = serde_json::to_vec(&stored).expect("JSON");
    test_server.fake.put([("a/x".to_owned(), stored)]);
    let apply = "APPLY things/x?fieldManager=n&force=true";
    let status = test_server.request(apply, thing("x", 2)).await.expect(500);
    assert_eq!(
        status["message"],
        "request to convert CR to an invalid group/version: example.com/v0"
    );
    let forget = r#"{"metadata":{"managedFields":[{}]}}"#;
    test_server
        .request("MERGE things/x", forget)
        .await
        .expect(200);
    test_server.request(apply, thing("x", 2)).await.expect(200);
}
