//! System calls of a broker, as `strace` has written them down: what it did to files, and what it said over sockets.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// One call, in the order in which calls took effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A file or folder was opened as `fd`.
    Opened { fd: i32, path: PathBuf, how: How },
    /// The second descriptor means the same as the first.
    Copied { fd: i32, as_fd: i32 },
    /// The next write to `fd` goes to `at`.
    Sought { fd: i32, at: u64 },
    /// Bytes were written, to `at` or to where the last write ended.
    Wrote {
        fd: i32,
        at: Option<u64>,
        bytes: Vec<u8>,
    },
    /// A file was cut or grown.
    Sized { fd: i32, len: u64 },
    /// `fsync` or `fdatasync` has succeeded.
    Synced { fd: i32 },
    /// It has failed.
    SyncFailed { fd: i32 },
    /// A name was given to another file.
    Renamed { from: PathBuf, to: PathBuf },
    /// A file or an empty folder was removed.
    Removed { path: PathBuf },
    /// A folder was made.
    MadeFolder { path: PathBuf },
    /// Bytes left through a socket.
    Sent { socket: Socket, bytes: Vec<u8> },
    /// Bytes came through a socket.
    Received { socket: Socket, bytes: Vec<u8> },
}

/// How a file was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct How {
    pub(crate) creates: bool,
    pub(crate) empties: bool,
    pub(crate) appends: bool,
}

/// A TCP connection of the broker, by its two ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Socket {
    pub(crate) own_port: u16,
    pub(crate) peer_port: u16,
}

/// Calls that are asked for.
pub(crate) const CALLS: &str = "openat,dup,dup2,dup3,fcntl,lseek,write,writev,pwrite64,pwritev,ftruncate,\
     fallocate,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat,rmdir,link,linkat,\
     copy_file_range,sendfile,sendto,sendmsg,recvfrom,recvmsg";

/// Reads a whole log. Bytes that were sent count from when the call began, everything else from when it ended.
pub(crate) fn read(log: &str) -> Vec<Event> {
    let mut begun: BTreeMap<&str, (usize, &str)> = BTreeMap::new();
    let mut found: Vec<(usize, Event)> = Vec::new();
    for (number, line) in log.lines().enumerate() {
        let Some((thread, call)) = line.split_once(' ') else {
            continue;
        };
        let call = call.trim_start();
        if let Some(head) = call.strip_suffix(" <unfinished ...>") {
            begun.insert(thread, (number, head));
            continue;
        }
        let (start, call) = match call.split_once(" resumed>") {
            Some((name, tail)) if name.starts_with("<... ") => {
                let Some((start, head)) = begun.remove(thread) else {
                    continue;
                };
                (start, format!("{head}{tail}"))
            }
            Some(_) | None => (number, call.to_owned()),
        };
        let Some(event) = parse(&call) else { continue };
        let at = match event {
            Event::Sent { .. } => start,
            _ => number,
        };
        found.push((at, event));
    }
    found.sort_by_key(|(at, _)| *at);
    found.into_iter().map(|(_, event)| event).collect()
}

/// One whole line, without its thread. `None` for what changes nothing.
fn parse(line: &str) -> Option<Event> {
    let (name, rest) = line.split_once('(')?;
    let (arguments, result) = split_arguments(rest)?;
    let result: i64 = result.split([' ', '<']).next()?.parse().ok()?;
    let is_sync = ["fsync", "fdatasync"].contains(&name);
    if result < 0 {
        return is_sync.then_some(Event::SyncFailed {
            fd: descriptor(arguments.first()?)?,
        });
    }
    let first = arguments.first()?;
    let number = |place: usize| arguments.get(place)?.trim().parse::<u64>().ok();
    let text = |place: usize| path(arguments.get(place)?);
    let event = match name {
        "openat" => Event::Opened {
            fd: i32::try_from(result).ok()?,
            path: text(1)?,
            how: how(arguments.get(2)?),
        },
        "dup" | "dup2" | "dup3" => copied(first, result)?,
        "fcntl" if arguments.get(1)?.contains("F_DUPFD") => copied(first, result)?,
        "lseek" => Event::Sought {
            fd: descriptor(first)?,
            at: u64::try_from(result).ok()?,
        },
        "write" | "writev" | "sendto" | "sendmsg" => moved_out(first, arguments.get(1)?, result, None)?,
        "pwrite64" | "pwritev" => moved_out(first, arguments.get(1)?, result, Some(number(3)?))?,
        "recvfrom" | "recvmsg" => Event::Received {
            socket: socket(first)?,
            bytes: bytes_of(arguments.get(1)?, result)?,
        },
        "ftruncate" => Event::Sized {
            fd: descriptor(first)?,
            len: number(1)?,
        },
        "fsync" | "fdatasync" => Event::Synced {
            fd: descriptor(first)?,
        },
        "rename" => Event::Renamed {
            from: text(0)?,
            to: text(1)?,
        },
        "renameat" | "renameat2" => Event::Renamed {
            from: text(1)?,
            to: text(3)?,
        },
        "unlink" | "rmdir" => Event::Removed { path: text(0)? },
        "unlinkat" => Event::Removed { path: text(1)? },
        "mkdir" => Event::MadeFolder { path: text(0)? },
        "mkdirat" => Event::MadeFolder { path: text(1)? },
        "fcntl" => return None,
        other => panic!("the simulated disk knows no {other}: {line}"),
    };
    Some(event)
}

fn copied(first: &str, result: i64) -> Option<Event> {
    Some(Event::Copied {
        fd: descriptor(first)?,
        as_fd: i32::try_from(result).ok()?,
    })
}

fn moved_out(first: &str, data: &str, result: i64, at: Option<u64>) -> Option<Event> {
    let bytes = bytes_of(data, result)?;
    Some(match socket(first) {
        Some(socket) => Event::Sent { socket, bytes },
        None => Event::Wrote {
            fd: descriptor(first)?,
            at,
            bytes,
        },
    })
}

/// `5</path>` or `5<TCP:[…]>`.
fn descriptor(argument: &str) -> Option<i32> {
    argument.split('<').next()?.trim().parse().ok()
}

/// `9<TCP:[127.0.0.1:1883->127.0.0.1:51000]>`
fn socket(argument: &str) -> Option<Socket> {
    let (_, ends) = argument.split_once("<TCP:[")?;
    let (own, peer) = ends.split_once(']')?.0.split_once("->")?;
    let port = |end: &str| end.rsplit_once(':')?.1.parse().ok();
    Some(Socket {
        own_port: port(own)?,
        peer_port: port(peer)?,
    })
}

fn how(flags: &str) -> How {
    How {
        creates: flags.contains("O_CREAT"),
        empties: flags.contains("O_TRUNC"),
        appends: flags.contains("O_APPEND"),
    }
}

fn path(argument: &str) -> Option<PathBuf> {
    let bytes = strings(argument);
    assert!(!argument.ends_with("..."), "the log has cut {argument}");
    Some(PathBuf::from(String::from_utf8(bytes).ok()?))
}

/// What the strings of an argument say, as far as the call has taken it.
fn bytes_of(argument: &str, result: i64) -> Option<Vec<u8>> {
    let mut bytes = strings(argument);
    let taken = usize::try_from(result).ok()?;
    assert!(bytes.len() >= taken, "the log has cut bytes");
    bytes.truncate(taken);
    Some(bytes)
}

/// Everything between quotes, one after the other.
fn strings(argument: &str) -> Vec<u8> {
    let (mut bytes, mut is_inside) = (Vec::new(), false);
    let mut rest = argument.as_bytes();
    while let Some((byte, tail)) = rest.split_first() {
        rest = tail;
        match (is_inside, byte) {
            (_, b'"') => is_inside = !is_inside,
            (true, b'\\') => rest = unescape(rest, &mut bytes),
            (true, byte) => bytes.push(*byte),
            (false, _) => {}
        }
    }
    bytes
}

/// What follows a backslash: `x41`, `101`, `n`, `"` …
fn unescape<'a>(rest: &'a [u8], bytes: &mut Vec<u8>) -> &'a [u8] {
    let digits = |from: usize, most: usize, radix: u32| {
        let digits = rest.iter().skip(from).take(most);
        let digits = digits.map_while(|byte| char::from(*byte).to_digit(radix));
        digits.fold((0, 0), |(value, count), digit| (value * radix + digit, count + 1))
    };
    let byte_of = |value: u32| u8::try_from(value & 0xFF).unwrap_or_default();
    let (byte, taken) = match rest.first() {
        Some(b'x') => {
            let (value, count) = digits(1, 2, 16);
            (byte_of(value), 1 + count)
        }
        Some(b'0'..=b'7') => {
            let (value, count) = digits(0, 3, 8);
            (byte_of(value), count)
        }
        Some(b'n') => (b'\n', 1),
        Some(b't') => (b'\t', 1),
        Some(b'r') => (b'\r', 1),
        Some(b'v') => (0x0B, 1),
        Some(b'f') => (0x0C, 1),
        Some(other) => (*other, 1),
        None => return rest,
    };
    bytes.push(byte);
    rest.get(taken..).unwrap_or_default()
}

/// `a, "b, c", [d, e]) = 5 …` becomes the arguments and what is behind the equals sign.
fn split_arguments(text: &str) -> Option<(Vec<&str>, &str)> {
    let (mut arguments, mut start) = (Vec::new(), 0);
    let (mut depth, mut is_quoted, mut is_escaped) = (0, false, false);
    for (at, byte) in text.bytes().enumerate() {
        if std::mem::take(&mut is_escaped) {
            continue;
        }
        match byte {
            b'\\' if is_quoted => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            _ if is_quoted => {}
            b'[' | b'{' | b'(' => depth += 1,
            b')' if depth == 0 => {
                arguments.push(text.get(start..at)?.trim());
                let (_, result) = text.get(at..)?.split_once("= ")?;
                return Some((arguments, result));
            }
            b']' | b'}' | b')' => depth -= 1,
            b',' if depth == 0 => {
                arguments.push(text.get(start..at)?.trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_read_as_they_were_made() {
        let log = r#"7 openat(AT_FDCWD</>, "/d/a", O_RDWR|O_CREAT|O_APPEND, 0666) = 5</d/a>
7 write(5</d/a>, "a\x00\1\n\"", 5) = 5
8 sendto(9<TCP:[127.0.0.1:1883->127.0.0.1:5000]>, "\x40\x02", 2, MSG_NOSIGNAL, NULL, 0 <unfinished ...>
7 fdatasync(5</d/a> <unfinished ...>
8 <... sendto resumed>) = 2
7 <... fdatasync resumed>)              = 0
7 writev(5</d/a>, [{iov_base="ab", iov_len=2}, {iov_base="cd", iov_len=2}], 2) = 3
7 fdatasync(5</d/a>) = -1 EIO (Input/output error) (INJECTED)
7 openat(AT_FDCWD</>, "/none", O_RDONLY) = -1 ENOENT (No such file or directory)"#;
        let how = How {
            creates: true,
            empties: false,
            appends: true,
        };
        let socket = Socket {
            own_port: 1883,
            peer_port: 5000,
        };
        let wrote = |bytes: &[u8]| Event::Wrote {
            fd: 5,
            at: None,
            bytes: bytes.to_vec(),
        };
        let expected = [
            Event::Opened {
                fd: 5,
                path: "/d/a".into(),
                how,
            },
            wrote(b"a\0\x01\n\""),
            Event::Sent {
                socket,
                bytes: vec![0x40, 2],
            },
            Event::Synced { fd: 5 },
            wrote(b"abc"),
            Event::SyncFailed { fd: 5 },
        ];
        assert_eq!(read(log), expected);
    }
}
