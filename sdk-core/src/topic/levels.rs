//! The levels of a path.

/// The texts between the slashes of a path, as `str::split` gives them; at least one, each possibly empty. Levels are
/// a few bytes long: a plain loop finds their end before a search made for long texts has begun.
#[derive(Clone, Debug)]
pub struct Levels<'a> {
    rest: Option<&'a str>,
}

impl<'a> Levels<'a> {
    /// The levels of a name, a filter or a pattern.
    #[must_use]
    pub const fn of(path: &'a str) -> Self {
        Self { rest: Some(path) }
    }
}

impl<'a> Iterator for Levels<'a> {
    type Item = &'a str;

    #[inline]
    fn next(&mut self) -> Option<&'a str> {
        let rest = self.rest?;
        let end = rest.bytes().position(|byte| byte == b'/');
        self.rest = end.and_then(|at| rest.get(at + 1..));
        rest.get(..end.unwrap_or(rest.len()))
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    #[test]
    fn levels_are_what_a_split_gives() {
        for path in ["", "/", "//", "a", "a/b", "/a//b/", "Größe/°C/#", "ünï/cödé"] {
            let levels: Vec<_> = Levels::of(path).collect();
            assert_eq!(levels, path.split('/').collect::<Vec<_>>(), "{path:?}");
        }
    }
}
