//! Keeps of a footer what is read: the column chunks of the columns that are asked for.
//!
//! Each claim is compared with the file, also that of a column that nobody reads. The other columns are not made into anything: a footer of
//! five hundred columns would take some hundred times the memory of ten.

use std::sync::Arc;

use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataOptions, ParquetMetaDataReader};

use super::claims::{self, ColumnChunk};
use super::damage::{Damage, reading};
use super::meant::Meant;
use super::shapes::{ARROW_SCHEMA, Shape, Shapes};
use crate::thrift::{Kind, Malformed, Walk};

/// Numbers by which the compact protocol tells types.
const INTEGER: u8 = 6;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const STRUCT: u8 = 12;

/// Elements that a list announces within its first byte are fewer.
const LONG_LIST: u8 = 15;

/// Reads the bytes of a footer that ends a file of `size` bytes. Gives what is kept of it, and the types of all its columns.
pub(super) fn read(footer: &[u8], size: u64, shapes: &Shapes) -> Result<(Arc<ParquetMetaData>, Meant), Damage> {
    let mut parts = Parts {
        footer,
        size,
        shapes,
        kept: Compact::default(),
        shape: None,
        stated_types: None,
        rows: 0,
        group_rows: None,
    };
    Walk::new(footer).fields(|walk, id, kind| parts.field(walk, id, kind))?;
    claims::rows(parts.rows, parts.group_rows.as_deref().unwrap_or_default())?;
    let Some(shape) = parts.shape else {
        return Err(Damage::Claim("it has no schema".to_owned()));
    };
    let kept = parts.kept.end();
    let options = ParquetMetaDataOptions::new().with_schema(Arc::clone(&shape.kept));
    let metadata = reading(|| ParquetMetaDataReader::decode_metadata_with_options(&kept, Some(&options)))?;
    let meant = shapes.schema(&shape, parts.stated_types)?;
    Ok((Arc::new(metadata), meant))
}

/// A footer as it is walked.
struct Parts<'a> {
    footer: &'a [u8],
    size: u64,
    shapes: &'a Shapes,
    kept: Compact,
    shape: Option<Arc<Shape>>,
    stated_types: Option<&'a [u8]>,
    rows: i64,
    group_rows: Option<Vec<i64>>,
}

impl<'a> Parts<'a> {
    fn field(&mut self, walk: &mut Walk<'a>, id: i64, kind: Kind) -> Result<bool, Damage> {
        let start = walk.position();
        match (id, kind) {
            (1, Kind::Integer) => {
                walk.skip(kind)?;
                self.keep(id, INTEGER, start, walk);
            }
            (2, Kind::List) if self.shape.is_none() => {
                claims::schema(walk)?;
                self.shape = Some(self.shapes.shape(&self.footer[start..walk.position()])?);
            }
            (3, Kind::Integer) => {
                self.rows = walk.integer()?;
                self.keep(id, INTEGER, start, walk);
            }
            (4, Kind::List) if self.group_rows.is_none() => self.row_groups(walk)?,
            (2 | 4, _) => return Err(Damage::Claim("a part of it stands twice".to_owned())),
            (5, Kind::List) => {
                self.stated_types = stated_types(walk)?.or(self.stated_types);
                // Of the input's files nobody asks for them, and they can be as large as all the rest.
                if self.shapes.wanted.is_all() {
                    self.keep(id, LIST, start, walk);
                }
            }
            (6, Kind::Binary) => {
                walk.skip(kind)?;
                self.keep(id, BINARY, start, walk);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Keeps a field whose value began at a place and ends here.
    fn keep(&mut self, id: i64, kind: u8, start: usize, walk: &Walk<'_>) {
        self.kept.field(id, kind);
        self.kept.bytes.extend_from_slice(&self.footer[start..walk.position()]);
    }

    fn row_groups(&mut self, walk: &mut Walk<'a>) -> Result<(), Damage> {
        let Some(shape) = self.shape.clone() else {
            return Err(Damage::Claim("its row groups stand before its schema".to_owned()));
        };
        let count = claims::row_groups(walk)?;
        self.kept.field(4, LIST);
        self.kept.list(count);
        let mut rows = Vec::new();
        for number in 0..count {
            rows.push(self.row_group(walk, &shape, number)?);
        }
        self.group_rows = Some(rows);
        Ok(())
    }

    fn row_group(&mut self, walk: &mut Walk<'a>, shape: &Shape, number: usize) -> Result<i64, Damage> {
        let fault = |fault: String| Damage::Claim(format!("row group {number}: {fault}"));
        let mut rows = 0;
        let mut group = Compact::default();
        walk.fields(|walk, id, kind| {
            let start = walk.position();
            match (id, kind) {
                (1, Kind::List) => {
                    group.field(id, LIST);
                    self.columns(walk, shape, &mut group).map_err(|error| match error {
                        Damage::Claim(claim) => fault(claim),
                        other => other,
                    })?;
                }
                (2 | 3 | 5 | 7, Kind::Integer) => {
                    let value = walk.integer()?;
                    if id == 3 {
                        claims::group_rows(value).map_err(fault)?;
                        rows = value;
                    }
                    group.field(id, INTEGER);
                    group.bytes.extend_from_slice(&self.footer[start..walk.position()]);
                }
                // The order of rows by columns names them by their places, which are others now.
                _ => return Ok(false),
            }
            Ok::<_, Damage>(true)
        })?;
        self.kept.bytes.extend(group.end());
        Ok(rows)
    }

    fn columns(&self, walk: &mut Walk<'a>, shape: &Shape, group: &mut Compact) -> Result<(), Damage> {
        let (kind, columns) = walk.list()?;
        let expected = shape.keeps.len();
        if columns != expected {
            let claim = format!("it has {columns} columns, the schema has {expected}");
            return Err(Damage::Claim(claim));
        }
        if kind != Kind::Struct && columns > 0 {
            return Err(Damage::Claim("its columns are no structures".to_owned()));
        }
        group.list(shape.kept.num_columns());
        for (leaf, keeps) in shape.keeps.iter().enumerate() {
            let start = walk.position();
            let chunk = ColumnChunk::read(walk)?;
            let column = || shape.whole.column(leaf).path().string();
            if chunk.is_encrypted {
                if *keeps {
                    return Err(Damage::EncryptedColumn { column: column() });
                }
                continue;
            }
            chunk
                .check(self.size)
                .map_err(|fault| Damage::Claim(format!("column `{}`: {fault}", column())))?;
            if *keeps {
                group.bytes.extend_from_slice(&self.footer[start..walk.position()]);
            }
        }
        Ok(())
    }
}

/// What the writer says of its own types, among the pairs of keys and values.
fn stated_types<'a>(walk: &mut Walk<'a>) -> Result<Option<&'a [u8]>, Malformed> {
    let (kind, count) = walk.list()?;
    let mut found = None;
    for _ in 0..count {
        if kind != Kind::Struct {
            return Err(Malformed {
                at: walk.position(),
                fault: "pairs of keys and values are no structures",
            });
        }
        let (mut key, mut value) = (&[][..], None);
        walk.structure(|walk, id, kind| {
            match (id, kind) {
                (1, Kind::Binary) => key = walk.binary()?,
                (2, Kind::Binary) => value = Some(walk.binary()?),
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        if key == ARROW_SCHEMA {
            found = value;
        }
    }
    Ok(found)
}

/// A structure in the compact protocol, as it is written.
#[derive(Default)]
struct Compact {
    bytes: Vec<u8>,
    last: i64,
}

impl Compact {
    /// Begins a field; its value follows.
    fn field(&mut self, id: i64, kind: u8) {
        if let Ok(further @ 1..=15) = u8::try_from(id - self.last) {
            self.bytes.push(further << 4 | kind);
        } else {
            self.bytes.push(kind);
            self.number((id << 1).cast_unsigned());
        }
        self.last = id;
    }

    /// Begins a list of structures, which follow.
    fn list(&mut self, count: usize) {
        match u8::try_from(count) {
            Ok(count) if count < LONG_LIST => self.bytes.push(count << 4 | STRUCT),
            _ => {
                self.bytes.push(LONG_LIST << 4 | STRUCT);
                self.number(count as u64);
            }
        }
    }

    fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.bytes.push(u8::try_from(number & 0x7f).unwrap_or(0) | 0x80);
            number >>= 7;
        }
        self.bytes.push(u8::try_from(number).unwrap_or(0));
    }

    fn end(mut self) -> Vec<u8> {
        self.bytes.push(0);
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int32Array, ListArray, RecordBatch, StringArray, StructArray};
    use arrow::datatypes::{DataType, Field, Int32Type};
    use parquet::arrow::ArrowWriter;
    use parquet::file::metadata::ParquetMetaDataReader;
    use parquet::file::properties::WriterProperties;

    use super::*;
    use crate::plan::wanted::Wanted;

    /// The footer of a file of 40 rows in 20 row groups, and the file's size. Its columns are a number, a struct of two, a list and a text.
    fn footer() -> (Vec<u8>, u64) {
        let rows = 40;
        let numbers: ArrayRef = Arc::new(Int32Array::from_iter_values(0..rows));
        let texts: ArrayRef = Arc::new(StringArray::from_iter_values((0..rows).map(|row| row.to_string())));
        let field = |name: &str, kind| Arc::new(Field::new(name, kind, true));
        let pair = StructArray::from(vec![
            (field("left", DataType::Int32), Arc::clone(&numbers)),
            (field("right", DataType::Utf8), Arc::clone(&texts)),
        ]);
        let lists = (0..rows).map(|row| Some(vec![Some(row), None]));
        let batch = RecordBatch::try_from_iter_with_nullable([
            ("number", numbers, true),
            ("pair", Arc::new(pair) as ArrayRef, true),
            (
                "list",
                Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(lists)),
                true,
            ),
            ("text", texts, true),
        ])
        .unwrap();
        let properties = WriterProperties::builder().set_max_row_group_row_count(Some(2)).build();
        let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        let file = writer.into_inner().unwrap();
        let (body, tail) = file.split_at(file.len() - 8);
        let length = usize::try_from(u32::from_le_bytes(*tail.first_chunk().unwrap())).unwrap();
        (body[body.len() - length..].to_vec(), file.len() as u64)
    }

    fn wanting(names: &[&str]) -> Shapes {
        Shapes::new(Wanted::exactly(names))
    }

    #[test]
    fn column_chunks_that_are_asked_for_are_kept_as_they_are_and_no_others() {
        let (footer, size) = footer();
        let whole = ParquetMetaDataReader::decode_metadata(&footer).unwrap();
        for names in [
            &["number"][..],
            &["text", "pair"],
            &["list", "none"],
            &["none"],
            &["number", "pair", "list", "text"],
        ] {
            let (kept, meant) = read(&footer, size, &wanting(names)).unwrap();
            assert_eq!(meant.schema.fields().len(), 4);
            assert_eq!(kept.num_row_groups(), 20);
            assert_eq!(kept.file_metadata().num_rows(), 40);
            for (kept, whole) in kept.row_groups().iter().zip(whole.row_groups()) {
                assert_eq!(kept.num_rows(), whole.num_rows());
                assert_eq!(kept.total_byte_size(), whole.total_byte_size());
                let root = |path: &parquet::schema::types::ColumnPath| path.parts()[0].clone();
                let expected = whole.columns().iter();
                let expected: Vec<_> = expected
                    .filter(|column| names.contains(&root(column.column_path()).as_str()))
                    .collect();
                assert_eq!(kept.columns().iter().collect::<Vec<_>>(), expected, "{names:?}");
            }
        }
    }

    #[test]
    fn files_whose_columns_are_the_same_share_them() {
        let (footer, size) = footer();
        let shapes = wanting(&["number"]);
        let (first, meant) = read(&footer, size, &shapes).unwrap();
        let (second, other) = read(&footer, size, &shapes).unwrap();
        assert!(Arc::ptr_eq(&meant.schema, &other.schema));
        let descriptor = |metadata: &ParquetMetaData| metadata.file_metadata().schema_descr_ptr();
        assert!(Arc::ptr_eq(&descriptor(&first), &descriptor(&second)));
    }

    #[test]
    fn claims_of_columns_that_nobody_asks_for_are_compared_with_the_file() {
        let (footer, size) = footer();
        let whole = ParquetMetaDataReader::decode_metadata(&footer).unwrap();
        let last = whole.row_group(19).columns().last().unwrap();
        let (start, length) = last.byte_range();
        let said = read(&footer, start + length - 1, &wanting(&["number"])).map(|_| ());
        let said = said.unwrap_err().to_string();
        assert!(said.contains("row group 19: column `text`: it lies at byte"), "{said}");
        assert!(read(&footer, size, &wanting(&["number"])).is_ok());
        for end in 0..footer.len() {
            assert!(read(&footer[..end], size, &wanting(&["number"])).is_err(), "{end}");
        }
    }

    #[test]
    fn pairs_of_keys_and_values_stay_only_where_all_is_asked_for() {
        let (footer, size) = footer();
        let (kept, _) = read(&footer, size, &wanting(&["number"])).unwrap();
        assert_eq!(kept.file_metadata().key_value_metadata(), None);
        let (kept, _) = read(&footer, size, &Shapes::new(Wanted::all())).unwrap();
        let whole = ParquetMetaDataReader::decode_metadata(&footer).unwrap();
        assert_eq!(*kept, without_orders(&whole));
    }

    /// The order of each column's values is that of its type, which nobody asks for.
    fn without_orders(metadata: &ParquetMetaData) -> ParquetMetaData {
        let file = metadata.file_metadata();
        let file = parquet::file::metadata::FileMetaData::new(
            file.version(),
            file.num_rows(),
            file.created_by().map(str::to_owned),
            file.key_value_metadata().cloned(),
            file.schema_descr_ptr(),
            None,
        );
        ParquetMetaData::new(file, metadata.row_groups().to_vec())
    }
}
