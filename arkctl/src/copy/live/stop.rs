//! Somebody who wants the copy to stop.

use std::io;

use anyhow::anyhow;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Ctrl-C and SIGTERM. Once they are listened to they do nothing by themselves any more, for the
/// rest of the process: whatever may take long has to be waited for together with [`Stop::asked`].
pub(super) struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    /// Listens; what comes while nobody waits is not forgotten.
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Ends with an error when the copy is to stop.
    pub(super) async fn asked(&mut self) -> anyhow::Error {
        tokio::select! {
            Some(()) = self.interrupt.recv() => {}
            Some(()) = self.terminate.recv() => {}
            else => std::future::pending().await,
        }
        anyhow!("interrupted; the same command carries on")
    }
}
