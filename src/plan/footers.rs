//! Reads the footers of the input's files, many at a time, and prepares each file for its reader.

use std::borrow::Cow;
use std::io;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use percent_encoding::percent_decode_str;

use super::claims::{self, SMALLEST_FILE, TAIL_BYTES, footer_length};
use super::damage::{Damage, reading};
use super::listing::{self, Listed};
use super::names::OwnNames;
use super::{Columns, InputFile, PlanError, column_type};
use crate::storage::{Place, StorageError};
use crate::validate::Job;

/// Footers read at a time.
const CONCURRENT: usize = 32;

/// Bytes read from the end of a file at first: enough for most footers, so that one request does.
const FOOTER_BYTES: u64 = 64 * 1024;

/// A file with its footer.
pub(super) struct Footer {
    pub(super) file: Listed,
    pub(super) metadata: Arc<ParquetMetaData>,
    /// Its columns, by the names that the job and the contract use.
    pub(super) schema: SchemaRef,
    /// Those of them that the file calls otherwise.
    pub(super) own_names: OwnNames,
    pub(super) partition: Vec<(String, Option<String>)>,
}

/// A file whose footer cannot be read.
#[derive(Debug)]
pub struct CorruptFile {
    /// Its name below the input.
    pub name: String,
    /// What is wrong with it.
    pub damage: Damage,
}

/// Every footer, in the order of the files; those that are damaged come apart.
pub struct Footers {
    pub(super) sound: Vec<Footer>,
    pub(super) corrupt: Vec<CorruptFile>,
}

impl Footers {
    /// Lists the input of a job and reads the footers. The model is not asked, so that both can be read side by side.
    pub async fn of_input(job: &Job, input: &Place) -> Result<Self, PlanError> {
        Self::read(listing::list(job, input).await?).await
    }

    pub(super) async fn read(files: Vec<Listed>) -> Result<Self, PlanError> {
        let footers = stream::iter(files.into_iter().map(footer)).buffered(CONCURRENT);
        let read: Vec<_> = footers.try_collect().await?;
        let (mut sound, mut corrupt) = (Vec::with_capacity(read.len()), Vec::new());
        for footer in read {
            match footer {
                Ok(footer) => sound.push(footer),
                Err(file) => corrupt.push(file),
            }
        }
        Ok(Self { sound, corrupt })
    }
}

async fn footer(file: Listed) -> Result<Result<Footer, CorruptFile>, StorageError> {
    let read = match bytes(&file).await? {
        Ok(bytes) => read_footer(&bytes, file.meta.size),
        Err(damage) => Err(damage),
    };
    Ok(match read {
        Ok((metadata, schema)) => Ok(Footer {
            schema,
            own_names: OwnNames::default(),
            partition: partition(&file.name),
            metadata,
            file,
        }),
        Err(damage) => Err(CorruptFile {
            name: file.name,
            damage,
        }),
    })
}

/// The bytes of a footer, by one request for most files; nothing is fetched because of a number that cannot be.
async fn bytes(file: &Listed) -> Result<Result<Bytes, Damage>, StorageError> {
    let size = file.meta.size;
    if size < SMALLEST_FILE {
        return Ok(Err(Damage::Small {
            size,
            smallest: SMALLEST_FILE,
        }));
    }
    let etag = file.meta.e_tag.as_deref();
    let window = FOOTER_BYTES.min(size);
    let ends = [0..SMALLEST_FILE, size - window..size];
    // A small file is one range.
    let ranges = if window == size { &ends[1..] } else { &ends[..] };
    let read = file.place.read_ranges(ranges, etag).await?;
    let (head, tail) = (&read[0], &read[read.len() - 1]);
    let length = match footer_length(head, tail, size) {
        Ok(length) => length,
        Err(damage) => return Ok(Err(damage)),
    };
    let (start, end) = (size - TAIL_BYTES - length, size - TAIL_BYTES);
    if let Some(at) = start.checked_sub(size - window) {
        // Places in the window, which is in memory.
        let within = |place: u64| usize::try_from(place).unwrap_or(usize::MAX);
        return Ok(Ok(tail.slice(within(at)..within(at + length))));
    }
    let read = file.place.read_ranges(&[start..end], etag).await?;
    Ok(Ok(read.into_iter().next().unwrap_or_default()))
}

/// Reads the bytes of a footer that ends a file of `size` bytes.
pub fn read_footer(footer: &[u8], size: u64) -> Result<(Arc<ParquetMetaData>, SchemaRef), Damage> {
    claims::outline(footer)?;
    let metadata = reading(|| ParquetMetaDataReader::decode_metadata(footer))?;
    claims::check(&metadata, size)?;
    let metadata = Arc::new(metadata);
    let arrow = |options| reading(|| ArrowReaderMetadata::try_new(Arc::clone(&metadata), options));
    let arrow = match arrow(ArrowReaderOptions::new()) {
        Ok(arrow) => arrow,
        // Types of Arrow that this reader does not know stand beside the types of Parquet, which it does.
        Err(error) => arrow(ArrowReaderOptions::new().with_skip_arrow_metadata(true)).map_err(|_| error)?,
    };
    let schema = Arc::clone(arrow.schema());
    Ok((metadata, schema))
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

/// A store's failure stays one when it comes back through the Parquet reader, which wraps it once for each layer that it went through.
pub(super) fn from_storage<T>(source: ParquetError) -> Result<Result<T, Damage>, StorageError> {
    match unwrapped(source) {
        Ok(storage) => Err(storage),
        Err(other) => Ok(Err(Damage::Pages(other))),
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
            let schema = as_planned(&footer.schema, columns, &footer.own_names);
            let options = ArrowReaderOptions::new().with_schema(schema);
            let metadata = reading(|| ArrowReaderMetadata::try_new(footer.metadata, options));
            let metadata = metadata.map_err(|damage| PlanError::Damaged {
                file: footer.file.name.clone(),
                damage,
            })?;
            Ok(InputFile {
                place: footer.file.place,
                name: footer.file.name,
                size: footer.file.meta.size,
                etag: footer.file.meta.e_tag,
                projection: columns.projection(metadata.parquet_schema(), &footer.own_names),
                own_names: footer.own_names,
                metadata,
                partition: footer.partition,
                divisible: Vec::new(),
            })
        })
        .collect()
}

/// The file's own schema with the planned types, as far as decoding alone can give them.
fn as_planned(schema: &Schema, columns: &Columns, own_names: &OwnNames) -> SchemaRef {
    let fields = schema
        .fields()
        .iter()
        .map(|field| match columns.types.get(field.name()) {
            Some(planned) => {
                let decoded = column_type::decoded(field.data_type(), planned);
                let own = own_names.of(field.name());
                Arc::new(Field::new(own, decoded, field.is_nullable()))
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
