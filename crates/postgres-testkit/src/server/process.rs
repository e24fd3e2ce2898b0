//! The process of a server.

use std::fs::OpenOptions;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::Stop;
use crate::error::{Error, Result, tail_of};
use crate::wait::Wait;

/// A child process whose output goes to a log.
#[derive(Debug)]
pub(crate) struct Process {
    child: Option<Child>,
    log: PathBuf,
}

// === impl Process ===

impl Process {
    pub(crate) fn new(log: PathBuf) -> Self {
        Self { child: None, log }
    }

    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    /// Returns the end of the log.
    pub(crate) fn tail(&self) -> String {
        tail_of(&self.log)
    }

    /// Starts the command in its own process group, so that Ctrl-C reaches only the test.
    pub(crate) fn start(&mut self, mut command: Command) -> Result<()> {
        if self.is_running() {
            return Err(Error::State("the server runs already".to_owned()));
        }
        let mut append = OpenOptions::new();
        let append = append.create(true).append(true);
        let output = append.open(&self.log).map_err(Error::at(&self.log))?;
        let errors = output.try_clone().map_err(Error::at(&self.log))?;
        let program = command.get_program().to_string_lossy().into_owned();
        let child = command
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .process_group(0)
            .spawn()
            .map_err(Error::io(program))?;
        self.child = Some(child);
        Ok(())
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child
            .as_mut()
            .is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Returns an error if the process ended by itself.
    pub(crate) fn check(&mut self) -> Result<()> {
        let Some(child) = &mut self.child else {
            return Err(Error::State("the server was not started".to_owned()));
        };
        match child.try_wait().map_err(Error::io("waiting"))? {
            None => Ok(()),
            Some(status) => Err(Error::Ended {
                status,
                log: self.tail(),
            }),
        }
    }

    /// Signals the process to stop, and waits.
    pub(crate) async fn stop(&mut self, how: Stop) -> Result<()> {
        self.check()?;
        let signal = match how {
            Stop::Fast => Signal::INT,
            Stop::Immediate => Signal::QUIT,
        };
        let id = self.child.as_ref().map(Child::id).unwrap_or_default();
        let pid = i32::try_from(id).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| Error::State("it has no process id".to_owned()))?;
        kill_process(pid, signal).map_err(|errno| Error::io("a signal")(errno.into()))?;
        let wait = Wait::begin("the end of the server");
        while self.is_running() {
            wait.again(|| self.tail()).await?;
        }
        self.child = None;
        Ok(())
    }

    /// Collects the exit status of a killed process.
    pub(crate) fn reap(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            // No effect on a dead process; prevents waiting forever for a live one.
            child.kill().map_err(Error::io("SIGKILL"))?;
            child.wait().map_err(Error::io("waiting"))?;
        }
        Ok(())
    }
}
