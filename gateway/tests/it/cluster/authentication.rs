//! Front proxies and users of the cluster's ConfigMap, and tokens.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;
use tokio::task::JoinSet;

use super::kube_apiserver::KubeApiserver;
use super::server::{THINGS, TestServer, authorities, publish, until};

const BOB: (&str, &str) = ("X-Remote-User", "bob");
const ROOT: &[(&str, &str)] = &[
    ("X-Remote-User", "root"),
    ("X-Remote-Group", "system:masters"),
];

#[tokio::test(flavor = "multi_thread")]
async fn front_proxy_and_users_of_config_map_are_authenticated() {
    let server = TestServer::new("").await;
    let list = format!("GET {THINGS}");
    let mut proxy = server.proxy("aggregator").await;
    assert_eq!(proxy.request(&list, &[BOB]).await.code, 200);
    assert_eq!(
        proxy.request(&list, &[("X-Remote-User", "eve")]).await.code,
        403
    );
    assert_eq!(
        proxy.request(&list, &[]).await.code,
        401,
        "a proxy is no user"
    );
    let mut bob = server.user("bob", None).await;
    assert_eq!(bob.request(&list, &[]).await.code, 200);
    assert_eq!(bob.request("GET /version", &[]).await.code, 200);
    let mut anonymous = server.connect(None).await;
    assert_eq!(anonymous.request("GET /livez", &[]).await.code, 200);
    assert_eq!(anonymous.request("GET /version", &[]).await.code, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_identity_headers_are_ignored() {
    let server = TestServer::new("").await;
    let list = format!("GET {THINGS}");
    let mut anonymous = server.connect(None).await;
    assert_eq!(anonymous.request(&list, ROOT).await.code, 401);
    let mut other = server.proxy("not-allowed").await;
    assert_eq!(other.request(&list, ROOT).await.code, 401, "its name");
    // A user's certificate with the name of a proxy: the other authority signed it.
    let mut user = server.user("aggregator", None).await;
    assert_eq!(user.request(&list, ROOT).await.code, 403);
    assert_eq!(server.cluster.reviews()[0]["user"], "aggregator");
    let stranger = pki::authority("stranger").unwrap();
    let pair = pki::client(&stranger, "aggregator", Some("system:masters")).unwrap();
    let mut stranger = server.connect(Some(&pair)).await;
    assert_eq!(stranger.request(&list, ROOT).await.code, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn uid_header_is_trusted_only_if_listed() {
    let server = TestServer::new("").await;
    let mut proxy = server.proxy("aggregator").await;
    let headers = [
        BOB,
        ("X-Remote-Uid", "7"),
        ("X-Remote-Extra-Acme.io%2fteam", "x"),
    ];
    proxy.request(&format!("GET {THINGS}"), &headers).await;
    let reviews = server.cluster.reviews();
    assert_eq!(reviews[0]["uid"], json!(null));
    assert_eq!(reviews[0]["extra"], json!({"acme.io/team": ["x"]}));
    assert_eq!(reviews[0]["groups"], json!(["system:authenticated"]));

    server.cluster.publish(&[
        ("requestheader-username-headers", r#"["X-Remote-User"]"#),
        ("requestheader-uid-headers", r#"["X-Remote-Uid"]"#),
    ]);
    let proxy = tokio::sync::Mutex::new(proxy);
    until("the UID is passed on", || async {
        let mut proxy = proxy.lock().await;
        proxy.request(&format!("GET {THINGS}"), &headers).await;
        server
            .cluster
            .reviews()
            .iter()
            .any(|spec| spec["uid"] == "7")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn authorities_rotate_without_failed_request() {
    let server = Arc::new(TestServer::new("").await);
    let next = pki::authority("next").unwrap();
    let proxy_of_next = pki::client(&next, "aggregator", None).unwrap();
    let user_of_next = pki::client(&next, "bob", None).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let list = format!("GET {THINGS}");

    // Requests of the old proxy on one connection, and on new ones.
    let mut load = JoinSet::new();
    load.spawn({
        let (server, stop, list) = (Arc::clone(&server), Arc::clone(&stop), list.clone());
        async move {
            let mut kept = server.proxy("aggregator").await;
            let mut served = 0;
            while !stop.load(Ordering::Relaxed) {
                let mut new = server.proxy("aggregator").await;
                for client in [&mut kept, &mut new] {
                    let response = client.request(&list, &[BOB]).await;
                    assert_eq!(response.code, 200, "{response:?}");
                    served += 1;
                }
            }
            served
        }
    });
    let both = [&server.users, &next];
    publish(&server.cluster, &both, &[&server.proxies, &next]);
    until("the new authority is trusted", || async {
        let mut proxy = server.connect(Some(&proxy_of_next)).await;
        proxy.request(&list, &[BOB]).await.code == 200
    })
    .await;
    let mut user = server.connect(Some(&user_of_next)).await;
    assert_eq!(user.request(&list, &[]).await.code, 200);
    stop.store(true, Ordering::Relaxed);
    let served = load.join_next().await.unwrap().unwrap();
    assert!(served > 2);

    let mut old = server.proxy("aggregator").await;
    assert_eq!(old.request(&list, &[BOB]).await.code, 200);
    publish(&server.cluster, &[&next], &[&next]);
    let old = tokio::sync::Mutex::new(old);
    until(
        "the old authority is not trusted on open connections",
        || async { old.lock().await.request(&list, &[BOB]).await.code == 401 },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unusable_authority_keeps_last_one() {
    let server = TestServer::new("").await;
    server.cluster.publish(&[
        ("client-ca-file", "garbage"),
        ("requestheader-client-ca-file", &server.proxies.certificate),
        ("requestheader-username-headers", r#"["X-Other"]"#),
    ]);
    let list = format!("GET {THINGS}");
    until("the new header counts", || async {
        let mut proxy = server.proxy("aggregator").await;
        proxy.request(&list, &[("X-Other", "bob")]).await.code == 200
    })
    .await;
    let mut bob = server.user("bob", None).await;
    assert_eq!(bob.request(&list, &[]).await.code, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn server_starts_with_either_authority_missing() {
    for missing in ["client-ca-file", "requestheader-client-ca-file"] {
        let (users, proxies) = authorities();
        let cluster = KubeApiserver::start().await;
        cluster.allow("bob");
        let all = [
            ("client-ca-file", users.certificate.as_str()),
            ("requestheader-client-ca-file", proxies.certificate.as_str()),
            ("requestheader-username-headers", r#"["X-Remote-User"]"#),
        ];
        let some: Vec<_> = all
            .iter()
            .filter(|(key, _)| *key != missing)
            .copied()
            .collect();
        cluster.publish(&some);
        let pairs = (users.clone(), proxies.clone());
        let server = TestServer::over(cluster, pairs, "").await.unwrap();
        let list = format!("GET {THINGS}");
        let codes = async || {
            let mut bob = server.user("bob", None).await;
            let mut proxy = server.proxy("any").await;
            let user = bob.request(&list, &[]).await.code;
            (user, proxy.request(&list, &[BOB]).await.code)
        };
        let expected = if missing == "client-ca-file" {
            (401, 200)
        } else {
            (200, 401)
        };
        assert_eq!(codes().await, expected, "{missing}");
        server.cluster.publish(&all);
        until("both are trusted", || async { codes().await == (200, 200) }).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn file_overrides_authority_of_cluster() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mine = pki::authority("mine").unwrap();
    std::fs::write(file.path(), &mine.certificate).unwrap();
    let server = TestServer::new(&format!("--client-ca-file {}", file.path().display())).await;
    let list = format!("GET {THINGS}");
    let mut bob = server.user("bob", None).await;
    assert_eq!(bob.request(&list, &[]).await.code, 401);
    let pair = pki::client(&mine, "bob", None).unwrap();
    let mut bob = server.connect(Some(&pair)).await;
    assert_eq!(bob.request(&list, &[]).await.code, 200);
    let mut proxy = server.proxy("aggregator").await;
    assert_eq!(proxy.request(&list, &[BOB]).await.code, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_lookup_is_fatal_unless_tolerated_and_heals() {
    let (users, proxies) = authorities();
    let mut cluster = KubeApiserver::start().await;
    publish(&cluster, &[&users], &[&proxies]);
    cluster.allow("bob");
    cluster.stop().await;
    let pairs = (users.clone(), proxies.clone());
    let tolerate = "--authentication-tolerate-lookup-failure";
    let mut server = TestServer::over(cluster, pairs, tolerate).await.unwrap();
    let list = format!("GET {THINGS}");
    let mut anonymous = server.connect(None).await;
    assert_eq!(anonymous.request("GET /readyz", &[]).await.code, 200);
    let mut bob = server.user("bob", None).await;
    assert_eq!(bob.request(&list, &[]).await.code, 401);
    server.cluster.restart().await;
    until("the authorities are read", || async {
        let mut bob = server.user("bob", None).await;
        bob.request(&list, &[]).await.code == 200
    })
    .await;

    let mut cluster = KubeApiserver::start().await;
    cluster.stop().await;
    let Err(error) = TestServer::over(cluster, (users, proxies), "").await else {
        panic!("started without authorities");
    };
    let error = error.to_string();
    let start = "cannot read ConfigMap kube-system/extension-apiserver-authentication: \
                 cannot reach kube-apiserver: ";
    assert!(error.starts_with(start), "{error}");
    assert!(
        error.ends_with("--authentication-tolerate-lookup-failure"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn skipped_lookup_leaves_tokens() {
    let server = TestServer::new("--authentication-skip-lookup").await;
    server.cluster.token("t", "bob");
    let list = format!("GET {THINGS}");
    let mut bob = server.user("bob", None).await;
    assert_eq!(bob.request(&list, &[]).await.code, 401);
    assert_eq!(server.with_token("t", &list).await.code, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn token_is_reviewed_once_and_rejections_every_time() {
    let server = TestServer::new("").await;
    server.cluster.token("good", "bob");
    let wrong = json!({"authenticated": false, "error": "token audiences [\"x\"] is invalid"});
    let tokens = |state: &mut super::kube_apiserver::State| {
        state
            .tokens
            .insert("wrong-audience".to_owned(), wrong.clone());
        let silent = json!({"authenticated": false});
        state.tokens.insert("silent".to_owned(), silent);
    };
    server.cluster.change(tokens);
    let list = format!("GET {THINGS}");
    for (token, code) in [
        ("good", 200),
        ("wrong-audience", 401),
        ("silent", 401),
        ("unknown", 401),
    ] {
        for _ in 0..2 {
            let response = server.with_token(token, &list).await;
            assert_eq!(response.code, code, "{token} {response:?}");
        }
    }
    let reviews = server
        .cluster
        .change(|state| std::mem::take(&mut state.reviewed_tokens));
    // As in Go: a rejection with a text is an error, and errors are not cached.
    let expected = [
        "good",
        "wrong-audience",
        "wrong-audience",
        "silent",
        "unknown",
        "unknown",
    ];
    assert_eq!(reviews, expected);
    let spec = &server.cluster.reviews()[0];
    assert_eq!(spec["groups"], json!(["dev", "system:authenticated"]));
    assert_eq!(spec["uid"], "7");
}

#[tokio::test(flavor = "multi_thread")]
async fn token_is_not_accepted_while_kube_apiserver_is_away() {
    let mut server = TestServer::new("").await;
    server.cluster.token("known", "bob");
    server.cluster.token("other", "bob");
    let list = format!("GET {THINGS}");
    assert_eq!(server.with_token("known", &list).await.code, 200);
    server.cluster.stop().await;
    assert_eq!(server.with_token("known", &list).await.code, 200, "cached");
    assert_eq!(server.with_token("other", &list).await.code, 401);
}
