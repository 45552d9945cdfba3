//! Our broker behind a relay, and only the relay ends: every connection is cut, and nothing is lost. Whoever is accused
//! of something here is accused wrongly, or loses things without being killed.

use std::net::{Ipv4Addr, SocketAddr};

use cloudsignal_tests::broker::{Broker as Process, BrokerOptions, Listener};
use cloudsignal_tests::ports;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};

use super::Broker;
use crate::directory::Console;
use crate::member::Login;

/// The broker, which stays, and the relay.
#[derive(Debug)]
pub(crate) struct Cut {
    process: Process,
    relay: Option<Runtime>,
}

impl Cut {
    pub(crate) fn new() -> Self {
        Self {
            process: BrokerOptions::default().with_anonymous_clients().start(),
            relay: None,
        }
    }
}

impl Broker for Cut {
    fn start(&mut self) -> SocketAddr {
        let relay = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let relay = self.relay.insert(relay.expect("a runtime can be made"));
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, ports::free_port()));
        let listener = relay.block_on(TcpListener::bind(addr));
        let listener = listener.expect("a port that was free a moment ago");
        relay.spawn(pass_on(listener, self.process.addr(Listener::Mqtt)));
        addr
    }

    fn kill(&mut self) {
        self.process.assert_alive();
        let relay = self.relay.take().expect("it was started");
        // Waits for its threads, so no connection outlives it.
        drop(relay);
    }

    fn stop(&mut self) {
        self.kill();
    }

    fn login(&self) -> Login {
        Login::default()
    }

    fn console(&self) -> Option<Console> {
        None
    }

    fn name(&self) -> String {
        "cloudsignal, connections cut".to_owned()
    }
}

/// Relays until its runtime ends. Every connection has a task, as many as there are clients.
async fn pass_on(listener: TcpListener, to: SocketAddr) {
    loop {
        let Ok((mut client, _)) = listener.accept().await else {
            return;
        };
        tokio::spawn(async move {
            let Ok(mut broker) = TcpStream::connect(to).await else {
                return;
            };
            let _undelayed = (client.set_nodelay(true), broker.set_nodelay(true));
            let _ended = copy_bidirectional(&mut client, &mut broker).await;
        });
    }
}
