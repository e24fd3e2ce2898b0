//! Tests that a connection string leads where it leads psql: a table of parameters, environment
//! variables and certificates, tried with both programs.
//!
//! Where the driver refuses what psql accepts, the table has the reason.

use std::path::{Path, PathBuf};
use std::process::Command;

use postgres_testkit::{Programs, Server};
use tempfile::TempDir;

use crate::program::{migrate, path};

const PASSWORD: &str = "hush-hush";

/// Environment variables of a case.
type Variables<'a> = &'a [(&'a str, &'a str)];

/// Both programs, in an environment without other settings.
struct Both {
    psql: PathBuf,
    home: TempDir,
}

/// What the two programs did: success, or the error message.
struct Ended {
    psql: Result<(), String>,
    ours: Result<(), String>,
}

impl Both {
    async fn find() -> Self {
        let programs = Programs::find().await.expect("programs");
        Self {
            psql: programs.path("psql").expect("psql"),
            home: tempfile::tempdir().expect("a directory"),
        }
    }

    fn run(&self, mut command: Command, variables: Variables<'_>) -> Result<(), String> {
        let output = command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.home.path())
            .env("ARK_LOG", "off")
            .envs(variables.iter().copied())
            .output()
            .expect("it runs");
        if output.status.success() {
            return Ok(());
        }
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }

    fn try_both(&self, dsn: &str, variables: Variables<'_>) -> Ended {
        let mut psql = Command::new(&self.psql);
        psql.args(["-X", "-w", "-q", "-c", "select 1", dsn]);
        let mut ours = Command::new(env!("CARGO_BIN_EXE_backend-postgres"));
        ours.args(["migrate", "--dsn", dsn]);
        Ended {
            psql: self.run(psql, variables),
            ours: self.run(ours, variables),
        }
    }

    /// Asserts that both programs connect, or neither.
    fn check(&self, dsn: &str, variables: Variables<'_>, connects: bool) {
        let Ended { psql, ours } = self.try_both(dsn, variables);
        let case = format!("{dsn} {variables:?}");
        assert_eq!(psql.is_ok(), connects, "psql, {case}: {psql:?}");
        assert_eq!(ours.is_ok(), connects, "the driver, {case}: {ours:?}");
    }

    fn write(&self, name: &str, text: &str, mode: u32) -> String {
        use std::os::unix::fs::PermissionsExt as _;
        let file = self.home.path().join(name);
        std::fs::write(&file, text).expect("a file");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).expect("a mode");
        path(&file)
    }
}

fn joined<'a>(some: Variables<'a>, more: Variables<'a>) -> Vec<(&'a str, &'a str)> {
    [some, more].concat()
}

async fn server() -> Server {
    let builder = Server::builder().user("ark", PASSWORD);
    let server = builder.start().await.expect("a server");
    let dsn = server.create_database("ark").await.expect("a database");
    migrate(&dsn, &["--grant", "ark"]).await.expect("migrated");
    server
}

#[tokio::test]
async fn parameters_have_the_effect_that_they_have_in_psql() {
    let (server, both) = (server().await, Both::find().await);
    let port = server.port();
    let base = format!("host=127.0.0.1 port={port} user=postgres dbname=ark");
    for (parameters, connects) in [
        ("", true),
        (
            "connect_timeout=3 keepalives=0 keepalives_count=2 tcp_user_timeout=1000",
            true,
        ),
        (
            "client_encoding=UTF8 gssencmode=disable sslcompression=0 krbsrvname=x",
            true,
        ),
        (
            "application_name=x fallback_application_name=y sslsni=0",
            true,
        ),
        ("options='-c geqo=off' replication=off", true),
        (
            "ssl_min_protocol_version=TLSv1.2 ssl_max_protocol_version=TLSv1.3",
            true,
        ),
        ("target_session_attrs=any", true),
        ("target_session_attrs=primary", true),
        ("target_session_attrs=read-write", true),
        ("target_session_attrs=prefer-standby", true),
        ("sslmode=allow", true),
        ("sslmode=prefer", true),
        ("target_session_attrs=standby", false),
        ("target_session_attrs=read-only", false),
        ("target_session_attrs=master", false),
        ("sslmode=require", false),
        ("sslmode=maybe", false),
        ("connect_timeout=soon", false),
        ("gssencmode=require", false),
        ("colour=red", false),
        ("port=1,2,3", false),
        ("port=http", false),
        ("sslmode=verify-full", false),
    ] {
        both.check(&format!("{base} {parameters}"), &[], connects);
    }
}

#[tokio::test]
async fn forms_of_connection_strings_lead_where_they_lead_psql() {
    let (server, both) = (server().await, Both::find().await);
    let port = server.port();
    let folder = path(server.socket_dir());
    for (dsn, connects) in [
        (
            format!("postgres://postgres@127.0.0.1:{port}/ark?connect_timeout=3"),
            true,
        ),
        (
            format!("postgresql://postgres@/ark?host=127.0.0.1&port={port}"),
            true,
        ),
        (
            format!("postgres://postgres@127.0.0.1:{port}/ark?application_name=a+b%20c"),
            true,
        ),
        (
            format!("postgres://postgres@127.0.0.1:{port}/ark?application_name=%zz"),
            false,
        ),
        (
            format!("postgres://postgres@127.0.0.1:{port}/ark?colour=red"),
            false,
        ),
        (format!("postgres://postgres@127.0.0.1:{port}/%61rk"), true),
        (
            format!("hostaddr=127.0.0.1 port={port} user=postgres dbname=ark"),
            true,
        ),
        (
            format!("host=nowhere.invalid hostaddr=127.0.0.1 port={port} user=postgres dbname=ark"),
            true,
        ),
        (
            format!("host=nowhere.invalid port={port} user=postgres dbname=ark"),
            false,
        ),
        (
            format!("host=127.0.0.1,127.0.0.1 port=1,{port} user=postgres dbname=ark"),
            true,
        ),
        (
            format!("host={folder} port={port} user=postgres dbname=ark"),
            true,
        ),
        (
            format!("host={folder} port={port} user=postgres dbname=ark sslmode=require"),
            true,
        ),
    ] {
        both.check(&dsn, &[], connects);
    }
}

#[tokio::test]
async fn defaults_come_from_where_psql_takes_them() {
    let (server, both) = (server().await, Both::find().await);
    let port = server.port().to_string();
    let place = [
        ("PGHOST", "127.0.0.1"),
        ("PGPORT", port.as_str()),
        ("PGDATABASE", "ark"),
    ];
    let user = ("PGUSER", "postgres");
    both.check("", &joined(&place, &[user]), true);
    both.check(
        "connect_timeout=3",
        &joined(&place, &[user, ("PGSSLMODE", "allow")]),
        true,
    );
    both.check(
        "",
        &joined(&place, &[user, ("PGSSLMODE", "require")]),
        false,
    );
    both.check("", &joined(&place, &[user, ("PGREQUIRESSL", "1")]), false);
    both.check(
        "",
        &joined(&place, &[user, ("PGTARGETSESSIONATTRS", "standby")]),
        false,
    );
    both.check(
        "",
        &joined(
            &place,
            &[
                user,
                ("PGCONNECT_TIMEOUT", "3"),
                ("PGOPTIONS", "-c geqo=off"),
            ],
        ),
        true,
    );

    let ark = ("PGUSER", "ark");
    both.check("", &joined(&place, &[ark]), false);
    both.check("", &joined(&place, &[ark, ("PGPASSWORD", PASSWORD)]), true);
    both.check("", &joined(&place, &[ark, ("PGPASSWORD", "wrong")]), false);
    let line =
        format!("# comment\n127.0.0.1:{port}:other:*:no\n127.0.0.1:{port}:*:ark:{PASSWORD}\n");
    let file = both.write("passwords", &line, 0o600);
    both.check("", &joined(&place, &[ark, ("PGPASSFILE", &file)]), true);
    both.check(&format!("passfile={file}"), &joined(&place, &[ark]), true);
    both.check(
        &format!("passfile={file} password=wrong"),
        &joined(&place, &[ark]),
        false,
    );
    let exposed = both.write("exposed", &line, 0o644);
    both.check("", &joined(&place, &[ark, ("PGPASSFILE", &exposed)]), false);
    both.write(".pgpass", &line, 0o600);
    both.check("", &joined(&place, &[ark]), true);

    let services = format!("[store]\nhost=127.0.0.1\nport={port}\nuser=ark\ndbname=ark\n");
    let file = both.write("services", &services, 0o644);
    both.check("service=store", &[("PGSERVICEFILE", &file)], true);
    both.check("service=other", &[("PGSERVICEFILE", &file)], false);
    both.check(
        "",
        &[("PGSERVICEFILE", &file), ("PGSERVICE", "store")],
        true,
    );
    both.check(
        "service=store dbname=other",
        &[("PGSERVICEFILE", &file)],
        false,
    );
    both.write(".pg_service.conf", &services, 0o644);
    both.check("service=store", &[("PGUSER", "nobody")], true);
}

/// psql accepts these; the driver cannot honour them, or would do so unsafely.
#[tokio::test]
async fn what_only_psql_accepts_is_refused_with_reason() {
    let (server, both) = (server().await, Both::find().await);
    let port = server.port();
    let base = format!("host=127.0.0.1 port={port} user=postgres dbname=ark");
    for (parameters, reason) in [
        ("requirepeer=postgres", "protect its directory"),
        ("sslcrl=/nowhere", "revocation lists are not supported"),
    ] {
        let Ended { psql, ours } = both.try_both(&format!("{base} {parameters}"), &[]);
        assert_eq!(psql, Ok(()), "{parameters}");
        let refused = ours.expect_err(parameters);
        assert!(refused.contains(reason), "{parameters}: {refused}");
    }
    let nameless = both.try_both(&format!("port={port} dbname=ark"), &[]);
    let refused = nameless.ours.expect_err("no host");
    assert!(refused.contains("no server"), "{refused}");
}

fn fixture(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tls");
    path(&folder.join(name))
}

/// Starts a server with a certificate that a command of the manual made.
async fn server_with(certificate: &str, only: bool) -> Server {
    let (pem, key) = (
        fixture(&format!("{certificate}.crt")),
        fixture(&format!("{certificate}.key")),
    );
    let (pem, key) = (Path::new(&pem), Path::new(&key));
    let builder = Server::builder();
    let builder = if only {
        builder.tls_only(pem, key)
    } else {
        builder.tls(pem, key)
    };
    let builder = builder
        .client_authority(Path::new(&fixture("root.crt")))
        .access_rule("hostssl all ark 127.0.0.1/32 cert");
    let server = builder.start().await.expect("a server");
    server.create_database("ark").await.expect("a database");
    let role = "create role ark login";
    server.execute("ark", role).await.expect("a role");
    let owner = server.socket_dsn("ark");
    migrate(&owner, &["--grant", "ark"])
        .await
        .expect("migrated");
    server
}

#[tokio::test]
async fn certificates_of_the_manual_are_verified_as_by_psql() {
    let both = Both::find().await;
    for (certificate, root) in [
        ("server", "root"),
        ("chain", "root"),
        ("self", "self"),
        ("self-v1", "self-v1"),
    ] {
        let server = server_with(certificate, true).await;
        let port = server.port();
        let dsn = |host: &str, mode: &str| {
            format!(
                "host={host} hostaddr=127.0.0.1 port={port} user=postgres dbname=ark sslmode={mode}"
            )
        };
        for (mode, connects) in [
            ("disable", false),
            ("allow", true),
            ("prefer", true),
            ("require", true),
            ("verify-ca", false),
        ] {
            both.check(&dsn("localhost", mode), &[], connects);
        }
        let (root, stranger) = (fixture(&format!("{root}.crt")), fixture("stranger.crt"));
        for (host, mode, root, connects) in [
            ("localhost", "prefer", &root, true),
            ("localhost", "require", &root, true),
            ("localhost", "verify-ca", &root, true),
            ("localhost", "verify-full", &root, true),
            ("other.example", "verify-ca", &root, true),
            ("other.example", "verify-full", &root, false),
            // The server rejects connections without TLS.
            ("localhost", "prefer", &stranger, false),
            ("localhost", "require", &stranger, false),
            ("localhost", "verify-ca", &stranger, false),
            ("localhost", "verify-full", &stranger, false),
        ] {
            both.check(
                &format!("{} sslrootcert={root}", dsn(host, mode)),
                &[],
                connects,
            );
        }
        let other = format!("{} sslrootcert={root}", dsn("other.example", "verify-full"));
        let refused = both.try_both(&other, &[]).ours.expect_err("another name");
        assert!(refused.contains("it is for localhost"), "{refused}");
        let strange = format!("{} sslrootcert={stranger}", dsn("localhost", "verify-ca"));
        let refused = both.try_both(&strange, &[]).ours.expect_err("another root");
        assert!(refused.contains("stranger.crt"), "{certificate}: {refused}");
    }
}

#[tokio::test]
async fn tls_falls_back_and_reads_default_files_as_psql_does() {
    let both = Both::find().await;
    let server = server_with("server", false).await;
    let port = server.port();
    let dsn = format!("host=localhost hostaddr=127.0.0.1 port={port} user=postgres dbname=ark");
    // The handshake fails, and the server accepts connections without TLS.
    let stranger = fixture("stranger.crt");
    both.check(
        &format!("{dsn} sslmode=prefer sslrootcert={stranger}"),
        &[],
        true,
    );
    both.check(
        &format!("{dsn} sslmode=require sslrootcert={stranger}"),
        &[],
        false,
    );

    let folder = both.home.path().join(".postgresql");
    std::fs::create_dir(&folder).expect("a directory");
    let copy = |from: &str, to: &str| {
        std::fs::copy(fixture(from), folder.join(to)).expect("copied");
    };
    copy("stranger.crt", "root.crt");
    both.check(&format!("{dsn} sslmode=require"), &[], false);
    copy("root.crt", "root.crt");
    both.check(&format!("{dsn} sslmode=verify-full"), &[], true);
    let ark = dsn.replace("user=postgres", "user=ark");
    both.check(&format!("{ark} sslmode=verify-full"), &[], false);
    copy("client.crt", "postgresql.crt");
    let key = std::fs::read_to_string(fixture("client.key")).expect("a key");
    both.write(".postgresql/postgresql.key", &key, 0o600);
    both.check(&format!("{ark} sslmode=verify-full"), &[], true);
    let (certificate, key) = (fixture("client.crt"), both.write("key", &key, 0o600));
    let given = format!("{ark} sslmode=require sslcert={certificate} sslkey={key}");
    both.check(&given, &[], true);
}

/// psql 15 does not have this root yet.
#[tokio::test]
async fn roots_of_the_operating_system_are_those_of_openssl() {
    let both = Both::find().await;
    let server = server_with("server", true).await;
    let port = server.port();
    let dsn = format!(
        "host=localhost hostaddr=127.0.0.1 port={port} user=postgres dbname=ark sslrootcert=system"
    );
    let ours = |dsn: &str, roots: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_backend-postgres"));
        command.args(["migrate", "--dsn", dsn]);
        both.run(command, &[("SSL_CERT_FILE", &fixture(roots))])
    };
    assert_eq!(ours(&dsn, "root.crt"), Ok(()));
    let refused = ours(&dsn, "stranger.crt").expect_err("another root");
    assert!(refused.contains("trusted certificates"), "{refused}");
    let weak = ours(&format!("{dsn} sslmode=verify-ca"), "root.crt").expect_err("weak");
    assert!(weak.contains("use verify-full"), "{weak}");
}
