//! The text of a job file, from TOML to a checked job.
#![no_main]

use batch_infer::document::Document;
use batch_infer::validate;
use chrono::NaiveDate;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let date = NaiveDate::from_ymd_opt(2026, 11, 19).expect("a day of the calendar");
    if let Err(problems) = validate::read(&Document::new("job file", "job.toml", text), date) {
        // The report points into the text, whatever is in it.
        let _ = batch_infer::error::Error::from(problems).to_string();
    }
});
