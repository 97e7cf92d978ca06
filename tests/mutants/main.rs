//! Damages Parquet files in thousands of ways and reads each as a run would: planned, fetched, decoded.
//!
//!     cargo test --test mutants                                     20,000 of them
//!     cargo test --test mutants -- --count 1000000 --seed 3
//!     cargo test --test mutants -- --only 4711 --seed 3 --keep /tmp/mutant.parquet
//!
//! Each mutant is made from the seed and its number alone. They are read in child processes, so that an abort is seen as one; the parent
//! counts, and ends with 1 when anything aborted, panicked past the reader, took too long or too much memory, or ended as if this program
//! were at fault.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a test with a `main` of its own, and shares for people"
)]

mod anatomy;
mod campaign;
mod mutate;
mod reader;
mod worker;

use std::path::PathBuf;

/// What the command line asks for.
#[derive(Debug, Clone)]
struct Asked {
    count: u64,
    seed: u64,
    only: Option<u64>,
    keep: Option<PathBuf>,
    minutes: Option<u64>,
    /// First mutant of a child process.
    worker: Option<u64>,
}

/// Mutants of `make test`.
const USUAL_COUNT: u64 = 20_000;

fn main() {
    let mut asked = Asked {
        count: USUAL_COUNT,
        seed: 1,
        only: None,
        keep: None,
        minutes: None,
        worker: None,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().and_then(|text| text.parse().ok()).expect("a number");
        match argument.as_str() {
            "--count" => asked.count = number(),
            "--seed" => asked.seed = number(),
            "--only" => asked.only = Some(number()),
            "--minutes" => asked.minutes = Some(number()),
            "--worker" => asked.worker = Some(number()),
            "--keep" => asked.keep = arguments.next().map(PathBuf::from),
            // What the test harness of cargo understands: a filter that is not meant for us, or a flag.
            filter if !filter.starts_with('-') && !"mutants".contains(filter) => return,
            _ => {}
        }
    }
    if asked.worker.is_some() || asked.only.is_some() {
        worker::run(&asked);
    } else if !campaign::run(&asked) {
        std::process::exit(1);
    }
}
