//! Damaged and hostile input: an exact message and exit code 13, or the damaged rows among the rejects, and never a process that is killed.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, DictionaryArray, Float32Array, Int32Array, ListArray, RecordBatch, StringArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Schema};
use batch_infer::exit::ExitCode;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::ParquetMetaDataReader;
use parquet::file::properties::WriterProperties;

use crate::support::{JobFixture, assert_close, column_of, integers, read_parquet, texts, write_parquet};

const FIRST: &str = "part-00000.parquet";
const SECOND: &str = "part-00001.parquet";

/// Memory that a bomb gets, libtorch's libraries and the stacks of threads among it: far less than it wants.
const LITTLE: u64 = 4 << 30;

fn change(file: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(file).unwrap();
    change(&mut bytes);
    fs::write(file, bytes).unwrap();
}

fn footer_length(bytes: &[u8]) -> usize {
    let tail = bytes.len() - 8;
    u32::from_le_bytes(bytes[tail..tail + 4].try_into().unwrap()) as usize
}

/// Overwrites the beginning of a column of one row group.
pub(super) fn wreck(file: &Path, row_group: usize) {
    change(file, |bytes| {
        let end = bytes.len() - 8;
        let metadata = ParquetMetaDataReader::decode_metadata(&bytes[end - footer_length(bytes)..end]).unwrap();
        let (start, length) = metadata.row_group(row_group).column(0).byte_range();
        let start = usize::try_from(start).unwrap();
        bytes[start..start + usize::try_from(length).unwrap()].fill(0xff);
    });
}

/// A way to damage a file, and what is said then.
type Damage = (&'static str, fn(&mut Vec<u8>), &'static str);

#[test]
fn file_that_is_no_whole_parquet_file_is_named_with_what_was_found() {
    let damages: [Damage; 12] = [
        ("empty", Vec::clear, "is 0 bytes long"),
        (
            "tiny",
            |bytes| bytes.truncate(11),
            "is 11 bytes long, and the smallest Parquet file has 12",
        ),
        (
            "text",
            |bytes| *bytes = b"id,amount\n1,2\n3,4\n".to_vec(),
            "begins with `id,a`",
        ),
        (
            "zip",
            |bytes| bytes[..4].copy_from_slice(b"PK\x03\x04"),
            "begins with `PK\\x03\\x04`",
        ),
        (
            "cut",
            |bytes| bytes.truncate(bytes.len() / 2),
            "it is cut off, still being written",
        ),
        (
            "one byte short",
            |bytes| bytes.truncate(bytes.len() - 1),
            "and a Parquet file ends with `PAR1`",
        ),
        (
            "encrypted",
            |bytes| {
                let end = bytes.len();
                bytes[end - 4..].copy_from_slice(b"PARE");
            },
            "has an encrypted footer",
        ),
        (
            "long footer",
            |bytes| {
                let tail = bytes.len() - 8;
                bytes[tail..tail + 4].copy_from_slice(&u32::MAX.to_le_bytes());
            },
            "claims a footer of 4294967295 bytes",
        ),
        (
            "footer of another length",
            |bytes| {
                let tail = bytes.len() - 8;
                let length = u32::try_from(footer_length(bytes) - 7).unwrap();
                bytes[tail..tail + 4].copy_from_slice(&length.to_le_bytes());
            },
            "has a damaged footer",
        ),
        (
            "no footer",
            |bytes| *bytes = b"PAR1\0\0\0\0PAR1".to_vec(),
            "has a damaged footer, at byte 0: the data ends too early",
        ),
        (
            "wiped footer",
            |bytes| {
                let end = bytes.len() - 8;
                let start = end - footer_length(bytes);
                bytes[start..end].fill(0xff);
            },
            "has a damaged footer",
        ),
        (
            "a piece lost",
            |bytes| {
                bytes.drain(4..1_004);
            },
            "decode row group 0 of",
        ),
    ];
    for (name, damage, said) in damages {
        let run = JobFixture::new()
            .rows(500)
            .files(2)
            .damaged(|folder| change(&folder.join(SECOND), damage))
            .published_before()
            .run();
        eprintln!("{name}");
        run.expect_refusal(ExitCode::BadRows).expect_said(&[SECOND, said]);
    }
}

#[test]
fn damaged_row_group_is_named() {
    let fixture = JobFixture::new().rows(500).row_group_rows(100);
    let run = fixture
        .damaged(|folder| wreck(&folder.join(FIRST), 3))
        .published_before()
        .run();
    run.expect_refusal(ExitCode::BadRows);
    insta::assert_snapshot!(run.message(), @r#"
    error: decode row group 3 of `part-00000.parquet`
      caused by: column `transaction_id`, page header at byte 11899: at byte 1: a field has a type that Parquet does not use
      hint: the file is damaged: have it written again; with `on_corrupt_file = "reject"` below [input] its rows are rejected and the rest is scored
      exit code: 13 (more bad rows or damaged files than allowed)
    "#);
}

#[test]
fn damaged_bytes_are_fetched_once_more_and_no_more() {
    let fixture = JobFixture::new()
        .rows(500)
        .row_group_rows(100)
        .setting("log.level", "warn");
    let run = fixture
        .damaged(|folder| wreck(&folder.join(FIRST), 3))
        .published_before()
        .run();
    run.expect_refusal(ExitCode::BadRows);
    assert_eq!(
        run.message().matches("fetching it once more").count(),
        1,
        "{}",
        run.message()
    );
}

/// 500 rows in two files of row groups of 50, of which one is damaged.
fn rejecting() -> JobFixture {
    JobFixture::new()
        .rows(500)
        .files(2)
        .row_group_rows(50)
        .setting("line.chunk_rows", "100")
        .job("input.on_corrupt_file", "'reject'")
        .job("rows.max_bad_rows", "60")
        .job("rows.max_bad_fraction", "0.5")
        .damaged(|folder| wreck(&folder.join(SECOND), 2))
}

#[test]
fn rows_of_a_damaged_row_group_are_rejected_and_the_rest_is_scored() {
    let run = rejecting().run();
    let report = run.expect_success().report();
    assert_eq!(
        (&report["rows"]["in"], &report["rows"]["out"]),
        (&500.into(), &450.into())
    );
    assert_eq!(report["rows"]["rejected_by_reason"]["CORRUPT_FILE"], 50);
    let rejects = run.rejects();
    assert_eq!(texts(column_of(&rejects, "_file")), [SECOND; 50]);
    assert_eq!(texts(column_of(&rejects, "_reason")), ["CORRUPT_FILE"; 50]);
    assert_eq!(integers(column_of(&rejects, "_row")), (100..150).collect::<Vec<i64>>());
    assert_eq!(column_of(&rejects, "transaction_id").null_count(), 50);
    let whole = JobFixture::new().rows(500).run();
    let (left, whole) = (run.partition(), whole.partition());
    let lost = 1_000_350..1_000_400;
    let kept: Vec<usize> = (0..500).filter(|row| !(350..400).contains(row)).collect();
    assert!(left.integers("transaction_id").iter().all(|id| !lost.contains(id)));
    let all = whole.numbers("probability");
    let expected: Vec<f64> = kept.iter().map(|&row| all[row]).collect();
    assert_close(&left.numbers("probability"), &expected, "probability");
}

#[test]
fn more_damaged_rows_than_allowed_publish_nothing() {
    let run = rejecting().job("rows.max_bad_rows", "49").published_before().run();
    run.expect_refusal(ExitCode::BadRows)
        .expect_said(&[&format!("decode row group 2 of `{SECOND}`")]);
    let run = rejecting()
        .job("rows.max_bad_fraction", "0.05")
        .published_before()
        .run();
    run.expect_refusal(ExitCode::BadRows).expect_said(&["CORRUPT_FILE 50"]);
}

#[test]
fn file_without_a_footer_is_left_out_and_reported() {
    let cut = |folder: &Path| change(&folder.join(SECOND), |bytes| bytes.truncate(bytes.len() - 20));
    let fixture = JobFixture::new()
        .rows(500)
        .files(2)
        .job("input.on_corrupt_file", "'reject'")
        .setting("log.level", "warn")
        .damaged(cut);
    let run = fixture.run();
    run.expect_rows(250).expect_said(&[SECOND, "is left out"]);
    assert_eq!(run.report()["input"]["corrupt_files"], serde_json::json!([SECOND]));
}

#[test]
fn input_of_nothing_but_damaged_files_is_an_error() {
    let run = JobFixture::new()
        .rows(500)
        .files(2)
        .job("input.on_corrupt_file", "'reject'")
        .damaged(|folder| {
            for file in [FIRST, SECOND] {
                change(&folder.join(file), |bytes| bytes.truncate(100));
            }
        })
        .published_before()
        .run();
    run.expect_refusal(ExitCode::BadRows);
    insta::assert_snapshot!(run.message(), @"
    error: `part-00000.parquet` ends with `xyz{`, and a Parquet file ends with `PAR1`: it is cut off, still being written, or something else; none of the 2 files of the input can be read
      hint: check that `input.path` names what a Parquet writer has written and finished, and have it written again; with nothing that can be read there is nothing to score
      exit code: 13 (more bad rows or damaged files than allowed)
    ");
    let run = JobFixture::new()
        .rows(50)
        .damaged(|folder| change(&folder.join(FIRST), |bytes| bytes.truncate(100)))
        .run();
    run.expect_refusal(ExitCode::BadRows)
        .expect_said(&["it is the only file of the input", "nothing to score"]);
    assert!(!run.message().contains("on_corrupt_file"), "{}", run.message());
}

#[test]
fn cap_on_decoded_bytes_is_part_of_a_plan_that_may_lose_rows() {
    let plan = |job: JobFixture, cap: &str| {
        let run = job.setting("line.max_decoded", cap).run();
        run.report()["plan_id"].as_str().unwrap().to_owned()
    };
    let rejecting = || JobFixture::new().rows(50).job("input.on_corrupt_file", "'reject'");
    assert_ne!(plan(rejecting(), "100MiB"), plan(rejecting(), "200MiB"));
    // Where a row group that is too large ends the run, no row depends on it.
    let job = JobFixture::new().rows(50);
    job.setting("line.max_decoded", "100MiB").run().expect_rows(50);
}

#[test]
fn keys_that_are_damaged_are_fetched_once_more_before_any_row_is_lost() {
    let run = rejecting()
        .job("rows.on.DUPLICATE_KEY", "'reject'")
        .setting("log.level", "warn")
        .run();
    let report = run.expect_success().report();
    assert_eq!(report["rows"]["rejected_by_reason"]["CORRUPT_FILE"], 50);
    run.expect_said(&["keys cannot be decoded; fetching them once more"]);
    let strict = rejecting()
        .job("rows.on.DUPLICATE_KEY", "'reject'")
        .job("input.on_corrupt_file", "'fail'")
        .run();
    strict
        .expect_refusal(ExitCode::BadRows)
        .expect_said(&[&format!("decode row group 2 of `{SECOND}`")]);
}

#[test]
fn link_to_nothing_is_named_and_not_passed_over() {
    let link = |folder: &Path, name: &str| std::os::unix::fs::symlink("/nowhere/x.parquet", folder.join(name)).unwrap();
    let fixture = JobFixture::new()
        .rows(50)
        .damaged(|folder| link(folder, SECOND))
        .published_before();
    let run = fixture.run();
    run.expect_refusal(ExitCode::InputNotReady);
    insta::assert_snapshot!(run.message(), @"
    error: `HOME/features/date=2026-11-19/part-00001.parquet` is a link to nothing
      hint: put back the file that it leads to, or remove the link
      exit code: 14 (input not ready)
    ");
    for (path, links, is_refused) in [
        ("features/date={date}/*.parquet", [SECOND, "part-00002.parquet"], true),
        (
            "features/date={date}/part-00000.parquet",
            [SECOND, "other.parquet"],
            false,
        ),
        ("features/date={date}", ["_hidden.parquet", "README.md"], false),
        (
            "features/date={date}/part-00001.parquet",
            [SECOND, "other.parquet"],
            true,
        ),
    ] {
        let fixture = JobFixture::new().rows(50).job("input.path", &format!("'{path}'"));
        let fixture = fixture.damaged(|folder| links.iter().for_each(|name| link(folder, name)));
        let run = fixture.run();
        if is_refused {
            run.expect_exit(ExitCode::InputNotReady)
                .expect_said(&[SECOND, "is a link to nothing"]);
        } else {
            run.expect_rows(50);
        }
    }
}

/// The features with a further column, which the job carries to the output.
fn with_note(fixture: JobFixture, note: &ArrayRef) -> JobFixture {
    let fixture = fixture.job("input.passthrough", "['note']");
    fixture.damaged(|folder| {
        let file = folder.join(FIRST);
        let batch = read_parquet(&file);
        let mut fields: Vec<_> = batch.schema().fields().iter().cloned().collect();
        fields.push(Arc::new(Field::new("note", note.data_type().clone(), true)));
        let columns = batch.columns().iter().cloned().chain([Arc::clone(note)]).collect();
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_dictionary_page_size_limit(usize::MAX)
            .set_max_row_group_row_count(Some(usize::MAX));
        write_parquet(&file, &batch, properties);
    })
}

/// Texts that all are one of two.
fn notes(rows: usize, long: &str, every: usize) -> ArrayRef {
    let keys = (0..rows).map(|row| Some(i32::from(row % every == 0)));
    let values = StringArray::from(vec!["short", long]);
    Arc::new(DictionaryArray::new(keys.collect::<Int32Array>(), Arc::new(values)))
}

#[test]
fn long_text_repeated_for_every_row_ends_at_the_cap() {
    let rows = 100_000;
    let bomb = notes(rows, &"x".repeat(820_000), 1);
    let fixture = with_note(JobFixture::new().rows(rows), &bomb);
    let size = fs::metadata(fixture.path(&format!("features/date=2026-11-19/{FIRST}")))
        .unwrap()
        .len();
    assert!(size < 20 << 20, "{size}");
    let run = fixture.limited(LITTLE).published_before().run();
    run.expect_refusal(ExitCode::BadRows);
    insta::assert_snapshot!(run.message(), @r#"
    error: row group 0 of `part-00000.parquet` takes more than 32.0 GiB once decoded, most of it column `note`
      hint: if the file is as it should be, raise `[line] max_decoded`, lower `[line] chunk_rows`, or have it written with smaller row groups; if not, have it written again
      exit code: 13 (more bad rows or damaged files than allowed)
    "#);
}

#[test]
fn one_long_text_among_many_short_ones_is_no_bomb() {
    let rows = 20_000;
    let notes = notes(rows, &"x".repeat(100_000), rows);
    let run = with_note(JobFixture::new().rows(rows), &notes).run();
    run.expect_rows(rows).partition().expect_input_order();
    let lengths: Vec<usize> = run.partition().texts("note").iter().map(String::len).collect();
    assert_eq!((lengths[0], lengths[1], lengths[rows - 1]), (100_000, 5, 5));
}

#[test]
fn list_of_many_million_elements_ends_at_the_cap() {
    let elements = 30_000_000;
    let field = Arc::new(Field::new_list_field(DataType::Float32, true));
    let values: ArrayRef = Arc::new(Float32Array::from(vec![0.0; elements]));
    let mut lengths = vec![0; 100];
    lengths[50] = elements;
    let list = ListArray::new(field, OffsetBuffer::from_lengths(lengths), values, None);
    let fixture = with_note(JobFixture::new(), &(Arc::new(list) as ArrayRef)).setting("line.max_decoded", "100MiB");
    let size = fs::metadata(fixture.path(&format!("features/date=2026-11-19/{FIRST}")))
        .unwrap()
        .len();
    assert!(size < 1 << 20, "{size}");
    let run = fixture.limited(LITTLE).published_before().run();
    run.expect_refusal(ExitCode::BadRows);
    run.expect_said(&[
        "one row of row group 0 of `part-00000.parquet` takes more than 100.0 MiB once decoded, most of it column `note.list.item`",
    ]);
}

#[test]
fn rows_of_a_bomb_can_be_rejected_like_any_others() {
    let rows = 50_000;
    let bomb = notes(rows, &"x".repeat(820_000), 1);
    let run = with_note(JobFixture::new().rows(rows), &bomb)
        .job("input.on_corrupt_file", "'reject'")
        .job("rows.max_bad_rows", "50000")
        .job("rows.max_bad_fraction", "1.0")
        .limited(LITTLE)
        .run();
    let report = run.expect_success().report();
    assert_eq!(report["rows"]["rejected_by_reason"]["CORRUPT_FILE"], rows);
    assert!(
        run.rejects()
            .column_by_name("_row")
            .unwrap()
            .as_primitive_opt::<arrow::datatypes::UInt64Type>()
            .is_some()
    );
}
