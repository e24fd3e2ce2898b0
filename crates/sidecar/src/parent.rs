//! Ending with the process that started us, however that one ended.

use std::os::fd::AsFd as _;

use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe::Receiver;

/// Our standard input, a pipe whose other end the parent holds and never writes to: it closes when
/// the parent ends, even by SIGKILL.
#[derive(Debug)]
pub(crate) struct Parent(Receiver);

impl Parent {
    /// Takes standard input.
    ///
    /// # Errors
    /// If it is no pipe.
    pub(crate) fn on_stdin() -> std::io::Result<Self> {
        let fd = std::io::stdin().as_fd().try_clone_to_owned()?;
        Receiver::from_owned_fd(fd).map(Self)
    }

    /// Returns when the other end is closed; what arrives until then is dropped.
    pub(crate) async fn gone(mut self) {
        let mut ignored = [0; 64];
        while !matches!(self.0.read(&mut ignored).await, Ok(0) | Err(_)) {}
    }
}
