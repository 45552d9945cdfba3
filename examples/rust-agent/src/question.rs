//! What is asked, and what is answered.

use std::time::Duration;

use anyhow::{Context as _, Result};
use cloudsignal::{Client, Json};
use serde::{Deserialize, Serialize};

/// How long an answer may take. Where no agent is, the server says so at once.
const PATIENCE: Duration = Duration::from_secs(10);

/// What agents are asked below this topic, by the kind of the work.
pub(crate) const TASKS: &str = "tasks";

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Question {
    pub(crate) text: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) text: String,
    /// Who has answered.
    pub(crate) agent: String,
}

/// Asks whoever is there.
pub(crate) async fn ask(client: &Client, kind: &str, text: &str) -> Result<Answer> {
    let question = Question {
        text: text.to_owned(),
    };
    let publish = client.publish(format!("{TASKS}/{kind}"), Json(&question));
    let answer = publish.ask(PATIENCE).await?;
    answer.json().context("the answer is none")
}
