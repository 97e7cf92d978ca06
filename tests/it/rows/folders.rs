//! Columns that stand in the path: as features, keys, carried columns and in files as well.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float32Array, Float64Array, Int64Array, ListArray, RecordBatch, StringArray};
use arrow::datatypes::Float32Type;
use batch_infer::exit::ExitCode;
use parquet::file::properties::WriterProperties;

use super::picky::job;
use crate::support::{DATE, JobFixture, write_parquet};

const ROWS: i64 = 4;

/// Writes a file of rows whose columns are those of the model, but for some, and with others in their place. Its keys begin with a number.
fn write(job: &JobFixture, file: &str, first: i64, without: &[&str], more: &[(&'static str, ArrayRef)]) {
    let rows = usize::try_from(ROWS).unwrap();
    let lists = (0..rows).map(|_| Some(vec![Some(0.5), Some(0.25)]));
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("k", Arc::new(Int64Array::from_iter_values(first..first + ROWS))),
        ("a", Arc::new(Float64Array::from(vec![1.0; rows]))),
        ("b", Arc::new(Float64Array::from(vec![2.0; rows]))),
        ("plan", texts("pro")),
        (
            "v",
            Arc::new(ListArray::from_iter_primitive::<Float32Type, _, _>(lists)),
        ),
        ("r", Arc::new(Float32Array::from(vec![3.0; rows]))),
    ];
    let columns = columns.into_iter().filter(|(name, _)| !without.contains(name));
    let columns = columns.chain(more.iter().cloned());
    let batch = RecordBatch::try_from_iter_with_nullable(columns.map(|(name, values)| (name, values, true))).unwrap();
    let path = job.path(&format!("features/date={DATE}/{file}"));
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    write_parquet(&path, &batch, WriterProperties::builder());
}

fn texts(value: &str) -> ArrayRef {
    Arc::new(StringArray::from(vec![value; usize::try_from(ROWS).unwrap()]))
}

/// What the model makes of rows that have everything in the file.
fn in_files() -> Vec<f64> {
    let job = job();
    write(&job, "a.parquet", 0, &[], &[]);
    job.run().partition().numbers("score")
}

#[test]
fn number_raw_value_and_category_may_stand_in_the_path() {
    let expected = in_files();
    for (name, folder) in [
        ("a", "a=1"),
        ("a", "a=1.0"),
        ("r", "r=3"),
        ("plan", "plan=pro"),
        ("a", "a=%31"),
    ] {
        let job = job();
        write(&job, &format!("{folder}/a.parquet"), 0, &[name], &[]);
        let run = job.run();
        run.expect_success();
        assert_eq!(run.partition().numbers("score"), expected, "{folder}");
    }
    // Some files have it in the path and others in themselves.
    let job = job();
    write(&job, "a.parquet", 0, &[], &[]);
    write(&job, "a=1/r=3/a.parquet", ROWS, &["a", "r"], &[]);
    let run = job.run();
    run.expect_success();
    assert_eq!(run.partition().numbers("score"), expected.repeat(2));
}

#[test]
fn feature_of_the_path_is_text_where_it_is_carried_and_parsed_where_it_is_a_feature() {
    let expected = in_files();
    let job = job().job("input.keys", "['k', 'a']").job("input.passthrough", "['r']");
    write(&job, "a=01/r=3.0/a.parquet", 0, &["a", "r"], &[]);
    let run = job.run();
    run.expect_success();
    let partition = run.partition();
    assert_eq!(partition.numbers("score"), expected);
    assert_eq!(partition.texts("a"), ["01"; 4]);
    assert_eq!(partition.texts("r"), ["3.0"; 4]);
}

#[test]
fn declared_type_is_that_of_every_use() {
    let expected = in_files();
    let job = job()
        .job("input.keys", "['k', 'a']")
        .job("input.passthrough", "['shop']")
        .job("input.path_types", "{ a = 'int64', shop = 'int64' }");
    write(&job, "a=1/shop=7/a.parquet", 0, &["a"], &[]);
    // In this file it is a column of its own.
    let shops = [("shop", Arc::new(Int64Array::from(vec![9; 4])) as ArrayRef)];
    write(&job, "a=1/b.parquet", ROWS, &["a"], &shops);
    let run = job.run();
    run.expect_success();
    let partition = run.partition();
    assert_eq!(partition.numbers("score"), expected.repeat(2));
    assert_eq!(partition.integers("a"), [1; 8]);
    assert_eq!(partition.integers("shop"), [9, 9, 9, 9, 7, 7, 7, 7]);
}

#[test]
fn path_goes_before_the_file_and_a_warning_says_so_where_they_may_differ() {
    let expected = in_files();
    let job = job().setting("log.level", "warn");
    let other = [("a", Arc::new(Float64Array::from(vec![50.0; 4])) as ArrayRef)];
    write(&job, "a=1/a.parquet", 0, &["a"], &other);
    write(&job, "a=1/b.parquet", ROWS, &["a"], &other);
    let run = job.run();
    run.expect_success();
    assert_eq!(run.partition().numbers("score"), expected.repeat(2));
    let said = String::from_utf8(run.said()).unwrap();
    let warnings: Vec<_> = said
        .lines()
        .filter(|line| line.contains("the folder is taken"))
        .collect();
    assert_eq!(warnings.len(), 1, "{said}");
    assert!(
        warnings[0].contains("a=1/a.parquet") && warnings[0].contains('2'),
        "{warnings:?}"
    );
    // Writers that keep such columns in their files say the same twice.
    let job = self::job().setting("log.level", "warn");
    write(&job, "a=1/a.parquet", 0, &[], &[]);
    let run = job.run();
    run.expect_success();
    let said = String::from_utf8(run.said()).unwrap();
    assert!(!said.contains("the folder is taken"), "{said}");
}

#[test]
fn folder_whose_name_is_of_another_case_is_named_or_taken() {
    let job = job();
    write(&job, "A=1/a.parquet", 0, &["a"], &[]);
    let run = job.run();
    run.expect_refusal(ExitCode::Schema).expect_said(&[
        "column `a`",
        "[other case]",
        "there is `A` in the path",
        "input.case_insensitive",
    ]);
    let run = job.job("input.case_insensitive", "true").run();
    run.expect_success();
    assert_eq!(run.partition().numbers("score"), in_files());
}

#[test]
fn folders_that_a_pattern_matches_are_columns() {
    let job = job().job("input.path", &format!("'features/date={DATE}/a=*/*.parquet'"));
    for a in ["1", "2"] {
        write(&job, &format!("a={a}/a.parquet"), 0, &["a"], &[]);
    }
    let run = job.run();
    run.expect_success();
    let [one, two] = [0.0, 1.0].map(|more| in_files().into_iter().map(move |score| score + more));
    assert_eq!(run.partition().numbers("score"), one.chain(two).collect::<Vec<_>>());
}

#[test]
fn folder_whose_text_is_of_no_use_is_named() {
    for (without, file, parts) in [
        (
            &["a"][..],
            "a=much/a.parquet",
            &["column `a`", "the folder `a=much`", "a number"][..],
        ),
        (&["r"], "r=x/a.parquet", &["column `r`", "the folder `r=x`"]),
        (&["v"], "v=1/a.parquet", &["column `v`", "a list of 2 numbers"]),
    ] {
        let job = job().published_before();
        write(&job, file, 0, without, &[]);
        job.run().expect_refusal(ExitCode::Schema).expect_said(parts);
    }
    let declared = job().job("input.path_types", "{ a = 'int64' }").published_before();
    write(&declared, "a=1.5/a.parquet", 0, &["a"], &[]);
    let parts = ["the folder `a=1.5`", "int64, as `input.path_types` declares"];
    declared.run().expect_refusal(ExitCode::Schema).expect_said(&parts);
    let absent = job().job("input.path_types", "{ shop = 'int64' }").published_before();
    write(&absent, "a.parquet", 0, &[], &[]);
    absent
        .run()
        .expect_refusal(ExitCode::Schema)
        .expect_said(&["a folder `shop=...`"]);
    let unknown = job().job("input.path_types", "{ a = 'int' }").published_before();
    write(&unknown, "a=1/a.parquet", 0, &["a"], &[]);
    unknown
        .run()
        .expect_refusal(ExitCode::Config)
        .expect_said(&["input.path_types.a", "int64"]);
}

#[test]
fn null_of_the_path_is_a_null_of_each_row() {
    let job = job().published_before();
    write(&job, "a=__HIVE_DEFAULT_PARTITION__/a.parquet", 0, &["a"], &[]);
    job.run()
        .expect_refusal(ExitCode::BadRows)
        .expect_said(&["column `a`", "4 by the footer"]);
    // `b` is imputed.
    let imputed = self::job();
    write(&imputed, "b=__HIVE_DEFAULT_PARTITION__/a.parquet", 0, &["b"], &[]);
    imputed.run().expect_success();
}

#[test]
fn rows_rejected_below_a_folder_are_scored_again() {
    let job = super::picky::rejecting(job(), "NULL_FEATURE", 4)
        .job("input.keys", "['k', 'a']")
        .job("rows.include_values", "true");
    write(&job, "a=1/a.parquet", 0, &["a"], &[]);
    let nulls = [(
        "r",
        Arc::new(Float32Array::from(vec![None, Some(3.0), Some(3.0), Some(3.0)])) as ArrayRef,
    )];
    write(&job, "a=1/b.parquet", ROWS, &["a", "r"], &nulls);
    let run = job.run();
    run.expect_success();
    assert_eq!(run.partition().rows(), 7);
    let again = job.argument("--only-rejected").run();
    again.expect_success();
}
