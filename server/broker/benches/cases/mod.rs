//! What the hot path does, one case each: measured in time by `benches/hot.rs` and in instructions by
//! `examples/count.rs`, which therefore speak about the same work.
//!
//! | file | cases |
//! |---|---|
//! | `codec` | packets read and written, without a broker |
//! | `permits` | one question to twelve rules |
//! | `traffic` | messages through a whole organization: rules are asked, rates are counted |
//! | `bench_sink` | where the organization writes to |

mod bench_sink;
mod codec;
mod permits;
mod traffic;

/// A piece of work that can be done again and again.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    /// `group/what`.
    pub(crate) name: &'static str,
    /// Units of one call: messages that are delivered, packets, questions.
    pub(crate) units: u64,
    /// Makes what the work needs, and gives the work.
    pub(crate) prepare: fn() -> Work,
}

/// One call does the units of the case once.
pub(crate) type Work = Box<dyn FnMut()>;

impl Case {
    const fn new(name: &'static str, units: u64, prepare: fn() -> Work) -> Self {
        Self { name, units, prepare }
    }
}

/// Every case.
pub(crate) fn all() -> Vec<Case> {
    [codec::CASES, permits::CASES, traffic::CASES]
        .into_iter()
        .flatten()
        .copied()
        .collect()
}
