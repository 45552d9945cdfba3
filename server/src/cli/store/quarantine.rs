//! What could not be used and was put aside: shown, exported, discarded.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{StoreArgs, open};
use crate::cli::exit::Failure;
use crate::cli::output::{Output, remark};
use crate::durable::quarantine::{SetAside, read};
use crate::first_run::folder::store_in;
use crate::store::Shelf;
use crate::store::loss::{self, Loss};
use crate::store::view::{Space, pages, split_org};

const SPACE: Space = Space::Shelf(Shelf::Quarantine);

pub(super) fn show(args: &StoreArgs, export: Option<&Path>) -> Result<(), Failure> {
    let store = open(&args.data_dir)?;
    let view = store.view()?;
    let mut output = Output::stdout();
    let mut export = export.map(Export::begin).transpose()?;
    if args.org.is_none() {
        show_files(args, &mut output)?;
    }
    pages(&*view, SPACE, &prefix(args), |key, value| {
        let (org, key) = split_org(key).unwrap_or(("?", key));
        let aside = read(key, value);
        let mut json = of_entry(org, &aside);
        if let Some(export) = &mut export {
            json["file"] = json!(export.write(&aside.value)?);
            export.index(&json)?;
        }
        if args.json {
            let json = serde_json::to_vec(&json).context("an entry does not fit into JSON")?;
            output.line(&json)
        } else {
            output.line(line(org, &aside).as_bytes())
        }
    })?;
    if let Some(export) = export {
        export.end()?;
    }
    output.flush()
}

pub(super) fn discard(args: &StoreArgs) -> Result<(), Failure> {
    let mut store = open(&args.data_dir)?;
    let view = store.view()?;
    let mut entries = 0_u64;
    pages(&*view, SPACE, &prefix(args), |key, _| {
        entries += 1;
        store.write(SPACE, key.to_vec(), None)?;
        Ok::<_, Failure>(())
    })?;
    store.write_out()?;
    let mut folders = 0;
    if args.org.is_none() {
        for (folder, _) in lists_of(args)? {
            let removed = fs::remove_dir_all(&folder);
            removed.with_context(|| format!("{} cannot be removed", folder.display()))?;
            folders += 1;
        }
    }
    remark(format_args!(
        "discarded {entries} entries and {folders} folders of damaged files"
    ));
    Ok(())
}

/// Damaged files: what was lost with each, and where it is.
fn show_files(args: &StoreArgs, output: &mut Output) -> Result<(), Failure> {
    for (folder, losses) in lists_of(args)? {
        for loss in &losses {
            if args.json {
                let json = serde_json::to_vec(loss).context("a loss does not fit into JSON")?;
                output.line(&json)?;
            } else {
                let kept_as = loss
                    .kept_as
                    .as_ref()
                    .map(|path| format!(", kept as {}", path.display()));
                output.line(format!("{loss}{}", kept_as.unwrap_or_default()).as_bytes())?;
            }
        }
        if losses.is_empty() {
            output.line(format!("{}: no list was left there", folder.display()).as_bytes())?;
        }
    }
    Ok(())
}

fn lists_of(args: &StoreArgs) -> Result<Vec<(PathBuf, Vec<Loss>)>, Failure> {
    let lists = loss::lists(&store_in(&args.data_dir));
    Ok(lists.context("the list of damaged files cannot be read")?)
}

fn prefix(args: &StoreArgs) -> Vec<u8> {
    let org = args.org.as_ref().map(|org| format!("{org}/").into_bytes());
    org.unwrap_or_default()
}

fn of_entry(org: &str, aside: &SetAside<'_>) -> Value {
    json!({
        "organization": org,
        "shelf": aside.shelf,
        "key": aside.key.escape_ascii().to_string(),
        "key_base64": STANDARD.encode(aside.key),
        "reason": aside.reason,
        "bytes": aside.value.len(),
        "at": aside.at,
    })
}

fn line(org: &str, aside: &SetAside<'_>) -> String {
    let at = aside
        .at
        .map_or_else(|| "?".to_owned(), |at| at.whole_secs().rfc3339());
    let (shelf, key, bytes, reason) = (
        aside.shelf,
        aside.key.escape_ascii(),
        aside.value.len(),
        &aside.reason,
    );
    format!("{at}  {org}  {shelf}  {key}  {bytes} bytes: {reason}")
}

/// A folder that entries are written into. It may hold messages: only its owner may look.
struct Export {
    folder: PathBuf,
    index: io::BufWriter<File>,
    entries: u64,
}

impl Export {
    fn begin(folder: &Path) -> Result<Self, Failure> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.with_context(|| format!("{} cannot be made", folder.display()))?;
        Ok(Self {
            index: io::BufWriter::new(create(&folder.join("index.jsonl"))?),
            folder: folder.to_owned(),
            entries: 0,
        })
    }

    /// Answers the name of the entry's file.
    fn write(&mut self, value: &[u8]) -> Result<String, Failure> {
        self.entries += 1;
        let name = format!("{:08}.bin", self.entries);
        let path = self.folder.join(&name);
        let written = create(&path)?.write_all(value);
        written.with_context(|| format!("{} cannot be written", path.display()))?;
        Ok(name)
    }

    fn index(&mut self, json: &Value) -> Result<(), Failure> {
        let written = writeln!(self.index, "{json}");
        Ok(written.context("the index cannot be written")?)
    }

    fn end(mut self) -> Result<(), Failure> {
        self.index.flush().context("the index cannot be written")?;
        remark(format_args!(
            "wrote {} entries into {}",
            self.entries,
            self.folder.display()
        ));
        Ok(())
    }
}

fn create(path: &Path) -> Result<File, Failure> {
    let mut options = OpenOptions::new();
    let created = options.write(true).create_new(true).mode(0o600).open(path);
    Ok(created.with_context(|| format!("{} cannot be made", path.display()))?)
}
