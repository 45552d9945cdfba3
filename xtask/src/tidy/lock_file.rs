//! Crates that `deny.toml` bans must not be in the lock file. Holds where cargo-deny is not installed, too.

use super::Finding;
use super::tree::Tree;

const DENY_FILE: &str = "deny.toml";
const LOCK_FILE: &str = "Cargo.lock";

pub(super) fn check(tree: &Tree, findings: &mut Vec<Finding>) {
    let (Some(deny), Some(lock)) = (tree.file(DENY_FILE), tree.file(LOCK_FILE)) else {
        return;
    };
    for banned in banned(&deny.text) {
        let entry = format!("name = \"{banned}\"");
        if let Some(index) = lock.text.lines().position(|line| line == entry) {
            findings.push(Finding::at(
                LOCK_FILE,
                index,
                format!("{DENY_FILE} bans the crate {banned}"),
            ));
        }
    }
}

/// The names in `{ crate = "NAME", … }`.
fn banned(deny: &str) -> impl Iterator<Item = &str> {
    let lines = deny.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once("{ crate = \"")?.1.split(['"', '@']).next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_banned_crate_is_found_in_the_lock_file() {
        let deny = "[bans]\ndeny = [\n    { crate = \"openssl\", reason = \"x\" },\n    # { crate = \"ring\" },\n]\n";
        let lock = "[[package]]\nname = \"openssl\"\n\n[[package]]\nname = \"ring\"\n\n[[package]]\nname = \"openssl-probe\"\n";
        let mut findings = Vec::new();
        check(&Tree::of(&[(DENY_FILE, deny), (LOCK_FILE, lock)]), &mut findings);
        assert_eq!(findings.iter().map(|it| it.line).collect::<Vec<_>>(), [2]);
    }
}
