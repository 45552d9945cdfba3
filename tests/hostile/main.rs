//! Clients that mean harm, against the real broker. Each attack has to show three things: the broker answers it as it
//! should, its memory stays below a stated bound, and a well-behaved pair of clients is served all the while.
//!
//! | file | attack |
//! |---|---|
//! | [`slow`] | thousands that connect and then say almost nothing |
//! | [`garbage`] | ten thousand that say anything but what is awaited |
//! | [`oversized`] | packets that claim to be, or are, larger than allowed |
//! | [`topics`] | topics and filters as long and as deep as they can be |
//! | [`websocket`] | handshakes and frames that break the rules of WebSocket |
//! | [`logins`] | guessed passwords, by the thousand |
//! | [`deaf`] | subscribers that never read |
//! | [`attack`] | the broker under attack, its memory, and how many attackers there are |
//! | [`witness`] | the well-behaved pair |
//!
//! Every attack prints one line of figures (`--nocapture`). `CS_TEST_HOSTILE_SCALE=10` makes it ten times as large.
#![expect(clippy::print_stdout, reason = "each attack prints its figures")]

mod attack;
mod deaf;
mod garbage;
mod logins;
mod oversized;
mod slow;
mod topics;
mod websocket;
mod witness;
