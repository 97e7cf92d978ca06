//! Keeps carried columns in the form in which they were fetched, where that is a form for every reader of the output.

use std::collections::BTreeMap;

use parquet::basic::{Compression, Encoding, Type};
use parquet::file::metadata::ColumnChunkMetaData;

use super::page::{Content, Held, Page, pages};
use crate::batch::{EncodedColumn, EncodedPage};
use crate::plan::{InputFile, Plan, Span};

/// The carried columns of a span that is a whole row group, by name. What cannot be copied is left out.
pub(super) fn columns(plan: &Plan, file: &InputFile, span: &Span, held: &Held) -> BTreeMap<String, EncodedColumn> {
    if file.row_group_rows(span.row_group) != span.rows.len() {
        return BTreeMap::new();
    }
    let group = file.metadata.metadata().row_group(span.row_group);
    let schema = file.metadata.parquet_schema();
    let carried = plan.columns.carried().filter_map(|field| {
        let name = field.name();
        // A column of another type in other files is cast.
        let as_it_is = |root: usize| plan.columns.types.get(name) == Some(file.schema().field(root).data_type());
        let leaf = file.leaves().find(|&leaf| {
            let path = schema.columns()[leaf].path().parts();
            path == std::slice::from_ref(name) && as_it_is(schema.get_column_root_idx(leaf))
        })?;
        Some((name.clone(), column(group.column(leaf), span, held)?))
    });
    carried.collect()
}

/// The bytes of a column, if they are what every reader reads and nothing else.
fn column(column: &ColumnChunkMetaData, span: &Span, held: &Held) -> Option<EncodedColumn> {
    if column.column_descr().max_rep_level() > 0 || !is_usual(column) {
        return None;
    }
    let (start, length) = column.byte_range();
    let found = pages(held, column, span.rows.len()).ok()?;
    let end = found.last().map(|page| page.offset + page.header + page.compressed)?;
    let in_order = |(position, page): (usize, &Page)| match page.content {
        Content::Dictionary => position == 0,
        Content::Data => true,
        Content::DataV2 | Content::Other => false,
    };
    // Some writers state a length that ends behind the last page, or leave gaps.
    let size: u64 = found.iter().map(|page| page.header + page.compressed).sum();
    if end != start + length || size != length || !found.iter().enumerate().all(in_order) {
        return None;
    }
    let values = found.iter().filter(|page| page.content == Content::Data);
    let pages: Option<Vec<_>> = values.map(|page| placed(page, start)).collect();
    let pages = pages?;
    if pages.iter().map(|page| page.rows).sum::<usize>() != span.rows.len() {
        return None;
    }
    Some(EncodedColumn {
        // A copy, since the fetched bytes are many times as large and need not stay.
        bytes: held.copied(start, usize::try_from(length).ok()?)?,
        metadata: column.clone(),
        pages,
    })
}

fn placed(page: &Page, start: u64) -> Option<EncodedPage> {
    Some(EncodedPage {
        start: usize::try_from(page.offset - start).ok()?,
        size: usize::try_from(page.header + page.compressed).ok()?,
        rows: usize::try_from(page.values).ok()?,
    })
}

/// Encodings and compression that DuckDB, Polars, Arrow and Spark read; and compressed, since the output should be.
fn is_usual(column: &ColumnChunkMetaData) -> bool {
    // It is written as microseconds, which are other bytes.
    if column.column_type() == Type::INT96 {
        return false;
    }
    let compressed = matches!(
        column.compression(),
        Compression::SNAPPY | Compression::GZIP(_) | Compression::ZSTD(_) | Compression::LZ4_RAW
    );
    let no_levels = column.column_descr().max_def_level() == 0;
    #[expect(deprecated, reason = "some writers name it for the levels of columns that have none")]
    let usual = |encoding: Encoding| {
        (no_levels && encoding == Encoding::BIT_PACKED)
            || matches!(
                encoding,
                Encoding::PLAIN
                    | Encoding::RLE
                    | Encoding::PLAIN_DICTIONARY
                    | Encoding::RLE_DICTIONARY
                    | Encoding::DELTA_BINARY_PACKED
            )
    };
    compressed && column.encodings().all(usual)
}
