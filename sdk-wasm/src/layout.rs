//! Every number that Rust and JavaScript share. `npm/src/wire/layout.ts` has the same ones; a test compares them.
//!
//! All numbers are little-endian. Nothing is aligned except the header.
//!
//! ```text
//! header     0 u32 where the events are       4 u32 how many bytes they are
//!            8 u32 where the input is        12 u32 how many bytes fit there
//!           16 u32 bytes that wait for `collect`
//!           24 f64 when `handle_timeout` wants to be called, ms; Infinity: never
//!
//! event      0 u8 kind   1 u8 detail   2 u16 code   4 u32 bytes of the whole event   8 f64 number   16 body
//! ```
//!
//! | kind | detail | code | number | body |
//! |---|---|---|---|---|
//! | DIAL | 1: the body says where | | wire | the server's own words |
//! | SEND | | | wire | bytes: one frame |
//! | HANGUP | | | wire | |
//! | ASK_TOKEN | 0 initial, 1 expiring, 2 rejected | | question | |
//! | PUT | kind of key | | number of key | record |
//! | DELETE | kind of key | | number of key | |
//! | SYNC | | | ticket | |
//! | STATE | 0 idle, 1 connecting, 2 connected, 3 waiting, 4 suspended, 5 closed | why + 256 × reason code | next try, ms | |
//! | CONNECTED | 0 new, 1 resumed, 2 adopted, 3 lost | | | |
//! | MESSAGE | flags | slot of the topic | delivery, 0: nothing to acknowledge; of a reply: request id | below |
//! | STORED | | | publish id | |
//! | PUBLISHED | 0 acknowledged, 1 rejected, 2 expired, 3 sent, 4 indeterminate | reason code | publish id | |
//! | SUBSCRIBED | granted QoS | | subscription | |
//! | SUBSCRIBE_REFUSED | | reason code | subscription | |
//! | UNSUBSCRIBED | | | subscription | |
//! | WARNING | 0 not renewed, 1 no renewal in band, 2 unclaimed, 3 old protocol, 4 store failed, 5 stuck | | subscription, or publish id | |
//! | REQUEST_FAILED | 0 timed out, 1 nobody listens, 2 refused, 3 closed, 4 indeterminate | reason code | request id | |
//!
//! Why a client waits: 0 network, 1 silence, 2 server, 3 nonsense, 4 token. Why it is closed: 0 by caller, 1 refused,
//! 2 taken over, 3 token refused.
//!
//! ```text
//! body of a message   0 u16 bytes of topic   2 u16 receivers   4 u32 bytes of payload
//!                     8 receivers × u32 subscription; topic; payload; properties to the end of the event
//! properties          any number of: u8 which, u32 bytes, value
//! ```
//!
//! A topic whose text is not there was in an earlier message with the same slot. An empty topic always has its text.

/// Bytes of the header; it is aligned to 8.
pub const HEADER_BYTES: usize = 32;
/// Bytes of an event before its body.
pub const EVENT_BYTES: usize = 16;
/// Bytes of a message's body before its lists.
pub const MESSAGE_BYTES: usize = 8;

pub const DIAL: u8 = 1;
pub const SEND: u8 = 2;
pub const HANGUP: u8 = 3;
pub const ASK_TOKEN: u8 = 4;
pub const PUT: u8 = 5;
pub const DELETE: u8 = 6;
pub const SYNC: u8 = 7;
pub const STATE: u8 = 8;
pub const CONNECTED: u8 = 9;
pub const MESSAGE: u8 = 10;
pub const STORED: u8 = 11;
pub const PUBLISHED: u8 = 12;
pub const SUBSCRIBED: u8 = 13;
pub const SUBSCRIBE_REFUSED: u8 = 14;
pub const UNSUBSCRIBED: u8 = 15;
pub const WARNING: u8 = 16;
pub const REQUEST_FAILED: u8 = 17;

/// Flags of a message, and of a publication: its QoS.
pub const QOS: u8 = 3;
/// Flags of a message, and of a publication: retain.
pub const RETAIN: u8 = 4;
/// Flags of a message: it may have been handed out before.
pub const DUP: u8 = 8;
/// Flags of a message: the text of its topic is there.
pub const HAS_TOPIC: u8 = 16;
/// Flags of a message: it answers a question, and is acknowledged.
pub const REPLY: u8 = 32;

/// Slots for topics; messages with another slot are not remembered.
pub const TOPIC_SLOTS: u16 = 1024;

/// Flags of a subscription: not what this client publishes.
pub const NO_LOCAL: u8 = 4;
/// Flags of a subscription: keep the retain flag.
pub const RETAIN_AS_PUBLISHED: u8 = 8;
/// Flags of a subscription: how far retain handling is shifted.
pub const RETAIN_HANDLING_SHIFT: u8 = 4;

/// A property: lifetime, `u32` seconds.
pub const EXPIRY: u8 = 1;
/// A property: where to answer.
pub const RESPONSE_TOPIC: u8 = 2;
/// A property: which question is answered.
pub const CORRELATION: u8 = 3;
/// A property: what the payload is.
pub const CONTENT_TYPE: u8 = 4;
/// A property: the payload is UTF-8 text (`u8`, 1) or is not (0).
pub const IS_TEXT: u8 = 5;
/// A property: a user property: `u16` bytes of its name, name, value.
pub const USER: u8 = 6;

/// What `publish` and `subscribe` answer when they refuse; otherwise a name, or 0 for what was sent at once.
pub const REFUSED_FULL: f64 = -1.0;
/// See [`REFUSED_FULL`].
pub const REFUSED_TOO_LARGE: f64 = -2.0;
/// See [`REFUSED_FULL`].
pub const REFUSED_NOT_OFFERED: f64 = -3.0;
/// See [`REFUSED_FULL`].
pub const REFUSED_INEXPRESSIBLE: f64 = -4.0;
/// See [`REFUSED_FULL`].
pub const REFUSED_CLOSED: f64 = -5.0;
/// See [`REFUSED_FULL`].
pub const REFUSED_TOPIC: f64 = -6.0;

/// An option: client identifier, text.
pub const OPTION_CLIENT_ID: u8 = 1;
/// An option: 0 best, 1 MQTT 5, 2 MQTT 3.1.1; `u32`.
pub const OPTION_PROTOCOL: u8 = 2;
/// An option: present when a token provider is there.
pub const OPTION_TOKEN: u8 = 3;
/// An option: user name, text; with [`OPTION_PASSWORD`].
pub const OPTION_USERNAME: u8 = 4;
/// An option: password, bytes.
pub const OPTION_PASSWORD: u8 = 5;
/// An option: topic of the will, text.
pub const OPTION_WILL_TOPIC: u8 = 6;
/// An option: payload of the will.
pub const OPTION_WILL_PAYLOAD: u8 = 7;
/// An option: flags of the will as those of a publication, `u32`.
pub const OPTION_WILL_FLAGS: u8 = 8;
/// An option: delay of the will, seconds.
pub const OPTION_WILL_DELAY: u8 = 9;
/// An option: session expiry, seconds.
pub const OPTION_SESSION_EXPIRY: u8 = 10;
/// An option: keep alive, seconds.
pub const OPTION_KEEP_ALIVE: u8 = 11;
/// An option: unacknowledged messages, either way.
pub const OPTION_RECEIVE_MAX: u8 = 12;
/// An option: messages in the queue.
pub const OPTION_QUEUE_MESSAGES: u8 = 13;
/// An option: bytes in the queue.
pub const OPTION_QUEUE_BYTES: u8 = 14;
/// An option: present when there is a store.
pub const OPTION_DURABLE: u8 = 15;
/// An option: the longest pause before another attempt, milliseconds.
pub const OPTION_RECONNECT_MAX: u8 = 16;
/// An option: the longest first pause, milliseconds.
pub const OPTION_RECONNECT_FIRST: u8 = 17;
