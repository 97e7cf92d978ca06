//! The columns of files as their schemas state them: read once for all files that state the same, and shared.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::datatypes::{Schema, SchemaRef};
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::errors::ParquetError;
use parquet::file::metadata::{FileMetaData, KeyValue, ParquetMetaData, ParquetMetaDataReader};
use parquet::schema::types::{SchemaDescPtr, SchemaDescriptor, Type};
use sha2::{Digest, Sha256};

use super::damage::{Damage, reading};
use super::meant::{self, Meant};
use super::wanted::Wanted;

/// Key under which Arrow keeps its own types in a footer.
pub(super) const ARROW_SCHEMA: &[u8] = b"ARROW:schema";

/// A list in the second field of a structure.
const SCHEMA_FIELD: u8 = 0x29;

/// The end of a structure.
const STOP: u8 = 0;

type Key = [u8; 32];

/// Columns that files have in common.
pub(super) struct Shape {
    key: Key,
    /// All columns of the files.
    pub(super) whole: SchemaDescPtr,
    /// Those that are asked for.
    pub(super) kept: SchemaDescPtr,
    /// For each column of the files, whether it is asked for.
    pub(super) keeps: Vec<bool>,
}

/// Every shape that was met.
pub(super) struct Shapes {
    pub(super) wanted: Wanted,
    known: Mutex<HashMap<Key, Arc<Shape>>>,
    schemas: Mutex<Schemas>,
}

#[derive(Default)]
struct Schemas {
    by_key: HashMap<Key, Meant>,
    /// Writers put into the same schema what differs from file to file, such as numbers of rows.
    distinct: HashSet<SchemaRef>,
}

impl Schemas {
    /// The schema that is the same, if there was one.
    fn shared(&mut self, schema: SchemaRef) -> SchemaRef {
        let shared = self.distinct.get(&schema).map_or(schema, Arc::clone);
        self.distinct.insert(Arc::clone(&shared));
        shared
    }
}

impl Shapes {
    pub(super) fn new(wanted: Wanted) -> Self {
        Self {
            wanted,
            known: Mutex::default(),
            schemas: Mutex::default(),
        }
    }

    /// The shape of a file, by the list of schema elements in its footer, which has been walked.
    pub(super) fn shape(&self, elements: &[u8]) -> Result<Arc<Shape>, Damage> {
        let key = Sha256::digest(elements).into();
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shape) = known.get(&key) {
            return Ok(Arc::clone(shape));
        }
        drop(known);
        let footer = [&[SCHEMA_FIELD], elements, &[STOP]].concat();
        let shape = reading(|| Shape::new(key, ParquetMetaDataReader::decode_schema(&footer)?, &self.wanted))?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Arc::clone(known.entry(key).or_insert_with(|| Arc::new(shape))))
    }

    /// The Arrow types of all columns of a shape; `stated` is what the writer says of them.
    pub(super) fn schema(&self, shape: &Shape, stated: Option<&[u8]>) -> Result<Meant, Damage> {
        let mut digest = Sha256::new_with_prefix(shape.key);
        digest.update([u8::from(stated.is_some())]);
        digest.update(stated.unwrap_or_default());
        let key = digest.finalize().into();
        let known = self.schemas.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(meant) = known.by_key.get(&key) {
            return Ok(meant.clone());
        }
        drop(known);
        let read = Arc::new(arrow_schema(shape, stated)?);
        let Meant { schema, earlier } = meant::by(&shape.whole, &read, self.wanted.binary_as_string);
        let mut known = self.schemas.lock().unwrap_or_else(PoisonError::into_inner);
        let meant = Meant {
            schema: known.shared(schema),
            earlier: earlier.map(|earlier| known.shared(earlier)),
        };
        known.by_key.insert(key, meant.clone());
        Ok(meant)
    }
}

impl Shape {
    fn new(key: Key, whole: SchemaDescPtr, wanted: &Wanted) -> Result<Self, ParquetError> {
        let root = whole.root_schema();
        let roots = root.get_fields();
        let takes: Vec<_> = roots.iter().map(|field| wanted.takes(field.name())).collect();
        let kept = if takes.iter().all(|&takes| takes) {
            Arc::clone(&whole)
        } else {
            let fields = roots.iter().zip(&takes).filter(|(_, takes)| **takes);
            let fields = fields.map(|(field, _)| Arc::clone(field)).collect();
            let root = Type::group_type_builder(root.name()).with_fields(fields).build()?;
            Arc::new(SchemaDescriptor::new(Arc::new(root)))
        };
        let leaves = 0..whole.num_columns();
        Ok(Self {
            key,
            keeps: leaves.map(|leaf| takes[whole.get_column_root_idx(leaf)]).collect(),
            kept,
            whole,
        })
    }
}

fn arrow_schema(shape: &Shape, stated: Option<&[u8]>) -> Result<Schema, Damage> {
    let pair = |value: &[u8]| {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        KeyValue::new(text(ARROW_SCHEMA), text(value))
    };
    let pairs = stated.map(|value| vec![pair(value)]);
    let file = FileMetaData::new(0, 0, None, pairs, Arc::clone(&shape.whole), None);
    let metadata = Arc::new(ParquetMetaData::new(file, Vec::new()));
    let arrow = |options| reading(|| ArrowReaderMetadata::try_new(Arc::clone(&metadata), options));
    let arrow = match arrow(ArrowReaderOptions::new()) {
        Ok(arrow) => arrow,
        // Types of Arrow that this reader does not know stand beside the types of Parquet, which it does.
        Err(error) => arrow(ArrowReaderOptions::new().with_skip_arrow_metadata(true)).map_err(|_| error)?,
    };
    // What else is said of the whole file is not asked for.
    Ok(Schema::new(arrow.schema().fields().clone()))
}
