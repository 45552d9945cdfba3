//! From a store to a backup.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::block::{self, BLOCK_BYTES, Kind};
use super::{BackupError, End, FILES, Head, MAGIC, VERSION};
use crate::clock::WallTime;
use crate::store::stopped::Stopped;
use crate::store::view::{Space, View, pages};

/// What is to be written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    /// The organization's short id; everything, if there is none.
    pub(crate) org: Option<&'a str>,
    /// Where the files beside the store are, if there are any.
    pub(crate) data_dir: Option<&'a Path>,
    pub(crate) now: WallTime,
}

/// Writes what a store holds, at the moment of the view.
///
/// # Errors
/// Those of the store and of `to`; [`BackupError::UnknownOrg`].
pub(crate) fn write(view: &dyn View, wanted: Wanted<'_>, to: impl Write) -> Result<End, BackupError> {
    let head = Head {
        created_at: wanted.now,
        program: env!("CARGO_PKG_VERSION").into(),
        store_format: Stopped::format(),
        organization: wanted.org.map(str::to_owned),
        spaces: Space::ALL.map(|space| space.name().to_owned()).into(),
    };
    let mut writer = Writer::begin(to, &head)?;
    for (place, space) in (0_u8..).zip(Space::ALL) {
        for prefix in prefixes(space, wanted.org) {
            let before = writer.end.entries;
            pages(view, space, &prefix, |key, value| {
                if wanted.org.is_none_or(|org| space.is_of(org, key)) {
                    writer.entry(place, key, value)?;
                }
                Ok::<_, BackupError>(())
            })?;
            let is_unknown = |org: &&str| before == writer.end.entries && prefix == Space::account_key(org);
            if let Some(org) = wanted.org.filter(is_unknown) {
                return Err(BackupError::UnknownOrg(org.to_owned()));
            }
        }
    }
    if let Some(data_dir) = wanted.data_dir.filter(|_| wanted.org.is_none()) {
        for name in FILES {
            match fs::read(data_dir.join(name)) {
                Ok(bytes) => writer.file(name, &bytes)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    writer.end()
}

/// What the keys begin with that are to be looked at.
fn prefixes(space: Space, org: Option<&str>) -> Vec<Vec<u8>> {
    let Some(org) = org else { return vec![Vec::new()] };
    match space {
        Space::Table(crate::store::Table::Config) => {
            vec![Space::account_key(org), format!("{org}/").into_bytes()]
        }
        // They sort by time.
        Space::Expiry => vec![Vec::new()],
        // The last position goes with everything.
        Space::Meta => vec![Vec::new()],
        Space::Table(_) | Space::Shelf(_) | Space::Log => vec![format!("{org}/").into_bytes()],
    }
}

struct Writer<W> {
    to: W,
    block: Vec<u8>,
    sums: Sha256,
    end: End,
}

impl<W: Write> Writer<W> {
    fn begin(mut to: W, head: &Head) -> Result<Self, BackupError> {
        to.write_all(&MAGIC)?;
        to.write_all(&[VERSION])?;
        let mut writer = Self {
            to,
            block: Vec::new(),
            sums: Sha256::new(),
            end: End::default(),
        };
        let head = serde_json::to_vec(head).map_err(io::Error::other)?;
        writer.write(Kind::Head, &head)?;
        Ok(writer)
    }

    fn entry(&mut self, place: u8, key: &[u8], value: &[u8]) -> io::Result<()> {
        self.block.push(place);
        for part in [key, value] {
            let length = u32::try_from(part.len()).map_err(|_| io::Error::other("an entry is too large"))?;
            self.block.extend_from_slice(&length.to_be_bytes());
            self.block.extend_from_slice(part);
        }
        self.end.entries += 1;
        self.end.bytes += (key.len() + value.len()) as u64;
        if self.block.len() >= BLOCK_BYTES {
            self.write_entries()?;
        }
        Ok(())
    }

    fn file(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let length = u32::try_from(name.len()).expect("invariant: names of ours are short");
        let content = [&length.to_be_bytes()[..], name.as_bytes(), bytes].concat();
        self.write_entries()?;
        self.write(Kind::File, &content)
    }

    fn end(mut self) -> Result<End, BackupError> {
        self.write_entries()?;
        self.end.sha256 = hex(&self.sums.clone().finalize());
        let end = serde_json::to_vec(&self.end).map_err(io::Error::other)?;
        self.write(Kind::End, &end)?;
        self.to.flush()?;
        Ok(self.end)
    }

    fn write_entries(&mut self) -> io::Result<()> {
        if self.block.is_empty() {
            return Ok(());
        }
        let mut block = std::mem::take(&mut self.block);
        self.write(Kind::Entries, &block)?;
        block.clear();
        self.block = block;
        Ok(())
    }

    fn write(&mut self, kind: Kind, content: &[u8]) -> io::Result<()> {
        let sum = block::write(&mut self.to, kind, content)?;
        self.sums.update(sum);
        Ok(())
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
