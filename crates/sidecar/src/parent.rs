//! Detects the end of the parent process, however it ended.

use std::os::fd::AsFd as _;

use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe::Receiver;

/// Standard input, as a pipe whose other end the parent holds and never writes to. The kernel
/// closes it when the parent ends, even by SIGKILL.
#[derive(Debug)]
pub(crate) struct Parent(Receiver);

impl Parent {
    /// Takes standard input.
    ///
    /// # Errors
    /// If it is not a pipe.
    pub(crate) fn on_stdin() -> std::io::Result<Self> {
        let fd = std::io::stdin().as_fd().try_clone_to_owned()?;
        Receiver::from_owned_fd(fd).map(Self)
    }

    /// Returns when the other end is closed; discards input until then.
    pub(crate) async fn gone(mut self) {
        let mut ignored = [0; 64];
        while !matches!(self.0.read(&mut ignored).await, Ok(0) | Err(_)) {}
    }
}
