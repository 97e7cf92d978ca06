//! Finds the rows that the model cannot be given, or that it gives nothing for, and takes them out as the job says.

use arrow::compute::filter;
use arrow::error::ArrowError;

use super::{Forwarded, ScoreError, Scorer};
use crate::batch::{BadRow, FeatureBatch, Predictions, Stretch};
use crate::error::Error;
use crate::preprocess::{Prepared, Screened, screen};
use crate::rescore::RescoreError;
use crate::spec::{Action, OnPrecisionLoss, Reason};

impl Scorer {
    /// The rows with nulls in the place of values that their own type cannot hold, where the job imputes those. A key or a carried column is
    /// published as it was read, so that a row with such a value in it stays bad.
    pub(super) fn imputed(&self, batch: FeatureBatch) -> Result<FeatureBatch, ScoreError> {
        if batch.unfit.is_empty() || self.job.rows.on.cast_overflow != Action::Impute {
            return Ok(batch);
        }
        let is_carried = |bad: &BadRow| self.schema.carried().iter().any(|field| *field.name() == bad.column);
        let (unfit, imputed): (Vec<_>, Vec<_>) = batch.unfit.into_iter().partition(is_carried);
        Ok(FeatureBatch {
            columns: screen::nulled(&batch.columns, &imputed)?,
            unfit,
            ..batch
        })
    }

    /// Rows that are bad for a reason which their own values do not show.
    pub(super) fn known(&self, whole: &FeatureBatch, stretch: &Stretch) -> Result<Vec<BadRow>, Error> {
        let mut known = Vec::new();
        if self.job.rows.on.unknown_category != Action::Impute {
            known.extend(self.preprocessor.unknown_categories(&whole.columns)?);
        }
        let rows = stretch.among(&self.duplicates);
        if !rows.is_empty() {
            let key = self.job.keys.first().map_or("", String::as_str);
            let rows = match &self.rescore {
                Some(rescore) => {
                    let picked = rescore.picked(stretch, &rows);
                    // A row that is published stays, so that it cannot be the one that gives way.
                    if picked.len() < rows.len() {
                        return Err(RescoreError::Duplicates {
                            chunk: whole.chunk,
                            rows: rows.len() - picked.len(),
                        }
                        .into());
                    }
                    picked
                }
                None => rows,
            };
            known.extend(rows.into_iter().map(|row| BadRow::new(row, Reason::DuplicateKey, key)));
        }
        Ok(known)
    }

    /// Prepares the features; rows with a value that no cast brings into its tensor are bad, too, and rows with an integer of which a cast
    /// makes another where the job says so.
    pub(super) fn prepare(&self, whole: &FeatureBatch, screened: &mut Screened) -> Result<Prepared, Error> {
        if self.job.rows.on.precision_loss != OnPrecisionLoss::Warn {
            let inexact = screen::once(self.preprocessor.inexact(&screened.batch.columns)?);
            if !inexact.is_empty() {
                self.take_out(whole, screened, inexact)?;
            }
        }
        let (parallelism, clock) = (self.parallelism, self.clock.as_ref());
        let failure = match self.preprocessor.prepare(&screened.batch, parallelism, clock) {
            Ok(prepared) => return Ok(prepared),
            Err(failure) => failure,
        };
        let overflowing = self.preprocessor.overflowing(&screened.batch.columns)?;
        if overflowing.is_empty() {
            return Err(failure.into());
        }
        if self.job.rows.on.cast_overflow == Action::Impute {
            let columns = screen::nulled(&screened.batch.columns, &overflowing).map_err(ScoreError::Screen)?;
            screened.batch.columns = columns;
        } else {
            self.take_out(whole, screened, screen::once(overflowing))?;
        }
        Ok(self.preprocessor.prepare(&screened.batch, parallelism, clock)?)
    }

    /// Takes out the rows on which the model throws, and those whose results are not finite.
    pub(super) fn sound(
        &self,
        whole: &FeatureBatch,
        screened: &mut Screened,
        forwarded: Forwarded,
    ) -> Result<Predictions, ScoreError> {
        let Forwarded {
            predictions,
            bad: mut wrong,
            is_cut_short,
            ..
        } = forwarded;
        if is_cut_short {
            return Err(self.thrown(whole, screened, &wrong));
        }
        let contract = self.preprocessor.contract();
        let outputs = contract.outputs.iter().zip(&predictions.outputs);
        wrong.extend(outputs.flat_map(|(output, values)| screen::results(values, output.width(), &output.column)));
        if wrong.is_empty() {
            return Ok(predictions);
        }
        let wrong = screen::once(wrong);
        let keep = screen::kept(screened.batch.columns.num_rows(), &wrong);
        self.take_out(whole, screened, wrong)?;
        let outputs = contract
            .outputs
            .iter()
            .zip(&predictions.outputs)
            .map(|(output, values)| {
                let mask = keep.iter().flat_map(|kept| std::iter::repeat_n(kept, output.width()));
                filter(values, &mask.collect())
            });
        let outputs = outputs.collect::<Result<_, ArrowError>>()?;
        Ok(Predictions { outputs })
    }

    /// Takes further rows out. Their numbers count the rows that are left.
    fn take_out(
        &self,
        whole: &FeatureBatch,
        screened: &mut Screened,
        mut wrong: Vec<BadRow>,
    ) -> Result<(), ScoreError> {
        screened.batch.columns = screen::without(&screened.batch.columns, &wrong)?;
        renumber(&mut wrong, whole, screened);
        self.refuse(whole, &wrong)?;
        screened.bad.extend(wrong);
        screened.bad.sort_by_key(|bad| bad.row);
        Ok(())
    }

    /// Fails when a row is bad for a reason that the job does not tolerate.
    pub(super) fn refuse(&self, whole: &FeatureBatch, bad: &[BadRow]) -> Result<(), ScoreError> {
        let intolerable = bad
            .iter()
            .find(|bad| self.job.rows.on.action(bad.reason) != Action::Reject);
        intolerable.map_or(Ok(()), |bad| Err(ScoreError::bad_row(whole, bad)))
    }

    /// The failure of a chunk with more rows on which the model throws than the job allows.
    fn thrown(&self, whole: &FeatureBatch, screened: &Screened, wrong: &[BadRow]) -> ScoreError {
        let mut wrong = wrong.to_vec();
        renumber(&mut wrong, whole, screened);
        match (wrong.first(), self.job.rows.on.model_error) {
            (Some(first), Action::Reject) => ScoreError::Thrown {
                rows: wrong.len(),
                chunk: whole.chunk,
                allowed: self.job.rows.max_bad_rows,
                first: Box::new(ScoreError::bad_row(whole, first)),
            },
            (first, _) => {
                let bad = BadRow::new(0, Reason::ModelError, "");
                ScoreError::bad_row(whole, first.unwrap_or(&bad))
            }
        }
    }
}

/// Numbers of rows among those that are left become numbers in the chunk.
fn renumber(wrong: &mut [BadRow], whole: &FeatureBatch, screened: &Screened) {
    let left = remaining(whole.columns.num_rows(), &screened.bad);
    for wrong in wrong {
        wrong.row = left[wrong.row];
    }
}

/// Rows of a chunk that are not bad, in order.
fn remaining(rows: usize, bad: &[BadRow]) -> Vec<usize> {
    let mut bad = bad.iter().map(|bad| bad.row).peekable();
    (0..rows).filter(|row| bad.next_if_eq(row).is_none()).collect()
}
