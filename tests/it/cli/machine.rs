//! A machine that refuses: a disk that cannot be written (23), a device that is not there (40), a signal to stop (130, 143).

use std::fs::read_dir;
use std::path::Path;

use batch_infer::exit::ExitCode;
use rustix::process::Signal;

use crate::support::{JobFixture, column_of, parquet_files, read_parquet, repository, write_parquet};

/// Tickets that keep one thread busy for some seconds.
const TICKETS: usize = 60_000;

/// A run that stops while threads compute ended with a crash once in ten times, before it left without libtorch's destructors.
const STOPS: usize = 3;

#[test]
fn state_that_cannot_be_written_is_the_disks_fault() {
    // Below a regular file nobody can make a folder, root included.
    let run = JobFixture::new()
        .file("plain", b"")
        .job("output.state", "'plain/state'")
        .published_before()
        .run();
    run.expect_refusal(ExitCode::Disk).expect_said(&[
        "plain/state",
        "Not a directory",
        "hint: a part of the path is a file",
    ]);
}

#[test]
fn output_that_cannot_be_written_leaves_nothing_behind() {
    let run = JobFixture::new()
        .file("predictions", b"")
        .job("output.state", "'predictions.batch-infer'")
        .run();
    run.expect_refusal(ExitCode::Disk)
        .expect_said(&["predictions/date=2026-11-19", "nothing was published"]);
    assert_eq!(run.bytes("predictions"), b"");
}

/// True where the driver shows a device; asked of the system and not of libtorch, which is what is tested.
fn cuda_device() -> bool {
    Path::new("/dev/nvidiactl").exists()
        && read_dir("/proc/driver/nvidia/gpus").is_ok_and(|mut gpus| gpus.next().is_some())
}

#[test]
fn cuda_without_its_libraries_is_an_error_that_names_them() {
    if cuda_device() {
        eprintln!("skipped: this machine has a CUDA device");
        return;
    }
    let run = JobFixture::new()
        .argument("--device")
        .argument("cuda")
        .published_before()
        .run();
    run.expect_refusal(ExitCode::Device)
        .expect_said(&["CUDA was asked for", "hint: ", "`--device cpu`"]);
    let message = run.message();
    // Either libraries are missing, and the first of them is named, or they are all there and no device is.
    let missing_library = message.contains("libtorch_cuda.so") && message.contains("cannot open shared object file");
    assert!(missing_library || message.contains("this machine shows 0"), "{message}");
}

/// The ticket-embedding over so many tickets that there is time to stop it.
fn long_job() -> JobFixture {
    let tickets = read_parquet(&parquet_files(&repository().join("sample_data/features/support-tickets"))[0]);
    let fixture = JobFixture::of("ticket-embedding", "ticket_id").job("input.path", "'tickets.parquet'");
    let rounds = vec![&tickets; TICKETS / column_of(&tickets, "ticket_id").len()];
    let batch = arrow::compute::concat_batches(&tickets.schema(), rounds).unwrap();
    write_parquet(
        &fixture.path("tickets.parquet"),
        &batch,
        parquet::file::properties::WriterProperties::builder(),
    );
    fixture.setting("line.chunk_rows", "256").published_before()
}

#[test]
fn run_that_is_terminated_publishes_nothing_and_says_so_each_time() {
    let fixture = long_job();
    for _ in 0..STOPS {
        let run = fixture.start().until_it_writes().signal(Signal::TERM).end();
        run.expect_refusal(ExitCode::Terminated)
            .expect_said(&["SIGTERM", "finished chunks are kept"]);
    }
}

#[test]
fn run_that_is_interrupted_says_that_it_was() {
    let run = long_job().start().until_it_writes().signal(Signal::INT).end();
    run.expect_refusal(ExitCode::Interrupted)
        .expect_said(&["SIGINT", "finished chunks are kept"]);
}
