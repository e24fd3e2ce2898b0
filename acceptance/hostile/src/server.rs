//! The servers under attack: `ark-apiserver standalone` on a copy of the seed, and beside it a
//! gateway that trusts a front proxy.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use kube_http::Kubeconfig;
use scenarios::engine::certificates::Certificates;

use crate::tls::Target;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Setup {
    /// Soft limit of 1,024 descriptors, as usual; the hard limit is the system's.
    Standard,
    /// Soft and hard limit of 1,024 descriptors, so the server cannot raise its limit.
    FewDescriptors,
    /// Five concurrent reads and five concurrent writes.
    FewSeats,
    /// All bodies are audited, and the collector accepts connections but never responds.
    HungCollector,
}

/// Records everything.
const AUDIT_POLICY: &str =
    "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: RequestResponse}]\n";

/// Default soft limit of descriptors on Linux.
const USUAL_DESCRIPTORS: &str = "1024";
/// Time for a start or an orderly stop.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A running server with its own data directory.
pub(crate) struct Server {
    pub(crate) target: Target,
    child: Child,
    /// Keeps the pipe open, so that later output of the server does not fail.
    _output: BufReader<ChildStdout>,
    folder: PathBuf,
    /// The kernel accepts connections to it, and nothing reads them.
    _collector: Option<TcpListener>,
}

impl Server {
    /// Starts on `folder/data`, with manifests from `folder/kinds.yaml`; logs to `folder/log`.
    pub(crate) fn start(folder: &Path, setup: Setup) -> Result<Self> {
        let limit = match setup {
            Setup::FewDescriptors => "-n",
            Setup::Standard | Setup::FewSeats | Setup::HungCollector => "-S -n",
        };
        let mut command = Command::new("sh");
        command
            .arg("-c")
            // `exec` keeps the process id of the spawned child.
            .arg(format!(
                "ulimit {limit} {USUAL_DESCRIPTORS} && exec \"$0\" \"$@\""
            ))
            .arg(beside_us("ark-apiserver")?)
            .args(["standalone", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(folder.join("data"))
            .arg("--resources")
            .arg(folder.join("kinds.yaml"));
        if setup == Setup::FewSeats {
            let seats = [
                "--max-requests-inflight",
                "5",
                "--max-mutating-requests-inflight",
                "5",
            ];
            command.args(seats);
        }
        let collector = match setup {
            Setup::HungCollector => Some(hung_collector(folder, &mut command)?),
            Setup::Standard | Setup::FewDescriptors | Setup::FewSeats => None,
        };
        let (child, output) = start(command, &folder.join("log"))?;
        let config = Kubeconfig::load(&folder.join("data/kubeconfig"))?;
        Ok(Self {
            target: Target::new(&config)?,
            child,
            _output: output,
            folder: folder.to_owned(),
            _collector: collector,
        })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Bytes logged so far by the gateway and its driver.
    pub(crate) fn logged(&self) -> u64 {
        let log = std::fs::metadata(self.folder.join("log"));
        log.map_or(0, |log| log.len())
    }

    /// Exit status and last log lines if the process has ended.
    pub(crate) fn ended(&mut self) -> Result<Option<String>> {
        let Some(status) = self.child.try_wait()? else {
            return Ok(None);
        };
        let log = std::fs::read(self.folder.join("log")).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let last = log.lines().rfind(|line| !line.trim().is_empty());
        let last: String = last.unwrap_or_default().chars().take(160).collect();
        Ok(Some(format!("{status}; last line of the log: {last}")))
    }

    /// Stops in an orderly way and waits.
    pub(crate) fn stop(mut self) -> Result<()> {
        interrupt(&mut self.child)
    }

    /// Its driver, for a second gateway.
    pub(crate) fn driver(&self) -> Driver {
        let socket = format!("data/run/{}.sock", self.pid());
        Driver {
            address: format!("unix://{}", self.folder.join(socket).display()),
            kinds: self.folder.join("kinds.yaml"),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A failed server is killed without waiting; its driver exits with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The driver of a server.
#[derive(Clone)]
pub(crate) struct Driver {
    address: String,
    kinds: PathBuf,
}

impl Driver {
    /// Starts a second gateway on the same driver that trusts the headers of a front proxy; the
    /// kubeconfig's client certificate is the proxy's.
    pub(crate) fn front_proxy(&self, flags: &[&str]) -> Result<FrontProxied> {
        let folder = tempfile::Builder::new().prefix("ark-proxy-").tempdir()?;
        let files = Certificates::create(folder.path())?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut command = Command::new(beside_us("ark-apiserver")?);
        command
            .args(["serve", "--backend", &self.address])
            .args(["--shutdown-delay-duration", "0s"])
            .args([
                "--bind-address",
                "127.0.0.1",
                "--secure-port",
                &port.to_string(),
            ])
            .arg("--tls-cert-file")
            .arg(&files.server)
            .arg("--tls-private-key-file")
            .arg(&files.server_key)
            .arg("--requestheader-client-ca-file")
            .arg(&files.ca)
            .arg("--resources")
            .arg(&self.kinds)
            .args(flags)
            .stdout(Stdio::null())
            .stderr(File::create(folder.path().join("log"))?);
        let child = command.spawn().context("cannot start the second gateway")?;
        let config = Kubeconfig {
            server: format!("https://127.0.0.1:{port}"),
            ca: std::fs::read(&files.ca)?,
            certificate: std::fs::read(&files.admin)?,
            key: std::fs::read(&files.admin_key)?,
            token: None,
            tls_server_name: None,
        };
        let target = Target::new(&config)?;
        let mut proxied = FrontProxied {
            target,
            child,
            _folder: folder,
        };
        let deadline = Instant::now() + TIMEOUT;
        while std::net::TcpStream::connect(proxied.target.address).is_err() {
            if let Some(status) = proxied.child.try_wait()? {
                bail!("the second gateway exited: {status}");
            }
            anyhow::ensure!(
                Instant::now() < deadline,
                "the second gateway is not ready in time"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(proxied)
    }
}

pub(crate) struct FrontProxied {
    /// The gateway, with the client certificate of the front proxy.
    pub(crate) target: Target,
    child: Child,
    _folder: tempfile::TempDir,
}

impl Drop for FrontProxied {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Makes the server send its audit events to the returned listener.
fn hung_collector(folder: &Path, command: &mut Command) -> Result<TcpListener> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let kubeconfig = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
         clusters: [{{name: c, cluster: {{server: \"http://{}/\"}}}}]\n\
         contexts: [{{name: c, context: {{cluster: c, user: \"\"}}}}]\n",
        listener.local_addr()?
    );
    let (policy, webhook) = (folder.join("policy.yaml"), folder.join("collector.yaml"));
    std::fs::write(&policy, AUDIT_POLICY)?;
    std::fs::write(&webhook, kubeconfig)?;
    command.arg("--audit-policy-file").arg(policy);
    command.arg("--audit-webhook-config-file").arg(webhook);
    Ok(listener)
}

fn beside_us(name: &str) -> Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name(name);
    let hint = "build it: cargo build --workspace --bins";
    anyhow::ensure!(path.is_file(), "no program at {}; {hint}", path.display());
    Ok(path)
}

/// Starts a server and waits for its ready line.
fn start(mut command: Command, log: &Path) -> Result<(Child, BufReader<ChildStdout>)> {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(File::create(log)?)
        .spawn()
        .context("cannot start ark-apiserver")?;
    let mut output = BufReader::new(child.stdout.take().context("no standard output")?);
    let mut line = String::new();
    while !line.starts_with("ready: ") {
        line.clear();
        if output.read_line(&mut line)? == 0 {
            let log = std::fs::read_to_string(log).unwrap_or_default();
            let last = log.lines().last().unwrap_or_default();
            bail!("ark-apiserver: {}: {last}", child.wait()?);
        }
    }
    Ok((child, output))
}

fn interrupt(child: &mut Child) -> Result<()> {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT)?;
    let deadline = Instant::now() + TIMEOUT;
    while child.try_wait()?.is_none() {
        anyhow::ensure!(
            Instant::now() < deadline,
            "ark-apiserver did not stop in time"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
