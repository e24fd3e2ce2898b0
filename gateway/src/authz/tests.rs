//! Decisions of the built-in authorizers and of unions.

use async_trait::async_trait;

use super::*;
use crate::request::user::MASTERS_GROUP;

async fn decide(authorizers: &Authorizers, groups: &[&str], request: &str) -> Result<(), String> {
    let (method, path) = request.split_once(' ').unwrap();
    let info = RequestInfo::parse(method, path, None).unwrap();
    let user = User::new("bob", groups.iter().map(|&group| group.to_owned()));
    let decided = authorizers.authorize(Arc::new(user), &info, None).await;
    decided.map(|_| ()).map_err(|rejection| match rejection {
        Rejection::Denied(denied) => denied.sentence,
        Rejection::Failed(error) => format!("failed: {error}"),
    })
}

#[tokio::test]
async fn built_in_authorizers_allow_masters_everything_and_others_probes() {
    for (groups, request, expected) in [
        (&[MASTERS_GROUP][..], "DELETE /apis/g/v1/foos", Ok(())),
        (&[], "GET /readyz", Ok(())),
        (
            &[],
            "GET /readyz/ping",
            Err("User \"bob\" cannot get path \"/readyz/ping\""),
        ),
        (
            &["dev"],
            "GET /nope",
            Err("User \"bob\" cannot get path \"/nope\""),
        ),
        (
            &[],
            "GET /<b>",
            Err("User \"bob\" cannot get path \"/&lt;b&gt;\""),
        ),
        (
            &[],
            "PUT /apis/x.io/v1/namespaces/d/foos/n/status",
            Err(
                "User \"bob\" cannot update resource \"foos/status\" in API group \"x.io\" \
                 in the namespace \"d\"",
            ),
        ),
        (
            &[],
            "GET /apis/x.io/v1/foos",
            Err(
                "User \"bob\" cannot list resource \"foos\" in API group \"x.io\" at the cluster scope",
            ),
        ),
    ] {
        let decided = decide(&Authorizers::built_in(), groups, request).await;
        assert_eq!(decided, expected.map_err(str::to_owned), "{request}");
    }
}

/// An authorizer that yields before it decides, as one that calls another server does.
#[derive(Debug)]
struct Fixed(Decision, &'static str, Option<&'static str>);

#[async_trait]
impl Authorizer for Fixed {
    async fn authorize(&self, _attributes: &Attributes<'_>) -> Verdict {
        tokio::task::yield_now().await;
        Verdict {
            decision: self.0,
            reason: self.1.to_owned(),
            error: self.2.map(|error| Error(error.to_owned())),
        }
    }
}

#[tokio::test]
async fn union_stops_at_first_decision() {
    use Decision::{Allow, Deny, NoOpinion};
    let denied = |reason: &str| Err(format!("User \"bob\" cannot get path \"/x\"{reason}"));
    for (authorizers, expected) in [
        (vec![], denied("")),
        (vec![Fixed(NoOpinion, "", None)], denied("")),
        (vec![Fixed(Allow, "", None), Fixed(Deny, "", None)], Ok(())),
        (
            vec![
                Fixed(NoOpinion, "a", None),
                Fixed(Deny, "b", None),
                Fixed(Allow, "", None),
            ],
            denied(": b"),
        ),
        (
            vec![Fixed(NoOpinion, "a", None), Fixed(Deny, "", None)],
            denied(""),
        ),
        (
            vec![Fixed(NoOpinion, "a", None), Fixed(NoOpinion, "b", None)],
            denied(": a\nb"),
        ),
        (
            vec![Fixed(NoOpinion, "", Some("down")), Fixed(Allow, "", None)],
            Ok(()),
        ),
        (
            vec![Fixed(NoOpinion, "a", Some("down"))],
            Err("failed: down".to_owned()),
        ),
        (
            vec![
                Fixed(NoOpinion, "", Some("down")),
                Fixed(NoOpinion, "", Some("late")),
                Fixed(NoOpinion, "", Some("down")),
            ],
            Err("failed: [down, late]".to_owned()),
        ),
        (
            vec![Fixed(NoOpinion, "", Some("down")), Fixed(Deny, "b", None)],
            denied(": b"),
        ),
    ] {
        let shown = format!("{authorizers:?}");
        let boxed = authorizers
            .into_iter()
            .map(|one| Box::new(one) as Box<dyn Authorizer>);
        let authorizers = Authorizers::new(boxed.collect());
        assert_eq!(
            decide(&authorizers, &[], "GET /x").await,
            expected,
            "{shown}"
        );
    }
}
