//! An answer of the running broker that is too large to be held: it goes where it belongs as it comes.

use core::pin::pin;
use std::io::Write;

use anyhow::{Result, anyhow};
use http_body_util::{BodyExt as _, Limited};
use hyper_util::rt::TokioIo;
use tokio::time::{Duration, timeout};

use super::access::AdminAccess;
use super::request::{ANSWER_BYTES_MAX, ANSWER_SECS_MAX, Call, reach, refusal, request};
use crate::cli::exit::{Exit, Failure};

/// Asks for something, and writes the answer to `to`.
///
/// # Errors
/// [`Exit::Unreachable`] before anything is written; [`Exit::Lost`] when the answer is not complete.
pub(in crate::cli) async fn download(
    access: &AdminAccess,
    path: &str,
    org: Option<String>,
    to: &mut impl Write,
) -> Result<(), Failure> {
    let call = Call {
        org,
        ..Call::get(path.to_owned())
    };
    let (uri, stream) = reach(access).await?;
    let lost = |error: anyhow::Error| Failure::new(Exit::Lost, error);
    let request = request(access, &uri, &call).map_err(lost)?;
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|error| lost(error.into()))?;
    let answered = async {
        let answer = in_time(sender.send_request(request)).await.map_err(lost)?;
        let (status, mut body) = (answer.status(), answer.into_body());
        if !status.is_success() {
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|error| lost(anyhow!("the answer cannot be read: {error}")))?;
            return Err(refusal(status, &body.to_bytes()));
        }
        loop {
            let frame = timeout(Duration::from_secs(ANSWER_SECS_MAX), body.frame()).await;
            match frame {
                Err(_) => {
                    return Err(Failure::because(
                        Exit::TimedOut,
                        "the broker sends nothing any more",
                    ));
                }
                Ok(None) => return Ok(()),
                Ok(Some(Err(error))) => return Err(lost(anyhow!("the answer is not complete: {error}"))),
                Ok(Some(Ok(frame))) => {
                    if let Some(data) = frame.data_ref() {
                        to.write_all(data).map_err(anyhow::Error::from)?;
                    }
                }
            }
        }
    };
    // The connection must be driven while the answer is awaited; when it ends first, the answer says why.
    let mut answered = pin!(answered);
    tokio::select! {
        biased;
        answer = &mut answered => answer,
        ended = connection => {
            ended.map_err(|error| lost(error.into()))?;
            answered.await
        }
    }
}

async fn in_time<T>(asking: impl Future<Output = hyper::Result<T>>) -> Result<T> {
    match timeout(Duration::from_secs(ANSWER_SECS_MAX), asking).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(anyhow!("the broker did not answer within {ANSWER_SECS_MAX} s")),
    }
}
