//! What can happen next.

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Bytes of a client reach the broker.
    Upload,
    /// The network takes bytes of the broker.
    Drain,
    /// Bytes of the broker reach a client.
    Download,
    /// The store catches up.
    Store,
    /// Milliseconds pass.
    Tick,
    /// Seconds pass.
    Wait,
    /// Minutes or hours pass.
    Jump,
    Connect,
    Publish,
    Subscribe,
    Unsubscribe,
    /// A client acknowledges what it got.
    Acknowledge,
    Ping,
    /// A client shows another token.
    Reauthenticate,
    /// The answer about a token is there.
    Verify,
    Disconnect,
    /// A connection breaks; the broker may notice much later.
    Cut,
    /// A client is gone without a word; its connection stays.
    Abandon,
    /// Nothing arrives for a while.
    Stall,
    /// Somebody else comes with a client id that is taken.
    Intrude,
    Policy,
    EndCredential,
    EndPrincipal,
    Renew,
    Kick,
    Shutdown,
}

/// Every step.
pub(crate) const STEPS: &[Step] = &[
    Step::Upload,
    Step::Drain,
    Step::Download,
    Step::Store,
    Step::Tick,
    Step::Wait,
    Step::Jump,
    Step::Connect,
    Step::Publish,
    Step::Subscribe,
    Step::Unsubscribe,
    Step::Acknowledge,
    Step::Ping,
    Step::Reauthenticate,
    Step::Verify,
    Step::Disconnect,
    Step::Cut,
    Step::Abandon,
    Step::Stall,
    Step::Intrude,
    Step::Policy,
    Step::EndCredential,
    Step::EndPrincipal,
    Step::Renew,
    Step::Kick,
    Step::Shutdown,
];

impl Step {
    pub(crate) const fn usual_weight(self) -> u64 {
        match self {
            Self::Upload | Self::Drain | Self::Download => 300,
            Self::Publish => 250,
            Self::Acknowledge => 200,
            Self::Connect | Self::Store | Self::Tick => 120,
            Self::Verify => 30,
            Self::Subscribe => 70,
            Self::Unsubscribe | Self::Wait | Self::Stall | Self::Reauthenticate => 20,
            Self::Disconnect | Self::Cut | Self::Ping => 15,
            Self::Abandon | Self::Policy => 8,
            Self::Jump | Self::Intrude | Self::EndCredential | Self::Renew | Self::Kick => 5,
            Self::EndPrincipal | Self::Shutdown => 2,
        }
    }

    /// Whether a run without it is still worth something.
    pub(crate) const fn may_be_left_out(self) -> bool {
        !matches!(
            self,
            Self::Upload | Self::Drain | Self::Download | Self::Connect | Self::Publish | Self::Subscribe
        )
    }
}
