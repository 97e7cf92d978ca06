//! Signs of a table: a folder in which a log, and not the listing, says which files and rows are live.
//!
//! Files that an overwrite, an update or a delete has given up stay in the folder until somebody cleans up. Read as plain files, such a table
//! gives rows twice, old values, and rows that were deleted.

use std::collections::BTreeMap;
use std::fmt;

use object_store::path::Path;
use tracing::debug;

use crate::storage::{Place, StorageError};

/// Kinds of tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TableKind {
    /// Delta Lake.
    Delta,
    /// Apache Iceberg.
    Iceberg,
    /// Apache Hudi.
    Hudi,
    /// What Structured Streaming of Spark writes.
    SparkStream,
    /// Apache Paimon.
    Paimon,
    /// Hive with transactions.
    Hive,
}

/// A table that the input lies in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Its kind.
    pub kind: TableKind,
    /// Its folder.
    pub place: String,
}

impl fmt::Display for TableKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Delta => "Delta",
            Self::Iceberg => "Iceberg",
            Self::Hudi => "Hudi",
            Self::SparkStream => "Spark Structured Streaming",
            Self::Paimon => "Paimon",
            Self::Hive => "transactional Hive",
        })
    }
}

/// Folder of the log of a Delta table.
pub(super) const DELTA_LOG: &str = "_delta_log";

/// Folder of the timeline of a Hudi table.
pub(super) const HUDI_TIMELINE: &str = ".hoodie";

/// Folder of the log of a sink of Spark's streams, which lists the files of the batches that were committed.
pub(super) const STREAM_LOG: &str = "_spark_metadata";

/// Folder in which a Paimon table keeps its snapshots, beside much else that is called so.
const PAIMON_FOLDER: &str = "snapshot";

/// Folder in which an Iceberg table keeps its metadata, beside much else that is called so.
const ICEBERG_FOLDER: &str = "metadata";

impl TableKind {
    /// What it is known by.
    pub(in crate::plan) fn sign(self) -> &'static str {
        match self {
            Self::Delta => "_delta_log/",
            Self::Iceberg => "metadata/*.metadata.json",
            Self::Hudi => ".hoodie/",
            Self::SparkStream => "_spark_metadata/",
            Self::Paimon => "snapshot/snapshot-*",
            Self::Hive => "delta_*/ or base_*/",
        }
    }

    /// How its live rows are written out.
    pub(in crate::plan) fn way_out(self) -> &'static str {
        match self {
            Self::Delta => {
                "in Python `pyarrow.dataset.write_dataset(deltalake.DeltaTable(table).to_pyarrow_dataset(), folder, format=\"parquet\")`, in Spark `spark.read.format(\"delta\").load(table).write.parquet(folder)`"
            }
            Self::Iceberg => {
                "in Python `pyarrow.parquet.write_table(catalog.load_table(name).scan().to_arrow(), file)` with pyiceberg, in Spark `spark.read.format(\"iceberg\").load(table).write.parquet(folder)`"
            }
            Self::Hudi => "in Spark `spark.read.format(\"hudi\").load(table).write.parquet(folder)`",
            Self::SparkStream => "in Spark `spark.read.parquet(table).write.parquet(folder)`, which goes by that log",
            Self::Paimon => {
                "in Python `table.new_read_builder()` of pypaimon and `pyarrow.parquet.write_table`, in Spark `spark.read.format(\"paimon\").load(table).write.parquet(folder)`"
            }
            Self::Hive => "in Hive `INSERT OVERWRITE DIRECTORY ... STORED AS PARQUET SELECT ...`",
        }
    }
}

/// Whether a file in `metadata/` is one by which an Iceberg table is known: `v3.metadata.json`, `00003-<uuid>.metadata.json`, compressed or not.
fn is_iceberg(name: &str) -> bool {
    [".metadata.json", ".metadata.json.gz"]
        .iter()
        .any(|ending| name.len() > ending.len() && name.ends_with(ending))
}

/// Whether a file in `snapshot/` is one by which a Paimon table is known.
fn is_paimon(name: &str) -> bool {
    name.strip_prefix("snapshot-").is_some_and(is_number)
}

/// Whether a folder holds what one transaction of Hive, or a compaction of many, has written: `delta_0000001_0000003_0000`, `base_0000005`.
/// Their numbers have seven digits or more, so that a base of a date, `base_20261119`, is none.
fn is_of_transaction(folder: &str) -> bool {
    let is_long = |number: &str| number.len() >= 7 && is_number(number);
    if let Some(base) = folder.strip_prefix("base_") {
        let number = base.split('_').next().unwrap_or_default();
        return is_long(number) && number.starts_with('0');
    }
    let delta = folder.strip_prefix("delete_").unwrap_or(folder).strip_prefix("delta_");
    let mut numbers = delta.unwrap_or_default().split('_');
    numbers.next().is_some_and(is_long) && numbers.next().is_some_and(is_long)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The table that a folder is, by a look at the names of its signs; `None` where it is none or may not be looked at.
async fn at(folder: &Place) -> Result<Option<TableKind>, StorageError> {
    let (delta, hudi, iceberg, stream, paimon) = futures::join!(
        folder.has_folder(DELTA_LOG),
        folder.has_folder(HUDI_TIMELINE),
        folder.has_file(ICEBERG_FOLDER, is_iceberg),
        folder.has_folder(STREAM_LOG),
        folder.has_file(PAIMON_FOLDER, is_paimon)
    );
    for (found, kind) in [
        (delta, TableKind::Delta),
        (hudi, TableKind::Hudi),
        (iceberg, TableKind::Iceberg),
        (stream, TableKind::SparkStream),
        (paimon, TableKind::Paimon),
    ] {
        if seen(found, folder, kind.sign())? {
            return Ok(Some(kind));
        }
    }
    Ok(None)
}

/// What a look for a sign in a folder has found. Where it is not allowed, nothing was seen.
pub(super) fn seen(found: Result<bool, StorageError>, folder: &Place, sign: &str) -> Result<bool, StorageError> {
    match found {
        Err(error) if error.is_forbidden() => {
            debug!(folder = %folder.location(), "may not be looked at for {sign}: {error}");
            Ok(false)
        }
        other => other,
    }
}

/// The first of some folders that is a table. They are looked at side by side.
pub(super) async fn first_of(folders: &[Place]) -> Result<Option<Table>, StorageError> {
    let kinds = futures::future::join_all(folders.iter().map(at)).await;
    for (folder, kind) in folders.iter().zip(kinds) {
        if let Some(kind) = kind? {
            return Ok(Some(Table {
                kind,
                place: folder.location().to_string(),
            }));
        }
    }
    Ok(None)
}

/// The folders above a place, the nearest first, up to the root or the bucket.
pub(super) fn above(place: &Place) -> Vec<Place> {
    let parts: Vec<_> = place.path().parts().collect();
    let lengths = (0..parts.len()).rev();
    lengths
        .map(|length| place.at(parts[..length].iter().cloned().collect::<Path>()))
        .collect()
}

/// Folders that are tables, by the names of all that lies below the one that was listed.
pub(super) fn by_names<'n>(names: impl Iterator<Item = &'n str>) -> BTreeMap<String, TableKind> {
    let mut tables = BTreeMap::new();
    for name in names {
        let parts: Vec<_> = name.split('/').collect();
        for (depth, part) in parts.iter().enumerate() {
            let kind = match *part {
                DELTA_LOG => TableKind::Delta,
                HUDI_TIMELINE => TableKind::Hudi,
                STREAM_LOG => TableKind::SparkStream,
                PAIMON_FOLDER if depth + 2 == parts.len() && is_paimon(parts[depth + 1]) => TableKind::Paimon,
                folder if depth + 1 < parts.len() && is_of_transaction(folder) => TableKind::Hive,
                ICEBERG_FOLDER if depth + 2 == parts.len() && is_iceberg(parts[depth + 1]) => TableKind::Iceberg,
                _ => continue,
            };
            tables.entry(parts[..depth].join("/")).or_insert(kind);
        }
    }
    tables
}

/// The folders of a name, from the listed one down to its own.
pub(super) fn folders_of(name: &str) -> impl Iterator<Item = &str> {
    let slashes = name.match_indices('/').map(|(at, _)| &name[..at]);
    std::iter::once("").chain(slashes)
}

/// Whether a file belongs to a table and is none of its data.
pub(super) fn is_own_file(name: &str, tables: &BTreeMap<String, TableKind>) -> bool {
    tables.iter().any(|(folder, kind)| {
        let below = match folder.as_str() {
            "" => Some(name),
            folder => name.strip_prefix(folder).and_then(|rest| rest.strip_prefix('/')),
        };
        let own: &[&str] = match kind {
            TableKind::Iceberg => &["metadata/"],
            TableKind::Paimon => &["snapshot/", "schema/", "manifest/"],
            _ => &[],
        };
        below.is_some_and(|below| own.iter().any(|folder| below.starts_with(folder)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_known_by_their_names() {
        let names = [
            "_delta_log/00000000000000000000.json",
            "b/.hoodie/hoodie.properties",
            "c/metadata/00000-4f2a.metadata.json",
            "d/metadata/v1.gz.metadata.json",
            "e/metadata/notes.json",
            "f/metadata/deep/v1.metadata.json",
            "g/metadata/.metadata.json",
            "h/_delta_logs/x",
            "i/_spark_metadata/0",
            "j/snapshot/snapshot-2",
            "k/snapshot/snapshot-2.parquet",
            "l/snapshot/LATEST",
            "m/delta_0000001_0000001_0000/000000_0",
            "n/base_0000005/000000_0",
            "o/base_20261119/000000_0",
            "p/delta_1_2/000000_0",
            "q/delta_0000001_0000001_0000",
        ];
        let found = by_names(names.into_iter());
        let expected = [
            ("", TableKind::Delta),
            ("b", TableKind::Hudi),
            ("c", TableKind::Iceberg),
            ("d", TableKind::Iceberg),
            ("i", TableKind::SparkStream),
            ("j", TableKind::Paimon),
            ("m", TableKind::Hive),
            ("n", TableKind::Hive),
        ];
        assert_eq!(found, expected.map(|(folder, kind)| (folder.to_owned(), kind)).into());
    }

    #[test]
    fn folders_of_a_name_are_all_on_the_way() {
        assert_eq!(folders_of("a/b/c").collect::<Vec<_>>(), ["", "a", "a/b"]);
        assert_eq!(folders_of("c").collect::<Vec<_>>(), [""]);
    }
}
