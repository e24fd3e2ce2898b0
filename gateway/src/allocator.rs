//! The allocator, and what it needs from a server that rests.

use std::cell::Cell;
use std::convert::Infallible;
use std::hint::black_box;
use std::thread;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::sleep;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How often each thread gives memory back.
const EVERY: Duration = Duration::from_secs(2);
/// Large enough for a page of its own.
const PAGE: usize = 1 << 20;

thread_local! {
    static GIVEN_BACK: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Gives memory that was freed back to the system; to be called by a thread that has nothing to do.
/// mimalloc does that when a thread frees a page, a second later or more, and looks then at what other
/// threads have freed of its own.
pub(crate) fn give_back() {
    let now = Instant::now();
    let before = GIVEN_BACK.get();
    if before.is_none_or(|before| now.duration_since(before) >= EVERY) {
        GIVEN_BACK.set(Some(now));
        drop(black_box(Vec::<u8>::with_capacity(PAGE)));
    }
}

/// Wakes the threads of the caller's runtime now and then, for ever: without that a server that rests
/// after much work would keep what it needed.
pub(crate) async fn wake_threads() -> Infallible {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    loop {
        sleep(EVERY).await;
        let mut tasks = JoinSet::new();
        for _ in 0..2 * threads {
            tasks.spawn(tokio::task::yield_now());
        }
        tasks.join_all().await;
    }
}
