//! A date that is run again: published already, killed midway, with another model, by several processes, into other files.

use std::fs::{self, File, OpenOptions};
use std::path::PathBuf;

use batch_infer::exit::ExitCode;
use serde_json::Value;

use crate::support::{DATE, Features, JobFixture, Run};

/// Rows of the input, and of a chunk: eight chunks.
const ROWS: usize = 800;
const CHUNK_ROWS: &str = "100";

const FILE: &str = "predictions/date=2026-11-19/part-00000.parquet";

/// Eight chunks, of which an earlier process may have finished some.
fn chunked() -> JobFixture {
    JobFixture::new().rows(ROWS).setting("line.chunk_rows", CHUNK_ROWS)
}

/// A fixture whose next run is killed after so many chunks.
fn killed_after(chunks: usize, fixture: JobFixture) -> JobFixture {
    let points = format!("done.create.after={}*off->1*return(kill)", chunks - 1);
    fixture.variable("FAILPOINTS", &points)
}

/// The records of the date.
fn records(fixture: &JobFixture) -> PathBuf {
    fixture.path(&format!("predictions.batch-infer/v1/fraud-detector/date={DATE}"))
}

/// The only plan's folder.
fn plan(fixture: &JobFixture) -> PathBuf {
    let mut plans = fs::read_dir(records(fixture).join("plans")).unwrap();
    plans.next().unwrap().unwrap().path()
}

#[track_caller]
fn outcome(run: &Run) -> Value {
    run.expect_success().report()["outcome"].clone()
}

#[track_caller]
fn resumed(run: &Run) -> u64 {
    run.report()["line"]["resumed_chunks"].as_u64().unwrap()
}

#[test]
fn same_plan_is_published_once_and_then_left_alone() {
    let fixture = chunked();
    let first = fixture.run();
    first.expect_rows(ROWS);
    let before = (
        fs::metadata(fixture.path(FILE)).unwrap().modified().unwrap(),
        first.records(),
    );
    let second = fixture.run();
    assert_eq!(outcome(&second), "already_published");
    assert_eq!(second.report()["seq"], 2);
    let after = (
        fs::metadata(fixture.path(FILE)).unwrap().modified().unwrap(),
        second.records(),
    );
    assert_eq!(after, before, "nothing is touched");
}

#[test]
fn force_scores_again_what_is_published_and_the_next_run_leaves_that_alone() {
    let fixture = chunked();
    fixture.run().expect_rows(ROWS);
    let fixture = fixture.argument("--force");
    let again = fixture.run();
    again.expect_rows(ROWS);
    assert_eq!(resumed(&again), 0, "every chunk is scored again");
    assert_eq!(again.report()["output"]["seq"], 4);
    let fixture = fixture.without_arguments();
    assert_eq!(outcome(&fixture.run()), "already_published");
}

#[test]
fn another_model_replaces_the_date_and_the_way_back_needs_no_scoring() {
    let fixture = chunked();
    let first = fixture.run();
    first.expect_rows(ROWS);
    let before = first.partition();
    let fixture = fixture.job("model.version", "'1'");
    let second = fixture.run();
    second.expect_rows(ROWS);
    assert_eq!(second.partition().texts("model_version"), vec!["1"; ROWS]);
    let back = fixture.job("model.version", "'2'").run();
    back.expect_rows(ROWS);
    assert_eq!(resumed(&back), 8);
    assert_eq!(back.report()["output"]["seq"], 6);
    back.partition().expect_predictions_of(&before);
}

#[test]
fn corrected_input_replaces_the_date() {
    let fixture = chunked();
    fixture.run().expect_rows(ROWS);
    let run = fixture.damaged(|folder| Features::new().rows(40).write(folder)).run();
    run.expect_rows(40);
}

#[test]
fn published_date_is_an_error_where_the_job_says_so() {
    let fixture = chunked().job("output.on_existing", "'fail'");
    fixture.run().expect_rows(ROWS);
    fixture
        .run()
        .expect_refusal(ExitCode::AlreadyPublished)
        .expect_said(&["published already", "on_existing"]);
}

#[test]
fn published_date_is_always_scored_again_where_the_job_says_so() {
    let fixture = chunked().job("output.on_existing", "'replace'");
    fixture.run().expect_rows(ROWS);
    let again = fixture.run();
    again.expect_rows(ROWS);
    assert_eq!(
        (again.report()["output"]["seq"].as_u64(), resumed(&again)),
        (Some(4), 0)
    );
}

#[test]
fn killed_run_publishes_nothing_and_the_next_goes_on_with_what_is_missing() {
    let uninterrupted = chunked().run();
    let fixture = killed_after(3, chunked());
    fixture.run().expect_killed();
    assert!(!fixture.path(FILE).exists());
    let run = fixture.variable("FAILPOINTS", "").run();
    run.expect_rows(ROWS);
    assert!(resumed(&run) >= 3, "{}", resumed(&run));
    let partition = run.partition();
    partition.expect_input_order();
    partition.expect_predictions_of(&uninterrupted.partition());
    for column in ["inference_timestamp", "run_id"] {
        let mut values = partition.texts(column);
        values.dedup();
        assert_eq!(values.len(), 1, "one {column} for the date");
    }
}

#[test]
fn what_a_killed_run_had_decided_is_shown_by_the_next() {
    let fixture = chunked().variable("FAILPOINTS", "log.create.after=1*off->1*return(kill)");
    fixture.run().expect_killed();
    assert!(!fixture.path(FILE).exists());
    let run = fixture.variable("FAILPOINTS", "").run();
    assert_eq!(outcome(&run), "already_published");
    assert_eq!(run.report()["seq"], 2);
    assert_eq!(run.partition().rows(), ROWS);
    assert_eq!(run.publication(2)["report"], Value::Null, "another process scored it");
}

#[test]
fn run_killed_before_its_record_is_completed_by_the_next() {
    for point in ["final.rename.after", "published.create.before", "success.put.before"] {
        let fixture = chunked().variable("FAILPOINTS", &format!("{point}=return(kill)"));
        fixture.run().expect_killed();
        let run = fixture.variable("FAILPOINTS", "").run();
        assert_eq!(outcome(&run), "already_published", "{point}");
        assert_eq!(run.publication(2)["commit"]["rows_out"], ROWS, "{point}");
        assert_eq!(run.published().len(), 2, "{point}: the file and its marker");
    }
}

#[test]
fn damaged_part_is_scored_again() {
    let fixture = killed_after(4, chunked());
    fixture.run().expect_killed();
    let parts = fs::read_dir(plan(&fixture).join("chunks"))
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut damaged = 0;
    for part in parts.filter(|path| path.extension().is_some_and(|extension| extension == "part")) {
        let length = fs::metadata(&part).unwrap().len();
        OpenOptions::new()
            .write(true)
            .open(part)
            .unwrap()
            .set_len(length / 2)
            .unwrap();
        damaged += 1;
    }
    assert!(damaged >= 4);
    let run = fixture.variable("FAILPOINTS", "").run();
    run.expect_rows(ROWS).partition().expect_input_order();
}

#[test]
fn damaged_plan_is_done_anew() {
    let fixture = killed_after(4, chunked());
    fixture.run().expect_killed();
    fs::write(plan(&fixture).join("plan.json"), b"{").unwrap();
    let fixture = fixture.variable("FAILPOINTS", "");
    fixture.run().expect_rows(ROWS);
    assert_eq!(outcome(&fixture.run()), "already_published");
}

#[test]
fn lost_state_does_not_lower_the_number_of_the_data() {
    let fixture = chunked();
    fixture.run().expect_rows(ROWS);
    fs::remove_dir_all(fixture.path("predictions.batch-infer")).unwrap();
    let run = fixture.run();
    run.expect_rows(ROWS);
    assert_eq!(run.report()["output"]["seq"], 4);
}

#[test]
fn shards_share_the_chunks_and_the_last_one_publishes() {
    let whole = chunked().run();
    let mut fixture = chunked();
    for shard in ["2/3", "0/3"] {
        let sharded = fixture.argument("--shard").argument(shard);
        assert_eq!(outcome(&sharded.run()), "shard_done");
        assert!(!sharded.path(FILE).exists());
        fixture = sharded.without_arguments();
    }
    // As a pod of an indexed job: 3 processes, and this is number 1.
    let last = fixture
        .setting("run.shards", "3")
        .variable("JOB_COMPLETION_INDEX", "1")
        .run();
    last.expect_rows(ROWS)
        .partition()
        .expect_predictions_of(&whole.partition());
    last.partition().expect_input_order();
}

#[test]
fn shard_that_does_not_exist_is_refused() {
    let fixture = chunked().setting("run.shards", "3");
    fixture
        .run()
        .expect_refusal(ExitCode::Config)
        .expect_said(&["--shard I/N"]);
    fixture
        .variable("JOB_COMPLETION_INDEX", "3")
        .run()
        .expect_refusal(ExitCode::Config)
        .expect_said(&["JOB_COMPLETION_INDEX is `3`"]);
}

#[test]
fn partition_of_several_files_is_replaced_whole() {
    let fixture = chunked().job("output.files", "3");
    let run = fixture.run();
    run.expect_success();
    assert_eq!(run.report()["output"]["files"], 3);
    let rows: Vec<usize> = (0..3).map(|number| run.partition_file(number).rows()).collect();
    assert_eq!(rows.iter().sum::<usize>(), ROWS);
    assert!(rows.iter().all(|rows| (200..=300).contains(rows)), "{rows:?}");
    let again = fixture.argument("--force").run();
    again.expect_success();
    assert_eq!(again.published().len(), 4, "three files and the marker");
}

#[test]
fn number_of_files_may_change_on_a_local_disk() {
    let fixture = chunked().job("output.files", "4");
    fixture.run().expect_success();
    let run = fixture.job("output.files", "1").run();
    run.expect_rows(ROWS);
    assert_eq!(run.published().len(), 2, "the file and the marker");
}

#[test]
fn file_of_something_else_is_replaced_only_when_the_job_says_so() {
    let fixture = chunked().published_before().job("output.adopt_foreign", "false");
    fixture
        .run()
        .expect_refusal(ExitCode::Config)
        .expect_said(&["was not written by this program", "adopt_foreign"]);
    fixture.job("output.adopt_foreign", "true").run().expect_rows(ROWS);
}

/// A fixture whose date another process works at, until the file is dropped.
fn busy() -> (JobFixture, File) {
    let fixture = chunked();
    let path = records(&fixture).join("lock");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let file = File::create(path).unwrap();
    file.lock().unwrap();
    (fixture, file)
}

#[test]
fn date_that_another_process_works_at_is_waited_for_skipped_or_an_error() {
    let (fixture, lock) = busy();
    let fixture = fixture.argument("--on-busy").argument("skip");
    assert_eq!(outcome(&fixture.run()), "skipped");
    let fixture = fixture.without_arguments().argument("--on-busy").argument("fail");
    fixture
        .run()
        .expect_refusal(ExitCode::Busy)
        .expect_said(&["works on this job and date"]);
    // On a disk a dead holder is noticed at once, so no time goes by for a lease that nobody renews.
    let fixture = fixture
        .without_arguments()
        .setting("lease.busy_timeout", "0s")
        .setting("lease.ttl", "10m");
    fixture.run().expect_refusal(ExitCode::Busy);
    drop(lock);
    fixture.run().expect_rows(ROWS);
}

#[test]
fn state_on_another_file_system_is_refused_before_anything_is_scored() {
    use std::os::unix::fs::MetadataExt;
    let fixture = chunked();
    let shared_memory = fs::metadata("/dev/shm").map(|facts| facts.dev());
    if shared_memory.is_err() || shared_memory.ok() == Some(fs::metadata(fixture.path("")).unwrap().dev()) {
        eprintln!("skipped: this machine has no second file system at /dev/shm");
        return;
    }
    let state = tempfile::TempDir::new_in("/dev/shm").unwrap();
    fixture
        .job("output.state", &format!("'{}'", state.path().display()))
        .run()
        .expect_refusal(ExitCode::Config)
        .expect_said(&["on different file systems", "publishing is a rename"]);
}

#[test]
fn state_of_a_bucket_is_in_a_bucket() {
    chunked()
        .job("output.path", "'s3://lake/predictions'")
        .job("output.state", "'state'")
        .run()
        .expect_refusal(ExitCode::Config)
        .expect_said(&["a local folder", "output.state"]);
}

#[test]
fn disk_that_fails_publishes_nothing_and_the_next_run_goes_on() {
    for point in [
        "spool.write.before=return(enospc)",
        "spool.sync.before=return(eio)",
        "part.put.before=return(enospc)",
    ] {
        let fixture = chunked().variable("FAILPOINTS", point);
        fixture.run().expect_refusal(ExitCode::Disk);
        fixture.variable("FAILPOINTS", "").run().expect_rows(ROWS);
    }
}

#[test]
fn forced_run_that_was_killed_goes_on_where_it_was() {
    let fixture = chunked();
    fixture.run().expect_rows(ROWS);
    let fixture = killed_after(3, fixture).argument("--force");
    fixture.run().expect_killed();
    let run = fixture.variable("FAILPOINTS", "").run();
    run.expect_rows(ROWS);
    assert!(resumed(&run) >= 3, "{}", resumed(&run));
}

#[test]
fn forced_shards_are_one_repetition() {
    let mut fixture = chunked();
    fixture.run().expect_rows(ROWS);
    for (shard, expected) in [("0/2", "shard_done"), ("1/2", "published")] {
        let sharded = fixture.argument("--force").argument("--shard").argument(shard);
        assert_eq!(outcome(&sharded.run()), expected, "shard {shard}");
        fixture = sharded.without_arguments();
    }
}

#[test]
fn state_of_one_data_set_is_refused_for_another() {
    let fixture = chunked().job("output.state", "'state'");
    fixture.run().expect_rows(ROWS);
    fixture
        .job("output.path", "'elsewhere'")
        .run()
        .expect_refusal(ExitCode::Config)
        .expect_said(&["`../predictions`", "output.state"]);
}

#[test]
fn state_that_lies_in_the_data_set_by_way_of_a_link_is_refused() {
    let fixture = chunked().job("output.state", "'linked/state'");
    fs::create_dir_all(fixture.path("predictions")).unwrap();
    std::os::unix::fs::symlink("predictions", fixture.path("linked")).unwrap();
    fixture
        .run()
        .expect_refusal(ExitCode::Config)
        .expect_said(&["overlaps with"]);
}

#[test]
fn data_of_something_else_in_the_partition_is_an_obstacle_and_is_not_touched() {
    for stray in ["data.parquet", "notes.txt", "sub/y.csv", "part-00077.parquet"] {
        for files in ["1", "3"] {
            let path = format!("predictions/date={DATE}/{stray}");
            let fixture = chunked().job("output.files", files).file(&path, b"somebody's");
            fixture.run().expect_refusal(ExitCode::Config).expect_said(&[stray]);
            assert_eq!(fs::read(fixture.path(&path)).unwrap(), b"somebody's");
        }
    }
}

#[test]
fn retry_of_a_run_that_published_is_no_second_publication() {
    let fixture = chunked()
        .job("output.on_existing", "'fail'")
        .setting("run.key", "one")
        .variable("FAILPOINTS", "final.rename.after=return(kill)");
    fixture.run().expect_killed();
    let fixture = fixture.variable("FAILPOINTS", "");
    let retry = fixture.run();
    assert_eq!(outcome(&retry), "already_published");
    assert_eq!(retry.published().len(), 2, "the file and its marker");
    let fixture = fixture.setting("run.key", "another");
    fixture.run().expect_refusal(ExitCode::AlreadyPublished);
}

#[test]
fn run_key_that_is_used_for_something_else_is_named() {
    let fixture = chunked().setting("run.key", "one");
    fixture.run().expect_rows(ROWS);
    let again = fixture.job("model.version", "'1'").run();
    assert_eq!(outcome(&again), "already_published");
    assert_eq!(again.report()["used_key"], "one");
}

#[test]
fn damaged_record_behind_the_place_of_a_run_costs_it_the_place_and_no_more() {
    let fixture = chunked()
        .setting("run.key", "one")
        .variable("FAILPOINTS", "log.create.after=return(kill)");
    fixture.run().expect_killed();
    fs::write(records(&fixture).join("log/00000000000000000002.json"), b"{").unwrap();
    let retry = fixture.variable("FAILPOINTS", "").run();
    retry.expect_rows(ROWS);
    assert_eq!(retry.report()["output"]["seq"], 4, "a place above the damaged record");
}

#[test]
fn marker_that_cannot_be_written_is_a_failure_that_the_next_run_mends() {
    let fixture = chunked().variable("FAILPOINTS", "success.put.before=return(enospc)");
    let run = fixture.run();
    run.expect_exit(ExitCode::Disk)
        .expect_said(&["is published", "its marker"]);
    let fixture = fixture.variable("FAILPOINTS", "");
    assert_eq!(outcome(&fixture.run()), "already_published");
    assert_eq!(fixture.run().published().len(), 2);
}

#[test]
fn number_that_two_logs_gave_out_is_not_taken_for_our_own() {
    let fixture = chunked();
    fixture.run().expect_rows(ROWS);
    let first = records(&fixture);
    let copy = fixture.path("copy");
    fs::create_dir_all(&copy).unwrap();
    for entry in ["log", "plans", "published"] {
        fs::rename(first.join(entry), copy.join(entry)).unwrap();
    }
    // Without its log this run takes the next number; then the old log comes back and gives out the same one.
    fixture.run().expect_rows(ROWS);
    for entry in ["log", "plans", "published"] {
        fs::remove_dir_all(first.join(entry)).unwrap();
        fs::rename(copy.join(entry), first.join(entry)).unwrap();
    }
    let run = fixture.job("model.version", "'1'").run();
    run.expect_rows(ROWS);
    assert_eq!(run.partition().texts("model_version"), vec!["1"; ROWS]);
}
