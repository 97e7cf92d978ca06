//! Contracts that hold together, and what is said of those that do not.

use serde_json::{Value, json};

use super::{Contract, ContractError, TextSource, Verdict};

fn metadata() -> Value {
    json!({
        "name": "churn", "version": "1", "sha256": "0".repeat(64),
        "features": [
            {"name": "age", "kind": "numeric", "dtype": "float32", "impute": 40.0, "mean": 40.0, "std": 10.0},
            {"name": "plan", "kind": "categorical", "dtype": "string", "vocabulary": ["basic", "pro"]},
        ],
        "inputs": [
            {"name": "dense", "dtype": "float32", "shape": [-1, 1], "columns": ["age"]},
            {"name": "categories", "dtype": "int64", "shape": [-1, 1], "columns": ["plan"]},
        ],
        "outputs": [{"column": "probability", "dtype": "float32", "shape": [-1, 1], "activation": "sigmoid"}],
        "decision": {"source": "probability", "column": "prediction", "threshold": 0.5},
    })
}

fn read(metadata: &Value) -> Result<Contract, ContractError> {
    Contract::from_json(metadata.to_string().as_bytes(), "metadata.json")
}

/// What is said of the contract after one change to it.
#[track_caller]
fn problems(change: impl FnOnce(&mut Value)) -> Vec<String> {
    let mut metadata = metadata();
    change(&mut metadata);
    match read(&metadata).expect_err("the contract contradicts itself") {
        ContractError::Content { problems, .. } => problems,
        ContractError::Form { source, .. } => vec![source.to_string()],
    }
}

#[test]
fn a_whole_contract_is_read() {
    let contract = read(&metadata()).expect("the contract is whole");
    assert_eq!(contract.outputs[0].width(), 1);
    let decision = contract.decision.expect("it has a decision");
    assert_eq!(decision.verdict(), Some(Verdict::Threshold(0.5)));
}

#[test]
fn unknown_keys_are_refused() {
    let said = problems(|metadata| metadata["features"][0]["imput"] = json!(1.0));
    assert!(said[0].contains("unknown field `imput`"), "{said:?}");
}

#[test]
fn every_contradiction_is_told_at_once() {
    let said = problems(|metadata| {
        metadata["sha256"] = json!("short");
        metadata["features"][0]["std"] = json!(0.0);
        metadata["inputs"][0]["shape"] = json!([-1, 3]);
        metadata["decision"]["source"] = json!("nothing");
    });
    insta::assert_snapshot!(said.join("\n"), @r"
    `sha256`: expected the 64 hex digits of the SHA-256 of model.pt
    feature `age`: `std` must be finite and not zero, since it is divided by
    input `dense`: `shape` [-1, 3] holds 3 values a row, its 1 columns hold 1
    `decision`: `source` names no output's column: `nothing`
    ");
}

#[test]
fn a_feature_that_no_input_takes_is_a_mistake() {
    let said = problems(|metadata| metadata["inputs"][1]["columns"] = json!(["age"]));
    assert_eq!(
        said,
        ["feature `plan`: no input takes it; list it in the `columns` of one"]
    );
}

#[test]
fn labels_must_be_as_many_as_values() {
    let said = problems(|metadata| {
        metadata["outputs"][0]["shape"] = json!([-1, 3]);
        metadata["decision"] = json!({"source": "probability", "column": "prediction", "labels": ["a", "b"]});
    });
    assert_eq!(said, ["`decision`: 2 labels for the 3 values a row of `probability`"]);
}

#[test]
fn a_decision_has_either_a_threshold_or_labels() {
    let said = problems(|metadata| {
        metadata["decision"] = json!({"source": "probability", "column": "prediction"});
    });
    assert_eq!(said.len(), 1);
}

#[test]
fn the_source_of_a_text_tensor_is_told_by_its_name() {
    let mut metadata = metadata();
    metadata["features"] = json!([{"name": "text", "kind": "text", "dtype": "string", "max_tokens": 8}]);
    let tensor = |name: &str| json!({"name": name, "dtype": "int64", "shape": [-1, -1], "columns": ["text"]});
    metadata["inputs"] = json!([tensor("input_ids"), tensor("attention_mask"), tensor("token_type_ids")]);
    let contract = read(&metadata).expect("the contract is whole");
    let sources: Vec<_> = contract.inputs.iter().map(super::Input::text_source).collect();
    assert_eq!(
        sources,
        [
            TextSource::TokenIds,
            TextSource::AttentionMask,
            TextSource::TokenTypeIds
        ]
    );
}

#[test]
fn what_would_silently_mean_something_else_is_refused() {
    let said = problems(|metadata| {
        metadata["features"][1]["vocabulary"] = json!(["basic", "pro", "basic"]);
        metadata["outputs"][0]["activation"] = json!("softmax");
        metadata["decision"]["column"] = json!("");
    });
    insta::assert_snapshot!(said.join("\n"), @r"
    `outputs`: a column's name is empty
    feature `plan`: `vocabulary` holds `basic` twice
    output `probability`: softmax of one value a row is always 1; the activation of a single logit is sigmoid
    ");
}

#[test]
fn axis_of_a_softmax_is_one_of_the_values_of_a_row() {
    let with = |shape: &[i64], axis: i64, activation: &str| {
        let mut metadata = metadata();
        metadata["decision"] = json!(null);
        let output = json!({ "shape": shape, "activation": activation, "axis": axis });
        let outputs = metadata["outputs"][0].as_object_mut().unwrap();
        outputs.append(&mut output.as_object().unwrap().clone());
        metadata
    };
    let said = |shape: &[i64], axis: i64, activation: &str| {
        let changed = with(shape, axis, activation);
        problems(|metadata| *metadata = changed).join("\n")
    };
    for axis in [1, 2, -1, -2] {
        read(&with(&[-1, 2, 3], axis, "softmax")).unwrap();
    }
    for axis in [0, -3] {
        let said = said(&[-1, 2, 3], axis, "softmax");
        assert!(said.contains(&format!("`axis` {axis} is that of the rows")), "{said}");
    }
    for axis in [3, -4, i64::MAX] {
        let said = said(&[-1, 2, 3], axis, "softmax");
        assert!(
            said.contains(&format!("`axis` {axis} is none of `shape` [-1, 2, 3]")),
            "{said}"
        );
    }
    assert!(said(&[-1, 2, 1], 2, "softmax").contains("softmax of one value"));
    assert!(said(&[-1, 2, 3], 1, "sigmoid").contains("`axis` is that of a softmax"));
}

#[test]
fn shapes_that_no_machine_holds_are_refused() {
    for shape in [json!([]), json!([-1, 1_i64 << 40, 1_i64 << 40])] {
        let said = problems(|metadata| metadata["outputs"][0]["shape"] = shape.clone());
        assert_eq!(said.len(), 1, "{said:?}");
        let said = problems(|metadata| metadata["inputs"][0]["shape"] = shape);
        assert_eq!(said.len(), 1, "{said:?}");
    }
}

#[test]
fn what_is_handed_over_as_it_is_has_one_type() {
    let said = problems(|metadata| {
        metadata["features"][0] = json!({"name": "age", "kind": "raw", "dtype": "int64"});
        metadata["inputs"][0]["dtype"] = json!("int64");
        metadata["inputs"][1]["columns"] = json!(["plan", "age"]);
        metadata["inputs"][1]["shape"] = json!([-1, 2]);
        metadata["inputs"][1]["dtype"] = json!("float32");
    });
    insta::assert_snapshot!(said.join("\n"), @"feature `age`: one input takes it as int64 and another as float32; let forward() convert it");
}

#[test]
fn side_files_lie_beside_the_model() {
    let said = problems(|metadata| {
        metadata["features"][1] =
            json!({"name": "plan", "kind": "categorical", "dtype": "string", "vocabulary_file": "../plans.json"});
    });
    insta::assert_snapshot!(said.join("\n"), @"feature `plan`: `vocabulary_file` is the name of a file beside the model, without a folder");
}
