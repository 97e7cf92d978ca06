//! How a run ended, and what is remembered of it until the next one: whether it failed, and when one last succeeded.

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::exit::ExitCode;
use crate::records::{FORM, decode, encode};
use crate::storage::{Place, StorageError};

/// How a run ended.
#[derive(Debug, Clone)]
pub struct Ending {
    /// The job, where its file could be read.
    pub job: Option<String>,
    /// Name of its model.
    pub model: Option<String>,
    /// The date.
    pub date: Option<NaiveDate>,
    /// How the process ends.
    pub exit: ExitCode,
    /// When.
    pub at: DateTime<Utc>,
    /// Seconds from start to end.
    pub seconds: f64,
    /// The trace that it belongs to.
    pub trace_id: Option<String>,
    /// What it printed: a report, a notice or an error.
    pub printed: Value,
    /// The error for people.
    pub error: Option<String>,
}

/// What is remembered of the last run of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ended {
    /// Form of the record.
    pub v: u32,
    /// The date of the last run.
    pub date: Option<NaiveDate>,
    /// How it ended.
    pub exit_code: u8,
    /// When.
    pub at: DateTime<Utc>,
    /// When a run last succeeded.
    pub success_at: Option<DateTime<Utc>>,
}

impl Ending {
    /// The ending for machines: what was printed, and how the process ended.
    pub fn document(&self) -> Value {
        let mut document = self.printed.clone();
        if let Value::Object(fields) = &mut document {
            fields.insert("exit_code".to_owned(), self.exit.code().into());
            fields.insert("reason".to_owned(), self.exit.meaning().into());
            for (name, value) in [
                ("job", json!(self.job)),
                ("date", json!(self.date)),
                ("trace_id", json!(self.trace_id)),
            ] {
                fields.entry(name).or_insert(value);
            }
        }
        document
    }
}

impl Ended {
    /// What is to be remembered after a run.
    pub fn after(before: Option<&Self>, ending: &Ending) -> Self {
        // Whoever skipped a date, or did a part of it, has not brought it to its end.
        let partly = matches!(ending.printed["outcome"].as_str(), Some("skipped" | "shard_done"));
        let succeeded = ending.exit == ExitCode::Success && !partly;
        Self {
            v: FORM,
            date: ending.date,
            exit_code: ending.exit.code(),
            at: ending.at,
            success_at: if succeeded {
                Some(ending.at)
            } else {
                before.and_then(|before| before.success_at)
            },
        }
    }

    /// What is remembered of a job.
    pub async fn read(records: &Place) -> Result<Option<Self>, StorageError> {
        let found = place(records).read_record().await?;
        Ok(found.and_then(|(bytes, _)| decode(&bytes)))
    }

    /// Remembers it. Of two runs that end at once, one is remembered.
    pub async fn keep(&self, records: &Place) -> Result<(), StorageError> {
        place(records).write(encode(self)).await
    }
}

fn place(records: &Place) -> Place {
    records.join("ended.json")
}
