//! Reads a backup, block by block.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::block::{self, Block, Kind};
use super::write::hex;
use super::{BackupError, End, Head, MAGIC, VERSION};
use crate::store::stopped::Stopped;
use crate::store::view::Space;

/// What is in a backup.
#[derive(Debug)]
pub(crate) enum Item<'a> {
    Entry {
        space: Space,
        key: &'a [u8],
        value: &'a [u8],
    },
    /// A file beside the store.
    File { name: &'a str, bytes: &'a [u8] },
}

/// Reads a backup from its first to its last byte, and answers what it says of itself. What was visited before an
/// error is not to be relied on: [`check`] comes first.
///
/// # Errors
/// [`BackupError`]: that it is no backup, was cut off or is damaged, and what `visit` answers.
pub(crate) fn read(
    path: &Path,
    mut visit: impl FnMut(Item<'_>) -> Result<(), BackupError>,
) -> Result<(Head, End), BackupError> {
    let mut from = BufReader::new(File::open(path)?);
    let mut magic = [0; MAGIC.len() + 1];
    let begun = block::fill(&mut from, &mut magic);
    if matches!(begun, Err(BackupError::CutOff)) {
        return Err(BackupError::NoBackup);
    }
    begun?;
    match magic.split_last() {
        Some((_, mark)) if mark != MAGIC => return Err(BackupError::NoBackup),
        Some((&version, _)) if version != VERSION => return Err(BackupError::Version(version)),
        Some(_) | None => {}
    }
    let (mut sums, mut found) = (Sha256::new(), End::default());
    let head = block::read(&mut from)?;
    let (head, spaces) = head_of(&head, &mut sums)?;
    loop {
        let block = block::read(&mut from)?;
        if block.kind == Kind::End {
            found.sha256 = hex(&sums.finalize());
            let end: End = json(&block.content)?;
            if end != found {
                return Err(BackupError::Damaged("something of it is missing"));
            }
            if from.read(&mut [0])? != 0 {
                return Err(BackupError::Damaged("something follows its end"));
            }
            return Ok((head, end));
        }
        sums.update(block.sum);
        match block.kind {
            Kind::Entries => entries(&block.content, &spaces, &mut found, &mut visit)?,
            Kind::File => {
                let mut rest = &block.content[..];
                let name = std::str::from_utf8(part(&mut rest)?);
                let name = name.map_err(|_| BackupError::Damaged("the name of a file is no text"))?;
                visit(Item::File { name, bytes: rest })?;
            }
            Kind::Head | Kind::End => return Err(BackupError::Damaged("it begins twice")),
        }
    }
}

/// Reads a backup through, and uses nothing of it.
///
/// # Errors
/// [`BackupError`]
pub(crate) fn check(path: &Path) -> Result<(Head, End), BackupError> {
    read(path, |_| Ok(()))
}

fn head_of(block: &Block, sums: &mut Sha256) -> Result<(Head, Vec<Space>), BackupError> {
    if block.kind != Kind::Head {
        return Err(BackupError::Damaged("it has no head"));
    }
    sums.update(block.sum);
    let head: Head = json(&block.content)?;
    if head.store_format > Stopped::format() {
        return Err(BackupError::StoreFormat {
            found: head.store_format,
            known: Stopped::format(),
        });
    }
    let space = |name: &String| Space::ALL.into_iter().find(|space| space.name() == name);
    let spaces: Option<Vec<_>> = head.spaces.iter().map(space).collect();
    let spaces = spaces.ok_or(BackupError::Damaged("it holds what this program does not know"))?;
    Ok((head, spaces))
}

fn entries(
    mut rest: &[u8],
    spaces: &[Space],
    found: &mut End,
    visit: &mut impl FnMut(Item<'_>) -> Result<(), BackupError>,
) -> Result<(), BackupError> {
    while let Some((place, after)) = rest.split_first() {
        let space = spaces.get(usize::from(*place));
        let space = *space.ok_or(BackupError::Damaged("an entry belongs nowhere"))?;
        rest = after;
        let (key, value) = (part(&mut rest)?, part(&mut rest)?);
        found.entries += 1;
        found.bytes += (key.len() + value.len()) as u64;
        visit(Item::Entry { space, key, value })?;
    }
    Ok(())
}

fn part<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], BackupError> {
    let cut = || BackupError::Damaged("an entry is cut off");
    let (length, after) = rest.split_first_chunk().ok_or_else(cut)?;
    let length = u32::from_be_bytes(*length) as usize;
    let (part, after) = after.split_at_checked(length).ok_or_else(cut)?;
    *rest = after;
    Ok(part)
}

fn json<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, BackupError> {
    serde_json::from_slice(bytes).map_err(|_| BackupError::Damaged("what it says of itself cannot be read"))
}
