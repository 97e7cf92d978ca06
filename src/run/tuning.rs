//! Which sizes of batches are tried, and whether it pays.

use crate::batch::BatchSize;
use crate::contract::Contract;
use crate::infer::device::Device;
use crate::infer::{Packed, USUAL_BATCH, USUAL_CUDA_BATCH};
use crate::plan::Plan;
use crate::score::{Measure, Tuner};
use crate::settings::{Settings, Tune};

/// Sizes on CPU, in rows or tokens, by how much they give up of the cache for fewer calls.
const ON_CPU: [usize; 6] = [64, 256, 512, 1_024, 2_048, 4_096];

/// Sizes on CUDA.
const ON_CUDA: [usize; 5] = [4_096, 8_192, 16_384, 32_768, 65_536];

/// At most one row in so many is scored in a size that is still tried. Its result counts, so that what is lost is a part of its time.
const SHARE: usize = 10;

/// Bytes of a batch's tensors that are worth a trial on CPU: beyond it lies no cache, and what the model makes of them may be many times as large.
const MOST_BYTES: usize = 8 << 20;

/// The same on CUDA.
const MOST_CUDA_BYTES: usize = 1 << 30;

/// Bytes of the tensors of a usual batch: of large rows, such as pictures, it has fewer.
const USUAL_BYTES: usize = 4 << 20;

/// The same on CUDA.
const USUAL_CUDA_BYTES: usize = 256 << 20;

/// Bytes that the widest layer may take or give of a batch on CPU, for the same reason: each thread has two or three of them at once.
const MOST_ACTIVATIONS: usize = 4 << 20;

/// Tokens of a document, about, by which the documents are counted that tuning needs.
const DOCUMENT_TOKENS: usize = 64;

/// The tuner of a run.
pub(super) fn tuner(settings: &Settings, device: Device, contract: &Contract, packed: Packed, plan: &Plan) -> Tuner {
    let (usual, bytes) = match device {
        Device::Cpu => (USUAL_BATCH, USUAL_BYTES),
        Device::Cuda(_) => (USUAL_CUDA_BATCH, USUAL_CUDA_BYTES),
    };
    let widest = most_of_widest(packed);
    let usual = BatchSize {
        rows: usual.rows.min(bytes / contract.row_bytes().max(1)).min(widest).max(1),
        tokens: usual.tokens.map(|tokens| tokens.min(widest).max(1)),
    };
    if settings.line.batch_rows > 0 {
        // Documents are still cut by their tokens, since a batch of long ones may be larger than memory.
        return Tuner::fixed(BatchSize {
            rows: settings.line.batch_rows,
            ..usual
        });
    }
    let sizes = sizes(usual, widest, device, contract, plan);
    if settings.line.tune == Tune::Off || sizes.len() < 2 {
        return Tuner::fixed(usual);
    }
    let measure = match device {
        Device::Cpu if settings.threads.intra_op <= 1 => Measure::Processor,
        _ => Measure::Wall,
    };
    Tuner::measuring(usual, &sizes, measure)
}

/// Rows or tokens of which the widest layer takes and gives no more than is good.
fn most_of_widest(packed: Packed) -> usize {
    match usize::try_from(packed.widest) {
        Ok(widest @ 1..) => MOST_ACTIVATIONS / widest.saturating_mul(size_of::<f32>()),
        _ => usize::MAX,
    }
}

/// The sizes that so many rows are enough to try.
fn sizes(usual: BatchSize, widest: usize, device: Device, contract: &Contract, plan: &Plan) -> Vec<BatchSize> {
    let (all, bytes) = match device {
        Device::Cpu => (&ON_CPU[..], MOST_BYTES),
        Device::Cuda(_) => (&ON_CUDA[..], MOST_CUDA_BYTES),
    };
    let rows = usize::try_from(plan.rows).unwrap_or(usize::MAX);
    let (units, most) = if contract.has_text() {
        (rows.saturating_mul(DOCUMENT_TOKENS), widest)
    } else {
        // Of a small chunk all batches would be short.
        let chunk = plan.chunks.iter().map(|chunk| chunk.rows).max().unwrap_or(0);
        (rows, (bytes / contract.row_bytes().max(1)).min(chunk / 2).min(widest))
    };
    let mut left = units / SHARE;
    let affordable = all.iter().filter(|&&size| {
        let cost = size * Tuner::PASSES;
        let is_affordable = size <= most && cost <= left;
        left -= if is_affordable { cost } else { 0 };
        is_affordable
    });
    let sizes = affordable.map(|&size| {
        let (rows, tokens) = if contract.has_text() {
            (usual.rows, Some(size))
        } else {
            (size, usual.tokens)
        };
        BatchSize { rows, tokens }
    });
    let mut sizes: Vec<_> = sizes.collect();
    // What nothing is gained over must be among them.
    if !sizes.is_empty() && !sizes.contains(&usual) {
        sizes.push(usual);
    }
    sizes
}
