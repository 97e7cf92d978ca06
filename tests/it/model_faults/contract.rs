//! Models that load and do not do what their contract says.

use batch_infer::exit::ExitCode;
use serde_json::{Value, json};

use super::{over, refused};
use crate::support::JobFixture;

/// The message of the fraud-detector with another contract.
#[track_caller]
fn refused_with(change: impl FnOnce(&mut Value)) -> String {
    refused(&JobFixture::new().models(|models| models.metadata("2", change)))
}

/// The message of a model of `tests/models` over `a` and `b` with another contract.
#[track_caller]
fn refused_over(model: &str, change: impl FnOnce(&mut Value)) -> String {
    refused(&over(model, &[1.0, 2.0, 3.0], &[2.0, 4.0, 5.0]).models(|models| models.metadata("1", change)))
}

/// The contract of `three-tensors`, which takes them in this order, with its inputs changed.
#[track_caller]
fn refused_three(change: impl FnOnce(&mut Vec<Value>)) -> String {
    refused_over("three-tensors", |metadata| {
        metadata["features"] = json!([
            {"name": "a", "kind": "numeric", "dtype": "float32"},
            {"name": "b", "kind": "numeric", "dtype": "float32"},
        ]);
        let mut inputs = vec![
            json!({"name": "dense", "dtype": "float32", "shape": [-1, 2], "columns": ["a", "b"]}),
            json!({"name": "ids", "dtype": "int64", "shape": [-1, 2], "columns": ["a", "b"]}),
            json!({"name": "half", "dtype": "float16", "shape": [-1, 1], "columns": ["a"]}),
        ];
        change(&mut inputs);
        metadata["inputs"] = json!(inputs);
    })
}

fn without_device_score(metadata: &mut Value) {
    metadata["inputs"][0]["shape"] = json!([-1, 6]);
    for (list, key) in [("inputs", "columns"), ("features", "name")] {
        let _ = key;
        let values = match list {
            "inputs" => metadata["inputs"][0]["columns"].as_array_mut().unwrap(),
            _ => metadata["features"].as_array_mut().unwrap(),
        };
        values.retain(|value| value != "device_score" && value["name"] != "device_score");
    }
}

#[test]
fn input_of_another_width_is_refused_with_both_widths() {
    insta::assert_snapshot!(refused_with(without_device_score), @"
    error: try `models/fraud-detector/2/model.pt` on 2 rows of zeros, given dense float32 [2, 6], categories int64 [2, 2]
      caused by: run the model on 2 rows: mat1 and mat2 shapes cannot be multiplied (2x14 and 15x32)
      hint: a layer of the model takes 15 values a row and was given 14: compare the `columns` and `shape` of the contract's `inputs`, and how its features are encoded, with what the model was trained on
      exit code: 11 (model missing, damaged, or not as its contract says)
    ");
}

#[test]
fn too_few_inputs_are_refused() {
    insta::assert_snapshot!(refused_with(|metadata| {
        metadata["inputs"].as_array_mut().unwrap().truncate(1);
        let features = metadata["features"].as_array_mut().unwrap();
        features.retain(|feature| feature["kind"] == "numeric");
    }), @"
    error: try `models/fraud-detector/2/model.pt` on 2 rows of zeros, given dense float32 [2, 7]
      caused by: run the model on 2 rows: forward() is missing value for argument 'categories'. Declaration: forward(__torch__.making.model.___torch_mangle_17.TabularModel self, Tensor dense, Tensor categories) -> Tensor
      hint: forward() takes another number of tensors than the contract's `inputs` list, in call order
      exit code: 11 (model missing, damaged, or not as its contract says)
    ");
}

#[test]
fn too_many_inputs_are_refused() {
    insta::assert_snapshot!(refused_with(|metadata| {
        let mut again = metadata["inputs"][0].clone();
        again["name"] = json!("again");
        metadata["inputs"].as_array_mut().unwrap().push(again);
    }), @"
    error: try `models/fraud-detector/2/model.pt` on 2 rows of zeros, given dense float32 [2, 7], categories int64 [2, 2], again float32 [2, 7]
      caused by: run the model on 2 rows: Expected at most 3 argument(s) for operator 'forward', but received 4 argument(s). Declaration: forward(__torch__.making.model.___torch_mangle_17.TabularModel self, Tensor dense, Tensor categories) -> Tensor
      hint: forward() takes another number of tensors than the contract's `inputs` list, in call order
      exit code: 11 (model missing, damaged, or not as its contract says)
    ");
}

#[test]
fn inputs_in_another_order_are_refused() {
    insta::assert_snapshot!(refused_with(|metadata| {
        metadata["inputs"].as_array_mut().unwrap().reverse();
    }), @"
    error: try `models/fraud-detector/2/model.pt` on 2 rows of zeros, given categories int64 [2, 2], dense float32 [2, 7]
      caused by: run the model on 2 rows: Expected tensor for argument #1 'indices' to have one of the following scalar types: Long, Int; but got CPUFloatType instead (while checking arguments for embedding)
      hint: forward() takes tensors of another type: correct the `dtype` of the contract's `inputs`, or their order
      exit code: 11 (model missing, damaged, or not as its contract says)
    ");
}

#[test]
fn numbers_of_another_type_are_refused() {
    insta::assert_snapshot!(refused_with(|metadata| metadata["inputs"][0]["dtype"] = json!("float64")), @"
    error: try `models/fraud-detector/2/model.pt` on 2 rows of zeros, given dense float64 [2, 7], categories int64 [2, 2]
      caused by: run the model on 2 rows: mat1 and mat2 must have the same dtype, but got Double and Float
      hint: forward() takes tensors of another type: correct the `dtype` of the contract's `inputs`, or their order
      exit code: 11 (model missing, damaged, or not as its contract says)
    ");
}

#[test]
fn indices_of_another_type_are_refused() {
    insta::assert_snapshot!(refused_with(|metadata| metadata["inputs"][1]["dtype"] = json!("float32")), @"
    error: try `models/fraud-detector/2/model.pt` on 2 rows of zeros, given dense float32 [2, 7], categories float32 [2, 2]
      caused by: run the model on 2 rows: Expected tensor for argument #1 'indices' to have one of the following scalar types: Long, Int; but got CPUFloatType instead (while checking arguments for embedding)
      hint: forward() takes tensors of another type: correct the `dtype` of the contract's `inputs`, or their order
      exit code: 11 (model missing, damaged, or not as its contract says)
    ");
}

#[test]
fn model_that_asserts_its_types_is_refused() {
    insta::assert_snapshot!(refused_three(|inputs| inputs[2]["dtype"] = json!("float32")), @"
    error: try `models/three-tensors/1/model.pt` on 2 rows of zeros, given dense float32 [2, 2], ids int64 [2, 2], half float32 [2, 1]
      caused by: run the model on 2 rows: AssertionError:
      hint: the contract's `inputs` state the tensors in call order, with their dtypes and shapes; compare them with the model's forward()
      exit code: 11 (model missing, damaged, or not as its contract says)
    ");
}

#[test]
fn two_inputs_for_a_model_of_three_are_refused() {
    insta::assert_snapshot!(refused_three(|inputs| inputs.truncate(2)), @"
    error: try `models/three-tensors/1/model.pt` on 2 rows of zeros, given dense float32 [2, 2], ids int64 [2, 2]
      caused by: run the model on 2 rows: forward() is missing value for argument 'half'. Declaration: forward(__torch__.___torch_mangle_2.ThreeTensors self, Tensor dense, Tensor ids, Tensor half) -> Tensor
      hint: forward() takes another number of tensors than the contract's `inputs` list, in call order
      exit code: 11 (model missing, damaged, or not as its contract says)
    ");
}

#[test]
fn output_of_another_width_is_refused() {
    insta::assert_snapshot!(refused_with(|metadata| {
        metadata["outputs"][0]["shape"] = json!([-1, 2]);
        metadata["decision"] = json!(null);
    }), @"
    error: try `models/fraud-detector/2/model.pt` on 2 rows of zeros, given dense float32 [2, 7], categories int64 [2, 2]
      caused by: output `probability`: expected shape [-1, 2] for 2 rows, the model returned shape [2, 1]
      hint: compare the contract's `outputs` with what forward() returns
      exit code: 11 (model missing, damaged, or not as its contract says)
    ");
}

#[test]
fn output_of_a_type_that_cannot_hold_it_is_refused() {
    insta::assert_snapshot!(refused_over("ratio", |metadata| metadata["outputs"][0]["dtype"] = json!("int64")), @"
    error: try `models/ratio/1/model.pt` on 2 rows of zeros, given x float32 [2, 2]
      caused by: output `score`: expected int64, the model returned Float, whose values that type cannot hold
      hint: compare the contract's `outputs` with what forward() returns
      exit code: 11 (model missing, damaged, or not as its contract says)
    ");
}

#[test]
fn missing_key_of_a_dict_is_refused_with_those_that_are_there() {
    insta::assert_snapshot!(refused_over("dict-result", |metadata| metadata["outputs"][0]["result"] = json!("score")), @r#"
    error: try `models/dict-result/1/model.pt` on 2 rows of zeros, given x float32 [2, 2]
      caused by: output `first`: expected a tensor at "score", the model returned a dict of {"total": tensor, "product": tensor, "scaled": tensor}
      hint: compare the contract's `outputs` with what forward() returns
      exit code: 11 (model missing, damaged, or not as its contract says)
    "#);
}

#[test]
fn key_of_a_result_that_is_no_dict_is_refused() {
    insta::assert_snapshot!(refused_over("ratio", |metadata| metadata["outputs"][0]["result"] = json!("score")), @r#"
    error: try `models/ratio/1/model.pt` on 2 rows of zeros, given x float32 [2, 2]
      caused by: output `score`: expected a tensor at "score", the model returned one tensor
      hint: compare the contract's `outputs` with what forward() returns
      exit code: 11 (model missing, damaged, or not as its contract says)
    "#);
}

#[test]
fn position_after_the_end_of_a_tuple_is_refused() {
    insta::assert_snapshot!(refused_over("tuple-result", |metadata| metadata["outputs"][0]["result"] = json!(3)), @"
    error: try `models/tuple-result/1/model.pt` on 2 rows of zeros, given x float32 [2, 2]
      caused by: output `sum`: expected a tensor at 3, the model returned a tuple of (tensor, tensor, tensor)
      hint: compare the contract's `outputs` with what forward() returns
      exit code: 11 (model missing, damaged, or not as its contract says)
    ");
}

#[test]
fn result_that_is_no_tensor_is_refused() {
    insta::assert_snapshot!(refused_over("no-tensor", |_| {}), @"
    error: try `models/no-tensor/1/model.pt` on 2 rows of zeros, given x float32 [2, 2]
      caused by: output `result`: expected a tensor, a tuple or a dict of tensors, the model returned Double(0.0)
      hint: compare the contract's `outputs` with what forward() returns
      exit code: 11 (model missing, damaged, or not as its contract says)
    ");
}

#[test]
fn output_of_another_length_than_the_batch_is_refused() {
    // By one thread, so that the three rows are one batch.
    let few = over("few-rows", &[1.0, 2.0, 3.0], &[2.0, 4.0, 5.0]).setting("threads.score", "1");
    insta::assert_snapshot!(refused(&few), @"
    error: output `score`: expected shape [-1] for 3 rows, the model returned shape [2]
      hint: compare the contract's `outputs` with what forward() returns
      exit code: 11 (model missing, damaged, or not as its contract says)
    ");
}

#[test]
fn dry_run_tries_the_model() {
    let fixture = JobFixture::new().models(|models| models.metadata("2", without_device_score));
    let run = fixture.argument("--dry-run").run();
    run.expect_refusal(ExitCode::Model)
        .expect_said(&["takes 15 values a row and was given 14"]);
}

#[test]
fn complex_results_are_refused_since_no_column_holds_their_imaginary_parts() {
    let message = refused_over("spectrum", |_| {});
    insta::assert_snapshot!(message, @"
    error: try `models/spectrum/1/model.pt` on 2 rows of zeros, given x float32 [2, 2]
      caused by: output `score`: expected float32, the model returned ComplexFloat, whose values that type cannot hold
      hint: compare the contract's `outputs` with what forward() returns
      exit code: 11 (model missing, damaged, or not as its contract says)
    ");
    for activation in ["sigmoid", "exp"] {
        let message = refused_over("spectrum", |metadata| {
            metadata["outputs"][0]["activation"] = json!(activation);
        });
        assert!(message.contains("ComplexFloat"), "{message}");
    }
    for dtype in ["float64", "bool"] {
        let message = refused_over("spectrum", |metadata| metadata["outputs"][0]["dtype"] = json!(dtype));
        assert!(message.contains("ComplexFloat"), "{message}");
    }
}
