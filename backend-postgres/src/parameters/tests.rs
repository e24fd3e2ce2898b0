//! Tests of the treatment and the sources of parameters.

use std::collections::HashMap;

use super::complete;
use crate::dsn::Dsn;

/// Completes a connection string with environment variables; returns `key=value` pairs or the
/// error.
fn completed(text: &str, variables: &[(&str, &str)]) -> Result<String, String> {
    let variables: HashMap<_, _> = variables.iter().copied().collect();
    let environment = |name: &str| variables.get(name).map(|value| (*value).to_owned());
    let dsn = Dsn::parse(text).and_then(|dsn| complete(dsn, &environment));
    dsn.map(|dsn| dsn.to_string())
        .map_err(|error| error.to_string())
}

#[test]
fn explicit_value_overrides_service_and_environment() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("services");
    let text = "# comment\n[other]\nhost=other\n[store]\nhost=service\nport=7\n\n[more]\nuser=x\n";
    std::fs::write(&file, text).expect("a file");
    let file = file.display().to_string();
    let variables = [
        ("PGSERVICEFILE", file.as_str()),
        ("PGHOST", "environment"),
        ("PGPORT", "8"),
        ("PGUSER", "ark"),
        ("PGDATABASE", ""),
    ];
    for (dsn, expected) in [
        ("", "host=environment port=8 user=ark"),
        ("service=store", "host=service port=7 user=ark"),
        ("service=store host=given", "host=given port=7 user=ark"),
    ] {
        assert_eq!(completed(dsn, &variables).as_deref(), Ok(expected), "{dsn}");
    }
    let by_variable = [&variables[..], &[("PGSERVICE", "store")]].concat();
    let found = completed("port=9", &by_variable);
    assert_eq!(found.as_deref(), Ok("host=service port=9 user=ark"));
    let missing = completed("service=missing", &variables).expect_err("not there");
    assert!(
        missing.contains("definition of service \"missing\" not found"),
        "{missing}"
    );
}

#[test]
fn service_file_is_found_as_by_libpq() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().display().to_string();
    let system = folder.path().join("system");
    std::fs::create_dir(&system).expect("a folder");
    std::fs::write(folder.path().join(".pg_service.conf"), "[own]\nhost=own\n").expect("a file");
    std::fs::write(system.join("pg_service.conf"), "[all]\nhost=all\n").expect("a file");
    let system = system.display().to_string();
    let variables = [("HOME", path.as_str()), ("PGSYSCONFDIR", system.as_str())];
    assert_eq!(
        completed("service=own", &variables).as_deref(),
        Ok("host=own")
    );
    assert_eq!(
        completed("service=all", &variables).as_deref(),
        Ok("host=all")
    );
    std::fs::write(
        folder.path().join(".pg_service.conf"),
        "[own]\ncolour=red\n",
    )
    .expect("a file");
    let unknown = completed("service=own", &variables).expect_err("unknown");
    assert!(unknown.contains("line 2"), "{unknown}");
}

#[test]
fn parameters_without_effect_are_ignored() {
    for dsn in [
        "connect_timeout=10 tcp_user_timeout=1 keepalives=0 keepalives_idle=1",
        "keepalives_interval=1 keepalives_count=1 client_encoding=UTF8 sslcompression=0",
        "gssencmode=disable krbsrvname=postgres replication=false sslcertmode=allow",
        "max_protocol_version=latest min_protocol_version=3.0",
    ] {
        assert_eq!(completed(dsn, &[]).as_deref(), Ok(""), "{dsn}");
    }
    let variables = [("PGCONNECT_TIMEOUT", "10"), ("PGCLIENTENCODING", "LATIN1")];
    assert_eq!(completed("", &variables).as_deref(), Ok(""));
    assert_eq!(
        completed("", &[("PGREQUIRESSL", "1")]).as_deref(),
        Ok("sslmode=require")
    );
}

#[test]
fn parameters_that_cannot_be_honoured_are_refused_with_reason() {
    for (dsn, words) in [
        ("gssencmode=require", "GSSAPI encryption is not supported"),
        ("sslcrl=/x", "revocation lists are not supported"),
        ("requirepeer=postgres", "protect its directory"),
        ("require_auth=scram-sha-256", "pg_hba.conf"),
        ("replication=database", "replication connection"),
        ("connect_timeout=soon", "must be a number"),
        ("colour=red", "invalid connection option \"colour\""),
        ("oauth_client_secret=hush", "OAuth is not supported"),
    ] {
        let error = completed(dsn, &[]).expect_err(dsn);
        assert!(error.contains(words), "{dsn}: {error}");
        assert!(!error.contains("hush"), "{error}");
    }
}
