//! One file on the disk, change by change.

use cloudsignal_tests::random::Random;

use super::disk::Left;
use super::image::{Content, What};

/// A file, and every change of it that may be lost.
#[derive(Clone, Debug, Default)]
pub(super) struct FileOnDisk {
    /// Length as the running system sees it.
    pub(super) len: u64,
    changes: Vec<Change>,
}

#[derive(Clone, Debug)]
struct Change {
    what: What,
    state: State,
}

/// How safe a change is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Safe,
    Pending,
    /// A sync that was to cover it has failed.
    Doubtful,
}

impl FileOnDisk {
    pub(super) fn change(&mut self, what: What) {
        self.len = match &what {
            What::Bytes { at, bytes } => self.len.max(at + bytes.len() as u64),
            What::Len(len) => *len,
        };
        self.changes.push(Change {
            what,
            state: State::Pending,
        });
    }

    pub(super) fn settle(&mut self, state: State) {
        for change in &mut self.changes {
            if change.state == State::Pending {
                change.state = state;
            }
        }
        self.forget_the_past();
    }

    /// What is safe up to the first doubt is one write.
    fn forget_the_past(&mut self) {
        let safe = self
            .changes
            .iter()
            .take_while(|it| it.state == State::Safe)
            .count();
        if safe < 2 {
            return;
        }
        let mut content = Content::default();
        for change in self.changes.drain(..safe) {
            content.apply(&change.what);
        }
        let state = State::Safe;
        let past = [
            What::Bytes {
                at: 0,
                bytes: content.bytes,
            },
            What::Len(content.len),
        ];
        self.changes.splice(0..0, past.map(|what| Change { what, state }));
    }

    pub(super) fn content(&self, left: Left, dice: &mut Random) -> Content {
        let mut content = Content::default();
        let unsafe_changes = self.changes.iter().filter(|it| it.state != State::Safe).count() as u64;
        let end = dice.between(0, unsafe_changes);
        let mut number = 0;
        for change in &self.changes {
            if change.state == State::Safe {
                content.apply(&change.what);
                continue;
            }
            let is_last = number == end;
            let is_before = number < end;
            number += 1;
            match left {
                Left::Nothing => {}
                Left::Everything => content.apply(&change.what),
                Left::TornEnd if is_before => content.apply(&change.what),
                Left::TornEnd if is_last => content.apply_head(&change.what, dice),
                Left::TornEnd => {}
                Left::AnyWrites if dice.chance(50) => content.apply(&change.what),
                Left::AnyWrites => {}
                Left::AnySectors => content.apply_sectors(&change.what, dice),
            }
        }
        content
    }
}
