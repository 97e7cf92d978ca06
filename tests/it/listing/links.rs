//! Links: the same file by two names, and loops.

use std::fs;
use std::os::unix::fs::symlink;

use batch_infer::exit::ExitCode;

use super::{FOLDER, job, moved};

const FIRST: &str = "part-00000.parquet";
const SECOND: &str = "part-00001.parquet";

#[test]
fn file_that_is_reached_by_a_link_as_well_is_read_once_and_the_link_is_named() {
    let run = job()
        .damaged(|folder| symlink(FIRST, folder.join("a-latest.parquet")).unwrap())
        .run();
    run.expect_rows(100)
        .expect_said(&["a-latest.parquet (the same file as part-00000.parquet, by a link)"])
        .partition()
        .expect_input_order();
}

#[test]
fn hard_link_is_another_name_of_one_file() {
    let run = job()
        .damaged(|folder| fs::hard_link(folder.join(SECOND), folder.join("z.parquet")).unwrap())
        .run();
    run.expect_rows(100).expect_said(&["z.parquet"]);
}

#[test]
fn copy_is_a_file_of_its_own() {
    let run = job()
        .damaged(|folder| {
            fs::copy(folder.join(SECOND), folder.join("z.parquet")).unwrap();
        })
        .run();
    run.expect_rows(150);
}

#[test]
fn folder_that_is_reached_by_a_link_as_well_is_read_once() {
    let run = job()
        .damaged(|folder| {
            moved(folder, SECOND, "v3/part-00001.parquet");
            symlink("v3", folder.join("latest")).unwrap();
        })
        .run();
    run.expect_rows(100).expect_said(&["latest/part-00001.parquet"]);
}

#[test]
fn link_out_of_the_folder_and_link_to_a_hidden_file_are_read() {
    let run = job()
        .damaged(|folder| {
            moved(folder, FIRST, "../../stored.parquet");
            symlink("../../stored.parquet", folder.join(FIRST)).unwrap();
            moved(folder, SECOND, "_versions/3.parquet");
            symlink("_versions/3.parquet", folder.join(SECOND)).unwrap();
        })
        .run();
    run.expect_rows(100);
}

#[test]
fn loop_of_links_is_a_mistake_that_is_named() {
    for (link, target) in [("all", "."), ("deep/up", "../.."), ("itself.parquet", "itself.parquet")] {
        let run = job()
            .damaged(|folder| {
                fs::create_dir_all(folder.join("deep")).unwrap();
                symlink(target, folder.join(link)).unwrap();
            })
            .run();
        run.expect_refusal(ExitCode::Config)
            .expect_said(&[&format!("{FOLDER}/{link}"), "remove the link"]);
    }
}

#[test]
fn loop_that_is_hidden_or_that_the_pattern_does_not_enter_is_none() {
    let hidden = job().damaged(|folder| symlink(".", folder.join("_all")).unwrap());
    hidden.run().expect_rows(100);
    let left = job()
        .damaged(|folder| symlink(".", folder.join("all")).unwrap())
        .job("input.path", &format!("'{FOLDER}/*.parquet'"));
    left.run().expect_rows(100);
}
