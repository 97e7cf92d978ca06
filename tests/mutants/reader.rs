//! Reads a file as a run does, under a job of all kinds of column, and says what came of it.

use std::fs;
use std::future::ready;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use batch_infer::document::Document;
use batch_infer::error::Seam;
use batch_infer::exit::ExitCode;
use batch_infer::plan::{Footers, Plan, Wanted};
use batch_infer::preprocess::Preprocessor;
use batch_infer::read::{self, ReadError, Tolerance};
use batch_infer::registry::Registry;
use batch_infer::settings::StorageSettings;
use batch_infer::storage::Place;
use batch_infer::validate::{self, Job};
use chrono::NaiveDate;
use tokio::runtime::Runtime;

/// Bytes that a chunk may take: little, so that too much is seen.
pub(crate) const MOST_BYTES: u64 = 64 << 20;

/// Rows of a chunk: each row group is cut.
const CHUNK_ROWS: usize = 50;

/// A job over one file.
pub(crate) struct Reader {
    runtime: Runtime,
    job: Job,
    input: Place,
    preprocessor: Preprocessor,
    wanted: Wanted,
    pub(crate) file: PathBuf,
}

/// What came of a file.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Its rows.
    Rows(RecordBatch),
    /// It was refused before anything was decoded.
    Planned(ExitCode, String),
    /// It was refused when it was decoded.
    Decoded(ExitCode, String),
}

impl Reader {
    /// Writes a job and a contract into a folder.
    pub(crate) fn new(folder: &Path) -> Self {
        let model = folder.join("models/corpus/1");
        fs::create_dir_all(&model).unwrap();
        // It is looked at and never run.
        let bytes = include_bytes!("../models/flattened/1/model.pt");
        fs::write(model.join("model.pt"), bytes).unwrap();
        let contract = CONTRACT.replace("SHA256", &batch_infer::digest::sha256(bytes));
        fs::write(model.join("metadata.json"), contract).unwrap();
        let file = folder.join("mutant.parquet");
        let job = JOB.replace("FOLDER", folder.to_str().unwrap());
        let date = NaiveDate::from_ymd_opt(2026, 11, 19).unwrap();
        let job =
            validate::read(&Document::new("job file", "job.toml", job), date).unwrap_or_else(|error| panic!("{error}"));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .build()
            .unwrap();
        let settings = StorageSettings::default();
        let registry = Registry::new(Place::open(&job.registry, &settings).unwrap());
        let artifact = runtime.block_on(registry.load("corpus", "1")).unwrap();
        Self {
            input: Place::open(&job.input, &settings).unwrap(),
            preprocessor: Preprocessor::new(&artifact).unwrap(),
            wanted: Wanted::of(&job, &artifact.contract),
            runtime,
            job,
            file,
        }
    }

    /// Reads a file that has these bytes.
    pub(crate) fn read(&self, bytes: &[u8]) -> Outcome {
        fs::write(&self.file, bytes).unwrap();
        let plan = self.runtime.block_on(async {
            let footers = Footers::of_input(&self.job, &self.input, ready(self.wanted.clone())).await?;
            Plan::make(&self.job, footers, &self.preprocessor, CHUNK_ROWS).await
        });
        let plan = match plan {
            Ok(plan) => plan,
            Err(error) => return Outcome::Planned(error.exit(), error.to_string()),
        };
        // A mutant may claim a hundred million rows. Reading some chunks shows what there is to see.
        let mut batches = Vec::new();
        for chunk in plan.chunks.iter().take(100) {
            match self.chunk(&plan, chunk) {
                Ok(pieces) => batches.extend(pieces),
                Err(error) => return Outcome::Decoded(error.exit(), error.in_full()),
            }
        }
        match batches.first() {
            None => Outcome::Rows(RecordBatch::new_empty(arrow::datatypes::Schema::empty().into())),
            Some(first) => Outcome::Rows(concat_batches(&first.schema(), &batches).unwrap()),
        }
    }

    /// The rows of a chunk; of one that takes too much memory, which no file of the corpus does, all pieces are read and the first is kept.
    fn chunk(&self, plan: &Plan, chunk: &batch_infer::plan::Chunk) -> Result<Option<RecordBatch>, ReadError> {
        let bytes = self.runtime.block_on(read::fetch(plan, chunk))?;
        let mut pieces = read::decode(plan, bytes, Tolerance::strict(MOST_BYTES))?.into_pieces();
        let first = pieces.next(plan)?;
        while pieces.next(plan)?.is_some() {}
        Ok(first.map(|batch| batch.columns))
    }
}

const JOB: &str = "
version = 1
name = 'corpus'
[input]
path = 'FOLDER/mutant.parquet'
keys = ['id']
passthrough = ['name', 'day', 'seen']
[model]
registry = 'FOLDER/models'
name = 'corpus'
version = '1'
[output]
path = 'FOLDER/predictions'
";

const CONTRACT: &str = r#"{
  "name": "corpus", "version": "1", "sha256": "SHA256", "format": "torchscript",
  "features": [
    {"name": "amount", "kind": "numeric", "dtype": "float64", "impute": 0.0},
    {"name": "price", "kind": "numeric", "dtype": "float64", "cast": "float"},
    {"name": "flag", "kind": "numeric", "dtype": "float32"},
    {"name": "count", "kind": "raw", "dtype": "int32"},
    {"name": "country", "kind": "categorical", "dtype": "string", "vocabulary": ["AT", "CH", "DE", "FR", "IT"]},
    {"name": "embedding", "kind": "vector", "dtype": "float32", "width": 4}
  ],
  "inputs": [
    {"name": "dense", "dtype": "float32", "shape": [-1, 7], "columns": ["amount", "price", "flag", "embedding"]},
    {"name": "count", "dtype": "int32", "shape": [-1, 1], "columns": ["count"]},
    {"name": "country", "dtype": "int64", "shape": [-1, 1], "columns": ["country"]}
  ],
  "outputs": [{"column": "score", "dtype": "float32", "shape": [-1, 1]}]
}"#;
