//! Scores a date's partition of Parquet features with a TorchScript model and publishes it whole.
//!
//! A batch goes one way and carries its own luggage; each arrow is one type:
//!
//! ```text
//! jobs/*.toml -> JobSpec -> Job -> Plan -> ChunkBytes -> FeatureBatch -> InputTensor -> Predictions -> Part -> Spooled -> RunReport
//!                spec    validate  plan   read          read           preprocess    infer         write    publish   report
//! ```
//!
//! Modules stand in reading order. The stages of the line (`read`, `preprocess`, `infer`, `write`, `publish`) do not know one another:
//! `score` puts them in a row for one chunk, `pipeline` runs chunks side by side, and `run` is the sentence of the program.

// Words.
pub mod batch;
pub mod clock;
pub mod digest;
pub mod error;
pub mod events;
pub mod exit;
pub mod failpoint;
pub mod guard;
pub mod machine;
pub mod nonce;
pub mod shutdown;
pub mod thrift;
pub mod visible;

// What is asked.
pub mod document;
pub mod problem;
pub mod schema;
pub mod settings;
pub mod spec;
pub mod schedule;
pub mod date;
pub mod validate;

// Doors to the world.
pub mod storage;
pub mod records;
pub mod hold;
pub mod contract;
pub mod registry;

// The line.
pub mod plan;
pub mod read;
pub mod preprocess;
pub mod infer;
pub mod output;
pub mod write;
pub mod rejects;
pub mod duplicates;
pub mod rescore;
pub mod checkpoint;
pub mod publish;
pub mod score;

pub mod pipeline;

// The sentence, and what is said afterwards.
pub mod golden;
pub mod report;
pub mod run;

// Looking after what is there.
pub mod history;
pub mod changed;
pub mod verify;
pub mod gc;

// What others are told.
pub mod ending;
pub mod metrics;
pub mod announce;

// Many runs.
pub mod child;
pub mod backfill;
pub mod daemon;

// Beside the line.
pub mod progress;
pub mod telemetry;

// The surface.
pub mod cli;
