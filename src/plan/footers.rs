//! Reads the footers of the input's files, many at a time, and prepares each file for its reader.

use std::borrow::Cow;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::arrow::async_reader::MetadataFetch;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use percent_encoding::percent_decode_str;

use super::listing::Listed;
use super::{Columns, InputFile, PlanError, column_type};
use crate::storage::{Place, StorageError};

/// Footers read at a time.
const CONCURRENT: usize = 32;

/// Bytes read from the end of a file at first: enough for most footers, so that one request does.
const FOOTER_BYTES: usize = 64 * 1024;

/// A file with its footer.
pub(super) struct Footer {
    pub(super) file: Listed,
    pub(super) metadata: Arc<ParquetMetaData>,
    pub(super) schema: SchemaRef,
    pub(super) partition: Vec<(String, Option<String>)>,
}

/// Reads every footer, in the order of the files.
pub(super) async fn read(files: Vec<Listed>) -> Result<Vec<Footer>, PlanError> {
    let footers = stream::iter(files.into_iter().map(footer));
    footers.buffered(CONCURRENT).try_collect().await
}

async fn footer(file: Listed) -> Result<Footer, PlanError> {
    let damaged = |source| PlanError::Footer {
        file: file.name.clone(),
        source,
    };
    let fetch = Fetch {
        place: &file.place,
        etag: file.meta.e_tag.as_deref(),
    };
    let reader = ParquetMetaDataReader::new().with_prefetch_hint(Some(FOOTER_BYTES));
    let metadata = reader.load_and_finish(fetch, file.meta.size).await;
    let metadata = Arc::new(metadata.map_err(|source| from_storage(source, damaged))?);
    let arrow = ArrowReaderMetadata::try_new(Arc::clone(&metadata), ArrowReaderOptions::new()).map_err(damaged)?;
    Ok(Footer {
        schema: Arc::clone(arrow.schema()),
        partition: partition(&file.name),
        metadata,
        file,
    })
}

/// What writers put into a path for a null.
const HIVE_NULL: &str = "__HIVE_DEFAULT_PARTITION__";

/// `key=value` folders of a path.
fn partition(name: &str) -> Vec<(String, Option<String>)> {
    let folders = name.rsplit_once('/').map_or("", |(folders, _)| folders);
    let pairs = folders.split('/').filter_map(|folder| folder.split_once('='));
    pairs
        .map(|(key, value)| (unescaped(key), (value != HIVE_NULL).then(|| unescaped(value))))
        .collect()
}

/// The text of a path's part in which writers put `%2F` for a slash, and so on; as it is where that gives no text.
fn unescaped(part: &str) -> String {
    let decoded = percent_decode_str(part).decode_utf8();
    decoded.map_or_else(|_| part.to_owned(), Cow::into_owned)
}

/// Fetches the ranges that a metadata reader asks for.
pub(super) struct Fetch<'a> {
    pub(super) place: &'a Place,
    pub(super) etag: Option<&'a str>,
}

impl MetadataFetch for Fetch<'_> {
    fn fetch(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes, ParquetError>> {
        async move {
            let ranges = self.place.read_ranges(&[range], self.etag).await;
            let bytes = ranges.map_err(|error| ParquetError::External(Box::new(error)))?;
            Ok(bytes.into_iter().next().unwrap_or_default())
        }
        .boxed()
    }
}

/// A store's failure stays one when it comes back through the Parquet reader, which wraps it once for each layer that it went through.
pub(super) fn from_storage(source: ParquetError, damaged: impl FnOnce(ParquetError) -> PlanError) -> PlanError {
    match unwrapped(source) {
        Ok(storage) => PlanError::Storage(storage),
        Err(other) => damaged(other),
    }
}

fn unwrapped(error: ParquetError) -> Result<StorageError, ParquetError> {
    let ParquetError::External(inner) = error else {
        return Err(error);
    };
    let inner = match inner.downcast::<StorageError>() {
        Ok(storage) => return Ok(*storage),
        Err(inner) => inner,
    };
    let inner = match inner.downcast::<ParquetError>() {
        Ok(parquet) => return unwrapped(*parquet),
        Err(inner) => inner,
    };
    match inner.downcast::<io::Error>() {
        Ok(error) => {
            let kind = error.kind();
            match error.into_inner() {
                Some(inner) => unwrapped(ParquetError::External(inner)),
                None => Err(io::Error::from(kind).into()),
            }
        }
        Err(inner) => Err(ParquetError::External(inner)),
    }
}

/// Gives each file the Arrow types in which its columns are to be decoded.
pub(super) fn open(footers: Vec<Footer>, columns: &Columns) -> Result<Vec<InputFile>, PlanError> {
    footers
        .into_iter()
        .map(|footer| {
            let schema = as_planned(&footer.schema, columns);
            let options = ArrowReaderOptions::new().with_schema(schema);
            let metadata =
                ArrowReaderMetadata::try_new(footer.metadata, options).map_err(|source| PlanError::Footer {
                    file: footer.file.name.clone(),
                    source,
                })?;
            Ok(InputFile {
                place: footer.file.place,
                name: footer.file.name,
                size: footer.file.meta.size,
                etag: footer.file.meta.e_tag,
                projection: columns.projection(metadata.parquet_schema()),
                metadata,
                partition: footer.partition,
                divisible: Vec::new(),
            })
        })
        .collect()
}

/// The schema with the planned types, as far as decoding alone can give them.
fn as_planned(schema: &Schema, columns: &Columns) -> SchemaRef {
    let fields = schema
        .fields()
        .iter()
        .map(|field| match columns.types.get(field.name()) {
            Some(planned) => {
                let decoded = column_type::decoded(field.data_type(), planned);
                Arc::new(Field::new(field.name(), decoded, field.is_nullable()))
            }
            None => Arc::clone(field),
        });
    Arc::new(Schema::new_with_metadata(
        fields.collect::<Vec<_>>(),
        schema.metadata().clone(),
    ))
}

#[cfg(test)]
mod tests {
    use std::io;

    use parquet::errors::ParquetError;

    use super::{partition, unwrapped};
    use crate::storage::StorageError;

    #[test]
    fn failure_of_a_store_is_found_below_any_number_of_wrappers() {
        let failure = || StorageError::WrongLength {
            place: "s3://bucket/key".to_owned(),
            start: 0,
            expected: 8,
            found: 4,
        };
        let once = ParquetError::External(Box::new(failure()));
        let through_a_reader = ParquetError::from(io::Error::other(ParquetError::External(Box::new(failure()))));
        for error in [once, through_a_reader] {
            assert!(matches!(unwrapped(error), Ok(StorageError::WrongLength { .. })));
        }
        assert!(unwrapped(ParquetError::EOF("no footer".to_owned())).is_err());
        assert!(unwrapped(io::Error::from(io::ErrorKind::UnexpectedEof).into()).is_err());
    }

    #[test]
    fn folders_are_read_as_other_writers_mean_them() {
        let found = partition("region=eu%2Fwest/city=K%C3%B6ln/rate=5%/zone=__HIVE_DEFAULT_PARTITION__/a=b.parquet");
        let expected = [
            ("region", Some("eu/west")),
            ("city", Some("Köln")),
            ("rate", Some("5%")),
            ("zone", None),
        ];
        let expected = expected.map(|(key, value)| (key.to_owned(), value.map(str::to_owned)));
        assert_eq!(found, expected);
    }
}
