//! What is kept beside the data set: read by `runs`, compared by `verify`, cleared by `gc`.

mod gc;
mod runs;
mod verify;

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::support::{DATE, Features, JobFixture};

/// What readers see of the date.
pub(crate) const FILE: &str = "predictions/date=2026-11-19/part-00000.parquet";

/// The records of the date.
pub(crate) const RECORDS: &str = "predictions.batch-infer/v1/fraud-detector/date=2026-11-19";

/// Exit code and JSON of a command on a fixture's job.
#[track_caller]
pub(crate) fn ask(fixture: &JobFixture, command: &str, arguments: &[&str]) -> (i32, Value) {
    let output = fixture
        .command(command)
        .args(["--format", "json"])
        .args(arguments)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let json = serde_json::from_str(&said)
        .unwrap_or_else(|error| panic!("{error} in `{said}`; {}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code().unwrap(), json)
}

/// What a command says to people.
#[track_caller]
pub(crate) fn said(fixture: &JobFixture, command: &str, arguments: &[&str]) -> String {
    let output = fixture.command(command).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
pub(crate) fn verify(fixture: &JobFixture, arguments: &[&str]) -> (i32, Value) {
    ask(fixture, "verify", &[&["--date", DATE], arguments].concat())
}

/// The one sound answer of `verify`.
#[track_caller]
pub(crate) fn expect_sound(fixture: &JobFixture, seq: u64) {
    let (code, found) = verify(fixture, &[]);
    assert_eq!(found["findings"], Value::Array(Vec::new()), "{found:#}");
    assert_eq!((code, found["seq"].as_u64()), (0, Some(seq)), "{found:#}");
}

/// Severity and subject of each finding.
pub(crate) fn subjects(found: &Value) -> Vec<String> {
    let findings = found["findings"].as_array().unwrap().iter();
    let word = |finding: &Value, key: &str| finding[key].as_str().unwrap().to_owned();
    findings
        .map(|finding| format!("{} {}", word(finding, "severity"), word(finding, "subject")))
        .collect()
}

/// A published date of three chunks, as publication 2.
fn published() -> JobFixture {
    let fixture = JobFixture::new().setting("line.chunk_rows", "40");
    fixture.run().expect_rows(100);
    fixture
}

/// The same after other input was scored, as publication 4. The features are written once, so this changes them as somebody else would.
fn replaced() -> JobFixture {
    let fixture = published().damaged(|folder| Features::new().rows(60).write(folder));
    fixture.run().expect_rows(60);
    fixture
}

/// Files that match a pattern below the records of the date, sorted.
fn records(fixture: &JobFixture, pattern: &str) -> Vec<PathBuf> {
    let pattern = fixture.path(RECORDS).join(pattern);
    let found = glob::glob(pattern.to_str().unwrap()).unwrap();
    found.map(Result::unwrap).collect()
}

/// The one file that matches.
#[track_caller]
fn record(fixture: &JobFixture, pattern: &str) -> PathBuf {
    let found = records(fixture, pattern);
    assert_eq!(found.len(), 1, "{found:?}");
    found[0].clone()
}

/// Changes a record.
fn rewrite(path: &PathBuf, change: impl FnOnce(&mut Value)) {
    let mut record = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    change(&mut record);
    fs::write(path, serde_json::to_vec_pretty(&record).unwrap()).unwrap();
}

/// Turns one byte of a column around. The footer stays as it is.
pub(crate) fn flipped(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes[40] ^= 0xff;
    bytes
}

/// Turns one byte of the published file around.
fn flip(fixture: &JobFixture) {
    let file = fixture.path(FILE);
    fs::write(&file, flipped(fs::read(&file).unwrap())).unwrap();
}
