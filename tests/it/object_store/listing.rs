//! What the listing of a bucket says: tables, writers at work, letters, marks of folders, and empty days.

use batch_infer::exit::ExitCode;
use bytes::Bytes;

use super::{job, lake};

const FOLDER: &str = "features/fraud-detector/date=2026-11-19";

/// Bytes that are no Parquet, of an object and of a mark of a folder.
const OTHER: Bytes = Bytes::from_static(b"something else");
const NOTHING: Bytes = Bytes::new();

#[test]
fn table_in_a_folder_above_or_at_the_prefix_is_refused() {
    let Some(service) = lake() else { return };
    for sign in [
        "_delta_log/00000000000000000000.json",
        ".hoodie/hoodie.properties",
        "metadata/v1.metadata.json",
    ] {
        for place in ["", "features/", "features/fraud-detector/", &format!("{FOLDER}/")] {
            let key = format!("{place}{sign}");
            service.put(&key, OTHER);
            for path in [
                FOLDER,
                &format!("{FOLDER}/*.parquet"),
                "features/*/date={date}/*.parquet",
            ] {
                let run = job(&service).job("input.path", &format!("'s3://lake/{path}'")).run();
                run.expect_refusal(ExitCode::Schema)
                    .expect_said(&["input.table_format"]);
            }
            service.remove(&key);
        }
    }
    job(&service).run().expect_success();
}

#[test]
fn writer_at_work_is_known_by_objects_and_by_marks_of_folders() {
    let Some(service) = lake() else { return };
    for sign in [
        "_temporary/0/part-9.parquet",
        "_temporary",
        "_temporary_$folder$",
        "part-9.parquet.tmp",
    ] {
        let key = format!("{FOLDER}/{sign}");
        let bytes = if sign.ends_with("parquet") { OTHER } else { NOTHING };
        service.put(&key, bytes);
        let run = job(&service).run();
        run.expect_refusal(ExitCode::InputNotReady)
            .expect_said(&["not finished"]);
        service.remove(&key);
    }
}

#[test]
fn objects_are_read_by_their_letters_and_the_others_named() {
    let Some(service) = lake() else { return };
    let first = service.keys(FOLDER).swap_remove(0);
    let bytes = service.read(&first);
    let rows = job(&service).run().expect_success().report()["rows"]["in"].clone();
    service.remove(&first);
    service.put(&format!("{FOLDER}/000000_0"), bytes);
    service.put(&format!("{FOLDER}/notes"), OTHER);
    service.put(&format!("{FOLDER}/deep"), NOTHING);
    service.put(&format!("{FOLDER}/deep/_SUCCESS"), NOTHING);
    let report = job(&service).run().expect_success().report();
    assert_eq!(report["rows"]["in"], rows);
    assert_eq!(report["input"]["passed_over"]["count"], 1);
    assert_eq!(report["input"]["passed_over"]["first"][0]["name"], "notes");
}

#[test]
fn marked_prefix_without_data_is_an_empty_day() {
    let Some(service) = lake() else { return };
    for key in service.keys(FOLDER) {
        service.remove(&key);
    }
    job(&service).run().expect_refusal(ExitCode::InputNotReady);
    service.put(&format!("{FOLDER}/_SUCCESS"), NOTHING);
    let report = job(&service).run().expect_success().report();
    assert_eq!(report["rows"]["in"], 0);
}
