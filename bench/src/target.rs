//! The servers under load: ark-apiserver and its peers, each started fresh and stopped at the end.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::client::Client;
use crate::kubeconfig;
use crate::processes::Processes;

/// A running server.
pub struct Target {
    /// Its name in reports.
    pub name: &'static str,
    /// Kubeconfig of an administrator.
    pub kubeconfig: PathBuf,
    /// Its processes.
    pub processes: Processes,
    child: Child,
}

/// A server to compare with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Peer {
    /// kube-apiserver and etcd.
    Etcd,
    /// kube-apiserver, kine and PostgreSQL.
    KinePostgres,
}

impl Peer {
    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Etcd => "kube-apiserver+etcd",
            Self::KinePostgres => "kube-apiserver+kine/postgres",
        }
    }
}

/// The folder of a build's programs.
pub struct Programs {
    folder: PathBuf,
    /// Its name in reports.
    build: &'static str,
}

impl Programs {
    /// The folder of this executable, where `cargo build` puts all programs.
    pub fn of_this_build() -> Result<Self> {
        let exe = std::env::current_exe()?;
        Ok(Self {
            folder: exe
                .parent()
                .context("the path of this executable has no parent")?
                .to_path_buf(),
            build: "ark-apiserver",
        })
    }

    /// The programs of another build.
    pub fn of(folder: &Path) -> Self {
        Self {
            folder: folder.to_path_buf(),
            build: "before",
        }
    }

    /// The path of a program.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

impl Target {
    /// Starts a gateway and the SQLite driver on a data directory.
    pub fn ours(programs: &Programs, data_dir: &Path) -> Result<Self> {
        let mut command = Command::new(programs.path("ark-apiserver"));
        command
            .args(["standalone", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(data_dir);
        let (child, _) = start(command, "ready: ")?;
        let processes = Processes::below(child.id(), true)?;
        let kubeconfig = data_dir.join("kubeconfig");
        Ok(Self {
            name: programs.build,
            kubeconfig,
            processes,
            child,
        })
    }

    /// Starts a gateway, the PostgreSQL driver and a PostgreSQL server.
    pub fn ours_on_postgres(programs: &Programs) -> Result<Self> {
        let engine = ["standalone", "--backend", "postgres"];
        Self::engine(programs, programs.build, &engine)
    }

    /// Starts kube-apiserver and its store with the same CRDs.
    pub fn peer(programs: &Programs, peer: Peer) -> Result<Self> {
        let engine = match peer {
            Peer::Etcd => "kube-apiserver",
            Peer::KinePostgres => "kine-postgres",
        };
        Self::engine(programs, peer.name(), &[engine])
    }

    /// Starts the scenario runner's engine; all servers, databases included, are its children.
    fn engine(programs: &Programs, name: &'static str, engine: &[&str]) -> Result<Self> {
        let mut command = Command::new(programs.path("scenarios"));
        command.args(["up", "--engine"]).args(engine);
        let (child, kubeconfig) = start(command, "export KUBECONFIG=")?;
        let processes = Processes::below(child.id(), false)?;
        let kubeconfig = PathBuf::from(kubeconfig);
        Ok(Self {
            name,
            kubeconfig,
            processes,
            child,
        })
    }

    /// Connects to it.
    pub async fn connect(&self, connections: usize) -> Result<Client> {
        Client::connect(&kubeconfig::load(&self.kubeconfig)?, connections).await
    }

    /// Stops it in an orderly way and waits.
    pub fn stop(mut self) -> Result<()> {
        self.interrupt()
    }

    fn interrupt(&mut self) -> Result<()> {
        end(self.name, &mut self.child)
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        // A failed measurement must not leave servers running. Its error has been reported.
        let _ = self.interrupt();
    }
}

/// Stops a program in an orderly way and waits.
pub fn end(name: &str, child: &mut Child) -> Result<()> {
    if child.try_wait()?.is_some() {
        return Ok(());
    }
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT)?;
    let deadline = Instant::now() + Duration::from_secs(30);
    while Instant::now() < deadline {
        if child.try_wait()?.is_some() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill()?;
    bail!("{name} did not stop within 30 s")
}

/// Starts a program and waits for a line with the prefix; returns the rest of the line.
pub fn start(mut command: Command, prefix: &str) -> Result<(Child, String)> {
    let program = command.get_program().to_owned();
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))?;
    let mut output = BufReader::new(child.stdout.take().context("no stdout")?);
    let mut line = String::new();
    loop {
        line.clear();
        if output.read_line(&mut line)? == 0 {
            bail!(
                "{} exited before it was ready: {}",
                program.display(),
                child.wait()?
            );
        }
        if let Some(rest) = line.trim_end().strip_prefix(prefix) {
            let rest = rest.to_owned();
            drain(output);
            return Ok((child, rest));
        }
    }
}

/// Reads the output to its end, so that the program neither blocks on a full pipe nor fails on a
/// closed one.
fn drain(mut output: BufReader<std::process::ChildStdout>) {
    std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
}
