//! How the clients of a run get in: one route, one login or one for each client.

use std::time::Duration;

use cloudsignal_core::codec::{Connect, PacketId, Subscribe, SubscribeFilter};
use cloudsignal_core::topic::TopicFilter;
use cloudsignal_core::{Packet, Qos, Version};
use tokio::time::timeout;

use super::options::CommonArgs;
use crate::accounts::Secret;
use crate::cli::client::{BrokerUrl, Connection, Event, Route, Wake, with_text};
use crate::cli::exit::{Exit, Failure};

/// Stands for the number of the client in a user name.
const NUMBER: &str = "{n}";

/// How long the answer to a SUBSCRIBE may take, in seconds.
const SUBSCRIBE_SECS_MAX: u64 = 30;

/// Filters in one SUBSCRIBE.
const FILTERS_PER_PACKET_MAX: usize = 100;

/// Everything a client needs to connect.
pub(super) struct Access {
    route: Route,
    user: Option<String>,
    password: Option<Secret>,
    version: Version,
}

impl Access {
    /// Reads the files and finds the host, once for all clients. An address after the scenario counts more than `--url`.
    pub(super) async fn new(common: &CommonArgs) -> Result<Self, Failure> {
        let unreachable = |error| Failure::new(Exit::Unreachable, error);
        let args = &common.broker;
        let url = common.broker_url.as_ref().unwrap_or(&args.url);
        let mut route = Route::new(url, &args.tls).map_err(unreachable)?;
        route.look_up().await.map_err(unreachable)?;
        route.leave_from(&common.from);
        Ok(Self {
            route,
            user: args.user.clone(),
            password: args.password()?,
            version: args.version(),
        })
    }

    /// Where the broker is.
    pub(super) const fn url(&self) -> &BrokerUrl {
        self.route.url()
    }

    /// The protocol that all clients speak.
    pub(super) const fn version(&self) -> Version {
        self.version
    }

    /// Connects the client that has this number in the run. `adjust` may change the CONNECT before it leaves.
    pub(super) async fn open(
        &self,
        number: u32,
        client_id: &str,
        adjust: impl FnOnce(&mut Connect<'_>),
    ) -> Result<Connection, Failure> {
        let user = self.user.as_ref();
        let user = user.map(|user| user.replace(NUMBER, &number.to_string()));
        let mut connect = Connect {
            keep_alive_secs: u16::MAX, // Nobody sends pings in a measurement.
            username: user.as_deref(),
            password: self.password.as_ref().map(|secret| secret.expose().as_bytes()),
            ..Connect::new(self.version, client_id)
        };
        adjust(&mut connect);
        let opened = Connection::open_on(&self.route, &connect).await;
        opened.map_err(|failure| advised(failure, self.user.is_some()))
    }
}

/// A failed login, and what to do about it.
fn advised(failure: Failure, has_user: bool) -> Failure {
    let advice = match (failure.exit(), has_user) {
        (Exit::LoginRefused, false) => "; say who you are with -u and --password-file",
        (Exit::LoginRefused, true) => {
            "; check -u and the password, and whether this user may connect so often"
        }
        _ => return failure,
    };
    Failure::because(failure.exit(), format!("{failure}{advice}"))
}

/// Subscribes to all of these, and awaits that they are granted.
pub(super) async fn subscribe(
    connection: &mut Connection,
    filters: &[String],
    qos: Qos,
) -> Result<(), Failure> {
    for some in filters.chunks(FILTERS_PER_PACKET_MAX) {
        let asked = some
            .iter()
            .map(|filter| TopicFilter::parse(filter).map(|filter| SubscribeFilter::new(filter, qos)))
            .collect::<Result<_, _>>()
            .map_err(|error| Failure::because(Exit::Failed, format!("{} {error}", some[0])))?;
        connection.send(&Packet::Subscribe(Subscribe::new(PacketId::MIN, asked)))?;
        connection.flush().await?;
        let granted = timeout(Duration::from_secs(SUBSCRIBE_SECS_MAX), granted(connection, some)).await;
        granted.map_err(|_| Failure::because(Exit::TimedOut, "the broker does not answer a SUBSCRIBE"))??;
    }
    Ok(())
}

async fn granted(connection: &mut Connection, filters: &[String]) -> Result<(), Failure> {
    loop {
        let wake = connection.next().await?;
        let Wake::Event(Event::Subscribed { reasons, text }) = wake else {
            continue;
        };
        let refused = filters.iter().zip(reasons).find(|(_, reason)| reason.is_error());
        return refused.map_or(Ok(()), |(filter, reason)| {
            let reason = with_text(reason, Some(&text));
            let text = format!(
                "the broker refused the subscription to {filter}: {reason}; let the user subscribe to it, or choose other topics with --topic"
            );
            Err(Failure::because(Exit::Refused, text))
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_login_says_what_to_do_and_other_failures_stay() {
        let refused = || Failure::because(Exit::LoginRefused, "no");
        assert!(
            advised(refused(), false)
                .to_string()
                .contains("-u and --password-file")
        );
        assert!(advised(refused(), true).to_string().contains("check -u"));
        let lost = advised(Failure::because(Exit::Lost, "gone"), true);
        assert_eq!((lost.exit(), lost.to_string()), (Exit::Lost, "gone".to_owned()));
    }
}
