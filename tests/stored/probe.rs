//! What the disk does by itself.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use cloudsignal_tests::latencies::Latencies;

/// How often, and how fast, the disk makes appended bytes safe.
pub(crate) struct Disk {
    pub(crate) per_sec: f64,
    pub(crate) latencies: Latencies,
}

/// Appends `bytes` and syncs them, again and again, on the file system of `folder`.
pub(crate) fn fdatasync(folder: &Path, bytes: usize, span: Duration) -> Result<Disk> {
    let path = folder.join("fdatasync");
    let mut file = File::create(&path).with_context(|| format!("{} takes no file", folder.display()))?;
    let (record, mut latencies, mut count) = (vec![b'.'; bytes], Latencies::default(), 0_u32);
    let begin = Instant::now();
    while begin.elapsed() < span {
        let before = Instant::now();
        file.write_all(&record)?;
        file.sync_data()?;
        latencies.note(before.elapsed());
        count += 1;
    }
    let per_sec = f64::from(count) / begin.elapsed().as_secs_f64();
    drop(file);
    std::fs::remove_file(path)?;
    Ok(Disk { per_sec, latencies })
}
