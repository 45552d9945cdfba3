//! Options of a client as bytes: a list of fields, where what is absent has its default.

use cloudsignal_core::client::{Acknowledge, Login, Options, Protocol, Storage, WillMessage};
use cloudsignal_core::time::Duration;
use cloudsignal_core::topic::TopicNameBuf;
use cloudsignal_core::{Qos, Version};

use crate::fields::{Fields, number, text};
use crate::layout as at;

/// Reads options. `None`: they say what cannot be.
pub(crate) fn read(bytes: &[u8]) -> Option<Options> {
    let mut options = Options {
        acknowledge: Acknowledge::ByCaller,
        ..Options::default()
    };
    let mut will = Will::default();
    let mut username = None;
    for (which, value) in Fields::new(bytes) {
        match which {
            at::OPTION_CLIENT_ID => options.client_id = Some(text(value)?.into()),
            at::OPTION_PROTOCOL => options.protocol = protocol(number(value))?,
            at::OPTION_TOKEN => options.login = Login::Token,
            at::OPTION_USERNAME => username = Some(text(value)?),
            at::OPTION_PASSWORD => {
                options.login = Login::Password {
                    username: username?.into(),
                    password: value.into(),
                }
            }
            at::OPTION_WILL_TOPIC => will.topic = Some(TopicNameBuf::parse(text(value)?).ok()?),
            at::OPTION_WILL_PAYLOAD => will.payload = value,
            at::OPTION_WILL_FLAGS => will.flags = *value.first()?,
            at::OPTION_WILL_DELAY => will.delay_secs = number(value),
            at::OPTION_SESSION_EXPIRY => options.session_expiry_secs = number(value),
            at::OPTION_KEEP_ALIVE => options.keep_alive_secs = small(value)?,
            at::OPTION_RECEIVE_MAX => options.receive_max = small(value)?.max(1),
            at::OPTION_QUEUE_MESSAGES => options.queue_messages_max = usize::try_from(number(value)).ok()?,
            at::OPTION_QUEUE_BYTES => options.queue_bytes_max = usize::try_from(number(value)).ok()?,
            at::OPTION_DURABLE => options.storage = Storage::Durable,
            at::OPTION_RECONNECT_MAX => options.reconnect.most = millis(value),
            at::OPTION_RECONNECT_FIRST => options.reconnect.first = millis(value),
            _ => return None,
        }
    }
    options.will = will.read()?;
    Some(options)
}

#[derive(Default)]
struct Will<'a> {
    topic: Option<TopicNameBuf>,
    payload: &'a [u8],
    flags: u8,
    delay_secs: u32,
}

impl Will<'_> {
    #[expect(
        clippy::option_option,
        reason = "outside: whether it can be read; inside: whether there is one"
    )]
    fn read(self) -> Option<Option<WillMessage>> {
        let Some(topic) = self.topic else {
            return Some(None);
        };
        Some(Some(WillMessage {
            topic,
            payload: self.payload.into(),
            qos: Qos::from_bits(self.flags & at::QOS)?,
            retain: self.flags & at::RETAIN != 0,
            delay_secs: self.delay_secs,
        }))
    }
}

const fn protocol(number: u32) -> Option<Protocol> {
    match number {
        0 => Some(Protocol::Best),
        1 => Some(Protocol::Only(Version::V5)),
        2 => Some(Protocol::Only(Version::V311)),
        _ => None,
    }
}

fn small(value: &[u8]) -> Option<u16> {
    u16::try_from(number(value)).ok()
}

fn millis(value: &[u8]) -> Duration {
    Duration::from_millis(number(value).into())
}
