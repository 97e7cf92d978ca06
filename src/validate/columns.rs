//! The columns that travel around the model's own: keys, passthrough and lineage. No two of them have one name.

use std::collections::BTreeMap;

use crate::problem::Problem;
use crate::spec::{JobSpec, LineageNames};

/// Name of the column that readers make of the folder `date=YYYY-MM-DD`.
const PARTITION_COLUMN: &str = "date";

/// Columns that say where a prediction came from; `None` where the column is not wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineageColumns {
    /// Name of the model.
    pub model_name: Option<String>,
    /// Version of the model.
    pub model_version: Option<String>,
    /// Time of the inference.
    pub inference_timestamp: Option<String>,
    /// The run.
    pub run_id: Option<String>,
}

impl LineageColumns {
    pub(super) fn from_names(names: &LineageNames) -> Self {
        let wanted = |name: &String| Some(name.clone()).filter(|name| !name.is_empty());
        Self {
            model_name: wanted(&names.model_name),
            model_version: wanted(&names.model_version),
            inference_timestamp: wanted(&names.inference_timestamp),
            run_id: wanted(&names.run_id),
        }
    }

    /// Columns that are wanted: what they hold and what they are called, in output order.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let all = [
            ("model_name", &self.model_name),
            ("model_version", &self.model_version),
            ("inference_timestamp", &self.inference_timestamp),
            ("run_id", &self.run_id),
        ];
        all.into_iter().filter_map(|(key, name)| Some((key, name.as_deref()?)))
    }
}

/// Names of columns: none empty, none twice, none that readers make of the folder.
pub(super) fn check(spec: &JobSpec, lineage: &LineageColumns, found: &mut Vec<Problem>) {
    if spec.input.keys.is_empty() {
        let problem = Problem::new("input.keys", "is empty");
        found.push(problem.hint("predictions without a key belong to no row; name at least one column"));
    }
    let listed = |list: &'static str, names: &'_ [String]| -> Vec<(String, String)> {
        let numbered = names.iter().enumerate();
        numbered
            .map(|(index, name)| (format!("{list}[{index}]"), name.clone()))
            .collect()
    };
    let mut named = listed("input.keys", &spec.input.keys);
    named.extend(listed("input.passthrough", &spec.input.passthrough));
    named.extend(
        lineage
            .named()
            .map(|(key, name)| (format!("output.columns.{key}"), name.to_owned())),
    );
    let mut first: BTreeMap<String, String> = BTreeMap::new();
    for (key, name) in named {
        if name.is_empty() {
            found.push(Problem::new(key, "is empty"));
        } else if name == PARTITION_COLUMN {
            let problem = Problem::new(
                key,
                "is `date`, which readers already make of the folder date=YYYY-MM-DD",
            );
            found.push(problem.hint("give the column another name"));
        } else if let Some(other) = first.get(&name) {
            found.push(Problem::new(key, format!("is `{name}`, and so is `{other}`")));
        } else {
            first.insert(name, key);
        }
    }
}
