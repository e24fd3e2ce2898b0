//! Reloads of single files.

use std::path::Path;
use std::time::Duration;

use pki::{Pair, Validity};
use time::OffsetDateTime;

use super::*;
use crate::auth::RequestHeaders;
use crate::serving::tls::ServingFiles;
use crate::telemetry::Metrics;

/// An authority and a serving certificate, both valid for `days`.
struct Generation {
    authority: Pair,
    serving: Pair,
    expires: i64,
}

impl Generation {
    fn valid_for(days: u64) -> Self {
        let lifetime = Duration::from_secs(days * 86_400);
        let validity = Validity::starting(OffsetDateTime::now_utc(), lifetime);
        let authority = pki::authority_valid("authority", validity).unwrap();
        Self {
            serving: pki::serving_valid(&authority, &["localhost".to_owned()], validity).unwrap(),
            authority,
            expires: validity.not_after.unix_timestamp(),
        }
    }
}

struct Server {
    reloader: Reloader,
    metrics: Metrics,
}

impl Server {
    fn start(folder: &Path) -> Self {
        let files = Files {
            serving: Some(ServingFiles {
                certificate: folder.join("tls.crt"),
                private_key: folder.join("tls.key"),
            }),
            client_ca: Some(folder.join("clients.crt")),
            request_header_ca: Some(folder.join("proxies.crt")),
            request_headers: RequestHeaders::default(),
        };
        let metrics = Metrics::new();
        let reloader = Reloader::new(files).unwrap();
        Self {
            reloader: reloader.reporting(CertificateMetrics::new(&metrics)),
            metrics,
        }
    }

    /// The value of a series, whose labels are `labels`.
    fn value(&self, name: &str, labels: &str) -> i64 {
        let text = self.metrics.render(exposition::Format::Text);
        let series = format!("{name}{{{labels}}} ");
        let line = text.lines().find_map(|line| line.strip_prefix(&series));
        line.unwrap_or_else(|| panic!("no {series} in {text}"))
            .parse()
            .unwrap()
    }

    fn expires(&self, certificate: &str) -> i64 {
        let name = "ark_certificate_expiration_timestamp_seconds";
        self.value(name, &format!("certificate=\"{certificate}\""))
    }

    fn reloads(&self, certificate: &str, result: &str) -> i64 {
        let labels = format!("certificate=\"{certificate}\",result=\"{result}\"");
        self.value("ark_certificate_reloads_total", &labels)
    }
}

#[test]
fn invalid_file_does_not_delay_reload_of_other_files() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let (old, new) = (Generation::valid_for(20), Generation::valid_for(40));
    write("tls.crt", &old.serving.certificate);
    write("tls.key", &old.serving.key);
    write("clients.crt", &old.authority.certificate);
    write("proxies.crt", &old.authority.certificate);
    let mut server = Server::start(folder.path());
    assert_eq!(server.reloads("client-ca", "failure"), 0);

    // A bundle is damaged, the other is missing, and the certificate of the server is replaced.
    write("clients.crt", "-----BEGIN CERTIFICATE-----\nAAAA\n");
    std::fs::remove_file(folder.path().join("proxies.crt")).unwrap();
    write("tls.crt", &new.serving.certificate);
    write("tls.key", &new.serving.key);
    for _ in 0..3 {
        server.reloader.refresh();
    }
    assert_eq!(server.expires("serving"), new.expires);
    assert_eq!(server.expires("client-ca"), old.expires);
    assert_eq!(server.expires("front-proxy-ca"), old.expires);
    assert_eq!(server.reloads("serving", "success"), 1);
    // Each failure is counted once, not at every read.
    assert_eq!(server.reloads("client-ca", "failure"), 1);
    assert_eq!(server.reloads("front-proxy-ca", "failure"), 1);

    write("clients.crt", &new.authority.certificate);
    server.reloader.refresh();
    assert_eq!(server.expires("client-ca"), new.expires);
    assert_eq!(server.expires("front-proxy-ca"), old.expires);
    assert_eq!(server.reloads("client-ca", "success"), 1);
}

#[test]
fn certificate_is_used_only_with_its_own_key() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let (old, new) = (Generation::valid_for(20), Generation::valid_for(40));
    write("tls.crt", &old.serving.certificate);
    write("tls.key", &old.serving.key);
    write("clients.crt", &old.authority.certificate);
    write("proxies.crt", &old.authority.certificate);
    let mut server = Server::start(folder.path());

    // The two files cannot be replaced at one moment.
    write("tls.crt", &new.serving.certificate);
    server.reloader.refresh();
    assert_eq!(server.expires("serving"), old.expires);
    assert_eq!(server.reloads("serving", "failure"), 1);
    write("tls.key", &new.serving.key);
    server.reloader.refresh();
    assert_eq!(server.expires("serving"), new.expires);
    assert_eq!(server.reloads("serving", "success"), 1);
}
