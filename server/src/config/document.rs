//! The default configuration as a commented TOML file, written from the keys themselves.

use std::fmt::Write;

use crate::config::keys;
use crate::config::{Config, layers};

/// Longest line of a comment.
const LINE_CHARS_MAX: usize = 100;

/// A configuration file that says what is the default anyway. Every key is commented out.
#[must_use]
pub fn document() -> String {
    let defaults = Config::default();
    let mut text = String::new();
    let mut section = "";
    write_comment(
        &mut text,
        "CloudSignal configuration. Flags win over environment variables (named in brackets), which win over \
         this file. Every value below is the default.",
    );
    for key in keys::all() {
        if key.section() != section {
            section = key.section();
            writeln!(text, "\n[{section}]").expect("invariant: a String takes everything");
        }
        text.push('\n');
        let unit = if key.unit.is_empty() {
            String::new()
        } else {
            format!(", in {}", key.unit)
        };
        write_comment(&mut text, key.doc);
        write_comment(
            &mut text,
            &format!(
                "{}{unit} [{}]",
                capitalized(&layers::bounds(key.kind)),
                key.variable()
            ),
        );
        let default = (key.read)(&defaults);
        writeln!(text, "#{} = {default}", key.short_name()).expect("invariant: a String takes everything");
    }
    text
}

fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

fn write_comment(text: &mut String, comment: &str) {
    let mut line_chars = 0;
    for word in comment.split_whitespace() {
        if line_chars + word.len() >= LINE_CHARS_MAX {
            text.push('\n');
            line_chars = 0;
        }
        text.push_str(if line_chars == 0 { "# " } else { " " });
        text.push_str(word);
        line_chars += word.len() + 1;
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::serve::ServeArgs;

    #[test]
    fn the_document_with_its_comment_marks_taken_off_reads_as_the_defaults() {
        let file: String = document()
            .lines()
            .map(|line| match line.strip_prefix('#') {
                Some(rest) if !rest.starts_with(' ') => format!("{rest}\n"),
                _ => format!("{line}\n"),
            })
            .collect();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cloudsignal.toml");
        std::fs::write(&path, file).unwrap();
        let args = ServeArgs {
            config: Some(path),
            ..ServeArgs::default()
        };
        assert_eq!(layers::load(&args, std::iter::empty()), Ok(Config::default()));
    }

    #[test]
    fn no_line_is_too_long() {
        for line in document().lines().filter(|line| line.starts_with("# ")) {
            assert!(line.len() <= LINE_CHARS_MAX + 2, "{line}");
        }
    }
}
