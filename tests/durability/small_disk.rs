//! A disk of a few megabytes: a file system of its own in a file, or in memory, whichever this system lets us have. If it
//! lets us have neither, the length of the broker's files is limited instead.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use cloudsignal_tests::broker::{Broker, BrokerOptions};
use tempfile::TempDir;

/// What lies on it from the start, so that room can be made later.
const FILLED_BYTES: usize = 12 * 1024 * 1024;
/// What is written at once to fill the rest, from coarse to fine.
const FILLING_BYTES: [usize; 3] = [64 * 1024, 4 * 1024, 512];

#[derive(Debug)]
pub(crate) struct SmallDisk {
    scratch: TempDir,
    kind: Kind,
    bytes: u64,
}

/// What limits it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// ext4 in a file.
    Loop,
    /// A file system in memory.
    Memory,
    /// No file may be longer.
    Limit,
}

impl SmallDisk {
    /// The first kind that works.
    pub(crate) fn mount(bytes: u64) -> Self {
        let scratch = TempDir::new().expect("a temporary folder can be made");
        let mut disk = Self {
            scratch,
            kind: Kind::Limit,
            bytes,
        };
        fs::create_dir(disk.folder()).expect("a fresh folder takes another");
        if disk.mount_loop() {
            disk.kind = Kind::Loop;
        } else if disk.mount_memory() {
            disk.kind = Kind::Memory;
        }
        if disk.kind != Kind::Limit {
            let filled = fs::write(disk.filling(), vec![1; FILLED_BYTES]);
            filled.expect("an empty disk takes a file");
        }
        disk
    }

    fn mount_loop(&self) -> bool {
        let file = self.scratch.path().join("disk");
        let made = File::create(&file).and_then(|file| file.set_len(self.bytes));
        made.is_ok()
            && succeeds(Command::new("mkfs.ext4").args(["-q", "-F", "-m", "0"]).arg(&file))
            && succeeds(
                Command::new("mount")
                    .args(["-o", "loop"])
                    .arg(&file)
                    .arg(self.folder()),
            )
    }

    fn mount_memory(&self) -> bool {
        let size = format!("size={}", self.bytes);
        let options = ["-t", "tmpfs", "-o", &size, "tmpfs"];
        succeeds(Command::new("mount").args(options).arg(self.folder()))
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.scratch.path().join("mounted")
    }

    pub(crate) const fn kind(&self) -> &'static str {
        match self.kind {
            Kind::Loop => "ext4 in a file",
            Kind::Memory => "a file system in memory",
            Kind::Limit => "a limit of the length of files",
        }
    }

    /// Lets the broker feel it, once it is running: [`SmallDisk::impose`].
    pub(crate) fn limit(&self, options: BrokerOptions) -> BrokerOptions {
        match self.kind {
            Kind::Loop | Kind::Memory => options,
            Kind::Limit => {
                // What is too long fails, instead of a signal that ends the process.
                let ignoring = "trap '' XFSZ; exec \"$0\" \"$@\"";
                options.under(["sh", "-c", ignoring].map(str::to_owned).to_vec())
            }
        }
    }

    /// From here on there is a limit. Disks have it from the start.
    pub(crate) fn impose(&self, broker: &Broker) {
        if self.kind == Kind::Limit {
            Self::set_limit(broker, &format!("--fsize={}:unlimited", self.bytes));
        }
    }

    fn set_limit(broker: &Broker, limit: &str) {
        let process = format!("--pid={}", broker.process_id());
        let is_set = succeeds(Command::new("prlimit").args([&process, limit]));
        assert!(is_set, "the length of our own child's files can be limited");
    }

    /// Puts a file on it that takes the room that is left.
    pub(crate) fn fill_up(&self) {
        if self.kind == Kind::Limit {
            return;
        }
        let file = File::options().append(true).create(true).open(self.filling());
        let mut file = file.expect("the disk has its file already");
        for bytes in FILLING_BYTES {
            while file
                .write_all(&vec![1; bytes])
                .and_then(|()| file.sync_data())
                .is_ok()
            {}
        }
    }

    fn filling(&self) -> PathBuf {
        self.folder().join("filling")
    }

    /// Removes part of what fills it, or the limit.
    pub(crate) fn make_room(&self, broker: &Broker) {
        match self.kind {
            Kind::Loop | Kind::Memory => fs::remove_file(self.filling()).expect("it can be removed"),
            Kind::Limit => Self::set_limit(broker, "--fsize=unlimited:unlimited"),
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        if self.kind != Kind::Limit {
            succeeds(Command::new("umount").arg("-l").arg(self.folder()));
        }
    }
}

/// Whether a program of the system is there and does what it is told.
fn succeeds(command: &mut Command) -> bool {
    let command = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
