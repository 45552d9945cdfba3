//! Results for people: columns that line up, and pairs of name and value.

/// Rows below a headline, each column as wide as its widest cell.
pub(in crate::cli) fn columns(headline: &[&str], rows: &[Vec<String>]) -> String {
    let width = |index: usize| {
        let cells = rows
            .iter()
            .filter_map(|row| row.get(index))
            .map(|cell| cell.chars().count());
        cells.chain([headline[index].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..headline.len()).map(width).collect();
    let head: Vec<_> = headline.iter().map(|cell| cell.to_uppercase()).collect();
    let mut text = String::new();
    for row in core::iter::once(&head).chain(rows) {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line += &format!("{cell:<width$}  ");
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

/// One pair a line; the values line up.
pub(in crate::cli) fn pairs(pairs: &[(&str, String)]) -> String {
    let width = pairs.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    pairs
        .iter()
        .map(|(name, value)| format!("{name:<width$}  {value}\n"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [
            vec!["alice".to_owned(), "1".to_owned()],
            vec!["bo".to_owned(), "22".to_owned()],
        ];
        assert_eq!(columns(&["name", "n"], &rows), "NAME   N\nalice  1\nbo     22\n");
        assert_eq!(columns(&["name", "n"], &[]), "NAME  N\n");
    }

    #[test]
    fn pairs_line_up() {
        let pairs = pairs(&[("user", "alice".to_owned()), ("password", "x".to_owned())]);
        assert_eq!(pairs, "user      alice\npassword  x\n");
    }
}
