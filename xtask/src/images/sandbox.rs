//! Starts the programs of the images with the restrictions of the chart's pod.

use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::json;

use crate::run;

/// Limit for the start of a program, and for one that ends by itself.
const TIMEOUT: Duration = Duration::from_secs(60);
/// User and group of the images.
const USER: u32 = 65532;
const QUERIES: &str = "/apis/ark.mckinsey.com/v1alpha1/namespaces/default/queries";

/// Two SQLite drivers on one shared folder of sockets, `arkctl copy` between them as the init
/// container of `storage.copyFrom`, and a gateway on the copy that stores and lists an object.
pub(super) fn check(roots: &Path, scratch: &Path) -> Result<()> {
    if let Some(missing) = missing() {
        println!("skipped: the programs were not started from the images: {missing}");
        return Ok(());
    }
    let pod = Pod::create(roots, scratch)?;
    let sqlite = "ark-apiserver-backend-sqlite";
    let driver = |name: &str, path: &str| -> Result<Container> {
        let listen = format!("--listen=unix:///run/ark/{name}.sock");
        let container = pod.start(name, sqlite, &["/backend-sqlite", &listen, path])?;
        container.wait_for(&pod.sockets.join(format!("{name}.sock")))?;
        Ok(container)
    };
    let _source = driver("source", "--path=/data/source.db")?;
    let _target = driver("backend", "--path=/data/ark.db")?;
    let copy = [
        "/arkctl",
        "copy",
        "--from=unix:///run/ark/source.sock",
        "--to=unix:///run/ark/backend.sock",
        "--live",
        "--accept-moved",
        "--wait=30",
        "--reason=moved by a test of the images",
    ];
    pod.start("copy", sqlite, &copy)?.finish()?;
    let postgres = ["/backend-postgres", "--version"];
    pod.start("postgres", "ark-apiserver-backend-postgresql", &postgres)?
        .finish()?;
    let port = std::net::TcpListener::bind("127.0.0.1:0")?
        .local_addr()?
        .port();
    let gateway = [
        "/ark-apiserver",
        "standalone",
        "--data-dir=/data/standalone",
        "--backend=unix:///run/ark/backend.sock",
        &format!("--listen=127.0.0.1:{port}"),
    ];
    let gateway = pod.start("gateway", "ark-apiserver", &gateway)?;
    gateway.wait_for(&pod.data.join("standalone/kubeconfig"))?;
    let object = json!({
        "apiVersion": "ark.mckinsey.com/v1alpha1",
        "kind": "Query",
        "metadata": {"name": "from-an-image"},
        "spec": {"input": "hello"},
    });
    pod.request(port, &["--data", &object.to_string()])?;
    let list = pod.request(port, &[])?;
    ensure!(list.contains("from-an-image"), "not listed: {list}");
    println!("started from the images: two drivers, arkctl copy, a gateway; a Query was stored");
    Ok(())
}

/// What the machine lacks.
fn missing() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("only root starts containers".to_owned());
    }
    for program in ["runc", "curl"] {
        let probe = run::command(program).arg("--version").output();
        if !probe.is_ok_and(|output| output.status.success()) {
            return Some(format!("{program} is not installed"));
        }
    }
    None
}

/// Folders that the containers share.
struct Pod {
    roots: PathBuf,
    scratch: PathBuf,
    sockets: PathBuf,
    data: PathBuf,
}

impl Pod {
    fn create(roots: &Path, scratch: &Path) -> Result<Self> {
        let (sockets, data) = (scratch.join("sockets"), scratch.join("data"));
        for folder in [&sockets, &data] {
            std::fs::create_dir(folder)?;
            chown(folder, Some(USER), Some(USER))?;
        }
        Ok(Self {
            roots: roots.to_owned(),
            scratch: scratch.to_owned(),
            sockets,
            data,
        })
    }

    /// Starts a command of an image. Of the pod's network, only loopback is needed: that of the
    /// machine serves as well.
    fn start(&self, name: &str, image: &str, args: &[&str]) -> Result<Container> {
        let bind = |source: &Path, target: &str| {
            json!({
                "destination": target, "type": "bind", "source": source, "options": ["bind", "rw"],
            })
        };
        let config = json!({
            "ociVersion": "1.0.2",
            "process": {
                "user": {"uid": USER, "gid": USER},
                "args": args,
                "cwd": "/",
                "capabilities": {},
                "noNewPrivileges": true,
            },
            "root": {"path": self.roots.join(image), "readonly": true},
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                bind(&self.sockets, "/run/ark"),
                bind(&self.data, "/data"),
            ],
            "linux": {
                "namespaces": [
                    {"type": "pid"}, {"type": "mount"}, {"type": "ipc"}, {"type": "uts"},
                ],
            },
        });
        let bundle = self.scratch.join(name);
        std::fs::create_dir(&bundle)?;
        std::fs::write(bundle.join("config.json"), config.to_string())?;
        let log = bundle.join("log");
        let output = std::fs::File::create(&log)?;
        let child = run::command("runc")
            .arg("--root")
            .arg(self.scratch.join("runc"))
            .args(["run", "--bundle"])
            .arg(&bundle)
            .arg(format!("ark-{name}-{}", std::process::id()))
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .context("cannot start runc")?;
        Ok(Container { child, log })
    }

    /// A request for Queries with the certificate of the gateway's administrator.
    fn request(&self, port: u16, args: &[&str]) -> Result<String> {
        let pki = self.data.join("standalone/pki");
        let output = run::command("curl")
            .args(["--silent", "--show-error", "--fail-with-body"])
            .args(["--retry", "20", "--retry-connrefused", "--retry-delay", "1"])
            .args([
                "--max-time",
                "60",
                "--header",
                "Content-Type: application/json",
            ])
            .arg("--cacert")
            .arg(pki.join("ca.crt"))
            .arg("--cert")
            .arg(pki.join("admin.crt"))
            .arg("--key")
            .arg(pki.join("admin.key"))
            .args(args)
            .arg(format!("https://127.0.0.1:{port}{QUERIES}"))
            .output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "request failed: {error} {text}");
        Ok(text)
    }
}

/// A program in its container; killed when dropped.
struct Container {
    child: Child,
    log: PathBuf,
}

impl Container {
    /// Waits until the program has created the file.
    fn wait_for(&self, file: &Path) -> Result<()> {
        let deadline = Instant::now() + TIMEOUT;
        while !file.exists() {
            if Instant::now() > deadline {
                bail!("{} is missing: {}", file.display(), self.output());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Waits until the program has ended, with success.
    fn finish(mut self) -> Result<()> {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            if let Some(status) = self.child.try_wait()? {
                ensure!(status.success(), "{status}: {}", self.output());
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "no end: {}", self.output());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn output(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        // runc forwards SIGTERM to the program and removes the container when that has ended.
        if let Some(pid) = rustix::process::Pid::from_raw(self.child.id().cast_signed()) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let deadline = Instant::now() + TIMEOUT;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = self.child.kill();
    }
}
