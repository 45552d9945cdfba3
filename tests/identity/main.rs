//! Identity providers, with a key server of the test's own against the real program: what each token gets, over HTTP
//! in exchange and over MQTT as a password, and what it costs the provider.
//!
//! | file | holds |
//! |---|---|
//! | [`tokens`] | every kind of token, good and bad, with its outcome |
//! | [`servers`] | key servers that rotate, are slow, away, or send too much |
//! | [`shapes`] | the two shapes of the exchange, and the list of providers |
//! | [`ending`] | tokens that end, providers that are switched off |
//! | [`certificates`] | clients that show a certificate |
//! | [`bench`] | the broker, its organization, logins and exchanges |
//! | [`key_server`] | the key server |
//! | [`signing`] | keys, and tokens as no library would make them |

mod bench;
mod certificates;
mod ending;
mod key_server;
mod servers;
mod shapes;
mod signing;
mod tokens;
