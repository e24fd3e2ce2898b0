//! Decisions of RBAC on our kinds and on the same kinds as CRDs.

use anyhow::{Result, bail, ensure};
use kube_http::Client;
use scenarios::report::print_line;
use serde_json::{Value, json};

use crate::call::Call;
use crate::crds::{GROUPS, OURS, PEER, widget, widgets, without_group};
use crate::kubectl::Kubectl;
use crate::users::{group, rule, user};
use crate::world::World;

const NAMESPACE: &str = "rbac";
const OTHER_NAMESPACE: &str = "rbac-other";
const READ: &[&str] = &["get", "list", "watch"];

/// A request: method, path below the group version, and body.
type Request = (&'static str, &'static str, Body);

#[derive(Clone, Copy)]
enum Body {
    None,
    Widget(&'static str),
    Size,
    Phase,
    Replicas,
}

/// Every request is sent by every user.
const REQUESTS: &[Request] = &[
    ("GET", "namespaces/rbac/widgets", Body::None),
    (
        "GET",
        "namespaces/rbac/widgets?fieldSelector=metadata.name%3Done",
        Body::None,
    ),
    (
        "GET",
        "namespaces/rbac/widgets?watch=1&timeoutSeconds=1",
        Body::None,
    ),
    ("GET", "namespaces/rbac/widgets/one", Body::None),
    ("GET", "namespaces/rbac/widgets/two", Body::None),
    ("GET", "namespaces/rbac/widgets/none", Body::None),
    ("GET", "namespaces/rbac/widgets/one/status", Body::None),
    ("GET", "namespaces/rbac/widgets/one/scale", Body::None),
    ("GET", "namespaces/rbac-other/widgets", Body::None),
    ("GET", "widgets", Body::None),
    ("GET", "realms", Body::None),
    (
        "POST",
        "namespaces/rbac/widgets?dryRun=All",
        Body::Widget("new"),
    ),
    (
        "POST",
        "namespaces/rbac-other/widgets?dryRun=All",
        Body::Widget("new"),
    ),
    (
        "PATCH",
        "namespaces/rbac/widgets/one?dryRun=All",
        Body::Size,
    ),
    (
        "PATCH",
        "namespaces/rbac/widgets/two?dryRun=All",
        Body::Size,
    ),
    (
        "PATCH",
        "namespaces/rbac/widgets/one/status?dryRun=All",
        Body::Phase,
    ),
    (
        "PATCH",
        "namespaces/rbac/widgets/one/scale?dryRun=All",
        Body::Replicas,
    ),
    (
        "DELETE",
        "namespaces/rbac/widgets/one?dryRun=All",
        Body::None,
    ),
    (
        "DELETE",
        "namespaces/rbac/widgets/two?dryRun=All",
        Body::None,
    ),
    ("DELETE", "namespaces/rbac/widgets?dryRun=All", Body::None),
];

pub(super) async fn as_crds(world: &mut World) -> Result<String> {
    let world = &*world;
    prepare(world).await?;
    let users = [
        ("reader", None),
        ("namer", None),
        ("reporter", None),
        ("scaler", None),
        ("creator", None),
        ("deleter", None),
        ("collector", None),
        ("wide", None),
        ("member", Some("team")),
        ("member", None),
    ];
    let (mut allowed, mut denied, mut differences) = (0, 0, 0);
    for (name, group) in users {
        let user = world.user(name, group)?;
        // Of requests through the aggregator, kube-apiserver rejects the forbidden ones itself; on
        // its own port, the gateway decides.
        let direct = world.direct(&user.pair)?;
        for request in REQUESTS {
            let expected = send(&user.client, PEER, request).await?;
            for (way, client) in [("proxied", &user.client), ("direct", &direct)] {
                let response = send(client, OURS, request).await?;
                if response != expected {
                    differences += 1;
                    print_line(&format!(
                        "{way} {name} {} {}: {response:?} instead of {expected:?}",
                        request.0, request.1
                    ));
                }
            }
            *(if expected.0 == 403 {
                &mut denied
            } else {
                &mut allowed
            }) += 1;
        }
    }
    if differences > 0 {
        bail!(
            "{differences} of {} requests differ",
            2 * (allowed + denied)
        );
    }
    // Otherwise the roles would not decide anything.
    ensure!(
        allowed >= 30 && denied >= 100,
        "{allowed} allowed, {denied} denied"
    );
    Ok(format!("{allowed} allowed, {denied} denied"))
}

/// Roles, and two widgets in each group.
async fn prepare(world: &World) -> Result<()> {
    for namespace in [NAMESPACE, OTHER_NAMESPACE] {
        world.namespace(namespace).await?;
    }
    for group in GROUPS {
        for name in ["one", "two"] {
            let path = widgets(group, NAMESPACE);
            let call = Call::new("POST", &path).body(&widget(group, name));
            call.json(&world.admin).await?;
        }
    }
    let roles = [
        ("reader", rule(READ, &["widgets"], &[])),
        (
            "namer",
            rule(
                &["get", "list", "watch", "patch", "delete"],
                &["widgets"],
                &["one"],
            ),
        ),
        (
            "reporter",
            rule(&["get", "patch"], &["widgets/status"], &[]),
        ),
        ("scaler", rule(&["get", "patch"], &["widgets/scale"], &[])),
        ("creator", rule(&["create"], &["widgets"], &[])),
        ("deleter", rule(&["delete"], &["widgets"], &[])),
        ("collector", rule(&["deletecollection"], &["widgets"], &[])),
    ];
    for (name, rule) in roles {
        world.grant(NAMESPACE, name, &[rule], &user(name)).await?;
    }
    let readable = [rule(READ, &["widgets", "realms"], &[])];
    world.grant("", "wide", &readable, &user("wide")).await?;
    let team = [rule(&["get", "patch"], &["widgets"], &[])];
    world
        .grant(NAMESPACE, "team", &team, &group("team"))
        .await?;
    // The last binding: RBAC's informer has seen the ones before.
    for api_group in GROUPS {
        let resource = json!({"namespace": NAMESPACE, "verb": "patch", "group": api_group,
            "resource": "widgets"});
        let spec = json!({"user": "member", "groups": ["team"], "resourceAttributes": resource});
        world.wait_allowed(&spec).await?;
        let resource = json!({"verb": "list", "group": api_group, "resource": "realms"});
        let spec = json!({"user": "wide", "resourceAttributes": resource});
        world.wait_allowed(&spec).await?;
    }
    Ok(())
}

/// Status, and the message if it is an error.
async fn send(client: &Client, group: &str, request: &Request) -> Result<(u16, String)> {
    let (method, path, body) = request;
    let path = format!("/apis/{group}/v1/{path}");
    let body = match body {
        Body::None => Value::Null,
        Body::Widget(name) => widget(group, name),
        Body::Size => json!({"spec": {"size": 2}}),
        Body::Phase => json!({"status": {"phase": "Ready"}}),
        Body::Replicas => json!({"spec": {"replicas": 2}}),
    };
    let mut call = Call::new(method, &path);
    if !body.is_null() {
        call = call.body(&body);
    }
    let response = call.send(client).await?;
    let message = if response.status >= 400 {
        without_group(&response.message())
    } else {
        String::new()
    };
    Ok((response.status, message))
}

pub(super) async fn can_i(world: &mut World) -> Result<String> {
    let world = &*world;
    world.namespace("can-i").await?;
    for (name, role) in [("can-view", "view"), ("can-edit", "edit")] {
        world
            .bind("can-i", role, "ClusterRole", &user(name))
            .await?;
    }
    // ClusterRoles are aggregated by a controller.
    let resource = json!({"namespace": "can-i", "verb": "create", "group": "ark.mckinsey.com",
        "resource": "queries"});
    let spec = json!({"user": "can-edit", "resourceAttributes": resource});
    world.wait_allowed(&spec).await?;
    let expected = [
        ("can-view", "get queries.ark.mckinsey.com", true),
        ("can-view", "create queries.ark.mckinsey.com", false),
        ("can-view", "get widgets.judge.example.com", false),
        ("can-edit", "create queries.ark.mckinsey.com", true),
        ("can-edit", "deletecollection agents.ark.mckinsey.com", true),
        (
            "can-edit",
            "update queries.ark.mckinsey.com --subresource=status",
            false,
        ),
        ("can-edit", "create arkconfigs.ark.mckinsey.com", false),
        (
            "can-edit",
            "create queries.ark.mckinsey.com -n default",
            false,
        ),
    ];
    for (name, question, yes) in expected {
        let kubeconfig = world.user(name, None)?.kubeconfig;
        let kubectl = Kubectl::new(world, name, &kubeconfig, "can-i")?;
        let command = format!("auth can-i {question}");
        let output = kubectl.run(&command, world.folder.path()).await?;
        let answer = (output.out.trim(), output.exit);
        let wanted = if yes {
            ("yes", Some(0))
        } else {
            ("no", Some(1))
        };
        ensure!(answer == wanted, "{name}: {command}: {output:?}");
    }
    Ok(format!("{} questions", expected.len()))
}
