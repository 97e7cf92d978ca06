//! The plan of a commit and its parts: whether the files could be made again from them.
//!
//! Readers do not depend on parts, so nothing here is an error.

use sha2::{Digest, Sha256};

use super::{Finding, Subject};
use crate::digest::hex;
use crate::records::{ChunkFolder, Commit, PlanRecord};
use crate::run::Desk;
use crate::storage::StorageError;

/// Chunks that are named before the rest is counted.
const NAMED: usize = 10;

/// What is missing for making the files of a commit again.
pub(super) async fn compare(desk: &Desk, commit: &Commit) -> Result<Vec<Finding>, StorageError> {
    let folder = desk.date.plan(&commit.plan_id);
    let warning = |what: String| {
        Finding::warning(Subject::Parts, folder.location(), what).hint(
            "readers do not need it; without it a damaged file cannot be brought back, and only `run --force` helps",
        )
    };
    let Some(plan) = PlanRecord::of(&desk.date, &commit.plan_id).await? else {
        return Ok(vec![warning(
            "the record of the plan is missing or cannot be read".to_owned(),
        )]);
    };
    let chunks = ChunkFolder::new(&desk.date, &plan);
    let done = chunks.done().await?;
    let mut digest = Sha256::new();
    let (mut unfinished, mut damaged) = (Vec::new(), Vec::new());
    for chunk in 0..plan.chunks.len() {
        let Some(done) = done.get(&chunk) else {
            unfinished.push(chunk);
            continue;
        };
        let rejects = match &done.rejects {
            Some(file) => chunks.rejects(file).await?.is_some(),
            None => true,
        };
        if !rejects || chunks.part(done).await?.is_none() {
            damaged.push(chunk);
        }
        digest.update(done.part.sha256.as_bytes());
    }
    let mut findings = Vec::new();
    for (found, what) in [
        (&unfinished, "records of chunks are missing or cannot be read"),
        (&damaged, "parts of chunks are missing or damaged"),
    ] {
        if !found.is_empty() {
            let counts = (format!("all of {}", plan.chunks.len()), format!("not {}", named(found)));
            findings.push(warning(what.to_owned()).expected(counts.0, counts.1));
        }
    }
    let digest = hex(&digest.finalize());
    if findings.is_empty() && digest != commit.chunks_digest {
        let other = warning("the parts are other rows than those that were published".to_owned());
        findings.push(other.expected(&commit.chunks_digest, digest));
    }
    Ok(findings)
}

/// Numbers of chunks, of which many are counted.
fn named(chunks: &[usize]) -> String {
    let first: Vec<_> = chunks.iter().take(NAMED).map(usize::to_string).collect();
    let more = match chunks.len() {
        count if count > NAMED => format!(" and {} more", count - NAMED),
        _ => String::new(),
    };
    format!("{}{more}", first.join(", "))
}

#[cfg(test)]
mod tests {
    use super::named;

    #[test]
    fn many_chunks_are_counted() {
        assert_eq!(named(&[3]), "3");
        assert_eq!(
            named(&(0..12).collect::<Vec<_>>()),
            "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more"
        );
    }
}
