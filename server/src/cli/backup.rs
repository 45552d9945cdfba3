//! `cloudsignal backup` and `cloudsignal restore`.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use cloudsignal_core::Instant;
use serde_json::{Value, json};

use super::admin::{AdminAccess, download};
use super::exit::{Exit, Failure};
use super::output::{Output, remark};
use super::serve::DATA_DIR_DEFAULT;
use crate::backup::read::check;
use crate::backup::restore::{Existing, Wanted as Restoring, restore as restore_from};
use crate::backup::write::{Wanted, write};
use crate::backup::{BackupError, End, Head};
use crate::clock::Clock;
use crate::first_run::folder::store_in;
use crate::store::stopped::Stopped;

/// How often a long backup says how far it is.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);

/// What was typed after `cloudsignal backup`.
#[derive(Args, Clone, Debug)]
#[command(after_help = BACKUP_EXAMPLES)]
pub struct BackupArgs {
    /// The file to make; its owner only may read it
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,

    /// Only this organization, by its short id
    #[arg(long, value_name = "ORG")]
    pub org: Option<String>,

    /// Data folder of the broker, which may run
    #[arg(long, value_name = "DIR", env = "CLOUDSIGNAL_DATA_DIR", default_value = DATA_DIR_DEFAULT)]
    pub data_dir: PathBuf,

    /// Print what was written as JSON
    #[arg(long)]
    pub json: bool,
}

/// What was typed after `cloudsignal restore`.
#[derive(Args, Clone, Debug)]
#[command(after_help = RESTORE_EXAMPLES)]
pub struct RestoreArgs {
    /// The backup
    #[arg(long, value_name = "FILE")]
    pub from: PathBuf,

    /// Data folder to restore into: one without a store; with --org, also that of a stopped broker
    #[arg(long, value_name = "DIR", env = "CLOUDSIGNAL_DATA_DIR", default_value = DATA_DIR_DEFAULT)]
    pub data_dir: PathBuf,

    /// Only this organization, by its short id
    #[arg(long, value_name = "ORG")]
    pub org: Option<String>,

    /// Put it in the place of the organization that is there, which goes with everything in it
    #[arg(long, requires = "org")]
    pub replace: bool,

    /// Only read the backup through, and change nothing
    #[arg(long, conflicts_with_all = ["org", "replace"])]
    pub check: bool,

    /// Print what was done as JSON
    #[arg(long)]
    pub json: bool,
}

const BACKUP_EXAMPLES: &str = "\
Examples:
  cloudsignal backup --out cloudsignal.backup
  cloudsignal backup --org org_k7xm4pqr2n5t --out workshop.backup
The broker may run: the backup is what it had stored at one moment. The file holds everything that the data folder
holds, also what is secret: password hashes, secrets of identity providers, messages, and the key of the certificate.
What organizations whose durability is `memory` hold is not stored, and so not in it.";

const RESTORE_EXAMPLES: &str = "\
Examples:
  cloudsignal restore --from cloudsignal.backup --data-dir ./restored
  cloudsignal restore --from cloudsignal.backup --data-dir ./data --org org_k7xm4pqr2n5t --replace
  cloudsignal restore --from cloudsignal.backup --check
The broker of the data folder must be stopped. The backup is read through before anything is changed.";

/// Takes a backup.
pub(super) async fn backup(args: BackupArgs) -> Result<(), Failure> {
    if args.out.exists() {
        let text = format!("{} is there already; name another file", args.out.display());
        return Err(Failure::because(Exit::Failed, text));
    }
    let partial = PathBuf::from(format!("{}.partial", args.out.display()));
    let made = make(&args, &partial).await;
    if made.is_err() {
        // What is left of it is of no use. If it cannot be removed, the failure is the better message.
        let _ = fs::remove_file(&partial);
    }
    let (head, end) = made?;
    fs::rename(&partial, &args.out).with_context(|| format!("{} cannot be made", args.out.display()))?;
    let bytes = fs::metadata(&args.out).map_or(0, |metadata| metadata.len());
    let mut answer = facts(&head, &end);
    answer["file"] = json!(args.out);
    answer["file_bytes"] = json!(bytes);
    let text = format!(
        "{}: {} entries, {bytes} bytes; it holds secrets\n",
        args.out.display(),
        end.entries
    );
    show(args.json, &answer, &text)
}

/// Writes the backup and reads it through.
async fn make(args: &BackupArgs, partial: &Path) -> Result<(Head, End), Failure> {
    match fs::remove_file(partial) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(cannot_make(partial, error)),
        Ok(()) | Err(_) => {}
    }
    let file = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(partial);
    let file = file.map_err(|error| cannot_make(partial, error))?;
    let mut to = Progress::new(BufWriter::new(file));
    let access =
        AdminAccess::read(&args.data_dir).context("the file that leads to the broker cannot be read")?;
    let running = match &access {
        None => None,
        Some(access) => Some(download(access, "/v2/backup", args.org.clone(), &mut to).await),
    };
    match running {
        Some(Ok(())) => {}
        // It was killed, and its file is left.
        Some(Err(failure)) if failure.exit() != Exit::Unreachable => return Err(failure),
        Some(Err(_)) | None => {
            let store = Stopped::open(&store_in(&args.data_dir))?;
            let wanted = Wanted {
                org: args.org.as_deref(),
                data_dir: Some(&args.data_dir),
                now: Clock::system().wall(),
            };
            write(&*store.view()?, wanted, &mut to)?;
        }
    }
    to.end().map_err(|error| cannot_make(partial, error))?;
    Ok(check(partial)?)
}

fn cannot_make(path: &Path, error: io::Error) -> Failure {
    anyhow::Error::new(error)
        .context(format!("{} cannot be written", path.display()))
        .into()
}

/// Restores a backup.
pub(super) fn restore(args: &RestoreArgs) -> Result<(), Failure> {
    if args.check {
        let (head, end) = check(&args.from)?;
        let of = head.organization.clone().unwrap_or_else(|| "everything".into());
        let text = format!(
            "complete: {of}, of {}, {} entries\n",
            head.created_at.whole_secs().rfc3339(),
            end.entries
        );
        return show(args.json, &facts(&head, &end), &text);
    }
    let existing = if args.replace {
        Existing::IsReplaced
    } else {
        Existing::Stays
    };
    let restored = restore_from(Restoring {
        from: &args.from,
        data_dir: &args.data_dir,
        org: args.org.as_deref(),
        existing,
    })?;
    let (entries, bytes) = (restored.entries, restored.bytes);
    let answer = json!({ "data_dir": args.data_dir, "entries": entries, "bytes": bytes });
    let text = format!(
        "restored {entries} entries; start the broker: cloudsignal serve --data-dir {}\n",
        args.data_dir.display()
    );
    show(args.json, &answer, &text)
}

fn facts(head: &Head, end: &End) -> Value {
    json!({
        "created_at": head.created_at,
        "program": head.program,
        "organization": head.organization,
        "entries": end.entries,
        "bytes": end.bytes,
        "sha256": end.sha256,
    })
}

fn show(as_json: bool, answer: &Value, text: &str) -> Result<(), Failure> {
    let mut output = Output::stdout();
    if as_json {
        let json = serde_json::to_vec_pretty(answer).context("the answer does not fit into JSON")?;
        output.line(&json)?;
    } else {
        output.write(text.as_bytes())?;
    }
    output.flush()
}

impl From<BackupError> for Failure {
    fn from(error: BackupError) -> Self {
        Self::new(Exit::Failed, error)
    }
}

/// A file that says how much of it there is.
struct Progress {
    file: BufWriter<File>,
    bytes: u64,
    clock: Clock,
    say_at: Instant,
}

impl Progress {
    fn new(file: BufWriter<File>) -> Self {
        let clock = Clock::system();
        Self {
            file,
            bytes: 0,
            say_at: clock.now().after(PROGRESS_EVERY),
            clock,
        }
    }

    /// It is on the disk.
    fn end(self) -> io::Result<()> {
        let file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()
    }
}

impl Write for Progress {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_all(bytes)?;
        self.bytes += bytes.len() as u64;
        let now = self.clock.now();
        if now >= self.say_at {
            self.say_at = now.after(PROGRESS_EVERY);
            remark(format_args!("{} MiB", self.bytes / (1024 * 1024)));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
