use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::response::IntoResponse as _;

use super::super::answer::Dialect;
use super::super::in_time;
use super::*;
use crate::clock::WallTime;

struct Bench {
    clock: Clock,
    answered: Idempotency,
    done: Arc<AtomicUsize>,
}

impl Bench {
    fn new() -> Self {
        let clock = Clock::manual(WallTime::ZERO);
        Self {
            answered: Idempotency::new(clock.clone()),
            clock,
            done: Arc::default(),
        }
    }

    /// Does the work under a key; answers how often work was done before.
    async fn once(&self, key: &str, body: u8) -> Result<Reply, ApiError> {
        let done = Arc::clone(&self.done);
        let work = async move {
            tokio::task::yield_now().await;
            done.fetch_add(1, Ordering::SeqCst);
            Reply::batch(&super::super::answer::BatchAnswer::of_one())
        };
        let holder = ("org_a".into(), "k1".into());
        self.answered.once(&holder, key, [body; 32], work).await
    }

    fn done(&self) -> usize {
        self.done.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn fifty_at_once_are_done_once() {
    let bench = Arc::new(Bench::new());
    let tasks: Vec<_> = (0..50)
        .map(|_| {
            let bench = Arc::clone(&bench);
            tokio::spawn(async move { bench.once("a", 1).await.unwrap().into_response().status() })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap(), StatusCode::OK);
    }
    assert_eq!(bench.done(), 1);
}

#[tokio::test]
async fn another_body_is_refused_and_another_key_is_another_request() {
    let bench = Bench::new();
    bench.once("a", 1).await.unwrap();
    let error = bench.once("a", 2).await.unwrap_err();
    assert_eq!(error.into_parts().0, StatusCode::UNPROCESSABLE_ENTITY);
    bench.once("b", 2).await.unwrap();
    assert_eq!(bench.done(), 2);
}

#[tokio::test]
async fn an_answer_is_remembered_for_a_day() {
    let bench = Bench::new();
    bench.once("a", 1).await.unwrap();
    bench
        .clock
        .advance(Duration::from_secs(u64::from(LIFETIME_SECS) - 1));
    let reply = bench.once("a", 1).await.unwrap().into_response();
    assert_eq!(reply.headers()["idempotency-replayed"], "true");
    assert_eq!(bench.done(), 1);
    bench.clock.advance(Duration::from_secs(1));
    let reply = bench.once("a", 1).await.unwrap().into_response();
    assert!(!reply.headers().contains_key("idempotency-replayed"));
    assert_eq!(bench.done(), 2);
}

#[tokio::test]
async fn what_published_nothing_is_not_remembered() {
    let bench = Bench::new();
    for _ in 0..2 {
        let work = async { Reply::of_error(Dialect::Plain, ApiError::invalid_request("no")) };
        let holder = ("org_a".into(), "k1".into());
        let reply = bench.answered.once(&holder, "a", [1; 32], work).await.unwrap();
        assert_eq!(reply.into_response().status(), StatusCode::BAD_REQUEST);
    }
    assert!(bench.answered.orgs.lock().is_empty());
    bench.once("a", 2).await.unwrap();
    assert_eq!(bench.done(), 1);
}

#[tokio::test]
async fn what_was_begun_is_finished_when_its_client_has_gone() {
    let bench = Bench::new();
    {
        let gone = bench.once("a", 1);
        let mut gone = std::pin::pin!(gone);
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(gone.as_mut().poll(&mut cx).is_pending());
    }
    let reply = bench.once("a", 1).await.unwrap().into_response();
    assert_eq!(reply.headers()["idempotency-replayed"], "true");
    assert_eq!(bench.done(), 1);
}

#[tokio::test]
async fn who_does_not_wait_any_longer_is_told_so_and_gets_the_answer_later() {
    let bench = Bench::new();
    let (stored, store) = tokio::sync::oneshot::channel::<()>();
    let done = Arc::clone(&bench.done);
    let work = async move {
        done.fetch_add(1, Ordering::SeqCst);
        store.await.unwrap();
        Reply::batch(&super::super::answer::BatchAnswer::of_one())
    };
    let holder = ("org_a".into(), "k1".into());
    let wait = Duration::from_millis(20);
    let first = bench.answered.once(&holder, "a", [1; 32], work);
    let late = in_time(wait, true, first).await.unwrap_err().into_response();
    assert_eq!(late.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(late.headers().contains_key("retry-after"));
    let again = in_time(wait, true, bench.once("a", 1)).await.unwrap_err();
    let (status, body) = again.into_parts();
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "it is at work still");
    assert!(body["error"].to_string().contains("outcome_unknown"), "{body:?}");
    stored.send(()).unwrap();
    let reply = bench.once("a", 1).await.unwrap().into_response();
    assert_eq!(reply.headers()["idempotency-replayed"], "true");
    assert_eq!(bench.done(), 1);
}

#[tokio::test]
async fn what_is_remembered_is_bounded() {
    let bench = Bench::new();
    for number in 0..ANSWERS_PER_ORG_MAX + 5 {
        bench.once(&number.to_string(), 1).await.unwrap();
    }
    {
        let orgs = bench.answered.orgs.lock();
        let answers = &orgs["org_a"];
        assert_eq!(answers.answers.len(), ANSWERS_PER_ORG_MAX);
        assert_eq!(answers.ends.len(), ANSWERS_PER_ORG_MAX);
        assert!(answers.bytes <= ANSWER_BYTES_PER_ORG_MAX);
    }
    bench.clock.advance(Duration::from_secs(u64::from(LIFETIME_SECS)));
    bench.once("last", 1).await.unwrap();
    let orgs = bench.answered.orgs.lock();
    let answers = &orgs["org_a"];
    let charged = answers.answers.iter().filter_map(|(name, answer)| {
        let reply = answer.reply.borrow();
        reply.as_ref().map(|reply| cost(name, reply))
    });
    assert_eq!((answers.answers.len(), answers.bytes), (1, charged.sum()));
}
