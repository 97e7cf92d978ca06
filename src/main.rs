//! The title page: the command line is answered in `cli`, and how it ended is the exit code.

use batch_infer::{cli, shutdown};

fn main() {
    shutdown::leave(cli::main())
}
