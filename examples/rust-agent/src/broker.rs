//! Where the broker is, and tokens for it.

use std::env;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use cloudsignal::{AskToken, Client, TokenError, TokenIssuer};

/// A broker that one can log in at.
pub(crate) struct Broker {
    url: String,
    issuer: TokenIssuer,
    ca_file: Option<PathBuf>,
}

impl Broker {
    /// `CLOUDSIGNAL_MQTT_URL` and `CLOUDSIGNAL_API_URL` say where it is, `CLOUDSIGNAL_SECRET_KEY` lets in, and a
    /// `CLOUDSIGNAL_CA_FILE` is trusted instead of what the system trusts.
    pub(crate) fn from_environment() -> Result<Self> {
        let or = |name: &str, default: &str| env::var(name).unwrap_or_else(|_| default.to_owned());
        let key = env::var("CLOUDSIGNAL_SECRET_KEY");
        let key =
            key.context("CLOUDSIGNAL_SECRET_KEY is not set: the first start of the broker prints one")?;
        let ca_file = env::var_os("CLOUDSIGNAL_CA_FILE").map(PathBuf::from);
        let mut issuer = TokenIssuer::new(or("CLOUDSIGNAL_API_URL", "http://localhost:18080"), key);
        if let Some(file) = &ca_file {
            issuer = issuer.ca_file(file);
        }
        Ok(Self {
            url: or("CLOUDSIGNAL_MQTT_URL", "mqtt://localhost:1883"),
            issuer,
            ca_file,
        })
    }

    /// A client of somebody. Its tokens are renewed before they end, without a gap.
    pub(crate) async fn client(&self, name: &str) -> Result<Client> {
        let (issuer, email) = (self.issuer.clone(), format!("{name}@agents.example"));
        let provider = move |_: AskToken| {
            let (issuer, email) = (issuer.clone(), email.clone());
            async move {
                let token = issuer.create(&email).await;
                token.map(Into::into).map_err(|_| TokenError::Failed)
            }
        };
        let mut builder = Client::builder(&self.url).token_provider(provider);
        if let Some(file) = &self.ca_file {
            builder = builder.ca_file(file);
        }
        builder
            .connect()
            .await
            .with_context(|| format!("{} lets nobody in", self.url))
    }
}
