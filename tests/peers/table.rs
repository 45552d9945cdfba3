//! Rows of figures, best and middle of some runs.

use std::collections::BTreeMap;

/// Figures by row and client, in the order in which they came first.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<String>,
    clients: Vec<String>,
    figures: BTreeMap<(String, String), Vec<f64>>,
}

/// Whether more is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Better {
    More,
    Less,
}

impl Table {
    pub(crate) fn add(&mut self, row: &str, client: &str, figure: f64) {
        for (list, name) in [(&mut self.rows, row), (&mut self.clients, client)] {
            if !list.iter().any(|it| it == name) {
                list.push(name.to_owned());
            }
        }
        let key = (row.to_owned(), client.to_owned());
        self.figures.entry(key).or_default().push(figure);
    }

    /// As text: `best (middle)`.
    pub(crate) fn render(&mut self, unit: &str, better: Better) -> String {
        let mut text = format!("| {unit} | {} |\n|---|", self.clients.join(" | "));
        text += &"---:|".repeat(self.clients.len());
        for row in &self.rows {
            text += &format!("\n| {row} |");
            for client in &self.clients {
                let figures = self.figures.get_mut(&(row.clone(), client.clone()));
                text += &figures.map_or(" - |".to_owned(), |figures| cell(figures, better));
            }
        }
        text + "\n"
    }
}

fn cell(figures: &mut [f64], better: Better) -> String {
    figures.sort_by(f64::total_cmp);
    let best = match better {
        Better::More => figures.last(),
        Better::Less => figures.first(),
    };
    let middle = figures.get(figures.len() / 2);
    let [best, middle] = [best, middle].map(|figure| number(figure.copied().unwrap_or_default()));
    format!(" {best} ({middle}) |")
}

/// Three digits are enough.
fn number(figure: f64) -> String {
    if figure >= 100.0 {
        format!("{figure:.0}")
    } else {
        format!("{figure:.2}")
    }
}

#[test]
fn the_best_and_the_middle_are_shown() {
    let mut table = Table::default();
    for figure in [200.0, 5.0, 100.0] {
        table.add("publish", "ours", figure);
    }
    table.add("receive", "theirs", 1.0);
    let text = table.render("per second", Better::More);
    assert!(text.contains("| publish | 200 (100) | - |"), "{text}");
    assert!(
        table
            .render("us", Better::Less)
            .contains("| publish | 5.00 (100) | - |")
    );
}
