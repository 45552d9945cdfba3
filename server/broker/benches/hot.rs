//! How long the hot path takes.
//!
//! ```text
//! cargo bench -p cloudsignal-broker --bench hot -- [FILTER]
//! ```

#[path = "cases/mod.rs"]
mod cases;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn hot_path(criterion: &mut Criterion) {
    for case in cases::all() {
        let (group, what) = case.name.split_once('/').expect("names are group/what");
        let mut group = criterion.benchmark_group(group);
        group.throughput(Throughput::Elements(case.units));
        // Made only if the filter lets it run: some take seconds to make.
        let mut work = None;
        group.bench_function(what, |bencher| {
            bencher.iter(work.get_or_insert_with(case.prepare));
        });
        group.finish();
    }
}

criterion_group!(benches, hot_path);
criterion_main!(benches);
