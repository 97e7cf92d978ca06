//! A run that has something to score: from its place in the log to what readers see.

use std::sync::Arc;

use serde_json::Value;
use tracing::info;
use uuid::Uuid;

use super::already::{self, keep_record};
use super::gate::{gate, superseded};
use super::ready::{device, limits, load};
use super::record::{plan_record, settled_plan};
use super::{Desk, Outcome, Ready, RunError, Shard, Surroundings};
use crate::batch::{ChunkId, Part, Stage};
use crate::checkpoint::Checkpoint;
use crate::clock::{Elapsed, Stopwatch};
use crate::error::Error;
use crate::events::Event;
use crate::exit::ExitCode;
use crate::hold::Hold;
use crate::infer;
use crate::infer::device::Device;
use crate::output::OutputSchema;
use crate::pipeline::{self, Limits, Work};
use crate::plan::generation;
use crate::publish::{self, Published, Spool, Stamp, Visible};
use crate::records::{Commit, FORM, Open, PlanRecord};
use crate::rejects;
use crate::report::{Made, RunReport, Tally};
use crate::score::{Batches, Scorer};
use crate::validate::Job;

/// A run that scores.
pub(super) struct Line<'a> {
    job: &'a Job,
    desk: &'a Desk,
    opened: Open,
    record: PlanRecord,
    scorer: Arc<Scorer>,
    checkpoint: Arc<Checkpoint>,
    device: Device,
    limits: Limits,
    tally: Tally,
    /// Chunks that an earlier process had finished.
    resumed: usize,
}

impl<'a> Line<'a> {
    /// Takes a place in the log, keeps the plan, and makes the model ready. `None` when what it would make is published by now.
    pub(super) fn begin(
        job: &'a Job,
        ready: Ready,
        desk: &'a Desk,
        again: bool,
        lost: Option<u64>,
        tally: Tally,
        around: &Surroundings<'_>,
    ) -> Result<Option<Self>, Error> {
        let standing = around.wait(desk.standing())?;
        if desk.settled(&standing, &ready.base_id, again).is_some() {
            return Ok(None);
        }
        if standing.overtaken(&desk.holder.run_key) {
            return Err(RunError::Superseded.into());
        }
        // Before anything is written: whatever can be wrong with the place or the model is found now.
        let chunk_rows: Vec<usize> = ready.plan.chunks.iter().map(|chunk| chunk.rows).collect();
        let files = publish::file_count(&chunk_rows, job.files);
        around.wait(desk.showing.permits(&desk.partition, &standing, files))?;
        let device = device(around.settings)?;
        let model = load(&ready.artifact, device, around.settings)?;
        let before = standing.log.generation(&ready.base_id);
        let first = match before {
            // One that was begun and never committed is still to be done.
            Some(before) if again && standing.log.has_committed(&ready.base_id, before) => before + 1,
            Some(before) => before,
            None => 0,
        };
        let wanted = Open {
            v: FORM,
            job: job.name.clone(),
            date: job.date,
            n: 0,
            run_key: desk.holder.run_key.clone(),
            holder: desk.holder.id.clone(),
            plan_id: generation(&ready.base_id, first),
            base_id: ready.base_id.clone(),
            generation: first,
            engine: env!("CARGO_PKG_VERSION").to_owned(),
            at: around.clock.now(),
        };
        let opened = around.wait(publish::open(&desk.date, &desk.partition, &wanted, lost))?;
        let first = if opened.base_id == ready.base_id {
            opened.generation
        } else {
            first
        };
        let contract = ready.preprocessor.contract();
        let shape = OutputSchema::new(&ready.plan.columns, contract, &job.lineage, tally.started, "")?;
        let record = plan_record(job, &ready, &shape, desk, &tally, first)?;
        let record = settled_plan(desk, record, around)?;

        let schema = OutputSchema::new(
            &ready.plan.columns,
            contract,
            &job.lineage,
            record.created_at,
            &record.run_id,
        )?;
        let limits = limits(around);
        let chunks = ready.plan.chunks.len();
        let batch_rows = match (around.settings.line.batch_rows, device) {
            (0, Device::Cpu) => infer::BATCH_ROWS,
            (0, Device::Cuda(_)) => infer::CUDA_BATCH_ROWS,
            (rows, _) => rows,
        };
        let checkpoint = around.wait(Checkpoint::open(&desk.date, &record))?;
        let checkpoint = checkpoint.kept_by(&desk.holder.id, &device.to_string());
        let line = Self {
            job,
            desk,
            opened,
            resumed: checkpoint.finished(),
            checkpoint: Arc::new(checkpoint),
            scorer: Arc::new(Scorer {
                job: job.clone(),
                plan: ready.plan,
                preprocessor: ready.preprocessor,
                model: Box::new(model),
                schema,
                batch_rows,
                batches: if chunks < limits.threads {
                    Batches::Spread
                } else {
                    Batches::InOrder
                },
                clock: Arc::clone(&around.clock),
            }),
            record,
            device,
            limits,
            tally,
        };
        line.go_on(around)?;
        line.announce(around);
        Ok(Some(line))
    }

    /// Scores the chunks of a shard. True when all chunks of the plan are finished then.
    pub(super) fn score_shard(&mut self, shard: Shard, around: &Surroundings<'_>) -> Result<bool, Error> {
        let chunks = (0..self.record.chunks.len()).filter(|chunk| shard.owns(*chunk));
        let mut tally = self.tally.again();
        self.score(chunks.map(ChunkId).collect(), None, around, |part| {
            tally.add(part);
            tally.within_budget(&self.job.rows)
        })?;
        self.tally = tally;
        let checkpoint = around.wait(Checkpoint::open(&self.desk.date, &self.record))?;
        let finished = checkpoint.finished() == self.record.chunks.len();
        self.checkpoint = Arc::new(checkpoint.kept_by(&self.desk.holder.id, &self.device.to_string()));
        Ok(finished)
    }

    /// Takes a new place in the log if the commit behind the old one is lost.
    pub(super) fn renew(&mut self, lost: Option<u64>, around: &Surroundings<'_>) -> Result<(), Error> {
        if lost == Some(self.opened.n + 1) {
            let wanted = self.opened.clone();
            let desk = self.desk;
            self.opened = around.wait(publish::open(&desk.date, &desk.partition, &wanted, lost))?;
        }
        Ok(())
    }

    /// True when another process has published this plan meanwhile.
    pub(super) fn is_published(&self, around: &Surroundings<'_>) -> Result<bool, Error> {
        let standing = around.wait(self.desk.standing())?;
        let newest = standing.log.newest_commit();
        let ours = newest.filter(|commit| commit.n > self.opened.n && commit.plan_id == self.record.plan_id);
        Ok(ours.is_some_and(|commit| standing.shows(commit)))
    }

    /// Scores what is missing, puts all parts together, commits, and shows the result.
    pub(super) fn finish(mut self, hold: Arc<Hold>, around: &Surroundings<'_>) -> Result<Outcome, Error> {
        // What a shard's own pass counted comes again with all parts.
        let mut tally = self.tally.again();
        let stamp = Stamp {
            seq: self.opened.n + 1,
            plan_id: self.record.plan_id.clone(),
            nonce: Uuid::new_v4().simple().to_string(),
        };
        let mut spool = Spool::create(&self.desk.spool, &self.record, stamp)?;
        let chunks = (0..self.record.chunks.len()).map(ChunkId).collect();
        let scored = self.score(chunks, Some(hold), around, |part| {
            let appending = Stopwatch::start(around.clock.as_ref());
            spool.append(&part)?;
            tally.add(part);
            tally.stages.add(Stage::Publish, appending.stop());
            tally.within_budget(&self.job.rows)
        });
        match scored {
            Ok(()) => {}
            // Another process works now, so that this one has been stopped or cut off for a while: what has become of its date?
            Err(error) if error.exit() == ExitCode::Busy => {
                self.go_on(around)?;
                if self.is_published(around)? {
                    return already::published(self.desk, around);
                }
                return Err(error);
            }
            Err(error) => return Err(error),
        }
        self.tally = tally;
        self.publish(spool, around)
    }

    /// Runs the line over some chunks; those that are finished are read back.
    fn score(
        &self,
        chunks: Vec<ChunkId>,
        hold: Option<Arc<Hold>>,
        around: &Surroundings<'_>,
        take: impl FnMut(Part) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let date = &self.desk.date;
        let work = Work {
            scorer: Arc::clone(&self.scorer),
            checkpoint: Arc::clone(&self.checkpoint),
            chunks,
            gate: gate(date, &self.opened, &self.record.plan_id, hold, &around.clock),
        };
        let grace = around.settings.run.shutdown_grace;
        pipeline::run(
            work,
            self.limits,
            around.runtime,
            around.shutdown,
            grace,
            around.monitor,
            take,
        )
    }

    fn publish(mut self, spool: Spool, around: &Surroundings<'_>) -> Result<Outcome, Error> {
        around.monitor.hear(&Event::Publishing);
        let publishing = around.clock.monotonic();
        self.tally.share_within_budget(&self.job.rows, self.record.total_rows)?;
        around.shutdown.go_on()?;
        let rejects = self.keep_rejects(around)?;
        let desk = self.desk;
        let fences = desk.showing.fences;
        let decided = publish::commit(
            &desk.date,
            &self.record,
            &self.opened,
            spool.finish()?,
            &desk.holder.id,
            fences,
        );
        let (commit, assembled) = around.wait(decided)?;
        let shown = desk.showing.show(&desk.date, &desk.partition, &commit, assembled);
        let replaced = match around.finish(shown)? {
            Visible::Ours { replaced, .. } => replaced,
            Visible::Newer(stamp) if stamp.plan_id == self.record.plan_id => None,
            Visible::Newer(_) => return Err(RunError::Superseded.into()),
        };
        let wall = around.clock.monotonic().saturating_sub(publishing);
        self.tally.stages.add(
            Stage::Publish,
            Elapsed {
                wall,
                ..Elapsed::default()
            },
        );
        let report = self.report(&commit, replaced, rejects, around);
        let value = serde_json::to_value(&report).unwrap_or(Value::Null);
        around.finish(keep_record(desk, &commit, replaced, value))?;
        around.monitor.hear(&Event::Finished);
        Ok(Outcome::Published(Box::new(report)))
    }

    /// Keeps the rejected rows before anything is committed, so that published data never lacks them.
    fn keep_rejects(&self, around: &Surroundings<'_>) -> Result<Option<String>, Error> {
        let Some(bytes) = rejects::encode(&self.tally.rejects)? else {
            return Ok(None);
        };
        let place = self.desk.date.rejects(&self.record.plan_id);
        around.wait(place.write(bytes))?;
        Ok(Some(place.location().to_string()))
    }

    fn report(
        &self,
        commit: &Commit,
        replaced: Option<u64>,
        rejects: Option<String>,
        around: &Surroundings<'_>,
    ) -> RunReport {
        let partition = self.desk.partition.place();
        let path = match commit.files.as_slice() {
            [only] => partition.join(&only.name),
            _ => partition.clone(),
        };
        let published = Published {
            path: path.location().to_string(),
            run_id: self.record.run_id.clone(),
            inference_timestamp: self.record.created_at,
            seq: commit.n,
            replaced,
            files: commit.files.len(),
            bytes: commit.files.iter().map(|file| file.size).sum(),
            rows: commit.rows_out,
            row_groups: commit.files.iter().map(|file| file.row_groups).sum(),
            sha256: commit.files.iter().map(|file| file.sha256.clone()).collect(),
            rejects,
        };
        RunReport::of(Made {
            job: self.job,
            run_id: &self.desk.holder.id,
            plan_id: &self.record.plan_id,
            scorer: &self.scorer,
            device: self.device,
            limits: self.limits,
            intra_op_threads: around.settings.threads.intra_op.max(1),
            resumed_chunks: self.resumed,
            output: published,
            tally: &self.tally,
            clock: around.clock.as_ref(),
            machine: around.machine,
            trace_id: around.settings.run.trace_id.as_deref(),
        })
    }

    /// An error when a later run has taken the place of this one before it began to score.
    fn go_on(&self, around: &Surroundings<'_>) -> Result<(), Error> {
        around.wait(superseded(
            self.desk.date.clone(),
            self.opened.n,
            self.record.plan_id.clone(),
        ))
    }

    fn announce(&self, around: &Surroundings<'_>) {
        let model = &self.record.model;
        info!(
            rows = self.record.total_rows,
            files = self.record.inputs.len(),
            chunks = self.record.chunks.len(),
            resumed = self.resumed,
            model = model.name,
            version = model.version,
            device = %self.device,
            threads = self.limits.threads,
            "scoring"
        );
        around.monitor.hear(&Event::Planned {
            rows: self.record.total_rows,
            chunks: self.record.chunks.len(),
        });
    }
}
