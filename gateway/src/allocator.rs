//! The allocator, and what it needs from a server that rests.

use std::convert::Infallible;
use std::hint::black_box;
use std::time::Duration;

use tokio::time::sleep;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How often memory is given back.
const EVERY: Duration = Duration::from_secs(2);
/// Large enough for a page of its own.
const PAGE: usize = 1 << 20;

/// Gives memory that was freed back to the system, for ever. mimalloc does that when a page is freed a
/// second later or more: without this task a server that rests after much work would keep what it needed.
pub(crate) async fn give_back() -> Infallible {
    loop {
        sleep(EVERY).await;
        drop(black_box(Vec::<u8>::with_capacity(PAGE)));
    }
}
