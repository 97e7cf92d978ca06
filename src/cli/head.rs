//! `head`: prints the first rows of a Parquet file, so that nobody needs another tool to see what came out.

use arrow::array::RecordBatch;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::errors::ParquetError;

use super::args::HeadArgs;
use super::context::Context;
use crate::error::{Error, Seam};
use crate::exit::ExitCode;
use crate::storage::Place;
use crate::validate::Location;
use crate::visible;

pub(super) fn head(args: &HeadArgs, context: &Context) -> Result<ExitCode, Error> {
    let settings = context.settings(&[])?;
    let location = Location::parse("path", &args.path).map_err(|problem| HeadError::Path {
        path: args.path.clone(),
        reason: problem.to_string(),
    })?;
    let place = Place::open(&location, &settings.storage)?;
    let bytes = context.runtime()?.block_on(place.read())?;
    let bytes = bytes.ok_or_else(|| HeadError::Absent {
        path: args.path.clone(),
    })?;
    let rows = first_rows(bytes, args.rows).map_err(|source| HeadError::Parquet {
        path: args.path.clone(),
        source,
    })?;
    let table = visible::table(&rows).map_err(|error| HeadError::Parquet {
        path: args.path.clone(),
        source: error.into(),
    })?;
    context.write(&format!("{table}\n"));
    Ok(ExitCode::Success)
}

fn first_rows(bytes: bytes::Bytes, rows: usize) -> Result<Vec<RecordBatch>, ParquetError> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes)?
        .with_limit(rows)
        .build()?;
    reader.collect::<Result<_, _>>().map_err(ParquetError::from)
}

/// Why rows cannot be shown.
#[derive(Debug, thiserror::Error)]
enum HeadError {
    #[error("`{path}` {reason}")]
    Path { path: String, reason: String },
    #[error("there is no file `{path}`")]
    Absent { path: String },
    #[error("read `{path}` as Parquet")]
    Parquet { path: String, source: ParquetError },
}

impl Seam for HeadError {
    fn exit(&self) -> ExitCode {
        match self {
            Self::Path { .. } => ExitCode::Usage,
            Self::Absent { .. } => ExitCode::InputNotReady,
            Self::Parquet { .. } => ExitCode::BadRows,
        }
    }
}
