//! A model that throws on whatever it was given so far: rows of other chunks decide whether it is at fault, or the rows are.
//!
//! Bad rows stand together, so the first chunks of a date may hold nothing else. A model at fault should not cost a pass over the date
//! either; so a few chunks are looked at, far apart.

use std::sync::Arc;

use tracing::warn;

use super::Surroundings;
use crate::error::Error;
use crate::infer::Watch;
use crate::read;
use crate::score::Scorer;

/// Chunks that are looked at, at most.
const PLACES: usize = 16;

/// Whether the model gives results for any row of some chunks of the plan. Remembers it.
pub(super) fn takes_any(scorer: &Arc<Scorer>, watch: &Watch, around: &Surroundings<'_>) -> Result<bool, Error> {
    let chunks = &scorer.plan.chunks;
    let places = chunks.len().min(PLACES);
    // The last first, since the first are those that were tried.
    for place in (1..=places).rev() {
        if scorer.evidence.is_there() {
            return Ok(true);
        }
        let chunk = &chunks[place * chunks.len() / places - 1];
        warn!(chunk = %chunk.id, "the model throws on all rows that it was tried on; trying rows of this chunk");
        let bytes = around.wait(read::fetch(&scorer.plan, chunk))?;
        let trying = Arc::clone(scorer);
        if around.attend(watch, move || trying.takes_any(bytes))?? {
            scorer.evidence.works();
        }
    }
    Ok(scorer.evidence.is_there())
}
