//! The client machine for JavaScript.
//!
//! Nothing is decided here: bytes, time and values go in and come out. JavaScript writes what it has into one buffer of
//! the linear memory, makes one call, and reads what came of it from another buffer after the call has returned. So
//! a WebSocket frame costs one call, whatever it holds, and no handler ever runs while the machine is borrowed.
//!
//! | file | holds |
//! |---|---|
//! | [`face`] | the calls |
//! | [`layout`] | every number that both sides share: the one description of the buffers |
//! | `desk` | the buffers |
//! | `events` | the machine's outputs as bytes |
//! | `properties` | message properties as bytes, both ways |
//! | `settings` | options as bytes |
//! | `fields` | reading those bytes |
//! | `topics` | topics that JavaScript has seen |
//! | `platform` | memory, and a last word when the machine has a fault |
#![cfg_attr(target_arch = "wasm32", no_std)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod desk;
mod events;
pub mod face;
mod fields;
pub mod layout;
#[cfg(target_arch = "wasm32")]
pub mod platform;
mod properties;
mod settings;
#[cfg(test)]
mod tests;
mod topics;
