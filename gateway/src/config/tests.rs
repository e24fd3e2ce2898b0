//! Flags as they are typed.

use std::path::Path;

use super::kinds::default_names;
use super::*;
use crate::standalone::Driver;

fn parsed(line: &str) -> Result<Arguments, Usage> {
    parse(std::iter::once("ark-apiserver").chain(line.split_whitespace()))
}

fn serve(line: &str) -> Serve {
    let line = format!("serve --tls-cert-file c --tls-private-key-file k {line}");
    match parsed(&line).unwrap().command {
        Command::Serve(serve) => *serve,
        Command::Standalone(_) => panic!("{line}"),
    }
}

#[test]
fn every_flag_can_be_set_by_the_environment() {
    use clap::CommandFactory as _;
    let command = Arguments::command();
    for sub in command.get_subcommands() {
        let arguments = sub.get_arguments().chain(command.get_arguments());
        for argument in arguments.filter(|it| !matches!(it.get_id().as_str(), "help" | "version")) {
            let flag = argument.get_long().unwrap();
            let wanted = format!("ARK_{}", flag.to_uppercase().replace('-', "_"));
            let named = argument.get_env().and_then(|name| name.to_str());
            assert_eq!(named, Some(&*wanted), "{} --{flag}", sub.get_name());
        }
    }
    Arguments::command().debug_assert();
}

#[test]
fn what_is_wrong_is_one_line() {
    for (line, part) in [
        (
            "standalone --data-dir d --bogus",
            "unexpected argument '--bogus'",
        ),
        ("standalone", "--data-dir <DIR>"),
        ("standalone --data-dir d --listen 6443", "HOST:PORT"),
        (
            "standalone --data-dir d --backend mysql",
            "use sqlite, postgres",
        ),
        (
            "standalone --data-dir d --backend postgres://u:s3cret@h/db",
            "'postgres://u:***@h/db'",
        ),
        ("serve", "--backend <ADDRESS>"),
        (
            "serve --backend unix:///x --backend-ca f",
            "--backend-key <FILE>",
        ),
        ("standalone --data-dir d --watch-cache-bytes 1MB", "64Mi"),
    ] {
        let usage = parsed(line).unwrap_err();
        let text = usage.to_string();
        assert!(usage.failed() && text.starts_with("error: "), "{text}");
        assert!(text.contains(part), "{line}: {text}");
        assert_eq!(text.lines().count(), 1, "{text}");
    }
    for line in ["--help", "--version", "serve --help"] {
        assert!(!parsed(line).unwrap_err().failed(), "{line}");
    }
}

#[test]
fn a_dsn_is_for_postgres_and_postgres_needs_one() {
    let driver = |flags: &str| {
        let line = format!("standalone --data-dir d {flags}");
        match parsed(&line).unwrap().command {
            Command::Standalone(standalone) => standalone.driver(),
            Command::Serve(_) => panic!("{line}"),
        }
    };
    let dsn = "--postgres-dsn postgres://u:s3cret@h/db";
    let both = driver(&format!("--backend postgres {dsn}")).unwrap();
    assert_eq!(format!("{both:?}"), "Postgres(Dsn)");
    assert!(matches!(driver(""), Ok(Driver::Sqlite)));
    let error = driver("--backend postgres").unwrap_err().to_string();
    assert!(error.contains("needs --postgres-dsn DSN"), "{error}");
    for backend in ["", "--backend unix:///x", "--backend exec:/x"] {
        let error = driver(&format!("{backend} {dsn}")).unwrap_err().to_string();
        assert!(error.starts_with("--postgres-dsn"), "{error}");
        assert!(!error.contains("s3cret"), "{error}");
    }
}

#[test]
fn help_does_not_show_the_database() {
    use clap::CommandFactory as _;
    let mut command = Arguments::command();
    let standalone = command.find_subcommand_mut("standalone").unwrap();
    let mut arguments = standalone.get_arguments();
    let dsn = arguments.find(|it| it.get_id() == "postgres_dsn").unwrap();
    assert!(dsn.is_hide_env_values_set());
}

#[test]
fn somebody_must_be_able_to_log_in() {
    let error = serve("--backend unix:///x").server().unwrap_err();
    assert!(matches!(error, Error::NoAuthority), "{error}");
    let server = serve("--backend unix:///x --client-ca-file ca")
        .server()
        .unwrap();
    assert!(server.request_headers.is_none());
    assert_eq!((server.max_reads, server.max_writes), (400, 200));
}

#[test]
fn front_proxies_are_known_by_headers_and_names() {
    let line = "--backend unix:///x --requestheader-client-ca-file ca \
        --requestheader-allowed-names a,b --requestheader-extra-headers-prefix X-Some-";
    let server = serve(line).server().unwrap();
    let headers = server.request_headers.unwrap();
    assert_eq!(headers.allowed_names, ["a", "b"]);
    assert_eq!(headers.username, ["x-remote-user"]);
    assert_eq!(headers.extra_prefix, ["x-some-"]);
    let line = "--backend unix:///x --requestheader-client-ca-file ca \
        --requestheader-group-headers a{b";
    let error = serve(line).server().unwrap_err().to_string();
    assert_eq!(
        error,
        "--requestheader-group-headers: \"a{b\" is no name of a header"
    );
}

#[test]
fn the_backend_is_a_socket_or_mutual_tls() {
    for (backend, part) in [
        (
            "--backend http://x",
            "must be unix:///PATH or https://HOST:PORT",
        ),
        (
            "--backend https://x --backend-ca /no/ca --backend-cert c --backend-key k",
            "--backend-ca: cannot read /no/ca: ",
        ),
    ] {
        let error = serve(&format!("--client-ca-file ca {backend}")).server();
        let error = error.unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn the_compiled_in_kinds_are_those_of_the_folder() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../kinds/ark");
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| format!("kinds/ark/{}", entry.unwrap().file_name().to_str().unwrap()))
        .collect();
    names.sort();
    assert_eq!(default_names(), names);
}

#[test]
fn given_manifests_replace_those_compiled_in() {
    let directory = tempfile::tempdir().unwrap();
    let kinds = |flags: &str| {
        let resources = directory.path().display();
        let line = format!("--backend unix:///x --resources {resources} {flags}");
        serve(&line).kinds
    };
    let manifest = "{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, \
        metadata: {name: queries.ark.mckinsey.com}, spec: {group: ark.mckinsey.com, \
        scope: Cluster, names: {plural: queries, kind: Query}, versions: [{name: v1alpha1, \
        served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]}}";
    std::fs::write(directory.path().join("q.yaml"), manifest).unwrap();
    let catalog = kinds("").load().unwrap();
    assert_eq!(catalog.resources().count(), default_names().len());
    assert!(
        !catalog
            .get("ark.mckinsey.com", "queries")
            .unwrap()
            .namespaced()
    );
    let catalog = kinds("--no-default-resources").load().unwrap();
    assert_eq!(catalog.resources().count(), 1);

    std::fs::write(
        directory.path().join("q.yaml"),
        "kind: Pod\napiVersion: v1\n",
    )
    .unwrap();
    let error = kinds("").load().unwrap_err().to_string();
    assert!(
        error.ends_with(
            "q.yaml: Pod of v1 is no CustomResourceDefinition of apiextensions.k8s.io/v1"
        ),
        "{error}"
    );
    let none = serve("--backend unix:///x --no-default-resources").kinds;
    assert!(matches!(none.load(), Err(Error::NoKinds)));
}
