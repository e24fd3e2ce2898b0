//! Caching and coalescing.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::*;

const TTL: Duration = Duration::from_secs(10);

/// Counts questions, and answers them on a signal.
#[derive(Clone, Default)]
struct Oracle {
    asked: Arc<AtomicUsize>,
    released: Arc<Notify>,
}

impl Oracle {
    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    /// Answers at once with the number of the question.
    async fn at_once(self) -> Result<usize, Error> {
        Ok(self.asked.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Answers when released.
    async fn when_released(self) -> Result<usize, Error> {
        let number = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
        self.released.notified().await;
        Ok(number)
    }
}

async fn ask(answers: &Arc<Answers<usize>>, oracle: &Oracle, question: &str) -> usize {
    let oracle = oracle.clone();
    let answer = answers.answer(question.as_bytes(), |_| Some(TTL), || oracle.at_once());
    answer.await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn answer_is_cached_for_its_lifetime() {
    let (answers, oracle) = (Answers::new(8, None), Oracle::default());
    assert_eq!(ask(&answers, &oracle, "a").await, 1);
    assert_eq!(ask(&answers, &oracle, "b").await, 2, "another question");
    tokio::time::advance(TTL - Duration::from_millis(1)).await;
    assert_eq!(ask(&answers, &oracle, "a").await, 1);
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(ask(&answers, &oracle, "a").await, 3);
}

#[tokio::test(start_paused = true)]
async fn lifetime_of_none_or_zero_does_not_cache() {
    let (answers, oracle) = (Answers::new(8, None), Oracle::default());
    for lifetime in [None, Some(Duration::ZERO), None] {
        let oracle = oracle.clone();
        let answer = answers.answer(b"a", move |_| lifetime, || oracle.at_once());
        answer.await.unwrap();
    }
    assert_eq!(oracle.asked(), 3);
    assert!(answers.state.lock().asked.is_empty());
}

#[tokio::test(start_paused = true)]
async fn errors_are_not_cached() {
    let answers = Answers::<usize>::new(8, None);
    let failed = answers.answer(b"a", |_| Some(TTL), || async { Err(Error::Timeout(TTL)) });
    assert_eq!(failed.await, Err(Error::Timeout(TTL)));
    assert_eq!(ask(&answers, &Oracle::default(), "a").await, 1);
}

#[tokio::test(start_paused = true)]
async fn identical_questions_in_flight_are_asked_once() {
    let (answers, oracle) = (Answers::new(8, None), Oracle::default());
    let mut waiting = JoinSet::new();
    for _ in 0..50 {
        let (answers, oracle) = (Arc::clone(&answers), oracle.clone());
        waiting.spawn(async move {
            answers
                .answer(b"a", |_| None, || oracle.when_released())
                .await
        });
    }
    while oracle.asked() == 0 {
        tokio::task::yield_now().await;
    }
    // Lets all of them wait before the answer arrives.
    tokio::time::sleep(Duration::from_millis(1)).await;
    oracle.released.notify_waiters();
    while let Some(answer) = waiting.join_next().await {
        assert_eq!(answer.unwrap(), Ok(1));
    }
    assert_eq!(oracle.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn question_survives_caller_that_leaves_and_ends_with_the_last() {
    let (answers, oracle) = (Answers::new(8, None), Oracle::default());
    let waiter = || {
        let oracle = oracle.clone();
        Box::pin(answers.answer(b"a", |_| Some(TTL), || oracle.when_released()))
    };
    let (mut first, mut second) = (waiter(), waiter());
    assert!(futures_util::poll!(first.as_mut()).is_pending());
    assert!(futures_util::poll!(second.as_mut()).is_pending());
    drop(first);
    oracle.released.notify_waiters();
    assert_eq!(second.await, Ok(1));

    tokio::time::advance(TTL).await;
    let mut last = waiter();
    assert!(futures_util::poll!(last.as_mut()).is_pending());
    drop(last);
    assert!(answers.state.lock().asked.is_empty());
    assert_eq!(oracle.asked(), 2);
    assert_eq!(ask(&answers, &oracle, "a").await, 3);
}

#[tokio::test(start_paused = true)]
async fn unanswered_question_times_out() {
    let answers = Answers::<usize>::new(8, None);
    let answer = answers.answer(b"a", |_| Some(TTL), std::future::pending);
    assert_eq!(answer.await, Err(Error::Timeout(LOOKUP_TIMEOUT)));
}
