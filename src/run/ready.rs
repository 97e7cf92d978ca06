//! A job looked at: its model, its plan, the device and the limits; nothing is scored and nothing written yet.

use std::future::pending;

use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tracing::warn;

use super::loading::Loading;
use super::{Surroundings, carried, joined};
use crate::contract::Contract;
use crate::error::Error;
use crate::infer;
use crate::infer::device::Device;
use crate::pipeline::Limits;
use crate::plan::{CHUNK_ROWS, Earlier, Footers, PassedOver, Plan, TEXT_CHUNK_ROWS, Wanted, earlier, fingerprint};
use crate::preprocess::Preprocessor;
use crate::registry::{ModelArtifact, Registry};
use crate::rescore::Rescore;
use crate::settings::Settings;
use crate::storage::Place;
use crate::validate::Job;

/// Share of the machine's memory that chunks on the line may take: the rest is for the model, its activations and the system.
const MEMORY_SHARE: u64 = 4;

/// Budget where the machine does not say how much memory it has.
const UNKNOWN_MEMORY: u64 = 1 << 30;

/// What a chunk may take once decoded: four times what the plan makes it.
const MAX_DECODED: u64 = 1 << 30;

/// A job whose model and input have been looked at, and nothing scored yet.
pub struct Ready {
    /// The model version.
    pub artifact: ModelArtifact,
    /// Its contract made ready.
    pub preprocessor: Preprocessor,
    /// The plan.
    pub plan: Plan,
    /// The plan's identity, whichever time it is done.
    pub base_id: String,
    /// What is published already, where only rejected rows are scored.
    pub rescore: Option<Rescore>,
    /// The model, if it is being made ready by now.
    pub(super) loading: Option<Loading>,
}

/// Reads the model version and the input's footers, and compares them.
pub fn ready(job: &Job, around: &Surroundings<'_>) -> Result<Ready, Error> {
    looked_at(job, around, |_| None)
}

/// As `ready`; what is begun with the model version goes on beside the rest.
pub(super) fn looked_at(
    job: &Job,
    around: &Surroundings<'_>,
    begin: impl FnOnce(&ModelArtifact) -> Option<Loading>,
) -> Result<Ready, Error> {
    // A task of its own, which goes on while a large model is read and its digest computed here.
    let (job_of_task, storage) = (job.clone(), around.settings.storage.clone());
    let (tell, told) = oneshot::channel();
    let wanted = async {
        match told.await {
            Ok(wanted) => wanted,
            // There is no model, and so nobody who asks for the footers.
            Err(_) => pending().await,
        }
    };
    let mut reading = JoinSet::new();
    reading.spawn_on(
        async move {
            let input = Place::open(&job_of_task.input, &storage)?;
            Ok::<_, Error>(Footers::of_input(&job_of_task, &input, wanted).await?)
        },
        around.runtime,
    );
    let artifact = telling(job, around, |contract| {
        // Where reading has failed already, nobody hears it.
        drop(tell.send(Wanted::of(job, contract)));
    })?;
    let loading = begin(&artifact);
    let preprocessor = Preprocessor::new(&artifact)?;
    let chunk_rows = chunk_rows(around.settings, &preprocessor);
    let plan = around.wait(async {
        let footers = match reading.join_next().await {
            Some(read) => joined(read)?,
            None => pending().await,
        };
        if let Some(sign) = &footers.writer_above {
            warn!(
                sign,
                "a writer is at work above the date's folder, or has left this behind: the date may not be whole"
            );
        }
        let plan = if footers.is_marked_empty() {
            let known = carried::known(job, &around.settings.storage).await?;
            Plan::without_files(job, footers.passed_over, &known)?
        } else {
            Plan::make(job, footers, &preprocessor, chunk_rows).await?
        };
        Ok::<_, Error>(plan)
    })?;
    if !plan.passed_over.is_empty() {
        let PassedOver { count, .. } = plan.passed_over;
        warn!(count, first = %plan.passed_over, "some of what lies in the input is not read");
    }
    for file in &plan.corrupt {
        warn!(file = file.name, "is left out: it {}", file.damage);
    }
    for column in &plan.overruled {
        warn!(
            column = column.name,
            files = column.files,
            first = column.first,
            "a folder on the way to the files names the column that they hold as well: the folder is taken"
        );
    }
    Ok(Ready {
        base_id: fingerprint(job, &artifact, &plan, max_decoded(around.settings, limits(around))),
        artifact,
        preprocessor,
        plan,
        rescore: None,
        loading,
    })
}

impl Ready {
    /// What earlier versions of this program called the plan.
    pub(super) fn earlier(&self, job: &Job, around: &Surroundings<'_>) -> Vec<Earlier> {
        let max_decoded = max_decoded(around.settings, limits(around));
        earlier(job, &self.artifact, &self.plan, max_decoded)
    }
}

/// Resolves the model's version and reads it.
pub fn artifact(job: &Job, around: &Surroundings<'_>) -> Result<ModelArtifact, Error> {
    telling(job, around, |_| ())
}

/// As `artifact`; the contract is told as soon as it is known.
fn telling(job: &Job, around: &Surroundings<'_>, tell: impl FnOnce(&Contract)) -> Result<ModelArtifact, Error> {
    let registry = Registry::new(Place::open(&job.registry, &around.settings.storage)?);
    around.wait(async {
        let version = registry.resolve(&job.model_name, &job.model_version).await?;
        registry.load_telling(&job.model_name, &version, tell).await
    })
}

/// The device that the settings ask for.
pub fn device(settings: &Settings) -> Result<Device, Error> {
    Ok(infer::device::resolve(settings.device.kind)?)
}

/// How much of the machine the line may use.
pub fn limits(around: &Surroundings<'_>) -> Limits {
    let threads = match around.settings.threads.score {
        0 => around.machine.cores(),
        threads => threads,
    };
    let memory = match around.settings.line.memory {
        Some(bytes) => bytes,
        None => around
            .machine
            .memory_limit()
            .map_or(UNKNOWN_MEMORY, |limit| limit / MEMORY_SHARE),
    };
    Limits {
        threads,
        intra_op: around.settings.threads.intra_op.max(1),
        memory,
    }
}

/// Chunks are cut so that they take this much, by what footers say; a machine that cannot hold one cannot score.
const LEAST_DECODED: u64 = 256 << 20;

/// Bytes that a chunk may take once decoded.
pub(super) fn max_decoded(settings: &Settings, limits: Limits) -> u64 {
    let usual = MAX_DECODED.min(limits.memory.max(LEAST_DECODED));
    settings.line.max_decoded.unwrap_or(usual)
}

fn chunk_rows(settings: &Settings, preprocessor: &Preprocessor) -> usize {
    match settings.line.chunk_rows {
        0 if preprocessor.contract().has_text() => TEXT_CHUNK_ROWS,
        0 => CHUNK_ROWS,
        rows => rows,
    }
}
