//! Rules for every text, whatever its language.

use super::Finding;
use super::tree::{File, Tree};

/// One concept, one file: past this, a file holds two.
const RUST_LINES_MAX: usize = 800;

/// Words that stand for work not done.
const LEFTOVERS: &[&str] = &["TODO", "FIXME", concat!("XX", "X")];

/// Macros that stand for work not done.
const LEFTOVER_MACROS: &[&str] = &["todo!", "unimplemented!"];

/// Folders that exist on one machine only.
const MACHINE_FOLDERS: &[&str] = &["work", "tmp", "root", "home", "Users"];

/// A package manager finds its registry by itself; a name written down ties the build to one host.
const PACKAGE_HOSTS: &[&str] = &[
    concat!("registry.", "npmjs.org"),
    concat!("crates", ".io/"),
    concat!("index.crates", ".io"),
    concat!("pypi", ".org"),
    concat!("pythonhosted", ".org"),
    concat!("deb.debian", ".org"),
    concat!("proxy.golang", ".org"),
];

pub(super) fn check(tree: &Tree, findings: &mut Vec<Finding>) {
    for file in tree.files.iter().filter(|file| !file.is_generated()) {
        white_space(file, findings);
        leftovers(file, findings);
        machine_paths(file, findings);
        package_hosts(file, findings);
        length(file, findings);
    }
}

fn white_space(file: &File, findings: &mut Vec<Finding>) {
    for (index, line) in file.text.split('\n').enumerate() {
        if line.ends_with([' ', '\t', '\r']) {
            findings.push(Finding::at(
                &file.path,
                index,
                "white space at the end of the line",
            ));
        }
    }
    if !file.text.is_empty() && (!file.text.ends_with('\n') || file.text.ends_with("\n\n")) {
        findings.push(Finding::whole(&file.path, "must end with exactly one line break"));
    }
}

fn leftovers(file: &File, findings: &mut Vec<Finding>) {
    let mut report = |index, word: &str| {
        findings.push(Finding::at(
            &file.path,
            index,
            format!("{word}: finish it, or open an issue and drop the mark"),
        ));
    };
    if let Some(rust) = &file.rust {
        for line in rust.lines() {
            let mark = LEFTOVERS.iter().find(|mark| has_word(line.comment, mark));
            let unfinished = LEFTOVER_MACROS.iter().find(|name| line.code.contains(**name));
            if let Some(found) = mark.or(unfinished) {
                report(line.index, found);
            }
        }
        return;
    }
    for (index, line) in file.text.lines().enumerate() {
        if let Some(mark) = LEFTOVERS.iter().find(|mark| has_word(line, mark)) {
            report(index, mark);
        }
    }
}

fn machine_paths(file: &File, findings: &mut Vec<Finding>) {
    for (index, line) in file.text.lines().enumerate() {
        if let Some(folder) = MACHINE_FOLDERS
            .iter()
            .find(|folder| has_root_folder(line, folder))
        {
            let text = format!("/{folder}/ is a path of one machine: make it relative or temporary");
            findings.push(Finding::at(&file.path, index, text));
        }
    }
}

/// Whether `/folder/` stands where an absolute path begins.
fn has_root_folder(line: &str, folder: &str) -> bool {
    let path = format!("/{folder}/");
    line.match_indices(&path).any(|(at, _)| {
        let before = line.get(..at).and_then(|text| text.chars().next_back());
        before.is_none_or(|ch| ch.is_whitespace() || "\"'`=(:,".contains(ch))
    })
}

fn package_hosts(file: &File, findings: &mut Vec<Finding>) {
    for (index, line) in file.text.lines().enumerate() {
        if let Some(host) = PACKAGE_HOSTS.iter().find(|host| line.contains(**host)) {
            findings.push(Finding::at(
                &file.path,
                index,
                format!("names the package host {host}"),
            ));
        }
    }
}

fn length(file: &File, findings: &mut Vec<Finding>) {
    let lines = file.text.lines().count();
    if file.rust.is_some() && lines > RUST_LINES_MAX {
        let text = format!("{lines} lines, more than {RUST_LINES_MAX}: one concept, one file");
        findings.push(Finding::whole(&file.path, text));
    }
}

/// Whether `word` stands in `text` on its own.
fn has_word(text: &str, word: &str) -> bool {
    let is_part = |ch: char| ch.is_alphanumeric() || ch == '_';
    text.match_indices(word).any(|(at, _)| {
        let before = text.get(..at).and_then(|it| it.chars().next_back());
        let after = text.get(at + word.len()..).and_then(|it| it.chars().next());
        !before.is_some_and(is_part) && !after.is_some_and(is_part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<usize> {
        let mut findings = Vec::new();
        check(&Tree::of(&[(path, text)]), &mut findings);
        findings.into_iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn white_space_at_ends_is_found() {
        assert_eq!(found("a.md", "good\n"), [] as [usize; 0]);
        assert_eq!(found("a.md", "bad \ngood\nbad\r\n"), [1, 3]);
        assert_eq!(found("a.md", "no end"), [0]);
        assert_eq!(found("a.md", "two ends\n\n"), [0]);
    }

    #[test]
    fn leftovers_are_found_in_comments_and_macros_not_in_strings() {
        assert_eq!(
            found("a.rs", "// TODO later\nlet x = \"TODO\";\ntodo!()\n"),
            [1, 3]
        );
        assert_eq!(found("a.py", "# FIXME\nTODOS = 1\n"), [1]);
    }

    #[test]
    fn paths_of_one_machine_are_found_where_a_path_begins() {
        let root = |rest: &str| format!("cd {}{rest}\n", '/');
        assert_eq!(found("a.md", &root("work/main")), [1]);
        assert_eq!(found("a.md", &root("home/me/x")), [1]);
        assert_eq!(found("a.md", "see docs/work/x and a/tmp/b\n"), [] as [usize; 0]);
    }

    #[test]
    fn package_hosts_are_found_except_in_lock_files() {
        let text = format!("x = \"https://{}/a\"\n", PACKAGE_HOSTS[0]);
        assert_eq!(found("a.json", &text), [1]);
        assert_eq!(found("js/package-lock.json", &text), [] as [usize; 0]);
    }

    #[test]
    fn long_rust_files_are_found() {
        assert_eq!(found("a.rs", &"x;\n".repeat(RUST_LINES_MAX)), [] as [usize; 0]);
        assert_eq!(found("a.rs", &"x;\n".repeat(RUST_LINES_MAX + 1)), [0]);
    }
}
