//! The title page: the command line is answered in `cli`, and how it ended is the exit code.

use batch_infer::failpoint::Scenario;
use batch_infer::{cli, shutdown};

/// For what is written in Rust. libtorch and the libraries in C keep the system's, see `machine/allocator.rs`.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() {
    let _scenario = Scenario::from_environment();
    shutdown::leave(cli::main())
}
