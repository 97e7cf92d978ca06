//! Finds what in a contract contradicts itself, all of it at once.

use std::collections::{BTreeSet, HashMap};

use super::{Activation, Contract, DType, Feature, Input, Output, TensorType};

/// Values of a row of one tensor: far more than any model takes, and few enough that two rows fit any memory.
const MAX_VALUES: usize = 1 << 24;

/// What a number that was measured needs: float16 holds integers to 2,048, and the types below it no fractions at all.
const MEASURED: i64 = 256;

/// Every contradiction, in the order of the file.
pub(super) fn problems(contract: &Contract) -> Vec<String> {
    let mut found = Vec::new();
    if contract.sha256.len() != 64 || !contract.sha256.bytes().all(|b| b.is_ascii_hexdigit()) {
        found.push("`sha256`: expected the 64 hex digits of the SHA-256 of model.pt".to_owned());
    }
    names(contract, &mut found);
    for feature in &contract.features {
        feature_problems(feature, &mut found);
    }
    let features = contract.by_name();
    for input in &contract.inputs {
        input_problems(&features, input, &mut found);
    }
    for output in &contract.outputs {
        output_problems(output, &mut found);
    }
    decision_problems(contract, &mut found);
    found
}

fn names(contract: &Contract, found: &mut Vec<String>) {
    let features = contract.features.iter().map(Feature::name);
    repeated("features", features, found);
    repeated("inputs", contract.inputs.iter().map(|input| input.name.as_str()), found);
    let derived = contract.derived.iter().map(|derived| derived.name.as_str());
    repeated("derived", derived, found);
    repeated("outputs", output_columns(contract), found);
    if output_columns(contract).any(str::is_empty) {
        found.push("`outputs`: a column's name is empty".to_owned());
    }
    for (list, empty) in [
        ("features", contract.features.is_empty()),
        ("inputs", contract.inputs.is_empty()),
        ("outputs", contract.outputs.is_empty()),
    ] {
        if empty {
            found.push(format!("`{list}`: expected at least one"));
        }
    }
    let taking = contract.taking();
    for feature in &contract.features {
        let name = feature.name();
        let taking = taking.get(name).map_or(&[][..], Vec::as_slice);
        if taking.is_empty() {
            found.push(format!(
                "feature `{name}`: no input takes it; list it in the `columns` of one"
            ));
        }
        if let Feature::Vector(_) | Feature::Raw(_) = feature {
            one_type(taking, name, found);
        }
    }
}

/// What is handed over as it is has one type; arithmetic and look-ups end in the type of each tensor.
fn one_type(taking: &[&Input], name: &str, found: &mut Vec<String>) {
    let mut types: Vec<_> = taking.iter().map(|input| input.dtype).collect();
    types.dedup();
    if let [first, second, ..] = types[..] {
        found.push(format!(
            "feature `{name}`: one input takes it as {first} and another as {second}; let forward() convert it"
        ));
    }
}

/// Names of the columns that the model gives, in output order.
fn output_columns(contract: &Contract) -> impl Iterator<Item = &str> {
    let outputs = contract.outputs.iter().flat_map(|output| match &output.columns {
        Some(columns) => columns.iter().map(String::as_str).collect(),
        None => vec![output.column.as_str()],
    });
    outputs.chain(contract.decision.iter().map(|decision| decision.column.as_str()))
}

fn repeated<'a>(list: &str, names: impl Iterator<Item = &'a str>, found: &mut Vec<String>) {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            found.push(format!("`{list}`: the name `{name}` stands twice"));
        }
    }
}

fn feature_problems(feature: &Feature, found: &mut Vec<String>) {
    let name = feature.name();
    let mut problem = |text: &str| found.push(format!("feature `{name}`: {text}"));
    match feature {
        Feature::Numeric(numeric) => {
            if numeric.dtype == DType::String {
                problem("a numeric feature cannot be a `string`");
            }
            if numeric.std.is_some_and(|std| std == 0.0 || !std.is_finite()) {
                problem("`std` must be finite and not zero, since it is divided by");
            }
            if numeric.mean.is_some_and(|mean| !mean.is_finite()) {
                problem("`mean` must be finite");
            }
            if numeric.clip.is_some_and(is_no_interval) {
                problem("`clip` must be [least, greatest]");
            }
            if numeric.range.is_some_and(is_no_interval) {
                problem("`range` must be [least, greatest]");
            }
        }
        Feature::Categorical(categorical) => {
            match categorical.dtype {
                DType::Float16 | DType::Float32 | DType::Float64 | DType::Bool => {
                    problem("a categorical feature is a `string` or an integer type");
                }
                _ => {}
            }
            if let Some(file) = &categorical.vocabulary_file
                && !is_file_name(file)
            {
                problem("`vocabulary_file` is the name of a file beside the model, without a folder");
            }
            match (&categorical.vocabulary, &categorical.vocabulary_file) {
                (Some(_), Some(_)) => problem("has both `vocabulary` and `vocabulary_file`"),
                (None, None) => problem("needs `vocabulary` or `vocabulary_file`"),
                (Some(_), None) => {
                    if let Err(reason) = categorical.values(None) {
                        problem(&format!("`vocabulary` {reason}"));
                    }
                }
                (None, Some(_)) => {}
            }
        }
        Feature::Text(text) => {
            if text.dtype != DType::String {
                problem("a text feature is a `string`");
            }
            if text.max_tokens == Some(0) {
                problem("`max_tokens` must be at least 1");
            }
            if !is_file_name(&text.tokenizer) {
                problem("`tokenizer` is the name of a file beside the model, without a folder");
            }
        }
        Feature::Vector(vector) => {
            if vector.width == 0 {
                problem("`width` must be at least 1");
            }
            if vector.dtype == DType::String {
                problem("a vector holds numbers, not `string`");
            }
        }
        Feature::Raw(raw) => {
            if raw.dtype == DType::String {
                problem("a raw feature is a number; text needs kind `text`, a set of values `categorical`");
            }
            if raw.range.is_some_and(is_no_interval) {
                problem("`range` must be [least, greatest]");
            }
        }
    }
}

fn is_no_interval([least, greatest]: [f64; 2]) -> bool {
    least.is_nan() || greatest.is_nan() || least > greatest
}

/// Files of a version lie in its folder: what is verified and copied with it is all there is.
fn is_file_name(file: &str) -> bool {
    !matches!(file, "" | "." | "..") && !file.contains(['/', '\\']) && !file.contains(char::is_control)
}

/// Whether a shape is rows by a number of values that a machine can hold.
fn is_shape(shape: &[i64]) -> bool {
    match shape {
        [-1, rest @ ..] => rest.iter().all(|&extent| extent >= 1) && row_values(shape) <= MAX_VALUES,
        _ => false,
    }
}

/// Values of each row of a tensor.
fn row_values(shape: &[i64]) -> usize {
    let values = shape
        .iter()
        .skip(1)
        .fold(1, |values: i64, &extent| values.saturating_mul(extent));
    usize::try_from(values).unwrap_or(usize::MAX)
}

fn shape_problem(shape: &[i64]) -> String {
    format!(
        "`shape` starts with -1 for the rows and is positive after it, at most {MAX_VALUES} values a row, found {shape:?}"
    )
}

fn input_problems(features: &HashMap<&str, &Feature>, input: &Input, found: &mut Vec<String>) {
    let mut problem = |text: String| found.push(format!("input `{}`: {text}", input.name));
    let mut width = 0;
    let mut texts = 0;
    for column in &input.columns {
        match features.get(column.as_str()).copied() {
            None => problem(format!("column `{column}` is not a feature")),
            Some(Feature::Text(_)) => texts += 1,
            Some(feature) => {
                width += feature.width();
                if let Some(reason) = does_not_fit(feature, input.dtype) {
                    problem(format!("column `{column}` {reason}"));
                }
            }
        }
    }
    if input.columns.is_empty() {
        problem("`columns` is empty".to_owned());
        return;
    }
    if texts > 0 {
        if input.columns.len() > 1 {
            problem("a tensor of tokens takes one text feature and nothing else".to_owned());
        }
        if input.shape != [-1, -1] {
            problem(format!(
                "a tensor of tokens has shape [-1, -1], found {:?}",
                input.shape
            ));
        }
        if !matches!(input.dtype, TensorType::Int64 | TensorType::Int32) {
            problem(format!("a tensor of tokens is int64 or int32, found {}", input.dtype));
        }
        return;
    }
    if !is_shape(&input.shape) {
        problem(shape_problem(&input.shape));
        return;
    }
    let stated = row_values(&input.shape);
    if stated != width {
        problem(format!(
            "`shape` {:?} holds {stated} values a row, its {} columns hold {width}",
            input.shape,
            input.columns.len()
        ));
    }
}

/// Why values of the feature would be other values in a tensor of that type; `None` when they would not.
fn does_not_fit(feature: &Feature, dtype: TensorType) -> Option<String> {
    match feature {
        Feature::Numeric(_) if dtype.exact_integers() < MEASURED => Some(format!(
            "is numeric, and a {dtype} tensor would cut its values; use float32, or kind `raw`"
        )),
        Feature::Categorical(categorical) => {
            let positions = categorical.vocabulary.as_ref().map_or(0, Vec::len);
            let greatest = categorical.oov_index.max(i64::try_from(positions).unwrap_or(i64::MAX));
            (greatest > dtype.exact_integers()).then(|| {
                format!(
                    "has positions up to {greatest}, and {dtype} holds integers up to {}",
                    dtype.exact_integers()
                )
            })
        }
        _ => None,
    }
}

fn output_problems(output: &Output, found: &mut Vec<String>) {
    let mut problem = |text: String| found.push(format!("output `{}`: {text}", output.column));
    if !is_shape(&output.shape) {
        problem(shape_problem(&output.shape));
        return;
    }
    if output.activation == Activation::Softmax {
        if let Some(text) = softmax_problem(output) {
            problem(text);
        }
    } else if output.axis.is_some() {
        problem("`axis` is that of a softmax, and `activation` is another".to_owned());
    }
    if let Some(columns) = &output.columns
        && columns.len() != output.width()
    {
        problem(format!(
            "`columns` names {} columns for {} values a row",
            columns.len(),
            output.width()
        ));
    }
    if output.dtype == TensorType::Bfloat16 {
        problem("Parquet has no bfloat16; use float32".to_owned());
    }
}

fn softmax_problem(output: &Output) -> Option<String> {
    let extents = i64::try_from(output.shape.len()).unwrap_or(i64::MAX);
    let axis = output.axis.unwrap_or(-1);
    let place = if axis < 0 { axis.saturating_add(extents) } else { axis };
    if place == 0 && output.axis.is_some() {
        return Some(format!(
            "`axis` {axis} is that of the rows: the result of a row would depend on the other rows of its batch"
        ));
    }
    if !(0..extents).contains(&place) {
        return Some(format!("`axis` {axis} is none of `shape` {:?}", output.shape));
    }
    // `[-1]` is a single value, too.
    let values = usize::try_from(place)
        .ok()
        .filter(|&place| place > 0)
        .map_or(1, |place| output.shape[place]);
    (values == 1)
        .then(|| "softmax of one value a row is always 1; the activation of a single logit is sigmoid".to_owned())
}

fn decision_problems(contract: &Contract, found: &mut Vec<String>) {
    let Some(decision) = &contract.decision else {
        return;
    };
    let mut problem = |text: String| found.push(format!("`decision`: {text}"));
    let Some(output) = contract.outputs.iter().find(|output| output.column == decision.source) else {
        problem(format!("`source` names no output's column: `{}`", decision.source));
        return;
    };
    if !is_shape(&output.shape) {
        return;
    }
    match (&decision.threshold, &decision.labels) {
        (Some(_), Some(_)) | (None, None) => {
            problem("expected either `threshold` (0 or 1) or `labels` (the greatest wins)".to_owned());
        }
        (Some(threshold), None) => {
            if output.width() != 1 {
                problem(format!(
                    "a threshold needs one value a row, `{}` has {}",
                    output.column,
                    output.width()
                ));
            }
            if threshold.is_nan() {
                problem("`threshold` is not a number".to_owned());
            }
        }
        (None, Some(labels)) => {
            if labels.len() != output.width() {
                problem(format!(
                    "{} labels for the {} values a row of `{}`",
                    labels.len(),
                    output.width(),
                    output.column
                ));
            }
        }
    }
}
