//! What the words of libtorch mean for the contract: the few sentences in which most mistakes of a contract show.
//!
//! Words that are not known here are shown as they are.

/// Words of an allocation on the host that failed.
const NO_MEMORY: [&str; 4] = [
    "DefaultCPUAllocator",
    "not enough memory",
    "Cannot allocate memory",
    "std::bad_alloc",
];

/// True where the machine has too little memory, which says nothing of the model or its rows.
pub(super) fn is_host_memory(text: &str) -> bool {
    NO_MEMORY.iter().any(|words| text.contains(words))
}

/// Whether the device has too little memory for what is asked of it at once.
pub(super) fn is_device_memory(text: &str) -> bool {
    // Of libtorch's own allocator, of the driver, and of the libraries for matrix products and convolutions.
    [
        "out of memory",
        "CUBLAS_STATUS_ALLOC_FAILED",
        "CUDNN_STATUS_ALLOC_FAILED",
    ]
    .iter()
    .any(|words| text.contains(words))
}

/// What to do where a model was not loaded.
pub(super) fn of_load(reason: &str) -> &'static str {
    if reason.contains("Unknown builtin op") {
        "the model uses an operator that PyTorch itself does not have, such as one of torchvision; write it with operators of PyTorch"
    } else if reason.contains("maximum supported version") {
        "it was exported by a later PyTorch than 2.11; export it with 2.11 or earlier"
    } else {
        "the archive is damaged, or was changed after it was exported: export it again with torch.jit.freeze(torch.jit.script(net.eval())).save(\"model.pt\")"
    }
}

/// What to do where a forward pass was refused.
pub(super) fn of_forward(reason: &str) -> String {
    if let Some((given, taken)) = multiplied(reason) {
        return format!(
            "a layer of the model takes {taken} values a row and was given {given}: compare the `columns` and `shape` of the contract's \
             `inputs`, and how its features are encoded, with what the model was trained on"
        );
    }
    let one_of = |words: &[&str]| words.iter().any(|words| reason.contains(words));
    let hint = if one_of(&["missing value for argument", "expected at most", "Expected at most"]) {
        "forward() takes another number of tensors than the contract's `inputs` list, in call order"
    } else if one_of(&["same dtype", "scalar type", "dtype"]) {
        "forward() takes tensors of another type: correct the `dtype` of the contract's `inputs`, or their order"
    } else if one_of(&[
        "running_mean should contain",
        "normalized_shape",
        "must match the size",
        "to have",
        "shape",
    ]) {
        "forward() takes tensors of another shape: compare the `columns` and `shape` of the contract's `inputs` with it"
    } else if reason.contains("index out of range") {
        "an index is greater than the embedding has rows: compare the contract's vocabularies, which start at 1, with its num_embeddings"
    } else if one_of(&["on the same device", "CUDA", "cuda"]) {
        "the model holds tensors of another device in its code: export it from the CPU, with net.cpu(), and make tensors in forward() with \
         device=x.device"
    } else {
        "the contract's `inputs` state the tensors in call order, with their dtypes and shapes; compare them with the model's forward()"
    };
    hint.to_owned()
}

/// Values a row that were given, and that are taken: of `mat1 and mat2 shapes cannot be multiplied (2x14 and 15x32)`, 14 and 15.
fn multiplied(reason: &str) -> Option<(u64, u64)> {
    let (_, shapes) = reason.split_once("cannot be multiplied (")?;
    let (first, second) = shapes.split_once(')')?.0.split_once(" and ")?;
    let given = first.rsplit_once('x')?.1.parse().ok()?;
    let taken = second.split_once('x')?.0.parse().ok()?;
    Some((given, taken))
}

#[cfg(test)]
mod tests {
    use super::{multiplied, of_forward};

    #[test]
    fn widths_are_read_from_a_product_of_matrices() {
        let reason = "mat1 and mat2 shapes cannot be multiplied (2x14 and 15x32)";
        assert_eq!(multiplied(reason), Some((14, 15)));
        assert_eq!(multiplied("cannot be multiplied (a and b)"), None);
    }

    /// Sentences of PyTorch 2.11.
    #[test]
    fn sentences_of_libtorch_are_told_apart() {
        let table = [
            (
                "forward() is missing value for argument 'ids'. Declaration: forward(M self, Tensor ids) -> Tensor",
                "number of tensors",
            ),
            (
                "forward() expected at most 4 argument(s) but received 5 argument(s). Declaration: ...",
                "number of tensors",
            ),
            (
                "mat1 and mat2 must have the same dtype, but got Double and Float",
                "`dtype`",
            ),
            (
                "Expected tensor for argument #1 'indices' to have one of the following scalar types: Long, Int; but got torch.FloatTensor instead",
                "`dtype`",
            ),
            (
                "Given normalized_shape=[3], expected input with shape [*, 3], but got input of size[2, 4]",
                "`shape`",
            ),
            ("running_mean should contain 4 elements not 3", "`shape`"),
            (
                "The size of tensor a (4) must match the size of tensor b (3) at non-singleton dimension 1",
                "`shape`",
            ),
            ("index out of range in self", "num_embeddings"),
            (
                "Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu!",
                "net.cpu()",
            ),
            ("AssertionError:", "in call order"),
        ];
        for (reason, hint) in table {
            assert!(of_forward(reason).contains(hint), "{reason}: {}", of_forward(reason));
        }
    }
}
