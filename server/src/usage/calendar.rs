//! Days and months, in UTC.

use std::fmt;

use time::{Date, Month as MonthName};

use crate::clock::WallTime;

/// A calendar day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Day(Date);

/// A calendar month.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Month {
    year: i32,
    month: u8,
}

impl Day {
    pub(crate) fn of(at: WallTime) -> Self {
        Self(at.date_time().date())
    }

    /// Reads `2026-11-23`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (month, day) = text.rsplit_once('-')?;
        let Month { year, month } = Month::parse(month)?;
        let day = two_digits(day)?;
        let date = Date::from_calendar_date(year, MonthName::try_from(month).ok()?, day);
        date.ok().map(Self)
    }

    pub(crate) fn month(self) -> Month {
        Month {
            year: self.0.year(),
            month: self.0.month().into(),
        }
    }

    /// The day `days` earlier, or the first one there is.
    pub(crate) fn before(self, days: u16) -> Self {
        let earlier = self.0.checked_sub(time::Duration::days(days.into()));
        Self(earlier.unwrap_or(Date::MIN))
    }

    /// Days from `earlier` to this one.
    pub(crate) fn days_since(self, earlier: Self) -> i64 {
        (self.0 - earlier.0).whole_days()
    }
}

impl Month {
    /// Reads `2026-11`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (year, month) = text.split_once('-')?;
        let is_year = year.len() == 4 && year.bytes().all(|byte| byte.is_ascii_digit());
        let month = two_digits(month).filter(|month| (1..=12).contains(month))?;
        Some(Self {
            year: is_year.then(|| year.parse().ok()).flatten()?,
            month,
        })
    }
}

fn two_digits(text: &str) -> Option<u8> {
    let is_number = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:02}", self.month(), self.0.day())
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.year, self.month)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_months_are_written_as_they_are_read() {
        let at = WallTime::parse_rfc3339("2026-12-31T23:59:59Z").unwrap();
        let day = Day::of(at);
        assert_eq!(day.to_string(), "2026-12-31");
        assert_eq!(day.month().to_string(), "2026-12");
        assert_eq!(Day::parse("2026-12-31"), Some(day));
        assert_eq!(Month::parse("2026-12"), Some(day.month()));
        assert_eq!(day.before(365).to_string(), "2025-12-31");
        assert_eq!(day.days_since(day.before(30)), 30);
        let next = Day::of(at.after(std::time::Duration::from_secs(1)));
        assert!(next > day && next.month() > day.month());
    }

    #[test]
    fn what_is_no_day_is_refused() {
        for text in [
            "",
            "2026",
            "2026-13-01",
            "2026-02-30",
            "26-02-03",
            "2026-2-3",
            "2026-02-03T",
            "+026-02-03",
        ] {
            assert_eq!(Day::parse(text), None, "{text}");
        }
        assert_eq!(Month::parse("2026-00"), None);
    }
}
