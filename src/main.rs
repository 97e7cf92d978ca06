//! The title page: the command line is answered in `cli`, and how it ended is the exit code.

use batch_infer::failpoint::Scenario;
use batch_infer::{cli, shutdown};

fn main() {
    let _scenario = Scenario::from_environment();
    shutdown::leave(cli::main())
}
