//! What lies in the input and is not read: how much of it, and the first names with the reasons.

use std::fmt;

use serde::Serialize;

/// Names that are kept. The others are counted.
const SHOWN: usize = 5;

/// Files and folders of the input that are not read. What every writer leaves beside data does not count.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct PassedOver {
    /// How many; a hidden folder counts once.
    pub count: usize,
    /// The first of them by name.
    pub first: Vec<Passed>,
}

/// Something that is not read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Passed {
    /// Its name below the input.
    pub name: String,
    /// Why it is not read.
    pub reason: String,
}

impl PassedOver {
    /// All that is passed over, in any order.
    pub(super) fn of(mut passed: Vec<Passed>) -> Self {
        passed.sort();
        passed.dedup();
        let count = passed.len();
        passed.truncate(SHOWN);
        Self { count, first: passed }
    }

    /// Whether everything is read.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl fmt::Display for PassedOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, Passed { name, reason }) in self.first.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(f, "{comma}{name} ({reason})")?;
        }
        match self.count - self.first.len() {
            0 => Ok(()),
            more => write!(f, ", and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_names_are_shown_and_the_others_counted() {
        let passed = (0..7).rev().map(|number| Passed {
            name: format!("{number}.csv"),
            reason: "not Parquet".to_owned(),
        });
        let passed = PassedOver::of(passed.collect());
        assert_eq!(passed.count, 7);
        let text = passed.to_string();
        assert!(text.starts_with("0.csv (not Parquet), 1.csv"), "{text}");
        assert!(text.ends_with("4.csv (not Parquet), and 2 more"), "{text}");
        assert!(PassedOver::default().is_empty());
    }
}
