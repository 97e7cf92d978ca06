//! The same rows in other files, row groups, pages and folders are the same predictions in the same order.

use crate::support::{Features, JobFixture, Partition, Run};

/// A plain run of so many rows.
fn plainly(rows: usize) -> Run {
    JobFixture::new().rows(rows).run()
}

#[test]
fn rows_come_out_once_and_in_the_order_of_the_input() {
    let run = JobFixture::new()
        .rows(12_000)
        .files(3)
        .row_group_rows(700)
        .setting("line.chunk_rows", "500")
        .run();
    run.expect_rows(12_000).partition().expect_input_order();
}

#[test]
fn hundreds_of_tiny_row_groups_are_taken_together() {
    let run = JobFixture::new().rows(3_000).row_group_rows(10).run();
    run.expect_rows(3_000)
        .partition()
        .expect_input_order()
        .expect_predictions_of(&plainly(3_000).partition());
    assert_eq!(run.report()["line"]["chunks"], 1);
}

/// A row group of 10,000 rows is read in pieces, whatever the file says of its pages.
#[track_caller]
fn expect_split(change: impl FnOnce(Features) -> Features) {
    let run = JobFixture::new()
        .rows(10_000)
        .features(change)
        .setting("line.chunk_rows", "1000")
        .run();
    run.expect_rows(10_000)
        .partition()
        .expect_input_order()
        .expect_predictions_of(&plainly(10_000).partition());
    assert_eq!(run.report()["line"]["chunks"], 10, "the row group was not split");
}

#[test]
fn huge_row_group_is_split_by_its_page_index() {
    expect_split(|features| features);
}

#[test]
fn huge_row_group_without_page_index_is_split_all_the_same() {
    expect_split(Features::without_page_index);
}

#[test]
fn huge_row_group_of_version_two_pages_is_split() {
    expect_split(Features::pages_of_version_two);
}

#[test]
fn huge_row_group_of_version_two_pages_without_page_index_is_split() {
    expect_split(|features| features.pages_of_version_two().without_page_index());
}

#[test]
fn two_hundred_files_are_one_partition_in_the_order_of_their_names() {
    let run = JobFixture::new().rows(2_000).files(200).run();
    run.expect_rows(2_000)
        .partition()
        .expect_input_order()
        .expect_predictions_of(&plainly(2_000).partition());
    assert_eq!(run.report()["input"]["files"], 200);
}

#[test]
fn file_without_rows_among_others_is_passed_over() {
    let fixture = JobFixture::new()
        .rows(90)
        .placed("features/date=2026-11-19/empty", Features::new().rows(0));
    fixture.run().expect_rows(90).partition().expect_input_order();
}

#[test]
fn partition_without_rows_is_published_as_a_valid_file() {
    let run = JobFixture::new().rows(0).run();
    let partition = run.expect_rows(0).partition();
    assert!(
        partition.columns().contains(&"probability".to_owned()),
        "{:?}",
        partition.columns()
    );
}

#[test]
fn folders_of_a_hive_layout_become_columns_where_they_are_asked_for() {
    let fixture = JobFixture::new()
        .without_features()
        .job("input.passthrough", "['region']");
    let fixture = fixture.placed("features/date=2026-11-19/region=eu", Features::new().rows(30));
    let run = fixture
        .placed("features/date=2026-11-19/region=us", Features::new().rows(20))
        .run();
    let regions = run.expect_rows(50).partition().texts("region");
    assert_eq!(regions, [vec!["eu"; 30], vec!["us"; 20]].concat());
}

#[test]
fn glob_takes_the_files_that_match() {
    let fixture = JobFixture::new()
        .rows(400)
        .files(4)
        .job("input.path", "'features/date={date}/part-0000[12].parquet'");
    fixture.run().expect_rows(200);
}

#[test]
fn two_stars_of_a_glob_cross_folders() {
    let fixture = JobFixture::new()
        .without_features()
        .job("input.path", "'features/**/date={date}/*.parquet'");
    let fixture = fixture.placed("features/eu/date=2026-11-19", Features::new().rows(30));
    let fixture = fixture.placed("features/us/west/date=2026-11-19", Features::new().rows(20));
    fixture
        .placed("features/us/west/date=2026-11-18", Features::new().rows(10))
        .run()
        .expect_rows(50);
}

#[test]
fn single_file_is_an_input() {
    let fixture = JobFixture::new()
        .rows(300)
        .files(3)
        .job("input.path", "'features/date={date}/part-00001.parquet'");
    fixture.run().expect_rows(100);
}

#[test]
fn hidden_files_and_other_things_are_no_input() {
    let run = JobFixture::new()
        .rows(60)
        .file("features/date=2026-11-19/_SUCCESS", b"")
        .file("features/date=2026-11-19/.part-00000.parquet.crc", b"crc")
        .file(
            "features/date=2026-11-19/._part-00000.parquet",
            b"left by a file manager",
        )
        .file("features/date=2026-11-19/_old/0/part-00000.parquet", b"half a fi")
        .file("features/date=2026-11-19/schema.json", b"{}")
        .run();
    run.expect_rows(60);
    assert_eq!(run.report()["input"]["files"], 1);
}

#[test]
fn other_spellings_of_the_date_are_understood() {
    let fixture = JobFixture::new()
        .without_features()
        .job("input.path", "'features/{year}/{month}/{day}/{date_nodash}'");
    fixture
        .placed("features/2026/11/19/20261119", Features::new().rows(10))
        .run()
        .expect_rows(10);
}

#[test]
fn path_may_hold_what_a_file_name_may() {
    let fixture = JobFixture::new()
        .without_features()
        .job("input.path", "'März 100% #1/date={date}'")
        .job("output.path", "'Ergebnis & mehr/100% #1'")
        .job("output.state", "'Stand: 100% #1'");
    let fixture = fixture.placed("März 100% #1/date=2026-11-19", Features::new());
    let run = fixture.run();
    run.expect_success();
    let partition = Partition::read(&fixture.path("Ergebnis & mehr/100% #1/date=2026-11-19/part-00000.parquet"));
    partition.expect_input_order();
    assert_eq!(partition.rows(), 100);
    run.bytes("Stand: 100% #1/v1/fraud-detector/date=2026-11-19/published/00000000000000000002.json");
}

#[test]
fn link_to_the_input_is_followed() {
    let fixture = JobFixture::new().job("input.path", "'linked/date={date}'");
    std::os::unix::fs::symlink("features", fixture.path("linked")).unwrap();
    fixture.run().expect_rows(100);
}
