//! Interruption of a command by the operator.

use std::io;

use anyhow::anyhow;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGINT and SIGTERM. Once registered, they no longer end the process: any long operation must be
/// awaited together with [`Stop::asked`].
pub(crate) struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    /// Registers the signals; those that arrive before [`Stop::asked`] are remembered.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Returns an error when the command is interrupted.
    pub(crate) async fn asked(&mut self) -> anyhow::Error {
        tokio::select! {
            Some(()) = self.interrupt.recv() => {}
            Some(()) = self.terminate.recv() => {}
            else => std::future::pending().await,
        }
        anyhow!("interrupted; repeat the command to continue")
    }
}
