//! A run that has something to score: from its place in the log to what readers see.

use std::sync::Arc;

use serde_json::Value;
use tracing::{info, warn};

use super::claim::{self, Claim, Intent, Start};
use super::elsewhere;
use super::loading::{Loaded, Loading};
use super::ready::{limits, max_decoded};
use super::record::plan_record;
use super::tuning::tuner;
use super::{Desk, Outcome, Ready, Shard, Surroundings};
use crate::batch::{ChunkId, Parallelism, Part, RowsByChunk, Stage};
use crate::checkpoint::Checkpoint;
use crate::clock::{Elapsed, Stopwatch};
use crate::duplicates;
use crate::error::Error;
use crate::events::Event;
use crate::exit::ExitCode;
use crate::hold::Hold;
use crate::infer::Watch;
use crate::infer::device::Device;
use crate::nonce::nonce;
use crate::output::OutputSchema;
use crate::pipeline::{self, Limits, Work};
use crate::plan::Plan;
use crate::publish::{self, Published, Spool, Stamp};
use crate::read::Tolerance;
use crate::records::Commit;
use crate::rejects;
use crate::report::{Made, RunReport, Tally};
use crate::score::{Evidence, Scorer};
use crate::spec::{Action, OnCorruptFile};
use crate::validate::Job;
use crate::write::PartEncoder;

/// A run that scores.
pub(super) struct Line<'a> {
    job: &'a Job,
    desk: &'a Desk,
    pub(super) claim: Claim<'a>,
    scorer: Arc<Scorer>,
    checkpoint: Arc<Checkpoint>,
    watch: Arc<Watch>,
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
        mut ready: Ready,
        desk: &'a Desk,
        intent: &Intent,
        start: Start,
        tally: Tally,
        around: &Surroundings<'_>,
    ) -> Result<Option<Self>, Error> {
        // Before anything is written: whatever can be wrong with the place or the model is found now.
        let chunk_rows: Vec<usize> = ready.plan.chunks.iter().map(|chunk| chunk.rows).collect();
        let files = publish::file_count(&chunk_rows, job.files);
        let Some(wanted) = around.wait(claim::wanted(desk, intent, files, start))? else {
            return Ok(None);
        };
        let loading = match ready.loading.take() {
            Some(loading) => loading,
            None => Loading::begin(&ready.artifact, around)?,
        };
        let device = loading.device();
        let Loaded { model, packed, watch } = loading.wait(around)?;
        let generation = wanted.generation();
        let opened = around.wait(claim::take_place(desk, wanted))?;
        let generation = opened.open.generation_of(&ready.base_id).unwrap_or(generation);
        let contract = ready.preprocessor.contract();
        let shape = OutputSchema::new(&ready.plan.columns, contract, &job.lineage, tally.started, "")?;
        let record = plan_record(job, &ready, &shape, desk, &tally, generation)?;
        let claim = around.wait(Claim::settle(desk, opened, record))?;
        let record = &claim.record;

        let schema = OutputSchema::new(
            &ready.plan.columns,
            contract,
            &job.lineage,
            record.created_at,
            &record.run_id,
        )?;
        let limits = limits(around);
        let duplicates = duplicates(job, &ready.plan, max_decoded(around.settings, limits), around)?;
        let tuner = tuner(around.settings, device, contract, packed, &ready.plan);
        let chunks = ready.plan.chunks.len();
        let checkpoint = around.wait(claim.checkpoint())?;
        let checkpoint = checkpoint.kept_by(&desk.holder.id, &device.to_string());
        let evidence = Evidence::default();
        // What is kept or published was made by this model.
        if checkpoint.finished() > 0 || ready.rescore.is_some() {
            evidence.works();
        }
        let line = Self {
            job,
            desk,
            resumed: checkpoint.finished(),
            checkpoint: Arc::new(checkpoint),
            watch,
            scorer: Arc::new(Scorer {
                job: job.clone(),
                plan: ready.plan,
                preprocessor: ready.preprocessor,
                model,
                encoder: PartEncoder::new(&schema)?,
                schema,
                tuner,
                parallelism: if chunks < limits.threads {
                    Parallelism::Rows
                } else {
                    Parallelism::Chunks
                },
                duplicates,
                rescore: ready.rescore,
                evidence,
                max_decoded: max_decoded(around.settings, limits),
                clock: Arc::clone(&around.clock),
            }),
            claim,
            device,
            limits,
            tally,
        };
        line.announce(around);
        Ok(Some(line))
    }

    /// Scores the chunks of a shard. True when all chunks of the plan are finished then.
    pub(super) fn score_shard(&mut self, shard: Shard, around: &Surroundings<'_>) -> Result<bool, Error> {
        let chunks = (0..self.claim.record.chunks.len()).filter(|chunk| shard.owns(*chunk));
        let mut tally = self.tally.again();
        self.score(chunks.map(ChunkId).collect(), None, around, |part| {
            tally.add(part);
            tally.within_budget(&self.job.rows)
        })?;
        self.tally = tally;
        let checkpoint = around.wait(Checkpoint::open(&self.desk.date, &self.claim.record))?;
        let finished = checkpoint.finished() == self.claim.record.chunks.len();
        self.checkpoint = Arc::new(checkpoint.kept_by(&self.desk.holder.id, &self.device.to_string()));
        Ok(finished)
    }

    /// Scores what is missing, puts all parts together, commits, and shows the result.
    pub(super) fn finish(mut self, hold: &Arc<Hold>, around: &Surroundings<'_>) -> Result<Outcome, Error> {
        // What a shard's own pass counted comes again with all parts.
        let mut tally = self.tally.again();
        let stamp = Stamp {
            seq: self.claim.opened.open.n + 1,
            plan_id: self.claim.record.plan_id.clone(),
            nonce: nonce(),
        };
        let mut spool = Spool::create(&self.desk.spool, &self.claim.record, stamp)?;
        let chunks = (0..self.claim.record.chunks.len()).map(ChunkId).collect();
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
                around.wait(self.claim.go_on())?;
                if around.wait(self.claim.is_published())? {
                    return super::published(self.desk, around);
                }
                return Err(error);
            }
            Err(error) => {
                self.tally = tally;
                if error.exit() == ExitCode::BadRows {
                    self.keep_rejects(around)?;
                }
                return Err(error);
            }
        }
        self.tally = tally;
        self.publish(spool, around)
    }

    /// Runs the line over some chunks; those that are finished are read back.
    fn score(
        &self,
        chunks: Vec<ChunkId>,
        hold: Option<&Arc<Hold>>,
        around: &Surroundings<'_>,
        mut take: impl FnMut(Part) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut left = chunks;
        loop {
            let work = Work {
                scorer: Arc::clone(&self.scorer),
                checkpoint: Arc::clone(&self.checkpoint),
                watch: Arc::clone(&self.watch),
                chunks: left.clone(),
                gate: self.claim.gate(hold.cloned(), &around.clock),
            };
            let grace = around.settings.run.shutdown_grace;
            let mut taken = 0;
            let ended = pipeline::run(
                work,
                self.limits,
                around.runtime,
                around.shutdown,
                grace,
                around.monitor,
                |part| {
                    take(part)?;
                    taken += 1;
                    Ok(())
                },
            );
            match ended {
                // What was tried does not speak for the rest of the date.
                Err(_)
                    if self.scorer.evidence.take_doubt()
                        && elsewhere::takes_any(&self.scorer, &self.watch, around)? =>
                {
                    left.drain(..taken);
                }
                ended => return ended,
            }
        }
    }

    fn publish(mut self, spool: Spool, around: &Surroundings<'_>) -> Result<Outcome, Error> {
        around.monitor.hear(&Event::Publishing);
        let publishing = around.clock.monotonic();
        let rejects = self.keep_rejects(around)?;
        self.tally.model_works()?;
        self.tally
            .share_within_budget(&self.job.rows, self.claim.record.total_rows)?;
        self.tally.stand_ins_within_budget(&self.job.rows)?;
        for doubt in self.tally.doubtful_features() {
            warn!("{doubt}");
        }
        around.shutdown.go_on()?;
        let assembled = spool.finish()?;
        let Claim { opened, record, .. } = self.claim.clone();
        let mut report = None;
        let stop = around.stop();
        let published = self
            .desk
            .publish(&record, &opened, assembled, &stop, |commit, replaced| {
                let wall = around.clock.monotonic().saturating_sub(publishing);
                self.tally.stages.add(
                    Stage::Publish,
                    Elapsed {
                        wall,
                        ..Elapsed::default()
                    },
                );
                let made = self.report(commit, replaced, rejects, around);
                let value = serde_json::to_value(&made).unwrap_or(Value::Null);
                report = Some(Box::new(made));
                value
            });
        let published = around.wait_through(published)?;
        match published.and(report) {
            Some(report) => {
                around.monitor.hear(&Event::Finished);
                Ok(Outcome::Published(report))
            }
            None => super::published(self.desk, around),
        }
    }

    /// Keeps the rejected rows before anything is committed, so that published data never lacks them; and when there are too many of them,
    /// so that it can be seen which.
    fn keep_rejects(&self, around: &Surroundings<'_>) -> Result<Option<String>, Error> {
        let Some(bytes) = rejects::encode(&self.tally.rejects)? else {
            return Ok(None);
        };
        let place = self.desk.date.rejects(&self.claim.record.plan_id);
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
            run_id: self.claim.record.run_id.clone(),
            inference_timestamp: self.claim.record.created_at,
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
            plan_id: &self.claim.record.plan_id,
            scorer: &self.scorer,
            device: self.device,
            precision: around.settings.infer.precision,
            limits: self.limits,
            resumed_chunks: self.resumed,
            output: published,
            tally: &self.tally,
            clock: around.clock.as_ref(),
            machine: around.machine,
            trace_id: around.settings.run.trace_id.as_deref(),
        })
    }

    fn announce(&self, around: &Surroundings<'_>) {
        let model = &self.claim.record.model;
        info!(
            rows = self.claim.record.total_rows,
            files = self.claim.record.inputs.len(),
            chunks = self.claim.record.chunks.len(),
            resumed = self.resumed,
            model = model.name,
            version = model.version,
            device = %self.device,
            threads = self.limits.threads,
            "scoring"
        );
        around.monitor.hear(&Event::Planned {
            rows: self.claim.record.total_rows,
            chunks: self.claim.record.chunks.len(),
        });
    }
}

/// Rows whose key stands in an earlier row, where the job asks for them.
fn duplicates(job: &Job, plan: &Plan, max_decoded: u64, around: &Surroundings<'_>) -> Result<RowsByChunk, Error> {
    let Some(action) = job.rows.on.duplicate_key else {
        return Ok(RowsByChunk::new());
    };
    let tolerance = Tolerance {
        lost_rows: match job.on_corrupt_file {
            OnCorruptFile::Fail => 0,
            OnCorruptFile::Reject => job.rows.max_bad_rows,
        },
        ..Tolerance::strict(max_decoded)
    };
    let found = around.wait(duplicates::find(plan, &job.keys, tolerance))?;
    match duplicates::first(plan, &found, &job.keys) {
        Some(first) if action != Action::Reject => Err(first.into()),
        _ => Ok(found),
    }
}
