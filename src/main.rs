//! The title page: the command line is answered in `cli`, and how it ended is the exit code.

use batch_infer::failpoint::Scenario;
use batch_infer::{cli, shutdown};

/// For libtorch and the libraries in C as well, whose `malloc` it takes the place of: columns and activations are large, short-lived and of many
/// sizes, and glibc's heap cannot use again what they leave between one another.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() {
    let _scenario = Scenario::from_environment();
    shutdown::leave(cli::main())
}
