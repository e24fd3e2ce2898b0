//! Metrics of the running programs.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::run::bin_dir;

/// Time for the start of a program, and for the metrics of the page to appear: one with labels has
/// no value before its first use.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Time for metrics that the page does not have yet.
const SETTLE: Duration = Duration::from_secs(4);

/// A kubeconfig of a cluster that is not there: the metrics of its use exist from the start.
const KUBECONFIG: &str = r#"{"apiVersion": "v1", "kind": "Config", "current-context": "it",
"clusters": [{"name": "it", "cluster": {"server": "https://127.0.0.1:1", "insecure-skip-tls-verify": true}}],
"users": [{"name": "it", "user": {"token": "none"}}],
"contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}]}"#;

const HEAD: &str = "# Metrics

Written by `cargo xtask reference` from the running programs. A metric with labels appears with its first value; those
of delegated requests, admission and audit, which need a cluster, are in [operating.md](../operating.md).
";

/// Type and help by name.
type Families = BTreeMap<String, (String, String)>;

/// A program that is killed when it goes out of scope.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The page of metrics; `written` is the one of before, whose metrics are waited for.
pub(super) fn page(written: &str) -> Result<String> {
    let (gateways, drivers) = written.split_once("## Drivers").unwrap_or_default();
    let scratch = tempfile::Builder::new()
        .prefix("ark-reference-")
        .tempdir()?;
    let folder = scratch.path();
    let socket = format!("unix://{}/driver.sock", folder.display());
    let arguments = ["--path", "ark.db", "--listen", &socket];
    let program = Program("backend-sqlite", &arguments, "--metrics-listen");
    let driver = families(folder, &program, &listed(drivers))?;
    let arguments = [
        "standalone",
        "--data-dir",
        "data",
        "--listen",
        "127.0.0.1:0",
    ];
    let program = Program("ark-apiserver", &arguments, "--metrics-bind-address");
    let mut gateway = families(folder, &program, &listed(gateways))?;
    std::fs::write(folder.join("kubeconfig"), KUBECONFIG)?;
    let port = free_port()?.to_string();
    let arguments = [
        "serve",
        "--backend",
        &socket,
        "--bind-address",
        "127.0.0.1",
        "--secure-port",
        &port,
        "--tls-cert-file",
        "data/pki/server.crt",
        "--tls-private-key-file",
        "data/pki/server.key",
        "--kubeconfig",
        "kubeconfig",
        "--authentication-tolerate-lookup-failure",
    ];
    let program = Program("ark-apiserver", &arguments, "--metrics-bind-address");
    gateway.extend(families(folder, &program, &[])?);
    let mut page = String::from(HEAD);
    page.push_str("\n## Gateway\n\n");
    table(&gateway, &mut page);
    page.push_str("\n## Drivers\n\n");
    table(&driver, &mut page);
    Ok(page)
}

fn table(families: &Families, page: &mut String) {
    page.push_str("| metric | type | meaning |\n| --- | --- | --- |\n");
    for (name, (kind, help)) in families {
        page.push_str(&format!("| `{name}` | {kind} | {help} |\n"));
    }
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// A program: its name, its arguments, and the flag for a listener of metrics.
struct Program<'a>(&'static str, &'a [&'a str], &'static str);

/// The metrics of a page.
fn listed(page: &str) -> Vec<&str> {
    let names = page.lines().filter_map(|line| line.strip_prefix("| `"));
    names
        .filter_map(|line| Some(line.split_once('`')?.0))
        .collect()
}

/// Starts a program and collects its metrics until those that are expected are there.
fn families(folder: &Path, program: &Program<'_>, expected: &[&str]) -> Result<Families> {
    let Program(name, arguments, flag) = *program;
    let address = format!("127.0.0.1:{}", free_port()?);
    let log = folder.join(format!("{name}.log"));
    let child = Command::new(bin_dir().join(name))
        .args(arguments)
        .args([flag, &address])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(&log)?)
        .spawn()
        .with_context(|| format!("cannot run {name}: build the workspace first"))?;
    let mut running = Running(child);
    let started = Instant::now();
    let mut first = None;
    let mut families = Families::new();
    loop {
        // A gateway without its cluster never becomes ready; its metrics are served before.
        if let Ok(text) = get(&address) {
            families.extend(parse(&text));
            let first = *first.get_or_insert_with(Instant::now);
            let complete = expected.iter().all(|name| families.contains_key(*name));
            if first.elapsed() > SETTLE && complete || first.elapsed() > TIMEOUT {
                return Ok(families);
            }
        }
        if let Some(status) = running.0.try_wait()? {
            let log = std::fs::read_to_string(&log).unwrap_or_default();
            bail!("{name} ended: {status}; {log}");
        }
        ensure!(
            first.is_some() || started.elapsed() < TIMEOUT,
            "{name} serves no metrics"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn get(address: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: metrics\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    ensure!(text.starts_with("HTTP/1.1 200"), "{text}");
    Ok(text)
}

fn parse(text: &str) -> Families {
    let mut families = Families::new();
    let mut help = ("", "");
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ').unwrap_or((rest, ""));
        } else if let Some(rest) = line.strip_prefix("# TYPE ")
            && let Some((name, kind)) = rest.split_once(' ')
            && name == help.0
        {
            families.insert(name.to_owned(), (kind.to_owned(), help.1.to_owned()));
        }
    }
    families
}
