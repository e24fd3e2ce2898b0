//! A driver as a child process.

use std::ffi::OsString;
use std::fs::{DirBuilder, File, OpenOptions};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use crate::client::Client;
use crate::flushes;
use backend_client::Endpoint;

/// Timeout of a start, until the driver serves.
const READY: Duration = Duration::from_secs(60);

/// Timeout of the end of a process after SIGKILL, and after SIGTERM.
const GONE: Duration = Duration::from_secs(30);

/// Bytes of the log quoted in errors.
const QUOTED: usize = 2000;

/// A driver process that can be killed.
#[async_trait]
pub trait ProcessUnderTest: Send {
    /// Starts the process, without waiting until it serves.
    async fn start(&mut self) -> Result<(), String>;

    /// Returns a message if the process ended by itself.
    fn ended(&mut self) -> Option<String>;

    /// Kills the process and all its children with SIGKILL, as a power failure would.
    async fn kill(&mut self) -> Result<(), String>;
}

/// A command that serves an endpoint, in its own process group.
#[derive(Debug)]
pub struct Process {
    command: String,
    /// Program with arguments that runs the shell, such as one that makes a namespace.
    wrapper: Vec<String>,
    variables: Vec<(String, String)>,
    child: Option<Child>,
    log: PathBuf,
    /// File for a trace of the next start.
    trace: Option<PathBuf>,
}

/// Waits until the driver at `endpoint` responds.
///
/// # Errors
/// If it ends or does not respond in time.
pub async fn ready(
    driver_process: &mut dyn ProcessUnderTest,
    endpoint: &Endpoint,
) -> Result<(), String> {
    let deadline = Instant::now() + READY;
    loop {
        // A channel delays reconnecting after a failure, so each attempt uses a new one.
        let response = timeout(READY, Client::new(endpoint).current()).await;
        if matches!(response, Ok(Ok(_))) {
            return Ok(());
        }
        if let Some(why) = driver_process.ended() {
            return Err(why);
        }
        if Instant::now() > deadline {
            return Err(format!("no response within {} s", READY.as_secs()));
        }
        sleep(Duration::from_millis(5)).await;
    }
}

// === impl Process ===

impl Process {
    /// Prepares a command for `sh -c`. Creates the directory of its socket, accessible to its user
    /// only, if it is absent.
    ///
    /// # Errors
    /// If the directory cannot be created.
    pub fn new(command: &str, endpoint: &Endpoint) -> std::io::Result<Self> {
        if let Some(folder) = endpoint.socket().and_then(Path::parent)
            && !folder.exists()
        {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)?;
        }
        let name = format!("backend-conformance-{}.log", std::process::id());
        Ok(Self {
            command: command.to_owned(),
            wrapper: Vec::new(),
            variables: Vec::new(),
            child: None,
            log: std::env::temp_dir().join(name),
            trace: None,
        })
    }

    /// Runs the shell by another program, which gets the given arguments before it.
    #[must_use]
    pub(crate) fn inside(mut self, wrapper: &[&str]) -> Self {
        self.wrapper = wrapper.iter().map(ToString::to_string).collect();
        self
    }

    /// Sets the file to which the next start is traced.
    pub(crate) fn trace_to(&mut self, file: Option<PathBuf>) {
        self.trace = file;
    }

    /// Sets an environment variable of the command.
    #[must_use]
    pub fn with(mut self, name: &str, value: String) -> Self {
        self.variables.push((name.to_owned(), value));
        self
    }

    /// Writes the driver's output to a file in `folder`.
    #[must_use]
    pub fn logging_in(mut self, folder: &Path) -> Self {
        self.log = folder.join("log");
        self
    }

    /// Returns the path of the driver's output.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Stops the process with SIGTERM and waits; the exit code must be 0. If the shell still runs,
    /// the processes that it started get the signal: a shell ends at once by it, and would leave
    /// them behind.
    ///
    /// # Errors
    /// If it does not stop in time, or with another exit code.
    pub async fn stop(&mut self) -> Result<(), String> {
        let Some(mut child) = self.child.take() else {
            return Err("it does not run".to_owned());
        };
        let pid = pid_of(&child)?;
        for receiver in receivers(pid) {
            kill_process(receiver, Signal::TERM).map_err(|error| format!("SIGTERM: {error}"))?;
        }
        let Ok(ended) = timeout(GONE, child.wait()).await else {
            let seconds = GONE.as_secs();
            // It did not react to SIGTERM, so it would never end.
            let _ = kill_process_group(pid, Signal::KILL);
            return Err(format!("it does not stop within {seconds} s after SIGTERM"));
        };
        match ended {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!("after SIGTERM {}", self.tell(status))),
            Err(error) => Err(format!("cannot wait: {error}")),
        }
    }

    fn output(&self) -> std::io::Result<File> {
        OpenOptions::new().create(true).append(true).open(&self.log)
    }

    fn tell(&self, status: ExitStatus) -> String {
        let log = std::fs::read(&self.log).unwrap_or_default();
        let tail = String::from_utf8_lossy(&log[log.len().saturating_sub(QUOTED)..]).into_owned();
        let last = tail.lines().rev().take(3).collect::<Vec<_>>();
        let last = last.into_iter().rev().collect::<Vec<_>>().join(" | ");
        format!("it ended with {status}; its last lines: {last}")
    }
}

#[async_trait]
impl ProcessUnderTest for Process {
    async fn start(&mut self) -> Result<(), String> {
        let log = |error: std::io::Error| format!("{}: {error}", self.log.display());
        let (output, errors) = (self.output().map_err(log)?, self.output().map_err(log)?);
        let traced = self.trace.as_deref().map(flushes::tracer);
        let mut words: Vec<OsString> = traced.unwrap_or_default();
        words.extend(self.wrapper.iter().map(OsString::from));
        words.extend(["sh", "-c", &self.command].map(OsString::from));
        let program = words.remove(0);
        let child = Command::new(&program)
            .args(words)
            .envs(self.variables.iter().cloned())
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("{}: {error}", program.display()))?;
        self.child = Some(child);
        Ok(())
    }

    fn ended(&mut self) -> Option<String> {
        let status = self.child.as_mut()?.try_wait().ok()??;
        Some(self.tell(status))
    }

    async fn kill(&mut self) -> Result<(), String> {
        // A process that had crashed before the kill must be reported as such.
        if let Some(why) = self.ended() {
            return Err(why);
        }
        let Some(mut child) = self.child.take() else {
            return Err("it does not run".to_owned());
        };
        let pid = pid_of(&child)?;
        kill_process_group(pid, Signal::KILL).map_err(|error| format!("SIGKILL: {error}"))?;
        let gone = timeout(GONE, child.wait()).await;
        let gone = gone.map_err(|_| "it outlives SIGKILL".to_owned())?;
        gone.map_err(|error| format!("cannot wait: {error}"))?;
        // Processes that the shell started hold their locks until the kernel has ended them too.
        let ended = async {
            while !running(|process| process.group == pid).is_empty() {
                sleep(Duration::from_millis(2)).await;
            }
        };
        let ended = timeout(GONE, ended).await;
        ended.map_err(|_| "a process that it started outlives SIGKILL".to_owned())
    }
}

impl Drop for Process {
    /// Kills the whole process group, so that no child of the process survives.
    fn drop(&mut self) {
        if let Some(pid) = self.child.as_ref().and_then(|child| pid_of(child).ok()) {
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

/// Returns the processes that a shell started and waits for, or the process itself if it is not a
/// shell: a shell replaces itself by the last command where it can.
fn receivers(pid: Pid) -> Vec<Pid> {
    let comm = format!("/proc/{}/comm", pid.as_raw_nonzero());
    let name = std::fs::read_to_string(comm).unwrap_or_default();
    if name.trim_end() != "sh" {
        return vec![pid];
    }
    let children = running(|process| process.parent == pid);
    if children.is_empty() {
        return vec![pid];
    }
    children
}

/// A process in the table of the system.
struct Entry {
    parent: Pid,
    group: Pid,
}

/// Returns the running processes for which `wanted` holds, from `/proc`; none on other systems.
fn running(wanted: impl Fn(&Entry) -> bool) -> Vec<Pid> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pid = |text: &str| text.parse().ok().and_then(Pid::from_raw);
    processes
        .filter_map(|entry| {
            let number = pid(entry.file_name().to_str()?)?;
            let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
            // The name in parentheses may contain spaces. State, parent and group follow it.
            let mut fields = stat.rsplit(')').next()?.split_whitespace();
            let exited = matches!(fields.next()?, "Z" | "X");
            // The first thread may have ended while others still hold the sockets and locks.
            let threads = std::fs::read_dir(entry.path().join("task"));
            let ended = exited && threads.map_or(0, Iterator::count) <= 1;
            let process = Entry {
                parent: pid(fields.next()?)?,
                group: pid(fields.next()?)?,
            };
            (!ended && wanted(&process)).then_some(number)
        })
        .collect()
}

fn pid_of(child: &Child) -> Result<Pid, String> {
    let id = child.id().and_then(|id| i32::try_from(id).ok());
    id.and_then(Pid::from_raw)
        .ok_or_else(|| "it has no process id".to_owned())
}
