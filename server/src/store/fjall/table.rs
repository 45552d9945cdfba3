//! One sorted file of the engine: whether it is as it was written, and what can be saved of it if not.
//!
//! It begins with blocks of entries, then come its index and filter. Each block has its own sum, so that damage costs
//! the entries of one block.
//!
//! ```text
//! block   "LSM" 3 | kind u8 | xxh3-128 of the content u128 | stored length u32 | length u32 | xxh3 of all that u32
//! ```

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::time::Duration;

use fjall::CompressionType;
use lsm_tree::table::{Block, DataBlock, Scanner, Writer};
use xxhash_rust::xxh3::{Xxh3Default, xxh3_128};

use super::catalog::TableEntry;
use crate::clock::WallTime;

const MAGIC: [u8; 4] = *b"LSM\x03";
const HEADER_BYTES: usize = 4 + 1 + 16 + 4 + 4 + 4;
/// Kind of a block of entries.
const DATA: u8 = 0;
/// What is read at once, bytes.
const READ_BYTES: usize = 256 * 1024;

/// The sum of a file.
///
/// # Errors
/// Those of the file system.
pub(super) fn sum_of(path: &Path) -> io::Result<u128> {
    let (mut file, mut sum) = (File::open(path)?, Xxh3Default::new());
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let bytes = file.read(&mut buffer)?;
        if bytes == 0 {
            return Ok(sum.digest128());
        }
        sum.update(&buffer[..bytes]);
    }
}

/// What a table says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) entries: Option<u64>,
    pub(super) written_at: Option<WallTime>,
}

/// What could be saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Saved {
    /// The table that stands in the place of the damaged one; `None` if nothing was left.
    pub(super) table: Option<TableEntry>,
    pub(super) entries: u64,
    /// Bytes of blocks that are not whole.
    pub(super) bytes_lost: u64,
}

/// Blocks of entries that are whole.
struct Blocks<'a> {
    whole: Vec<&'a [u8]>,
    bytes_lost: u64,
    compression: CompressionType,
}

/// What a table that may be damaged says of itself.
pub(super) fn facts(path: &Path) -> Facts {
    read_facts(path).unwrap_or_default()
}

fn read_facts(path: &Path) -> Option<Facts> {
    let archive = sfa::Reader::new(path).ok()?;
    let mut reader = archive.toc().section(b"meta")?.buf_reader(path).ok()?;
    let block = DataBlock::new(Block::from_reader(&mut reader, CompressionType::None).ok()?);
    let value = |name: &[u8]| block.point_read(name, u64::MAX).map(|item| item.value);
    let entries = value(b"item_count").and_then(|value| Some(u64::from_le_bytes(value[..].try_into().ok()?)));
    let nanos = value(b"created_at").and_then(|value| Some(u128::from_le_bytes(value[..].try_into().ok()?)));
    let written_at = nanos.and_then(|nanos| u64::try_from(nanos).ok());
    let written_at = written_at.map(|nanos| WallTime::ZERO.after(Duration::from_nanos(nanos)));
    Some(Facts { entries, written_at })
}

/// The value of a key in the blocks of a table that are whole.
///
/// # Errors
/// Those of the file system.
pub(super) fn look_up(path: &Path, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
    let bytes = fs::read(path)?;
    let blocks = Blocks::of(&bytes);
    for block in &blocks.whole {
        let block = Block::from_reader(&mut &block[..], blocks.compression).map_err(io::Error::other)?;
        if let Some(item) = DataBlock::new(block).point_read(key, u64::MAX) {
            return Ok(Some(item.value.to_vec()));
        }
    }
    Ok(None)
}

/// Writes what is whole of a damaged table into a new one of this number, beside it. `scratch` is a file that can be
/// made for the time of the call.
///
/// # Errors
/// Those of the file system.
pub(super) fn save(
    damaged: &Path,
    entry: TableEntry,
    (level, number): (u8, u64),
    scratch: &Path,
) -> io::Result<Saved> {
    let bytes = fs::read(damaged)?;
    let blocks = Blocks::of(&bytes);
    let mut saved = Saved {
        table: None,
        entries: 0,
        bytes_lost: blocks.bytes_lost,
    };
    if blocks.whole.is_empty() {
        return Ok(saved);
    }
    let mut file = File::create(scratch)?;
    for block in &blocks.whole {
        file.write_all(block)?;
    }
    drop(file);
    let fresh = damaged.with_file_name(number.to_string());
    let written = copy(scratch, &fresh, (level, number), &blocks);
    fs::remove_file(scratch)?;
    let (entries, sum) = written.map_err(io::Error::other)?;
    saved.entries = entries;
    saved.table = sum.map(|sum| TableEntry { number, sum, ..entry });
    Ok(saved)
}

fn copy(
    from: &Path,
    to: &Path,
    (level, number): (u8, u64),
    blocks: &Blocks<'_>,
) -> lsm_tree::Result<(u64, Option<u128>)> {
    let items = Scanner::new(from, blocks.whole.len(), blocks.compression, 0)?;
    let writer = Writer::new(to.to_owned(), number, level)?;
    let mut writer = writer.use_data_block_compression(blocks.compression);
    let mut entries = 0;
    for item in items {
        writer.write(item?)?;
        entries += 1;
    }
    let finished = writer.finish()?;
    Ok((entries, finished.map(|(_, sum)| sum.into_u128())))
}

impl<'a> Blocks<'a> {
    /// Blocks of entries stand one behind the other at the beginning of a table.
    fn of(bytes: &'a [u8]) -> Self {
        let mut blocks = Self {
            whole: Vec::new(),
            bytes_lost: 0,
            compression: CompressionType::None,
        };
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            match Header::read(rest) {
                Some(header) if header.kind == DATA => {
                    let end = HEADER_BYTES + header.stored_bytes;
                    match rest.get(..end).filter(|block| header.fits(block)) {
                        Some(block) => {
                            if header.stored_bytes != header.bytes {
                                blocks.compression = CompressionType::Lz4;
                            }
                            blocks.whole.push(block);
                        }
                        None => blocks.bytes_lost += end.min(rest.len()) as u64,
                    }
                    at += end;
                }
                Some(_) => break,
                None => {
                    let skipped = (1..rest.len()).find(|skipped| Header::read(&rest[*skipped..]).is_some());
                    let skipped = skipped.unwrap_or(rest.len());
                    blocks.bytes_lost += skipped as u64;
                    at += skipped;
                }
            }
        }
        blocks
    }
}

struct Header {
    kind: u8,
    sum: u128,
    stored_bytes: usize,
    bytes: usize,
}

impl Header {
    fn read(bytes: &[u8]) -> Option<Self> {
        let header = bytes.first_chunk::<HEADER_BYTES>()?;
        if header[..4] != MAGIC {
            return None;
        }
        let number =
            |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let sum = xxh3_128(&header[..HEADER_BYTES - 4]);
        if u128::from(number(29)) != sum & u128::from(u32::MAX) {
            return None;
        }
        Some(Self {
            kind: header[4],
            sum: u128::from_le_bytes(*header[5..].first_chunk()?),
            stored_bytes: number(21) as usize,
            bytes: number(25) as usize,
        })
    }

    fn fits(&self, block: &[u8]) -> bool {
        block
            .get(HEADER_BYTES..)
            .is_some_and(|content| xxh3_128(content) == self.sum)
    }
}
