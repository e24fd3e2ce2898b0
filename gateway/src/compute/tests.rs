//! Guarantees of the pool.

use std::sync::atomic::AtomicUsize;
use std::sync::mpsc;
use std::time::Duration;

use tokio::time::Instant;

use super::*;

/// Weight of a job that runs on the pool.
const HEAVY: usize = INLINE + 1;

/// A pool of one thread.
fn pool() -> (Pool, Workers) {
    Pool::start(1).unwrap()
}

/// Occupies the only thread until the sender is dropped; returns once the thread is occupied.
async fn busy(pool: &Pool) -> mpsc::SyncSender<()> {
    let (release, wait) = mpsc::sync_channel::<()>(1);
    let (began, begun) = oneshot::channel();
    let keeper = pool.of("keeper");
    let mut job = Box::pin(keeper.run_accepted(HEAVY, move |_| {
        began.send(()).unwrap();
        let _ = wait.recv();
    }));
    queued(&mut job).await;
    begun.await.unwrap();
    release
}

/// Polls a future once, so that its job is queued.
async fn queued<F: Future + Unpin>(future: &mut F) {
    let polled = futures_util::poll!(future);
    assert!(polled.is_pending());
}

#[tokio::test]
async fn light_work_runs_inline_and_heavy_work_on_pool() {
    let (pool, _workers) = pool();
    let here = thread::current().id();
    let client = pool.of("u");
    let ran = async |weight| client.run(weight, |_| thread::current().id()).await;
    assert_eq!(ran(INLINE).await, Ok(here));
    assert_ne!(ran(HEAVY).await, Ok(here));
}

#[tokio::test]
async fn users_take_turns() {
    let (pool, _workers) = pool();
    let release = busy(&pool).await;
    let order = Arc::<Mutex<Vec<&str>>>::default();
    let job = |user: &str, name: &'static str| {
        let (client, order) = (pool.of(user), Arc::clone(&order));
        Box::pin(async move { client.run(HEAVY, move |_| order.lock().push(name)).await })
    };
    let mut jobs = [
        job("a", "a1"),
        job("a", "a2"),
        job("a", "a3"),
        job("b", "b1"),
        job("b", "b2"),
    ];
    for job in &mut jobs {
        queued(job).await;
    }
    drop(release);
    for job in jobs {
        job.await.unwrap();
    }
    assert_eq!(*order.lock(), ["a1", "b1", "a2", "b2", "a3"]);
}

#[tokio::test]
async fn excess_work_of_one_user_is_rejected_and_others_are_admitted() {
    for weight in [HEAVY, 20 << 20] {
        let (pool, _workers) = pool();
        let release = busy(&pool).await;
        let job = |user: &str| {
            let client = pool.of(user);
            Box::pin(async move { client.run(weight, |_| ()).await })
        };
        let mut waiting = Vec::new();
        let rejected = loop {
            let mut job = job("a");
            match futures_util::poll!(&mut job) {
                std::task::Poll::Pending => waiting.push(job),
                std::task::Poll::Ready(done) => break done,
            }
        };
        assert_eq!(rejected, Err(Overloaded));
        assert!(waiting.len() <= 64 && waiting.len() * weight <= 64 << 20);
        let client = pool.of("a");
        let (mut other, mut later) = (job("b"), Box::pin(client.run_accepted(weight, |_| ())));
        queued(&mut other).await;
        queued(&mut later).await;
        drop(release);
        assert_eq!(other.await, Ok(()));
        later.await;
        for job in waiting {
            assert_eq!(job.await, Ok(()));
        }
    }
    let error = ApiError::from(Overloaded);
    assert_eq!((error.code(), error.retry_after()), (429, Some(1)));
}

#[tokio::test]
async fn cancelled_job_is_not_started() {
    let (pool, _workers) = pool();
    let release = busy(&pool).await;
    let ran = Arc::<AtomicUsize>::default();
    let mut gone: Vec<_> = (0..10)
        .map(|_| {
            let (client, ran) = (pool.of("u"), Arc::clone(&ran));
            Box::pin(async move {
                client
                    .run(6 << 20, move |_| ran.fetch_add(1, Ordering::SeqCst))
                    .await
            })
        })
        .collect();
    for job in &mut gone {
        queued(job).await;
    }
    drop(gone);
    // Cancelled jobs free their place in the queue immediately.
    let client = pool.of("u");
    let mut stays = Box::pin(client.run(60 << 20, |_| 7));
    queued(&mut stays).await;
    drop(release);
    assert_eq!(stays.await, Ok(7));
    assert_eq!(ran.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn running_job_observes_cancellation() {
    let (pool, _workers) = pool();
    let (observed, ended) = mpsc::sync_channel(16);
    let (began, begun) = oneshot::channel();
    let client = pool.of("u");
    let mut job = Box::pin(client.run(HEAVY, move |run: &Run| {
        began.send(()).unwrap();
        while run.check().is_ok() {
            thread::yield_now();
        }
        observed.send(()).unwrap();
    }));
    queued(&mut job).await;
    begun.await.unwrap();
    drop(job);
    ended.recv_timeout(Duration::from_secs(30)).unwrap();
}

#[tokio::test]
async fn pool_dropped_value_is_dropped_by_pool() {
    struct Tree(mpsc::SyncSender<thread::ThreadId>);
    impl Drop for Tree {
        fn drop(&mut self) {
            self.0.send(thread::current().id()).unwrap();
        }
    }
    let (pool, _workers) = pool();
    let client = pool.of("u");
    let (dropped, on) = mpsc::sync_channel(16);
    let here = thread::current().id();
    for (weight, elsewhere) in [(HEAVY, true), (INLINE, false)] {
        let tree = Tree(dropped.clone());
        drop(
            client
                .run(weight, |run: &Run| run.drop_on_pool(tree))
                .await
                .unwrap(),
        );
        let thread = on.recv_timeout(Duration::from_secs(30)).unwrap();
        assert_eq!(thread != here, elsewhere);
    }
}

#[tokio::test]
async fn panic_affects_its_request_only() {
    let (pool, _workers) = pool();
    let client = pool.of("u");
    let fails = client.run_accepted(HEAVY, |_| panic!("a bug"));
    let caught = futures_util::FutureExt::catch_unwind(AssertUnwindSafe(fails)).await;
    assert!(caught.is_err());
    assert_eq!(client.run(HEAVY, |_| 1).await, Ok(1));
}

#[tokio::test]
async fn closed_pool_finishes_queued_jobs_and_runs_later_ones_inline() {
    let (pool, workers) = pool();
    let release = busy(&pool).await;
    let client = pool.of("u");
    let mut waits = Box::pin(client.run(HEAVY, |_| 1));
    queued(&mut waits).await;
    let ended = tokio::task::spawn_blocking(|| workers.join());
    drop(release);
    ended.await.unwrap();
    assert_eq!(waits.await, Ok(1));
    assert_eq!(client.run(HEAVY, |_| 2).await, Ok(2));
}

#[tokio::test]
async fn walk_yields_its_thread() {
    let (turns, walks) = (AtomicUsize::new(0), Walks::new(1));
    let ticker = async {
        loop {
            tokio::task::yield_now().await;
            turns.fetch_add(1, Ordering::Relaxed);
        }
    };
    let walk = async {
        let mut turn = walks.begin();
        let began = Instant::now();
        while began.elapsed() < Duration::from_millis(200) {
            turn.pass(0).await;
        }
    };
    tokio::select! {
        biased;
        () = walk => {}
        () = ticker => {}
    }
    assert!(turns.load(Ordering::Relaxed) >= 4);
}

/// Without turns the short task would wait for the start of every walk and for a turn of each.
#[tokio::test]
async fn short_task_is_not_delayed_by_thousand_walks() {
    let walks = Walks::new(1);
    let walk = |walks: Walks| async move {
        let mut turn = walks.begin();
        for _ in 0..1_000 {
            std::hint::black_box(vec![0_u8; 64 << 10]);
            turn.pass(64 << 10).await;
        }
    };
    let long: tokio::task::JoinSet<_> = (0..1_000).map(|_| walk(walks.clone())).collect();
    // Every walk has started by then.
    tokio::task::yield_now().await;
    let mut slowest = Duration::ZERO;
    for _ in 0..20 {
        let began = Instant::now();
        tokio::task::yield_now().await;
        slowest = slowest.max(began.elapsed());
    }
    // One turn takes 1 ms, a thousand turns 1 s; the rest is margin for a busy machine.
    let turns = Duration::from_millis(400);
    assert!(slowest < turns, "{slowest:?}");
    drop(long);
}

#[tokio::test]
async fn recomputable_value_is_taken_once_then_recomputed() {
    let (pool, _workers) = pool();
    let client = pool.of("u");
    let made = Arc::<AtomicUsize>::default();
    let count = Arc::clone(&made);
    let make = move |_: &Run| Ok::<_, ()>(count.fetch_add(1, Ordering::SeqCst));
    let first = move |run: &Run| {
        let value = make(run)?;
        Ok::<_, ()>(Recomputable::new(run, value, make))
    };
    let value = client.run(HEAVY, first).await.unwrap().unwrap();
    let (one, two) = client
        .run(HEAVY, move |run| (value.take(run), value.take(run)))
        .await
        .unwrap();
    assert_eq!((one, two, made.load(Ordering::SeqCst)), (Ok(0), Ok(1), 2));
}
