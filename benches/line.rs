//! What each stage of the line costs on one chunk of `sample_data`: decode, prepare, fill, forward, encode, assemble.
//!
//! `make bench` runs it. Every stage gets what the stage before it gave, so that a change shows where it is.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use batch_infer::batch::{ChunkId, Parallelism, Part, StageTimes};
use batch_infer::clock::SystemClock;
use batch_infer::digest::sha256;
use batch_infer::document::Document;
use batch_infer::events::Silent;
use batch_infer::infer::USUAL_BATCH;
use batch_infer::infer::device::Device;
use batch_infer::machine::Machine;
use batch_infer::output::OutputSchema;
use batch_infer::publish::{Spool, SpoolFolder, Stamp};
use batch_infer::read::{self, Decoded, Tolerance};
use batch_infer::records::{FORM, PlanModel, PlanRecord};
use batch_infer::run::{self, Ready, Surroundings};
use batch_infer::score::{Evidence, Pass, Tuner, forward};
use batch_infer::settings;
use batch_infer::shutdown::Shutdown;
use batch_infer::validate::{self, Job};
use batch_infer::write::{self, PartEncoder};
use bytes::Bytes;
use chrono::NaiveDate;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

fn job() -> Job {
    let document =
        Document::open("job file", Path::new("jobs/fraud-detector.toml")).expect("run in the root of the clone");
    let date = NaiveDate::from_ymd_opt(2026, 11, 19).expect("a date");
    validate::read(&document, date).unwrap_or_else(|problems| unreachable!("{problems}"))
}

/// The plan's record, of which files are begun; only the first chunk is put into them.
fn record(job: &Job, ready: &Ready, schema: &OutputSchema) -> PlanRecord {
    let contract = ready.preprocessor.contract();
    let rows = ready.plan.chunk(ChunkId(0)).rows;
    PlanRecord {
        v: FORM,
        job: job.name.clone(),
        date: job.date,
        plan_id: ready.base_id.clone(),
        base_id: ready.base_id.clone(),
        generation: 0,
        engine: "bench".to_owned(),
        created_at: chrono::DateTime::UNIX_EPOCH,
        run_id: "bench".to_owned(),
        inputs: Vec::new(),
        model: PlanModel {
            name: contract.name.clone(),
            version: contract.version.clone(),
            sha256: contract.sha256.clone(),
        },
        chunks: vec![rows],
        total_rows: rows as u64,
        template: schema.template().expect("the output has a form in Parquet"),
        files: 1,
    }
}

fn stages(criterion: &mut Criterion) {
    let job = job();
    let settings = settings::load(None, &[]).unwrap_or_else(|error| unreachable!("{error}"));
    let runtime = tokio::runtime::Runtime::new().expect("threads for I/O");
    let shutdown = Shutdown::never();
    let around = Surroundings {
        settings: &settings,
        machine: &Machine::here(),
        runtime: runtime.handle(),
        clock: Arc::new(SystemClock),
        monitor: &Silent,
        shutdown: &shutdown,
    };
    let ready = run::ready(&job, &around).unwrap_or_else(|error| unreachable!("{error}"));
    let model = run::load(&ready.artifact, Device::Cpu, &around).unwrap_or_else(|error| unreachable!("{error}"));
    let (plan, preprocessor) = (&ready.plan, &ready.preprocessor);
    let contract = preprocessor.contract();
    let chunk = plan.chunk(ChunkId(0));
    let schema = OutputSchema::new(
        &plan.columns,
        contract,
        &job.lineage,
        chrono::DateTime::UNIX_EPOCH,
        "bench",
    )
    .expect("the job's columns have names of their own");
    let fetch = || runtime.block_on(read::fetch(plan, chunk)).expect("the file is there");
    let decoded = read::decode(plan, fetch(), Tolerance::strict(u64::MAX)).expect("the file is whole");
    let Decoded::Whole(batch) = decoded else {
        unreachable!("nothing is too large")
    };
    let derived = preprocessor.derive(batch.clone()).expect("the expressions fit");
    let prepared = preprocessor
        .prepare(&derived, Parallelism::Chunks, &SystemClock)
        .expect("the columns fit");
    let clock = SystemClock;
    let evidence = Evidence::default();
    let tuner = Tuner::fixed(USUAL_BATCH);
    let encoder = PartEncoder::new(&schema).expect("the output has a form in Parquet");
    let pass = Pass {
        model: model.model.as_ref(),
        preprocessor,
        tuner: &tuner,
        parallelism: Parallelism::Chunks,
        evidence: &evidence,
        tolerated: 0,
        clock: &clock,
    };
    let predictions = forward(&prepared, pass).expect("the model runs").predictions;
    let encode = || {
        let rows = write::batch(&schema, contract, &batch.columns, &predictions).expect("the columns are there");
        encoder
            .encode(&rows, &batch.encoded)
            .expect("the columns can be written")
    };
    let bytes = encode();

    let mut group = criterion.benchmark_group("line");
    group.throughput(Throughput::Elements(chunk.rows as u64));
    group.bench_function("decode", |bench| {
        bench.iter_batched(
            fetch,
            |fetched| read::decode(plan, black_box(fetched), Tolerance::strict(1 << 30)),
            BatchSize::SmallInput,
        );
    });
    group.bench_function("derive", |bench| {
        bench.iter(|| preprocessor.derive(black_box(batch.clone())));
    });
    // Casts, and vocabulary look-ups: once for each value of a dictionary.
    group.bench_function("prepare", |bench| {
        bench.iter(|| preprocessor.prepare(black_box(&derived), Parallelism::Chunks, &SystemClock));
    });
    group.bench_function("fill", |bench| {
        let mut tensors = Vec::new();
        bench.iter(|| {
            for rows in std::iter::successors(prepared.batch(0, USUAL_BATCH), |rows| {
                prepared.batch(rows.end, USUAL_BATCH)
            }) {
                prepared.fill(contract, &rows, &mut tensors);
                black_box(&tensors);
            }
        });
    });
    group.bench_function("fill and forward", |bench| {
        bench.iter(|| forward(black_box(&prepared), pass));
    });
    group.bench_function("encode", |bench| {
        bench.iter(encode);
    });
    // As where row groups are cut, or rows are rejected.
    group.bench_function("encode, nothing copied", |bench| {
        let rows = write::batch(&schema, contract, &batch.columns, &predictions).expect("the columns are there");
        bench.iter(|| encoder.encode(black_box(&rows), &BTreeMap::new()));
    });
    group.finish();
    assembly(criterion, &job, &ready, &schema, bytes.into());
}

/// One part becomes one file.
fn assembly(criterion: &mut Criterion, job: &Job, ready: &Ready, schema: &OutputSchema, bytes: Bytes) {
    let rows = ready.plan.chunk(ChunkId(0)).rows;
    let mut group = criterion.benchmark_group("line");
    group.throughput(Throughput::Elements(rows as u64));
    let folder = SpoolFolder::Sent(std::env::temp_dir());
    let record = record(job, ready, schema);
    let stamp = Stamp {
        seq: 2,
        plan_id: record.plan_id.clone(),
        nonce: record.run_id.clone(),
    };
    let part = Part {
        chunk: ChunkId(0),
        sha256: sha256(&bytes),
        bytes,
        rejects: None,
        rows_in: rows,
        rows_out: rows,
        rejected: Vec::new(),
        stand_ins: batch_infer::batch::StandInsByFeature::default(),
        stages: StageTimes::default(),
    };
    group.bench_function("assemble", |bench| {
        bench.iter_batched(
            || Spool::create(&folder, &record, stamp.clone()).expect("the folder is there"),
            |mut spool| {
                spool.append(&part)?;
                spool.finish()
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(benches, stages);
criterion_main!(benches);
