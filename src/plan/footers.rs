//! Reads the footers of the input's files, many at a time, and prepares each file for its reader.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;

use arrow::datatypes::{Field, FieldRef, Schema, SchemaRef};
use bytes::Bytes;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use percent_encoding::percent_decode_str;

use super::claims::{SMALLEST_FILE, TAIL_BYTES, footer_length};
use super::damage::{Damage, reading};
use super::listing::{self, Listed, PassedOver};
use super::meant::Meant;
use super::names::OwnNames;
use super::shapes::Shapes;
use super::wanted::Wanted;
use super::{Columns, InputFile, OtherTypes, PlanError, Valueless, column_type, meant, pruned};
use crate::storage::{Place, StorageError};
use crate::validate::Job;

/// Footers read at a time.
const CONCURRENT: usize = 32;

/// Bytes read from the end of a file at first: enough for most footers, so that one request does.
const FOOTER_BYTES: u64 = 64 * 1024;

/// A file with its footer.
pub(super) struct Footer {
    pub(super) file: Listed,
    /// What is said of the columns that are asked for, and of no others.
    pub(super) metadata: Arc<ParquetMetaData>,
    /// All its columns, by the names that the job and the contract use. Files whose columns are the same share it.
    pub(super) schema: SchemaRef,
    /// The same as version 0.1 read them, where that differs, by the names of the file.
    pub(super) earlier: Option<SchemaRef>,
    /// Those of them that hold no value.
    pub(super) valueless: Valueless,
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
    /// What lies in the input and is not read.
    pub passed_over: PassedOver,
    /// A sign of a writer in a folder above the date's.
    pub writer_above: Option<String>,
}

impl Footers {
    /// Lists the input of a job and reads the footers. They are read beside the model; `wanted` comes as soon as its contract is known, and
    /// until then only a few are held.
    pub async fn of_input(job: &Job, input: &Place, wanted: impl Future<Output = Wanted>) -> Result<Self, PlanError> {
        let listing = listing::list(job, input).await?;
        Ok(Self {
            passed_over: listing.passed_over,
            writer_above: listing.writer_above,
            ..Self::read(listing.files, wanted).await?
        })
    }

    /// Whether there is no file at all, on a day that is marked as whole.
    pub fn is_marked_empty(&self) -> bool {
        self.sound.is_empty() && self.corrupt.is_empty()
    }

    pub(super) async fn read(files: Vec<Listed>, wanted: impl Future<Output = Wanted>) -> Result<Self, PlanError> {
        let shapes = wanted.map(|wanted| Arc::new(Shapes::new(wanted))).shared();
        let footers = files.into_iter().map(|file| footer(file, shapes.clone()));
        let read: Vec<_> = stream::iter(footers).buffered(CONCURRENT).try_collect().await?;
        let (mut sound, mut corrupt) = (Vec::with_capacity(read.len()), Vec::new());
        for footer in read {
            match footer {
                Ok(footer) => sound.push(footer),
                Err(file) => corrupt.push(file),
            }
        }
        Ok(Self {
            sound,
            corrupt,
            passed_over: PassedOver::default(),
            writer_above: None,
        })
    }
}

async fn footer(
    file: Listed,
    shapes: impl Future<Output = Arc<Shapes>>,
) -> Result<Result<Footer, CorruptFile>, StorageError> {
    let read = match bytes(&file).await? {
        Ok(bytes) => pruned::read(&bytes, file.meta.size, shapes.await.as_ref()),
        Err(damage) => Err(damage),
    };
    Ok(match read {
        Ok((metadata, Meant { schema, earlier })) => Ok(Footer {
            schema,
            earlier,
            valueless: Valueless::of(&metadata),
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

/// Whether a plan would hold a file: one that has rows or row groups, and a damaged one where that is an error.
pub(super) async fn is_planned(file: &Listed, strict: bool) -> Result<bool, StorageError> {
    let read = match bytes(file).await? {
        Ok(bytes) => read_footer(&bytes, file.meta.size),
        Err(damage) => Err(damage),
    };
    Ok(match read {
        Ok((metadata, _)) => metadata.file_metadata().num_rows() > 0 || metadata.num_row_groups() > 0,
        Err(_) => strict,
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

/// Reads the bytes of a footer that ends a file of `size` bytes, with all its columns.
pub fn read_footer(footer: &[u8], size: u64) -> Result<(Arc<ParquetMetaData>, SchemaRef), Damage> {
    let (metadata, meant) = pruned::read(footer, size, &Shapes::new(Wanted::all()))?;
    Ok((metadata, meant.schema))
}

/// What writers put into a path for a null.
pub(super) const HIVE_NULL: &str = "__HIVE_DEFAULT_PARTITION__";

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

/// How files whose columns are the same are read.
struct Opening {
    /// The columns that are asked for, in the types in which they are to be decoded.
    schema: SchemaRef,
    /// All columns in those types.
    text: Arc<str>,
    /// The same as version 0.1 had it, where that differs.
    earlier_text: Option<Arc<str>>,
    projection: ProjectionMask,
    /// The columns with `INT96` inside, and all types with seconds in its place.
    in_seconds: Option<(SchemaRef, ProjectionMask)>,
}

/// Gives each file the Arrow types in which its columns are to be decoded.
pub(super) fn open(footers: Vec<Footer>, columns: &Columns) -> Result<Vec<InputFile>, PlanError> {
    let mut openings = HashMap::new();
    // What a place in memory stands for stays there as long as the footers do.
    let mut held = Vec::new();
    footers
        .into_iter()
        .map(|footer| {
            let parquet = footer.metadata.file_metadata().schema_descr_ptr();
            let folders: Vec<_> = footer.partition.iter().map(|(key, _)| key.clone()).collect();
            let key = (Arc::as_ptr(&footer.schema), Arc::as_ptr(&parquet), folders);
            let opening = openings.entry(key).or_insert_with(|| {
                held.push((Arc::clone(&footer.schema), parquet));
                opening(&footer, columns)
            });
            let damaged = |damage| PlanError::Damaged {
                file: footer.file.name.clone(),
                damage,
            };
            let metadata = typed(&footer.metadata, &opening.schema).map_err(damaged)?;
            let in_seconds = match &opening.in_seconds {
                Some((schema, projection)) => Some(OtherTypes {
                    metadata: typed(&footer.metadata, schema).map_err(damaged)?,
                    projection: projection.clone(),
                }),
                None => None,
            };
            Ok(InputFile {
                place: footer.file.place,
                name: footer.file.name,
                size: footer.file.meta.size,
                etag: footer.file.meta.e_tag,
                projection: opening.projection.clone(),
                own_names: footer.own_names,
                metadata,
                schema_text: Arc::clone(&opening.text),
                earlier_schema_text: opening.earlier_text.clone(),
                in_seconds,
                valueless: footer.valueless,
                partition: footer.partition,
                divisible: Vec::new(),
            })
        })
        .collect()
}

fn opening(footer: &Footer, columns: &Columns) -> Opening {
    let parquet = footer.metadata.file_metadata().schema_descr();
    let roots = parquet.root_schema().get_fields().iter();
    let kept: HashSet<&str> = roots.map(|field| field.name()).collect();
    let planned = Schema::new(as_planned(&footer.schema, columns, &footer.own_names));
    let fields = planned
        .fields()
        .iter()
        .filter(|field| kept.contains(field.name().as_str()));
    let schema = Arc::new(Schema::new(fields.cloned().collect::<Vec<_>>()));
    let projection = columns.projection(parquet, &footer.own_names, &footer.partition);
    let is_read = |leaf: usize| projection.leaf_included(leaf);
    Opening {
        in_seconds: meant::in_seconds(parquet, &schema, is_read)
            .map(|seconds| (seconds, meant::with_int96(parquet, is_read))),
        earlier_text: footer.earlier.as_ref().map(|earlier| {
            let fields = earlier.fields().iter();
            let fields = fields.map(|field| {
                let name = footer.own_names.planned(field.name());
                Field::clone(field).with_name(name)
            });
            let adopted = Schema::new(fields.collect::<Vec<_>>());
            let planned = as_planned(&adopted, columns, &footer.own_names);
            Schema::new(planned).to_string().into()
        }),
        schema,
        text: planned.to_string().into(),
        projection,
    }
}

/// The reader's view of a file, in some types.
fn typed(metadata: &Arc<ParquetMetaData>, schema: &SchemaRef) -> Result<ArrowReaderMetadata, Damage> {
    let options = ArrowReaderOptions::new().with_schema(Arc::clone(schema));
    reading(|| ArrowReaderMetadata::try_new(Arc::clone(metadata), options))
}

/// The file's own columns with the planned types, as far as decoding alone can give them.
fn as_planned(schema: &Schema, columns: &Columns, own_names: &OwnNames) -> Vec<FieldRef> {
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
    fields.collect()
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
