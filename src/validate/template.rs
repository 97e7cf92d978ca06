//! The variables of a path: the date in five spellings, and nothing else.
//!
//! No arithmetic and no environment: what a path becomes is plain from the file and the date.

use chrono::{Datelike, NaiveDate};

use crate::problem::{Problem, listed, meant};

/// Names that may stand in braces.
const VARIABLES: [&str; 5] = ["date", "date_nodash", "year", "month", "day"];

/// The text with the date in the place of its variables.
pub(super) fn render(key: &str, text: &str, date: NaiveDate) -> Result<String, Problem> {
    let mut rendered = String::with_capacity(text.len() + 8);
    for piece in pieces(text) {
        match piece {
            Piece::Text(text) => rendered.push_str(text),
            Piece::Variable(name) => rendered.push_str(&spelled(name, date).ok_or_else(|| unknown(key, name))?),
            Piece::Brace => return Err(stray(key)),
        }
    }
    Ok(rendered)
}

/// Refuses any variable in a text where none may stand.
pub(super) fn refuse(key: &str, text: &str) -> Result<(), Problem> {
    match pieces(text).find(|piece| !matches!(piece, Piece::Text(_))) {
        Some(Piece::Variable(name)) => Err(Problem::new(key, format!("holds the variable `{{{name}}}`"))),
        Some(_) => Err(stray(key)),
        None => Ok(()),
    }
}

enum Piece<'t> {
    Text(&'t str),
    Variable(&'t str),
    /// A brace without its partner.
    Brace,
}

fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (piece, tail) = match rest.find(['{', '}']) {
            None => (Piece::Text(rest), ""),
            Some(0) => match rest.find('}') {
                Some(end) if end > 0 => (Piece::Variable(&rest[1..end]), &rest[end + 1..]),
                _ => (Piece::Brace, &rest[1..]),
            },
            Some(start) => (Piece::Text(&rest[..start]), &rest[start..]),
        };
        rest = tail;
        Some(piece)
    })
}

fn spelled(variable: &str, date: NaiveDate) -> Option<String> {
    match variable {
        "date" => Some(date.format("%Y-%m-%d").to_string()),
        "date_nodash" => Some(date.format("%Y%m%d").to_string()),
        "year" => Some(format!("{:04}", date.year())),
        "month" => Some(format!("{:02}", date.month())),
        "day" => Some(format!("{:02}", date.day())),
        _ => None,
    }
}

fn unknown(key: &str, name: &str) -> Problem {
    let problem = Problem::new(key, format!("holds the unknown variable `{{{name}}}`"));
    let braced = VARIABLES.map(|variable| format!("{{{variable}}}"));
    problem.hint(match meant(name, VARIABLES) {
        Some(meant) => format!("did you mean `{{{meant}}}`?"),
        None => format!("there are {}", listed(braced.iter().map(String::as_str), "and")),
    })
}

fn stray(key: &str) -> Problem {
    Problem::new(key, "holds a brace without its partner")
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDate;

    use super::render;

    fn date() -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, 1, 9).unwrap()
    }

    #[test]
    fn each_variable_spells_the_date() {
        let text = "{date}|{date_nodash}|{year}/{month}/{day}";
        assert_eq!(render("p", text, date()).unwrap(), "2026-01-09|20260109|2026/01/09");
    }

    #[test]
    fn anything_else_in_braces_is_refused() {
        for text in [
            "{Date}", "{date+1}", "{}", "{hour}", "{", "}", "a}{date}", "{{date}}", "x{date",
        ] {
            assert!(render("p", text, date()).is_err(), "{text}");
        }
    }

    #[test]
    fn text_without_variables_is_unchanged() {
        assert_eq!(render("p", "größe/date=*", date()).unwrap(), "größe/date=*");
    }
}
