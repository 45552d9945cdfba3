//! Questions, and answers to them.

use std::time::Duration;

use cloudsignal::{Outcome, PublishError, ReasonCode, RequestError, Unanswered};
use cloudsignal_tests::broker::{BrokerOptions, Listener};
use cloudsignal_tests::wait;
use tokio::task::JoinSet;

use crate::client;

#[tokio::test(flavor = "multi_thread")]
async fn many_questions_at_once_get_their_own_answers_from_a_group_of_workers() {
    let broker = BrokerOptions::default().start();
    for name in ["one", "other"] {
        let worker = client(&broker, Listener::Mqtt)
            .client_id(name)
            .connect()
            .await
            .unwrap();
        let mut squares = worker.subscribe("$share/workers/square").await.unwrap();
        tokio::spawn(async move {
            while let Some(question) = squares.recv().await {
                let number: u64 = question.text().expect("text").parse().expect("a number");
                let answer = worker.answer(&question, (number * number).to_string());
                answer.await.expect("it is open");
            }
        });
    }
    let asker = client(&broker, Listener::Mqtts).connect().await.unwrap();
    let mut asking = JoinSet::new();
    for number in 0..200_u64 {
        let asker = asker.clone();
        asking.spawn(async move {
            let answer = asker
                .publish("square", number.to_string())
                .ask(wait::DEADLINE)
                .await;
            (number, answer)
        });
    }
    for (number, answer) in asking.join_all().await {
        assert_eq!(answer.unwrap().text(), Ok(&*(number * number).to_string()));
    }
}

#[tokio::test]
async fn a_question_without_an_answer_fails_and_says_why() {
    let broker = BrokerOptions::default().start();
    let client = client(&broker, Listener::Mqtt).connect().await.unwrap();
    let nobody = client.publish("nobody", "?").ask(wait::DEADLINE).await;
    assert_eq!(
        nobody.unwrap_err(),
        RequestError::Unanswered(Unanswered::NobodyListens)
    );
    let mut silent = client.subscribe("silent").await.unwrap();
    let late = client.publish("silent", "?").ask(Duration::from_millis(1)).await;
    assert_eq!(late.unwrap_err(), RequestError::Unanswered(Unanswered::TimedOut));
    let question = silent.recv().await.unwrap();
    // It can still be answered; that nobody waits any more is nobody's fault.
    let answered = client.answer(&question, "late").await;
    assert_eq!(answered, Ok(Outcome::Acknowledged(ReasonCode::Success)));
    client.publish("silent", "no question").await.unwrap();
    let plain = silent.recv().await.unwrap();
    assert_eq!(client.answer(&plain, "").await, Err(PublishError::NotAsked));
    let cut_off = client.publish("silent", "?").ask(wait::DEADLINE);
    let (cut_off, ()) = tokio::join!(cut_off, async {
        drop(silent.recv().await);
        client.close().await;
    });
    assert_eq!(cut_off.unwrap_err(), RequestError::Unanswered(Unanswered::Closed));
}
