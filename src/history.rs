//! What the records of a job say happened: publications by time, and one date in full.
//!
//! Reads only. Nothing but the state folder and a look at each partition is needed: no model, no input. That what the records say is true
//! is checked by `verify`.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDate, Utc};
use futures::{StreamExt, TryStreamExt, stream};
use serde::Serialize;

use crate::error::Seam;
use crate::exit::ExitCode;
use crate::hold::{Hold, HoldError, Seat};
use crate::publish::{Owner, Partition, PublishError, Shown, Stamp, Standing};
use crate::records::{ChunkFolder, DateFolder, Entry, Log, PlanRecord, PublishedRecord, dates};
use crate::settings::Settings;
use crate::storage::{Place, StorageError};
use crate::validate::Job;

/// Dates that are looked at a time.
const CONCURRENT_DATES: usize = 16;

/// The records of a job.
pub struct History {
    job: String,
    dataset: Place,
    state: Place,
}

/// A publication, as it is listed.
#[derive(Debug, Clone, Serialize)]
pub struct Publication {
    /// The date.
    pub date: NaiveDate,
    /// Its number in the log of the date.
    pub seq: u64,
    /// When readers saw it first, by the clock of the machine that made it visible.
    pub published_at: DateTime<Utc>,
    /// What was done.
    pub plan_id: String,
    /// Version of the model, where a record still says it.
    pub model_version: Option<String>,
    /// Rows read.
    pub rows_in: u64,
    /// Rows written.
    pub rows_out: u64,
    /// Rows not scored.
    pub rows_rejected: u64,
    /// Files.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Seconds of the run; none when another process finished it.
    pub seconds: Option<f64>,
    /// The process that made it visible.
    pub holder: String,
    /// Whether readers see it now.
    pub current: bool,
}

/// Publications of a job.
#[derive(Debug, Clone, Serialize)]
pub struct Publications {
    /// The job.
    pub job: String,
    /// The newest, newest first.
    pub publications: Vec<Publication>,
    /// Publications in all, of the dates that were asked for.
    pub total: usize,
    /// Dates of which the last run published nothing, or is under way, newest first.
    pub unfinished: Vec<NaiveDate>,
    /// Records that cannot be read.
    pub unreadable: Vec<String>,
}

/// One date in full.
#[derive(Debug, Clone, Serialize)]
pub struct DateHistory {
    /// The job.
    pub job: String,
    /// The date.
    pub date: NaiveDate,
    /// The publication that was asked for, else the one that readers see.
    pub record: Option<PublishedRecord>,
    /// Number of the publication that readers see.
    pub visible: Option<u64>,
    /// Number of a commit that readers do not see yet.
    pub pending: Option<u64>,
    /// Who works at the date now.
    pub held_by: Option<Seat>,
    /// The log, oldest first.
    pub log: Vec<Entry>,
    /// Numbers of its records that cannot be read.
    pub unreadable: Vec<u64>,
    /// Plans that were begun and never committed.
    pub unfinished: Vec<Unfinished>,
}

/// A plan that was begun and never committed.
#[derive(Debug, Clone, Serialize)]
pub struct Unfinished {
    /// The plan.
    pub plan_id: String,
    /// When it was made; none when its record cannot be read.
    pub created_at: Option<DateTime<Utc>>,
    /// Chunks that are finished.
    pub done: usize,
    /// Chunks.
    pub chunks: Option<usize>,
}

/// A record that is there, by what the listing says.
struct Listed {
    written: DateTime<Utc>,
    date: NaiveDate,
    seq: u64,
}

impl History {
    /// The records of a job. Nothing is read yet.
    pub fn open(job: &Job, settings: &Settings) -> Result<Self, StorageError> {
        Ok(Self {
            job: job.name.clone(),
            dataset: Place::open(&job.output, &settings.storage)?,
            state: Place::open(&job.state, &settings.storage)?,
        })
    }

    /// The newest publications of some dates, newest first.
    pub async fn publications(
        &self,
        wanted: impl Fn(NaiveDate) -> bool,
        most: usize,
    ) -> Result<Publications, HistoryError> {
        let dates = dates(&self.state, &self.job).await?;
        let dates = dates.into_iter().filter(|date| wanted(*date));
        let listed = stream::iter(dates).map(async |date| self.listed(date).await);
        let listed: Vec<_> = listed.buffer_unordered(CONCURRENT_DATES).try_collect().await?;
        let (listed, unfinished): (Vec<_>, Vec<_>) = listed.into_iter().unzip();
        let mut unfinished: Vec<_> = unfinished.into_iter().flatten().collect();
        unfinished.sort_unstable_by_key(|date| Reverse(*date));
        let mut listed: Vec<Listed> = listed.into_iter().flatten().collect();
        let total = listed.len();
        // By the store's clock, which the listing has; only what is shown is read.
        listed.sort_by_key(|listed| Reverse((listed.written, listed.date, listed.seq)));
        listed.truncate(most);

        let shown = self.shown(&listed).await?;
        let mut publications = Vec::with_capacity(listed.len());
        let mut unreadable = Vec::new();
        for Listed { date, seq, .. } in listed {
            let folder = self.folder(date);
            match PublishedRecord::of(&folder, seq).await? {
                Some(record) => publications.push(publication(&folder, &record, shown.get(&date)).await?),
                None => unreadable.push(format!("{}/{seq}", folder.published().location())),
            }
        }
        publications.sort_by_key(|publication| Reverse((publication.published_at, publication.date, publication.seq)));
        Ok(Publications {
            job: self.job.clone(),
            publications,
            total,
            unfinished,
            unreadable,
        })
    }

    /// The publications of a date, and the date where the log goes on after them.
    async fn listed(&self, date: NaiveDate) -> Result<(Vec<Listed>, Option<NaiveDate>), StorageError> {
        let folder = self.folder(date);
        let listed = PublishedRecord::listed(&folder).await?;
        let head = Log::listed_head(&folder.log()).await?;
        let newest = listed.iter().map(|(seq, _)| *seq).max();
        let of_date = |(seq, written)| Listed { written, date, seq };
        Ok((
            listed.into_iter().map(of_date).collect(),
            (head > newest).then_some(date),
        ))
    }

    /// What readers see of the dates of some records.
    async fn shown(&self, listed: &[Listed]) -> Result<BTreeMap<NaiveDate, Stamp>, PublishError> {
        let dates: BTreeSet<_> = listed.iter().map(|listed| listed.date).collect();
        let looks = stream::iter(dates).map(async |date| {
            let shown = self.partition(date).look(&crate::publish::file_name(0)).await?;
            Ok::<_, PublishError>((date, shown))
        });
        let shown: Vec<_> = looks.buffer_unordered(CONCURRENT_DATES).try_collect().await?;
        let ours = shown.into_iter().filter_map(|(date, shown)| match shown {
            Shown::Ours(stamp, _) => Some((date, stamp)),
            Shown::Nothing | Shown::Foreign(_) => None,
        });
        Ok(ours.collect())
    }

    /// One date in full.
    pub async fn of_date(&self, date: NaiveDate, seq: Option<u64>) -> Result<DateHistory, HistoryError> {
        let folder = self.folder(date);
        let standing = Standing::read(&folder, &self.partition(date)).await?;
        let mut seqs: Vec<_> = PublishedRecord::listed(&folder).await?;
        seqs.sort_unstable();
        let visible = Some(standing.shown.seq()).filter(|seq| *seq > 0);
        let seqs: Vec<_> = seqs.into_iter().map(|(seq, _)| seq).collect();
        let wanted = seq
            .or(visible.filter(|seq| seqs.contains(seq)))
            .or(seqs.last().copied());
        let record = match wanted {
            Some(wanted) => PublishedRecord::of(&folder, wanted).await?,
            None => None,
        };
        if let (Some(seq), None) = (seq, &record) {
            return Err(HistoryError::Absent { seq, date, seqs });
        }
        Ok(DateHistory {
            job: self.job.clone(),
            date,
            record,
            visible,
            pending: standing.pending().map(|commit| commit.n),
            held_by: Hold::look(&folder).await?,
            unfinished: unfinished(&folder, &standing.log).await?,
            unreadable: standing.log.unreadable().collect(),
            log: standing.log.entries().map(|(_, entry)| entry.clone()).collect(),
        })
    }

    /// The plan of what readers see of a date; none where they see nothing, or where its record is gone.
    pub async fn visible_plan(&self, found: &DateHistory) -> Result<Option<PlanRecord>, StorageError> {
        match found.visible_plan_id() {
            Some(plan_id) => PlanRecord::of(&self.folder(found.date), plan_id).await,
            None => Ok(None),
        }
    }

    fn folder(&self, date: NaiveDate) -> DateFolder {
        DateFolder::new(&self.state, &self.job, date)
    }

    fn partition(&self, date: NaiveDate) -> Partition {
        let owner = Owner {
            job: self.job.clone(),
            date,
        };
        Partition::new(self.dataset.join(&format!("date={date}")), owner, false)
    }
}

impl DateHistory {
    /// The plan of what readers see, by the log or else by the record of the publication.
    fn visible_plan_id(&self) -> Option<&str> {
        let visible = self.visible?;
        let by_log = self.log.iter().rev().find_map(|entry| match entry {
            Entry::Commit(commit) if commit.n <= visible => Some(commit),
            Entry::Commit(_) | Entry::Open(_) => None,
        });
        let by_record = self.record.as_ref().map(|record| &record.commit);
        let commit = by_log.or(by_record.filter(|commit| commit.n == visible))?;
        Some(&commit.plan_id)
    }

    /// True when nothing was ever begun for the date.
    pub fn is_empty(&self) -> bool {
        self.record.is_none() && self.log.is_empty() && self.unreadable.is_empty() && self.unfinished.is_empty()
    }
}

/// A publication of a record. What a run says of itself is in its report; where there is none, the plan still knows the model.
async fn publication(
    folder: &DateFolder,
    record: &PublishedRecord,
    shown: Option<&Stamp>,
) -> Result<Publication, StorageError> {
    let commit = &record.commit;
    let model_version = match record.report["model"]["version"].as_str() {
        Some(version) => Some(version.to_owned()),
        None => PlanRecord::of(folder, &commit.plan_id)
            .await?
            .map(|plan| plan.model.version),
    };
    Ok(Publication {
        date: folder.date(),
        seq: commit.n,
        published_at: record.at,
        plan_id: commit.plan_id.clone(),
        model_version,
        rows_in: commit.rows_in,
        rows_out: commit.rows_out,
        rows_rejected: commit.rows_rejected,
        files: commit.files.len(),
        bytes: commit.files.iter().map(|file| file.size).sum(),
        seconds: record.report["seconds"].as_f64(),
        holder: record.holder.clone(),
        current: shown == Some(&Stamp::of_commit(commit)),
    })
}

/// Plans that no commit names, and how far they got.
async fn unfinished(folder: &DateFolder, log: &Log) -> Result<Vec<Unfinished>, StorageError> {
    let mut unfinished = Vec::new();
    for plan_id in folder.plans().folders().await? {
        if log.commits().any(|commit| commit.plan_id == plan_id) {
            continue;
        }
        let plan = PlanRecord::of(folder, &plan_id).await?;
        let done = match &plan {
            Some(plan) => ChunkFolder::new(folder, plan).done().await?.len(),
            None => 0,
        };
        unfinished.push(Unfinished {
            done,
            created_at: plan.as_ref().map(|plan| plan.created_at),
            chunks: plan.map(|plan| plan.chunks.len()),
            plan_id,
        });
    }
    Ok(unfinished)
}

/// Why the history of a job cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// There is no such publication.
    #[error("there is no record of a publication {seq} of {date}")]
    Absent {
        /// The number that was asked for.
        seq: u64,
        /// The date.
        date: NaiveDate,
        /// Numbers that there are.
        seqs: Vec<u64>,
    },
    /// The lock or lease could not be looked at.
    #[error(transparent)]
    Hold(#[from] HoldError),
    /// The partition could not be looked at.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The store failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Seam for HistoryError {
    fn exit(&self) -> ExitCode {
        match self {
            Self::Absent { .. } => ExitCode::Usage,
            Self::Hold(error) => error.exit(),
            Self::Publish(error) => error.exit(),
            Self::Storage(error) => error.exit(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Absent { seqs, .. } if seqs.is_empty() => Some("nothing was published for this date yet".to_owned()),
            Self::Absent { seqs, .. } => {
                let seqs: Vec<_> = seqs.iter().map(u64::to_string).collect();
                Some(format!("there are {}", seqs.join(", ")))
            }
            Self::Hold(error) => error.hint(),
            Self::Publish(error) => error.hint(),
            Self::Storage(error) => error.hint(),
        }
    }
}
