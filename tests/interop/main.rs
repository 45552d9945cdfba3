//! Other people's clients against the real broker, over every transport.
//!
//! | file | client |
//! |---|---|
//! | [`paho`] | paho-mqtt (Python): `python/scenarios.py` |
//! | [`mqttjs`] | MQTT.js (Node): `js/scenarios.mjs` |
//! | [`mosquitto`] | `mosquitto_pub` and `mosquitto_sub` |
//! | [`browser`] | what README tells the makers of browser applications: a token by HTTP, then MQTT with it |
//! | [`api`] | publishing and sessions over HTTP, seen by paho-mqtt: `python/api.py` |
//! | [`package`] | our own browser package, in Node and in Chromium: `js/package/` |
//! | [`wheel`] | our own Python package: `python/wheel/` |
//! | [`examples`] | the examples, as their users start them: `js/examples/` |
//! | [`published`] | CloudSignal's published JavaScript client, built outside of this tree: `js/published.mjs` |
//! | [`job`] | how a script is told what to do, and how it tells what came of it |

mod api;
mod browser;
mod examples;
mod job;
mod mosquitto;
mod mqttjs;
mod package;
mod paho;
mod published;
mod wheel;
