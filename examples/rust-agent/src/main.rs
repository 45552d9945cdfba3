//! Agents that share the work. Whoever asks does not know them: a question goes to a topic, one of the agents that share
//! the subscription answers it, and when an agent is gone the others go on.
//!
//! | call | does |
//! |---|---|
//! | `rust-agent` | three agents and nine questions, to see it work |
//! | `rust-agent agent NAME` | one agent, until Ctrl-C; start as many as you like, on as many machines |
//! | `rust-agent ask KIND TEXT` | one question: `count`, `reverse` or `upper` |
#![expect(clippy::print_stdout, reason = "a command line prints")]

mod agent;
mod broker;
mod question;

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use tokio::task::JoinSet;

use crate::agent::Agent;
use crate::broker::Broker;
use crate::question::ask;

#[tokio::main]
async fn main() -> Result<()> {
    let broker = Broker::from_environment()?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        [] => show(&broker).await,
        ["agent", name] => {
            let agent = Agent::start(&broker, name).await?;
            println!("{name} is at work; Ctrl-C ends it");
            agent.work_until(tokio::signal::ctrl_c()).await
        }
        ["ask", kind, text] => {
            let asker = broker.client("asker").await?;
            let answer = ask(&asker, kind, text).await?;
            println!("{} (by {})", answer.text, answer.agent);
            asker.close_and_forget().await;
            Ok(())
        }
        other => bail!("{other:?} is none of: nothing, `agent NAME`, `ask KIND TEXT`"),
    }
}

const AGENTS: [&str; 3] = ["ada", "bob", "eve"];
const KINDS: [&str; 3] = ["count", "reverse", "upper"];
const QUESTIONS: usize = 9;

/// Everything in one process, though nothing here needs that.
async fn show(broker: &Broker) -> Result<()> {
    let mut agents = JoinSet::new();
    for name in AGENTS {
        let agent = Agent::start(broker, name).await?;
        agents.spawn(agent.work_until(std::future::pending::<()>()));
    }
    let asker = broker.client("asker").await?;
    let mut by_agent = BTreeMap::new();
    for number in 0..QUESTIONS {
        let kind = KINDS[number % KINDS.len()];
        let text = format!("question {number}");
        let answer = ask(&asker, kind, &text).await?;
        println!("{kind} of {text:?} is {:?}, says {}", answer.text, answer.agent);
        *by_agent.entry(answer.agent).or_insert(0_usize) += 1;
    }
    println!("answers by agent: {by_agent:?}");
    asker.close_and_forget().await;
    agents.shutdown().await;
    Ok(())
}
