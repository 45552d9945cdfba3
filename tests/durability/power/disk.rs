//! A disk, call by call: what is certainly on it, and what may be lost or come in another order if the power goes now.
//!
//! - Bytes are safe once the file was synced; until then each write may be there, be missing, or be there in part, by
//!   sectors, whatever becomes of its neighbours.
//! - What a failed sync was to cover stays uncertain for ever, whatever is synced later: the system takes its pages for
//!   written.
//! - A name is safe once its folder was synced. Until then names come and go in the order of the calls (as journals of
//!   file systems keep it), up to any of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cloudsignal_tests::random::Random;

use super::image::{Image, What};
use super::trace::Event;
use super::written::{FileOnDisk, State};

/// A disk below one folder.
#[derive(Clone, Debug)]
pub(crate) struct Disk {
    root: PathBuf,
    files: Vec<FileOnDisk>,
    /// Names as the running system sees them.
    names: BTreeMap<PathBuf, Node>,
    /// Names that are safe.
    safe_names: BTreeMap<PathBuf, Node>,
    /// Changes of names since then, in order.
    unsafe_names: Vec<NameChange>,
    open: BTreeMap<i32, Open>,
}

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Node {
    Folder,
    File(usize),
}

#[derive(Clone, Debug)]
struct NameChange {
    /// The folder whose sync makes it safe.
    folder: PathBuf,
    name: PathBuf,
    /// `None`: it goes.
    becomes: Option<Node>,
    /// The other name of a renaming, which goes with it.
    leaves: Option<PathBuf>,
}

#[derive(Clone, Debug)]
struct Open {
    file: Option<usize>,
    path: PathBuf,
    at: u64,
    appends: bool,
}

/// What the power leaves of what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// Nothing.
    Nothing,
    /// Everything: the end of the process alone.
    Everything,
    /// Any writes, in any order.
    AnyWrites,
    /// Any sectors.
    AnySectors,
    /// The first writes, the last of them in part.
    TornEnd,
}

impl Left {
    pub(crate) const ALL: [Self; 5] = [
        Self::Nothing,
        Self::Everything,
        Self::TornEnd,
        Self::AnyWrites,
        Self::AnySectors,
    ];
}

impl Disk {
    /// An empty folder.
    pub(crate) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            files: Vec::new(),
            names: BTreeMap::new(),
            safe_names: BTreeMap::new(),
            unsafe_names: Vec::new(),
            open: BTreeMap::new(),
        }
    }

    /// Takes a call in. Answers whether it has changed what the disk holds or may lose.
    pub(crate) fn take(&mut self, event: &Event) -> bool {
        match event {
            Event::Opened { fd, path, how } => {
                let is_new = how.creates && self.is_ours(path) && !self.names.contains_key(path);
                if is_new {
                    self.files.push(FileOnDisk::default());
                    self.name(path, Some(Node::File(self.files.len() - 1)), None);
                }
                let file = match self.names.get(path) {
                    Some(Node::File(file)) => Some(*file),
                    Some(Node::Folder) | None => None,
                };
                if let Some(file) = file.filter(|_| how.empties && !is_new) {
                    self.files[file].change(What::Len(0));
                }
                let opened = Open {
                    file,
                    path: path.clone(),
                    at: 0,
                    appends: how.appends,
                };
                self.open.insert(*fd, opened);
                is_new || (how.empties && file.is_some())
            }
            Event::Copied { fd, as_fd } => {
                let copy = self.open.get(fd).cloned();
                match copy {
                    Some(copy) => _ = self.open.insert(*as_fd, copy),
                    None => _ = self.open.remove(as_fd),
                }
                false
            }
            Event::Sought { fd, at } => {
                if let Some(open) = self.open.get_mut(fd) {
                    open.at = *at;
                }
                false
            }
            Event::Wrote { fd, at, bytes } => self.write(*fd, *at, bytes),
            Event::Sized { fd, len } => self.change(*fd, What::Len(*len)),
            Event::Synced { fd } => self.sync(*fd),
            Event::SyncFailed { fd } => self.fail_sync(*fd),
            Event::Renamed { from, to } => {
                let node = self.names.get(from).copied();
                let moved = node.filter(|_| self.is_ours(to));
                if moved.is_some() {
                    self.name(to, moved, Some(from.clone()));
                }
                moved.is_some()
            }
            Event::Removed { path } => {
                let is_there = self.names.contains_key(path);
                if is_there {
                    self.name(path, None, None);
                }
                is_there
            }
            Event::MadeFolder { path } => {
                let is_ours = self.is_ours(path);
                if is_ours {
                    self.name(path, Some(Node::Folder), None);
                }
                is_ours
            }
            Event::Sent { .. } | Event::Received { .. } => false,
        }
    }

    fn is_ours(&self, path: &Path) -> bool {
        path.starts_with(&self.root) && path != self.root
    }

    fn name(&mut self, name: &Path, becomes: Option<Node>, leaves: Option<PathBuf>) {
        let folder = name.parent().map(Path::to_owned).unwrap_or_default();
        let change = NameChange {
            folder,
            name: name.to_owned(),
            becomes,
            leaves,
        };
        change.apply(&mut self.names);
        self.unsafe_names.push(change);
    }

    fn write(&mut self, fd: i32, at: Option<u64>, bytes: &[u8]) -> bool {
        let Some(open) = self.open.get_mut(&fd) else {
            return false;
        };
        let Some(file) = open.file else { return false };
        let len = self.files[file].len;
        let place = at.unwrap_or(if open.appends { len } else { open.at });
        if at.is_none() {
            open.at = place + bytes.len() as u64;
        }
        let bytes = bytes.to_vec();
        self.files[file].change(What::Bytes { at: place, bytes });
        true
    }

    fn change(&mut self, fd: i32, what: What) -> bool {
        let file = self.open.get(&fd).and_then(|open| open.file);
        if let Some(file) = file {
            self.files[file].change(what);
        }
        file.is_some()
    }

    fn sync(&mut self, fd: i32) -> bool {
        let Some(open) = self.open.get(&fd) else {
            return false;
        };
        if let Some(file) = open.file {
            self.files[file].settle(State::Safe);
            return true;
        }
        // A journal keeps the order: everything up to the last change in this folder is safe.
        let folder = open.path.clone();
        let Some(last) = self.unsafe_names.iter().rposition(|it| it.folder == folder) else {
            return false;
        };
        for change in self.unsafe_names.drain(..=last) {
            change.apply(&mut self.safe_names);
        }
        true
    }

    fn fail_sync(&mut self, fd: i32) -> bool {
        let file = self.open.get(&fd).and_then(|open| open.file);
        if let Some(file) = file {
            self.files[file].settle(State::Doubtful);
        }
        file.is_some()
    }

    /// What the disk may hold after the power was gone.
    pub(crate) fn image(&self, left: Left, dice: &mut Random) -> Image {
        let mut names = self.safe_names.clone();
        let kept = match left {
            Left::Nothing => 0,
            Left::Everything => self.unsafe_names.len(),
            Left::AnyWrites | Left::AnySectors | Left::TornEnd => {
                let most = self.unsafe_names.len() as u64;
                usize::try_from(dice.between(0, most)).unwrap_or(0)
            }
        };
        for change in self.unsafe_names.iter().take(kept) {
            change.apply(&mut names);
        }
        let mut image = Image::default();
        for (path, node) in names {
            // What lies in a folder that is not there is not there either.
            let below = path.strip_prefix(&self.root);
            let below = below.expect("only names below the root are kept").to_owned();
            match node {
                Node::Folder => image.folders.push(below),
                Node::File(file) => _ = image.files.insert(below, self.files[file].content(left, dice)),
            }
        }
        image
    }
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<PathBuf, Node>) {
        if let Some(leaves) = &self.leaves {
            names.remove(leaves);
        }
        match self.becomes {
            Some(node) => _ = names.insert(self.name.clone(), node),
            None => _ = names.remove(&self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::trace::How;
    use super::*;

    fn disk(calls: &[Event]) -> Disk {
        let mut disk = Disk::new(Path::new("/d"));
        let how = How {
            creates: true,
            ..How::default()
        };
        let open = |fd, path: &str, how| Event::Opened {
            fd,
            path: path.into(),
            how,
        };
        disk.take(&open(3, "/d", How::default()));
        disk.take(&open(4, "/d/a", how));
        disk.take(&Event::Synced { fd: 3 });
        calls.iter().for_each(|call| _ = disk.take(call));
        disk
    }

    fn wrote(bytes: &[u8]) -> Event {
        Event::Wrote {
            fd: 4,
            at: None,
            bytes: bytes.to_vec(),
        }
    }

    fn content(disk: &Disk, left: Left) -> Vec<u8> {
        let image = disk.image(left, &mut Random::new(1));
        image.files[Path::new("a")].bytes.clone()
    }

    #[test]
    fn what_is_not_synced_may_be_lost() {
        let synced = Event::Synced { fd: 4 };
        let disk = disk(&[wrote(b"safe"), synced, wrote(b"lost")]);
        assert_eq!(content(&disk, Left::Nothing), b"safe");
        assert_eq!(content(&disk, Left::Everything), b"safelost");
    }

    #[test]
    fn what_a_failed_sync_was_to_cover_stays_in_doubt() {
        let synced = Event::Synced { fd: 4 };
        let failed = Event::SyncFailed { fd: 4 };
        let disk = disk(&[wrote(b"doubt"), failed, wrote(b"safe"), synced]);
        assert_eq!(content(&disk, Left::Nothing), b"\0\0\0\0\0safe");
    }

    #[test]
    fn a_new_name_may_be_lost_until_its_folder_is_synced() {
        let renamed = Event::Renamed {
            from: "/d/a".into(),
            to: "/d/b".into(),
        };
        let mut disk = disk(&[renamed]);
        let names = |disk: &Disk, left| {
            let image = disk.image(left, &mut Random::new(1));
            image.files.into_keys().collect::<Vec<_>>()
        };
        assert_eq!(names(&disk, Left::Nothing), [Path::new("a")]);
        assert_eq!(names(&disk, Left::Everything), [Path::new("b")]);
        disk.take(&Event::Synced { fd: 3 });
        assert_eq!(names(&disk, Left::Nothing), [Path::new("b")]);
    }
}
