//! How a run ends: what it published, or why there was nothing to do.

use chrono::NaiveDate;
use serde::Serialize;

use crate::report::RunReport;

/// What a run did.
#[derive(Debug)]
pub enum Outcome {
    /// It scored and published.
    Published(Box<RunReport>),
    /// It found that there is nothing to publish for it.
    Nothing(Notice),
}

/// Why a run published nothing, in a few words.
#[derive(Debug, Clone, Serialize)]
pub struct Notice {
    /// The job.
    pub job: String,
    /// The date.
    pub date: NaiveDate,
    /// Why.
    pub outcome: Verdict,
    /// Where the partition is.
    pub output: String,
    /// Number of what is published in the log of its date.
    pub seq: Option<u64>,
    /// Plan of what is published.
    pub plan_id: Option<String>,
    /// Rows of what is published.
    pub rows: Option<u64>,
    /// The key of the run, where a run of the same key has published something else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used_key: Option<String>,
    /// The earlier version of this program that has published it from the same input, model and job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub published_by: Option<&'static str>,
}

/// Why a run published nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Readers see what it would have made.
    AlreadyPublished,
    /// Another process works at it, and the settings say to skip then.
    Skipped,
    /// No row of what is published was rejected.
    NothingRejected,
    /// Rows were rejected, and whatever could change what becomes of them is as it was.
    NothingCorrected,
    /// Its shard is done, and others are not yet.
    ShardDone,
}

impl Notice {
    /// The notice for people.
    pub fn text(&self) -> String {
        let Self { job, date, output, .. } = self;
        match self.outcome {
            Verdict::AlreadyPublished => {
                let rows = self.rows.map_or(String::new(), |rows| format!(", {rows} rows"));
                let number = self
                    .seq
                    .map_or(String::new(), |seq| format!(" (publication {seq}{rows})"));
                let why = match (self.published_by, &self.used_key) {
                    (Some(version), _) => format!(
                        "published by {version} from the same input, model and job; nothing to do, and --force scores it again"
                    ),
                    (None, Some(key)) => format!(
                        "the run key `{key}` has published it from another input or with another model, and a new key publishes this one"
                    ),
                    (None, None) => "nothing to do".to_owned(),
                };
                format!("{job} for {date}: already published in {output}{number}; {why}\n")
            }
            Verdict::NothingRejected => format!("{job} for {date}: no row was rejected; nothing to do\n"),
            Verdict::NothingCorrected => format!(
                "{job} for {date}: input, model and policy are those by which rows were rejected; nothing to do\n"
            ),
            Verdict::Skipped => format!("{job} for {date}: another process works on it; skipped\n"),
            Verdict::ShardDone => format!("{job} for {date}: this shard is done, others are not yet\n"),
        }
    }
}
