//! What `pub`, `sub` and `bench` need to connect: where, as whom, and what to leave behind.

use core::num::NonZeroU16;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use clap::Args;

use cloudsignal_core::codec::{Connect, PublishProperties, Will};
use cloudsignal_core::topic::TopicName;
use cloudsignal_core::{Qos, Version};

use super::tls::TlsArgs;
use super::url::BrokerUrl;
use crate::accounts::Secret;

/// Which broker, and who we are.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Connection")]
pub struct BrokerArgs {
    /// The broker: mqtt://HOST, mqtts://HOST, ws://HOST/PATH or wss://HOST/PATH, with or without :PORT
    #[arg(
        long,
        value_name = "URL",
        env = "CLOUDSIGNAL_URL",
        default_value = "mqtt://localhost:1883"
    )]
    pub url: BrokerUrl,

    /// User name, as `name@organization`
    #[arg(short, long, value_name = "NAME", env = "CLOUDSIGNAL_USER")]
    pub user: Option<String>,

    /// Password; a list of processes shows it, so prefer the environment or --password-file
    #[arg(
        short = 'P',
        long,
        value_name = "TEXT",
        env = "CLOUDSIGNAL_PASSWORD",
        hide_env_values = true,
        value_parser = secret
    )]
    pub password: Option<Secret>,

    /// File whose first line is the password
    #[arg(long, value_name = "FILE", conflicts_with = "password")]
    pub password_file: Option<PathBuf>,

    /// Speak MQTT 5 (the default)
    #[arg(long, conflicts_with = "v311")]
    pub v5: bool,

    /// Speak MQTT 3.1.1
    #[arg(long)]
    pub v311: bool,

    /// What the broker is told to trust, and shows
    #[command(flatten)]
    pub tls: TlsArgs,
}

/// Options of every connection of one client.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Connection")]
pub struct ConnectArgs {
    /// Where and as whom
    #[command(flatten)]
    pub broker: BrokerArgs,

    /// Client identifier; without it, the broker chooses one
    #[arg(
        short = 'i',
        long,
        value_name = "ID",
        default_value = "",
        hide_default_value = true
    )]
    pub client_id: String,

    /// Seconds without traffic after which each side asks whether the other is there
    #[arg(long, value_name = "SECS", default_value = "60")]
    pub keep_alive: NonZeroU16,

    /// What the broker publishes when we are gone
    #[command(flatten)]
    pub will: WillArgs,
}

/// The will.
#[derive(Args, Clone, Debug)]
#[command(
    next_help_heading = "Will (published by the broker when this client is gone without saying goodbye)"
)]
pub struct WillArgs {
    /// Topic of the will
    #[arg(long, value_name = "TOPIC", value_parser = topic_name)]
    pub will_topic: Option<String>,

    /// Payload of the will
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true,
        requires = "will_topic"
    )]
    pub will_payload: String,

    /// QoS of the will
    #[arg(long, value_name = "0|1|2", default_value = "0", value_parser = qos, requires = "will_topic")]
    pub will_qos: Qos,

    /// Keep the will as the topic's last message
    #[arg(long, requires = "will_topic")]
    pub will_retain: bool,

    /// Seconds the broker waits before publishing it, so that a short absence goes unnoticed
    #[arg(long, value_name = "SECS", default_value = "0", requires = "will_topic")]
    pub will_delay: u32,
}

impl BrokerArgs {
    /// The protocol version asked for.
    #[must_use]
    pub const fn version(&self) -> Version {
        if self.v311 { Version::V311 } else { Version::V5 }
    }

    /// The password, from wherever it was said to be.
    pub fn password(&self) -> Result<Option<Secret>> {
        let Some(path) = &self.password_file else {
            return Ok(self.password.clone());
        };
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let line = text.lines().next().unwrap_or_default();
        ensure!(!line.is_empty(), "the first line of {} is empty", path.display());
        Ok(Some(Secret::new(line.to_owned())))
    }
}

impl ConnectArgs {
    /// The CONNECT that these options ask for: a clean start, which the caller may change.
    pub fn connect<'a>(&'a self, password: Option<&'a Secret>) -> Connect<'a> {
        Connect {
            keep_alive_secs: self.keep_alive.get(),
            username: self.broker.user.as_deref(),
            password: password.map(|secret| secret.expose().as_bytes()),
            will: self.will.will(),
            ..Connect::new(self.broker.version(), &self.client_id)
        }
    }
}

impl WillArgs {
    fn will(&self) -> Option<Will<'_>> {
        let topic = TopicName::parse(self.will_topic.as_deref()?).ok()?;
        Some(Will {
            topic,
            payload: self.will_payload.as_bytes(),
            qos: self.will_qos,
            retain: self.will_retain,
            delay_secs: self.will_delay,
            properties: PublishProperties::default(),
        })
    }
}

/// Reads a topic to publish to.
pub(super) fn topic_name(text: &str) -> Result<String, String> {
    TopicName::parse(text)
        .map(|topic| topic.as_str().to_owned())
        .map_err(|error| format!("it {error}"))
}

/// Takes a text that must not be shown.
fn secret(text: &str) -> Result<Secret, core::convert::Infallible> {
    Ok(Secret::new(text.to_owned()))
}

/// Reads a QoS.
pub(in crate::cli) fn qos(text: &str) -> Result<Qos, String> {
    let number = text.parse().ok();
    number
        .and_then(Qos::from_bits)
        .ok_or_else(|| "QoS is 0, 1 or 2".to_owned())
}

/// Reads `name=value`.
pub(super) fn name_value(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as name=value")?;
    Ok((name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        connect: ConnectArgs,
    }

    fn read(words: &[&str]) -> ConnectArgs {
        Line::try_parse_from([&["x"], words].concat())
            .unwrap_or_else(|error| panic!("{error}"))
            .connect
    }

    #[test]
    fn the_connect_says_what_the_options_say() {
        let args = read(&["-u", "alice@org", "-P", "hidden", "-i", "me", "--keep-alive", "7"]);
        let password = args.broker.password().unwrap();
        let connect = args.connect(password.as_ref());
        assert_eq!(connect.version, Version::V5);
        assert_eq!((connect.client_id, connect.keep_alive_secs), ("me", 7));
        assert_eq!(
            (connect.username, connect.password),
            (Some("alice@org"), Some(&b"hidden"[..]))
        );
        assert!(connect.clean_start && connect.will.is_none());
    }

    #[test]
    fn the_will_is_taken_over_whole() {
        let words = [
            "--v311",
            "--will-topic",
            "gone/me",
            "--will-payload",
            "bye",
            "--will-qos",
            "1",
            "--will-retain",
        ];
        let args = read(&words);
        let will = args.connect(None).will.unwrap();
        assert_eq!(
            (will.topic.as_str(), will.payload, will.qos, will.retain),
            ("gone/me", &b"bye"[..], Qos::AtLeastOnce, true)
        );
        assert_eq!(args.broker.version(), Version::V311);
    }

    #[test]
    fn a_password_is_never_shown() {
        let args = read(&["-P", "hidden"]);
        assert!(!format!("{args:?}").contains("hidden"));
    }

    #[test]
    fn a_password_file_gives_its_first_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        fs::write(&path, "first\nsecond\n").unwrap();
        let args = read(&["--password-file", path.to_str().unwrap()]);
        assert_eq!(args.broker.password().unwrap().unwrap().expose(), "first");
        fs::write(&path, "\n").unwrap();
        assert!(
            args.broker
                .password()
                .unwrap_err()
                .to_string()
                .contains("is empty")
        );
        let gone = read(&["--password-file", "no/such/file"]);
        assert!(
            gone.broker
                .password()
                .unwrap_err()
                .to_string()
                .contains("no/such/file")
        );
    }

    #[test]
    fn options_that_contradict_each_other_are_refused() {
        for words in [
            &["--v5", "--v311"][..],
            &["-P", "a", "--password-file", "b"],
            &["--will-payload", "text"],
            &["--will-topic", "a/#"],
            &["--will-topic", "a", "--will-qos", "3"],
            &["--cert", "a.pem"],
            &["--keep-alive", "0"],
        ] {
            assert!(
                Line::try_parse_from([&["x"], words].concat()).is_err(),
                "{words:?} was accepted"
            );
        }
    }
}
