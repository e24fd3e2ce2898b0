//! Flags and environment variables.

use command_line::Usage;
use logs::Format;
use standalone::Driver;

use crate::arguments::{Arguments, Command, format_of, parse};

fn parsed(line: &str) -> Result<Arguments, Usage> {
    parse(std::iter::once("ark-apiserver").chain(line.split_whitespace()))
}

#[test]
fn every_flag_has_an_environment_variable() {
    use clap::CommandFactory as _;
    let command = Arguments::command();
    let documents = |name: &str| matches!(name, "completions" | "man");
    for sub in command
        .get_subcommands()
        .filter(|it| !documents(it.get_name()))
    {
        let arguments = sub.get_arguments().chain(command.get_arguments());
        for argument in arguments.filter(|it| !matches!(it.get_id().as_str(), "help" | "version")) {
            let flag = argument.get_long().unwrap();
            let mut wanted = format!("ARK_{}", flag.to_uppercase().replace('-', "_"));
            // `serve` reads the file of its flag, `standalone` writes that of its own.
            if (sub.get_name(), flag) == ("standalone", "kubeconfig") {
                wanted = "ARK_STANDALONE_KUBECONFIG".to_owned();
            }
            let named = argument.get_env().and_then(|name| name.to_str());
            assert_eq!(named, Some(&*wanted), "{} --{flag}", sub.get_name());
        }
    }
    Arguments::command().debug_assert();
}

#[test]
fn usage_error_is_one_line() {
    for (line, part) in [
        (
            "standalone --data-dir d --bogus",
            "unexpected argument '--bogus'",
        ),
        ("standalone", "--data-dir <DIR>"),
        (
            "standalone --data-dir d --log inof",
            "\"inof\" is no log level",
        ),
        (
            "standalone --data-dir d --log-format yaml",
            "[possible values: text, json]",
        ),
        ("", "a command is required"),
        ("completions ksh", "[possible values: bash,"),
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
        (
            "serve --backend unix:///x",
            "--tls-cert-file <FILE>|--self-managed-tls-secret <NAMESPACE/NAME>",
        ),
        (
            "serve --backend unix:///x --tls-cert-file c",
            "--tls-private-key-file <FILE>",
        ),
        (
            "serve --backend unix:///x --tls-cert-file c --tls-private-key-file k \
             --self-managed-tls-secret a/b --self-managed-tls-service a/c \
             --self-managed-tls-apiservices v1.x.io",
            "cannot be used with '--self-managed-tls-secret <NAMESPACE/NAME>'",
        ),
        (
            "serve --backend unix:///x --self-managed-tls-secret a/b",
            "--self-managed-tls-service <NAMESPACE/NAME>",
        ),
        (
            "serve --backend unix:///x --self-managed-tls-secret b",
            "NAMESPACE/NAME",
        ),
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
fn dsn_is_required_by_postgres_and_rejected_by_other_drivers() {
    let driver = |flags: &str| {
        let line = format!("standalone --data-dir d {flags}");
        match parsed(&line).unwrap().command {
            Command::Standalone(standalone) => standalone.driver().map_err(Box::new),
            Command::Serve(_) | Command::Documents(_) => panic!("{line}"),
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
fn help_omits_dsn_from_environment() {
    use clap::CommandFactory as _;
    let mut command = Arguments::command();
    let standalone = command.find_subcommand_mut("standalone").unwrap();
    let mut arguments = standalone.get_arguments();
    let dsn = arguments.find(|it| it.get_id() == "postgres_dsn").unwrap();
    assert!(dsn.is_hide_env_values_set());
}

#[test]
fn usage_error_has_the_requested_format() {
    for (line, format) in [
        ("standalone --log-format json --bogus", Format::Json),
        ("--log-format=json", Format::Json),
        ("standalone --log-format text", Format::Text),
        ("standalone --log-format yaml", Format::Text),
        ("standalone --log-format", Format::Text),
        ("standalone", Format::Text),
    ] {
        let words: Vec<_> = line.split(' ').map(Into::into).collect();
        assert_eq!(format_of(&words), format, "{line}");
    }
}

#[test]
fn flags_of_every_command_have_headings() {
    use clap::CommandFactory as _;
    let mut command = Arguments::command();
    command.build();
    for name in ["serve", "standalone"] {
        let sub = command.find_subcommand(name).unwrap();
        for argument in sub.get_arguments() {
            let id = argument.get_id().as_str();
            let headed = argument.get_help_heading().is_some();
            assert!(headed || matches!(id, "help" | "version"), "{name} --{id}");
        }
    }
}
