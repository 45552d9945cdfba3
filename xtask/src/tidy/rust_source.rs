//! Rust text taken apart just far enough for house rules: code, comments, and which lines are tests.
//!
//! Each part has the lines of the whole, with spaces where the other parts stand, so positions agree.

/// One Rust file.
#[derive(Clone, Debug)]
pub(super) struct RustSource {
    /// Code without comments and without what stands inside string and character literals.
    code: String,
    /// Comments and documentation only.
    comments: String,
    /// For each line: whether it belongs to a test.
    is_test: Vec<bool>,
}

/// One line of a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line<'a> {
    /// Counted from 0.
    pub(super) index: usize,
    pub(super) code: &'a str,
    pub(super) comment: &'a str,
    pub(super) is_test: bool,
}

impl RustSource {
    /// `whole_is_test` marks every line, as in a file of an integration test.
    pub(super) fn read(text: &str, whole_is_test: bool) -> Self {
        let (code, comments) = split(text);
        let mut is_test = vec![whole_is_test; text.lines().count()];
        mark_test_modules(&code, &mut is_test);
        Self {
            code,
            comments,
            is_test,
        }
    }

    pub(super) fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        let parts = self.code.lines().zip(self.comments.lines()).zip(&self.is_test);
        parts.enumerate().map(|(index, ((code, comment), is_test))| Line {
            index,
            code,
            comment,
            is_test: *is_test,
        })
    }

    /// The code as one text.
    pub(super) fn code(&self) -> &str {
        &self.code
    }
}

/// What the reader is in the middle of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Inside {
    Code,
    LineComment,
    /// How many `/*` are open.
    BlockComment(usize),
    Text,
    /// How many `#` end it.
    RawText(usize),
}

/// Splits a text into its code and its comments.
fn split(text: &str) -> (String, String) {
    let chars: Vec<char> = text.chars().collect();
    let (mut code, mut comments) = (String::new(), String::new());
    let mut inside = Inside::Code;
    let mut at = 0;
    while at < chars.len() {
        let (next, taken) = step(inside, &chars[at..], chars[..at].last().copied());
        for &ch in &chars[at..at + taken] {
            let space = if ch == '\n' { '\n' } else { ' ' };
            let is_comment = |it| matches!(it, Inside::LineComment | Inside::BlockComment(_));
            if is_comment(inside) || is_comment(next) {
                code.push(space);
                comments.push(ch);
            } else {
                let is_code = inside == Inside::Code && (next == Inside::Code && taken == 1);
                code.push(if is_code { ch } else { space });
                comments.push(space);
            }
        }
        inside = next;
        at += taken;
    }
    (code, comments)
}

/// From one state, looking ahead: the next state and how many characters led there.
fn step(inside: Inside, rest: &[char], before: Option<char>) -> (Inside, usize) {
    let second = rest.get(1).copied();
    match (inside, rest[0], second) {
        (Inside::Code, '/', Some('/')) => (Inside::LineComment, 2),
        (Inside::Code, '/', Some('*')) => (Inside::BlockComment(1), 2),
        (Inside::Code, '"', _) => (Inside::Text, 1),
        (Inside::Code, 'r', Some('"' | '#')) if !before.is_some_and(is_word_but_prefix) => raw_start(rest),
        (Inside::Code, '\'', _) => (Inside::Code, character_length(rest)),
        (Inside::Code, _, _) | (Inside::LineComment, '\n', _) | (Inside::Text, '"', _) => (Inside::Code, 1),
        (Inside::BlockComment(depth), '/', Some('*')) => (Inside::BlockComment(depth + 1), 2),
        (Inside::BlockComment(1), '*', Some('/')) => (Inside::Code, 2),
        (Inside::BlockComment(depth), '*', Some('/')) => (Inside::BlockComment(depth - 1), 2),
        (Inside::Text, '\\', Some(_)) => (Inside::Text, 2),
        (Inside::RawText(hashes), '"', _) if count_hashes(&rest[1..]) >= hashes => (Inside::Code, hashes + 1),
        (Inside::LineComment | Inside::BlockComment(_) | Inside::Text | Inside::RawText(_), _, _) => {
            (inside, 1)
        }
    }
}

/// `r` begins a raw string unless it ends a name; `br"…"` and `cr"…"` begin one too.
fn is_word_but_prefix(before: char) -> bool {
    (before.is_alphanumeric() || before == '_') && before != 'b' && before != 'c'
}

/// At `r` followed by `"` or `#`: a raw string, or a raw name such as `r#type`.
fn raw_start(rest: &[char]) -> (Inside, usize) {
    let hashes = count_hashes(&rest[1..]);
    match rest.get(hashes + 1) {
        Some('"') => (Inside::RawText(hashes), hashes + 2),
        Some(_) | None => (Inside::Code, 1),
    }
}

fn count_hashes(rest: &[char]) -> usize {
    rest.iter().take_while(|ch| **ch == '#').count()
}

/// At `'`: the length of a character literal, or 1 when the quote begins a lifetime.
fn character_length(rest: &[char]) -> usize {
    if rest.get(1) == Some(&'\\') {
        // The escaped character may itself be a quote: look for the end after it.
        let end = rest.iter().skip(3).take(10).position(|ch| *ch == '\'');
        return end.map_or(1, |position| position + 4);
    }
    if rest.get(2) == Some(&'\'') { 3 } else { 1 }
}

/// Marks `#[cfg(test)]` items, from the attribute to the closing brace or semicolon.
fn mark_test_modules(code: &str, is_test: &mut [bool]) {
    let mut from = 0;
    while let Some(found) = code.get(from..).and_then(|rest| rest.find("#[cfg(test)]")) {
        let start = from + found;
        let end = item_end(code, start + "#[cfg(test)]".len());
        for line in line_of(code, start)..=line_of(code, end) {
            if let Some(mark) = is_test.get_mut(line) {
                *mark = true;
            }
        }
        from = end.max(start + 1);
    }
}

/// Where the item that begins at `start` ends: at its `;`, or at the brace that closes its first.
fn item_end(code: &str, start: usize) -> usize {
    let mut depth = 0_usize;
    for (offset, ch) in code.get(start..).unwrap_or_default().char_indices() {
        match ch {
            ';' if depth == 0 => return start + offset,
            '{' => depth += 1,
            '}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return start + offset;
                }
            }
            _ => {}
        }
    }
    code.len()
}

fn line_of(text: &str, position: usize) -> usize {
    text.bytes().take(position).filter(|byte| *byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> String {
        split(text).0
    }

    #[test]
    fn comments_and_strings_are_not_code() {
        assert_eq!(code("a // b\nc"), "a     \nc");
        assert_eq!(code("a /* b /* c */ d */ e"), "a                   e");
        let blank = |length| " ".repeat(length);
        assert_eq!(code(r#"f("unsafe \" x") + 1"#), format!("f({}) + 1", blank(13)));
        assert_eq!(code(r##"f(r#"unsafe " x"#);"##), format!("f({});", blank(15)));
        assert_eq!(
            code("let c = '\"'; unsafe {}"),
            format!("let c = {}; unsafe {{}}", blank(3))
        );
        assert_eq!(code(r"let c = '\''; x"), format!("let c = {}; x", blank(4)));
        assert_eq!(
            code(r"let c = '\u{1F600}'; x"),
            format!("let c = {}; x", blank(11))
        );
        assert_eq!(code("fn f<'a>(x: &'a str) {}"), "fn f<'a>(x: &'a str) {}");
        assert_eq!(code("let r#type = 1;"), "let r#type = 1;");
        assert_eq!(code("br\"x\" y"), format!("b{} y", blank(4)));
    }

    #[test]
    fn comments_are_kept_apart() {
        let (_, comments) = split("a // [MQTT-1.0.0-1]\nlet x = \"// no\";");
        assert_eq!(comments.trim_end(), "  // [MQTT-1.0.0-1]");
    }

    #[test]
    fn a_test_module_is_marked_to_its_closing_brace() {
        let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() { \"}\"; }\n}\nfn c() {}\n";
        let source = RustSource::read(text, false);
        let marks: Vec<_> = source.lines().map(|line| line.is_test).collect();
        assert_eq!(marks, [false, true, true, true, true, false]);
    }

    #[test]
    fn a_test_line_without_braces_is_marked() {
        let source = RustSource::read("#[cfg(test)]\nextern crate std;\nfn a() {}\n", false);
        let marks: Vec<_> = source.lines().map(|line| line.is_test).collect();
        assert_eq!(marks, [true, true, false]);
    }

    #[test]
    fn every_line_of_a_test_file_is_a_test() {
        assert!(
            RustSource::read("fn a() {}\n", true)
                .lines()
                .all(|line| line.is_test)
        );
    }
}
