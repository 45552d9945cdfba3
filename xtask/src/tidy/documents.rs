//! What the texts tell people to type and to open must exist.

use super::Finding;
use super::tree::{File, Tree};
use crate::COMMANDS;

pub(super) fn check(tree: &Tree, findings: &mut Vec<Finding>) {
    for file in &tree.files {
        let is_text =
            file.path.ends_with(".md") || file.path.ends_with(".yml") || file.path.starts_with(".ci/");
        if is_text {
            commands(file, findings);
        }
        if file.path.ends_with(".md") {
            links(tree, file, findings);
            paths(tree, file, findings);
            functions(tree, file, findings);
        }
    }
}

/// Every `cargo xtask NAME` names a command that there is.
fn commands(file: &File, findings: &mut Vec<Finding>) {
    for (index, line) in file.text.lines().enumerate() {
        for tail in line.split("cargo xtask ").skip(1) {
            let name: String = tail.chars().take_while(char::is_ascii_lowercase).collect();
            let exists = COMMANDS.iter().any(|command| command.name == name);
            if !name.is_empty() && !exists {
                let text = format!("there is no `cargo xtask {name}`");
                findings.push(Finding::at(&file.path, index, text));
            }
        }
    }
}

/// Every `[text](path)` leads to a file or folder of the repository.
fn links(tree: &Tree, file: &File, findings: &mut Vec<Finding>) {
    for (index, line) in file.text.lines().enumerate() {
        for tail in line.split("](").skip(1) {
            let target = tail.split([')', '#', ' ']).next().unwrap_or_default();
            let is_elsewhere = target.is_empty() || target.contains("://") || target.starts_with("mailto:");
            if !is_elsewhere && !exists(tree, &resolve(&file.path, target)) {
                let text = format!("the link leads nowhere: {target}");
                findings.push(Finding::at(&file.path, index, text));
            }
        }
    }
}

/// Every path of a source file in backticks leads to one: from the root, or from the folder of the text.
fn paths(tree: &Tree, file: &File, findings: &mut Vec<Finding>) {
    for (index, line) in file.text.lines().enumerate() {
        for quoted in line.split('`').skip(1).step_by(2) {
            let is_path =
                quoted.contains('/') && quoted.ends_with(".rs") && !quoted.contains(['*', '<', ' ', '{']);
            if is_path && !exists(tree, quoted) && !exists(tree, &resolve(&file.path, quoted)) {
                findings.push(Finding::at(
                    &file.path,
                    index,
                    format!("there is no file {quoted}"),
                ));
            }
        }
    }
}

/// Every function in backticks, `folder/file::name`, is in a file whose path ends so.
fn functions(tree: &Tree, file: &File, findings: &mut Vec<Finding>) {
    for (index, line) in file.text.lines().enumerate() {
        for quoted in line.split('`').skip(1).step_by(2) {
            let Some((module, name)) = quoted
                .rsplit_once("::")
                .filter(|(module, _)| module.contains('/'))
            else {
                continue;
            };
            let (end, start) = (format!("/{module}.rs"), format!("fn {name}("));
            let mut files = tree.files.iter().filter(|it| it.path.ends_with(&end));
            if !files.any(|it| it.text.contains(&start)) {
                let text = format!("there is no function {quoted}");
                findings.push(Finding::at(&file.path, index, text));
            }
        }
    }
}

fn exists(tree: &Tree, path: &str) -> bool {
    let folder = format!("{}/", path.trim_end_matches('/'));
    tree.paths.iter().any(|it| it == path || it.starts_with(&folder))
}

/// A link's target as a path from the root.
fn resolve(from: &str, target: &str) -> String {
    let mut parts: Vec<&str> = match target.strip_prefix('/') {
        Some(_) => Vec::new(),
        None => from
            .rsplit_once('/')
            .map_or(Vec::new(), |(folder, _)| folder.split('/').collect()),
    };
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> Vec<usize> {
        let mut findings = Vec::new();
        check(&Tree::of(files), &mut findings);
        findings.into_iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn a_command_in_a_text_must_exist() {
        let text = "`cargo xtask test`\n`cargo xtask dance`\n`cargo xtask COMMAND`\n";
        assert_eq!(found(&[("README.md", text)]), [2]);
        assert_eq!(
            found(&[(".github/workflows/ci.yml", "run: cargo xtask dance\n")]),
            [1]
        );
    }

    #[test]
    fn a_source_file_that_a_text_names_must_exist() {
        let text = "`server/src/lib.rs` `src/lib.rs` `server/src/gone.rs` `lib.rs` `a/*.rs`\n";
        let files = [("server/README.md", text), ("server/src/lib.rs", "")];
        assert_eq!(found(&files), [1]);
    }

    #[test]
    fn a_link_must_lead_somewhere() {
        let text =
            "[a](b.md)\n[a](../README.md#top)\n[a](https://x.org/)\n[a](gone.md)\n[a](../server/src/)\n";
        let files = [
            ("docs/a.md", text),
            ("docs/b.md", ""),
            ("README.md", ""),
            ("server/src/lib.rs", ""),
        ];
        assert_eq!(found(&files), [4]);
    }

    #[test]
    fn a_function_in_a_text_must_exist() {
        let text = "`deep/qos::a_test`\n`deep/qos::another`\n`other/qos::a_test`\n`Org::new`\n";
        let code = "#[test]\nfn a_test() {}\n";
        let files = [("docs/list.md", text), ("server/deep/qos.rs", code)];
        assert_eq!(found(&files), [2, 3]);
    }
}
