//! The programs of a move: drivers, gateways and `arkctl`, each a process.

use std::fs::File;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use postgres_testkit::ports;
use scenarios::engine::process::is_port_taken;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::time::{Instant, sleep};

use ark_bench::target::{Programs, end, start};

/// Time for a driver or a gateway to start.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// Attempts to start a gateway whose chosen port another process takes first.
const MAX_PORT_ATTEMPTS: usize = 3;

/// Locations of programs, sockets, databases and logs.
pub(super) struct Rig<'a> {
    programs: &'a Programs,
    folder: PathBuf,
}

/// A server process; stopped when dropped.
pub(super) struct Process {
    name: String,
    child: Child,
}

/// A driver and its store.
pub(super) struct Driver {
    pub(super) process: Process,
    pub(super) address: String,
    /// The write-ahead log of SQLite.
    pub(super) wal: Option<PathBuf>,
}

/// Output of a run of `arkctl`, each line with its time.
pub(super) struct Run {
    pub(super) took: Duration,
    pub(super) lines: Vec<(Instant, String)>,
}

// === impl Rig ===

impl<'a> Rig<'a> {
    pub(super) fn new(programs: &'a Programs, folder: &Path) -> Self {
        Self {
            programs,
            folder: folder.to_owned(),
        }
    }

    pub(super) async fn sqlite(&self, name: &str) -> Result<Driver> {
        let path = self.folder.join(format!("{name}.db"));
        let mut command = Command::new(self.programs.path("backend-sqlite"));
        command.arg("--path").arg(&path);
        let mut driver = self.driver(name, command).await?;
        driver.wal = Some(self.folder.join(format!("{name}.db-wal")));
        Ok(driver)
    }

    /// A driver on a temporary PostgreSQL server, with fsync.
    pub(super) async fn postgres(&self, name: &str) -> Result<Driver> {
        let mut command = Command::new(self.programs.path("postgres-testkit"));
        command.args(["--fsync", "--"]);
        command.arg(self.programs.path("backend-postgres"));
        self.driver(name, command).await
    }

    async fn driver(&self, name: &str, mut command: Command) -> Result<Driver> {
        let socket = self.folder.join(format!("{name}.sock"));
        let address = format!("unix://{}", socket.display());
        command.args(["--listen", &address]);
        let process = self.spawn(name, command)?;
        let begun = Instant::now();
        while UnixStream::connect(&socket).is_err() {
            ensure!(begun.elapsed() < START_TIMEOUT, "{name} does not listen");
            sleep(Duration::from_millis(20)).await;
        }
        Ok(Driver {
            process,
            address,
            wal: None,
        })
    }

    /// Starts a gateway that creates certificates and a kubeconfig; returns the path of the
    /// kubeconfig.
    pub(super) fn first_gateway(&self, backend: &str) -> Result<(Process, PathBuf)> {
        let data = self.folder.join("data");
        let mut command = Command::new(self.programs.path("ark-apiserver"));
        command.args(["standalone", "--listen", "127.0.0.1:0", "--backend"]);
        command.arg(backend).arg("--data-dir").arg(&data);
        command.stderr(self.log("gateway-1")?);
        let (child, _) = start(command, "ready: ")?;
        let name = "gateway-1".to_owned();
        Ok((Process { name, child }, data.join("kubeconfig")))
    }

    /// Starts a gateway with the first one's certificates and returns its address. It need not be
    /// ready.
    pub(super) async fn gateway(&self, name: &str, backend: &str) -> Result<(Process, String)> {
        let mut attempts = 0;
        loop {
            let port = ports::free()?;
            let mut process = self.serve(name, backend, port)?;
            attempts += 1;
            match self.serves(&mut process).await? {
                None => return Ok((process, format!("127.0.0.1:{port}"))),
                // Another process took the port between its choice and the bind.
                Some(log) if is_port_taken(log.as_bytes()) && attempts < MAX_PORT_ATTEMPTS => {}
                Some(log) => bail!("{name} ended: {log}"),
            }
        }
    }

    /// Waits until a gateway listens; returns its log if it ended instead.
    async fn serves(&self, process: &mut Process) -> Result<Option<String>> {
        let begun = Instant::now();
        loop {
            let ended = process.child.try_wait()?.is_some();
            let log = std::fs::read(self.log_path(&process.name))?;
            let log = String::from_utf8_lossy(&log).into_owned();
            if ended {
                return Ok(Some(log));
            }
            if log.contains("serving") {
                return Ok(None);
            }
            let name = &process.name;
            ensure!(
                begun.elapsed() < START_TIMEOUT,
                "{name} does not listen: {log}"
            );
            sleep(Duration::from_millis(20)).await;
        }
    }

    fn serve(&self, name: &str, backend: &str, port: u16) -> Result<Process> {
        let pki = self.folder.join("data").join("pki");
        let mut command = Command::new(self.programs.path("ark-apiserver"));
        command.args(["serve", "--bind-address", "127.0.0.1", "--backend", backend]);
        // No load balancer follows `readyz` here.
        command.args(["--shutdown-delay-duration", "0s"]);
        command.arg("--secure-port").arg(port.to_string());
        command.arg("--tls-cert-file").arg(pki.join("server.crt"));
        command
            .arg("--tls-private-key-file")
            .arg(pki.join("server.key"));
        command.arg("--client-ca-file").arg(pki.join("ca.crt"));
        self.spawn(name, command)
    }

    fn spawn(&self, name: &str, mut command: Command) -> Result<Process> {
        let log = self.log(name)?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?);
        let child = command.stderr(log).spawn();
        let program = || command.get_program().display().to_string();
        Ok(Process {
            name: name.to_owned(),
            child: child.with_context(program)?,
        })
    }

    fn log(&self, name: &str) -> Result<File> {
        Ok(File::create(self.log_path(name))?)
    }

    fn log_path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.log"))
    }

    /// Runs `arkctl`, which must succeed.
    pub(super) async fn arkctl(&self, arguments: &[&str]) -> Result<Run> {
        let begun = Instant::now();
        let mut child = tokio::process::Command::new(self.programs.path("arkctl"))
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("arkctl")?;
        let output = child.stdout.take().context("no stdout")?;
        let mut output = BufReader::new(output).lines();
        let mut lines = Vec::new();
        while let Some(line) = output.next_line().await? {
            lines.push((Instant::now(), line));
        }
        let ended = child.wait_with_output().await?;
        let run = Run {
            took: begun.elapsed(),
            lines,
        };
        let error = String::from_utf8_lossy(&ended.stderr);
        let arguments = arguments.join(" ");
        let output_text = run.text();
        ensure!(
            ended.status.success(),
            "arkctl {arguments}: {output_text}{error}"
        );
        Ok(run)
    }
}

// === impl Process ===

impl Process {
    /// Stops it in an orderly way and waits.
    pub(super) fn stop(mut self) -> Result<()> {
        end(&self.name, &mut self.child)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The error that dropped this has been reported; only the process must end.
        let _ = end(&self.name, &mut self.child);
    }
}

// === impl Run ===

impl Run {
    /// All lines.
    pub(super) fn text(&self) -> String {
        self.lines
            .iter()
            .map(|(_, line)| format!("{line}\n"))
            .collect()
    }

    /// The first line that contains `part`, and its time.
    pub(super) fn line(&self, part: &str) -> Result<(Instant, &str)> {
        self.pick(part, self.lines.iter())
    }

    /// The last such line: progress lines repeat.
    pub(super) fn last(&self, part: &str) -> Result<(Instant, &str)> {
        self.pick(part, self.lines.iter().rev())
    }

    fn pick<'a>(
        &self,
        part: &str,
        mut lines: impl Iterator<Item = &'a (Instant, String)>,
    ) -> Result<(Instant, &'a str)> {
        let found = lines.find(|(_, line)| line.contains(part));
        let (at, line) = found.with_context(|| format!("no `{part}` in {}", self.text()))?;
        Ok((*at, line))
    }
}
