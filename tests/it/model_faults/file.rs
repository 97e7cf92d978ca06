//! Files in the place of TorchScript, and archives that libtorch cannot load.

use std::fs;

use batch_infer::digest::sha256;

use super::refused;
use crate::support::{JobFixture, repository};

/// The message where these bytes are the model, and its metadata knows their digest.
#[track_caller]
fn refused_bytes(bytes: &[u8]) -> String {
    refused(&JobFixture::new().models(|models| models.replace("2", bytes)))
}

/// The message where a file of `tests/not-models` is the model.
#[track_caller]
fn refused_file(file: &str) -> String {
    refused_bytes(&fs::read(repository().join("tests/not-models").join(file)).unwrap())
}

/// The message where these bytes are the model, and its metadata knows another digest.
#[track_caller]
fn refused_digest(bytes: &[u8]) -> String {
    let fixture = JobFixture::new().models(|models| models.damage("2", bytes));
    let run = fixture.run();
    let stated = run.metadata("2")["sha256"].as_str().unwrap().to_owned();
    refused(&fixture)
        .replace(&stated, "STATED")
        .replace(&sha256(bytes), "FOUND")
}

/// The model of the fixture.
fn model() -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = JobFixture::new().models(|models| bytes = models.bytes("2"));
    bytes
}

#[test]
fn state_dict_of_torch_save_is_refused() {
    insta::assert_snapshot!(refused_file("state_dict.pt"), @r#"
    error: `models/fraud-detector/2/model.pt` is a checkpoint of torch.save, which holds weights and no code, expected a TorchScript archive
      hint: load it in Python where the model's class is, and export it: net.load_state_dict(torch.load("checkpoint.pt")); torch.jit.freeze(torch.jit.script(net.eval())).save("model.pt")
      exit code: 11 (model missing, damaged, or not as its contract says)
    "#);
}

#[test]
fn module_of_torch_save_is_refused() {
    insta::assert_snapshot!(refused_file("module.pt"), @r#"
    error: `models/fraud-detector/2/model.pt` is a checkpoint of torch.save, which holds weights and no code, expected a TorchScript archive
      hint: load it in Python where the model's class is, and export it: net.load_state_dict(torch.load("checkpoint.pt")); torch.jit.freeze(torch.jit.script(net.eval())).save("model.pt")
      exit code: 11 (model missing, damaged, or not as its contract says)
    "#);
}

#[test]
fn pickle_of_an_old_torch_save_is_refused() {
    insta::assert_snapshot!(refused_file("before-1.6.pt"), @r#"
    error: `models/fraud-detector/2/model.pt` is a pickle, which holds weights and no code, expected a TorchScript archive
      hint: load it in Python where the model's class is, and export it: net.load_state_dict(torch.load("checkpoint.pt")); torch.jit.freeze(torch.jit.script(net.eval())).save("model.pt")
      exit code: 11 (model missing, damaged, or not as its contract says)
    "#);
}

#[test]
fn safetensors_are_refused() {
    insta::assert_snapshot!(refused_file("weights.safetensors"), @r#"
    error: `models/fraud-detector/2/model.pt` is a safetensors file, which holds weights and no code, expected a TorchScript archive
      hint: load it in Python where the model's class is, and export it: net.load_state_dict(safetensors.torch.load_file("model.safetensors")); torch.jit.freeze(torch.jit.script(net.eval())).save("model.pt")
      exit code: 11 (model missing, damaged, or not as its contract says)
    "#);
}

#[test]
fn program_of_torch_export_is_refused() {
    insta::assert_snapshot!(refused_file("program.pt2"), @r#"
    error: `models/fraud-detector/2/model.pt` is a program of torch.export (.pt2), expected a TorchScript archive
      hint: export the module once more as TorchScript: torch.jit.trace(torch.export.load("model.pt2").module(), example_inputs).save("model.pt")
      exit code: 11 (model missing, damaged, or not as its contract says)
    "#);
}

#[test]
fn archive_of_torch_serve_is_refused() {
    insta::assert_snapshot!(refused_file("model.mar"), @"
    error: `models/fraud-detector/2/model.pt` is an archive for TorchServe (.mar), expected a TorchScript archive
      hint: it is a ZIP archive with the model in it: unzip it; MAR-INF/MANIFEST.json names the model as `serializedFile`, which must be TorchScript
      exit code: 11 (model missing, damaged, or not as its contract says)
    ");
}

#[test]
fn onnx_is_refused() {
    insta::assert_snapshot!(refused_file("model.onnx"), @r#"
    error: `models/fraud-detector/2/model.pt` is an ONNX model, expected a TorchScript archive
      hint: no way leads back from ONNX; export the PyTorch module itself: torch.jit.freeze(torch.jit.script(net.eval())).save("model.pt")
      exit code: 11 (model missing, damaged, or not as its contract says)
    "#);
}

#[test]
fn empty_file_is_refused() {
    insta::assert_snapshot!(refused_bytes(b""), @"
    error: `models/fraud-detector/2/model.pt` is empty, expected a TorchScript archive
      hint: its writing or copying was broken off, or is still going on: copy it again, and write metadata.json last
      exit code: 11 (model missing, damaged, or not as its contract says)
    ");
}

#[test]
fn archive_that_is_cut_off_is_refused() {
    insta::assert_snapshot!(refused_bytes(&model()[..2_000]), @"
    error: `models/fraud-detector/2/model.pt` is a ZIP archive without its end, expected a TorchScript archive
      hint: its writing or copying was broken off, or is still going on: copy it again, and write metadata.json last
      exit code: 11 (model missing, damaged, or not as its contract says)
    ");
}

#[test]
fn page_of_a_server_is_refused() {
    insta::assert_snapshot!(refused_bytes(b"<!DOCTYPE html>\n<html><title>Sign in</title></html>\n"), @"
    error: `models/fraud-detector/2/model.pt` is an HTML page, expected a TorchScript archive
      hint: a download was answered with a page instead of the file: fetch it again, with the right to read it
      exit code: 11 (model missing, damaged, or not as its contract says)
    ");
}

#[test]
fn answer_of_a_store_is_refused() {
    insta::assert_snapshot!(refused_bytes(b"<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code></Error>"), @"
    error: `models/fraud-detector/2/model.pt` is an XML document, expected a TorchScript archive
      hint: a download was answered with a page instead of the file: fetch it again, with the right to read it
      exit code: 11 (model missing, damaged, or not as its contract says)
    ");
}

#[test]
fn pointer_of_git_lfs_is_refused() {
    insta::assert_snapshot!(refused_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 7\n"), @"
    error: `models/fraud-detector/2/model.pt` is a pointer of Git LFS and not the file, expected a TorchScript archive
      hint: fetch the file itself with: git lfs pull
      exit code: 11 (model missing, damaged, or not as its contract says)
    ");
}

#[test]
fn packed_model_is_refused() {
    insta::assert_snapshot!(refused_bytes(b"\x1f\x8b\x08\0\0\0\0\0\0\x03"), @"
    error: `models/fraud-detector/2/model.pt` is packed with gzip, expected a TorchScript archive
      hint: unpack it; what is loaded is the archive itself
      exit code: 11 (model missing, damaged, or not as its contract says)
    ");
}

#[test]
fn zip_of_something_else_is_refused() {
    insta::assert_snapshot!(refused_bytes(b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"), @r#"
    error: `models/fraud-detector/2/model.pt` is a ZIP archive with no TorchScript in it, expected a TorchScript archive
      hint: export the model with: torch.jit.freeze(torch.jit.script(net.eval())).save("model.pt")
      exit code: 11 (model missing, damaged, or not as its contract says)
    "#);
}

#[test]
fn file_that_nobody_knows_is_refused() {
    insta::assert_snapshot!(refused_bytes(b"weights, but not of TorchScript"), @r#"
    error: `models/fraud-detector/2/model.pt` is no archive; it starts with the bytes 77 65 69 67 68 74 73 2c, expected a TorchScript archive
      hint: export the model with: torch.jit.freeze(torch.jit.script(net.eval())).save("model.pt")
      exit code: 11 (model missing, damaged, or not as its contract says)
    "#);
}

#[test]
fn empty_file_with_another_digest_is_called_empty() {
    insta::assert_snapshot!(refused_digest(b""), @"
    error: `models/fraud-detector/2/model.pt` has SHA-256 FOUND, its metadata.json says STATED; it is empty
      hint: its writing or copying was broken off, or is still going on: copy it again, and write metadata.json last
      exit code: 11 (model missing, damaged, or not as its contract says)
    ");
}

#[test]
fn cut_off_archive_with_another_digest_is_called_so() {
    insta::assert_snapshot!(refused_digest(&model()[..2_000]), @"
    error: `models/fraud-detector/2/model.pt` has SHA-256 FOUND, its metadata.json says STATED; it is a ZIP archive without its end
      hint: its writing or copying was broken off, or is still going on: copy it again, and write metadata.json last
      exit code: 11 (model missing, damaged, or not as its contract says)
    ");
}

#[test]
fn page_with_another_digest_is_called_a_page() {
    insta::assert_snapshot!(refused_digest(b"<html>403</html>"), @"
    error: `models/fraud-detector/2/model.pt` has SHA-256 FOUND, its metadata.json says STATED; it is an HTML page
      hint: a download was answered with a page instead of the file: fetch it again, with the right to read it
      exit code: 11 (model missing, damaged, or not as its contract says)
    ");
}

#[test]
fn model_with_another_digest_is_refused() {
    insta::assert_snapshot!(refused_digest(&[model(), vec![0]].concat()), @"
    error: `models/fraud-detector/2/model.pt` has SHA-256 FOUND, its metadata.json says STATED
      hint: write metadata.json again after model.pt has been saved, or restore the model file
      exit code: 11 (model missing, damaged, or not as its contract says)
    ");
}

#[test]
fn operator_of_another_library_is_named() {
    insta::assert_snapshot!(refused(&super::over("unknown-operator", &[1.0], &[2.0])), @"
    error: load the TorchScript archive `models/unknown-operator/1/model.pt`: Unknown builtin op: elsewhere::divide.
      hint: the model uses an operator that PyTorch itself does not have, such as one of torchvision; write it with operators of PyTorch
      exit code: 11 (model missing, damaged, or not as its contract says)
    ");
}

#[test]
fn archive_of_a_later_pytorch_is_refused() {
    insta::assert_snapshot!(refused(&super::over("newer-form", &[1.0], &[2.0])), @"
    error: load the TorchScript archive `models/newer-form/1/model.pt`: Attempted to read a PyTorch file with version 99, but the maximum supported version for reading is 10. The version of your PyTorch installation may be too old, please upgrade PyTorch to latest version to mitigate this issue.
      hint: it was exported by a later PyTorch than 2.11; export it with 2.11 or earlier
      exit code: 11 (model missing, damaged, or not as its contract says)
    ");
}

#[test]
fn archive_that_was_changed_after_its_export_is_refused() {
    let mut bytes = model();
    let code = bytes.windows(11).position(|window| window == b"def forward").unwrap();
    bytes[code..code + 3].copy_from_slice(b"fed");
    let message = refused_bytes(&bytes);
    assert!(
        message.contains("load the TorchScript archive `models/fraud-detector/2/model.pt`"),
        "{message}"
    );
    assert!(message.contains("export it again"), "{message}");
}

#[test]
fn kind_of_the_file_is_known_before_anything_is_loaded() {
    let fixture = JobFixture::new().models(|models| models.replace("2", b"<html>"));
    for command in ["validate", "plan"] {
        let mut command = fixture.command(command);
        let output = command.args(["--date", crate::support::DATE]).output().unwrap();
        assert_eq!(output.status.code(), Some(11));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            said.contains("is an HTML page, expected a TorchScript archive"),
            "{said}"
        );
    }
}

#[test]
fn archive_whose_entries_point_beyond_its_end_is_refused() {
    const CENTRAL: &[u8] = b"PK\x01\x02";
    // Where an entry of the central directory says at which byte its file begins.
    const OFFSET: std::ops::Range<usize> = 42..46;
    let mut bytes = model();
    let entries: Vec<usize> = (0..bytes.len())
        .filter(|&at| bytes[at..].starts_with(CENTRAL))
        .collect();
    assert!(entries.len() > 3, "{entries:?}");
    for entry in entries {
        bytes[entry + OFFSET.start..entry + OFFSET.end].copy_from_slice(&0x7000_0000_u32.to_le_bytes());
    }
    let said = refused_bytes(&bytes);
    assert!(said.contains("model.pt") && said.contains("exit code: 11"), "{said}");
}
