//! Text of others, made fit to be shown: what a terminal would obey, or a reader could not see, is written as an escape.
//!
//! Values, names of columns and names of files come from whoever wrote the input, and reach the terminal of whoever is paged for it.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use arrow::util::pretty::pretty_format_batches;

/// Text of several lines.
pub fn lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| c != '\n' && is_obeyed(c))
}

/// Text that stays on one line.
pub fn line(text: &str) -> Cow<'_, str> {
    escaped(text, is_obeyed)
}

/// Rows as a table, each of which takes one line.
pub fn table(batches: &[RecordBatch]) -> Result<String, ArrowError> {
    let shown = batches.iter().map(shown).collect::<Result<Vec<_>, _>>()?;
    Ok(pretty_format_batches(&shown)?.to_string())
}

/// The same rows as text.
fn shown(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let options = FormatOptions::default();
    let mut fields = Vec::with_capacity(batch.num_columns());
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(batch.num_columns());
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        let values = ArrayFormatter::try_new(column.as_ref(), &options)?;
        let values = (0..column.len()).map(|row| {
            let text = values.value(row).try_to_string()?;
            Ok(line(&text).into_owned())
        });
        let values = values.collect::<Result<Vec<_>, ArrowError>>()?;
        fields.push(Field::new(line(field.name()), DataType::Utf8, true));
        columns.push(Arc::new(StringArray::from(values)));
    }
    let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &rows)
}

fn escaped(text: &str, hidden: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if hidden(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

/// Controls, and what turns the direction of the text around it. A joiner is part of many scripts and harmless.
fn is_obeyed(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use arrow::array::ListArray;
    use arrow::datatypes::Int32Type;

    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_written_as_an_escape() {
        let hostile = "\u{1b}[2J\u{9b}31m\u{7}\r\0\u{202e}txt";
        assert_eq!(line(hostile), r"\u{1b}[2J\u{9b}31m\u{7}\r\u{0}\u{202e}txt");
        assert_eq!(lines("a\nb\u{8}"), "a\nb\\u{8}");
        for plain in ["Größe 日本 🧑\u{200d}🚒", "a\\nb", ""] {
            assert!(matches!(line(plain), Cow::Borrowed(_)), "{plain}");
        }
    }

    #[test]
    fn rows_stay_on_their_lines() {
        let names: ArrayRef = Arc::new(StringArray::from(vec![Some("x\ny"), None, Some("\u{1b}]0;t\u{7}")]));
        let rows = vec![Some(vec![Some(1), None]), None, Some(vec![])];
        let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(rows));
        let batch = RecordBatch::try_from_iter([("na\tme", names), ("list", lists)]).unwrap();
        insta::assert_snapshot!(table(&[batch]).unwrap(), @r"
        +-----------------+-------+
        | na\tme          | list  |
        +-----------------+-------+
        | x\ny            | [1, ] |
        |                 |       |
        | \u{1b}]0;t\u{7} | []    |
        +-----------------+-------+
        ");
    }
}
