//! Lists that were long once and are short now give their memory back.

/// A list with room for fewer entries keeps it.
const KEPT_ENTRIES: usize = 256;

/// Whether a list with room for `capacity` entries, of which `len` are left after a removal, is to give memory back.
///
/// True where at least three quarters are free, and only at every halving on the way down: moving what is left costs
/// time, and a list whose length goes up and down must not pay it each time.
#[must_use]
pub const fn is_due(len: usize, capacity: usize) -> bool {
    capacity > KEPT_ENTRIES && len <= capacity / 4 && (len == 0 || len.is_power_of_two())
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn a_list_that_empties_gives_back_what_it_does_not_need_in_a_few_moves() {
        let mut list: Vec<u32> = (0..100_000).collect();
        let mut moves = 0;
        while list.pop().is_some() {
            if is_due(list.len(), list.capacity()) {
                list.shrink_to_fit();
                moves += 1;
            }
            let most = (8 * list.len()).max(KEPT_ENTRIES);
            assert!(list.capacity() <= most, "{} of {}", list.len(), list.capacity());
        }
        assert!(moves <= 8, "{moves} moves");
    }

    #[test]
    fn a_short_list_stays_as_it_is() {
        assert!(!is_due(0, KEPT_ENTRIES));
        assert!(is_due(0, KEPT_ENTRIES + 1));
    }
}
