//! Who plays: organizations that are as alike as can be. Names, client ids, topics, groups and addresses are the same
//! in each; secrets, and the mark in whatever is said, are not.

use cloudsignal_core::Version;
use cloudsignal_server::clock::WallTime;

/// Client ids, the same in every organization.
pub(crate) const CLIENT_IDS: [&str; 5] = ["phone", "tablet", "gateway", "worker-1", "cs_a1b2c3d4"];
/// User names, the same in every organization.
pub(crate) const USERS: [&str; 3] = ["ada", "bob", "sensor-1"];
/// Whom tokens are for, the same in every organization.
pub(crate) const EMAILS: [&str; 2] = ["ada@example.com", "eve@example.com"];
/// Topics, the same in every organization.
pub(crate) const TOPICS: [&str; 8] = [
    "a",
    "a/b",
    "a/b/c",
    "rooms/1/chat",
    "rooms/2/chat",
    "$spaces/1/presence",
    "state/door",
    "jobs/1",
];
/// Filters, the same in every organization.
pub(crate) const FILTERS: [&str; 12] = [
    "#",
    "+/#",
    "a/#",
    "a/+",
    "rooms/+/chat",
    "$spaces/#",
    "state/door",
    "$SYS/#",
    "$share/workers/jobs/#",
    "$share/workers/a/#",
    "$share/workers/#",
    "$share/other/rooms/#",
];

/// An organization as the test knows it.
#[derive(Debug)]
pub(crate) struct Org {
    pub(crate) number: usize,
    pub(crate) id: String,
    pub(crate) uuid: String,
    pub(crate) key: Key,
    /// The passwords of [`USERS`].
    pub(crate) passwords: [String; USERS.len()],
    /// The current tokens of [`EMAILS`].
    pub(crate) tokens: Vec<Token>,
    /// Passwords of tokens that were revoked or replaced.
    pub(crate) dead_tokens: Vec<Token>,
    pub(crate) slots: Vec<Slot>,
    /// What its clients have sent, and what may have been published for them.
    pub(crate) sent: Sent,
}

/// A secret key.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) id: String,
    pub(crate) secret: String,
}

/// A temporary token.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) id: String,
    pub(crate) username: String,
    pub(crate) password: String,
    pub(crate) expires_at: WallTime,
}

/// Upper bounds of what an organization's own clients have caused.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sent {
    /// PUBLISH packets and wills.
    pub(crate) messages: u64,
    /// The same, since time last passed.
    pub(crate) messages_at_once: u64,
    /// Payload bytes of PUBLISH packets.
    pub(crate) bytes: u64,
    /// PUBLISH packets that came back.
    pub(crate) received: u64,
    /// CONNECT packets.
    pub(crate) connects: u64,
}

/// A client of an organization, connected or not.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) client_id: &'static str,
    pub(crate) who: Who,
    pub(crate) version: Version,
    /// It does not acknowledge what it gets until it is told to.
    pub(crate) is_lazy: bool,
    pub(crate) wire: Option<usize>,
}

/// As whom a client logs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// One of [`USERS`].
    User(usize),
    /// With the token of one of [`EMAILS`].
    Token(usize),
    /// With the secret key.
    Server,
}

/// The clients of every organization. Two devices with one client id take each other's session over.
pub(crate) fn slots() -> Vec<Slot> {
    let slot = |client, who, version, is_lazy| Slot {
        client_id: CLIENT_IDS[client],
        who,
        version,
        is_lazy,
        wire: None,
    };
    vec![
        slot(0, Who::User(0), Version::V5, false),
        slot(0, Who::User(0), Version::V5, true),
        slot(1, Who::User(1), Version::V311, false),
        slot(1, Who::User(1), Version::V5, false),
        slot(2, Who::User(2), Version::V311, true),
        slot(3, Who::Token(0), Version::V5, false),
        slot(3, Who::Token(0), Version::V311, false),
        slot(4, Who::Token(1), Version::V5, false),
        slot(2, Who::User(2), Version::V31, false),
        Slot {
            client_id: "server",
            ..slot(0, Who::Server, Version::V311, false)
        },
    ]
}

impl Org {
    /// The user name and the password of one of its clients.
    pub(crate) fn login(&self, who: Who, org: &str) -> (String, String) {
        match who {
            Who::User(user) => (format!("{}@{org}", USERS[user]), self.passwords[user].clone()),
            Who::Token(token) => {
                let token = &self.tokens[token];
                let name = token.username.split('@').next().unwrap_or_default();
                (format!("{name}@{org}"), token.password.clone())
            }
            Who::Server => (format!("server@{org}"), self.key.secret.clone()),
        }
    }
}
