//! The files of a commit against what readers see under their names: stamp, size, digest, footer.

use std::cmp::Ordering;

use parquet::file::metadata::ParquetMetaData;
use sha2::{Digest, Sha256};

use super::{Finding, LOST, Subject, foreign, words};
use crate::digest::hex;
use crate::publish::{PublishError, Stamp};
use crate::records::{Commit, DataFile};
use crate::run::Desk;
use crate::storage::{Place, Seen, StorageError};

/// Bytes of a file that are held at a time.
const PIECE: u64 = 8 << 20;

/// What readers see of a commit.
pub(super) struct Files {
    /// What is wrong with them.
    pub(super) findings: Vec<Finding>,
    /// Number of the publication whose files they are; 0 when there are none.
    pub(super) seen: u64,
}

/// Compares every file of a commit. `again`: what helps when one is not as it was written.
pub(super) async fn compare(desk: &Desk, commit: &Commit, again: &str) -> Result<Files, PublishError> {
    let mut findings = Vec::new();
    let mut seen = 0;
    for (number, file) in commit.files.iter().enumerate() {
        let one = One {
            desk,
            commit,
            file,
            place: desk.partition.file(&file.name),
            again,
        };
        let of_file = one.compare().await?;
        findings.extend(of_file.findings);
        // The first file says which publication it is, as it does for those who publish.
        if number == 0 {
            seen = of_file.seen;
        }
    }
    Ok(Files { findings, seen })
}

/// One file of a commit.
struct One<'a> {
    desk: &'a Desk,
    commit: &'a Commit,
    file: &'a DataFile,
    place: Place,
    again: &'a str,
}

impl One<'_> {
    async fn compare(&self) -> Result<Files, PublishError> {
        let wanted = Stamp::of_commit(self.commit);
        let Some(seen) = self.place.look().await? else {
            let missing = self.wrong(Subject::File, "the file is missing");
            return Ok(Files {
                findings: vec![missing.expected(words(&wanted), "no file")],
                seen: 0,
            });
        };
        let footer = self.desk.partition.footer(&self.file.name, &seen).await?;
        let in_footer = footer.as_ref().and_then(Stamp::of);
        let in_metadata = Stamp::of_object(&seen);
        let Some(stamp) = in_metadata.as_ref().or(in_footer.as_ref()) else {
            return Ok(Files {
                findings: vec![foreign(self.place.location()).expected(words(&wanted), "no stamp of this program")],
                seen: 0,
            });
        };
        let findings = match stamp.seq.cmp(&wanted.seq) {
            Ordering::Less => {
                let pending = self.wrong(Subject::Visible, "what was decided last is not visible yet");
                vec![pending.expected(words(&wanted), words(stamp))]
            }
            Ordering::Greater => {
                let newer = Finding::error(Subject::Visible, self.place.location(), "it is newer than the log");
                vec![newer.expected(words(&wanted), words(stamp)).hint(LOST)]
            }
            Ordering::Equal => {
                let stamps = [("metadata", in_metadata.as_ref()), ("footer", in_footer.as_ref())];
                let mut findings = self.of_stamps(&wanted, stamps);
                findings.extend(self.of_bytes(&seen).await?);
                findings.extend(self.of_footer(footer.as_ref()));
                findings
            }
        };
        Ok(Files {
            findings,
            seen: stamp.seq,
        })
    }

    fn of_stamps(&self, wanted: &Stamp, stamps: [(&str, Option<&Stamp>); 2]) -> Vec<Finding> {
        let differing = stamps.into_iter().filter_map(|(place, stamp)| {
            let stamp = stamp.filter(|stamp| *stamp != wanted)?;
            let wrong = self.wrong(Subject::File, &format!("its {place} is that of another publication"));
            Some(wrong.expected(words(wanted), words(stamp)))
        });
        differing.collect()
    }

    async fn of_bytes(&self, seen: &Seen) -> Result<Vec<Finding>, StorageError> {
        let DataFile { size, sha256, .. } = self.file;
        let mut findings = Vec::new();
        if let Some(said) = seen.metadata("bi-sha256")
            && said != sha256
        {
            let wrong = self.wrong(Subject::File, "its metadata states another SHA-256");
            findings.push(wrong.expected(sha256, said));
        }
        if seen.size != *size {
            let wrong = self.wrong(Subject::File, "its size is not that of what was written");
            findings.push(wrong.expected(format!("{size} bytes"), format!("{} bytes", seen.size)));
            return Ok(findings);
        }
        let found = digest(&self.place, seen).await?;
        if found != *sha256 {
            let wrong = self.wrong(Subject::File, "its SHA-256 is not that of what was written");
            findings.push(wrong.expected(sha256, found));
        }
        Ok(findings)
    }

    fn of_footer(&self, footer: Option<&ParquetMetaData>) -> Vec<Finding> {
        let Some(footer) = footer else {
            return vec![self.wrong(Subject::File, "its footer cannot be read")];
        };
        let rows = u64::try_from(footer.file_metadata().num_rows()).unwrap_or(0);
        let counts = [
            ("rows", self.file.rows, rows),
            (
                "row groups",
                self.file.row_groups as u64,
                footer.num_row_groups() as u64,
            ),
        ];
        let differing = counts.into_iter().filter(|(_, expected, found)| expected != found);
        differing
            .map(|(what, expected, found)| {
                let wrong = self.wrong(Subject::File, &format!("its footer counts other {what}"));
                wrong.expected(expected, found)
            })
            .collect()
    }

    fn wrong(&self, subject: Subject, what: &str) -> Finding {
        Finding::error(subject, self.place.location(), what).hint(self.again)
    }
}

/// SHA-256 of an object, piece by piece, while it stays the version that was looked at.
async fn digest(place: &Place, seen: &Seen) -> Result<String, StorageError> {
    let mut digest = Sha256::new();
    let mut at = 0;
    while at < seen.size {
        let end = seen.size.min(at + PIECE);
        for bytes in place.read_ranges(&[at..end], Some(seen.version.etag())).await? {
            digest.update(&bytes);
        }
        at = end;
    }
    Ok(hex(&digest.finalize()))
}
