//! What must hold: nothing of one organization reaches another, by any way that can be seen from outside.

use std::fmt::Display;

/// What an organization's mark begins with; two digits and a `-` follow.
const MARK: &[u8] = b"mark-";

/// The mark of an organization: part of everything that is said in it.
pub(crate) fn mark(org: usize) -> String {
    format!("mark-{org:02}-")
}

/// The organization of the first mark in `bytes` that is not the mark of `own`.
pub(crate) fn foreign_mark(bytes: &[u8], own: usize) -> Option<usize> {
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| *byte == MARK[0]) {
        rest = &rest[at..];
        if let Some([tens @ b'0'..=b'9', ones @ b'0'..=b'9', ..]) = rest.strip_prefix(MARK) {
            let org = usize::from(tens - b'0') * 10 + usize::from(ones - b'0');
            if org != own {
                return Some(org);
            }
        }
        rest = &rest[1..];
    }
    None
}

/// Whose operation is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Acting {
    /// This organization's, and nobody else may notice anything.
    Org(usize),
    /// Nobody's: time passes for all of them.
    Time,
}

/// The verdict so far, and who may notice something now.
#[derive(Debug)]
pub(crate) struct Judge {
    wrong: Option<String>,
    acting: Acting,
}

impl Judge {
    pub(crate) const fn new() -> Self {
        Self {
            wrong: None,
            acting: Acting::Time,
        }
    }

    pub(crate) fn wrong(&self) -> Option<&str> {
        self.wrong.as_deref()
    }

    /// Whatever is noticed from now on is the doing of `acting`.
    pub(crate) const fn set_acting(&mut self, acting: Acting) {
        self.acting = acting;
    }

    pub(crate) const fn acting(&self) -> Acting {
        self.acting
    }

    /// Writes the first verdict down; `kind` is what it is about.
    pub(crate) fn accuse(&mut self, kind: &str, what: impl Display) {
        if self.wrong.is_none() {
            self.wrong = Some(format!("{kind}: {what} ({:?})", self.acting));
        }
    }

    /// Bytes came to a client of `org`.
    pub(crate) fn heard(&mut self, org: usize, bytes: &[u8]) {
        if let Some(other) = foreign_mark(bytes, org) {
            let text = String::from_utf8_lossy(bytes).into_owned();
            self.accuse("foreign bytes", format!("{org} reads of {other}: {text:?}"));
        }
        self.noticed("noticed", org, "its client was sent something");
    }

    /// The broker has closed a connection of `org`.
    pub(crate) fn ended(&mut self, org: usize) {
        self.noticed("closed", org, "its connection was closed");
    }

    fn noticed(&mut self, kind: &str, org: usize, what: &str) {
        match self.acting {
            Acting::Org(acting) if acting != org => self.accuse(kind, format!("{org}: {what}")),
            Acting::Org(_) | Acting::Time => {}
        }
    }

    /// An answer of the API to somebody of `org`.
    pub(crate) fn answered(&mut self, org: usize, body: &str) {
        if let Some(other) = foreign_mark(body.as_bytes(), org) {
            self.accuse("foreign answer", format!("{org} reads of {other}: {body}"));
        }
    }

    /// Something of `org` that only its own doing may change.
    pub(crate) fn unmoved<T: PartialEq + std::fmt::Debug>(&mut self, org: usize, before: &T, after: &T) {
        if before != after {
            self.accuse("moved", format!("{org}: {before:?} became {after:?}"));
        }
    }
}
