//! What the processes of a simulation score: plans of a few rows, and parts that tell which process made them.
//!
//! Two processes never score a chunk to the same bytes, as two kinds of device do not: so it matters whose part counts.

use std::sync::{Arc, LazyLock};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use parquet::basic::{Compression, Repetition, Type as Physical};
use parquet::data_type::Int64Type;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{Type, TypePtr};

use crate::batch::{ChunkId, Part, StageTimes, StandInsByFeature};
use crate::digest::sha256;
use crate::plan::generation;
use crate::records::{FORM, PlanModel, PlanRecord};
use crate::run::Desk;

/// Rows of a chunk.
const ROWS: usize = 2;

static SCHEMA: LazyLock<TypePtr> = LazyLock::new(|| {
    let column = Type::primitive_type_builder("row", Physical::INT64).with_repetition(Repetition::REQUIRED);
    let column = Arc::new(column.build().expect("it is a column"));
    let schema = Type::group_type_builder("schema").with_fields(vec![column]).build();
    Arc::new(schema.expect("it is a schema"))
});

static TEMPLATE: LazyLock<String> = LazyLock::new(|| BASE64_STANDARD.encode(file(&[])));

/// A plan's identity.
pub(super) fn base_id(plan: usize) -> String {
    format!("{plan:032x}")
}

/// The record that a process would keep of a plan.
pub(super) fn record(desk: &Desk, base_id: &str, again: u32, chunks: usize, files: usize) -> PlanRecord {
    PlanRecord {
        v: FORM,
        job: desk.job.clone(),
        date: desk.date.date(),
        plan_id: generation(base_id, again),
        base_id: base_id.to_owned(),
        generation: again,
        engine: "simulated".to_owned(),
        created_at: desk.now(),
        run_id: desk.holder.id.clone(),
        inputs: Vec::new(),
        model: PlanModel {
            name: "model".to_owned(),
            version: "1".to_owned(),
            sha256: String::new(),
        },
        chunks: vec![ROWS; chunks],
        total_rows: (ROWS * chunks) as u64,
        template: TEMPLATE.clone(),
        files,
    }
}

/// One chunk of a plan, scored by a process.
pub(super) fn part(desk: &Desk, plan: &PlanRecord, chunk: usize) -> Part {
    let words = [&plan.plan_id, &plan.run_id, &desk.holder.id].map(String::as_str);
    let digest = sha256(words.join(" ").as_bytes());
    let noise = i64::from_str_radix(&digest[..8], 16).unwrap_or(0);
    let first = chunk * ROWS;
    let row = |row| noise * 1000 + i64::try_from(row).unwrap_or(0);
    let rows: Vec<i64> = (first..first + ROWS).map(row).collect();
    let bytes = file(&rows);
    Part {
        chunk: ChunkId(chunk),
        sha256: sha256(&bytes),
        bytes,
        rejects: None,
        rows_in: ROWS,
        rows_out: ROWS,
        rejected: Vec::new(),
        stand_ins: StandInsByFeature::default(),
        stages: StageTimes::default(),
    }
}

fn file(rows: &[i64]) -> Bytes {
    let properties = WriterProperties::builder()
        .set_compression(Compression::UNCOMPRESSED)
        .set_dictionary_enabled(false)
        .build();
    let written = SerializedFileWriter::new(Vec::new(), SCHEMA.clone(), Arc::new(properties)).and_then(|mut writer| {
        if !rows.is_empty() {
            let mut group = writer.next_row_group()?;
            let mut column = group.next_column()?.expect("there is one column");
            column.typed::<Int64Type>().write_batch(rows, None, None)?;
            column.close()?;
            group.close()?;
        }
        writer.into_inner()
    });
    written.expect("it is a file").into()
}
