//! How many files the process may have open: each connection is one.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Files that the process has open beside its connections.
const OTHER_FILES: u64 = 256;

/// Asks the system for room for so many connections, as far as it goes. Answers how many files it allows when those are
/// too few.
pub(crate) fn make_room(connections: u64) -> Result<(), u64> {
    let mut limit = getrlimit(Resource::Nofile);
    let needed = connections + OTHER_FILES;
    let wanted = limit.maximum.map_or(needed, |maximum| maximum.min(needed));
    if limit.current.is_some_and(|current| current < wanted) {
        limit.current = Some(wanted);
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            tracing::warn!(%error, wanted, "the limit of open files cannot be raised");
        }
    }
    let allowed = getrlimit(Resource::Nofile).current;
    allowed.filter(|files| *files < needed).map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_for_nobody_is_there_and_for_everybody_is_not() {
        assert_eq!(make_room(0), Ok(()));
        let allowed = make_room(u64::MAX - OTHER_FILES);
        let unlimited = getrlimit(Resource::Nofile).current.is_none();
        assert_eq!(allowed.is_ok(), unlimited, "{allowed:?}");
    }
}
