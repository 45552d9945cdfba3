//! `cargo xtask tidy`: the house rules that a compiler does not know.
//!
//! | file | rules |
//! |---|---|
//! | [`tree`] | which files are looked at |
//! | [`rust_source`] | Rust text split into code, comments and tests |
//! | [`names`] | banned file names, dead files, banned files |
//! | [`text`] | white space, leftovers, machine paths, package hosts, file length |
//! | [`code`] | std in pure crates, the client in the broker, unsafe, sleeping tests, lint opt-in |
//! | [`clauses`] | every clause of the MQTT specification that code cites has a test that cites it |
//! | [`documents`] | commands and links in the texts lead somewhere |
//! | [`lock_file`] | banned crates |
//!
//! There is no comment that switches a rule off. A rule that is wrong is changed here.

mod clauses;
mod code;
mod documents;
mod lock_file;
mod names;
mod rust_source;
mod text;
mod tree;

use core::fmt;

use anyhow::{Result, bail};

use crate::expect_no_arguments;
use crate::workspace::Workspace;

use tree::Tree;

/// A place where the repository breaks a house rule.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Finding {
    path: String,
    /// Counted from 1; 0 means the file as a whole.
    line: usize,
    text: String,
}

impl Finding {
    /// `index` counts lines from 0, as iterators do.
    fn at(path: &str, index: usize, text: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line: index + 1,
            text: text.into(),
        }
    }

    fn whole(path: &str, text: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line: 0,
            text: text.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.text),
            line => write!(f, "{}:{line}: {}", self.path, self.text),
        }
    }
}

/// Every rule. Each one looks at the whole tree and adds what it finds.
const RULES: &[fn(&Tree, &mut Vec<Finding>)] = &[
    names::check,
    text::check,
    code::check,
    clauses::check,
    documents::check,
    lock_file::check,
];

pub(crate) fn tidy(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    expect_no_arguments("tidy", arguments)?;
    let tree = Tree::of_checkout(workspace)?;
    let findings = findings(&tree);
    for finding in &findings {
        println!("    {finding}");
    }
    println!("    {}", clauses::ledger(&tree));
    println!("    {} files looked at", tree.files.len());
    match findings.len() {
        0 => Ok(()),
        1 => bail!("one line breaks a house rule"),
        count => bail!("{count} lines break house rules"),
    }
}

fn findings(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for rule in RULES {
        rule(tree, &mut findings);
    }
    findings.sort_by(|a, b| (&a.path, a.line).cmp(&(&b.path, b.line)));
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repository_keeps_its_own_rules() {
        let tree = Tree::of_checkout(&Workspace::find().unwrap()).unwrap();
        let findings = findings(&tree);
        assert!(
            findings.is_empty(),
            "{}",
            findings.iter().map(|it| format!("\n{it}")).collect::<String>()
        );
    }
}
