//! Where the model runs: CPU, or a CUDA device whose library is loaded when it is asked for.
//!
//! One binary serves both kinds of machine. `libtorch_cuda.so` is loaded at run time from the folder of `libtorch_cpu.so`, before libtorch is
//! first asked about CUDA, since it remembers the answer. There is no silent fallback: `auto` may choose, and the choice is reported.

use std::fmt;
use std::path::PathBuf;

use crate::error::Seam;
use crate::exit::ExitCode;
use crate::settings::DeviceRequest;

use super::torch;

/// What is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Device {
    /// CPU.
    Cpu,
    /// The CUDA device of that index.
    Cuda(usize),
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

/// Finds the device that is asked for; loads CUDA's library where it is needed.
pub fn resolve(request: DeviceRequest) -> Result<Device, DeviceError> {
    match request {
        DeviceRequest::Cpu => Ok(Device::Cpu),
        DeviceRequest::Auto => Ok(match load_cuda() {
            Ok(()) if torch::cuda_devices() > 0 => Device::Cuda(0),
            _ => Device::Cpu,
        }),
        DeviceRequest::Cuda(index) => {
            load_cuda()?;
            let devices = torch::cuda_devices();
            if index < devices {
                Ok(Device::Cuda(index))
            } else {
                Err(DeviceError::NoSuchDevice { index, devices })
            }
        }
    }
}

/// Loads `libtorch_cuda.so` for the life of the process.
fn load_cuda() -> Result<(), DeviceError> {
    use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};

    let folder = libtorch_folder().ok_or(DeviceError::NoLibtorch)?;
    let path = folder.join("libtorch_cuda.so");
    #[expect(
        unsafe_code,
        reason = "CUDA is decided at run time, so that one binary serves machines with and without it"
    )]
    // SAFETY: loading runs the library's constructors, which register its operators with libtorch; that is what a program linked with it
    // would do at start. It is never unloaded.
    let loaded = unsafe { Library::open(Some(&path), RTLD_NOW | RTLD_GLOBAL) };
    match loaded {
        Ok(library) => {
            std::mem::forget(library);
            Ok(())
        }
        Err(error) => Err(DeviceError::Library {
            path,
            // The loader's own words, which name the missing library, are the cause of what libloading says.
            reason: std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string),
        }),
    }
}

/// The folder of the `libtorch_cpu.so` that this process runs with.
pub fn libtorch_folder() -> Option<PathBuf> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let line = maps.lines().find(|line| line.ends_with("/libtorch_cpu.so"))?;
    let path = PathBuf::from(&line[line.find('/')?..]);
    path.parent().map(PathBuf::from)
}

/// Why the device cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// The process runs without libtorch, which cannot be.
    #[error("find the folder of libtorch_cpu.so in /proc/self/maps")]
    NoLibtorch,
    /// CUDA's part of libtorch, or a library that it needs, is missing.
    #[error("CUDA was asked for and `{}` cannot be loaded: {reason}", path.display())]
    Library {
        /// The library.
        path: PathBuf,
        /// What the loader says; it names the library that is missing.
        reason: String,
    },
    /// Fewer devices than asked for.
    #[error("CUDA device {index} was asked for, this machine shows {devices}")]
    NoSuchDevice {
        /// Index asked for.
        index: usize,
        /// Devices found.
        devices: usize,
    },
}

impl Seam for DeviceError {
    fn exit(&self) -> ExitCode {
        match self {
            Self::NoLibtorch => ExitCode::Internal,
            Self::Library { .. } | Self::NoSuchDevice { .. } => ExitCode::Device,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Library { .. } => Some(
                "install the CUDA libraries of PyTorch 2.11.0 (CUDA 13) beside libtorch, or use `--device cpu`"
                    .to_owned(),
            ),
            Self::NoSuchDevice { .. } => {
                Some("check `nvidia-smi` and CUDA_VISIBLE_DEVICES, or use `--device cpu`".to_owned())
            }
            Self::NoLibtorch => None,
        }
    }
}
