//! What has to be there before anybody can connect, and what the very first start makes.
//!
//! | file | holds |
//! |---|---|
//! | [`folder`] | the data folder: its layout, files that only the owner may read |
//! | [`certificate`] | a local certificate authority and the server's certificate, renewed in time |
//! | [`announcement`] | the text with commands to paste |
//!
//! The first organization's secrets are written to `first-run.json` before the organization exists, so a
//! crash in between costs nothing: the next start finds no organization and begins anew.

pub mod announcement;
pub mod certificate;
pub mod folder;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::accounts::acl::Preset;
use crate::accounts::keys::SECRET_KEY_PREFIX;
use crate::accounts::names::generate_org_id;
use crate::accounts::{CommandError, Directory, Provision, Secret};
pub use certificate::ensure_certificates;
pub use folder::DataFolder;

/// What people call the first organization, until they make their own.
const FIRST_ORG_NAME: &str = "First organization";
/// The first user's name.
const FIRST_USER: &str = "demo";
/// The first organization's policy.
pub const FIRST_PRESET: Preset = Preset::PermitAll;

/// Why the server cannot get ready.
#[derive(Debug, thiserror::Error)]
pub enum FirstRunError {
    /// A file or folder cannot be used.
    #[error("{}: {error}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// The certificate cannot be made.
    #[error("the server's certificate cannot be made: {0}")]
    Certificate(String),
    /// The organization cannot be made.
    #[error("the first organization cannot be made: {0}")]
    Directory(#[from] CommandError),
}

/// Addresses that the listeners are bound to; `None` for a listener that is off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bound {
    /// MQTT without encryption.
    pub mqtt: Option<SocketAddr>,
    /// MQTT over TLS.
    pub mqtts: Option<SocketAddr>,
    /// MQTT over WebSocket without encryption.
    pub ws: Option<SocketAddr>,
    /// MQTT over WebSocket with TLS.
    pub wss: Option<SocketAddr>,
    /// HTTP API without encryption.
    pub http: Option<SocketAddr>,
    /// HTTP API with TLS.
    pub https: Option<SocketAddr>,
}

/// The same as addresses that clients on this machine can use. Absent: the listener is off.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoints {
    /// `mqtt://localhost:1883`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mqtt: Option<String>,
    /// `mqtts://localhost:8883`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mqtts: Option<String>,
    /// `ws://localhost:18080/`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ws: Option<String>,
    /// `wss://localhost:18885/`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wss: Option<String>,
    /// `http://localhost:18080`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<String>,
    /// `https://localhost:8443`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub https: Option<String>,
}

impl From<Bound> for Endpoints {
    fn from(bound: Bound) -> Self {
        let url = |scheme: &str, address: Option<SocketAddr>, path: &str| {
            address.map(|address| format!("{scheme}://{}:{}{path}", host(address), address.port()))
        };
        Self {
            mqtt: url("mqtt", bound.mqtt, ""),
            mqtts: url("mqtts", bound.mqtts, ""),
            ws: url("ws", bound.ws, "/"),
            wss: url("wss", bound.wss, "/"),
            http: url("http", bound.http, ""),
            https: url("https", bound.https, ""),
        }
    }
}

/// How a client on this machine names an address; the certificate has that name.
fn host(address: SocketAddr) -> String {
    let ip = address.ip();
    if ip.is_unspecified() || ip.is_loopback() {
        "localhost".into()
    } else if ip.is_ipv6() {
        format!("[{ip}]")
    } else {
        ip.to_string()
    }
}

/// What the first start made: the content of `first-run.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FirstRun {
    /// The organization's short id.
    pub org_id: String,
    /// What the first user logs in as: `demo@org_…`.
    pub username: String,
    /// The first user's password.
    pub password: Secret,
    /// The organization's secret key.
    pub secret_key: Secret,
    /// The certificate that clients have to trust, PEM.
    pub ca_file: PathBuf,
    /// Where clients on this machine connect to.
    pub endpoints: Endpoints,
}

/// If there is no organization yet: makes one, writes `first-run.json` and answers what it made.
/// Otherwise only keeps the endpoints in `first-run.json` right, if the file is still there.
///
/// # Errors
/// [`FirstRunError`]
pub async fn ensure_organization(
    directory: &Directory,
    folder: &DataFolder,
    endpoints: Endpoints,
) -> Result<Option<FirstRun>, FirstRunError> {
    if !directory.org_ids().is_empty() {
        keep_endpoints(folder, endpoints)?;
        return Ok(None);
    }
    let org = generate_org_id();
    let first = FirstRun {
        org_id: org.to_string(),
        username: format!("{FIRST_USER}@{org}"),
        password: Secret::generate_password(),
        secret_key: Secret::generate(SECRET_KEY_PREFIX),
        ca_file: folder.ca_certificate(),
        endpoints,
    };
    write(folder, &first)?;
    let provision = Provision {
        org,
        name: FIRST_ORG_NAME.into(),
        preset: FIRST_PRESET,
        user: FIRST_USER.into(),
        password: first.password.clone(),
        secret_key: first.secret_key.clone(),
    };
    directory.provision(provision).await?;
    Ok(Some(first))
}

fn write(folder: &DataFolder, first: &FirstRun) -> Result<(), FirstRunError> {
    let mut json = serde_json::to_vec_pretty(first).expect("invariant: the record has text keys only");
    json.push(b'\n');
    folder.write_private(&folder.first_run(), &json)
}

fn keep_endpoints(folder: &DataFolder, endpoints: Endpoints) -> Result<(), FirstRunError> {
    let path = folder.first_run();
    let json = match std::fs::read(&path) {
        Ok(json) => json,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(FirstRunError::File { path, error }),
    };
    match serde_json::from_slice::<FirstRun>(&json) {
        Ok(first) if first.endpoints == endpoints => Ok(()),
        Ok(first) => write(folder, &FirstRun { endpoints, ..first }),
        // Somebody made a note of their own of it.
        Err(_not_ours) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::sync::Arc;

    use super::*;
    use crate::authn::password::HashCost;
    use crate::authn::{Authenticator, Login, PasswordPool};
    use crate::clock::{Clock, WallTime};
    use crate::store::{DataLoss, fjall, memory};

    const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn clock() -> Clock {
        Clock::manual(WallTime::parse_rfc3339("2026-01-01T00:00:00Z").unwrap())
    }

    fn pool() -> PasswordPool {
        PasswordPool::start(HashCost::LEAST, 1).unwrap()
    }

    fn endpoints(port: u16) -> Endpoints {
        Bound {
            mqtts: Some(SocketAddr::new(HOME, port)),
            ..Bound::default()
        }
        .into()
    }

    fn read(folder: &DataFolder) -> FirstRun {
        serde_json::from_slice(&std::fs::read(folder.first_run()).unwrap()).unwrap()
    }

    #[tokio::test]
    async fn the_first_start_makes_logins_that_work_and_later_ones_make_nothing() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = DataFolder::open(&temporary.path().join("data")).unwrap();
        for start in 0..2 {
            let store = Arc::new(fjall::open(&folder.store(), clock(), DataLoss::Refused).unwrap());
            let pool = pool();
            let directory = Directory::open(store, clock(), pool.clone()).await.unwrap();
            let made = ensure_organization(&directory, &folder, endpoints(8_883 + start))
                .await
                .unwrap();
            assert_eq!(made.is_some(), start == 0);
            let first = read(&folder);
            assert_eq!(
                first.endpoints.mqtts,
                Some(format!("mqtts://localhost:{}", 8_883 + start))
            );
            let authenticator = Authenticator::new(directory, pool, clock());
            let server = format!("server@{}", first.org_id);
            for (username, secret) in [(&first.username, &first.password), (&server, &first.secret_key)] {
                let password = Some(secret.expose().as_bytes());
                let login = Login {
                    username: Some(username),
                    password,
                    certificate: None,
                    source: HOME,
                };
                assert_eq!(
                    authenticator.authenticate(login).await.unwrap().org.as_str(),
                    first.org_id
                );
            }
        }
    }

    #[tokio::test]
    async fn a_crash_before_the_organization_is_stored_begins_anew() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = DataFolder::open(temporary.path()).unwrap();
        let mut made = Vec::new();
        for _ in 0..2 {
            // Each store is empty, as if the process had died right after writing the file.
            let store = Arc::new(memory::open(clock()).unwrap());
            let directory = Directory::open(store, clock(), pool()).await.unwrap();
            made.push(
                ensure_organization(&directory, &folder, endpoints(1))
                    .await
                    .unwrap()
                    .unwrap(),
            );
            assert_eq!(directory.org_ids()[0].as_str(), read(&folder).org_id);
        }
        assert_ne!(made[0].org_id, made[1].org_id);
    }

    #[test]
    fn endpoints_are_what_a_client_on_this_machine_can_use() {
        let bound = Bound {
            mqtt: Some("127.0.0.1:1883".parse().unwrap()),
            mqtts: Some("0.0.0.0:8883".parse().unwrap()),
            wss: Some("[::]:18885".parse().unwrap()),
            https: Some("[2001:db8::1]:8443".parse().unwrap()),
            http: Some("192.0.2.1:18080".parse().unwrap()),
            ws: None,
        };
        let json = serde_json::to_value(Endpoints::from(bound)).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "mqtt": "mqtt://localhost:1883",
                "mqtts": "mqtts://localhost:8883",
                "wss": "wss://localhost:18885/",
                "https": "https://[2001:db8::1]:8443",
                "http": "http://192.0.2.1:18080",
            })
        );
    }
}
