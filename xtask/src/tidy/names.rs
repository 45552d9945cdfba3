//! Names of files, and files that nobody reads.

use super::Finding;
use super::tree::{Tree, file_name};

/// Names that say nothing about what is inside, and so collect everything.
const EMPTY_NAMES: &[&str] = &[
    "utils", "util", "common", "misc", "helpers", "helper", "types", "manager",
];

/// Files that must not exist, with the reason.
const BANNED_FILES: &[(&str, &str)] = &[
    (
        "rust-toolchain",
        "would make the build fetch a toolchain; `rust-version` says what is needed",
    ),
    (
        "rust-toolchain.toml",
        "would make the build fetch a toolchain; `rust-version` says what is needed",
    ),
];

pub(super) fn check(tree: &Tree, findings: &mut Vec<Finding>) {
    for path in &tree.paths {
        let name = file_name(path);
        let stem = name.split('.').next().unwrap_or(name);
        if EMPTY_NAMES.contains(&stem) {
            findings.push(Finding::whole(
                path,
                format!("`{stem}` is a drawer: name the file after what it holds"),
            ));
        }
        for (banned, reason) in BANNED_FILES {
            if name == *banned {
                findings.push(Finding::whole(path, *reason));
            }
        }
    }
    dead_modules(tree, findings);
}

/// A Rust file below `src/` that no `mod` line names is never compiled.
fn dead_modules(tree: &Tree, findings: &mut Vec<Finding>) {
    for (file, _) in tree.rust_files() {
        let Some((folder, module, parents)) = module_of(&file.path) else {
            continue;
        };
        let declared = parents
            .iter()
            .filter_map(|parent| tree.file(parent))
            .any(|parent| {
                let code = parent.rust.as_ref().map_or("", |rust| rust.code());
                code.lines().any(|line| declares(line, &module))
            });
        if !declared {
            let text = format!("dead file: nothing in {folder} says `mod {module};`");
            findings.push(Finding::whole(&file.path, text));
        }
    }
}

/// For a module's file: its folder, its name, and the files that may declare it. `None` for a crate's root.
fn module_of(path: &str) -> Option<(String, String, Vec<String>)> {
    let (crate_folder, inside) = path.split_once("/src/")?;
    if inside.starts_with("bin/") || ["lib.rs", "main.rs"].contains(&inside) {
        return None;
    }
    let module_path = inside
        .strip_suffix("/mod.rs")
        .or_else(|| inside.strip_suffix(".rs"))?;
    let (above, module) = module_path.rsplit_once('/').unwrap_or(("", module_path));
    let folder = format!("{crate_folder}/src/{above}")
        .trim_end_matches('/')
        .to_owned();
    let parents = if above.is_empty() {
        vec![format!("{folder}/lib.rs"), format!("{folder}/main.rs")]
    } else {
        vec![format!("{folder}/mod.rs"), format!("{folder}.rs")]
    };
    Some((folder, module.to_owned(), parents))
}

fn declares(line: &str, module: &str) -> bool {
    let mut words = line.split_whitespace().skip_while(|word| *word != "mod").skip(1);
    words
        .next()
        .is_some_and(|word| word.trim_end_matches(';') == module)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let mut findings = Vec::new();
        check(&Tree::of(files), &mut findings);
        findings.into_iter().map(|finding| finding.path).collect()
    }

    #[test]
    fn drawers_and_toolchain_files_are_refused() {
        let files = [
            ("a/src/lib.rs", "mod topic;"),
            ("a/src/topic.rs", ""),
            ("web/utils.ts", ""),
            ("rust-toolchain.toml", ""),
        ];
        assert_eq!(found(&files), ["web/utils.ts", "rust-toolchain.toml"]);
    }

    #[test]
    fn a_file_that_no_module_names_is_dead() {
        let files = [
            ("a/src/lib.rs", "pub mod net;\npub(crate) mod topic;\n// mod old;"),
            ("a/src/net/mod.rs", "mod tls;"),
            ("a/src/net/tls.rs", ""),
            ("a/src/topic.rs", "#[cfg(test)]\nmod tests;"),
            ("a/src/topic/tests.rs", ""),
            ("a/src/old.rs", ""),
            ("a/src/net/ws.rs", ""),
        ];
        assert_eq!(found(&files), ["a/src/old.rs", "a/src/net/ws.rs"]);
    }
}
