//! The engine's list of the sorted files of one keyspace: which there are, in which order, and their sums.
//!
//! ```text
//! current   number of the list u64 | xxh3-128 of its file u128 | 0 u8
//! v{number} an archive of sections; `tables` is
//!           levels u8, each: runs u8, each: tables u32, each: number u64 | 0 u8 | xxh3-128 u128 | position u64
//! ```
//! Numbers are little-endian.

use std::fs::{self, File};
use std::io::{self, Cursor, Write as _};
use std::path::{Path, PathBuf};

use bytes::{Buf as _, BufMut as _};
use xxhash_rust::xxh3::xxh3_128;

const CURRENT: &str = "current";
const TABLES: &str = "tables";
/// Largest list that is read, bytes: some hundred thousand tables.
const CATALOG_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// One sorted file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TableEntry {
    pub(super) number: u64,
    pub(super) sum: u128,
    pub(super) position: u64,
}

/// Runs of tables, by level.
pub(super) type Levels = Vec<Vec<Vec<TableEntry>>>;

/// The list of a keyspace.
#[derive(Clone, Debug)]
pub(super) struct Catalog {
    number: u64,
    /// Everything but the tables, as it is.
    sections: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) levels: Levels,
}

/// Whether a keyspace has a list.
pub(super) fn exists(keyspace: &Path) -> bool {
    keyspace.join(CURRENT).exists()
}

/// Where the file of a table is.
pub(super) fn table_file(keyspace: &Path, number: u64) -> PathBuf {
    keyspace.join(TABLES).join(number.to_string())
}

/// Numbers of the tables that are there, listed or not.
///
/// # Errors
/// Those of the file system.
pub(super) fn table_files(keyspace: &Path) -> io::Result<Vec<u64>> {
    let folder = match fs::read_dir(keyspace.join(TABLES)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        folder => folder?,
    };
    let mut numbers = Vec::new();
    for entry in folder {
        let name = entry?.file_name();
        numbers.extend(name.to_str().and_then(|name| name.parse::<u64>().ok()));
    }
    Ok(numbers)
}

impl Catalog {
    /// Reads the list of a keyspace.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn read(keyspace: &Path) -> Result<Self, String> {
        let text = |error: io::Error| error.to_string();
        let current = fs::read(keyspace.join(CURRENT)).map_err(text)?;
        let mut current = &current[..];
        let short = |_| "the pointer to the list of tables is cut off".to_owned();
        let number = current.try_get_u64_le().map_err(short)?;
        let sum = current.try_get_u128_le().map_err(short)?;
        let path = keyspace.join(format!("v{number}"));
        let length = fs::metadata(&path).map_err(text)?.len();
        if length > CATALOG_BYTES_MAX {
            return Err(format!("the list of tables has {length} bytes"));
        }
        let bytes = fs::read(&path).map_err(text)?;
        if xxh3_128(&bytes) != sum {
            return Err("the list of tables does not have its sum".into());
        }
        let reader = sfa::Reader::from_reader(&mut Cursor::new(&bytes)).map_err(|error| error.to_string())?;
        let (mut sections, mut levels) = (Vec::new(), None);
        for entry in reader.toc().iter() {
            let start = usize::try_from(entry.pos()).unwrap_or(usize::MAX);
            let end = usize::try_from(entry.pos().saturating_add(entry.len())).unwrap_or(usize::MAX);
            let section = bytes.get(start..end).ok_or("a section is cut off")?;
            if entry.name() == TABLES.as_bytes() {
                levels = Some(parse(section).ok_or("the list of tables is cut off")?);
            }
            sections.push((entry.name().to_vec(), section.to_vec()));
        }
        let levels = levels.ok_or("there is no list of tables")?;
        Ok(Self {
            number,
            sections,
            levels,
        })
    }

    /// The same without a table: for a keyspace of which the list is lost.
    pub(super) fn emptied(&self, keyspace: &Path) -> io::Result<Self> {
        let mut number = self.number;
        for entry in fs::read_dir(keyspace)? {
            let name = entry?.file_name();
            let found = name
                .to_str()
                .and_then(|name| name.strip_prefix('v')?.parse::<u64>().ok());
            number = number.max(found.unwrap_or(0));
        }
        Ok(Self {
            number,
            sections: self.sections.clone(),
            levels: vec![Vec::new(); self.levels.len()],
        })
    }

    pub(super) fn tables(&self) -> impl Iterator<Item = &TableEntry> {
        self.levels.iter().flatten().flatten()
    }

    /// Puts another table in the place of one, or nothing.
    pub(super) fn replace(&mut self, number: u64, with: Option<TableEntry>) {
        for runs in &mut self.levels {
            for run in runs.iter_mut() {
                *run = run
                    .iter()
                    .filter_map(|entry| {
                        if entry.number == number {
                            with
                        } else {
                            Some(*entry)
                        }
                    })
                    .collect();
            }
            runs.retain(|run| !run.is_empty());
        }
    }

    /// Makes this the list of a keyspace, in one step.
    ///
    /// # Errors
    /// Those of the file system.
    pub(super) fn write(&self, keyspace: &Path) -> io::Result<()> {
        let number = self.number + 1;
        let mut archive = sfa::Writer::from_writer(Cursor::new(Vec::new()));
        for (name, section) in &self.sections {
            archive.start(name.clone())?;
            if name == TABLES.as_bytes() {
                archive.write_all(&encode(&self.levels))?;
            } else {
                archive.write_all(section)?;
            }
        }
        let bytes = archive.into_inner().map_err(io::Error::other)?.into_inner();
        write_synced(&keyspace.join(format!("v{number}")), &bytes)?;
        File::open(keyspace)?.sync_all()?;
        let mut current = Vec::new();
        current.put_u64_le(number);
        current.put_u128_le(xxh3_128(&bytes));
        current.put_u8(0);
        let fresh = keyspace.join("current.mended");
        write_synced(&fresh, &current)?;
        fs::rename(&fresh, keyspace.join(CURRENT))?;
        File::open(keyspace)?.sync_all()
    }
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn parse(mut bytes: &[u8]) -> Option<Levels> {
    let mut levels = Vec::new();
    for _ in 0..bytes.try_get_u8().ok()? {
        let mut runs = Vec::new();
        for _ in 0..bytes.try_get_u8().ok()? {
            let mut run = Vec::new();
            for _ in 0..bytes.try_get_u32_le().ok()? {
                let number = bytes.try_get_u64_le().ok()?;
                let _kind = bytes.try_get_u8().ok()?;
                let sum = bytes.try_get_u128_le().ok()?;
                let position = bytes.try_get_u64_le().ok()?;
                run.push(TableEntry {
                    number,
                    sum,
                    position,
                });
            }
            runs.push(run);
        }
        levels.push(runs);
    }
    Some(levels)
}

fn encode(levels: &Levels) -> Vec<u8> {
    let mut bytes = Vec::new();
    let few = |count: usize| u8::try_from(count).expect("invariant: there are no more than there were");
    bytes.put_u8(few(levels.len()));
    for runs in levels {
        bytes.put_u8(few(runs.len()));
        for run in runs {
            bytes.put_u32_le(u32::try_from(run.len()).expect("invariant: there are no more than there were"));
            for entry in run {
                bytes.put_u64_le(entry.number);
                bytes.put_u8(0);
                bytes.put_u128_le(entry.sum);
                bytes.put_u64_le(entry.position);
            }
        }
    }
    bytes
}
