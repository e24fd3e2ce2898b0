//! kube-rs: dynamic objects from discovery, server-side apply, a watcher, typed errors, reviews.

use std::pin::pin;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures_util::{Stream, StreamExt as _};
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::discovery;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, ResourceExt as _};
use serde_json::json;

const NAMESPACE: &str = "kube-rs";
/// Timeout of the whole program.
const TIMEOUT: Duration = Duration::from_secs(120);

#[tokio::main]
async fn main() -> Result<()> {
    // `install_default` fails if a provider is set; none is set before this call.
    let _ = rustls::crypto::ring::default_provider().install_default();
    tokio::time::timeout(TIMEOUT, run())
        .await
        .context("timeout")?
}

async fn run() -> Result<()> {
    let client = Client::try_default().await?;
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let namespace = serde_json::from_value(json!({"metadata": {"name": NAMESPACE}}))?;
    namespaces
        .create(&PostParams::default(), &namespace)
        .await?;
    may_create(&client).await?;
    follow(&client).await?;
    lease(&client).await?;
    namespaces
        .delete(NAMESPACE, &DeleteParams::default())
        .await?;
    Ok(())
}

async fn may_create(client: &Client) -> Result<()> {
    let reviews: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(ResourceAttributes {
                group: Some("ark.mckinsey.com".to_owned()),
                resource: Some("queries".to_owned()),
                verb: Some("create".to_owned()),
                ..ResourceAttributes::default()
            }),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    };
    let review = reviews.create(&PostParams::default(), &review).await?;
    ensure!(review.status.is_some_and(|status| status.allowed));
    Ok(())
}

/// Applies, changes and deletes a Query, and observes each step.
async fn follow(client: &Client) -> Result<()> {
    let group = discovery::group(client, "ark.mckinsey.com").await?;
    let (resource, _) = group.recommended_kind("Query").context("no kind Query")?;
    let queries: Api<DynamicObject> = Api::namespaced_with(client.clone(), NAMESPACE, &resource);
    let mut events = pin!(watcher(queries.clone(), watcher::Config::default()));
    while !matches!(next(&mut events).await?, Event::InitDone) {}

    let manager = PatchParams::apply("kube-rs");
    let applied = json!({
        "apiVersion": "ark.mckinsey.com/v1alpha1",
        "kind": "Query",
        "metadata": {"name": "followed"},
        "spec": {"input": "hello"},
    });
    let created = queries
        .patch("followed", &manager, &Patch::Apply(&applied))
        .await?;
    expect(&next(&mut events).await?, "applied", "hello")?;
    let conflict = json!({
        "apiVersion": "ark.mckinsey.com/v1alpha1",
        "kind": "Query",
        "spec": {"input": "other"},
    });
    let other = PatchParams::apply("somebody-else");
    let error = queries
        .patch("followed", &other, &Patch::Apply(&conflict))
        .await;
    ensure!(
        matches!(&error, Err(kube::Error::Api(status)) if status.code == 409),
        "an apply of another manager: {error:?}"
    );
    let change = json!({"spec": {"input": "bye"}});
    queries
        .patch("followed", &PatchParams::default(), &Patch::Merge(&change))
        .await?;
    expect(&next(&mut events).await?, "applied", "bye")?;
    let old = queries
        .replace("followed", &PostParams::default(), &created)
        .await;
    ensure!(
        matches!(&old, Err(kube::Error::Api(status)) if status.is_conflict()),
        "a replacement of an old version: {old:?}"
    );
    let listed = queries.list(&ListParams::default()).await?;
    ensure!(listed.items.len() == 1 && listed.items[0].uid() == created.uid());
    queries.delete("followed", &DeleteParams::default()).await?;
    expect(&next(&mut events).await?, "deleted", "bye")?;
    ensure!(queries.get_opt("followed").await?.is_none());
    Ok(())
}

async fn lease(client: &Client) -> Result<()> {
    let leases: Api<Lease> = Api::namespaced(client.clone(), NAMESPACE);
    let lease: Lease = serde_json::from_value(json!({
        "metadata": {"name": "held"},
        "spec": {"holderIdentity": "kube-rs", "leaseDurationSeconds": 15},
    }))?;
    let mut held = leases.create(&PostParams::default(), &lease).await?;
    if let Some(spec) = &mut held.spec {
        spec.lease_transitions = Some(1);
    }
    let renewed = leases
        .replace("held", &PostParams::default(), &held)
        .await?;
    ensure!(renewed.spec.and_then(|spec| spec.lease_transitions) == Some(1));
    leases.delete("held", &DeleteParams::default()).await?;
    Ok(())
}

type Observed = Event<DynamicObject>;

async fn next(
    events: &mut (impl Stream<Item = watcher::Result<Observed>> + Unpin),
) -> Result<Observed> {
    Ok(events.next().await.context("the watcher has ended")??)
}

fn expect(event: &Observed, kind: &str, input: &str) -> Result<()> {
    let (found, object) = match event {
        Event::Apply(object) => ("applied", object),
        Event::Delete(object) => ("deleted", object),
        Event::Init | Event::InitApply(_) | Event::InitDone => {
            anyhow::bail!("the watcher starts over")
        }
    };
    ensure!(
        found == kind && object.data["spec"]["input"] == input,
        "{event:?} instead of {kind} {input}"
    );
    Ok(())
}
