//! The ledger of the MQTT specification: a clause cited by code is cited by a test.
//!
//! A citation is written `[MQTT-4.3.3-2]`, in a comment at the line that obeys the clause and in the test that
//! proves it, so that one search shows rule, code and proof.

use std::collections::{BTreeMap, BTreeSet};

use super::Finding;
use super::tree::Tree;

/// Code in these folders must have its citations tested.
const STRICT_FOLDERS: &[&str] = &["sdk-core/src/", "server/broker/src/"];

/// Whose citations are read: everything that ships, and every test.
const CITING_FOLDERS: &[&str] = &["sdk-core/", "server/", "tests/", "fuzz/"];

/// What cites what.
#[derive(Debug, Default)]
struct Ledger {
    /// Clause → the first place of strict code that cites it.
    strict: BTreeMap<String, (String, usize)>,
    cited: BTreeSet<String>,
    tested: BTreeSet<String>,
}

pub(super) fn check(tree: &Tree, findings: &mut Vec<Finding>) {
    let ledger = read(tree);
    let untested = ledger
        .strict
        .iter()
        .filter(|(clause, _)| !ledger.tested.contains(*clause));
    for (clause, (path, index)) in untested {
        findings.push(Finding::at(
            path,
            *index,
            format!("[{clause}] is cited here and by no test"),
        ));
    }
}

/// One line on how much of what is cited is proved.
pub(super) fn ledger(tree: &Tree) -> String {
    let ledger = read(tree);
    let proved = ledger.cited.intersection(&ledger.tested).count();
    let cited = ledger.cited.len();
    format!("MQTT clauses: {cited} cited by code, {proved} of them by tests too")
}

fn read(tree: &Tree) -> Ledger {
    let mut ledger = Ledger::default();
    for (file, rust) in tree.rust_files() {
        if !CITING_FOLDERS.iter().any(|folder| file.path.starts_with(folder)) {
            continue;
        }
        let strict = STRICT_FOLDERS.iter().any(|folder| file.path.starts_with(folder));
        for (line, text) in rust.lines().zip(file.text.lines()) {
            // A test may carry the clause in its message instead of a comment.
            let cited = clauses(if line.is_test { text } else { line.comment });
            for clause in cited {
                if line.is_test {
                    ledger.tested.insert(clause);
                    continue;
                }
                if strict {
                    ledger
                        .strict
                        .entry(clause.clone())
                        .or_insert((file.path.clone(), line.index));
                }
                ledger.cited.insert(clause);
            }
        }
    }
    ledger
}

/// Every `MQTT-1.2.3-4` in a text.
fn clauses(text: &str) -> Vec<String> {
    let tails = text.split("MQTT-").skip(1);
    tails
        .filter_map(clause)
        .map(|tail| format!("MQTT-{tail}"))
        .collect()
}

/// `3.1.2-14], as …` → `3.1.2-14`.
fn clause(tail: &str) -> Option<&str> {
    let end = tail
        .find(|ch: char| !ch.is_ascii_digit() && ch != '.' && ch != '-')
        .unwrap_or(tail.len());
    let number = tail.get(..end)?;
    let (section, point) = number.split_once('-')?;
    let is_section = section.split('.').all(|part| !part.is_empty()) && section.contains('.');
    let is_point = !point.is_empty() && point.bytes().all(|byte| byte.is_ascii_digit());
    (is_section && is_point).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clauses_are_read_out_of_any_text() {
        assert_eq!(
            clauses("// [MQTT-3.1.2-14], [MQTT-4.3.3-2]."),
            ["MQTT-3.1.2-14", "MQTT-4.3.3-2"]
        );
        assert_eq!(clauses("MQTT-over-TLS, MQTT-5, MQTT-3.1.1"), Vec::<String>::new());
    }

    #[test]
    fn a_cited_clause_needs_a_test() {
        let tree = Tree::of(&[
            ("server/broker/src/a.rs", "// [MQTT-1.1.1-1]\n// [MQTT-1.1.1-2]\n"),
            ("server/src/b.rs", "// [MQTT-1.1.1-3]\n"),
            ("tests/conformance/a.rs", "assert!(x, \"[MQTT-1.1.1-1]\");\n"),
        ]);
        let mut findings = Vec::new();
        check(&tree, &mut findings);
        let lines: Vec<_> = findings.iter().map(|it| (it.path.as_str(), it.line)).collect();
        assert_eq!(lines, [("server/broker/src/a.rs", 2)]);
        assert_eq!(
            ledger(&tree),
            "MQTT clauses: 3 cited by code, 1 of them by tests too"
        );
    }

    #[test]
    fn a_test_beside_the_code_counts() {
        let text = "// [MQTT-1.1.1-1]\n#[cfg(test)]\nmod tests {\n// [MQTT-1.1.1-1]\n}\n";
        let mut findings = Vec::new();
        check(&Tree::of(&[("sdk-core/src/a.rs", text)]), &mut findings);
        assert_eq!(findings, []);
    }
}
