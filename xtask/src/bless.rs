//! What was agreed on stands in files of the repository; `--bless` writes them anew.

use anyhow::{Result, bail};

/// Whether what is there now is what was wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bless {
    No,
    Yes,
}

impl Bless {
    /// The arguments of a command that takes no others.
    pub(crate) fn from_arguments(command: &str, arguments: &[String]) -> Result<Self> {
        match arguments {
            [] => Ok(Self::No),
            [one] if one == "--bless" => Ok(Self::Yes),
            _ => bail!("`cargo xtask {command}` takes --bless or nothing"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_blessed_by_mistake() {
        let read = |words: &[&str]| {
            let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
            Bless::from_arguments("ffi", &words)
        };
        assert_eq!(read(&[]).unwrap(), Bless::No);
        assert_eq!(read(&["--bless"]).unwrap(), Bless::Yes);
        assert!(read(&["--blessed"]).is_err() && read(&["--bless", "--bless"]).is_err());
    }
}
