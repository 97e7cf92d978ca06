//! Documents to token ids by a Hugging Face tokenizer. The only file that names `tokenizers`.

use std::ops::Range;

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use rayon::prelude::*;
use tokenizers::{PostProcessor, Tokenizer, TruncationDirection, TruncationParams, TruncationStrategy};

use super::column::Column;
use super::{PreprocessError, SideFiles};
use crate::clock::{Clock, Elapsed, Stopwatch};
use crate::contract::Text;

/// Documents that one thread cuts, so that all are done at about the same time.
const PIECE: usize = 16;

/// The tokenizer of one feature.
#[derive(Debug)]
pub(super) struct Tokens {
    tokenizer: Tokenizer,
    pad_id: i64,
}

impl Tokens {
    pub(super) fn new(text: &Text, files: &SideFiles) -> Result<Self, PreprocessError> {
        let unusable = |reason: String| PreprocessError::SideFile {
            feature: text.name.clone(),
            file: text.tokenizer.clone(),
            reason,
        };
        let file = files
            .get(&text.tokenizer)
            .ok_or_else(|| unusable("is missing".to_owned()))?;
        let mut tokenizer =
            Tokenizer::from_bytes(file).map_err(|error| unusable(format!("is not a tokenizer: {error}")))?;
        // Batches are padded here, to the longest document of each batch, and cut where the contract says.
        tokenizer.with_padding(None);
        let special = tokenizer
            .get_post_processor()
            .map_or(0, |added| added.added_tokens(false));
        if text.max_tokens < special {
            return Err(unusable(format!(
                "adds {special} special tokens to each document, more than `max_tokens` = {}",
                text.max_tokens
            )));
        }
        let truncation = TruncationParams {
            max_length: text.max_tokens,
            strategy: TruncationStrategy::LongestFirst,
            stride: 0,
            direction: TruncationDirection::Right,
        };
        tokenizer
            .with_truncation(Some(truncation))
            .map_err(|error| unusable(format!("cannot cut at {} tokens: {error}", text.max_tokens)))?;
        Ok(Self {
            tokenizer,
            pad_id: text.pad_id,
        })
    }

    /// Cuts each document; a null is an empty one.
    pub(super) fn cut(&self, feature: &str, column: &ArrayRef) -> Result<Column, PreprocessError> {
        let documents = documents(feature, column)?;
        let tokens = self.cut_rows(feature, documents.as_string(), 0..documents.len())?;
        Ok(Column::Tokens(tokens, self.pad_id))
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
        Ok((Column::Tokens(tokens, self.pad_id), took))
    }

    fn cut_rows(
        &self,
        feature: &str,
        documents: &StringArray,
        rows: Range<usize>,
    ) -> Result<Vec<Vec<u32>>, PreprocessError> {
        let tokens = rows.map(|row| {
            let document = if documents.is_null(row) {
                ""
            } else {
                documents.value(row)
            };
            let encoding = self.tokenizer.encode_fast(document, true);
            encoding.map(|encoding| encoding.get_ids().to_vec())
        });
        tokens
            .collect::<Result<_, _>>()
            .map_err(|error| PreprocessError::Tokens {
                feature: feature.to_owned(),
                reason: error.to_string(),
            })
    }
}

fn documents(feature: &str, column: &ArrayRef) -> Result<ArrayRef, PreprocessError> {
    cast(column, &DataType::Utf8).map_err(|source| PreprocessError::Column {
        feature: feature.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::clock::SystemClock;
    use crate::contract::{Contract, Feature};

    #[test]
    fn documents_are_cut_alike_by_one_thread_and_by_all() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("sample_data/models/ticket-embedding/1");
        let metadata = std::fs::read(folder.join("metadata.json")).unwrap();
        let contract = Contract::from_json(&metadata, "metadata.json").unwrap_or_else(|error| panic!("{error}"));
        let text = contract.features.iter().find_map(|feature| match feature {
            Feature::Text(text) => Some(text),
            _ => None,
        });
        let text = text.expect("the sample has a text feature");
        let file = std::fs::read(folder.join(&text.tokenizer)).unwrap();
        let tokens = Tokens::new(text, &SideFiles::from([(text.tokenizer.clone(), file.into())])).unwrap();

        let documents = (0..500).map(|row| (row % 7 != 0).then(|| "invoice for order ".repeat(row % 11)));
        let documents: ArrayRef = Arc::new(documents.collect::<StringArray>());
        let ids = |column| match column {
            Column::Tokens(tokens, _) => tokens,
            other => panic!("{other:?}"),
        };
        let one = ids(tokens.cut(&text.name, &documents).unwrap());
        assert!(one[10].len() > one[1].len(), "{one:?}");
        let (all, _) = tokens.cut_by_all(&text.name, &documents, &SystemClock).unwrap();
        assert_eq!(one, ids(all));
    }
}
