//! Tests of arguments, also over mutual TLS.

use std::path::Path;
use std::sync::Arc;

use conformance::ModelDriver;
use scenarios::engine::certificates::Certificates;
use sidecar::Options;
use sidecar::listen::Listener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::store::{Kind, Store, program, run};

#[tokio::test]
async fn invalid_arguments_and_failures_have_different_exit_codes() {
    let folder = tempfile::tempdir().expect("temporary directory");
    let unserved = format!("unix://{}", folder.path().join("unserved").display());
    let key = "queries.ark.mckinsey.com/ns/a";
    let one_certificate = ["verify", "--at", "https://a:1", "--cert", "f"];
    let etcd = [
        "export-crds",
        "--kubeconfig",
        "f",
        "--from",
        &unserved,
        "--etcd",
    ];
    for (arguments, expected) in [
        (vec!["verify", "--at", &unserved], 1),
        (vec!["verify"], 2),
        (vec!["verify", "--file", "/nonexistent"], 1),
        (vec!["verify", "--file", "f", "--against", &unserved], 2),
        (vec!["status", "--at", &unserved, "--data-dir", "d"], 2),
        (vec!["status", "--data-dir", "/nonexistent"], 1),
        (vec!["status", "--at", &unserved, "--timeout", "0"], 2),
        (vec!["fence", "--at", &unserved], 2),
        (vec![], 2),
        (vec!["verify", "--at", "nonsense"], 2),
        (vec!["verify", "--at", "unix://relative"], 2),
        (vec!["verify", "--at", "https://without.certificates:1"], 2),
        (one_certificate.to_vec(), 2),
        (
            vec!["verify", "--at", &unserved, "--against", "nonsense"],
            2,
        ),
        (vec!["backup", "--from", "nonsense", "--to", "f"], 2),
        (vec!["restore", "--from", "f", "--to", "nonsense"], 2),
        (vec!["copy", "--from", &unserved, "--to", "nonsense"], 2),
        (vec!["history", "--at", &unserved, key], 1),
        (vec!["history", "--at", &unserved, "queries/ns/a"], 2),
        ([&etcd[..], &["http://127.0.0.1:1"]].concat(), 1),
        ([&etcd[..], &["127.0.0.1:1"]].concat(), 2),
    ] {
        let output = program(&arguments).output().await.expect("started");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            output.status.code(),
            Some(expected),
            "{arguments:?}: {stderr}"
        );
        assert_eq!(stderr.lines().count(), 1, "{arguments:?}: {stderr}");
        assert!(stderr.starts_with("error: "), "{arguments:?}: {stderr}");
    }
}

/// Serves a store over mutual TLS; returns its address.
async fn serve(
    certificates: &Certificates,
    stop: &CancellationToken,
    server: &mut JoinSet<()>,
) -> String {
    let options = Options {
        tls_cert: Some(certificates.server.clone()),
        tls_key: Some(certificates.server_key.clone()),
        tls_client_ca: Some(certificates.ca.clone()),
        ..Options::at("tcp://127.0.0.1:0".to_owned())
    };
    let listener = Listener::bind(&options).await.expect("a port");
    let Listener::Tcp(socket, _) = &listener else {
        panic!("no TCP");
    };
    let port = socket.local_addr().expect("an address").port();
    let stop = stop.clone();
    server.spawn(async move {
        let driver = Arc::new(ModelDriver::new());
        let served = sidecar::serve(driver, listener, &options, stop).await;
        served.expect("served");
    });
    format!("https://127.0.0.1:{port}")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_supports_mutual_tls() {
    let source = Store::start(Kind::Model).await;
    source.fill(100, 500).await;
    let certificates = Certificates::create(source.folder()).expect("certificates");
    let (stop, mut server) = (CancellationToken::new(), JoinSet::new());
    let one = serve(&certificates, &stop, &mut server).await;
    let other = serve(&certificates, &stop, &mut server).await;
    let Certificates {
        ca,
        admin,
        admin_key,
        ..
    } = &certificates;
    let [ca, cert, key] = [ca, admin, admin_key].map(|path| text(path));
    let short = ["--ca", ca, "--cert", cert, "--key", key];
    let from = ["--from-ca", ca, "--from-cert", cert, "--from-key", key];
    let to = ["--to-ca", ca, "--to-cert", cert, "--to-key", key];
    let against = [
        "--against-ca",
        ca,
        "--against-cert",
        cert,
        "--against-key",
        key,
    ];
    let (first, second) = (source.folder().join("1"), source.folder().join("2"));
    let (first, second) = (text(&first), text(&second));
    run(&["backup", "--from", &source.address(), "--to", first])
        .await
        .expect("saved");
    let commands: [Vec<&str>; 7] = [
        [&["restore", "--from", first, "--to", &one], &short[..]].concat(),
        [&["backup", "--from", &one, "--to", second], &short[..]].concat(),
        [
            &["backup", "--from", &one, "--to", second, "--force"],
            &from[..],
        ]
        .concat(),
        [&["copy", "--from", &one, "--to", &other], &from[..], &to].concat(),
        [&["verify", "--at", &other], &short[..]].concat(),
        [&["fence", "--at", &other, "--reason", "rest"], &short[..]].concat(),
        [&["fence", "--at", &other, "--lift", "--force"], &short[..]].concat(),
    ];
    for command in commands {
        run(&command).await.expect(command[0]);
    }
    // A copy has another epoch, so the revisions differ.
    let verify = [
        &["verify", "--at", &one, "--against", &one],
        &short[..],
        &against,
    ]
    .concat();
    run(&verify).await.expect("the same");
    // Two of the commands also need a cluster; parsing of the names is testable without one.
    for command in ["import-crds", "export-crds"] {
        let side = if command == "import-crds" {
            "--to"
        } else {
            "--from"
        };
        let nowhere = ["--kubeconfig", "/nonexistent", side, &one];
        let arguments = [&[command], &nowhere[..], &short].concat();
        let failed = program(&arguments).output().await.expect("started");
        assert_eq!(failed.status.code(), Some(1), "{command}");
    }
    // A command with two stores does not accept the short names.
    let copy = [&["copy", "--from", &one, "--to", &other], &short[..]].concat();
    let rejected = program(&copy).output().await.expect("started");
    assert_eq!(rejected.status.code(), Some(2));
    stop.cancel();
    while let Some(ended) = server.join_next().await {
        ended.expect("served");
    }
    source.stop().await;
}
