//! The types of carried columns on a day without a file: those of the nearest day that was published.
//!
//! A reader puts the files of all dates together, and most refuse a column that is text on one date and a number on the others. So an empty
//! day takes the types of its neighbours. Where nothing was published yet they are not known, and the columns are text.

use arrow::datatypes::Schema;
use chrono::NaiveDate;
use parquet::arrow::parquet_to_arrow_schema;
use tracing::warn;

use crate::error::Error;
use crate::output;
use crate::records::{DateFolder, PlanRecord, PublishedRecord, dates};
use crate::settings::StorageSettings;
use crate::storage::{Place, StorageError};
use crate::validate::Job;

/// Dates whose records are read. Beyond a month without one file something else is wrong.
const MOST_DATES: usize = 31;

/// The columns of the nearest publication that was made from files; none where there is no such publication.
pub(super) async fn known(job: &Job, settings: &StorageSettings) -> Result<Schema, Error> {
    let state = Place::open(&job.state, settings)?;
    let mut near = dates(&state, &job.name).await?;
    // The days before come first, so that what is published later changes nothing.
    near.sort_by_key(|date| (*date > job.date, days_between(*date, job.date)));
    for date in near.into_iter().take(MOST_DATES) {
        let folder = DateFolder::new(&state, &job.name, date);
        if let Some(columns) = published(&folder).await? {
            return Ok(columns);
        }
    }
    warn!(
        "the day has no file, and no day was published yet: the types of its keys and passthrough columns are not known, and they become text"
    );
    Ok(Schema::empty())
}

fn days_between(one: NaiveDate, other: NaiveDate) -> i64 {
    (one - other).num_days().abs()
}

/// The columns of what was published last for a date, where it was made from files.
async fn published(date: &DateFolder) -> Result<Option<Schema>, StorageError> {
    let Some(newest) = PublishedRecord::all(date).await?.pop() else {
        return Ok(None);
    };
    let Some(record) = PlanRecord::of(date, &newest.commit.plan_id).await? else {
        return Ok(None);
    };
    if record.inputs.is_empty() {
        return Ok(None);
    }
    Ok(columns(&record.template))
}

fn columns(template: &str) -> Option<Schema> {
    let metadata = output::template(template).ok()?;
    let file = metadata.file_metadata();
    parquet_to_arrow_schema(file.schema_descr(), file.key_value_metadata()).ok()
}
