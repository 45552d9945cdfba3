//! Blocks of a backup. Each bears the sum of what it holds.

use std::io::{self, Read, Write};

use sha2::{Digest as _, Sha256};

use super::BackupError;

/// From here on a block of entries is written.
pub(super) const BLOCK_BYTES: usize = 1024 * 1024;
/// Largest block: the largest commit is smaller.
const BLOCK_BYTES_MAX: usize = 512 * 1024 * 1024;
const HEADER_BYTES: usize = 1 + 4 + 4 + SUM_BYTES;
pub(super) const SUM_BYTES: usize = 32;

/// What a block holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Head,
    Entries,
    File,
    End,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Head, Self::Entries, Self::File, Self::End];

    const fn byte(self) -> u8 {
        match self {
            Self::Head => 0,
            Self::Entries => 1,
            Self::File => 2,
            Self::End => 3,
        }
    }
}

/// A block that was read, and is as it was written.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) kind: Kind,
    pub(super) content: Vec<u8>,
    pub(super) sum: [u8; SUM_BYTES],
}

/// Writes a block, and answers its sum.
pub(super) fn write(to: &mut impl Write, kind: Kind, content: &[u8]) -> io::Result<[u8; SUM_BYTES]> {
    let stored = lz4_flex::block::compress(content);
    let length =
        |bytes: &[u8]| u32::try_from(bytes.len()).map_err(|_| io::Error::other("a block is too large"));
    let (bytes, stored_bytes) = (length(content)?, length(&stored)?);
    let sum = sum_of(kind, bytes, &stored);
    to.write_all(&[kind.byte()])?;
    to.write_all(&bytes.to_be_bytes())?;
    to.write_all(&stored_bytes.to_be_bytes())?;
    to.write_all(&sum)?;
    to.write_all(&stored)?;
    Ok(sum)
}

/// Reads the next block.
pub(super) fn read(from: &mut impl Read) -> Result<Block, BackupError> {
    let mut header = [0; HEADER_BYTES];
    fill(from, &mut header)?;
    let kind = Kind::ALL.into_iter().find(|kind| kind.byte() == header[0]);
    let kind = kind.ok_or(BackupError::Damaged("a block is of no known kind"))?;
    let number = |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let (bytes, stored_bytes) = (number(1), number(5) as usize);
    if bytes as usize > BLOCK_BYTES_MAX
        || stored_bytes > lz4_flex::block::get_maximum_output_size(bytes as usize)
    {
        return Err(BackupError::Damaged("a block is larger than any is"));
    }
    // What is not there is not set aside for.
    let mut stored = Vec::new();
    let read = from.take(stored_bytes as u64).read_to_end(&mut stored)?;
    if read < stored_bytes {
        return Err(BackupError::CutOff);
    }
    let sum = sum_of(kind, bytes, &stored);
    if sum[..] != header[9..] {
        return Err(BackupError::Damaged("a block does not have its sum"));
    }
    let content = lz4_flex::block::decompress(&stored, bytes as usize);
    let content = content.map_err(|_| BackupError::Damaged("a block cannot be unpacked"))?;
    Ok(Block { kind, content, sum })
}

fn sum_of(kind: Kind, bytes: u32, stored: &[u8]) -> [u8; SUM_BYTES] {
    let mut sum = Sha256::new();
    sum.update([kind.byte()]);
    sum.update(bytes.to_be_bytes());
    sum.update(stored);
    sum.finalize().into()
}

/// Fills a buffer; a file that ends before was cut off.
pub(super) fn fill(from: &mut impl Read, buffer: &mut [u8]) -> Result<(), BackupError> {
    from.read_exact(buffer).map_err(|error| {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            BackupError::CutOff
        } else {
            error.into()
        }
    })
}
