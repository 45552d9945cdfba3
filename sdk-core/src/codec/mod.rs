//! Bytes ⇄ packets.
