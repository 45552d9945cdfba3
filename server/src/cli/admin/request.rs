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

use super::AdminArgs;
use super::access::AdminAccess;
use super::profile::Profile;
use crate::accounts::acl::PolicyFault;
use crate::cli::client::{ByteStream, TlsArgs, open_stream};
use crate::cli::exit::{Exit, Failure};

/// Largest answer that is read, in bytes: a page of 1 000 users needs a tenth of it.
pub(super) const ANSWER_BYTES_MAX: usize = 16 * 1_024 * 1_024;

/// How long the broker may take to answer, in seconds.
pub(super) const ANSWER_SECS_MAX: u64 = 30;

/// One request.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) method: Method,
    /// With the query.
    pub(super) path: String,
    /// JSON.
    pub(super) body: Option<Value>,
    /// The organization that it is about, if the path and the body do not say.
    pub(super) org: Option<String>,
    /// Only if the thing still has this etag.
    pub(super) if_match: Option<String>,
}

impl Call {
    /// A request without a body.
    pub(super) fn get(path: String) -> Self {
        Self {
            method: Method::GET,
            path,
            body: None,
            org: None,
            if_match: None,
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

/// Asks the broker's API: the one that runs here as its operator, or that of a profile as its member.
pub(super) async fn call_api<T: DeserializeOwned>(admin: &AdminArgs, call: &Call) -> Result<T, Failure> {
    call_at(&way(admin)?.access(), call).await
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

/// The way to the broker: the profile that is named, the broker that runs here, the profile of whoever logged
/// in; or what to do when there is none.
pub(super) fn way(admin: &AdminArgs) -> Result<Way, Failure> {
    if let Some(profile) = admin.profile.named()? {
        return Ok(Way::Profile(profile));
    }
    match find(&admin.data_dir) {
        Err(failure) if failure.exit() == Exit::Unreachable => {
            let profile = admin.profile.usual().ok().flatten();
            profile.map(Way::Profile).ok_or(failure)
        }
        found => found.map(Way::Here),
    }
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
    let (uri, stream) = reach(access).await?;
    let answer = exchange(access, &uri, stream, call).await;
    answer.map_err(|error| Failure::new(Exit::Lost, error))
}

/// A connection to the broker, and its address.
pub(super) async fn reach(access: &AdminAccess) -> Result<(Uri, Box<dyn ByteStream>), Failure> {
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
    Ok((uri, stream))
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

/// The request, with what lets it in.
pub(super) fn request(access: &AdminAccess, uri: &Uri, call: &Call) -> Result<Request<Full<Bytes>>> {
    let mut bearer = HeaderValue::try_from(format!("Bearer {}", access.token.expose()))?;
    bearer.set_sensitive(true);
    let host = uri.authority().context("the address has no host")?.as_str();
    let body = call.body.as_ref().map(serde_json::to_vec).transpose()?;
    let mut request = Request::builder().method(call.method.clone()).uri(&call.path);
    for (name, value) in [("x-organization-id", &call.org), ("if-match", &call.if_match)] {
        if let Some(value) = value {
            request = request.header(name, value);
        }
    }
    let request = request
        .header(HOST, host)
        .header(AUTHORIZATION, bearer)
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body.unwrap_or_default())))?;
    Ok(request)
}

/// Sends the request over one fresh connection.
async fn exchange(
    access: &AdminAccess,
    uri: &Uri,
    stream: Box<dyn ByteStream>,
    call: &Call,
) -> Result<(StatusCode, Bytes)> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let request = request(access, uri, call)?;
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
pub(super) fn refusal(status: StatusCode, body: &[u8]) -> Failure {
    let exit = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Exit::LoginRefused,
        _ => Exit::Failed,
    };
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    if let Ok(faults) = serde_json::from_value::<Vec<PolicyFault>>(body["faults"].clone()) {
        let lines: Vec<_> = faults.iter().map(|fault| format!("\n  {fault}")).collect();
        return Failure::because(exit, format!("the policy has faults:{}", lines.concat()));
    }
    let texts = ["message", "error_description", "detail", "error"].map(|name| body[name].as_str());
    let text = texts
        .into_iter()
        .flatten()
        .next()
        .unwrap_or("no reason was given");
    Failure::because(exit, format!("the broker refused: {text} ({status})"))
}
