//! The files that tidy looks at: text that is committed or about to be.

use std::fs;

use anyhow::{Context as _, Result, ensure};

use super::rust_source::RustSource;
use crate::workspace::{Workspace, output_of};

/// Folders of data that are not our writing.
const DATA_FOLDERS: &[&str] = &["fuzz/corpus/", "fuzz/seeds/"];

/// Files that a package manager writes.
const GENERATED_FILES: &[&str] = &["Cargo.lock", "package-lock.json"];

#[derive(Debug, Default)]
pub(super) struct Tree {
    pub(super) files: Vec<File>,
    /// Every path, data included: for rules about what exists.
    pub(super) paths: Vec<String>,
}

#[derive(Debug)]
pub(super) struct File {
    /// From the root, with `/`.
    pub(super) path: String,
    pub(super) text: String,
    /// The same text, understood, when it is Rust.
    pub(super) rust: Option<RustSource>,
}

impl Tree {
    /// What git knows or would add: build output and ignored files stay out.
    pub(super) fn of_checkout(workspace: &Workspace) -> Result<Self> {
        let listing = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
        let listed = output_of(&mut workspace.command("git", &listing)).unwrap_or_default();
        ensure!(
            !listed.is_empty(),
            "`git ls-files` printed nothing: tidy runs in a git checkout"
        );
        let mut tree = Self::default();
        for path in listed.split_terminator('\0') {
            let file = workspace.path(path);
            if !file.is_file() {
                continue; // Deleted here and not yet in the index.
            }
            tree.paths.push(path.to_owned());
            if DATA_FOLDERS.iter().any(|folder| path.starts_with(folder)) {
                continue;
            }
            let bytes = fs::read(&file).with_context(|| format!("cannot read {path}"))?;
            if let Ok(text) = String::from_utf8(bytes) {
                tree.files.push(File::new(path, text));
            }
        }
        tree.paths.sort();
        tree.paths.dedup();
        Ok(tree)
    }

    /// A tree of files made for a test.
    #[cfg(test)]
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        Self {
            paths: files.iter().map(|(path, _)| (*path).to_owned()).collect(),
            files: files
                .iter()
                .map(|(path, text)| File::new(path, (*text).to_owned()))
                .collect(),
        }
    }

    pub(super) fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    /// The Rust files, with their understood text.
    pub(super) fn rust_files(&self) -> impl Iterator<Item = (&File, &RustSource)> {
        self.files
            .iter()
            .filter_map(|file| Some((file, file.rust.as_ref()?)))
    }
}

impl File {
    pub(super) fn new(path: &str, text: String) -> Self {
        let rust = path
            .ends_with(".rs")
            .then(|| RustSource::read(&text, is_test_file(path)));
        Self {
            path: path.to_owned(),
            text,
            rust,
        }
    }

    /// `a/b/c.rs` → `c.rs`.
    pub(super) fn name(&self) -> &str {
        file_name(&self.path)
    }

    pub(super) fn is_generated(&self) -> bool {
        GENERATED_FILES.contains(&self.name())
    }
}

pub(super) fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Whether a whole file is a test: it lies in a `tests` folder or is the `tests.rs` of its module.
pub(super) fn is_test_file(path: &str) -> bool {
    path.split('/')
        .any(|part| part == "tests" || part == "tests.rs" || part == "benches")
}
