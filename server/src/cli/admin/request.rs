//! One request to the administration of the running broker.

use std::io;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::{Duration, timeout};

use super::access::AdminAccess;
use super::profile::{self, Profile};
use super::rest;
use crate::accounts::{Command, CommandError, Outcome};
use crate::cli::client::{ByteStream, TlsArgs, open_stream};
use crate::cli::exit::{Exit, Failure};

/// Where commands are sent.
const COMMAND_PATH: &str = "/v2/admin/command";

/// Largest answer that is read, in bytes: a page of 1 000 users needs a tenth of it.
const ANSWER_BYTES_MAX: usize = 16 * 1_024 * 1_024;

/// How long the broker may take to answer, in seconds.
const ANSWER_SECS_MAX: u64 = 30;

/// One request.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) method: Method,
    /// With the query.
    pub(super) path: String,
    /// JSON.
    pub(super) body: Option<Value>,
}

impl Call {
    /// A request without a body.
    pub(super) fn get(path: String) -> Self {
        Self {
            method: Method::GET,
            path,
            body: None,
        }
    }
}

/// Whom commands are sent to, and as whom.
#[derive(Clone, Debug)]
pub(super) enum Way {
    /// The broker that runs with a data folder here, as its operator.
    Here(AdminAccess),
    /// The broker of a profile, as a member.
    Profile(Profile),
}

impl Way {
    pub(super) fn access(&self) -> AdminAccess {
        match self {
            Self::Here(access) => access.clone(),
            Self::Profile(profile) => profile.access(),
        }
    }
}

/// Has the running broker carry out a command.
pub(super) async fn carry_out(data_dir: &Path, command: &Command) -> Result<Outcome, Failure> {
    let access = match way(data_dir)? {
        Way::Profile(profile) => return rest::carry_out(&profile, command).await,
        Way::Here(access) => access,
    };
    let body = serde_json::to_value(command).context("the command does not fit into JSON")?;
    let call = Call {
        method: Method::POST,
        path: COMMAND_PATH.to_owned(),
        body: Some(body),
    };
    call_at(&access, &call).await
}

/// Asks the broker's API: the one that runs here as its operator, or that of a profile as its member.
pub(super) async fn call_api<T: DeserializeOwned>(data_dir: &Path, call: &Call) -> Result<T, Failure> {
    call_at(&way(data_dir)?.access(), call).await
}

/// Asks a broker's API. An empty answer is read as `null`.
pub(super) async fn call_at<T: DeserializeOwned>(access: &AdminAccess, call: &Call) -> Result<T, Failure> {
    let asking = ask(access, call);
    let answered = timeout(Duration::from_secs(ANSWER_SECS_MAX), asking).await;
    let (status, body) = match answered {
        Ok(answer) => answer?,
        Err(_) => {
            let text = format!(
                "the broker at {} did not answer within {ANSWER_SECS_MAX} s",
                access.url
            );
            return Err(Failure::because(Exit::TimedOut, text));
        }
    };
    if status.is_success() {
        return read(if body.is_empty() { b"null" } else { &body });
    }
    Err(refusal(status, &body))
}

/// The way to the broker: the profile that the environment names, the broker that runs here, the profile of
/// whoever logged in; or what to do when there is none.
pub(super) fn way(data_dir: &Path) -> Result<Way, Failure> {
    if profile::named_by_environment().is_none() {
        match find(data_dir) {
            Err(failure) if failure.exit() == Exit::Unreachable => {
                let profile = Profile::current().ok().flatten();
                return profile.map(Way::Profile).ok_or(failure);
            }
            found => return found.map(Way::Here),
        }
    }
    let profile = Profile::current()?;
    profile
        .map(Way::Profile)
        .ok_or_else(|| Failure::because(Exit::Failed, "there is no such profile"))
}

fn find(data_dir: &Path) -> Result<AdminAccess, Failure> {
    let found = AdminAccess::read(data_dir).map_err(|error| {
        let text = if error.kind() == io::ErrorKind::PermissionDenied {
            "only the user that runs the broker may administrate it"
        } else {
            "the file that leads to the broker cannot be read"
        };
        anyhow!(error).context(format!("{}: {text}", data_dir.display()))
    })?;
    found.ok_or_else(|| {
        let folder = data_dir.display();
        let text = format!(
            "no broker runs with the data folder {folder}\nstart one:       cloudsignal serve --data-dir {folder}\nor name another: --data-dir DIR\nor log in:       cloudsignal login --url URL --email EMAIL"
        );
        Failure::because(Exit::Unreachable, text)
    })
}

async fn ask(access: &AdminAccess, call: &Call) -> Result<(StatusCode, Bytes), Failure> {
    let uri: Uri = access
        .url
        .parse()
        .with_context(|| format!("{} is no address", access.url))?;
    let stream = connect(access, &uri).await.map_err(|error| {
        let text = if access.pid == 0 {
            format!("the broker at {} cannot be reached", access.url)
        } else {
            let pid = access.pid;
            format!("the broker (process {pid}) is gone; start it again with `cloudsignal serve`")
        };
        Failure::new(Exit::Unreachable, error.context(text))
    })?;
    let answer = exchange(access, &uri, stream, call).await;
    answer.map_err(|error| Failure::new(Exit::Lost, error))
}

async fn connect(access: &AdminAccess, uri: &Uri) -> Result<Box<dyn ByteStream>> {
    let encrypted = uri.scheme_str() == Some("https");
    let host = uri.host().context("the address has no host")?;
    let port = uri.port_u16().unwrap_or(if encrypted { 443 } else { 80 });
    let tls = TlsArgs {
        ca: access.ca_file.clone(),
        ..TlsArgs::default()
    };
    open_stream(host, port, encrypted.then_some(&tls)).await
}

/// Sends the request over one fresh connection.
async fn exchange(
    access: &AdminAccess,
    uri: &Uri,
    stream: Box<dyn ByteStream>,
    call: &Call,
) -> Result<(StatusCode, Bytes)> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let mut bearer = HeaderValue::try_from(format!("Bearer {}", access.token.expose()))?;
    bearer.set_sensitive(true);
    let host = uri.authority().context("the address has no host")?.as_str();
    let body = call.body.as_ref().map(serde_json::to_vec).transpose()?;
    let request = Request::builder()
        .method(call.method.clone())
        .uri(&call.path)
        .header(HOST, host)
        .header(AUTHORIZATION, bearer)
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body.unwrap_or_default())))?;
    let answered = async {
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| anyhow!("the answer cannot be read: {error}"))?;
        anyhow::Ok((status, body.to_bytes()))
    };
    // The connection must be driven while the answer is awaited; when it ends first, the answer says why.
    let mut answered = core::pin::pin!(answered);
    tokio::select! {
        biased;
        answer = &mut answered => answer,
        ended = connection => {
            ended?;
            answered.await
        }
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    let read = serde_json::from_slice(body);
    Ok(read.context("the broker's answer is not understood: is it of another version?")?)
}

/// What the broker has against the command.
fn refusal(status: StatusCode, body: &[u8]) -> Failure {
    let exit = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Exit::LoginRefused,
        _ => Exit::Failed,
    };
    if let Ok(CommandError::Policy { faults }) = serde_json::from_slice(body) {
        let lines: Vec<_> = faults.iter().map(|fault| format!("\n  {fault}")).collect();
        return Failure::because(exit, format!("the policy has faults:{}", lines.concat()));
    }
    if let Ok(error) = serde_json::from_slice::<CommandError>(body) {
        return Failure::new(exit, error);
    }
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let texts = ["message", "error_description", "detail", "error"].map(|name| body[name].as_str());
    let text = texts
        .into_iter()
        .flatten()
        .next()
        .unwrap_or("no reason was given");
    Failure::because(exit, format!("the broker refused: {text} ({status})"))
}
