//! A child process: reads mutants one after the other and writes a line about each.

use std::fs;
use std::io::{Write, stdout};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::{cast, concat_batches};
use batch_infer::clock::{Clock, SystemClock};
use batch_infer::exit::ExitCode;
use batch_infer::machine::Machine;
use fastrand::Rng;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::{WriterProperties, WriterVersion};

use crate::Asked;
use crate::anatomy::Anatomy;
use crate::mutate::{Mutant, mutant};
use crate::reader::{MOST_BYTES, Outcome, Reader};

/// Mutants of one child: memory that a decoder keeps shows as growth.
pub(crate) const MUTANTS_OF_A_WORKER: u64 = 1_000;

/// Bytes beside those of a chunk: its encoded bytes, the footer, and what the allocator keeps.
const BESIDE: u64 = 16 << 20;

/// Reads the mutants from the first asked for on, or the only one.
pub(crate) fn run(asked: &Asked) {
    let folder = tempfile::TempDir::with_prefix("batch-infer-mutants-").unwrap();
    let reader = Reader::new(folder.path());
    let files: Vec<Anatomy> = corpus().into_iter().map(|(_, bytes)| Anatomy::of(bytes)).collect();
    let whole: Vec<RecordBatch> = files.iter().map(|file| rows(reader.read(&file.bytes))).collect();
    for ((path, _), rows) in corpus().iter().zip(&whole) {
        expect_same(path, rows, &whole[0]);
    }
    let numbers = match (asked.only, asked.worker) {
        (Some(only), _) => only..only + 1,
        (None, first) => {
            let first = first.unwrap_or(0);
            first..(first + MUTANTS_OF_A_WORKER).min(asked.count)
        }
    };
    for number in numbers {
        let mut chance = Rng::with_seed(asked.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ number);
        let chosen = chance.usize(0..files.len());
        let mutant = mutant(&files[chosen], &files, &mut chance);
        if let Some(keep) = &asked.keep {
            fs::write(keep, &mutant.bytes).unwrap();
        }
        println!("begin {number}");
        stdout().flush().unwrap();
        let line = judged(&reader, &mutant, &whole[chosen]);
        let crc = match (files[chosen].crc, mutant.mended) {
            (false, _) => "bare",
            (true, false) => "crc",
            (true, true) => "mended",
        };
        let unchanged = if mutant.bytes == files[chosen].bytes {
            "unchanged"
        } else {
            "changed"
        };
        println!("end {number} {crc} {unchanged} {line} [{}]", mutant.injuries.join(", "));
        if asked.only.is_some() {
            println!("{chosen}: {}", corpus()[chosen].0.display());
        }
    }
}

fn judged(reader: &Reader, mutant: &Mutant, whole: &RecordBatch) -> String {
    let machine = Machine::here();
    // The kernel forgets the peak so far; without the right to do so the peak of an earlier mutant stands.
    let _ = fs::write("/proc/self/clear_refs", "5");
    let before = machine.resident().unwrap_or(0);
    // Processor time: what else the machine does is not the mutant's fault.
    let start = SystemClock.process_cpu();
    let outcome = catch_unwind(AssertUnwindSafe(|| reader.read(&mutant.bytes)));
    let seconds = SystemClock.process_cpu().saturating_sub(start).as_secs_f64();
    let peak = machine.peak_resident().unwrap_or(0).saturating_sub(before);
    let most = MOST_BYTES + MOST_BYTES / 5 + BESIDE;
    let memory = if peak > most { "LARGE" } else { "small" };
    let said = match outcome {
        Err(_) => "PANIC".to_owned(),
        Ok(Outcome::Rows(rows)) if rows == *whole => "same".to_owned(),
        Ok(Outcome::Rows(_)) => "different".to_owned(),
        Ok(Outcome::Planned(exit, message)) => refused("planned", exit, &message),
        Ok(Outcome::Decoded(exit, message)) => refused("decoded", exit, &message),
    };
    format!("{seconds:.3} {memory} {} {said}", peak >> 20)
}

fn refused(when: &str, exit: ExitCode, message: &str) -> String {
    let fault = match exit {
        ExitCode::BadRows | ExitCode::Schema => "",
        _ => "WRONG-EXIT ",
    };
    format!("{fault}{when} {} {}", exit.code(), message.replace('\n', " "))
}

fn rows(outcome: Outcome) -> RecordBatch {
    match outcome {
        Outcome::Rows(rows) => rows,
        refused => panic!("a whole file was refused: {refused:?}"),
    }
}

/// Files of other writers, and of this program's own.
fn corpus() -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "parquet"))
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    files.sort();
    let expected = files
        .iter()
        .find(|(path, _)| path.ends_with("expected.parquet"))
        .unwrap();
    let rows = decoded(&expected.1);
    let versions = [
        (WriterVersion::PARQUET_1_0, Compression::UNCOMPRESSED, false),
        (
            WriterVersion::PARQUET_2_0,
            Compression::ZSTD(ZstdLevel::default()),
            true,
        ),
    ];
    for (version, codec, dictionary) in versions {
        let properties = WriterProperties::builder()
            .set_writer_version(version)
            .set_compression(codec)
            .set_dictionary_enabled(dictionary)
            .set_data_page_row_count_limit(40)
            .set_write_batch_size(40)
            .set_max_row_group_row_count(Some(120));
        let mut writer = ArrowWriter::try_new(Vec::new(), rows.schema(), Some(properties.build())).unwrap();
        writer.write(&rows).unwrap();
        files.push((
            PathBuf::from(format!("arrow-rs {version:?}")),
            writer.into_inner().unwrap(),
        ));
    }
    files
}

/// Writers name the elements of lists differently and agree in all else.
fn expect_same(file: &Path, found: &RecordBatch, expected: &RecordBatch) {
    for (index, column) in expected.columns().iter().enumerate() {
        let found = cast(found.column(index), column.data_type()).unwrap();
        let name = expected.schema().field(index).name().clone();
        assert!(
            found.as_ref() == column.as_ref(),
            "{}: column {name} differs",
            file.display()
        );
    }
}

fn decoded(bytes: &[u8]) -> RecordBatch {
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::copy_from_slice(bytes)).unwrap();
    let schema = Arc::clone(reader.schema());
    let batches: Vec<_> = reader.build().unwrap().collect::<Result<_, _>>().unwrap();
    concat_batches(&schema, &batches).unwrap()
}
