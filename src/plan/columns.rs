//! The columns of a run: which are read, which are carried to the output, and as what.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use parquet::arrow::ProjectionMask;
use parquet::schema::types::SchemaDescriptor;

use super::annotations::Annotations;
use super::names::OwnNames;

/// Columns that are read and columns that are carried.
#[derive(Debug, Clone)]
pub struct Columns {
    /// Names to read from each file, each once: keys, passthrough, features and what derived columns need.
    pub read: Vec<String>,
    /// Key columns as they will be written.
    pub keys: Vec<FieldRef>,
    /// Passthrough columns as they will be written.
    pub passthrough: Vec<FieldRef>,
    /// Types of columns of the path that stand once more, behind the others: as text for who carries them, and so for a feature.
    pub parsed: BTreeMap<String, DataType>,
    /// Type of each column that is read, the same for every file.
    pub types: BTreeMap<String, DataType>,
    /// What Parquet says of carried columns and Arrow does not, where all files say the same.
    pub annotations: BTreeMap<String, Annotations>,
}

impl Columns {
    /// Every column of a file.
    pub(super) fn of_schema(schema: Option<&Schema>) -> Self {
        let fields = schema.into_iter().flat_map(|schema| schema.fields().iter());
        let types: Vec<_> = fields
            .map(|field| (field.name().clone(), field.data_type().clone()))
            .collect();
        Self {
            read: types.iter().map(|(name, _)| name.clone()).collect(),
            keys: Vec::new(),
            passthrough: Vec::new(),
            parsed: BTreeMap::new(),
            types: types.into_iter().collect(),
            annotations: BTreeMap::new(),
        }
    }

    /// Columns that are carried where no file says their types: those that are known, and text for the others.
    pub(super) fn carried_as(keys: &[String], passthrough: &[String], known: &Schema) -> Self {
        let carried = |names: &[String]| -> Vec<FieldRef> {
            let fields = names.iter().map(|name| match known.field_with_name(name) {
                Ok(field) => Arc::new(field.clone()),
                Err(_) => Arc::new(Field::new(name, DataType::Utf8, true)),
            });
            fields.collect()
        };
        let (keys, passthrough) = (carried(keys), carried(passthrough));
        Self {
            read: Vec::new(),
            parsed: BTreeMap::new(),
            types: BTreeMap::new(),
            annotations: BTreeMap::new(),
            keys,
            passthrough,
        }
    }

    /// Keys and passthrough columns, in output order.
    pub fn carried(&self) -> impl Iterator<Item = &FieldRef> {
        self.keys.iter().chain(&self.passthrough)
    }

    /// The projection of one file.
    pub(super) fn projection(
        &self,
        schema: &SchemaDescriptor,
        own_names: &OwnNames,
        partition: &[(String, Option<String>)],
    ) -> ProjectionMask {
        // What a folder says is not read from the file.
        let folders: HashSet<&str> = partition.iter().map(|(key, _)| key.as_str()).collect();
        let read = self.read.iter().filter(|name| !folders.contains(name.as_str()));
        let read: HashSet<&str> = read.map(|name| own_names.of(name)).collect();
        let roots = schema.root_schema().get_fields().iter().enumerate();
        let wanted = roots.filter(|(_, field)| read.contains(field.name()));
        ProjectionMask::roots(schema, wanted.map(|(root, _)| root))
    }
}
