//! Tests of the program from outside: the real binary on sample data, and on Parquet files that the tests write themselves.
//!
//! One test binary, so that libtorch is linked once. Each test reads as a story: a fixture, one act, one claim. What needs no
//! process stands beside the code in `src/`.
#![cfg(test)]

mod announce;
mod architecture;
mod backfill;
mod cli;
mod daemon;
mod hostile;
mod listing;
mod model_faults;
mod model_owner;
mod models;
mod object_store;
mod rows;
mod run_local;
mod schedule;
mod shipped_files;
mod state;
mod support;
