//! Where `pub` takes its messages from: the command line, a file, or the lines of standard input.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};

/// Longest line of standard input, in bytes: a message of it still fits into a packet.
const LINE_BYTES_MAX: usize = 268_000_000;

/// Lines of a stream, one at a time, bounded.
pub(super) struct Lines<R> {
    reader: BufReader<R>,
    line: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(super) fn new(stream: R) -> Self {
        Self {
            reader: BufReader::with_capacity(64 * 1_024, stream),
            line: Vec::new(),
        }
    }

    /// The next line without its end, or `None` at the end of the stream.
    /// Nothing is lost when the future is dropped.
    pub(super) async fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            let arrived = self.reader.fill_buf().await?;
            if arrived.is_empty() {
                let last = core::mem::take(&mut self.line);
                return Ok((!last.is_empty()).then_some(last));
            }
            let end = arrived.iter().position(|byte| *byte == b'\n');
            let taken = end.unwrap_or(arrived.len());
            if self.line.len() + taken > LINE_BYTES_MAX {
                let text = format!("a line has more than {LINE_BYTES_MAX} bytes");
                return Err(io::Error::new(io::ErrorKind::InvalidData, text));
            }
            self.line.extend_from_slice(&arrived[..taken]);
            self.reader.consume(taken + usize::from(end.is_some()));
            if end.is_some() {
                let mut line = core::mem::take(&mut self.line);
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                return Ok(Some(line));
            }
        }
    }

    /// Whether a whole line has arrived already.
    pub(super) fn has_more(&self) -> bool {
        self.reader.buffer().contains(&b'\n')
    }
}

/// Reads a whole file, or all of standard input for `-`.
pub(in crate::cli) fn whole(path: &Path) -> Result<Vec<u8>> {
    if path != Path::new("-") {
        return fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    }
    let mut bytes = Vec::new();
    let limit = LINE_BYTES_MAX as u64 + 1;
    io::stdin()
        .lock()
        .take(limit)
        .read_to_end(&mut bytes)
        .context("cannot read standard input")?;
    if bytes.len() > LINE_BYTES_MAX {
        bail!("standard input has more than {LINE_BYTES_MAX} bytes");
    }
    Ok(bytes)
}

/// Payloads in the order they are to be sent.
pub(super) enum Input {
    /// Known from the start.
    Ready(VecDeque<Vec<u8>>),
    /// One a line.
    Lines(Lines<tokio::io::Stdin>),
}

impl Input {
    pub(super) fn one(payload: Vec<u8>) -> Self {
        Self::Ready(VecDeque::from([payload]))
    }

    pub(super) fn lines_of_stdin() -> Self {
        Self::Lines(Lines::new(tokio::io::stdin()))
    }

    /// The next payload. Nothing is lost when the future is dropped.
    pub(super) async fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        match self {
            Self::Ready(payloads) => Ok(payloads.pop_front()),
            Self::Lines(lines) => lines.next().await,
        }
    }

    /// Whether [`next`](Self::next) will not wait.
    pub(super) fn has_more(&self) -> bool {
        match self {
            Self::Ready(payloads) => !payloads.is_empty(),
            Self::Lines(lines) => lines.has_more(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lines(text: &[u8]) -> Vec<String> {
        let mut lines = Lines::new(text);
        let mut read = Vec::new();
        while let Some(line) = lines.next().await.unwrap() {
            read.push(String::from_utf8(line).unwrap());
        }
        read
    }

    #[tokio::test]
    async fn lines_end_with_any_line_break_or_the_end() {
        assert_eq!(lines(b"a\nb\r\n\nlast").await, ["a", "b", "", "last"]);
        assert_eq!(lines(b"a\n").await, ["a"]);
        assert!(lines(b"").await.is_empty());
    }

    #[tokio::test]
    async fn a_line_longer_than_the_buffer_is_one_line() {
        let long = "x".repeat(200_000);
        let text = format!("{long}\nshort\n");
        assert_eq!(lines(text.as_bytes()).await, [long.as_str(), "short"]);
    }
}
