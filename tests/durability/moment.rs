//! What a broker takes at a moment of a run that measures it.

use std::env;
use std::fs;
use std::path::Path;
use std::time::Duration;

use cloudsignal_tests::broker::Broker;

/// How large a run is.
pub(crate) fn number_from_environment(name: &str, default: usize) -> usize {
    let text = env::var(name).unwrap_or_else(|_| default.to_string());
    text.parse()
        .unwrap_or_else(|_| panic!("{name} is a number, not {text:?}"))
}

/// Says how long something took, and what the broker takes now.
#[expect(clippy::print_stdout, reason = "a run says what it has measured")]
pub(crate) fn say(moment: &str, broker: &Broker, took: Duration) {
    let mib = |bytes: u64| bytes / 1_024 / 1_024;
    println!(
        "{moment:<28} {:>8.1} s   memory {:>5} MiB   disk {:>5} MiB",
        took.as_secs_f64(),
        mib(broker.memory_bytes()),
        mib(disk_bytes(&broker.data_dir())),
    );
}

fn disk_bytes(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.metadata() {
        Ok(facts) if facts.is_dir() => disk_bytes(&entry.path()),
        // Files come and go while the engine tidies up.
        Ok(facts) => facts.len(),
        Err(_) => 0,
    });
    sizes.sum()
}
