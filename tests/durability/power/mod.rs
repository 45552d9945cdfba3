//! The power goes, at every point of what a broker does to its files.
//!
//! A real broker works for real clients while `strace` writes down what it does to files and says over sockets, in one
//! order. After each write, sync and change of a name the power goes: a simulated disk ([`disk`]) says what may be left,
//! with unsynced bytes missing, torn and in another order. On each such folder a broker is started, and everything that
//! had been acknowledged until then ([`books`]) must be there, in order, and once ([`judge`]).
//!
//! The same is done to runs in which single syncs and writes fail: the broker has to go on without a restart, and what a
//! failed sync was to cover stays in doubt on the disk.
//!
//! | variable | says | default |
//! |---|---|---|
//! | `CS_TEST_POWER_ROUNDS` | how much is done while it is recorded | 2 |
//! | `CS_TEST_POWER_BYTES` | bytes of each payload | 40 |
//! | `CS_TEST_POWER_IMAGES` | most disks that are looked at, chosen by the seed; `all` | 60 |
//! | `CS_TEST_POWER_FAILURES` | most runs with a failure of each kind; `all` | 2 |
//! | `CS_TEST_POWER_SEED` | what is chosen, and what is left of unsynced writes | 1 |

mod books;
mod disk;
mod failing;
mod image;
mod judge;
mod record;
mod settings;
mod trace;
mod workload;
mod written;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use cloudsignal_tests::broker::BrokerOptions;
use cloudsignal_tests::random::Random;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use books::Books;
use disk::{Disk, Left};
use image::Image;
use judge::{Faults, judge};
use record::{Record, record};
use settings::Settings;

/// Faults that are shown.
const FAULTS_SHOWN: usize = 20;
/// Disks that are looked at after each failure, at most.
const IMAGES_OF_FAILURE: usize = 30;
/// A folder in memory, where syncs cost nothing, if the system has one.
const MEMORY_FOLDER: &str = "/dev/shm";

/// What was looked at, and what was wrong.
#[derive(Debug, Default)]
struct Report {
    /// Points at which the power may go.
    points: usize,
    /// Disks that were looked at, without those that are like another.
    images: usize,
    /// Messages and users that were acknowledged at the end.
    acknowledged: usize,
    faults: Vec<String>,
}

/// A point of a record, and what is left there of what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Cut {
    /// Calls that have taken effect.
    events: usize,
    left: usize,
}

impl Cut {
    const fn left(self) -> Left {
        Left::ALL[self.left]
    }

    /// What is left at this point follows from the seed alone.
    const fn dice(self, seed: u64) -> Random {
        Random::new(seed ^ ((self.events as u64) << 8) ^ self.left as u64)
    }
}

/// Points right before each call that changes what the disk holds or may lose.
fn points(record: &Record) -> Vec<usize> {
    let mut disk = Disk::new(&record.data_dir);
    let mut points = Vec::new();
    for (number, event) in record.events.iter().enumerate() {
        if disk.take(event) {
            points.push(number);
        }
    }
    points.push(record.events.len());
    points.retain(|point| *point >= record.from);
    points
}

/// Cuts the power at all points of a record, or at as many as the settings allow.
fn cut(record: &Record, settings: Settings) -> Report {
    let points = points(record);
    let mut cuts: Vec<Cut> = Vec::new();
    for events in &points {
        cuts.extend((0..Left::ALL.len()).map(|left| Cut {
            events: *events,
            left,
        }));
    }
    let mut dice = Random::new(settings.seed);
    while cuts.len() > settings.images_max {
        cuts.swap_remove(dice.index(cuts.len()));
    }
    cuts.sort_unstable();
    // Of disks that are alike, the last one: by then the most was promised.
    let mut last_of: BTreeMap<u64, Cut> = BTreeMap::new();
    replay(record, settings, &cuts, |cut, image, _| {
        last_of.insert(image.digest(), cut);
    });
    let mut report = Report {
        points: points.len(),
        ..Report::default()
    };
    replay(record, settings, &cuts, |cut, image, books| {
        if last_of.get(&image.digest()) == Some(&cut) {
            report.images += 1;
            let faults = look(record, &image, books);
            let place = |fault| format!("after {} calls, left {:?}: {fault}", cut.events, cut.left());
            report.faults.extend(faults.into_iter().map(place));
        }
    });
    let books = promised(record, settings);
    let acked = books.messages.values().filter(|message| message.is_acked);
    report.acknowledged = acked.count() + usize::try_from(books.users).unwrap_or(0);
    report
}

/// Lets everything happen once more, and shows what the disk may hold at each cut. Answers everything that was promised.
fn replay(
    record: &Record,
    settings: Settings,
    cuts: &[Cut],
    mut show: impl FnMut(Cut, Image, &Books),
) -> Books {
    let (mut disk, mut books) = (Disk::new(&record.data_dir), Books::new(record.ports));
    let mut cuts = cuts.iter().peekable();
    for number in 0..=record.events.len() {
        while let Some(cut) = cuts.next_if(|cut| cut.events == number) {
            let image = disk.image(cut.left(), &mut cut.dice(settings.seed));
            show(*cut, image, &books);
        }
        if let Some(event) = record.events.get(number) {
            disk.take(event);
            books.take(event);
        }
    }
    books
}

fn look(record: &Record, image: &Image, books: &Books) -> Faults {
    let folder = memory_folder();
    let data_dir = folder.path().join("data");
    image.lay(&data_dir);
    judge(&data_dir, books, &record.key)
}

fn memory_folder() -> TempDir {
    let memory = Path::new(MEMORY_FOLDER);
    let folder = if memory.is_dir() {
        TempDir::new_in(memory)
    } else {
        TempDir::new()
    };
    folder.expect("a temporary folder can be made")
}

fn runtime() -> Runtime {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime can be made")
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            points,
            images,
            acknowledged,
            faults,
        } = self;
        writeln!(
            f,
            "{points} points, {images} disks, {acknowledged} acknowledged, {} faults",
            faults.len()
        )?;
        faults
            .iter()
            .take(FAULTS_SHOWN)
            .try_for_each(|fault| writeln!(f, "  {fault}"))
    }
}

/// Everything that was promised in a record.
fn promised(record: &Record, settings: Settings) -> Books {
    replay(record, settings, &[], |_, _, _| {})
}

#[test]
fn what_was_acknowledged_is_there_wherever_the_power_goes() {
    let (settings, runtime) = (Settings::from_environment(), runtime());
    let record = record(&runtime, settings.amount, BrokerOptions::default(), &[]);
    let report = cut(&record, settings);
    println!("{report}");
    assert!(
        report.acknowledged > 0,
        "nothing was acknowledged: this proves nothing"
    );
    assert_eq!(report.faults.len(), 0, "see above");
}

#[test]
fn the_alarm_rings_for_a_broker_that_does_not_sync() {
    let (settings, runtime) = (Settings::from_environment(), runtime());
    let options = BrokerOptions::default().with_text("DURABILITY_LEVEL", "os");
    let mut record = record(&runtime, settings.amount, options, &[]);
    record.from = record.served();
    let report = cut(&record, settings);
    println!("{report}");
    assert!(report.faults.iter().any(|fault| fault.contains("has lost")));
}

#[test]
fn a_sync_that_fails_costs_nothing_that_was_acknowledged() {
    let (mut settings, runtime) = (Settings::from_environment(), runtime());
    settings.images_max = settings.images_max.min(IMAGES_OF_FAILURE);
    let whole = record(&runtime, settings.amount, BrokerOptions::default(), &[]);
    let (runs, report) = failing::fail_syncs(&runtime, whole.syncs(), settings);
    println!("{runs} runs with a sync that failed: {report}");
    assert!(runs > 0, "no sync has failed: this proves nothing");
    assert_eq!(report.faults.len(), 0, "see above");
}

#[test]
fn a_write_that_fails_costs_nothing_that_was_acknowledged() {
    let (settings, runtime) = (Settings::from_environment(), runtime());
    let whole = record(&runtime, settings.amount, BrokerOptions::default(), &[]);
    let promised = promised(&whole, settings);
    for failure in failing::OF_WRITES {
        let (runs, faults) = failing::fail_writes(&runtime, failure, whole.syncs(), &promised, settings);
        println!(
            "{runs} runs with {failure:?}, {} faults: {faults:#?}",
            faults.len()
        );
        assert!(runs > 0, "no write has failed: this proves nothing");
        assert_eq!(faults.len(), 0, "see above");
    }
}
