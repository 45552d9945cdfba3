//! Looks through a journal of the engine before the engine does: where its bytes are not whole, the engine would cut off
//! everything behind, and say nothing.
//!
//! ```text
//! batch   1 u8 | entries u32 | position u64 | entries | 3 u8 | xxh3 of the entries u64 | "FJL" 3
//! entry   2 u8 | kind u8 | compression u8 | keyspace u64 | key length u16 | length u32 | stored length u32 | key | value
//!         4 u8 | keyspace u64
//! ```
//! Numbers are little-endian. A journal that is written to is longer than what is in it; the rest is zeros.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use xxhash_rust::xxh3::Xxh3Default;

const BATCH: u8 = 1;
const ENTRY: u8 = 2;
const END: u8 = 3;
const CLEARED: u8 = 4;
const END_MARK: [u8; 4] = *b"FJL\x03";

const BATCH_BYTES: usize = 1 + 4 + 8;
const ENTRY_BYTES: usize = 1 + 1 + 1 + 8 + 2 + 4 + 4;
const CLEARED_BYTES: usize = 1 + 8;
const END_BYTES: usize = 1 + 8 + 4;
/// What a disk writes as a whole, bytes.
const SECTOR_BYTES: usize = 512;
/// What is read at once, bytes.
const WINDOW_BYTES: usize = 256 * 1024;

/// What a journal is made of.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Scan {
    /// Where batches are whole.
    pub(super) whole: Vec<Range<u64>>,
    /// What is damaged, with something whole behind it.
    pub(super) holes: Vec<Hole>,
    /// What is behind the last whole batch, if it is not nothing: a batch that was cut off.
    pub(super) tail: Option<Hole>,
}

/// Bytes that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hole {
    pub(super) range: Range<u64>,
    /// Keyspaces of the entries that could be told apart.
    pub(super) keyspaces: BTreeSet<u64>,
    /// How many of them there are.
    pub(super) entries: u64,
}

impl Scan {
    /// Bytes that are whole.
    pub(super) fn whole_bytes(&self) -> u64 {
        self.whole.iter().map(|range| range.end - range.start).sum()
    }
}

impl Hole {
    pub(super) const fn bytes(&self) -> u64 {
        self.range.end - self.range.start
    }
}

/// Puts a journal of the whole batches in the place of one, in one step.
///
/// # Errors
/// Those of the file system.
pub(super) fn write_whole(path: &Path, scan: &Scan) -> io::Result<()> {
    let fresh_path = path.with_extension("mended");
    let (mut source, mut fresh) = (File::open(path)?, File::create(&fresh_path)?);
    for range in &scan.whole {
        source.seek(SeekFrom::Start(range.start))?;
        let bytes = range.end - range.start;
        let copied = io::copy(&mut (&mut source).take(bytes), &mut fresh)?;
        if copied != bytes {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    fresh.sync_all()?;
    fs::rename(&fresh_path, path)?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

/// Reads a journal through.
///
/// # Errors
/// Those of the file system.
pub(super) fn scan(path: &Path) -> io::Result<Scan> {
    let mut source = Source::open(path)?;
    let (mut scan, mut at) = (Scan::default(), 0);
    loop {
        let mut found = Found::default();
        if let Some(end) = source.batch(at, &mut found)? {
            match scan.whole.last_mut() {
                Some(last) if last.end == at => last.end = end,
                Some(_) | None => scan.whole.push(at..end),
            }
            at = end;
            continue;
        }
        let next = source.next_batch(at + 1)?;
        let mut hole = Hole {
            range: at..next.unwrap_or(source.bytes),
            keyspaces: found.keyspaces,
            entries: found.entries,
        };
        match next {
            Some(next) => {
                scan.holes.push(hole);
                at = next;
            }
            None => {
                match source.ending(hole.range.clone())? {
                    Ending::Nothing => {}
                    Ending::CutOff => scan.tail = Some(hole),
                    Ending::Complete(end) => {
                        hole.range.end = end;
                        scan.holes.push(hole);
                    }
                }
                return Ok(scan);
            }
        }
    }
}

/// What stands behind the last whole batch.
enum Ending {
    Nothing,
    /// A batch that was not written to its end, or not everywhere: the power went.
    CutOff,
    /// A batch that was written completely, and is damaged; where it ends.
    Complete(u64),
}

/// What was seen of a batch.
#[derive(Default)]
struct Found {
    keyspaces: BTreeSet<u64>,
    entries: u64,
}

/// A file, through a window that moves over it.
struct Source {
    file: File,
    bytes: u64,
    window: Vec<u8>,
    start: u64,
}

impl Source {
    fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        Ok(Self {
            bytes: file.metadata()?.len(),
            file,
            window: Vec::new(),
            start: 0,
        })
    }

    /// Moves the window, and answers what it shows from `at` on: nothing at the end.
    fn window(&mut self, at: u64, bytes_min: usize) -> io::Result<&[u8]> {
        let inside =
            |window: &[u8], start: u64| at >= start && at + bytes_min as u64 <= start + window.len() as u64;
        if !inside(&self.window, self.start) {
            let bytes = self.bytes.saturating_sub(at).min(WINDOW_BYTES as u64);
            self.window
                .resize(usize::try_from(bytes).unwrap_or(WINDOW_BYTES), 0);
            self.file.read_exact_at(&mut self.window, at)?;
            self.start = at;
        }
        let skipped = usize::try_from(at - self.start).unwrap_or(usize::MAX);
        Ok(self.window.get(skipped..).unwrap_or_default())
    }

    fn array<const N: usize>(&mut self, at: u64) -> io::Result<Option<[u8; N]>> {
        Ok(self.window(at, N)?.first_chunk().copied())
    }

    /// Where the whole batch ends that begins here; `None` if there is none.
    fn batch(&mut self, at: u64, found: &mut Found) -> io::Result<Option<u64>> {
        let Some(head) = self.array::<BATCH_BYTES>(at)? else {
            return Ok(None);
        };
        let entries = number(&head[1..5]);
        if head[0] != BATCH || entries == 0 {
            return Ok(None);
        }
        let (mut sum, mut at) = (Xxh3Default::new(), at + BATCH_BYTES as u64);
        for _ in 0..entries {
            let Some(bytes) = self.entry_bytes(at, found)? else {
                return Ok(None);
            };
            if !self.add_to(&mut sum, at..at + bytes)? {
                return Ok(None);
            }
            at += bytes;
        }
        let Some(end) = self.array::<END_BYTES>(at)? else {
            return Ok(None);
        };
        let is_end = end[0] == END && end[9..] == END_MARK && number(&end[1..9]) == sum.digest();
        Ok(is_end.then_some(at + END_BYTES as u64))
    }

    fn entry_bytes(&mut self, at: u64, found: &mut Found) -> io::Result<Option<u64>> {
        let Some(tag) = self.array::<1>(at)? else {
            return Ok(None);
        };
        let (keyspace, bytes) = match tag[0] {
            ENTRY => {
                let Some(head) = self.array::<ENTRY_BYTES>(at)? else {
                    return Ok(None);
                };
                let (key, stored) = (number(&head[11..13]), number(&head[17..21]));
                (number(&head[3..11]), ENTRY_BYTES as u64 + key + stored)
            }
            CLEARED => {
                let Some(head) = self.array::<CLEARED_BYTES>(at)? else {
                    return Ok(None);
                };
                (number(&head[1..]), CLEARED_BYTES as u64)
            }
            _ => return Ok(None),
        };
        found.keyspaces.insert(keyspace);
        found.entries += 1;
        Ok(Some(bytes))
    }

    /// `false`: the file ends before.
    fn add_to(&mut self, sum: &mut Xxh3Default, range: Range<u64>) -> io::Result<bool> {
        let mut at = range.start;
        while at < range.end {
            let left = usize::try_from(range.end - at).unwrap_or(usize::MAX);
            let window = self.window(at, 1)?;
            let part = window.get(..left.min(window.len())).unwrap_or_default();
            if part.is_empty() {
                return Ok(false);
            }
            sum.update(part);
            at += part.len() as u64;
        }
        Ok(true)
    }

    /// Where the next whole batch begins.
    fn next_batch(&mut self, from: u64) -> io::Result<Option<u64>> {
        let zeros = vec![0; WINDOW_BYTES];
        let mut at = from;
        while at < self.bytes {
            let window = self.window(at, 1)?;
            if window == &zeros[..window.len()] {
                at += window.len() as u64;
                continue;
            }
            let mut candidates = Vec::new();
            for (index, head) in window.windows(BATCH_BYTES + 1).enumerate() {
                if head[0] == BATCH && matches!(head[BATCH_BYTES], ENTRY | CLEARED) {
                    candidates.push(at + index as u64);
                }
            }
            // The window's last bytes are looked at again, with those that follow.
            let seen = (window.len().saturating_sub(BATCH_BYTES)).max(1) as u64;
            for candidate in candidates {
                if self.batch(candidate, &mut Found::default())?.is_some() {
                    return Ok(Some(candidate));
                }
            }
            at += seen;
        }
        Ok(None)
    }

    /// What was never written of a journal is zeros, by sectors.
    fn ending(&mut self, range: Range<u64>) -> io::Result<Ending> {
        let zeros = [0; SECTOR_BYTES];
        let (mut last, mut end, mut is_torn, mut gap) = (Vec::new(), range.start, false, false);
        let mut at = range.start;
        while at < range.end {
            let to_sector_end = SECTOR_BYTES - usize::try_from(at % SECTOR_BYTES as u64).unwrap_or(0);
            let window = self.window(at, to_sector_end)?;
            let sector = window.get(..to_sector_end.min(window.len())).unwrap_or_default();
            if sector.is_empty() {
                break;
            }
            if sector == &zeros[..sector.len()] {
                gap = true;
            } else {
                // A gap with something behind it.
                is_torn |= gap;
                gap = false;
                last.extend_from_slice(sector);
                let spare = last.len().saturating_sub(2 * SECTOR_BYTES);
                last.drain(..spare);
                let content = sector.iter().rposition(|byte| *byte != 0);
                end = at + content.map_or(0, |last| last as u64 + 1);
            }
            at += sector.len() as u64;
        }
        let content = last.iter().rposition(|byte| *byte != 0).map(|end| &last[..=end]);
        Ok(match content {
            None => Ending::Nothing,
            Some(content) if content.ends_with(&END_MARK) && !is_torn => Ending::Complete(end),
            Some(_) => Ending::CutOff,
        })
    }
}

/// Little-endian.
fn number(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .rev()
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(keyspace: u64, value: &[u8]) -> Vec<u8> {
        let mut entry = vec![ENTRY, 0, 0];
        entry.extend_from_slice(&keyspace.to_le_bytes());
        entry.extend_from_slice(&1_u16.to_le_bytes());
        let length = u32::try_from(value.len()).unwrap().to_le_bytes();
        entry.extend_from_slice(&[length, length].concat());
        entry.push(b'k');
        entry.extend_from_slice(value);
        let mut sum = Xxh3Default::new();
        sum.update(&entry);
        let mut bytes = vec![BATCH];
        bytes.extend_from_slice(&1_u32.to_le_bytes());
        bytes.extend_from_slice(&7_u64.to_le_bytes());
        bytes.extend_from_slice(&entry);
        bytes.push(END);
        bytes.extend_from_slice(&sum.digest().to_le_bytes());
        bytes.extend_from_slice(&END_MARK);
        bytes
    }

    fn scanned(bytes: &[u8]) -> Scan {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("0.jnl");
        fs::write(&path, bytes).unwrap();
        scan(&path).unwrap()
    }

    #[test]
    fn a_whole_journal_has_no_holes_and_zeros_behind_it_are_nothing() {
        let one = batch(3, &vec![5; WINDOW_BYTES + 9]);
        let whole = [&one[..], &batch(4, b"two")].concat();
        for zeros in [0, 1, 3 * WINDOW_BYTES] {
            let bytes = [&whole[..], &vec![0; zeros]].concat();
            let scan = scanned(&bytes);
            assert_eq!((&scan.holes, &scan.tail), (&Vec::new(), &None));
            assert_eq!(scan.whole_bytes(), whole.len() as u64);
        }
        assert_eq!(scanned(b""), Scan::default());
    }

    #[test]
    fn a_batch_that_was_cut_off_is_the_tail_wherever_it_was_cut() {
        let (one, two) = (batch(3, b"one"), batch(4, b"two"));
        for length in 1..two.len() {
            let scan = scanned(&[&one[..], &two[..length]].concat());
            assert_eq!(scan.holes, []);
            assert_eq!(scan.whole_bytes(), one.len() as u64);
            let tail = scan.tail.expect("it is seen");
            assert_eq!(tail.range, one.len() as u64..(one.len() + length) as u64);
        }
    }

    #[test]
    fn whatever_bit_is_flipped_the_other_batches_are_found() {
        let parts = [batch(3, b"one"), batch(4, b"two"), batch(5, b"three")];
        let whole = parts.concat();
        let second = parts[0].len()..parts[0].len() + parts[1].len();
        for at in second.clone() {
            for bit in 0..8 {
                let mut bytes = whole.clone();
                bytes[at] ^= 1 << bit;
                let scan = scanned(&bytes);
                // The position is not part of the sum: the batch counts as whole.
                let in_position = (5..13).contains(&(at - second.start));
                let holes: Vec<_> = scan.holes.iter().map(|hole| hole.range.clone()).collect();
                let expected = Some(second.start as u64..second.end as u64).filter(|_| !in_position);
                let expected = Vec::from_iter(expected);
                assert_eq!(holes, expected, "byte {at}, bit {bit}");
                assert_eq!(scan.tail, None);
            }
        }
        let mut bytes = whole.clone();
        let last = bytes.len() - END_BYTES - 1;
        bytes[last] ^= 1;
        let scan = scanned(&[&bytes[..], &[0; 5_000]].concat());
        assert_eq!(
            (scan.holes.len(), &scan.tail),
            (1, &None),
            "the last one was written to its end"
        );
        let mut bytes = whole;
        let value = second.end - END_BYTES - 1;
        bytes[value] ^= 1;
        let hole = &scanned(&bytes).holes[0];
        assert_eq!((hole.entries, &hole.keyspaces), (1, &[4].into()));
    }
}
