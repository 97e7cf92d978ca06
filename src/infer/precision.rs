//! Which precision the model's arithmetic may have on a device.

use super::device::Device;
use crate::error::Seam;
use crate::exit::ExitCode;
use crate::settings::Precision;

/// The flag of processors that multiply matrices of bfloat16 faster than those of float32.
const AMX: &str = "amx_bf16";

/// Refuses a precision that a device computes more slowly than float32, unless it is forced.
pub fn admit(precision: Precision, device: Device, cpu_flags: &[&str], forced: bool) -> Result<(), PrecisionError> {
    let is_faster = match (precision, device) {
        (Precision::Float32, _) | (_, Device::Cuda(_)) => true,
        (Precision::Bf16, Device::Cpu) => cpu_flags.contains(&AMX),
        (Precision::Fp16, Device::Cpu) => false,
    };
    if is_faster || forced {
        Ok(())
    } else {
        Err(PrecisionError { precision })
    }
}

/// A precision that would cost digits and time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("infer.precision = \"{}\" is slower than float32 here: {}", precision.name(), self.reason())]
pub struct PrecisionError {
    precision: Precision,
}

impl PrecisionError {
    fn reason(self) -> &'static str {
        match self.precision {
            Precision::Fp16 => "processors have no arithmetic for it",
            _ => "this processor has no AMX",
        }
    }
}

impl Seam for PrecisionError {
    fn exit(&self) -> ExitCode {
        ExitCode::Config
    }

    fn hint(&self) -> Option<String> {
        Some(match self.precision {
            Precision::Fp16 => "use float32, or bf16 on a processor with AMX, or a CUDA device; infer.force_precision = true runs it all the same",
            _ => "use float32, a processor with AMX, or a CUDA device; infer.force_precision = true runs it all the same",
        }
        .to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_slower_is_refused_unless_it_is_forced() {
        use Precision::{Bf16, Float32, Fp16};
        let (cpu, cuda) = (Device::Cpu, Device::Cuda(0));
        for (precision, device, flags, forced, admitted) in [
            (Float32, cpu, &[][..], false, true),
            (Bf16, cpu, &["avx512_bf16"], false, false),
            (Bf16, cpu, &["avx512_bf16", AMX], false, true),
            (Bf16, cpu, &[], true, true),
            (Fp16, cpu, &[AMX], false, false),
            (Fp16, cpu, &[], true, true),
            (Bf16, cuda, &[], false, true),
            (Fp16, cuda, &[], false, true),
        ] {
            let found = admit(precision, device, flags, forced).is_ok();
            assert_eq!(found, admitted, "{precision:?} {device} {flags:?} {forced}");
        }
    }
}
