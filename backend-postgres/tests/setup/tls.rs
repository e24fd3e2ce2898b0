//! Tests of TLS to the database: the verification of each `sslmode`, and client certificates.

use std::path::Path;

use postgres_testkit::Server;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;

use crate::program::{Program, path, rejection};

type Authority = CertifiedIssuer<'static, KeyPair>;

/// Certificate files of a trusted and of an untrusted authority.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        let files = Self(tempfile::tempdir().expect("temporary directory"));
        let (authority, stranger) = (authority("ours"), authority("stranger"));
        files.write("authority", &authority.pem());
        files.write("stranger", &stranger.pem());
        files.issue("server", &authority, "127.0.0.1", "server");
        files.issue("elsewhere", &authority, "db.example.com", "server");
        files.issue("ark", &authority, "client", "ark");
        files.issue("false", &stranger, "client", "ark");
        files
    }

    fn path(&self, name: &str) -> String {
        path(&self.0.path().join(name))
    }

    fn write(&self, name: &str, pem: &str) {
        std::fs::write(self.0.path().join(name), pem).expect("a file");
    }

    /// Issues a certificate for a host, with a role as its common name.
    fn issue(&self, name: &str, authority: &Authority, host: &str, role: &str) {
        let mut params = CertificateParams::new(vec![host.to_owned()]).expect("a name");
        params.distinguished_name.push(DnType::CommonName, role);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, authority).expect("a certificate");
        self.write(name, &certificate.pem());
        self.write(&format!("{name}.key"), &key.serialize_pem());
    }
}

fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    Authority::self_signed(params, key).expect("an authority")
}

async fn server(files: &Files, certificate: &str) -> Server {
    let (pem, key) = (
        files.path(certificate),
        files.path(&format!("{certificate}.key")),
    );
    let builder = Server::builder()
        .tls_only(Path::new(&pem), Path::new(&key))
        .client_authority(Path::new(&files.path("authority")))
        .access_rule("hostssl all ark 127.0.0.1/32 cert");
    let server = builder.start().await.expect("a server");
    server.create_database("ark").await.expect("a database");
    server
}

/// Expected result of a start.
enum Due {
    /// It serves, over TLS.
    Serves,
    /// It exits, or keeps waiting, with this message.
    Refuses(&'static str),
}

use Due::{Refuses, Serves};

async fn check(server: &Server, flags: &[&str], expected: &Due) {
    let dsn = server.dsn("ark");
    let flags = [&["--dsn", &dsn][..], flags].concat();
    let mut program = Program::new();
    match expected {
        Serves => {
            program.serve(&flags, &[]);
            program.responds().await;
            let session = server.session("ark").await.expect("a session");
            let open = "select count(*) from pg_stat_activity a join pg_stat_ssl s using (pid) \
                        where application_name = 'backend-postgres' and not ssl";
            let open = session.text(open).await.expect("asked");
            assert_eq!(open.as_deref(), Some("0"), "{flags:?}: not encrypted");
        }
        Refuses(words) => {
            let output = rejection(&flags, &[]).await;
            assert!(output.contains(words), "{flags:?}: {output}");
        }
    }
}

#[tokio::test]
async fn each_sslmode_verifies_as_in_libpq() {
    let files = Files::new();
    let (ours, strange) = (files.path("authority"), files.path("stranger"));
    let (ours, strange) = (ours.as_str(), strange.as_str());
    let good = server(&files, "server").await;
    let elsewhere = server(&files, "elsewhere").await;
    for (server, flags, expected) in [
        (
            &good,
            &["--sslmode", "disable"][..],
            Refuses("no encryption"),
        ),
        (&good, &["--sslmode", "prefer"], Serves),
        (&good, &["--sslmode", "require"], Serves),
        (
            &good,
            &["--sslmode", "verify-ca", "--sslrootcert", ours],
            Serves,
        ),
        (
            &good,
            &["--sslmode", "verify-full", "--sslrootcert", ours],
            Serves,
        ),
        (
            &good,
            &["--sslmode", "verify-full"],
            Refuses("needs sslrootcert"),
        ),
        (
            &good,
            &["--sslmode", "require", "--sslrootcert", strange],
            Refuses("UnknownIssuer"),
        ),
        (
            &good,
            &["--sslmode", "verify-ca", "--sslrootcert", strange],
            Refuses("UnknownIssuer"),
        ),
        (
            &good,
            &["--sslmode", "verify-full", "--sslrootcert", strange],
            Refuses("UnknownIssuer"),
        ),
        (&elsewhere, &["--sslmode", "require"], Serves),
        (
            &elsewhere,
            &["--sslmode", "verify-ca", "--sslrootcert", ours],
            Serves,
        ),
        (
            &elsewhere,
            &["--sslmode", "verify-full", "--sslrootcert", ours],
            Refuses("not valid for"),
        ),
    ] {
        check(server, flags, &expected).await;
    }
    let plain = Server::builder().start().await.expect("a server");
    plain.create_database("ark").await.expect("a database");
    check(
        &plain,
        &["--sslmode", "require"],
        &Refuses("does not support TLS"),
    )
    .await;
}

#[tokio::test]
async fn client_certificate_authenticates() {
    let files = Files::new();
    let server = server(&files, "server").await;
    let made = "create role ark login; grant create on database ark to ark";
    server.execute("ark", made).await.expect("a role");
    let dsn = server.dsn("ark").replacen("//postgres@", "//ark@", 1);
    let trust = [
        "--sslmode",
        "verify-full",
        "--sslrootcert",
        &files.path("authority"),
    ];
    let of = |name: &str| (files.path(name), files.path(&format!("{name}.key")));
    let start = [&["--dsn", &dsn][..], &trust].concat();

    let (certificate, key) = of("ark");
    let ours = ["--sslcert", &certificate, "--sslkey", &key];
    let mut program = Program::new();
    program.serve(&[&start[..], &ours].concat(), &[]);
    program.responds().await;

    let none = rejection(&start, &[]).await;
    assert!(none.contains("certificate"), "{none}");
    let half = rejection(&[&start[..], &ours[..2]].concat(), &[]).await;
    assert!(half.contains("must be given together"), "{half}");
    let (certificate, key) = of("server");
    let other = ["--sslcert", &certificate, "--sslkey", &key];
    let other = rejection(&[&start[..], &other].concat(), &[]).await;
    assert!(
        other.contains("certificate authentication failed"),
        "{other}"
    );
    let (certificate, key) = of("false");
    let strange = ["--sslcert", &certificate, "--sslkey", &key];
    let strange = rejection(&[&start[..], &strange].concat(), &[]).await;
    assert!(
        strange.contains("certificate") || strange.contains("UnknownCA"),
        "{strange}"
    );
}
