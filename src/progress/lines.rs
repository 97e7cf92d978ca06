//! Progress off a terminal: one log line every interval, with a word when no chunk came in since the last one.
//!
//! A thread of its own writes them, so that a slow chunk does not silence the log. It wakes, looks at the counters and sleeps
//! again; the line of work never waits for it. The numbers come from a [`Clock`], only the sleep does not.

use std::sync::{Arc, Condvar, Mutex};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use tracing::{Dispatch, Span};

use super::locked;
use crate::clock::Clock;
use crate::events::{Event, Monitor};
use crate::machine::Machine;

/// No interval is shorter: a log is no animation.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(10);

/// Writes a line each interval from the plan to the end, and a last one where something is new by then.
pub struct Lines {
    interval: Duration,
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    clock: Arc<dyn Clock>,
    tally: Mutex<Tally>,
    finished: Condvar,
}

impl Lines {
    /// Makes a monitor that begins when the plan is known.
    pub fn new(clock: Arc<dyn Clock>, interval: Duration) -> Self {
        let shared = Shared {
            clock,
            tally: Mutex::new(Tally::default()),
            finished: Condvar::new(),
        };
        Self {
            interval: interval.max(SHORTEST_INTERVAL),
            shared: Arc::new(shared),
            thread: Mutex::new(None),
        }
    }

    fn begin(&self, rows: u64) {
        self.end();
        *locked(&self.shared.tally) = Tally {
            rows_total: rows,
            started: self.shared.clock.monotonic(),
            changed: self.shared.clock.monotonic(),
            ..Tally::default()
        };
        let (shared, interval) = (Arc::clone(&self.shared), self.interval);
        // The lines belong to the run whose plan was heard, so its span and its log go along.
        let (span, log) = (Span::current(), tracing::dispatcher::get_default(Clone::clone));
        let thread = Builder::new().name("progress".to_owned());
        let thread = thread.spawn(move || write_lines(&shared, interval, &span, &log));
        match thread {
            Ok(thread) => *locked(&self.thread) = Some(thread),
            Err(error) => tracing::warn!(%error, "no thread for progress lines, the run goes on without them"),
        }
    }

    fn end(&self) {
        let Some(thread) = locked(&self.thread).take() else {
            return;
        };
        locked(&self.shared.tally).phase = Phase::Over;
        self.shared.finished.notify_all();
        // A panic in it has been reported by the panic hook and must not end the run.
        let _ = thread.join();
    }
}

impl Monitor for Lines {
    fn hear(&self, event: &Event) {
        match event {
            Event::Planned { rows, .. } => self.begin(*rows),
            Event::Scored {
                rows_in, rows_rejected, ..
            } => {
                let mut tally = locked(&self.shared.tally);
                tally.rows += *rows_in as u64;
                tally.rows_rejected += *rows_rejected as u64;
                tally.touch(self.shared.clock.monotonic());
            }
            Event::Publishing => {
                let mut tally = locked(&self.shared.tally);
                tally.phase = Phase::Publishing;
                tally.touch(self.shared.clock.monotonic());
                tally.scored = Some(tally.changed);
            }
            Event::Finished => self.end(),
            Event::Failed => {
                // A last line would say that so many rows were scored, and the error says what became of them.
                locked(&self.shared.tally).is_written = true;
                self.end();
            }
        }
    }
}

impl Drop for Lines {
    /// A run that fails tells of no end.
    fn drop(&mut self) {
        self.end();
    }
}

fn write_lines(shared: &Shared, interval: Duration, span: &Span, log: &Dispatch) {
    let _log = tracing::dispatcher::set_default(log);
    let _span = span.enter();
    loop {
        let (mut tally, _) = shared
            .finished
            .wait_timeout_while(locked(&shared.tally), interval, |tally| tally.phase != Phase::Over)
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let line = tally.line(shared.clock.monotonic());
        let over = tally.phase == Phase::Over;
        tally.is_written = true;
        // Written without the lock, so that nobody waits for a slow stderr.
        drop(tally);
        if let Some(line) = line {
            line.write(Machine::here().resident());
        }
        if over {
            return;
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Phase {
    #[default]
    Scoring,
    Publishing,
    Over,
}

/// The counters.
#[derive(Debug, Default)]
struct Tally {
    phase: Phase,
    rows: u64,
    rows_rejected: u64,
    rows_total: u64,
    started: Duration,
    /// When the last chunk was in. Publishing takes time but does not lower the rate.
    scored: Option<Duration>,
    /// When something last changed.
    changed: Duration,
    /// Whether a line has told of that change.
    is_written: bool,
}

impl Tally {
    fn touch(&mut self, now: Duration) {
        self.changed = now;
        self.is_written = false;
    }

    /// What there is to say now. At the end nothing is said twice; before it, silence would look like death.
    fn line(&self, now: Duration) -> Option<Line> {
        if self.phase == Phase::Over && self.is_written {
            return None;
        }
        let elapsed = self.scored.unwrap_or(now).saturating_sub(self.started).as_millis();
        let per_second = |rows: u64| u128::from(rows) * 1000;
        let rate = per_second(self.rows).checked_div(elapsed);
        let left = u128::from(self.rows_total.saturating_sub(self.rows)) * elapsed;
        let seconds_left = left.checked_div(per_second(self.rows));
        Some(Line {
            message: match (self.phase, self.is_written) {
                (Phase::Scoring, false) => "scoring",
                (Phase::Scoring, true) => "still scoring",
                (Phase::Publishing, false) => "publishing",
                (Phase::Publishing, true) => "still publishing",
                (Phase::Over, _) => "scored",
            },
            rows: self.rows,
            rows_rejected: self.rows_rejected,
            rows_total: self.rows_total,
            percent: percent(self.rows, self.rows_total),
            rows_per_second: rate.and_then(|rate| u64::try_from(rate).ok()),
            seconds_left: seconds_left.and_then(|seconds| u64::try_from(seconds).ok()),
            quiet_seconds: self.is_written.then(|| now.saturating_sub(self.changed).as_secs()),
        })
    }
}

/// Percent with one decimal. Nothing to do is done.
fn percent(rows: u64, total: u64) -> f64 {
    let tenths = (u128::from(rows) * 1000).checked_div(u128::from(total)).unwrap_or(1000);
    f64::from(u32::try_from(tenths).unwrap_or(u32::MAX)) / 10.0
}

#[derive(Debug, PartialEq)]
struct Line {
    message: &'static str,
    rows: u64,
    rows_rejected: u64,
    rows_total: u64,
    percent: f64,
    rows_per_second: Option<u64>,
    /// `None` until there is a rate.
    seconds_left: Option<u64>,
    /// Time since the last change, where there was none since the last line.
    quiet_seconds: Option<u64>,
}

impl Line {
    fn write(&self, rss_bytes: Option<u64>) {
        tracing::info!(
            rows = self.rows,
            rows_total = self.rows_total,
            rows_rejected = self.rows_rejected,
            percent = self.percent,
            rows_per_second = self.rows_per_second,
            seconds_left = self.seconds_left,
            rss_bytes,
            quiet_seconds = self.quiet_seconds,
            "{}",
            self.message
        );
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use chrono::{DateTime, Utc};

    use super::{Lines, Phase, Tally};
    use crate::batch::{ChunkId, StageTimes};
    use crate::clock::{Clock, FixedClock};
    use crate::events::{Event, Monitor};

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn scored(rows_in: usize, rows_rejected: usize) -> Event {
        Event::Scored {
            chunk: ChunkId(0),
            rows_in,
            rows_rejected,
            stages: StageTimes::default(),
        }
    }

    fn clock() -> Arc<dyn Clock> {
        Arc::new(FixedClock(DateTime::<Utc>::UNIX_EPOCH))
    }

    /// The lines of a run that takes the steps of `run`, each field `name=value`.
    fn lines(interval: Duration, run: impl FnOnce(&Lines)) -> Vec<String> {
        let paper = Arc::new(Mutex::new(Vec::new()));
        let writer = Arc::clone(&paper);
        let log = tracing_subscriber::fmt()
            .without_time()
            .with_ansi(false)
            .with_writer(move || Paper(Arc::clone(&writer)))
            .finish();
        tracing::subscriber::with_default(log, || {
            let _run = tracing::info_span!("run", job = "fraud").entered();
            run(&Lines::new(clock(), interval));
        });
        let text = String::from_utf8(paper.lock().unwrap().clone()).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn line_tells_rate_and_time_left() {
        let mut tally = Tally {
            rows_total: 4_000,
            started: seconds(5),
            ..Tally::default()
        };
        tally.rows = 1_000;
        tally.touch(seconds(15));
        let line = tally.line(seconds(15)).unwrap();
        assert_eq!((line.message, line.rows, line.quiet_seconds), ("scoring", 1_000, None));
        assert!((line.percent - 25.0).abs() < f64::EPSILON);
        assert_eq!((line.rows_per_second, line.seconds_left), (Some(100), Some(30)));
    }

    #[test]
    fn line_without_news_says_how_long_it_is_quiet() {
        let mut tally = Tally {
            rows_total: 10,
            changed: seconds(3),
            is_written: true,
            ..Tally::default()
        };
        let line = tally.line(seconds(20)).unwrap();
        assert_eq!(
            (line.message, line.quiet_seconds, line.seconds_left),
            ("still scoring", Some(17), None)
        );
        tally.phase = Phase::Over;
        assert_eq!(tally.line(seconds(21)), None, "the end says nothing twice");
    }

    #[test]
    fn publishing_does_not_lower_the_rate() {
        let tally = Tally {
            phase: Phase::Publishing,
            rows: 1_000,
            rows_total: 1_000,
            scored: Some(seconds(10)),
            ..Tally::default()
        };
        let line = tally.line(seconds(1_000)).unwrap();
        assert_eq!(
            (line.message, line.rows_per_second, line.seconds_left),
            ("publishing", Some(100), Some(0))
        );
    }

    #[test]
    fn nothing_to_do_is_done() {
        let line = Tally::default().line(Duration::ZERO).unwrap();
        assert!((line.percent - 100.0).abs() < f64::EPSILON);
        assert_eq!(line.rows_per_second, None);
    }

    #[test]
    fn failed_run_leaves_no_line() {
        let lines = lines(seconds(60), |lines| {
            lines.hear(&Event::Planned { rows: 30, chunks: 2 });
            lines.hear(&scored(10, 0));
            lines.hear(&Event::Failed);
        });
        assert!(lines.is_empty(), "{lines:?}");
    }

    #[test]
    fn short_run_leaves_one_line_with_the_fields_of_its_span() {
        let lines = lines(seconds(60), |lines| {
            lines.hear(&Event::Planned { rows: 30, chunks: 2 });
            lines.hear(&scored(10, 0));
            lines.hear(&scored(20, 3));
            lines.hear(&Event::Publishing);
            lines.hear(&Event::Finished);
            lines.hear(&Event::Finished);
        });
        assert_eq!(lines.len(), 1, "{lines:?}");
        for part in [
            "scored",
            "rows=30",
            "rows_total=30",
            "rows_rejected=3",
            "percent=100",
            "job=\"fraud\"",
        ] {
            assert!(lines[0].contains(part), "{part}: {lines:?}");
        }
        assert_eq!(lines[0].contains("rss_bytes="), cfg!(target_os = "linux"), "{lines:?}");
    }

    #[test]
    fn slow_chunk_does_not_silence_the_log() {
        let lines = lines(Duration::from_millis(10), |lines| {
            lines.hear(&Event::Planned { rows: 30, chunks: 1 });
            std::thread::sleep(Duration::from_millis(300));
        });
        assert!(lines.len() >= 2, "{lines:?}");
        assert!(lines[0].contains(" scoring rows=0"), "{lines:?}");
        assert!(
            lines[1].contains("still scoring") && lines[1].contains("quiet_seconds=0"),
            "{lines:?}"
        );
    }

    #[test]
    fn nothing_is_written_before_the_plan() {
        let lines = lines(Duration::from_millis(10), |_| {
            std::thread::sleep(Duration::from_millis(50));
        });
        assert_eq!(lines, [""; 0]);
    }
}
