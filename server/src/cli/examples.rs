//! A test of the texts: every command that they show is one that the program understands.

use clap::{CommandFactory as _, Parser as _};

use super::Cli;

/// The calls of `cloudsignal` in a text, as words: alone on a line, or as a part of a pipe.
fn calls(text: &str) -> Vec<Vec<String>> {
    let text = text.replace("\\\n", " ");
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    let calls = lines
        .flat_map(parts_of_pipe)
        .filter(|words| words.first().is_some_and(|it| it == "cloudsignal"));
    calls
        .filter(|words| !words.iter().any(|word| word.starts_with("COMMAND")))
        .collect()
}

/// A line as the shell reads it: words, with simple quotes, up to a redirection, a comment or a wide gap.
fn parts_of_pipe(line: &str) -> Vec<Vec<String>> {
    // A wide gap stands before a remark, except inside a call that went on in the next line.
    let spans = line.split("  ").map(str::trim).enumerate();
    let spans = spans.filter(|(index, span)| *index == 0 || span.starts_with('-'));
    let line = spans.map(|(_, span)| span).collect::<Vec<_>>().join(" ");
    let mut parts = vec![vec![String::new()]];
    let mut quote = None;
    for ch in line.chars() {
        let words = parts.last_mut().expect("there is always one");
        let word = words.last_mut().expect("there is always one");
        match (quote, ch) {
            (Some(open), _) if ch == open => quote = None,
            (None, '\'' | '"') => quote = Some(ch),
            (None, ' ') => words.push(String::new()),
            (None, '|') => parts.push(vec![String::new()]),
            (None, '>' | '#') => break,
            (Some(_) | None, _) => word.push(ch),
        }
    }
    for words in &mut parts {
        words.retain(|word| !word.is_empty());
    }
    parts
}

fn check(place: &str, text: &str) -> usize {
    let calls = calls(text);
    for words in &calls {
        if let Err(error) = Cli::try_parse_from(words) {
            panic!("{place} shows `{}`, but:\n{error}", words.join(" "));
        }
    }
    calls.len()
}

fn check_command(command: &clap::Command) -> usize {
    let help = command
        .get_after_help()
        .map(ToString::to_string)
        .unwrap_or_default();
    let below: usize = command.get_subcommands().map(check_command).sum();
    below + check(&format!("the help of {}", command.get_name()), &help)
}

#[test]
fn every_example_of_the_help_is_understood() {
    let examples = check_command(&Cli::command());
    assert!(
        examples > 25,
        "only {examples} examples were found: does this test still read them?"
    );
}

#[test]
fn every_example_of_the_readme_is_understood() {
    let readme = include_str!("../../../README.md");
    check("README.md", readme);
}

#[test]
fn calls_are_found_in_texts() {
    let text = "See:\n  tail -f x | cloudsignal pub -t 'a b' -l   some remark\n  cloudsignal sub \\\n     -t x > file\n# cloudsignal no\n";
    assert_eq!(
        calls(text),
        [
            vec!["cloudsignal", "pub", "-t", "a b", "-l"],
            vec!["cloudsignal", "sub", "-t", "x"]
        ]
    );
}
