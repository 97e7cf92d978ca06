//! What a file claims of itself, checked before anything is made of it.
//!
//! A footer is a few kilobytes that speak of gigabytes: counts, lengths and depths for which a reader makes room. So its form is walked first,
//! and what it says of the file is compared with the file.

use super::damage::Damage;
use crate::thrift::{Kind, Malformed, Walk};

/// Head, footer length and tail.
pub(super) const SMALLEST_FILE: u64 = 12;

/// Bytes of the length and the letters at the end.
pub(super) const TAIL_BYTES: u64 = 8;

/// The letters at both ends.
pub(super) const MAGIC: &[u8] = b"PAR1";

/// The letters at the ends of a file whose footer is encrypted.
pub(super) const ENCRYPTED: &[u8] = b"PARE";

/// Bytes of a footer: ten thousand columns in a thousand row groups need about as many.
const MOST_FOOTER_BYTES: u64 = 64 << 20;

const MOST_ROW_GROUPS: usize = 100_000;

const MOST_SCHEMA_ELEMENTS: usize = 100_000;

/// Groups within groups of the schema. Readers descend into them.
const DEEPEST_SCHEMA: usize = 64;

/// Rows of a row group. Counts of pages have 32 bits, and a page index counts from the row group's first row.
const MOST_GROUP_ROWS: i64 = i32::MAX as i64;

/// Rows of a file: the plan has an entry for every hundred thousand or so.
const MOST_FILE_ROWS: i64 = 1 << 36;

/// Bytes of the footer, by the first and last bytes of a file.
pub(super) fn footer_length(head: &[u8], tail: &[u8], size: u64) -> Result<u64, Damage> {
    let (Some(head), Some((length, magic))) = (head.first_chunk::<4>(), tail.last_chunk::<8>().map(|t| t.split_at(4)))
    else {
        return Err(Damage::Small {
            size,
            smallest: SMALLEST_FILE,
        });
    };
    if magic == ENCRYPTED {
        return Err(Damage::Encrypted);
    }
    if head != MAGIC {
        return Err(Damage::Head { found: letters(head) });
    }
    if magic != MAGIC {
        return Err(Damage::Tail { found: letters(magic) });
    }
    let claimed = length.iter().rev().fold(0, |sum, &byte| sum << 8 | u64::from(byte));
    let most = (size - SMALLEST_FILE).min(MOST_FOOTER_BYTES);
    if claimed > most {
        return Err(Damage::FooterLength { claimed, most, size });
    }
    Ok(claimed)
}

fn letters(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

/// Walks the schema of a footer, which is a tree that a reader can descend.
pub(super) fn schema(walk: &mut Walk<'_>) -> Result<(), Damage> {
    let schema = children(walk)?;
    if schema.len() > MOST_SCHEMA_ELEMENTS {
        let claim = format!(
            "its schema has {} elements, and at most {MOST_SCHEMA_ELEMENTS} are read",
            schema.len()
        );
        return Err(Damage::Claim(claim));
    }
    descends(&schema).map_err(|fault| Damage::Claim(fault.to_owned()))
}

/// Number of the row groups, whose list begins here.
pub(super) fn row_groups(walk: &mut Walk<'_>) -> Result<usize, Damage> {
    match walk.list()? {
        (_, groups) if groups > MOST_ROW_GROUPS => {
            let claim = format!("it claims {groups} row groups, and at most {MOST_ROW_GROUPS} are read");
            Err(Damage::Claim(claim))
        }
        (Kind::Struct, groups) => Ok(groups),
        (_, 0) => Ok(0),
        _ => Err(Damage::Claim("its row groups are no structures".to_owned())),
    }
}

/// Children of each element of the schema.
fn children(walk: &mut Walk<'_>) -> Result<Vec<i64>, Malformed> {
    let (_, count) = walk.list()?;
    let mut elements = Vec::new();
    for _ in 0..count {
        let mut children = 0;
        walk.structure(|walk, id, kind| match (id, kind) {
            (5, Kind::Integer) => {
                children = walk.integer()?;
                Ok(true)
            }
            _ => Ok(false),
        })?;
        elements.push(children);
    }
    Ok(elements)
}

/// Elements stand parent first; each says how many children follow.
fn descends(schema: &[i64]) -> Result<(), &'static str> {
    let mut open: Vec<i64> = Vec::new();
    for (element, &children) in schema.iter().enumerate() {
        match open.last_mut() {
            Some(left) => *left -= 1,
            None if element == 0 => {}
            None => return Err("its schema has more than one root"),
        }
        if children < 0 {
            return Err("its schema has an element with less than no children");
        }
        if children > 0 {
            open.push(children);
        }
        if open.len() > DEEPEST_SCHEMA {
            return Err("the groups of its schema lie too deep within one another");
        }
        while open.last() == Some(&0) {
            open.pop();
        }
    }
    if open.is_empty() {
        Ok(())
    } else {
        Err("its schema lacks elements that it announces")
    }
}

/// Compares the rows of a file with those of its row groups.
pub(super) fn rows(stated: i64, groups: &[i64]) -> Result<(), Damage> {
    let rows = groups.iter().fold(0, |sum: i64, &rows| sum.saturating_add(rows));
    if rows != stated {
        let claim = format!("it states {stated} rows, and its row groups have {rows}");
        return Err(Damage::Claim(claim));
    }
    if rows > MOST_FILE_ROWS {
        let claim = format!("it claims {rows} rows, and at most {MOST_FILE_ROWS} are read from a file");
        return Err(Damage::Claim(claim));
    }
    Ok(())
}

/// Whether a row group may have so many rows.
pub(super) fn group_rows(rows: i64) -> Result<(), String> {
    if (0..=MOST_GROUP_ROWS).contains(&rows) {
        Ok(())
    } else {
        Err(format!("it claims {rows} rows"))
    }
}

/// Numbers of the fields of a column chunk that have to be there: type, encodings, codec, values, sizes and offset.
const REQUIRED: [i64; 7] = [1, 2, 4, 5, 6, 7, 9];

/// What a footer says of a column chunk, as far as it can be compared with the file.
#[derive(Debug, Default)]
pub(super) struct ColumnChunk {
    compressed: i64,
    uncompressed: i64,
    values: i64,
    offset: i64,
    dictionary_offset: Option<i64>,
    /// Its pages are encrypted, and of what they hold only the writer's key tells.
    pub(super) is_encrypted: bool,
    /// A bit for each field that is there.
    fields: u32,
}

impl ColumnChunk {
    /// Walks one.
    pub(super) fn read(walk: &mut Walk<'_>) -> Result<Self, Malformed> {
        let mut chunk = Self::default();
        walk.structure(|walk, id, kind| match (id, kind) {
            (3, Kind::Struct) => {
                walk.structure(|walk, id, kind| chunk.field(walk, id, kind))?;
                Ok(true)
            }
            (8, Kind::Struct) => {
                chunk.is_encrypted = true;
                Ok(false)
            }
            _ => Ok(false),
        })?;
        Ok(chunk)
    }

    fn field(&mut self, walk: &mut Walk<'_>, id: i64, kind: Kind) -> Result<bool, Malformed> {
        if let Ok(bit @ 0..32) = u32::try_from(id) {
            self.fields |= 1 << bit;
        }
        let number = match (id, kind) {
            (5, Kind::Integer) => &mut self.values,
            (6, Kind::Integer) => &mut self.uncompressed,
            (7, Kind::Integer) => &mut self.compressed,
            (9, Kind::Integer) => &mut self.offset,
            (11, Kind::Integer) => self.dictionary_offset.insert(0),
            _ => return Ok(false),
        };
        *number = walk.integer()?;
        Ok(true)
    }

    /// Compares it with a file of `size` bytes.
    pub(super) fn check(&self, size: u64) -> Result<(), String> {
        if REQUIRED.iter().any(|field| self.fields & 1 << field == 0) {
            return Err("it lacks what each column chunk has to say".to_owned());
        }
        let numbers = [
            ("compressed size", self.compressed),
            ("uncompressed size", self.uncompressed),
            ("number of values", self.values),
            ("offset", self.offset),
            ("dictionary offset", self.dictionary_offset.unwrap_or(0)),
        ];
        if let Some((name, number)) = numbers.iter().find(|(_, number)| *number < 0) {
            return Err(format!("its {name} is {number}"));
        }
        let start = self.dictionary_offset.unwrap_or(self.offset);
        match start.checked_add(self.compressed) {
            Some(end) if end.cast_unsigned() <= size => Ok(()),
            _ => Err(format!(
                "it lies at byte {start} and is {} long, the file has {size}",
                self.compressed
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(damage: Result<impl Sized, Damage>) -> String {
        damage.map(|_| ()).unwrap_err().to_string()
    }

    #[test]
    fn ends_of_a_file_are_told_apart() {
        let tail = |length: u32, magic: &[u8]| [&length.to_le_bytes(), magic].concat();
        assert_eq!(footer_length(b"PAR1", &tail(7, b"PAR1"), 100).unwrap(), 7);
        insta::assert_snapshot!(said(footer_length(b"PAR1", &tail(7, b"PARE"), 100)), @"has an encrypted footer (it ends with `PARE`), and encrypted files cannot be read");
        insta::assert_snapshot!(said(footer_length(b"PK\x03\x04", &tail(7, b"PAR1"), 100)), @r"begins with `PK\x03\x04`, and a Parquet file begins with `PAR1`: it is something else");
        insta::assert_snapshot!(said(footer_length(b"PAR1", &tail(7, b"\0\0\0\0"), 100)), @r"ends with `\x00\x00\x00\x00`, and a Parquet file ends with `PAR1`: it is cut off, still being written, or something else");
        insta::assert_snapshot!(said(footer_length(b"PAR1", &tail(89, b"PAR1"), 100)), @"claims a footer of 89 bytes, and at most 88 are possible in its 100 bytes");
        insta::assert_snapshot!(said(footer_length(b"PAR1", &tail(u32::MAX, b"PAR1"), 1 << 40)), @"claims a footer of 4294967295 bytes, and at most 67108864 are possible in its 1099511627776 bytes");
        insta::assert_snapshot!(said(footer_length(b"PA", b"R1", 4)), @"is 4 bytes long, and the smallest Parquet file has 12");
    }

    #[test]
    fn schema_is_a_tree_of_some_depth() {
        assert_eq!(descends(&[2, 0, 1, 0]), Ok(()));
        assert_eq!(descends(&[]), Ok(()));
        assert_eq!(descends(&[0, 0]), Err("its schema has more than one root"));
        assert_eq!(descends(&[3, 0, 0]), Err("its schema lacks elements that it announces"));
        assert_eq!(
            descends(&[i64::MAX, 0]),
            Err("its schema lacks elements that it announces")
        );
        assert_eq!(
            descends(&[1; 100]),
            Err("the groups of its schema lie too deep within one another")
        );
        assert!(descends(&[-1]).is_err());
    }

    #[test]
    fn footer_that_claims_many_row_groups_is_refused_before_they_are_read() {
        let mut footer = vec![0xfc, 0xa1, 0x8d, 0x06];
        footer.resize(200_000, 0);
        insta::assert_snapshot!(said(row_groups(&mut Walk::new(&footer))), @"has a damaged footer: it claims 100001 row groups, and at most 100000 are read");
    }
}
