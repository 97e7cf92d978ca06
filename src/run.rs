//! One run of one job for one date: the sentence of the program.
//!
//! Depends on every stage; only the command line depends on it.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio::runtime::Handle;
use tracing::{info, warn};
use uuid::{NoContext, Timestamp, Uuid};

use crate::batch::Stage;
use crate::clock::{Clock, Elapsed, Stopwatch};
use crate::error::Error;
use crate::events::{Event, Monitor};
use crate::infer::device::Device;
use crate::infer::{self, TorchModel};
use crate::machine::Machine;
use crate::output::OutputSchema;
use crate::pipeline::{self, Limits};
use crate::plan::{CHUNK_ROWS, Plan, TEXT_CHUNK_ROWS, fingerprint};
use crate::preprocess::Preprocessor;
use crate::publish::{Destination, Spool};
use crate::registry::{ModelArtifact, Registry};
use crate::rejects;
use crate::report::{RunReport, Tally};
use crate::score::{Batches, Scorer};
use crate::settings::Settings;
use crate::shutdown::Shutdown;
use crate::storage::Place;
use crate::validate::Job;

/// Share of the machine's memory that chunks on the line may take: the rest is for the model, its activations and the system.
const MEMORY_SHARE: u64 = 4;

/// Budget where the machine does not say how much memory it has.
const UNKNOWN_MEMORY: u64 = 1 << 30;

/// What a run needs from around it.
pub struct Surroundings<'a> {
    /// How things are done on this machine.
    pub settings: &'a Settings,
    /// The machine.
    pub machine: &'a Machine,
    /// Where asynchronous work runs.
    pub runtime: &'a Handle,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Who is told.
    pub monitor: &'a dyn Monitor,
    /// Whether to stop.
    pub shutdown: &'a Shutdown,
}

/// A job whose model and input have been looked at, and nothing scored yet.
pub struct Ready {
    /// The model version.
    pub artifact: ModelArtifact,
    /// Its contract made ready.
    pub preprocessor: Preprocessor,
    /// The plan.
    pub plan: Plan,
    /// The plan's identity.
    pub plan_id: String,
}

/// Scores a date's partition and publishes it.
pub fn run(job: &Job, around: &Surroundings<'_>) -> Result<RunReport, Error> {
    let mut tally = Tally::start(around.clock.as_ref());
    let run_id = run_id(tally.started);
    let ready = ready(job, around)?;
    let device = device(around.settings)?;
    let limits = limits(around);
    let scorer = Arc::new(scorer(job, ready, device, limits, around, tally.started, &run_id)?);
    let destination = destination(job, around)?;
    let mut spool = spool(job, &scorer, &destination, around, &run_id)?;

    announce(&scorer, device, limits, around.monitor);
    pipeline::run(
        &scorer,
        limits,
        around.runtime,
        around.shutdown,
        around.monitor,
        |part| {
            let appending = Stopwatch::start(around.clock.as_ref());
            spool.append(&part)?;
            tally.add(part);
            tally.stages.add(Stage::Publish, appending.stop());
            tally.within_budget(&job.rows)
        },
    )?;

    around.monitor.hear(&Event::Publishing);
    let publishing = around.clock.monotonic();
    tally.share_within_budget(&job.rows, scorer.plan.rows)?;
    around.shutdown.go_on()?;
    let spooled = spool.finish(scorer.plan.rows)?;
    let output = around
        .runtime
        .block_on(destination.publish(spooled, rejects::encode(&tally.rejects)?, &run_id))?;
    let wall = around.clock.monotonic().saturating_sub(publishing);
    tally.stages.add(
        Stage::Publish,
        Elapsed {
            wall,
            ..Elapsed::default()
        },
    );

    let report = RunReport::of(job, &run_id, &scorer, device, limits, output, &tally, around);
    if let Err(error) = around.runtime.block_on(report.save(&destination, &run_id)) {
        warn!(%error, "the date is published, and its report could not be kept");
    }
    around.monitor.hear(&Event::Finished);
    Ok(report)
}

/// Reads the model version and the input's footers, and compares them.
pub fn ready(job: &Job, around: &Surroundings<'_>) -> Result<Ready, Error> {
    let artifact = artifact(job, around)?;
    let preprocessor = Preprocessor::new(&artifact)?;
    let input = Place::open(&job.input, &around.settings.storage)?;
    let chunk_rows = chunk_rows(around.settings, &preprocessor);
    let plan = around
        .runtime
        .block_on(Plan::make(job, &input, &preprocessor, chunk_rows))?;
    Ok(Ready {
        plan_id: fingerprint(job, &artifact, &plan),
        artifact,
        preprocessor,
        plan,
    })
}

/// Resolves the model's version and reads it.
pub fn artifact(job: &Job, around: &Surroundings<'_>) -> Result<ModelArtifact, Error> {
    let registry = Registry::new(Place::open(&job.registry, &around.settings.storage)?);
    around.runtime.block_on(async {
        let version = registry.resolve(&job.model_name, &job.model_version).await?;
        Ok(registry.load(&job.model_name, &version).await?)
    })
}

/// Loads the model onto the device and tries it on two rows.
pub fn load(artifact: &ModelArtifact, device: Device, settings: &Settings) -> Result<TorchModel, Error> {
    infer::set_intra_op_threads(settings.threads.intra_op.max(1));
    let file = artifact.place.join("model.pt").location().to_string();
    let mut model = TorchModel::load(&artifact.model, &file, &artifact.contract, device)?;
    infer::probe(&mut model, &artifact.contract)?;
    Ok(model)
}

/// The device that the settings ask for.
pub fn device(settings: &Settings) -> Result<Device, Error> {
    Ok(infer::device::resolve(settings.device.kind)?)
}

fn scorer(
    job: &Job,
    ready: Ready,
    device: Device,
    limits: Limits,
    around: &Surroundings<'_>,
    started: DateTime<Utc>,
    run_id: &str,
) -> Result<Scorer, Error> {
    let contract = ready.preprocessor.contract();
    let schema = OutputSchema::new(&ready.plan.columns, contract, &job.lineage, started, run_id)?;
    let model = load(&ready.artifact, device, around.settings)?;
    let batch_rows = match (around.settings.line.batch_rows, device) {
        (0, Device::Cpu) => infer::BATCH_ROWS,
        (0, Device::Cuda(_)) => infer::CUDA_BATCH_ROWS,
        (rows, _) => rows,
    };
    let chunks = ready.plan.chunks.len();
    Ok(Scorer {
        job: job.clone(),
        plan: ready.plan,
        plan_id: ready.plan_id,
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
    })
}

fn destination(job: &Job, around: &Surroundings<'_>) -> Result<Destination, Error> {
    let dataset = Place::open(&job.output, &around.settings.storage)?;
    let state = Place::open(&job.state, &around.settings.storage)?;
    Ok(Destination::new(
        &dataset,
        &state,
        &job.name,
        job.date,
        job.success_marker,
    ))
}

/// The file in the making: in the state folder, from where it can be renamed, or in a local folder for a bucket.
fn spool(
    job: &Job,
    scorer: &Scorer,
    destination: &Destination,
    around: &Surroundings<'_>,
    run_id: &str,
) -> Result<Spool, Error> {
    let folder = match destination.state().local() {
        Some(state) => state.join("spool"),
        None => around.settings.spool.path.clone().unwrap_or_else(std::env::temp_dir),
    };
    let contract = scorer.preprocessor.contract();
    let footer = [
        ("job", job.name.clone()),
        ("date", job.date.to_string()),
        ("plan_id", scorer.plan_id.clone()),
        ("run_id", run_id.to_owned()),
        ("model_name", contract.name.clone()),
        ("model_version", contract.version.clone()),
        ("model_sha256", contract.sha256.clone()),
        ("engine", env!("CARGO_PKG_VERSION").to_owned()),
    ];
    Ok(Spool::create(
        &folder,
        &format!("{run_id}.spool"),
        &scorer.schema,
        &footer,
    )?)
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
    Limits { threads, memory }
}

fn chunk_rows(settings: &Settings, preprocessor: &Preprocessor) -> usize {
    match settings.line.chunk_rows {
        0 if preprocessor.contract().has_text() => TEXT_CHUNK_ROWS,
        0 => CHUNK_ROWS,
        rows => rows,
    }
}

fn announce(scorer: &Scorer, device: Device, limits: Limits, monitor: &dyn Monitor) {
    let contract = scorer.preprocessor.contract();
    info!(
        rows = scorer.plan.rows,
        files = scorer.plan.files.len(),
        chunks = scorer.plan.chunks.len(),
        model = contract.name,
        version = contract.version,
        %device,
        threads = limits.threads,
        "scoring"
    );
    monitor.hear(&Event::Planned {
        rows: scorer.plan.rows,
        chunks: scorer.plan.chunks.len(),
    });
}

/// Sortable by time, unique without asking anybody.
fn run_id(started: DateTime<Utc>) -> String {
    let seconds = u64::try_from(started.timestamp()).unwrap_or(0);
    let time = Timestamp::from_unix(NoContext, seconds, started.timestamp_subsec_nanos());
    Uuid::new_v7(time).to_string()
}
