//! A disk of a few megabytes: a file system of its own in a file, or in memory, whichever this system lets us have. If it
//! lets us have neither, the length of the broker's files is limited instead.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cloudsignal_tests::broker::{Broker, BrokerOptions};
use tempfile::TempDir;

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
        disk
    }

    fn mount_loop(&self) -> bool {
        let file = self.scratch.path().join("disk");
        let made = fs::File::create(&file).and_then(|file| file.set_len(self.bytes));
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

    /// Removes the ballast, or the limit.
    pub(crate) fn make_room(&self, ballast: &Path, broker: &Broker) {
        match self.kind {
            Kind::Loop | Kind::Memory => fs::remove_file(ballast).expect("the ballast can be removed"),
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
