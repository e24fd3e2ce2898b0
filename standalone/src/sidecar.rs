//! The storage driver as a child process: start, supervision, restart, stop.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use rustix::process::{Pid, Signal, kill_process};
use tokio::net::UnixStream;
use tokio::process::{Child, ChildStdin, Command};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::output::Output;
use crate::{Dsn, Error, Logs, Socket};

/// Timeout of the start of a driver: it may migrate its database, or wait for one on another
/// machine.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// Interval of warnings while the driver does not serve.
const START_WARNING: Duration = Duration::from_secs(3);
/// Interval of connection attempts while the driver starts.
const START_POLL: Duration = Duration::from_millis(5);
/// Timeout of the stop of a driver; the kit drains for at most 10 s.
const STOP_TIMEOUT: Duration = Duration::from_secs(15);
/// How long to wait for the remaining output of an ended driver.
const OUTPUT_TIMEOUT: Duration = Duration::from_secs(1);
/// Delays before a restart: doubled from the first to the last.
const MIN_RESTART_DELAY: Duration = Duration::from_millis(100);
const MAX_RESTART_DELAY: Duration = Duration::from_secs(10);
/// A driver that served this long resets the restart delay.
const HEALTHY_AFTER: Duration = Duration::from_secs(30);
/// Exit code of a driver that must not be restarted, because an operator must act.
const FATAL: i32 = 3;

/// The program of a driver.
#[derive(Debug, Clone)]
pub struct Program {
    /// The executable.
    pub path: PathBuf,
    /// Arguments besides `--listen`.
    pub arguments: Vec<OsString>,
    /// An environment variable that is set for the driver only.
    pub secret: Option<(&'static str, Dsn)>,
    /// How the driver logs; passed by the environment, because flags of other drivers differ.
    pub logs: Logs,
}

/// A driver that runs as our child, for the lifetime of the value.
#[derive(Debug)]
pub struct Sidecar {
    program: Program,
    socket: Socket,
    process: Process,
    restarts: Counter,
}

/// A running instance of the driver.
#[derive(Debug)]
struct Process {
    name: String,
    child: Child,
    /// A pipe that we hold and never write to. It closes however this process ends, which makes the driver
    /// stop. Taken out of the child, because `wait` closes the child's stdin.
    _stdin: Option<ChildStdin>,
    output: Output,
    reader: JoinSet<()>,
    since: Instant,
}

impl Program {
    /// A program that needs only `--listen`.
    #[must_use]
    pub const fn new(path: PathBuf, logs: Logs) -> Self {
        Self {
            path,
            arguments: Vec::new(),
            secret: None,
            logs,
        }
    }

    /// The name in logs and errors.
    fn name(&self) -> String {
        let name = self.path.file_name().unwrap_or(self.path.as_os_str());
        name.to_string_lossy().into_owned()
    }

    fn spawn(&self, socket: &Socket) -> Result<Process, Error> {
        let mut command = Command::new(&self.path);
        command
            .args(["--listen", &socket.address()])
            .args(&self.arguments)
            .envs(self.secret.iter().map(|(name, dsn)| (name, dsn)))
            .env("ARK_BACKEND_EXIT_ON_STDIN_CLOSE", "true")
            .env("ARK_LOG", self.logs.filter.as_str())
            .env("ARK_LOG_FORMAT", self.logs.format.name())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // A process group of its own, because Ctrl-C signals our group and the driver must
            // serve until we have drained.
            .process_group(0)
            .kill_on_drop(true);
        let spawned = command.spawn().map_err(|source| Error::Spawn {
            program: self.path.clone(),
            source,
        });
        let mut child = spawned?;
        let name = self.name();
        let output = Output::held(&name, self.logs.format);
        let mut reader = JoinSet::new();
        if let Some(stderr) = child.stderr.take() {
            reader.spawn(output.clone().follow(stderr));
        }
        Ok(Process {
            name,
            _stdin: child.stdin.take(),
            child,
            output,
            reader,
            since: Instant::now(),
        })
    }

    /// Starts the driver and waits until it serves.
    async fn start(&self, socket: &Socket) -> Result<Process, Error> {
        let mut process = self.spawn(socket)?;
        loop {
            let serving = timeout(START_WARNING, process.wait_until_serving(socket.path()));
            match serving.await {
                Ok(served) => break served?,
                Err(_) => self.check_start_timeout(&process)?,
            }
        }
        process.output.release();
        process.since = Instant::now();
        Ok(process)
    }

    /// Logs the last output of the driver; an error after the timeout.
    fn check_start_timeout(&self, process: &Process) -> Result<(), Error> {
        let name = self.name();
        let last = process.output.last();
        let last = last.unwrap_or_else(|| "it has printed nothing".to_owned());
        if process.since.elapsed() < START_TIMEOUT {
            tracing::warn!(driver = name, last, "storage driver does not serve yet");
            return Ok(());
        }
        process.output.release();
        let seconds = START_TIMEOUT.as_secs();
        Err(Error::Silent {
            name,
            seconds,
            last,
        })
    }
}

impl Sidecar {
    /// Starts a driver on a socket; returns when it serves. Each later start, also one that
    /// fails, increments `restarts`.
    ///
    /// # Errors
    /// If it ends instead, with its last line, or reaches the start timeout.
    pub async fn start(program: Program, socket: Socket, restarts: Counter) -> Result<Self, Error> {
        let process = program.start(&socket).await?;
        Ok(Self {
            program,
            socket,
            process,
            restarts,
        })
    }

    /// Restarts the driver whenever it ends, until `stop`; then stops it and waits.
    ///
    /// # Errors
    /// If the exit code says that the driver must not be restarted.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), Error> {
        let mut delay = MIN_RESTART_DELAY;
        loop {
            let Some(status) = stop.run_until_cancelled(self.process.child.wait()).await else {
                self.process.stop().await;
                return Ok(());
            };
            let fatal = matches!(&status, Ok(status) if status.code() == Some(FATAL));
            let reason = self.process.exit_reason(status).await;
            let name = &self.process.name;
            if fatal {
                let name = name.clone();
                return Err(Error::Ended { name, reason });
            }
            tracing::error!(driver = name, reason, "storage driver ended, restarting it");
            if self.process.since.elapsed() >= HEALTHY_AFTER {
                delay = MIN_RESTART_DELAY;
            }
            let restart = stop.run_until_cancelled(self.restart(&mut delay));
            match restart.await {
                Some(process) => self.process = process,
                None => return Ok(()),
            }
        }
    }

    /// Restarts the driver until it serves.
    async fn restart(&self, delay: &mut Duration) -> Process {
        loop {
            sleep(*delay).await;
            *delay = (*delay * 2).min(MAX_RESTART_DELAY);
            self.restarts.inc();
            match self.program.start(&self.socket).await {
                Ok(process) => {
                    tracing::info!(driver = process.name, "storage driver restarted");
                    return process;
                }
                Err(error) => tracing::error!(%error, "cannot restart storage driver"),
            }
        }
    }
}

impl Process {
    /// Waits until the socket accepts connections.
    async fn wait_until_serving(&mut self, socket: &Path) -> Result<(), Error> {
        while UnixStream::connect(socket).await.is_err() {
            // A pause that ends early if the driver does.
            if let Ok(status) = timeout(START_POLL, self.child.wait()).await {
                return Err(Error::Ended {
                    name: self.name.clone(),
                    reason: self.exit_reason(status).await,
                });
            }
        }
        Ok(())
    }

    /// The reason for the exit of the process.
    async fn exit_reason(&mut self, status: std::io::Result<ExitStatus>) -> String {
        let read = async { while self.reader.join_next().await.is_some() {} };
        // A child of the driver may keep the pipe open.
        let _ = timeout(OUTPUT_TIMEOUT, read).await;
        match (status, self.output.last()) {
            // A signal ended the process, so its last line is unrelated.
            (Ok(status), _) if status.code().is_none() => status.to_string(),
            (Ok(status), Some(last)) => format!("{last} ({status})"),
            (Ok(status), None) => status.to_string(),
            (Err(error), _) => error.to_string(),
        }
    }

    /// Stops the process and waits, up to the stop timeout.
    async fn stop(&mut self) {
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok());
        if let Some(pid) = pid.and_then(Pid::from_raw) {
            // Fails harmlessly if the process has already ended.
            let _ = kill_process(pid, Signal::TERM);
        }
        match timeout(STOP_TIMEOUT, self.child.wait()).await {
            Ok(Ok(status)) if status.success() => {}
            Ok(status) => {
                let reason = self.exit_reason(status).await;
                tracing::error!(driver = self.name, reason, "storage driver failed to stop");
            }
            Err(_) => {
                tracing::error!(
                    driver = self.name,
                    "storage driver does not stop, killing it"
                );
                let _ = self.child.kill().await;
            }
        }
        // Passes on its remaining output.
        let read = async { while self.reader.join_next().await.is_some() {} };
        let _ = timeout(OUTPUT_TIMEOUT, read).await;
    }
}
