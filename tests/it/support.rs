//! What the tests share: a fixture that makes a job with its input, the run of it, and what was published.

mod environment;
mod features;
mod fixture;
mod listener;
mod outcome;
mod partition;
mod registry;
mod watch;

pub(crate) use environment::{command, now, patient, process, repository, variable};
pub(crate) use features::{Features, cast_column, column_of, map_column, parquet_files, read_parquet, write_parquet};
pub(crate) use fixture::{DATE, JobFixture};
pub(crate) use listener::Listener;
pub(crate) use outcome::{Run, Tree};
pub(crate) use partition::{Partition, TOLERANCE, assert_close, integers, texts};
pub(crate) use registry::Models;
pub(crate) use watch::Watch;
