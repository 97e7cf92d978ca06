//! Reads the footers of the input's files, many at a time, and prepares each file for its reader.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::arrow::async_reader::MetadataFetch;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};

use super::listing::Listed;
use super::{Columns, InputFile, PlanError};
use crate::storage::Place;

/// Footers read at a time.
const CONCURRENT: usize = 32;

/// Bytes read from the end of a file at first: enough for most footers, so that one request does.
const FOOTER_BYTES: usize = 64 * 1024;

/// A file with its footer.
pub(super) struct Footer {
    pub(super) file: Listed,
    pub(super) metadata: Arc<ParquetMetaData>,
    pub(super) schema: SchemaRef,
    pub(super) partition: Vec<(String, String)>,
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

/// `key=value` folders of a path.
fn partition(name: &str) -> Vec<(String, String)> {
    let folders = name.rsplit_once('/').map_or("", |(folders, _)| folders);
    let pairs = folders.split('/').filter_map(|folder| folder.split_once('='));
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
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

/// A store's failure stays one when it comes back through the Parquet reader.
pub(super) fn from_storage(source: ParquetError, damaged: impl FnOnce(ParquetError) -> PlanError) -> PlanError {
    match source {
        ParquetError::External(inner) => match inner.downcast() {
            Ok(storage) => PlanError::Storage(*storage),
            Err(inner) => damaged(ParquetError::External(inner)),
        },
        other => damaged(other),
    }
}

/// Gives each file the Arrow types in which its columns are to be decoded.
pub(super) fn open(footers: Vec<Footer>, columns: &Columns) -> Result<Vec<InputFile>, PlanError> {
    let dictionaries = &columns.dictionaries;
    footers
        .into_iter()
        .map(|footer| {
            let schema = with_dictionaries(&footer.schema, dictionaries);
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
                metadata,
                partition: footer.partition,
                divisible: Vec::new(),
            })
        })
        .collect()
}

/// The schema with some string columns left as the dictionaries that they are in the file, so that each distinct value is looked
/// up once and not once a row.
fn with_dictionaries(schema: &Schema, names: &BTreeSet<String>) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| {
        let string = matches!(
            field.data_type(),
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
        );
        if string && names.contains(field.name()) {
            let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
            Arc::new(Field::new(field.name(), dictionary, field.is_nullable()))
        } else {
            Arc::clone(field)
        }
    });
    Arc::new(Schema::new_with_metadata(
        fields.collect::<Vec<_>>(),
        schema.metadata().clone(),
    ))
}
