//! One agent of a group.

use anyhow::{Context as _, Result};
use cloudsignal::{Client, Json, Message, Subscription};

use crate::broker::Broker;
use crate::question::{Answer, Question, TASKS};

/// Agents with the same group share the questions: each goes to one of them.
const GROUP: &str = "agents";

/// An agent that has subscribed.
pub(crate) struct Agent {
    name: String,
    client: Client,
    questions: Subscription,
}

impl Agent {
    pub(crate) async fn start(broker: &Broker, name: &str) -> Result<Self> {
        let client = broker.client(name).await?;
        let filter = format!("$share/{GROUP}/{TASKS}/+");
        let mut questions = client.subscribe(filter).await?;
        questions.granted().await.context("it may not work here")?;
        Ok(Self {
            name: name.to_owned(),
            client,
            questions,
        })
    }

    /// Answers what comes, until `end`. A question that is dropped unanswered goes to another agent.
    pub(crate) async fn work_until<T>(mut self, end: impl Future<Output = T>) -> Result<()> {
        tokio::select! {
            result = work(&self.name, &self.client, &mut self.questions) => result?,
            _ = end => {}
        }
        self.client.close_and_forget().await;
        Ok(())
    }
}

async fn work(name: &str, client: &Client, questions: &mut Subscription) -> Result<()> {
    while let Some(question) = questions.recv().await {
        let text = solve(&question);
        let agent = name.to_owned();
        client.answer(&question, Json(&Answer { text, agent })).await?;
    }
    Ok(())
}

/// What a real agent would take longer for.
fn solve(question: &Message) -> String {
    let Ok(Question { text }) = question.json() else {
        return "that is no question".to_owned();
    };
    match question.topic().rsplit('/').next() {
        Some("count") => text.split_whitespace().count().to_string(),
        Some("reverse") => text.chars().rev().collect(),
        Some("upper") => text.to_uppercase(),
        Some(_) | None => "nobody here can do that".to_owned(),
    }
}
