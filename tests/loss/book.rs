//! What is known of one client: everything that it and its counterpart have told, in numbers.

use std::fmt;

use cloudsignal_tests::tally::Tally;

use crate::contestant::Told;

/// The books of one client.
#[derive(Clone, Debug)]
pub(crate) struct Book {
    pub(crate) name: &'static str,
    /// One more than the last number that is awaited; itself it says that nothing comes after it.
    messages: u64,
    /// What the counterpart has heard of the client, and the client of the counterpart.
    pub(crate) up: Tally,
    pub(crate) down: Tally,
    /// Of the client's own messages: the library says that the server has them, or why not.
    pub(crate) reported: u64,
    pub(crate) refused: u64,
    /// The reason of the first one.
    pub(crate) refusal: Option<String>,
    pub(crate) connections: u64,
    pub(crate) tokens: u64,
    /// Connections of it that were reset.
    pub(crate) resets: u64,
    /// The last message has come.
    pub(crate) has_ended_up: bool,
    pub(crate) has_ended_down: bool,
}

impl Book {
    pub(crate) fn new(name: &'static str, messages: u64) -> Self {
        Self {
            name,
            messages,
            up: Tally::new(messages),
            down: Tally::new(messages),
            reported: 0,
            refused: 0,
            refusal: None,
            connections: 0,
            tokens: 0,
            resets: 0,
            has_ended_up: false,
            has_ended_down: false,
        }
    }

    /// The client's word.
    pub(crate) fn told(&mut self, told: Told) {
        match told {
            Told::Ready => {}
            Told::Connected => self.connections += 1,
            Told::Token => self.tokens += 1,
            Told::Received(number) if number == self.messages => self.has_ended_down = true,
            Told::Received(number) => self.down.note(number),
            Told::Reported(number) => self.reported += u64::from(number < self.messages),
            Told::Refused(number, why) => {
                self.refused += u64::from(number < self.messages);
                self.refusal.get_or_insert(why);
            }
        }
    }

    /// The counterpart's.
    pub(crate) fn heard(&mut self, number: u64) {
        if number == self.messages {
            self.has_ended_up = true;
        } else {
            self.up.note(number);
        }
    }

    /// Whether the client has an answer for everything that it has published.
    pub(crate) const fn is_answered(&self) -> bool {
        self.reported + self.refused >= self.messages
    }

    /// Whether the last message has come in both directions.
    pub(crate) const fn has_ended(&self) -> bool {
        self.has_ended_up && self.has_ended_down
    }

    /// Something that changes whenever the traffic goes on.
    pub(crate) const fn progress(&self) -> u64 {
        let Self { up, down, .. } = self;
        let again = up.duplicates + down.duplicates + self.reported + self.refused;
        2 * self.messages - up.lost() - down.lost() + again
    }
}

/// The head of the table; [`Book`] writes two lines of it.
pub(crate) const HEAD: &str = "\
| client | direction | sent | reported | lost | duplicated | out of order | resets | connections | tokens |
|---|---|---:|---:|---:|---:|---:|---:|---:|---:|";

impl fmt::Display for Book {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let directions = [
            ("from it", &self.up, self.reported),
            ("to it", &self.down, self.messages),
        ];
        for (direction, tally, reported) in directions {
            let Self {
                name,
                messages,
                resets,
                connections,
                tokens,
                ..
            } = self;
            let (lost, duplicates, disorder) = (tally.lost(), tally.duplicates, tally.out_of_order);
            writeln!(
                f,
                "| {name} | {direction} | {messages} | {reported} | {lost} | {duplicates} | {disorder} | {resets} | {connections} | {tokens} |"
            )?;
        }
        if let Some(refusal) = &self.refusal {
            writeln!(
                f,
                "  {}: {} were refused, the first: {refusal}",
                self.name, self.refused
            )?;
        }
        Ok(())
    }
}

#[test]
fn every_word_is_in_the_books() {
    let mut book = Book::new("it", 3);
    for number in [0, 2, 1, 2, 3] {
        book.told(Told::Received(number));
    }
    assert_eq!(
        (book.down.lost(), book.down.duplicates, book.down.out_of_order),
        (0, 1, 1)
    );
    assert!(book.has_ended_down && !book.has_ended_up);
    for number in [0, 0] {
        book.heard(number);
    }
    assert_eq!((book.up.lost(), book.up.duplicates), (2, 1));
    for told in [
        Told::Reported(0),
        Told::Reported(3),
        Told::Refused(1, "full".to_owned()),
    ] {
        book.told(told);
    }
    assert!(!book.is_answered());
    book.told(Told::Reported(2));
    assert!(book.is_answered());
    assert_eq!(
        (book.reported, book.refused, book.refusal),
        (2, 1, Some("full".to_owned()))
    );
}
