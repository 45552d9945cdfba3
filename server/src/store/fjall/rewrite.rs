//! After a failed sync: the journal's bytes, once more in their place.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::mend;

/// What is read at once bytes.
const REWRITE_BYTES: usize = 64 * 1024;

/// Writes the bytes of the newest journal once more in their place, and syncs them.
///
/// After a failed sync the system takes the pages for written, though the disk may not have them. What is
/// acknowledged from now on stands behind them in the journal and would be lost with them.
pub(super) fn rewrite_journal(folder: &Path) -> std::io::Result<()> {
    let Some(path) = mend::journals(folder)?.pop() else {
        return Ok(());
    };
    let journal = File::options().read(true).write(true).open(path)?;
    let (mut block, mut at) = (vec![0; REWRITE_BYTES], 0);
    loop {
        let bytes = journal.read_at(&mut block, at)?;
        let Some(read) = block.get(..bytes).filter(|read| !read.is_empty()) else {
            break;
        };
        // What was never written takes no room on the disk, and shall not from now on.
        if read.iter().any(|byte| *byte != 0) {
            journal.write_all_at(read, at)?;
        }
        at += bytes as u64;
    }
    journal.sync_all()
}
