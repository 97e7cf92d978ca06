//! Tables are no plain folders.

use std::fs;
use std::os::unix::fs::symlink;

use batch_infer::exit::ExitCode;

use super::{FOLDER, job};

const SIGNS: [(&str, &str, &str); 5] = [
    ("_delta_log/00000000000000000000.json", "Delta", "DeltaTable"),
    ("metadata/00000-4f2a.metadata.json", "Iceberg", "pyiceberg"),
    (".hoodie/hoodie.properties", "Hudi", "format(\"hudi\")"),
    ("_spark_metadata/0", "Structured Streaming", "goes by that log"),
    ("snapshot/snapshot-1", "Paimon", "pypaimon"),
];

#[test]
fn input_in_a_table_is_refused_with_the_way_out() {
    for (sign, kind, way_out) in SIGNS {
        for place in ["features", FOLDER] {
            for input in [
                FOLDER,
                &format!("{FOLDER}/*.parquet"),
                &format!("{FOLDER}/part-00000.parquet"),
                "features/*/*.parquet",
            ] {
                let fixture = job()
                    .job("input.path", &format!("'{input}'"))
                    .file(&format!("{place}/{sign}"), b"{}");
                let run = fixture.run();
                run.expect_refusal(ExitCode::Schema)
                    .expect_said(&[kind, way_out, "input.table_format = \"ignore\""]);
            }
        }
    }
}

#[test]
fn job_may_read_the_files_of_a_table_all_the_same() {
    for (sign, ..) in SIGNS {
        let run = job()
            .job("input.table_format", "'ignore'")
            .file(&format!("{FOLDER}/{sign}"), b"{}")
            .run();
        run.expect_rows(100);
        assert_eq!(run.message(), "", "{sign}");
    }
}

#[test]
fn folder_by_the_name_of_a_table_and_a_table_beside_the_input_are_no_sign() {
    let run = job()
        .file("features/metadata/notes.json", b"{}")
        .file("features/date=2026-11-18/_delta_log/0.json", b"{}")
        .file("other/_delta_log/0.json", b"{}")
        .run();
    run.expect_rows(100);
    let run = job()
        .job("input.path", "'features/*/*.parquet'")
        .file("features/other/_delta_log/0.json", b"{}")
        .run();
    run.expect_rows(100);
}

#[test]
fn table_behind_a_link_is_found() {
    let fixture = job().file("features/_delta_log/0.json", b"{}");
    let run = fixture.damaged(|folder| symlink(folder, folder.join("../../latest")).unwrap());
    run.job("input.path", "'latest'")
        .run()
        .expect_refusal(ExitCode::Schema)
        .expect_said(&["Delta"]);
}

#[test]
fn table_below_the_input_is_found_where_a_file_of_it_would_be_read() {
    let fixture = job().damaged(|folder| {
        fs::create_dir_all(folder.join("t/_delta_log")).unwrap();
        super::moved(folder, "part-00001.parquet", "t/part-00001.parquet");
    });
    fixture.run().expect_refusal(ExitCode::Schema);
    let rest = fixture.job("input.path", &format!("'{FOLDER}/*.parquet'"));
    rest.run().expect_rows(50);
}
