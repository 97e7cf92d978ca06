//! Endings, letters, hidden names, and patterns.

use std::fs;

use batch_infer::exit::ExitCode;
use serde_json::Value;

use super::{FOLDER, job, moved, write};
use crate::support::JobFixture;

const SECOND: &str = "part-00001.parquet";

/// The second file under another name.
fn named(name: &str) -> JobFixture {
    job().damaged(|folder| moved(folder, SECOND, name))
}

#[test]
fn files_are_read_by_their_endings_or_their_letters() {
    for name in ["b.PARQ", "b.pq", "b.parquet.snappy", "b", "deep/000001_0", "b.dat"] {
        let run = named(name).run();
        run.expect_rows(100);
        assert_eq!(run.message(), "", "{name}");
    }
}

#[test]
fn file_with_an_ending_of_parquet_and_other_letters_is_damaged() {
    for name in ["b.parquet", "b.Parq", "b.pq"] {
        let run = job().damaged(|folder| write(folder, name)).run();
        run.expect_refusal(ExitCode::BadRows).expect_said(&[name]);
    }
}

#[test]
fn what_is_passed_over_is_named_in_the_warning_the_report_and_the_plan() {
    let fixture = job().damaged(|folder| {
        write(folder, "b.csv");
        fs::write(folder.join("c"), b"PAR1 and then the writer died").unwrap();
        moved(folder, SECOND, "_old/part-00001.parquet");
        write(folder, ".part-00002.parquet.inprogress");
    });
    let run = fixture.run();
    run.expect_rows(50).expect_said(&["b.csv (not Parquet)", "\"count\":4"]);
    let passed = &run.report()["input"]["passed_over"];
    assert_eq!(passed["count"], 4);
    let reason = |name: &str| {
        let first = passed["first"].as_array().unwrap().iter();
        let mut named = first.filter(|passed| passed["name"] == name);
        named.next().map(|passed| passed["reason"].as_str().unwrap())
    };
    assert_eq!(reason("b.csv"), Some("not Parquet"));
    assert_eq!(reason("_old/"), Some("hidden"));
    assert_eq!(reason(".part-00002.parquet.inprogress"), Some("hidden"));
    assert!(reason("c").unwrap().contains("cut off"));
    for format in ["text", "json"] {
        let mut plan = fixture.command("plan");
        let said = plan
            .args(["--date", "2026-11-19", "--format", format])
            .output()
            .unwrap()
            .stdout;
        let said = String::from_utf8(said).unwrap();
        assert!(said.contains("b.csv") && said.contains("not Parquet"), "{said}");
    }
}

#[test]
fn what_every_writer_leaves_is_worth_no_word() {
    let run = job()
        .damaged(|folder| {
            for name in [
                "_SUCCESS",
                "_metadata",
                "_common_metadata",
                ".part-00000.parquet.crc",
                "x.crc",
            ] {
                write(folder, name);
            }
            for name in ["_started_7", "_committed_7"] {
                write(folder, name);
            }
        })
        .run();
    run.expect_rows(100);
    assert_eq!(run.message(), "");
    assert_eq!(run.report()["input"]["passed_over"]["count"], 0);
}

#[test]
fn job_may_narrow_the_endings() {
    let run = named("b.pq").job("input.extensions", "['.Parquet']").run();
    run.expect_rows(50).expect_said(&["b.pq"]);
    let run = named("b.dat").job("input.extensions", "['dat', 'parquet']").run();
    run.expect_rows(100);
    let run = job()
        .damaged(|folder| write(folder, "b.dat"))
        .job("input.extensions", "['dat', 'parquet']")
        .run();
    run.expect_refusal(ExitCode::BadRows).expect_said(&["b.dat"]);
    for wrong in ["[]", "['']", "['a/b']", "['*']"] {
        let run = job().job("input.extensions", wrong).run();
        run.expect_refusal(ExitCode::Config).expect_said(&["input.extensions"]);
    }
}

#[test]
fn pattern_takes_hidden_names_only_where_it_spells_them() {
    for (name, pattern, rows) in [
        ("_old/b.parquet", "**/*.parquet", 50),
        ("_old/b.parquet", "*/*.parquet", 0),
        ("_old/b.parquet", "_*/*.parquet", 50),
        (".b.parquet", "*.parquet", 50),
        (".b.parquet", ".*.parquet", 50),
        ("_region=eu/b.parquet", "**/*.parquet", 100),
        ("deep/b.parquet.snappy", "**/*.snappy", 50),
        ("deep/b.parquet", "*.parquet", 50),
    ] {
        let fixture = named(name).job("input.path", &format!("'{FOLDER}/{pattern}'"));
        let run = fixture.run();
        if rows == 0 {
            run.expect_refusal(ExitCode::InputNotReady)
                .expect_said(&["_old/ (hidden)"]);
        } else {
            run.expect_rows(rows);
        }
    }
}

#[test]
fn pattern_reads_what_it_matches_and_names_what_of_it_is_not_parquet() {
    let fixture = job().damaged(|folder| {
        write(folder, "part-notes.txt");
        write(folder, "other.txt");
    });
    let run = fixture.job("input.path", &format!("'{FOLDER}/part-*'")).run();
    run.expect_rows(100).expect_said(&["part-notes.txt"]);
    assert!(!run.message().contains("other.txt"), "the pattern does not mean it");
}

#[test]
fn encrypted_file_is_refused_under_any_name() {
    for name in ["b.parquet", "b"] {
        let run = job()
            .damaged(|folder| fs::write(folder.join(name), b"PARE................PARE").unwrap())
            .job("input.on_corrupt_file", "'reject'")
            .run();
        run.expect_refusal(ExitCode::BadRows)
            .expect_said(&[name, "has an encrypted footer", "without encryption"]);
    }
}

#[test]
fn files_that_are_no_input_are_named_where_there_is_none() {
    let run = JobFixture::new()
        .without_features()
        .file(&format!("{FOLDER}/rows.csv"), b"id,amount\n1,2\n")
        .run();
    run.expect_refusal(ExitCode::InputNotReady)
        .expect_said(&["no Parquet files", "rows.csv (not Parquet)"]);
    assert_eq!(run.report()["outcome"], Value::Null);
}
