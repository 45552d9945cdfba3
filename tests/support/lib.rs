//! What the test binaries share: a broker process, raw sockets, named packets.
