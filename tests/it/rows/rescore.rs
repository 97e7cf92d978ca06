//! `run --only-rejected`: after a fix, just the rejected rows are scored, and the others stay as they are published.

use batch_infer::exit::ExitCode;

use super::picky::{expect_published, job, rejected, rejecting, rows, run, write};
use crate::support::{DATE, JobFixture};

/// A job that tolerates what these tests do to rows.
fn tolerant() -> JobFixture {
    rejecting(rejecting(job(), "MODEL_ERROR", 20), "NULL_FEATURE", 20)
}

#[test]
fn mended_rows_take_their_place_among_the_others() {
    let mut broken = rows(100);
    let bad = [0, 5, 16, 17, 63, 99];
    for row in bad {
        broken[row].a = Some(666.0);
    }
    let job = tolerant();
    let first = run(&job, &broken);
    assert_eq!(first.report()["rows"]["out"], 94);
    // All but one are mended.
    let mut mended = rows(100);
    mended[17].a = Some(666.0);
    let job = job.argument("--only-rejected");
    let second = run(&job, &mended);
    expect_published(
        &second,
        mended
            .iter()
            .enumerate()
            .filter(|(row, _)| *row != 17)
            .map(|(_, row)| row),
    );
    let report = second.report();
    assert_eq!(
        (&report["rows"]["in"], &report["rows"]["out"]),
        (&100.into(), &99.into())
    );
    assert_eq!(rejected(&job).len(), 1);

    let runs = second.partition().texts("run_id");
    assert_eq!(
        runs.iter().filter(|run| **run == runs[0]).count(),
        5,
        "the mended rows say which run scored them"
    );

    let third = run(&job, &rows(100));
    expect_published(&third, &rows(100));
    let fourth = job.run();
    assert_eq!(fourth.report()["outcome"], "nothing_rejected");
}

#[test]
fn chunks_may_be_cut_otherwise_than_before() {
    let mut broken = rows(100);
    for row in [2, 40, 41, 42, 80] {
        broken[row].a = None;
    }
    let job = tolerant();
    write(&job, "part-00000.parquet", &broken[..50], 20);
    write(&job, "part-00001.parquet", &broken[50..], 20);
    job.run().expect_success();
    let whole = rows(100);
    write(&job, "part-00000.parquet", &whole[..50], 7);
    write(&job, "part-00001.parquet", &whole[50..], 50);
    let again = job.argument("--only-rejected").setting("line.chunk_rows", "9").run();
    expect_published(&again, &whole);
}

#[test]
fn other_rows_in_the_input_are_noticed() {
    let mut broken = rows(40);
    broken[7].a = None;
    let job = tolerant();
    run(&job, &broken).expect_success();
    let job = job.argument("--only-rejected");

    let mut moved = rows(40);
    moved.swap(20, 21);
    run(&job, &moved)
        .expect_exit(ExitCode::Schema)
        .expect_said(&["row 20", "has another `k`"]);
    run(&job, &rows(41))
        .expect_exit(ExitCode::Schema)
        .expect_said(&["41 rows now"]);
    run(&job, &rows(5))
        .expect_exit(ExitCode::Schema)
        .expect_said(&["of 1 rejected rows 0 are found"]);
}

#[test]
fn without_a_publication_there_is_nothing_to_add_to() {
    let job = tolerant().argument("--only-rejected");
    run(&job, &rows(10))
        .expect_refusal(ExitCode::InputNotReady)
        .expect_said(&["nothing is published", "without --only-rejected"]);
}

#[test]
fn row_whose_new_key_is_published_already_is_no_second_row_of_it() {
    let mut broken = rows(20);
    broken[0].key = None;
    let job = rejecting(rejecting(job(), "NULL_KEY", 5), "DUPLICATE_KEY", 5);
    run(&job, &broken).expect_success();
    let mut mended = broken;
    mended[0].key = Some(7);
    let job = job.argument("--only-rejected");
    run(&job, &mended)
        .expect_exit(ExitCode::Schema)
        .expect_said(&["DUPLICATE_KEY", "without --only-rejected"]);
    mended[0].key = Some(1_000);
    expect_published(&run(&job, &mended), &mended);
}

/// What `rejects show` says.
fn shown(job: &JobFixture, arguments: &[&str]) -> String {
    let mut command = job.command("rejects show");
    let output = command.args(["--date", DATE]).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn mended_rows_are_shown_no_more() {
    let mut broken = rows(20);
    broken[3].a = None;
    let job = tolerant();
    let first = run(&job, &broken);
    let plan = first.report()["plan_id"].as_str().unwrap().to_owned();
    assert_eq!(rejected(&job).len(), 1);
    let job = job.argument("--only-rejected");
    run(&job, &rows(20)).expect_success();
    assert!(shown(&job, &[]).contains("no rows were rejected"));
    let of_plan = shown(&job, &["--plan", &plan]);
    assert!(
        of_plan.contains("1 of 1 rejected rows"),
        "of a plan that is named, all the same: {of_plan}"
    );

    // A run that fails later is the last word about bad rows again.
    let job = job.without_arguments().job("rows.max_bad_rows", "1");
    broken[9].a = None;
    run(&job, &broken).expect_exit(ExitCode::BadRows);
    assert!(shown(&job, &[]).contains("rejected rows of"), "{}", shown(&job, &[]));
}

#[test]
fn without_a_correction_nothing_is_scored_or_published() {
    let mut broken = rows(40);
    broken[7].a = None;
    broken[30].a = None;
    let job = tolerant();
    let first = run(&job, &broken);
    let job = job.argument("--only-rejected");
    let nothing = job.run();
    assert_eq!(nothing.report()["outcome"], "nothing_corrected");
    assert_eq!(nothing.report()["plan_id"], first.report()["plan_id"]);
    // The whole date is still known to be published.
    let job = job.without_arguments();
    assert_eq!(job.run().report()["outcome"], "already_published");

    // One of two is mended; after that, nothing again.
    let job = job.argument("--only-rejected");
    broken[7].a = Some(1.0);
    let second = run(&job, &broken);
    assert_eq!(second.report()["rows"]["out"], 39);
    assert_eq!(job.run().report()["outcome"], "nothing_corrected");
    let forced = job.job("output.on_existing", "'replace'").run();
    assert_eq!(forced.report()["rows"]["out"], 39);
}

#[test]
fn controls_in_keys_do_not_reach_the_terminal() {
    let mut broken = rows(4);
    broken[1].a = None;
    broken[1].plan = Some("\u{1b}[2J\u{9b}31m\nfree");
    let job = tolerant().job("rows.include_values", "true");
    run(&job, &broken).expect_success();
    let text = shown(&job, &[]);
    assert!(text.contains(r"\u{1b}[2J\u{9b}31m\nfree"), "{text}");
    assert!(!text.contains(['\u{1b}', '\u{9b}']), "{text:?}");
}
