//! Columns of a file that hold no value: their types say nothing, since some writers guess them from no values at all.
//!
//! Known by the footer alone: a file without rows, or a column whose nulls are counted and are all that it has. Lists and structs are left out:
//! what is counted of them are not their rows.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, new_null_array};
use arrow::datatypes::DataType;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::statistics::Statistics;

use super::nulls;

/// The columns of a file without a value.
#[derive(Debug, Clone, Default)]
pub struct Valueless(Arc<Columns>);

#[derive(Debug, Default)]
struct Columns {
    /// Whether there are no rows at all.
    all: bool,
    /// Names in the file.
    own: HashSet<String>,
}

impl Valueless {
    /// By what the footer counts.
    pub(super) fn of(metadata: &ParquetMetaData) -> Self {
        let schema = metadata.file_metadata().schema_descr();
        let is_repeated = |leaf: usize| schema.column(leaf).max_rep_level() > 0;
        let empty = nulls::flat(metadata).filter(|&(_, leaf)| !is_repeated(leaf) && has_no_value(metadata, leaf));
        Self(Arc::new(Columns {
            all: metadata.file_metadata().num_rows() == 0,
            own: empty.map(|(name, _)| name.to_owned()).collect(),
        }))
    }

    /// Whether a column, by its name in the file, is one of them.
    pub fn has(&self, own: &str) -> bool {
        self.0.all || self.0.own.contains(own)
    }

    /// Whether the file has no rows.
    pub(super) fn is_whole_file(&self) -> bool {
        self.0.all
    }
}

fn has_no_value(metadata: &ParquetMetaData, leaf: usize) -> bool {
    metadata.row_groups().iter().all(|group| {
        let column = group.column(leaf);
        let nulls = column.statistics().and_then(Statistics::null_count_opt);
        let rows = u64::try_from(group.num_rows()).ok();
        rows == Some(0) || nulls.is_some() && nulls == rows
    })
}

/// A column of nulls in another type; `None` where it holds a value after all.
pub fn retyped(column: &ArrayRef, kind: &DataType) -> Option<ArrayRef> {
    (column.logical_null_count() == column.len()).then(|| new_null_array(kind, column.len()))
}
