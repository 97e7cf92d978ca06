//! Log lines as people and as machines read them.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use chrono::DateTime;
use tracing_subscriber::fmt::MakeWriter;

use super::{Redacting, Redactor, colour_wanted, dispatch, filter};
use crate::clock::{Clock, FixedClock};
use crate::error::Seam;
use crate::settings::LogFormat;

/// Keeps what is written.
#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for Paper {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        self.clone()
    }
}

fn logged(level: &str, format: LogFormat, ansi: bool, log: impl FnOnce()) -> String {
    let paper = Paper::default();
    let instant = DateTime::from_timestamp_millis(1_795_053_605_678).unwrap();
    let writer = Redacting::new(paper.clone(), Redactor::default());
    let clock: Arc<dyn Clock> = Arc::new(FixedClock(instant));
    let dispatch = dispatch(level, format, ansi, writer, &clock).unwrap();
    tracing::dispatcher::with_default(&dispatch, log);
    let bytes = paper.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

fn a_run() {
    let _run = tracing::info_span!("run", job = "fraud-detector", date = "2026-11-19", run_id = "r1").entered();
    tracing::info!(rows = 65_536, share = 0.5, "scored");
    let _chunk = tracing::info_span!("chunk", chunk = 3, job = "inner").entered();
    tracing::warn!(target: "elsewhere::net", url = "https://u:p@host/x?y=z", "slow");
    tracing::debug!("not asked for");
}

#[test]
fn text_names_only_foreign_code() {
    let log = logged("info", LogFormat::Text, false, a_run);
    insta::assert_snapshot!(log, @r#"
    2026-11-19T02:00:05Z  INFO run: scored rows=65536 share=0.5 job="fraud-detector" date="2026-11-19" run_id="r1"
    2026-11-19T02:00:05Z  WARN run:chunk: elsewhere::net: slow url="https://***@host/x?***" job="fraud-detector" date="2026-11-19" run_id="r1" chunk=3 job="inner"
    "#);
}

#[test]
fn json_lines_are_flat_and_carry_the_run() {
    let log = logged("info", LogFormat::Json, false, a_run);
    insta::assert_snapshot!(log, @r#"
    {"timestamp":"2026-11-19T02:00:05.678Z","level":"INFO","message":"scored","date":"2026-11-19","job":"fraud-detector","rows":65536,"run_id":"r1","share":0.5,"target":"batch_infer::telemetry::tests"}
    {"timestamp":"2026-11-19T02:00:05.678Z","level":"WARN","message":"slow","chunk":3,"date":"2026-11-19","job":"inner","run_id":"r1","target":"elsewhere::net","url":"https://***@host/x?***"}
    "#);
}

#[test]
fn colours_come_only_when_asked_for() {
    let coloured = logged("info", LogFormat::Text, true, a_run);
    let plain = logged("info", LogFormat::Text, false, a_run);
    let json = logged("info", LogFormat::Json, true, a_run);
    assert!(coloured.contains('\u{1b}'));
    assert!(!plain.contains('\u{1b}') && !json.contains('\u{1b}'));
}

#[test]
fn control_characters_in_a_field_are_escaped() {
    for format in [LogFormat::Text, LogFormat::Json] {
        let log = logged("info", format, false, || {
            tracing::info!(name = "a\u{1b}[2Jb\n{\"level\":1}", "read");
        });
        assert!(!log.contains('\u{1b}') && log.lines().count() == 1, "{log}");
    }
}

#[test]
fn level_may_be_a_list_of_targets() {
    let log = logged("off,elsewhere=warn", LogFormat::Text, false, a_run);
    assert_eq!(log.lines().count(), 1, "{log}");
}

#[test]
fn retries_are_told_once_unless_the_library_is_asked() {
    let retry = || tracing::info!(target: "object_store::client::retry", "backing off");
    for (level, lines) in [("info", 0), ("debug", 0), ("info,object_store=info", 1)] {
        assert_eq!(
            logged(level, LogFormat::Text, false, retry).lines().count(),
            lines,
            "{level}"
        );
    }
    let other = || tracing::info!(target: "object_store::aws", "seen");
    assert_eq!(logged("info", LogFormat::Text, false, other).lines().count(), 1);
}

#[test]
fn lone_word_that_is_no_level_is_refused() {
    let refusals: Vec<_> = ["inof", "loud", "a=b=c", "batch_infer=inof"]
        .into_iter()
        .map(|level| filter(level).unwrap_err())
        .map(|error| (error.to_string(), error.exit().code(), error.hint().is_some()))
        .collect();
    assert_eq!(refusals[0], ("unknown log level `inof`".to_owned(), 10, true));
    assert!(refusals.iter().all(|(_, code, hint)| *code == 10 && *hint));
    for level in ["off", "INFO", "trace", "warn,batch_infer=debug", "batch_infer::plan"] {
        assert!(filter(level).is_ok(), "{level}");
    }
}

#[test]
fn no_color_with_a_value_takes_the_colours_away() {
    assert!(colour_wanted(true, None));
    assert!(colour_wanted(true, Some(OsStr::new(""))));
    assert!(!colour_wanted(true, Some(OsStr::new("1"))));
    assert!(!colour_wanted(false, None));
}
