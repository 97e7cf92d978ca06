//! Documents to token ids by a Hugging Face tokenizer. The only file that names `tokenizers`.

use std::fmt::Display;
use std::ops::Range;

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use rayon::prelude::*;
use tokenizers::{
    PaddingDirection, PaddingParams, PostProcessor, Tokenizer, TruncationDirection, TruncationParams,
    TruncationStrategy,
};

use super::column::Column;
use super::{PreprocessError, SideFiles};
use crate::clock::{Clock, Elapsed, Stopwatch};
use crate::contract::{Side, Text};

/// Documents that one thread cuts, so that all are done at about the same time.
const PIECE: usize = 16;

/// The tokens of one document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Document {
    ids: Vec<u32>,
    /// Type of each token; empty where all are 0, as for almost every tokenizer.
    types: Vec<u32>,
}

impl Document {
    #[cfg(test)]
    pub(super) fn new(ids: &[u32], types: &[u32]) -> Self {
        Self {
            ids: ids.to_vec(),
            types: types.to_vec(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    pub(super) fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// Type of each token; `None` where all are 0.
    pub(super) fn types(&self) -> Option<&[u32]> {
        (!self.types.is_empty()).then_some(self.types.as_slice())
    }
}

/// How a document is filled up to the length of a longer one in its batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Padding {
    pub(super) id: i64,
    /// Token type of the filling.
    pub(super) type_id: i64,
    pub(super) side: Side,
}

/// The tokenizer of one feature.
#[derive(Debug)]
pub(super) struct Tokens {
    tokenizer: Tokenizer,
    padding: Padding,
    /// Whether a document has tokens of another type than 0.
    has_types: bool,
}

impl Tokens {
    pub(super) fn new(text: &Text, files: &SideFiles) -> Result<Self, PreprocessError> {
        let unusable = |reason: String| PreprocessError::SideFile {
            feature: text.name.clone(),
            file: text.tokenizer.clone(),
            reason,
        };
        let contradicted = |reason: String| PreprocessError::Contradiction {
            feature: text.name.clone(),
            file: text.tokenizer.clone(),
            reason,
        };
        let file = files
            .get(&text.tokenizer)
            .ok_or_else(|| unusable("is missing".to_owned()))?;
        let mut tokenizer =
            Tokenizer::from_bytes(file).map_err(|error| unusable(format!("is not a tokenizer: {error}")))?;
        let padding = padding(text, tokenizer.get_padding()).map_err(contradicted)?;
        let truncation = truncation(text, tokenizer.get_truncation()).map_err(contradicted)?;
        let Some(truncation) = truncation else {
            return Err(unusable(
                "states no `truncation`, and the contract no `max_tokens`: one of them must say how long a document may be".to_owned(),
            ));
        };
        // Batches are padded here, to the longest document of each batch.
        tokenizer.with_padding(None);
        let special = tokenizer
            .get_post_processor()
            .map_or(0, |added| added.added_tokens(false));
        let longest = truncation.max_length;
        if longest < special {
            return Err(unusable(format!(
                "adds {special} special tokens to each document, more than `max_tokens` = {longest}"
            )));
        }
        tokenizer
            .with_truncation(Some(truncation))
            .map_err(|error| unusable(format!("cannot cut at {longest} tokens: {error}")))?;
        // Types come from the template by which special tokens are added, the same for every document.
        let has_types = tokenizer
            .encode_fast("a", true)
            .is_ok_and(|encoding| encoding.get_type_ids().iter().any(|&kind| kind != 0));
        Ok(Self {
            tokenizer,
            padding,
            has_types,
        })
    }

    /// Cuts each document; a null is an empty one.
    pub(super) fn cut(&self, feature: &str, column: &ArrayRef) -> Result<Column, PreprocessError> {
        let documents = documents(feature, column)?;
        let tokens = self.cut_rows(feature, documents.as_string(), 0..documents.len())?;
        Ok(Column::Tokens(tokens, self.padding))
    }

    /// The same by all threads that are idle, and what it took them.
    pub(super) fn cut_by_all(
        &self,
        feature: &str,
        column: &ArrayRef,
        clock: &dyn Clock,
    ) -> Result<(Column, Elapsed), PreprocessError> {
        let documents = documents(feature, column)?;
        let texts = documents.as_string();
        let pieces: Vec<_> = (0..documents.len()).step_by(PIECE).collect();
        let pieces = pieces.into_par_iter().map(|start| {
            let watch = Stopwatch::start(clock);
            let rows = start..documents.len().min(start + PIECE);
            let tokens = self.cut_rows(feature, texts, rows)?;
            Ok((tokens, watch.stop()))
        });
        let pieces = pieces.collect::<Result<Vec<_>, PreprocessError>>()?;
        let mut took = Elapsed::default();
        let mut tokens = Vec::with_capacity(documents.len());
        for (piece, elapsed) in pieces {
            tokens.extend(piece);
            took += elapsed;
        }
        Ok((Column::Tokens(tokens, self.padding), took))
    }

    fn cut_rows(
        &self,
        feature: &str,
        documents: &StringArray,
        rows: Range<usize>,
    ) -> Result<Vec<Document>, PreprocessError> {
        let tokens = rows.map(|row| {
            let document = if documents.is_null(row) {
                ""
            } else {
                documents.value(row)
            };
            let encoding = self.tokenizer.encode_fast(document, true);
            encoding.map(|encoding| Document {
                ids: encoding.get_ids().to_vec(),
                types: if self.has_types {
                    encoding.get_type_ids().to_vec()
                } else {
                    Vec::new()
                },
            })
        });
        tokens
            .collect::<Result<_, _>>()
            .map_err(|error| PreprocessError::Tokens {
                feature: feature.to_owned(),
                reason: error.to_string(),
            })
    }
}

/// How shorter documents are filled up: by the contract, else by the file, else on the right with the id 0. Both may state it, if they agree:
/// a model that was trained with another filling takes it for words.
fn padding(text: &Text, file: Option<&PaddingParams>) -> Result<Padding, String> {
    let file_id = file.map(|file| i64::from(file.pad_id));
    let file_side = file.map(|file| match file.direction {
        PaddingDirection::Left => Side::Left,
        PaddingDirection::Right => Side::Right,
    });
    Ok(Padding {
        id: agreed("pad_id", text.pad_id, "padding.pad_id", file_id)?.unwrap_or(0),
        type_id: file.map_or(0, |file| i64::from(file.pad_type_id)),
        side: agreed("padding_side", text.padding_side, "padding.direction", file_side)?.unwrap_or(Side::Right),
    })
}

/// How longer documents are cut; `None` where nobody says after how many tokens.
fn truncation(text: &Text, file: Option<&TruncationParams>) -> Result<Option<TruncationParams>, String> {
    let file_side = file.map(|file| match file.direction {
        TruncationDirection::Left => Side::Left,
        TruncationDirection::Right => Side::Right,
    });
    let side = agreed(
        "truncation_side",
        text.truncation_side,
        "truncation.direction",
        file_side,
    )?;
    // The length is a choice of each use: the same file is shipped with a shorter one than the model can take.
    let length = text.max_tokens.or(file.map(|file| file.max_length));
    Ok(length.map(|max_length| TruncationParams {
        max_length,
        strategy: TruncationStrategy::LongestFirst,
        stride: 0,
        direction: match side {
            Some(Side::Left) => TruncationDirection::Left,
            Some(Side::Right) | None => TruncationDirection::Right,
        },
    }))
}

/// What the contract or the file states of one thing.
fn agreed<T: PartialEq + Display>(
    key: &str,
    contract: Option<T>,
    file_key: &str,
    file: Option<T>,
) -> Result<Option<T>, String> {
    match (contract, file) {
        (Some(contract), Some(file)) if contract != file => Err(format!(
            "says `{file_key}` = {file}, and the contract says `{key}` = {contract}"
        )),
        (contract, file) => Ok(contract.or(file)),
    }
}

fn documents(feature: &str, column: &ArrayRef) -> Result<ArrayRef, PreprocessError> {
    cast(column, &DataType::Utf8).map_err(|source| PreprocessError::Column {
        feature: feature.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests;
