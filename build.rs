//! Tells the linker where the binary and the tests will find libtorch when they start.
//!
//! Takes the folder that torch-sys linked against, gives two entries of the library search path, and compiles the few
//! lines of C++ that the bindings lack. It fetches nothing: that is `make libtorch`. It links no library either:
//! torch-sys does, and of its libraries the linker keeps only those that are called, `libtorch_cpu.so` and `libc10.so`.
//! CUDA is loaded at run time.
#![expect(
    clippy::disallowed_methods,
    reason = "cargo tells a build script what it knows through the environment"
)]

use std::path::{Path, PathBuf};

/// Where a package may put the fetched folder: `bin/batch-infer` beside `lib/libtorch/torch/lib`.
///
/// The level `torch/lib` stays, because libtorch finds its own companions by the path `../../nvidia` from there.
const PACKAGED: &str = "$ORIGIN/../lib/libtorch/torch/lib";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    match libtorch_folder() {
        Ok(folder) => {
            // The packaged place comes first: on the machine of a user the build folder means nothing, and on this
            // machine there is no packaged place beside `target/debug`.
            println!("cargo::rustc-link-arg=-Wl,-rpath,{PACKAGED}");
            println!("cargo::rustc-link-arg=-Wl,-rpath,{}", folder.display());
            compile(&folder);
        }
        Err(problem) => println!("cargo::error={problem}"),
    }
}

/// Compiles `freeze.cpp` against the headers beside the libraries. Optimised always: it runs once, and compiles no slower.
fn compile(libraries: &Path) {
    println!("cargo::rerun-if-changed=src/infer/freeze.cpp");
    let headers = libraries.with_file_name("include");
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .opt_level(1)
        .debug(false)
        .flag("-isystem")
        .flag(&headers)
        .flag("-isystem")
        .flag(headers.join("torch/csrc/api/include"))
        .file("src/infer/freeze.cpp")
        .compile("batch_infer_freeze");
}

/// The folder of libtorch's shared libraries.
fn libtorch_folder() -> Result<PathBuf, String> {
    // torch-sys declares `links = "tch"` and publishes `libtorch_lib`. Cargo hands it to direct dependents only, which
    // is why Cargo.toml names torch-sys beside tch.
    let folder = std::env::var_os("DEP_TCH_LIBTORCH_LIB").map(PathBuf::from);
    let folder = folder.ok_or("torch-sys did not say where libtorch is; build with `make`")?;
    if folder.join("libtorch_cpu.so").is_file() {
        Ok(folder)
    } else {
        Err(format!(
            "`{}` holds no libtorch_cpu.so; run `make libtorch`, or set LIBTORCH to a folder whose `lib` holds it",
            folder.display()
        ))
    }
}
