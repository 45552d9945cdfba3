//! Every kind of damage to every kind of file: what is lost is named, and everything else is there.

#[cfg(target_os = "linux")]
mod threads;

use std::collections::BTreeMap;
use std::fs;

use tempfile::TempDir;

use super::*;
use crate::store::conformance::copy_folder;
use crate::store::loss::{lists, quarantine_of};
use crate::store::view::pages;

/// Entries of one round in each space.
const ENTRIES: usize = 300;
const ROUNDS: [&str; 3] = ["old", "new", "journal"];
const SPACES: [Space; 4] = [
    Space::Table(Table::Config),
    Space::Table(Table::History),
    Space::Shelf(Shelf::Session),
    Space::Shelf(Shelf::Queue),
];

impl FjallEngine {
    /// Everything is in sorted files then.
    fn flush(&self) {
        let opened = self.opened.read();
        let opened = opened.as_ref().unwrap();
        for space in SPACES {
            opened.keyspace(space).rotate_memtable_and_wait().unwrap();
        }
    }
}

type Content = BTreeMap<(Space, Vec<u8>), Bytes>;

fn open_engine(store: &Path, data_loss: DataLoss) -> Result<FjallEngine, StoreError> {
    FjallEngine::open(store, Clock::system(), data_loss)
}

fn content(engine: &FjallEngine) -> Content {
    let (view, mut content) = (engine.view().unwrap(), Content::new());
    for space in SPACES {
        let read = pages(&*view, space, b"", |key, value| {
            content.insert((space, key.to_vec()), value.clone());
            Ok::<_, StoreError>(())
        });
        read.unwrap();
    }
    content
}

/// A data folder of which the first two rounds are in sorted files, one each, and the third in the journal, a batch
/// for each space.
struct World {
    folder: TempDir,
    content: Content,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("store");
        let mut engine = open_engine(&store, DataLoss::Refused).unwrap();
        for round in ROUNDS {
            if round == "journal" {
                // As if it had grown: the engine removes journals of which everything is in sorted files.
                drop(engine);
                change(&mend::journals(&store).unwrap()[0], Vec::clear);
                engine = open_engine(&store, DataLoss::Refused).unwrap();
            }
            for space in SPACES {
                engine.apply(&batch(space, round)).unwrap();
            }
            if round != "journal" {
                engine.flush();
            }
        }
        let content = content(&engine);
        assert_eq!(content.len(), ENTRIES * ROUNDS.len() * SPACES.len());
        Self { folder, content }
    }

    fn copy(&self) -> Self {
        let folder = tempfile::tempdir().unwrap();
        copy_folder(self.folder.path(), folder.path());
        let content = self.content.clone();
        Self { folder, content }
    }

    fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    fn journal(&self) -> PathBuf {
        mend::journals(&self.store()).unwrap().pop().unwrap()
    }

    fn keyspace(&self, space: Space) -> PathBuf {
        let folders = fs::read_dir(self.store().join("keyspaces")).unwrap();
        let folders: Vec<_> = folders.map(|folder| folder.unwrap().path()).collect();
        let engine = open_engine(&self.store(), DataLoss::Refused).unwrap();
        let id = engine.opened.read().as_ref().unwrap().keyspace(space).id();
        let found = folders
            .into_iter()
            .find(|folder| folder.ends_with(id.to_string()));
        found.unwrap()
    }

    /// Its sorted files, the oldest first.
    fn tables(&self, space: Space) -> Vec<PathBuf> {
        let keyspace = self.keyspace(space);
        let mut numbers = catalog::table_files(&keyspace).unwrap();
        numbers.sort_unstable();
        numbers
            .into_iter()
            .map(|number| catalog::table_file(&keyspace, number))
            .collect()
    }

    /// Opens it, and answers what is missing; the rest must be as it was.
    fn missing(&self, data_loss: DataLoss) -> Vec<(Space, Vec<u8>)> {
        let engine = open_engine(&self.store(), data_loss).unwrap();
        let found = content(&engine);
        for (key, value) in &found {
            assert_eq!(self.content.get(key), Some(value), "{key:?}");
        }
        let missing = self.content.keys().filter(|key| !found.contains_key(*key));
        let missing = missing.cloned().collect();
        let named = self.losses().len() as u64;
        assert_eq!(engine.damaged_files.get(), named, "what is named is counted");
        drop(engine);
        // It stays as it is, and nothing is named twice.
        let engine = open_engine(&self.store(), DataLoss::Refused).unwrap();
        assert_eq!((content(&engine), engine.damaged_files.get()), (found, 0));
        missing
    }

    fn losses(&self) -> Vec<Loss> {
        let lists = lists(&self.store()).unwrap();
        lists.into_iter().flat_map(|(_, losses)| losses).collect()
    }

    /// Does not open before an operator says so, and changes nothing until then.
    fn assert_refused(&self) {
        let before = files(self.folder.path());
        let refused = open_engine(&self.store(), DataLoss::Refused).unwrap_err();
        assert!(matches!(refused, StoreError::Damaged(_)), "{refused}");
        assert!(refused.to_string().contains("--accept-data-loss"), "{refused}");
        assert_eq!(files(self.folder.path()), before, "nothing is changed");
    }
}

fn batch(space: Space, round: &str) -> Batch {
    let pairs = (0..ENTRIES).map(|number| {
        let key = format!("org_a/{round}/{number:05}").into_bytes();
        let value = format!("{} {round} {number} ", space.name())
            .repeat(4)
            .into_bytes();
        ((space, key), Some(value))
    });
    Batch {
        pairs: pairs.collect(),
        ..Batch::default()
    }
}

fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let bytes = fs::read(&path).unwrap();
            found.insert(path, bytes);
        }
    }
    found
}

fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

/// Where some text stands in a file for the last time.
fn find(bytes: &[u8], text: &str) -> usize {
    let found = bytes
        .windows(text.len())
        .rposition(|window| window == text.as_bytes());
    found.unwrap_or_else(|| panic!("{text} is not there"))
}

#[test]
fn a_journal_that_was_cut_off_loses_its_last_commit_and_that_is_no_damage() {
    let world = World::new();
    let last = find(&fs::read(world.journal()).unwrap(), "queue journal 0 ");
    let damages: [fn(&mut Vec<u8>, usize); 3] = [
        |bytes, last| bytes.truncate(last),
        |bytes, last| bytes.truncate(last + 5_000),
        // The end was written, and what comes before it was not.
        |bytes, last| bytes[last..last + 4_096].fill(0),
    ];
    for damage in damages {
        let world = world.copy();
        change(&world.journal(), |bytes| damage(bytes, last));
        let missing = world.missing(DataLoss::Refused);
        assert_eq!(missing.len(), ENTRIES);
        assert!(
            missing
                .iter()
                .all(|(space, _)| *space == Space::Shelf(Shelf::Queue))
        );
        assert_eq!(world.losses(), []);
        assert!(!quarantine_of(&world.store()).exists());
    }
}

#[test]
fn a_damaged_commit_in_a_journal_takes_no_other_with_it() {
    let world = World::new();
    change(&world.journal(), |bytes| {
        let at = find(bytes, "session journal 7 ");
        bytes[at] ^= 1;
    });
    let missing = world.missing(DataLoss::Refused);
    assert_eq!(missing.len(), ENTRIES);
    assert!(
        missing
            .iter()
            .all(|(space, _)| *space == Space::Shelf(Shelf::Session))
    );
    let [loss] = &world.losses()[..] else {
        panic!("one loss")
    };
    assert_eq!(loss.holds, ["session"]);
    assert!(loss.bytes_lost > 4 * ENTRIES as u64 && loss.written_at.is_some());
    assert!(
        loss.kept_as.as_ref().unwrap().exists(),
        "the file as it was is kept"
    );
}

#[test]
fn the_last_commit_of_a_journal_is_damaged_and_not_cut_off_if_it_was_written_to_its_end() {
    let world = World::new();
    change(&world.journal(), |bytes| {
        let at = find(bytes, "queue journal 7 ");
        bytes[at] ^= 1;
    });
    assert_eq!(world.missing(DataLoss::Refused).len(), ENTRIES);
    assert_eq!(world.losses()[0].holds, ["queue"]);
}

#[test]
fn a_damaged_commit_of_accounts_has_to_be_accepted() {
    let world = World::new();
    change(&world.journal(), |bytes| {
        let at = find(bytes, "config journal 7 ");
        bytes[at] ^= 1;
    });
    world.assert_refused();
    let missing = world.missing(DataLoss::Accepted);
    assert_eq!(missing.len(), ENTRIES);
    assert_eq!(world.losses()[0].holds, ["config"]);
}

#[test]
fn a_damaged_block_of_a_sorted_file_takes_no_other_with_it() {
    let world = World::new();
    let queue = Space::Shelf(Shelf::Queue);
    change(&world.tables(queue)[0], |bytes| {
        let at = find(bytes, "queue old 150 ");
        bytes[at] ^= 1;
    });
    let missing = world.missing(DataLoss::Refused);
    assert!(missing.contains(&(queue, b"org_a/old/00150".to_vec())));
    assert!(missing.len() < ENTRIES / 2, "{} are missing", missing.len());
    let [loss] = &world.losses()[..] else {
        panic!("one loss")
    };
    assert_eq!(loss.holds, ["queue"]);
    assert_eq!(loss.entries_lost, Some(missing.len() as u64));
    assert_eq!(loss.entries_saved, Some((ENTRIES - missing.len()) as u64));
    assert!(loss.bytes_lost > 0 && loss.kept_as.as_ref().unwrap().exists());
}

#[test]
fn of_sorted_files_that_are_missing_or_cut_off_or_empty_the_rest_is_used() {
    let world = World::new();
    let queue = Space::Shelf(Shelf::Queue);
    let file = world.tables(queue)[1]
        .strip_prefix(world.folder.path())
        .unwrap()
        .to_owned();
    let length = fs::metadata(world.folder.path().join(&file)).unwrap().len();
    type Damage = fn(&Path, u64);
    let damages: [(Damage, usize); 4] = [
        (|file, _| fs::remove_file(file).unwrap(), ENTRIES),
        (|file, _| change(file, |bytes| bytes.fill(0)), ENTRIES),
        (|file, _| change(file, Vec::clear), ENTRIES),
        (
            |file, length| change(file, |bytes| bytes.truncate(length as usize / 2)),
            ENTRIES - 1,
        ),
    ];
    for (damage, lost_max) in damages {
        let world = world.copy();
        damage(&world.folder.path().join(&file), length);
        let missing = world.missing(DataLoss::Refused);
        assert!(
            !missing.is_empty() && missing.len() <= lost_max,
            "{}",
            missing.len()
        );
        assert!(
            missing
                .iter()
                .all(|(space, key)| *space == queue && key.starts_with(b"org_a/new/"))
        );
        assert_eq!(world.losses()[0].holds, ["queue"]);
    }
}

#[test]
fn damage_behind_the_entries_of_a_sorted_file_costs_none() {
    let world = World::new();
    for from_end in [1, 40, 200, 700] {
        let world = world.copy();
        let queue = world.tables(Space::Shelf(Shelf::Queue));
        change(&queue[0], |bytes| {
            let at = bytes.len() - from_end;
            bytes[at] ^= 1;
        });
        assert_eq!(world.missing(DataLoss::Refused), []);
        assert_eq!(world.losses().len(), 1);
    }
}

#[test]
fn a_damaged_sorted_file_of_accounts_has_to_be_accepted() {
    let world = World::new();
    fs::remove_file(&world.tables(Space::Table(Table::Config))[0]).unwrap();
    world.assert_refused();
    assert_eq!(world.missing(DataLoss::Accepted).len(), ENTRIES);
}

#[test]
fn where_the_list_of_files_is_damaged_the_keyspace_begins_empty() {
    let world = World::new();
    let damages: [fn(&Path); 2] = [
        |keyspace| fs::remove_file(keyspace.join("current")).unwrap(),
        |keyspace| {
            for entry in fs::read_dir(keyspace).unwrap() {
                let path = entry.unwrap().path();
                if path.file_name().unwrap().to_str().unwrap().starts_with('v') {
                    change(&path, |bytes| bytes.truncate(bytes.len() / 2));
                }
            }
        },
    ];
    for damage in damages {
        for (space, is_grave) in [
            (Space::Table(Table::History), false),
            (Space::Shelf(Shelf::Queue), true),
        ] {
            let world = world.copy();
            damage(&world.keyspace(space));
            let data_loss = if is_grave {
                world.assert_refused();
                DataLoss::Accepted
            } else {
                DataLoss::Refused
            };
            let missing = world.missing(data_loss);
            assert_eq!(missing.len(), 2 * ENTRIES, "the journal has the rest");
            assert!(missing.iter().all(|(of, _)| *of == space));
            assert_eq!(world.losses()[0].holds, [space.name()]);
        }
    }
}

#[test]
fn a_store_that_cannot_be_opened_is_put_aside_as_a_whole_when_that_is_accepted() {
    let world = World::new();
    fs::remove_file(world.store().join("keyspaces/0/current")).unwrap();
    world.assert_refused();
    assert_eq!(world.missing(DataLoss::Accepted).len(), world.content.len());
    let losses = world.losses();
    assert_eq!(losses[0].holds, ["everything"]);
    let kept = losses[0].kept_as.clone().unwrap();
    assert!(kept.join("keyspaces/0").exists(), "all of it is kept");
}

#[test]
fn the_mark_of_the_engine_is_written_anew() {
    let world = World::new();
    fs::remove_file(world.store().join(VERSION_FILE)).unwrap();
    assert_eq!(world.missing(DataLoss::Refused), []);
    assert_eq!(world.losses().len(), 1);
}

#[test]
fn a_store_of_a_newer_engine_is_refused_and_stays_as_it_is() {
    let world = World::new();
    fs::write(world.store().join(VERSION_FILE), b"FJL\x04").unwrap();
    for data_loss in [DataLoss::Refused, DataLoss::Accepted] {
        let refused = open_engine(&world.store(), data_loss).unwrap_err();
        assert!(
            refused.to_string().contains("use the program that wrote them"),
            "{refused}"
        );
    }
    assert!(!quarantine_of(&world.store()).exists());
}

#[test]
fn whatever_is_damaged_nothing_is_lost_without_a_word() {
    const CASES: u64 = 48;
    let world = World::new();
    let all: Vec<_> = files(&world.store()).into_keys().collect();
    let mut state = 1_u64;
    let mut random = move |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let (mut opened, mut refused) = (0, 0);
    for case in 0..CASES {
        let (world, file) = (world.copy(), &all[random(all.len())]);
        let file = world
            .folder
            .path()
            .join(file.strip_prefix(world_folder(&all)).unwrap());
        change(&file, |bytes| {
            // Journals are longer than what is in them.
            let length = bytes
                .iter()
                .rposition(|byte| *byte != 0)
                .map_or(0, |last| last + 1);
            if length == 0 {
                return;
            }
            let at = random(length);
            match case % 4 {
                0 => bytes[at] ^= 1 << random(8),
                1 => bytes[at] = random(256) as u8,
                2 => bytes.truncate(at),
                _ => bytes[at..].fill(0),
            }
        });
        let Ok(engine) = open_engine(&world.store(), DataLoss::Refused) else {
            refused += 1;
            continue;
        };
        opened += 1;
        let found = content(&engine);
        for (key, value) in &found {
            assert_eq!(world.content.get(key), Some(value), "case {case}: {key:?}");
        }
        if found.len() < world.content.len() {
            let is_tail = file.extension().is_some_and(|extension| extension == "jnl");
            assert!(
                is_tail || !world.losses().is_empty(),
                "case {case}: {}",
                file.display()
            );
        }
    }
    assert!(opened > 5 && refused > 5, "{opened} opened, {refused} refused");
}

/// The folder that all files are in.
fn world_folder(files: &[PathBuf]) -> &Path {
    let store = files
        .iter()
        .find_map(|file| file.ancestors().find(|folder| folder.ends_with("store")));
    store.and_then(Path::parent).unwrap()
}
