//! What of a tokenizer file decides, and what of the contract.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::clock::SystemClock;
use crate::contract::{Contract, DType, Feature};

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
        Column::Tokens(documents, _) => documents,
        other => panic!("{other:?}"),
    };
    let one = ids(tokens.cut(&text.name, &documents).unwrap());
    assert!(one[10].len() > one[1].len(), "{one:?}");
    let (all, _) = tokens.cut_by_all(&text.name, &documents, &SystemClock).unwrap();
    assert_eq!(one, ids(all));
}

/// A tokenizer of three words between `<s>` (0) and `</s>` (2), where a file states how documents are filled up and cut.
fn file(padding: &Value, truncation: &Value) -> Vec<u8> {
    let names = ["<s>", "<pad>", "</s>", "<unk>", "red", "green", "blue"];
    let vocabulary: serde_json::Map<_, _> = names
        .iter()
        .zip(0..)
        .map(|(name, id)| (name.to_string(), json!(id)))
        .collect();
    let special = |name: &str, kind: i32| json!({"SpecialToken": {"id": name, "type_id": kind}});
    let tokenizer = json!({
        "version": "1.0",
        "truncation": truncation,
        "padding": padding,
        "added_tokens": [],
        "normalizer": null,
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [special("<s>", 2), {"Sequence": {"id": "A", "type_id": 0}}, special("</s>", 0)],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {
                "<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]},
                "</s>": {"id": "</s>", "ids": [2], "tokens": ["</s>"]},
            },
        },
        "decoder": null,
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "<unk>"},
    });
    tokenizer.to_string().into_bytes()
}

fn pads_left_with_1() -> Value {
    json!({
        "strategy": "BatchLongest", "direction": "Left", "pad_to_multiple_of": null,
        "pad_id": 1, "pad_type_id": 3, "pad_token": "<pad>",
    })
}

fn cuts_left_at_4() -> Value {
    json!({"direction": "Left", "max_length": 4, "strategy": "LongestFirst", "stride": 0})
}

fn silent() -> Text {
    Text {
        name: "body".to_owned(),
        dtype: DType::String,
        tokenizer: "tokenizer.json".to_owned(),
        max_tokens: None,
        pad_id: None,
        padding_side: None,
        truncation_side: None,
    }
}

fn made(text: &Text, file: Vec<u8>) -> Result<Tokens, String> {
    let files = SideFiles::from([("tokenizer.json".to_owned(), file.into())]);
    Tokens::new(text, &files).map_err(|error| error.to_string())
}

/// Ids and types of one document.
fn tokens_of(tokens: &Tokens, document: &str) -> Document {
    let column: ArrayRef = Arc::new(StringArray::from(vec![document]));
    match tokens.cut("body", &column).unwrap() {
        Column::Tokens(documents, _) => documents.into_iter().next().expect("one document"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_silent_contract_follows_the_file() {
    let tokens = made(&silent(), file(&pads_left_with_1(), &cuts_left_at_4())).unwrap();
    let padding = Padding {
        id: 1,
        type_id: 3,
        side: Side::Left,
    };
    assert_eq!(tokens.padding, padding);
    // Of four words the last two are kept, between the two special tokens.
    let document = tokens_of(&tokens, "red green blue red");
    assert_eq!(document.ids(), [0, 6, 4, 2]);
    assert_eq!(document.types(), Some([2, 0, 0, 0].as_slice()));
}

#[test]
fn a_file_that_says_nothing_leaves_it_to_the_contract() {
    let text = Text {
        max_tokens: Some(4),
        pad_id: Some(5),
        padding_side: Some(Side::Left),
        truncation_side: Some(Side::Left),
        ..silent()
    };
    let tokens = made(&text, file(&Value::Null, &Value::Null)).unwrap();
    let padding = Padding {
        id: 5,
        type_id: 0,
        side: Side::Left,
    };
    assert_eq!(tokens.padding, padding);
    assert_eq!(tokens_of(&tokens, "red green blue red").ids(), [0, 6, 4, 2]);
    let text = Text {
        max_tokens: Some(4),
        ..silent()
    };
    let tokens = made(&text, file(&Value::Null, &Value::Null)).unwrap();
    assert_eq!((tokens.padding.id, tokens.padding.side), (0, Side::Right));
    assert_eq!(tokens_of(&tokens, "red green blue red").ids(), [0, 4, 5, 2]);
}

#[test]
fn the_contract_may_choose_another_length() {
    let text = Text {
        max_tokens: Some(5),
        ..silent()
    };
    let tokens = made(&text, file(&pads_left_with_1(), &cuts_left_at_4())).unwrap();
    assert_eq!(tokens_of(&tokens, "red green blue red").ids(), [0, 5, 6, 4, 2]);
}

#[test]
fn what_contract_and_file_say_differently_is_named() {
    let (left, right) = (Some(Side::Left), Some(Side::Right));
    let of = |text: Text| made(&text, file(&pads_left_with_1(), &cuts_left_at_4())).unwrap_err();
    assert_eq!(
        of(Text {
            pad_id: Some(0),
            ..silent()
        }),
        "feature `body`: the file `tokenizer.json` says `padding.pad_id` = 1, and the contract says `pad_id` = 0"
    );
    let error = of(Text {
        padding_side: right,
        ..silent()
    });
    assert!(
        error.ends_with("`padding.direction` = left, and the contract says `padding_side` = right"),
        "{error}"
    );
    let error = of(Text {
        truncation_side: right,
        ..silent()
    });
    assert!(
        error.ends_with("`truncation.direction` = left, and the contract says `truncation_side` = right"),
        "{error}"
    );
    let agreeing = Text {
        pad_id: Some(1),
        padding_side: left,
        truncation_side: left,
        ..silent()
    };
    assert!(made(&agreeing, file(&pads_left_with_1(), &cuts_left_at_4())).is_ok());
}

#[test]
fn somebody_must_say_how_long_a_document_may_be() {
    let error = made(&silent(), file(&pads_left_with_1(), &Value::Null)).unwrap_err();
    assert!(
        error.contains("`max_tokens`") && error.contains("`truncation`"),
        "{error}"
    );
}
