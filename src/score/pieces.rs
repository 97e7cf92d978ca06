//! Scores a chunk that takes too much memory once decoded: one piece of its rows after the other, into one part.
//!
//! The batches for the model begin anew at each piece.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::Schema;

use super::{ScoreError, Scored, Scorer, counted};
use crate::batch::{Part, Stage, StageTimes, StandInsByFeature};
use crate::clock::Stopwatch;
use crate::digest::sha256;
use crate::error::Error;
use crate::plan::Plan;
use crate::read::{Pieces, ReadError};
use crate::write::{self, Growing};

/// The published rows of a chunk, given as far as they are asked for.
#[derive(Debug)]
pub(super) struct Published {
    pieces: Box<Pieces>,
    /// Rows that were decoded and not yet given.
    left: Option<RecordBatch>,
}

impl Published {
    pub(super) fn of(pieces: Box<Pieces>) -> Self {
        Self { pieces, left: None }
    }

    /// The next rows; fewer where there are no more.
    fn take(&mut self, plan: &Plan, rows: usize) -> Result<RecordBatch, Error> {
        let mut taken: Vec<RecordBatch> = Vec::new();
        let mut wanted = rows;
        while wanted > 0 {
            let next = match self.left.take() {
                Some(left) => left,
                None => match self.pieces.next(plan)? {
                    Some(piece) => piece.columns,
                    None => break,
                },
            };
            let now = wanted.min(next.num_rows());
            wanted -= now;
            taken.push(next.slice(0, now));
            self.left = (now < next.num_rows()).then(|| next.slice(now, next.num_rows() - now));
        }
        match taken.first().map(RecordBatch::schema) {
            Some(schema) => Ok(concat_batches(&schema, &taken).map_err(ReadError::Join)?),
            None => Ok(RecordBatch::new_empty(Arc::new(Schema::empty()))),
        }
    }
}

impl Scorer {
    /// Scores a chunk piece by piece.
    pub(super) fn in_pieces(
        &self,
        mut input: Pieces,
        mut published: Option<Published>,
        mut stages: StageTimes,
    ) -> Result<Part, Error> {
        let clock = self.clock.as_ref();
        let (chunk, rows_in) = (input.chunk(), input.rows());
        let mut part = Growing::new(&self.schema);
        let mut rejects = Vec::new();
        let mut rejected = BTreeMap::new();
        let mut stand_ins = StandInsByFeature::default();
        let mut rows_out = 0;
        loop {
            let decoding = Stopwatch::start(clock);
            let Some(piece) = input.next(&self.plan)? else { break };
            let before = match self.rescore.as_ref().zip(published.as_mut()) {
                Some((rescore, published)) => {
                    let rows = rescore.published_among(&piece.stretch());
                    Some(published.take(&rescore.published, rows)?)
                }
                None => None,
            };
            stages.add(Stage::Decode, decoding.stop());
            let scored = self.rows(piece, before.as_ref(), &mut stages)?;
            let encoding = Stopwatch::start(clock);
            let Scored { rows, bad, .. } = scored;
            match before {
                Some(_) => part.write(&rows)?,
                None => part.write(&write::whole(&self.schema, &rows)?)?,
            }
            rows_out += rows.num_rows();
            rejects.extend(scored.rejects);
            stand_ins.merge(&scored.stand_ins);
            for (reason, rows) in counted(&bad) {
                *rejected.entry(reason).or_insert(0) += rows;
            }
            stages.add(Stage::Encode, encoding.stop());
            if part.memory() > self.max_decoded {
                let limit = self.max_decoded;
                return Err(ScoreError::LargePart { chunk, limit }.into());
            }
        }
        let encoding = Stopwatch::start(clock);
        let bytes = part.finish()?;
        let sha256 = sha256(&bytes);
        let rejects = match rejects.first().map(RecordBatch::schema) {
            Some(schema) => Some(concat_batches(&schema, &rejects).map_err(ScoreError::Screen)?),
            None => None,
        };
        stages.add(Stage::Encode, encoding.stop());
        Ok(Part {
            chunk,
            sha256,
            bytes: bytes.into(),
            rejects,
            rows_in,
            rows_out,
            rejected: rejected.into_iter().collect(),
            stand_ins,
            stages,
        })
    }
}
