//! One connection: forwards bytes both ways, as the mode permits.

use std::net::SocketAddr;
use std::time::Duration;

use rand::Rng as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;

/// Maximum size of a piece.
const PIECE: usize = 16 * 1024;

/// Flow of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    /// Forwards at once.
    Free,
    /// Forwards nothing.
    Stopped,
    /// Forwards each piece after a random delay.
    Slow {
        /// Minimum delay.
        min: Duration,
        /// Maximum delay.
        max: Duration,
    },
}

/// Reason why a direction ended.
enum End {
    /// The peer or the proxy is gone.
    Broken,
}

/// Serves one client until both directions have ended, or one has broken.
pub(super) async fn connection(
    mut client: TcpStream,
    target: watch::Receiver<SocketAddr>,
    mut flow: watch::Receiver<Flow>,
) {
    // In a black hole the client's connection is open, but leads nowhere.
    if gate(&mut flow).await.is_err() {
        return;
    }
    let target = *target.borrow();
    let Ok(mut server) = TcpStream::connect(target).await else {
        return;
    };
    // Best effort: without it, small messages are only delayed.
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    // A broken direction ends both; a regular end of one leaves the other open.
    let _ = tokio::try_join!(
        direction(from_client, to_server, flow.clone()),
        direction(from_server, to_client, flow),
    );
}

async fn direction(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut flow: watch::Receiver<Flow>,
) -> Result<(), End> {
    let mut buffer = vec![0; PIECE];
    loop {
        gate(&mut flow).await?;
        let count = tokio::select! {
            biased;
            changed = flow.changed() => {
                changed.map_err(|_| End::Broken)?;
                continue;
            }
            read = from.read(&mut buffer) => read.map_err(|_| End::Broken)?,
        };
        delay(&mut flow).await?;
        if count == 0 {
            return to.shutdown().await.map_err(|_| End::Broken);
        }
        deliver(&buffer[..count], &mut to, &mut flow).await?;
    }
}

/// Writes a piece; stops in the middle if the mode changes.
async fn deliver(
    mut piece: &[u8],
    to: &mut (impl AsyncWrite + Unpin),
    flow: &mut watch::Receiver<Flow>,
) -> Result<(), End> {
    while !piece.is_empty() {
        gate(flow).await?;
        tokio::select! {
            biased;
            changed = flow.changed() => changed.map_err(|_| End::Broken)?,
            written = to.write(piece) => match written {
                Ok(count) if count > 0 => piece = &piece[count..],
                _ => return Err(End::Broken),
            },
        }
    }
    Ok(())
}

/// Waits until bytes may pass.
async fn gate(flow: &mut watch::Receiver<Flow>) -> Result<(), End> {
    let open = flow.wait_for(|flow| *flow != Flow::Stopped).await;
    open.map(|_| ()).map_err(|_| End::Broken)
}

/// Waits for the delay, and then while nothing may pass.
async fn delay(flow: &mut watch::Receiver<Flow>) -> Result<(), End> {
    let now = *flow.borrow();
    if let Flow::Slow { min, max } = now {
        let wait = rand::rng().random_range(min..=max.max(min));
        tokio::time::sleep(wait).await;
    }
    gate(flow).await
}
