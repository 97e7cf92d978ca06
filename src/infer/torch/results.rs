//! What `forward()` returned, and which of its tensors is which output.

use tch::{IValue, TchError, Tensor};

use crate::contract::{Output, ResultKey};

/// A batch that gave nothing.
pub(super) enum Failure {
    Torch(TchError),
    Output {
        output: String,
        expected: String,
        found: String,
    },
}

impl From<TchError> for Failure {
    fn from(error: TchError) -> Self {
        Self::Torch(error)
    }
}

/// What `forward()` returned, taken apart.
pub(super) enum Results {
    Listed(Vec<Option<Tensor>>),
    Named(Vec<(String, Option<Tensor>)>),
}

pub(super) fn results(value: IValue) -> Result<Results, Failure> {
    let tensor = |value| match value {
        IValue::Tensor(tensor) => Some(tensor),
        _ => None,
    };
    Ok(match value {
        IValue::Tensor(tensor) => Results::Listed(vec![Some(tensor)]),
        IValue::Tuple(values) | IValue::GenericList(values) => {
            Results::Listed(values.into_iter().map(tensor).collect())
        }
        IValue::TensorList(tensors) => Results::Listed(tensors.into_iter().map(Some).collect()),
        IValue::GenericDict(pairs) => {
            let named = pairs.into_iter().filter_map(|(key, value)| match key {
                IValue::String(key) => Some((key, tensor(value))),
                _ => None,
            });
            Results::Named(named.collect())
        }
        other => {
            return Err(Failure::Output {
                output: "result".to_owned(),
                expected: "a tensor, a tuple or a dict of tensors".to_owned(),
                found: format!("{other:?}"),
            });
        }
    })
}

impl Results {
    /// The tensor of one output: by its key or position, or by the order of the contract.
    pub(super) fn take(&mut self, position: usize, output: &Output) -> Result<Tensor, Failure> {
        let wanted = match &output.result {
            Some(key) => key.clone(),
            // In a dict the column's own name is the best guess.
            None => match self {
                Self::Named(pairs) if pairs.iter().any(|(key, _)| *key == output.column) => {
                    ResultKey::Key(output.column.clone())
                }
                _ => ResultKey::Position(position),
            },
        };
        let found = match (&mut *self, &wanted) {
            (Self::Listed(tensors), ResultKey::Position(position)) => tensors.get(*position).and_then(Option::as_ref),
            (Self::Named(pairs), ResultKey::Key(wanted)) => {
                let found = pairs.iter().find(|(key, _)| key == wanted);
                found.and_then(|(_, tensor)| tensor.as_ref())
            }
            (Self::Named(pairs), ResultKey::Position(position)) => {
                pairs.get(*position).and_then(|(_, tensor)| tensor.as_ref())
            }
            (Self::Listed(_), ResultKey::Key(_)) => None,
        };
        match found {
            Some(tensor) => Ok(tensor.shallow_clone()),
            None => Err(Failure::Output {
                output: output.column.clone(),
                expected: format!("a tensor at {wanted}"),
                found: self.describe(),
            }),
        }
    }

    fn describe(&self) -> String {
        match self {
            Self::Listed(tensors) if tensors.len() == 1 => "one tensor".to_owned(),
            Self::Listed(tensors) => {
                let kinds: Vec<_> = tensors.iter().map(|found| named(found.as_ref())).collect();
                format!("a tuple of ({})", kinds.join(", "))
            }
            Self::Named(pairs) if pairs.is_empty() => "a dict without a key that is a string".to_owned(),
            Self::Named(pairs) => {
                let pairs = pairs
                    .iter()
                    .map(|(key, found)| format!("\"{key}\": {}", named(found.as_ref())));
                format!("a dict of {{{}}}", pairs.collect::<Vec<_>>().join(", "))
            }
        }
    }
}

/// What one part of a result is, in words.
fn named(found: Option<&Tensor>) -> &'static str {
    if found.is_some() { "tensor" } else { "something else" }
}
