//! Whether what readers see is what was decided: partition, log, records and parts are compared, down to the bytes.
//!
//! Comparing changes nothing. `verify/repair.rs` brings back what was decided, by the way that every publication goes.

mod files;
mod parts;
mod repair;

use std::collections::BTreeSet;
use std::fmt;

use chrono::NaiveDate;
use serde::Serialize;

pub use repair::repair;

use crate::error::Error;
use crate::hold::{Hold, Seat};
use crate::publish::{PublishError, SUCCESS, Shown, Stamp};
use crate::records::{Commit, Log, PublishedRecord};
use crate::run::{Desk, Surroundings};
use crate::storage::StorageError;

/// What helps where the parts are there.
const REPAIR: &str = "`verify --repair` brings it back";

/// What helps where they are not.
const FORCE: &str = "parts of its plan are gone, so only `run --force` helps: it scores and publishes the date again";

/// What helps where records are gone.
const LOST: &str = "the state folder was lost or moved: put it back, or `run --force`, which goes on above this number";

/// What helps where something else wrote a file.
const ADOPT: &str =
    "move it away, or let it be replaced: --set output.adopt_foreign=true with `verify --repair` or `run --force`";

/// What a look at one date found.
#[derive(Debug, Clone, Serialize)]
pub struct Verified {
    /// The job.
    pub job: String,
    /// The date.
    pub date: NaiveDate,
    /// Whether anything was published.
    pub published: bool,
    /// Whether nothing contradicts anything.
    pub sound: bool,
    /// Number of the newest commit.
    pub seq: Option<u64>,
    /// Its plan.
    pub plan_id: Option<String>,
    /// The partition.
    pub path: String,
    /// Files of the commit.
    pub files: usize,
    /// Their rows.
    pub rows: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Who works at the date now.
    pub held_by: Option<Seat>,
    /// What was repaired before the look, in order.
    pub repaired: Vec<String>,
    /// What is wrong, or will be.
    pub findings: Vec<Finding>,
}

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What it is about.
    pub subject: Subject,
    /// Where.
    pub place: String,
    /// What is wrong there.
    pub what: String,
    /// What should be there.
    pub expected: Option<String>,
    /// What is.
    pub found: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Readers see, or are told, something else than what was decided.
    Error,
    /// Readers see what was decided; something beside it is damaged.
    Warning,
}

/// What a finding is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// The log.
    Log,
    /// Which publication readers see.
    Visible,
    /// A file that is ours and not as it was written.
    File,
    /// A file that something else wrote.
    Foreign,
    /// A file beside those of the publication.
    Surplus,
    /// The record of the publication.
    Record,
    /// The marker.
    Marker,
    /// The plan and its parts.
    Parts,
}

impl Finding {
    fn new(severity: Severity, subject: Subject, place: impl fmt::Display, what: impl Into<String>) -> Self {
        Self {
            severity,
            subject,
            place: place.to_string(),
            what: what.into(),
            expected: None,
            found: None,
            hint: None,
        }
    }

    fn error(subject: Subject, place: impl fmt::Display, what: impl Into<String>) -> Self {
        Self::new(Severity::Error, subject, place, what)
    }

    fn warning(subject: Subject, place: impl fmt::Display, what: impl Into<String>) -> Self {
        Self::new(Severity::Warning, subject, place, what)
    }

    fn expected(mut self, expected: impl fmt::Display, found: impl fmt::Display) -> Self {
        self.expected = Some(expected.to_string());
        self.found = Some(found.to_string());
        self
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl Verified {
    /// True when a finding says that something readers see or are told is wrong.
    fn is_wrong(&self, subject: Subject) -> bool {
        self.findings
            .iter()
            .any(|finding| finding.subject == subject && finding.severity == Severity::Error)
    }
}

/// Compares what readers see with what was decided.
pub fn verify(desk: &Desk, job: &str, around: &Surroundings<'_>) -> Result<Verified, Error> {
    let held_by = around.wait(Hold::look(&desk.date))?;
    let mut verified = around.wait(compare(desk, job))?;
    verified.held_by = held_by;
    Ok(verified)
}

async fn compare(desk: &Desk, job: &str) -> Result<Verified, PublishError> {
    let log = Log::read(&desk.date.log()).await?;
    let mut findings = of_log(desk, &log);
    let mut verified = Verified {
        job: job.to_owned(),
        date: desk.date.date(),
        published: false,
        sound: true,
        seq: None,
        plan_id: None,
        path: desk.partition.place().location().to_string(),
        files: 0,
        rows: 0,
        bytes: 0,
        held_by: None,
        repaired: Vec::new(),
        findings: Vec::new(),
    };
    if let Some(commit) = log.newest_commit() {
        let parts = parts::compare(desk, commit).await?;
        let again = if parts.is_empty() { REPAIR } else { FORCE };
        let files = files::compare(desk, commit, again).await?;
        verified.published = files.seen > 0;
        verified.seq = Some(commit.n);
        verified.plan_id = Some(commit.plan_id.clone());
        verified.files = commit.files.len();
        verified.rows = commit.rows_out;
        verified.bytes = commit.files.iter().map(|file| file.size).sum();
        findings.extend(files.findings);
        findings.extend(surplus(desk, commit, again).await?);
        // What is not visible yet has no record and no marker yet.
        if files.seen == commit.n {
            findings.extend(of_record(desk, commit).await?);
            findings.extend(of_marker(desk).await?);
        }
        findings.extend(parts);
    } else {
        findings.extend(undecided(desk, &mut verified).await?);
    }
    verified.sound = findings.iter().all(|finding| finding.severity == Severity::Warning);
    verified.findings = findings;
    Ok(verified)
}

fn of_log(desk: &Desk, log: &Log) -> Vec<Finding> {
    let folder = desk.date.log();
    let gaps = log.gaps().into_iter().map(|(first, last)| {
        let numbers = if first == last {
            first.to_string()
        } else {
            format!("{first} to {last}")
        };
        Finding::warning(Subject::Log, folder.location(), "records are missing")
            .expected(format!("records {numbers}"), "none")
            .hint("publishing goes on above them; what they said is lost")
    });
    let unread = log.unreadable().map(|number| {
        Finding::warning(
            Subject::Log,
            folder.location(),
            format!("record {number} cannot be read"),
        )
        .hint("publishing goes on above it; it counts as a run of somebody else")
    });
    gaps.chain(unread).collect()
}

/// What is there although nothing was decided.
async fn undecided(desk: &Desk, verified: &mut Verified) -> Result<Vec<Finding>, PublishError> {
    let mut findings = Vec::new();
    for name in data_files(desk).await?.0 {
        let place = desk.partition.file(&name);
        findings.push(match desk.partition.look(&name).await? {
            Shown::Ours(stamp, _) => {
                verified.published = true;
                Finding::error(
                    Subject::Visible,
                    place.location(),
                    "the log does not say where it is from",
                )
                .expected(
                    "no file, for the log holds no commit",
                    format!("publication {}", stamp.seq),
                )
                .hint(LOST)
            }
            Shown::Foreign(_) => foreign(place.location()),
            Shown::Nothing => continue,
        });
    }
    Ok(findings)
}

fn foreign(place: impl fmt::Display) -> Finding {
    Finding::error(
        Subject::Foreign,
        place,
        "it was not written by this program, or is damaged beyond its footer",
    )
    .hint(ADOPT)
}

/// Files that readers may take for data, and others beside them; by their names below the partition.
async fn data_files(desk: &Desk) -> Result<(Vec<String>, Vec<String>), StorageError> {
    let partition = desk.partition.place();
    let listed = partition.list().await?;
    let mut names: Vec<String> = listed
        .iter()
        .filter_map(|meta| {
            let below: Vec<_> = meta.location.prefix_match(partition.path())?.collect();
            Some(below.iter().map(AsRef::as_ref).collect::<Vec<_>>().join("/"))
        })
        .filter(|name| name != SUCCESS)
        .collect();
    names.sort_unstable();
    Ok(names.into_iter().partition(|name| {
        std::path::Path::new(name)
            .extension()
            .is_some_and(|extension| extension.eq_ignore_ascii_case("parquet"))
    }))
}

/// Files beside those of the commit.
async fn surplus(desk: &Desk, commit: &Commit, again: &str) -> Result<Vec<Finding>, PublishError> {
    let named: BTreeSet<_> = commit.files.iter().map(|file| file.name.as_str()).collect();
    let (data, others) = data_files(desk).await?;
    let mut findings = Vec::new();
    for name in data.iter().filter(|name| !named.contains(name.as_str())) {
        let place = desk.partition.file(name);
        let finding = Finding::error(
            Subject::Surplus,
            place.location(),
            "readers take it for rows of this date, and it is no file of the publication",
        );
        let ours = matches!(desk.partition.look(name).await?, Shown::Ours(..));
        let hint = if ours && desk.partition.names().await?.contains(name) {
            again
        } else {
            "move it away; it is not removed, for this program did not write it there"
        };
        findings.push(finding.hint(hint));
    }
    findings.extend(others.iter().map(|name| {
        let place = desk.partition.file(name);
        Finding::warning(
            Subject::Surplus,
            place.location(),
            "some readers take any file for data",
        )
        .hint("move it away")
    }));
    Ok(findings)
}

async fn of_record(desk: &Desk, commit: &Commit) -> Result<Vec<Finding>, PublishError> {
    let place = desk.date.published();
    let wrong = |what: &str| Finding::error(Subject::Record, place.location(), what).hint(REPAIR);
    let Some(record) = PublishedRecord::of(&desk.date, commit.n).await? else {
        let missing = wrong("the record of the publication is missing or cannot be read");
        return Ok(vec![missing.expected(format!("a record {}", commit.n), "none")]);
    };
    let mut findings = Vec::new();
    if record.commit != *commit {
        findings.push(wrong("the record says something else than the log").expected(
            format!("plan {}, nonce {}", commit.plan_id, commit.nonce),
            format!("plan {}, nonce {}", record.commit.plan_id, record.commit.nonce),
        ));
    }
    for (file, kept) in commit.files.iter().zip(&record.etags) {
        let shown = desk.partition.look(&file.name).await?;
        if let (Some(kept), Shown::Ours(_, version)) = (kept, shown)
            && kept != version.etag()
        {
            let place = desk.partition.file(&file.name);
            findings.push(
                Finding::warning(
                    Subject::Record,
                    place.location(),
                    "it was written again after it was published",
                )
                .expected(format!("ETag {kept}"), version.etag())
                .hint("its bytes are compared apart from this; readers that compare ETags take it for another version"),
            );
        }
    }
    Ok(findings)
}

async fn of_marker(desk: &Desk) -> Result<Option<Finding>, PublishError> {
    if !desk.showing.marker {
        return Ok(None);
    }
    let place = desk.partition.file(SUCCESS);
    let wrong = |what: &str, found: String| {
        Finding::error(Subject::Marker, place.location(), what)
            .expected("an empty file", found)
            .hint(REPAIR)
    };
    Ok(match place.head().await? {
        None => Some(wrong("the marker is missing", "none".to_owned())),
        Some(meta) if meta.size > 0 => Some(wrong("the marker is not empty", format!("{} bytes", meta.size))),
        Some(_) => None,
    })
}

/// Number, plan and nonce in words.
fn words(stamp: &Stamp) -> String {
    format!(
        "publication {}, plan {}, nonce {}",
        stamp.seq, stamp.plan_id, stamp.nonce
    )
}
