//! A model that is missing, damaged, or not what its contract says: exit code 11, before any row is scored.

use batch_infer::digest::sha256;
use batch_infer::exit::ExitCode;
use serde_json::json;

use crate::support::{JobFixture, Run};

#[track_caller]
fn expect_refused(fixture: &JobFixture) -> Run {
    let run = fixture.run();
    run.expect_refusal(ExitCode::Model);
    run
}

#[test]
fn model_that_is_not_in_the_registry_is_refused() {
    let run = expect_refused(&JobFixture::new().job("model.name", "'fraud-detection'"));
    insta::assert_snapshot!(run.message(), @"
    error: the registry `models` has no model `fraud-detection`
      hint: it has: fraud-detector
      exit code: 11 (model missing, damaged, or not as its contract says)
    ");
}

#[test]
fn version_that_does_not_exist_is_answered_with_those_that_do() {
    let run = expect_refused(&JobFixture::new().job("model.version", "'7'").published_before());
    insta::assert_snapshot!(run.message(), @"
    error: model `fraud-detector` has no version or alias `7`
      hint: versions: 1, 2; aliases: challenger, champion, latest
      exit code: 11 (model missing, damaged, or not as its contract says)
    ");
}

#[test]
fn alias_of_a_version_that_is_gone_is_refused() {
    let fixture = JobFixture::new().models(|models| models.alias("canary", "9"));
    let run = expect_refused(&fixture.job("model.version", "'canary'"));
    insta::assert_snapshot!(run.message(), @"
    error: alias `canary` of model `fraud-detector` stands for version `9`, which does not exist
      exit code: 11 (model missing, damaged, or not as its contract says)
    ");
}

#[test]
fn model_file_with_another_digest_is_refused() {
    let fixture = JobFixture::new().models(|models| models.damage("2", b"another model"));
    let run = expect_refused(&fixture.published_before());
    let stated = &run.metadata("2")["sha256"];
    let message = run.message().replace(stated.as_str().unwrap(), "STATED");
    insta::assert_snapshot!(message.replace(&sha256(b"another model"), "FOUND"), @"
    error: `models/fraud-detector/2/model.pt` has SHA-256 FOUND, its metadata.json says STATED
      hint: write metadata.json again after model.pt has been saved, or restore the model file
      exit code: 11 (model missing, damaged, or not as its contract says)
    ");
}

#[test]
fn contract_of_another_input_width_is_refused_by_the_probe() {
    let fixture = JobFixture::new().models(|models| {
        models.metadata("2", |metadata| {
            metadata["inputs"][0]["shape"] = json!([-1, 6]);
            let columns = metadata["inputs"][0]["columns"].as_array_mut().unwrap();
            columns.retain(|column| column != "device_score");
            let features = metadata["features"].as_array_mut().unwrap();
            features.retain(|feature| feature["name"] != "device_score");
        });
    });
    expect_refused(&fixture).expect_said(&["run the model on 2 rows", "2x14 and 15x32", "the contract's `inputs`"]);
}

#[test]
fn contract_of_another_output_width_is_refused_by_the_probe() {
    let fixture = JobFixture::new().models(|models| {
        models.metadata("2", |metadata| {
            metadata["outputs"][0]["shape"] = json!([-1, 2]);
            metadata["decision"] = json!(null);
        });
    });
    expect_refused(&fixture).expect_said(&[
        "output `probability`: expected shape [-1, 2] for 2 rows",
        "returned shape [2, 1]",
    ]);
}

#[test]
fn contract_that_contradicts_itself_is_refused_with_every_contradiction() {
    let fixture = JobFixture::new().models(|models| {
        models.metadata("2", |metadata| {
            metadata["inputs"][0]["shape"] = json!([-1, 9]);
            metadata["decision"]["source"] = json!("score");
            metadata["features"][0]["std"] = json!(0.0);
        });
    });
    let run = expect_refused(&fixture);
    insta::assert_snapshot!(run.message(), @"
    error: the feature contract `models/fraud-detector/2/metadata.json` contradicts itself:
      - feature `amount`: `std` must be finite and not zero, since it is divided by
      - input `dense`: `shape` [-1, 9] holds 9 values a row, its 7 columns hold 7
      - `decision`: `source` names no output's column: `score`
      exit code: 11 (model missing, damaged, or not as its contract says)
    ");
}

#[test]
fn unknown_key_of_a_contract_is_refused() {
    let fixture = JobFixture::new();
    let fixture = fixture.models(|models| models.metadata("2", |metadata| metadata["threshold"] = json!(0.5)));
    expect_refused(&fixture).expect_said(&[
        "read the feature contract",
        "unknown field `threshold`",
        "config schema metadata",
    ]);
}

#[test]
fn derived_feature_that_looks_at_other_rows_is_refused() {
    let fixture = JobFixture::new();
    let fixture = fixture.models(|models| {
        models.metadata("2", |metadata| {
            metadata["derived"][0]["sql"] = json!("amount / max(amount)");
        });
    });
    expect_refused(&fixture).expect_said(&["amount_per_item"]);
}

#[test]
fn version_that_lies_in_the_folder_of_another_is_refused() {
    let fixture = JobFixture::new();
    let fixture = fixture.models(|models| models.metadata("2", |metadata| metadata["version"] = json!("3")));
    expect_refused(&fixture).expect_said(&["fraud-detector 3", "fraud-detector 2"]);
}
