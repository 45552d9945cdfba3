//! What a backup holds comes back; what is not as it was written is refused before anything is changed.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::read::{Item, check, read};
use super::restore::{Existing, Wanted as Restoring, restore};
use super::write::{Wanted, write};
use super::*;
use crate::first_run::folder::store_in;
use crate::store::stopped::Stopped;
use crate::store::view::{Space, pages};
use crate::store::{Shelf, Table};

struct World {
    folder: TempDir,
}

impl World {
    /// Two organizations, of which the second has much.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Stopped::create(&store_in(folder.path())).unwrap();
        for (org, entries) in [("org_a", 3), ("org_b", 9_000_u32)] {
            let account = Space::account_key(org);
            let mut put =
                |space, key: Vec<u8>, value: &str| store.write(space, key, Some(value.into())).unwrap();
            put(Space::Table(Table::Config), account, "{}");
            put(
                Space::Table(Table::Config),
                format!("{org}/user/ada").into(),
                "secret",
            );
            for number in 0..entries {
                let key = [format!("{org}/").as_bytes(), &number.to_be_bytes()].concat();
                put(
                    Space::Shelf(Shelf::Queue),
                    key,
                    &format!("{org} {number} ").repeat(20),
                );
            }
        }
        store
            .write(
                Space::Shelf(Shelf::Retained),
                b"org_a/x".to_vec(),
                Some(b"kept".to_vec()),
            )
            .unwrap();
        store.write_out().unwrap();
        drop(store);
        fs::create_dir(folder.path().join("tls")).unwrap();
        fs::write(folder.path().join("tls/ca.pem"), "certificate").unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn backup(&self, org: Option<&str>) -> Result<PathBuf, BackupError> {
        let path = self.path("backup");
        let store = Stopped::open(&store_in(self.folder.path())).unwrap();
        let wanted = Wanted {
            org,
            data_dir: Some(self.folder.path()),
            now: WallTime::from_unix_micros(7),
        };
        write(&*store.view()?, wanted, fs::File::create(&path).unwrap())?;
        Ok(path)
    }
}

fn content(data_dir: &Path) -> Vec<(Space, Vec<u8>, Vec<u8>)> {
    let store = Stopped::open(&store_in(data_dir)).unwrap();
    let (view, mut found) = (store.view().unwrap(), Vec::new());
    for space in Space::ALL {
        let read = pages(&*view, space, b"", |key, value| {
            found.push((space, key.to_vec(), value.to_vec()));
            Ok::<_, StoreError>(())
        });
        read.unwrap();
    }
    found
}

fn of<'a>(from: &'a Path, data_dir: &'a Path, org: Option<&'a str>) -> Restoring<'a> {
    Restoring {
        from,
        data_dir,
        org,
        existing: Existing::Stays,
    }
}

#[test]
fn everything_comes_back_with_the_files_beside_the_store() {
    let world = World::new();
    let path = world.backup(None).unwrap();
    let (head, end) = check(&path).unwrap();
    assert_eq!(
        (head.organization, head.created_at),
        (None, WallTime::from_unix_micros(7))
    );
    let to = world.path("to");
    let restored = restore(of(&path, &to, None)).unwrap();
    let before = content(world.folder.path());
    assert_eq!(content(&to), before);
    assert_eq!(end.entries, before.len() as u64);
    assert_eq!(restored.entries, 9_008, "the store's own facts are not counted");
    assert_eq!(fs::read(to.join("tls/ca.pem")).unwrap(), b"certificate");
    let again = restore(of(&path, &to, None)).unwrap_err();
    assert!(matches!(again, BackupError::NotEmpty(_)), "{again}");
}

#[test]
fn one_organization_comes_back_alone_or_into_a_store_of_others() {
    let world = World::new();
    let path = world.backup(Some("org_a")).unwrap();
    let alone = world.path("alone");
    restore(of(&path, &alone, None)).unwrap();
    let is_a =
        |(space, key, _): &(Space, Vec<u8>, Vec<u8>)| *space == Space::Meta || space.is_of("org_a", key);
    let found = content(&alone);
    assert_eq!(
        found.len(),
        content(world.folder.path()).iter().filter(|it| is_a(it)).count()
    );
    assert!(found.iter().all(is_a) && !alone.join("tls/ca.pem").exists());

    let whole = content(world.folder.path());
    let refused = restore(of(&path, world.folder.path(), Some("org_a"))).unwrap_err();
    assert!(matches!(refused, BackupError::OrgExists(_)), "{refused}");
    assert_eq!(content(world.folder.path()), whole);
    let mut store = Stopped::open(&store_in(world.folder.path())).unwrap();
    let retained = Space::Shelf(Shelf::Retained);
    store
        .write(retained, b"org_a/x".to_vec(), Some(b"later".to_vec()))
        .unwrap();
    store
        .write(retained, b"org_a/y".to_vec(), Some(b"later".to_vec()))
        .unwrap();
    store.write_out().unwrap();
    drop(store);
    let replacing = Restoring {
        existing: Existing::IsReplaced,
        ..of(&path, world.folder.path(), Some("org_a"))
    };
    restore(replacing).unwrap();
    assert_eq!(
        content(world.folder.path()),
        whole,
        "what came later is gone, others stay"
    );
}

#[test]
fn what_there_is_not_is_refused() {
    let world = World::new();
    let unknown = world.backup(Some("org_c")).unwrap_err();
    assert!(matches!(unknown, BackupError::UnknownOrg(_)), "{unknown}");
    let path = world.backup(None).unwrap();
    let to = world.path("to");
    let refused = restore(of(&path, &to, Some("org_c"))).unwrap_err();
    assert!(matches!(refused, BackupError::NoSuchOrg(_)), "{refused}");
    assert!(!to.exists());
    fs::write(&path, b"something else").unwrap();
    assert!(matches!(check(&path), Err(BackupError::NoBackup)));
    fs::write(&path, b"CSBACKUP\x02").unwrap();
    assert!(matches!(check(&path), Err(BackupError::Version(2))));
}

#[test]
fn a_backup_that_is_cut_off_or_damaged_anywhere_is_refused() {
    let world = World::new();
    let path = world.backup(None).unwrap();
    let whole = fs::read(&path).unwrap();
    let to = world.path("to");
    let places = (0..400)
        .chain((400..whole.len()).step_by(997))
        .chain([whole.len() - 1]);
    for at in places {
        fs::write(&path, &whole[..at]).unwrap();
        check(&path).unwrap_err();
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        fs::write(&path, &damaged).unwrap();
        check(&path).unwrap_err();
    }
    restore(of(&path, &to, None)).unwrap_err();
    assert!(!to.exists(), "nothing is changed");
    fs::write(&path, [&whole[..], b"more"].concat()).unwrap();
    check(&path).unwrap_err();
    fs::write(&path, &whole).unwrap();
    check(&path).unwrap();
}

#[test]
fn a_block_that_is_missing_is_noticed() {
    let world = World::new();
    let path = world.backup(None).unwrap();
    let mut blocks = 0;
    read(&path, |item| {
        blocks += u32::from(matches!(item, Item::File { .. }));
        Ok(())
    })
    .unwrap();
    assert_eq!(blocks, 1);
    let whole = fs::read(&path).unwrap();
    // Behind the head: its length stands in its header.
    let head_bytes = u32::from_be_bytes(whole[14..18].try_into().unwrap()) as usize;
    let first = 9 + 41 + head_bytes;
    let first_bytes = u32::from_be_bytes(whole[first + 5..first + 9].try_into().unwrap()) as usize;
    let without = [&whole[..first], &whole[first + 41 + first_bytes..]].concat();
    fs::write(&path, without).unwrap();
    let refused = check(&path).unwrap_err();
    assert!(
        refused.to_string().contains("something of it is missing"),
        "{refused}"
    );
}
