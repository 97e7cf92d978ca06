//! The passes of a chunk, with models made up for the purpose.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::{AsArray, Float32Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Float32Type, Schema};
use bytes::Bytes;

use super::super::Measure;
use super::*;
use crate::batch::{ChunkId, FeatureBatch, Parallelism};
use crate::clock::SystemClock;
use crate::contract::Contract;
use crate::registry::ModelArtifact;
use crate::settings::StorageSettings;
use crate::storage::Place;
use crate::validate::Location;

/// A device that has room for so many rows at a time, and gives each row its feature back.
struct Small {
    rows: usize,
    refused: AtomicUsize,
}

impl Model for Small {
    fn forward(&self, inputs: &[InputTensor]) -> Result<Vec<ArrayRef>, ModelError> {
        let values = inputs[0].data.typed_data::<f32>();
        if values.len() > self.rows {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Err(ModelError::DeviceMemory {
                device: "cuda:0".to_owned(),
                rows: values.len(),
                reason: "CUDA out of memory".to_owned(),
            });
        }
        Ok(vec![Arc::new(Float32Array::from(values.to_vec()))])
    }
}

fn preprocessor() -> Preprocessor {
    let text = br#"{"name": "echo", "version": "1", "created_at": "2026-11-18T06:00:00Z", "sha256": "0000000000000000000000000000000000000000000000000000000000000000", "torch_version": "2.11.0",
        "features": [{"name": "x", "kind": "numeric", "dtype": "float32"}],
        "inputs": [{"name": "x", "dtype": "float32", "shape": [-1, 1], "columns": ["x"]}],
        "outputs": [{"column": "y", "dtype": "float32", "shape": [-1, 1], "activation": "identity"}]}"#;
    let location = Location::Local("/nowhere".into());
    let artifact = ModelArtifact {
        contract: Contract::from_json(text, "metadata.json").unwrap_or_else(|error| panic!("{error}")),
        model: Bytes::new(),
        files: std::collections::BTreeMap::default(),
        metadata_sha256: String::new(),
        place: Place::open(&location, &StorageSettings::default()).unwrap(),
    };
    Preprocessor::new(&artifact).unwrap()
}

fn chunk(rows: u16) -> FeatureBatch {
    let schema = Schema::new(vec![Field::new("x", DataType::Float32, true)]);
    let values = Float32Array::from_iter_values((0..rows).map(f32::from));
    FeatureBatch {
        chunk: ChunkId(0),
        first: 0,
        columns: RecordBatch::try_new(Arc::new(schema), vec![Arc::new(values)]).unwrap(),
        origins: Vec::new(),
        lost: Vec::new(),
        unfit: Vec::new(),
        encoded: std::collections::BTreeMap::default(),
    }
}

fn run(model: &Small, tuner: &Tuner, parallelism: Parallelism, rows: u16) -> Result<Vec<f32>, ModelError> {
    let preprocessor = preprocessor();
    let prepared = preprocessor.prepare(&chunk(rows), parallelism, &SystemClock).unwrap();
    let evidence = Evidence::default();
    let pass = Pass {
        model,
        preprocessor: &preprocessor,
        tuner,
        parallelism,
        evidence: &evidence,
        tolerated: 0,
        clock: &SystemClock,
    };
    let forwarded = forward(&prepared, pass)?;
    Ok(forwarded.predictions.outputs[0]
        .as_primitive::<Float32Type>()
        .values()
        .to_vec())
}

fn size(rows: usize) -> BatchSize {
    BatchSize { rows, tokens: None }
}

#[test]
fn a_batch_that_does_not_fit_the_device_is_halved_until_it_does_and_no_row_is_lost() {
    for (parallelism, rows) in [(Parallelism::Chunks, 1_000), (Parallelism::Rows, 999)] {
        let model = Small {
            rows: 40,
            refused: AtomicUsize::new(0),
        };
        let tuner = Tuner::fixed(size(512));
        let found = run(&model, &tuner, parallelism, rows).unwrap();
        assert_eq!(found, (0..rows).map(f32::from).collect::<Vec<_>>());
        // 512, 256, 128 and 64 rows are too many; the rest of the run keeps to what did fit.
        assert!(tuner.chosen().rows <= 40, "{:?}", tuner.chosen());
        let refused = model.refused.load(Ordering::Relaxed);
        let again = run(&model, &tuner, parallelism, rows).unwrap();
        assert_eq!(again.len(), usize::from(rows));
        assert_eq!(model.refused.load(Ordering::Relaxed), refused);
    }
}

#[test]
fn a_device_without_room_for_a_single_row_is_an_error() {
    let model = Small {
        rows: 0,
        refused: AtomicUsize::new(0),
    };
    let error = run(&model, &Tuner::fixed(size(8)), Parallelism::Chunks, 20).unwrap_err();
    assert!(error.is_device_memory(), "{error}");
}

#[test]
fn sizes_take_turns_and_results_stay_in_order() {
    let model = Small {
        rows: usize::MAX,
        refused: AtomicUsize::new(0),
    };
    let tuner = Tuner::measuring(size(7), &[size(3), size(7), size(11)], Measure::Wall);
    let found = run(&model, &tuner, Parallelism::Chunks, 1_000).unwrap();
    assert_eq!(found, (0..1_000u16).map(f32::from).collect::<Vec<_>>());
    assert_eq!(tuner.measured().len(), 3);
}
