//! Requests that impersonate another user. This server does not support impersonation, so it must
//! reject all of them and never act as the administrator.

use http::Method;

use super::requests::{JSON, MERGE, dry, object, object_path};
use super::{Attack, Expect, Shot};
use crate::client::Request;
use crate::{kinds, seed};

pub(super) const ATTACKS: &[Attack] = &[Attack::requests(
    "impersonation/every-request",
    "Impersonate-User, -Group, -Uid and -Extra-* on every verb; then the object must still exist",
    every_request,
)];

fn every_request() -> Vec<Shot> {
    let object_path = object_path("forms");
    let collection = kinds::collection(seed::NAMESPACE, "forms");
    let requests = [
        Request::get(object_path.clone()),
        Request::get(collection.clone()),
        Request::get(format!("{collection}?watch=1&timeoutSeconds=1")),
        Request::get("/version"),
        Request::get("/apis"),
        Request::get("/openapi/v3"),
        Request::send(
            Method::POST,
            dry("forms"),
            JSON,
            object("forms", "new", "", "{}"),
        ),
        Request::send(
            Method::PATCH,
            object_path.clone(),
            MERGE,
            r#"{"spec":{"color":"stolen"}}"#,
        ),
        Request::send(Method::DELETE, object_path.clone(), JSON, ""),
        Request::send(Method::DELETE, collection, JSON, ""),
    ];
    let headers: [&[(&str, &str)]; 4] = [
        &[("impersonate-user", "nobody")],
        &[
            ("impersonate-user", "nobody"),
            ("impersonate-group", "system:masters"),
        ],
        &[("impersonate-user", "nobody"), ("impersonate-uid", "1")],
        &[
            ("impersonate-user", "nobody"),
            ("impersonate-extra-scopes", "view"),
        ],
    ];
    let mut shots = Vec::new();
    for request in requests {
        for headers in headers {
            let mut request = request.clone();
            let headers = headers
                .iter()
                .map(|(name, value)| (*name, (*value).to_owned()));
            request.headers.extend(headers);
            let shot = Shot::new("impersonation of another user", request);
            shots.push(shot.expect(Expect::Exactly(403)).copies(1));
        }
    }
    let group = Request::get(object_path.clone()).header("impersonate-group", "a");
    shots.push(
        Shot::new("a group without a user", group)
            .expect(Expect::Rejected)
            .copies(1),
    );
    let user = Request::get(object_path.clone()).header("impersonate-user", "nobody");
    shots.push(
        Shot::new("impersonation without credentials", user)
            .anonymous()
            .expect(Expect::Rejected)
            .copies(1),
    );
    shots.push(
        Shot::new("the object afterwards", Request::get(object_path))
            .expect(Expect::Success)
            .copies(1),
    );
    shots
}
