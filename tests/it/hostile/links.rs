//! Links in the folders of a job: none leads a run out of them. And what a run makes is for its user and group alone.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use arrow::array::{Array, ArrayRef, BooleanArray};
use arrow::compute::nullif;
use batch_infer::exit::ExitCode;

use crate::support::{DATE, JobFixture, Tree, map_column};

/// The records of the job and date.
const RECORDS: &str = "predictions.batch-infer/v1/fraud-detector/date=2026-11-19";

/// A job beside a tree that is none of its business.
fn job() -> JobFixture {
    let fixture = JobFixture::new().rows(50);
    [
        "outside/file",
        "outside/deep/part-00000.parquet",
        "outside/log/x.json",
        "outside/spool/x.spool",
    ]
    .into_iter()
    .fold(fixture, |fixture, file| fixture.file(file, b"of somebody else"))
}

fn link(fixture: &JobFixture, path: &str, target: &str) {
    let path = fixture.path(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    symlink(fixture.path(target), path).unwrap();
}

#[test]
fn link_that_leads_out_of_the_state_or_the_data_set_is_refused() {
    let dataset = format!("predictions/date={DATE}");
    let table = [
        (dataset.clone(), "outside/deep"),
        (dataset.clone(), "outside/nothing-yet"),
        (format!("{dataset}/part-00000.parquet"), "outside/file"),
        (format!("{dataset}/_SUCCESS"), "outside/file"),
        (format!("{dataset}/_SUCCESS"), "outside/nothing-yet"),
        ("predictions.batch-infer/v1".to_owned(), "outside/deep"),
        ("predictions.batch-infer/v1/fraud-detector".to_owned(), "outside/deep"),
        (
            "predictions.batch-infer/v1/fraud-detector/dataset.json".to_owned(),
            "outside/nothing-yet",
        ),
        (RECORDS.to_owned(), "outside"),
        (format!("{RECORDS}/lock"), "outside/file"),
        (format!("{RECORDS}/lock"), "outside/nothing-yet"),
        (format!("{RECORDS}/log"), "outside/log"),
        (format!("{RECORDS}/plans"), "outside/deep"),
        (format!("{RECORDS}/published"), "outside/deep"),
        (format!("{RECORDS}/rejects"), "outside/deep"),
        (format!("{RECORDS}/spool"), "outside/spool"),
    ];
    for (path, target) in table {
        let fixture = job();
        link(&fixture, &path, target);
        let before = Tree::of(&fixture.path("outside"));
        let run = fixture.run();
        assert_eq!(Tree::of(&fixture.path("outside")), before, "{path} -> {target}");
        run.expect_exit(ExitCode::Config);
        assert!(
            run.message().contains("outside") || run.message().contains(&path),
            "{path}: {}",
            run.message()
        );
    }
}

#[test]
fn message_names_the_link_and_where_it_leads() {
    let fixture = job();
    link(&fixture, &format!("{RECORDS}/log"), "outside/log");
    let run = fixture.run();
    run.expect_refusal(ExitCode::Config);
    insta::assert_snapshot!(run.message(), @"
    error: `HOME/predictions.batch-infer/v1/fraud-detector/date=2026-11-19/log` is a link to `HOME/outside/log`, outside of `HOME/predictions.batch-infer`
      hint: what a job writes stays below `output.path` and `output.state`: remove the link, or name the folder that it leads to in the job
      exit code: 10 (configuration invalid)
    ");
}

#[test]
fn gc_and_repair_do_not_follow_links_out() {
    for command in ["gc", "verify"] {
        let fixture = job();
        fixture.run().expect_success();
        let plans = fixture.path(&format!("{RECORDS}/plans"));
        fs::rename(&plans, fixture.path("outside/plans")).unwrap();
        link(&fixture, &format!("{RECORDS}/plans"), "outside/plans");
        let data = fixture.path(&format!("predictions/date={DATE}"));
        fs::rename(&data, fixture.path("outside/data")).unwrap();
        fs::remove_file(fixture.path("outside/data/part-00000.parquet")).unwrap();
        link(&fixture, &format!("predictions/date={DATE}"), "outside/data");
        let before = Tree::of(&fixture.path("outside"));
        let mut asked = fixture.command(command);
        if command == "verify" {
            asked.args(["--date", DATE, "--repair"]);
        }
        let output = asked.env("BATCH_INFER_STATE_RETENTION", "0s").output().unwrap();
        assert_ne!(output.status.code(), Some(0), "{command}");
        assert_eq!(Tree::of(&fixture.path("outside")), before, "{command}");
    }
}

#[test]
fn folders_of_a_job_may_themselves_be_links() {
    let fixture = job();
    for (path, target) in [("predictions", "disk/data"), ("predictions.batch-infer", "disk/state")] {
        fs::create_dir_all(fixture.path(target)).unwrap();
        link(&fixture, path, target);
    }
    fixture.run().expect_rows(50);
    assert!(
        fixture
            .path(&format!("disk/data/date={DATE}/part-00000.parquet"))
            .exists()
    );
}

/// Every file and folder below a folder, with the folder.
fn all(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![folder.to_owned()];
    let mut at = 0;
    while let Some(path) = found.get(at).cloned() {
        if path.is_dir() {
            found.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        }
        at += 1;
    }
    found
}

#[test]
fn what_a_run_makes_is_for_its_user_and_group() {
    let first = |values: &ArrayRef| {
        let gone: BooleanArray = (0..values.len()).map(|row| Some(row == 0)).collect();
        nullif(values, &gone).unwrap()
    };
    let fixture = JobFixture::new()
        .rows(50)
        .features(|features| features.changed(None, move |batch| map_column(batch, "amount", first)))
        .job("rows.max_bad_rows", "10")
        .job("rows.max_bad_fraction", "1.0")
        .job("rows.on.NULL_FEATURE", "'reject'");
    fixture.run().expect_success();
    let made: Vec<_> = ["predictions", "predictions.batch-infer"]
        .into_iter()
        .flat_map(|folder| all(&fixture.path(folder)))
        .collect();
    assert!(
        made.iter().any(|path| path.to_string_lossy().contains("/rejects/")),
        "{made:?}"
    );
    for path in made {
        let found = path.metadata().unwrap().permissions().mode() & 0o777;
        let wanted = if path.is_dir() { 0o750 } else { 0o640 };
        assert_eq!(found, wanted, "{found:o} of {}", path.display());
    }
}
