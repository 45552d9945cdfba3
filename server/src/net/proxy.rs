//! The PROXY protocol, version 1 and 2: a proxy says who its client is before the client's first byte.

use std::io;
use std::net::{IpAddr, SocketAddr};

use ppp::{v1, v2};
use tokio::io::{AsyncRead, AsyncReadExt};

/// What tells the two versions apart, and less than either needs.
const PROBE_BYTES: usize = v2::PROTOCOL_PREFIX.len();
/// Bytes of a version 2 header before its addresses; the last two say how many bytes follow.
const FIXED_BYTES: usize = 16;
/// Bytes of a version 1 line, its line end included.
const LINE_BYTES_MAX: usize = 107;
/// Bytes of a version 2 header, its attributes included.
const HEADER_BYTES_MAX: usize = 4_096;

/// Why a connection has no usable PROXY header.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProxyError {
    /// The first bytes are something else.
    #[error("the connection does not begin with a PROXY header")]
    Missing,
    /// The header is broken.
    #[error("the PROXY header is malformed")]
    Malformed,
    /// The header is longer than we read.
    #[error("the PROXY header has more than {HEADER_BYTES_MAX} bytes")]
    TooLong,
    /// The connection ended in the middle, or failed.
    #[error("the PROXY header did not arrive: {0}")]
    Io(#[from] io::Error),
}

/// Takes the header off the front of `stream`, and not one byte more.
///
/// `None`: the proxy speaks for itself, as its health checks do, or cannot say.
pub(crate) async fn read_header(
    stream: &mut (impl AsyncRead + Unpin),
) -> Result<Option<SocketAddr>, ProxyError> {
    let mut header = vec![0; PROBE_BYTES];
    stream.read_exact(&mut header).await?;
    if header == v2::PROTOCOL_PREFIX {
        read_rest_of_v2(stream, &mut header).await?;
        source_of_v2(&header)
    } else if header.starts_with(b"PROXY ") {
        read_rest_of_v1(stream, &mut header).await?;
        source_of_v1(&header)
    } else {
        Err(ProxyError::Missing)
    }
}

async fn read_rest_of_v2(
    stream: &mut (impl AsyncRead + Unpin),
    header: &mut Vec<u8>,
) -> Result<(), ProxyError> {
    header.resize(FIXED_BYTES, 0);
    stream.read_exact(&mut header[PROBE_BYTES..]).await?;
    let rest_bytes = u16::from_be_bytes([header[14], header[15]]);
    let header_bytes = FIXED_BYTES + usize::from(rest_bytes);
    if header_bytes > HEADER_BYTES_MAX {
        return Err(ProxyError::TooLong);
    }
    header.resize(header_bytes, 0);
    stream.read_exact(&mut header[FIXED_BYTES..]).await?;
    Ok(())
}

/// The line's length is known only at its end, so it is read byte by byte: once per connection, about 40 times.
async fn read_rest_of_v1(
    stream: &mut (impl AsyncRead + Unpin),
    header: &mut Vec<u8>,
) -> Result<(), ProxyError> {
    while !header.ends_with(b"\r\n") {
        if header.len() >= LINE_BYTES_MAX {
            return Err(ProxyError::Malformed);
        }
        header.push(stream.read_u8().await?);
    }
    Ok(())
}

fn source_of_v2(header: &[u8]) -> Result<Option<SocketAddr>, ProxyError> {
    let header = v2::Header::try_from(header).map_err(|_| ProxyError::Malformed)?;
    match (header.command, header.addresses) {
        (v2::Command::Proxy, v2::Addresses::IPv4(ip)) => Ok(Some(addr(ip.source_address, ip.source_port))),
        (v2::Command::Proxy, v2::Addresses::IPv6(ip)) => Ok(Some(addr(ip.source_address, ip.source_port))),
        (v2::Command::Proxy, v2::Addresses::Unspecified | v2::Addresses::Unix(_)) => Ok(None),
        (v2::Command::Local, _) => Ok(None),
    }
}

fn source_of_v1(header: &[u8]) -> Result<Option<SocketAddr>, ProxyError> {
    let header = v1::Header::try_from(header).map_err(|_| ProxyError::Malformed)?;
    Ok(match header.addresses {
        v1::Addresses::Tcp4(ip) => Some(addr(ip.source_address, ip.source_port)),
        v1::Addresses::Tcp6(ip) => Some(addr(ip.source_address, ip.source_port)),
        v1::Addresses::Unknown => None,
    })
}

fn addr(ip: impl Into<IpAddr>, port: u16) -> SocketAddr {
    SocketAddr::new(ip.into(), port)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a header, and what is left behind it.
    async fn read(bytes: &[u8]) -> (Result<Option<SocketAddr>, ProxyError>, Vec<u8>) {
        let mut rest = bytes;
        let read = read_header(&mut rest).await;
        (read, rest.to_vec())
    }

    fn v2_header(command: u8, family: u8, addresses: &[u8], attributes: &[u8]) -> Vec<u8> {
        let bytes = (addresses.len() + attributes.len()) as u16;
        [
            v2::PROTOCOL_PREFIX,
            &[0x20 | command, family],
            &bytes.to_be_bytes(),
            addresses,
            attributes,
        ]
        .concat()
    }

    const ADDRESSES_V4: [u8; 12] = [192, 0, 2, 7, 198, 51, 100, 1, 0xC0, 0x00, 0x07, 0x5B];

    #[tokio::test]
    async fn version_1_says_who_the_client_is() {
        let (header, rest) = read(b"PROXY TCP4 192.0.2.7 198.51.100.1 49152 1883\r\n\x10\x0c").await;
        assert_eq!(header.unwrap(), Some("192.0.2.7:49152".parse().unwrap()));
        assert_eq!(rest, [0x10, 0x0c], "the client's own bytes stay");
        let (header, _) = read(b"PROXY TCP6 2001:db8::7 2001:db8::1 49152 1883\r\n").await;
        assert_eq!(header.unwrap(), Some("[2001:db8::7]:49152".parse().unwrap()));
        assert_eq!(read(b"PROXY UNKNOWN\r\n").await.0.unwrap(), None);
    }

    #[tokio::test]
    async fn version_2_says_who_the_client_is() {
        let mut bytes = v2_header(1, 0x11, &ADDRESSES_V4, &[0x04, 0, 1, 42]);
        bytes.extend(b"rest");
        let (header, rest) = read(&bytes).await;
        assert_eq!(header.unwrap(), Some("192.0.2.7:49152".parse().unwrap()));
        assert_eq!(rest, b"rest");
    }

    #[tokio::test]
    async fn a_proxy_that_speaks_for_itself_is_its_own_client() {
        for header in [
            v2_header(0, 0x00, &[], &[]),
            v2_header(0, 0x11, &ADDRESSES_V4, &[]),
            v2_header(1, 0, &[], &[]),
        ] {
            assert_eq!(read(&header).await.0.unwrap(), None, "{header:02x?}");
        }
    }

    #[tokio::test]
    async fn anything_else_is_refused() {
        let (missing, _) = read(b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x00").await;
        assert!(matches!(missing, Err(ProxyError::Missing)), "{missing:?}");
        let endless = [b"PROXY TCP4 ".as_slice(), &[b'1'; 200]].concat();
        let (malformed, _) = read(&endless).await;
        assert!(matches!(malformed, Err(ProxyError::Malformed)), "{malformed:?}");
        let (malformed, _) = read(b"PROXY TCP4 192.0.2.700 198.51.100.1 49152 1883\r\n").await;
        assert!(matches!(malformed, Err(ProxyError::Malformed)), "{malformed:?}");
        let (malformed, _) = read(&v2_header(7, 0x11, &ADDRESSES_V4, &[])).await;
        assert!(matches!(malformed, Err(ProxyError::Malformed)), "{malformed:?}");
        let (long, _) = read(&v2_header(1, 0x11, &ADDRESSES_V4, &[0; HEADER_BYTES_MAX])).await;
        assert!(matches!(long, Err(ProxyError::TooLong)), "{long:?}");
        let whole = v2_header(1, 0x11, &ADDRESSES_V4, &[]);
        for bytes in 0..whole.len() {
            let (cut, _) = read(&whole[..bytes]).await;
            assert!(matches!(cut, Err(ProxyError::Io(_))), "{bytes}: {cut:?}");
        }
    }
}
