//! Progress for people at a terminal: a bar in rows on stderr, and the log lines that must not tear it.
//!
//! The only file that names indicatif. It takes events and draws; it never asks the line anything. Off a terminal there is
//! no bar but [`Lines`], and [`monitor`] chooses.

mod lines;

use std::fmt;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indicatif::{
    HumanCount, HumanDuration, HumanFloatCount, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle,
};
use tracing_subscriber::fmt::MakeWriter;

pub use self::lines::Lines;
use crate::clock::Clock;
use crate::events::{Event, Monitor, Silent};
use crate::settings::ProgressMode;

/// Time between two drawings of the bar: as often as an eye can use.
const DRAW_EVERY: Duration = Duration::from_millis(100);

/// Drawings a second, the same as a rate.
const DRAWINGS_PER_SECOND: u8 = 10;

/// Width is left to the bar, the numbers come first on a narrow terminal.
const SCORING: &str = "{spinner} {percent:>3}% {rows}{rejected} {rate} {wide_bar}";

const PUBLISHING: &str = "{spinner} publishing, {elapsed_precise}";

/// Chooses the monitor. `screen` must be the one that the log writes through; `interval` is the time between two lines.
pub fn monitor(
    mode: ProgressMode,
    stderr_is_terminal: bool,
    screen: &Screen,
    clock: Arc<dyn Clock>,
    interval: Duration,
) -> Box<dyn Monitor> {
    let can_draw = stderr_is_terminal && screen.can_draw();
    match mode {
        ProgressMode::Off => Box::new(Silent),
        ProgressMode::Auto | ProgressMode::Bar if can_draw => Box::new(Bar::new(screen.clone())),
        ProgressMode::Auto | ProgressMode::Bar | ProgressMode::Lines => Box::new(Lines::new(clock, interval)),
    }
}

/// Stderr, shared by the bar and the log: what is written through it appears above the bar. Clones share it.
#[derive(Clone)]
pub struct Screen {
    shared: Arc<Shared>,
}

struct Shared {
    /// The bar that stands there now.
    bar: Mutex<Option<ProgressBar>>,
    out: Mutex<Box<dyn Write + Send>>,
    target: Box<dyn Fn() -> ProgressDrawTarget + Send + Sync>,
}

impl Screen {
    /// The process's stderr.
    pub fn stderr() -> Self {
        let target = || ProgressDrawTarget::stderr_with_hz(DRAWINGS_PER_SECOND);
        Self::new(Box::new(io::stderr()), Box::new(target))
    }

    fn new(out: Box<dyn Write + Send>, target: Box<dyn Fn() -> ProgressDrawTarget + Send + Sync>) -> Self {
        let shared = Shared {
            bar: Mutex::new(None),
            out: Mutex::new(out),
            target,
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// False where stderr is no terminal, or one that cannot move its cursor.
    fn can_draw(&self) -> bool {
        !(self.shared.target)().is_hidden()
    }

    /// Puts a bar in the place of the one before.
    fn show(&self, bar: Option<ProgressBar>) {
        let before = std::mem::replace(&mut *locked(&self.shared.bar), bar);
        if let Some(before) = before {
            before.finish_and_clear();
        }
    }

    fn bar(&self) -> Option<ProgressBar> {
        locked(&self.shared.bar).clone()
    }
}

impl<'w> MakeWriter<'w> for Screen {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        self.clone()
    }
}

impl Write for Screen {
    /// Takes the bar away, writes everything, draws the bar again.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let write = || locked(&self.shared.out).write_all(bytes);
        match self.bar() {
            // The bar by itself and not a group of bars: that one panics when the terminal is gone.
            Some(bar) => bar.suspend(write)?,
            None => write()?,
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        locked(&self.shared.out).flush()
    }
}

/// What a lock holds, even when a thread panicked with it: progress must not hide that panic behind another.
fn locked<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A bar in rows: done, total, percent, rate, time left, rejected.
pub struct Bar {
    screen: Screen,
    rejected: Arc<AtomicU64>,
}

impl Bar {
    /// Makes a bar that appears when the plan is known.
    pub fn new(screen: Screen) -> Self {
        Self {
            screen,
            rejected: Arc::new(AtomicU64::new(0)),
        }
    }

    fn scoring(&self) -> ProgressStyle {
        let rejected = Arc::clone(&self.rejected);
        style(SCORING)
            .with_key("rows", |state: &ProgressState, out: &mut dyn fmt::Write| {
                let total = HumanCount(state.len().unwrap_or(0));
                let _ = write!(out, "{}/{total} rows", HumanCount(state.pos()));
            })
            .with_key("rate", |state: &ProgressState, out: &mut dyn fmt::Write| {
                // Before the first chunk nothing is known, and indicatif would say that no time is left.
                if state.per_sec() > 0.0 {
                    let (rate, left) = (HumanFloatCount(state.per_sec()), HumanDuration(state.eta()));
                    let _ = write!(out, "{rate:.0} rows/s, {left:#} left");
                }
            })
            .with_key("rejected", move |_: &ProgressState, out: &mut dyn fmt::Write| {
                let rejected = rejected.load(Ordering::Relaxed);
                if rejected > 0 {
                    let _ = write!(out, ", {} rejected", HumanCount(rejected));
                }
            })
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the templates of this file are well-formed")
}

impl Monitor for Bar {
    fn hear(&self, event: &Event) {
        match event {
            Event::Planned { rows, .. } => {
                self.rejected.store(0, Ordering::Relaxed);
                let bar = ProgressBar::with_draw_target(Some(*rows), (self.screen.shared.target)());
                let bar = bar.with_style(self.scoring());
                // From now on only its own thread draws it, at its own pace and also while a chunk takes long.
                bar.enable_steady_tick(DRAW_EVERY);
                self.screen.show(Some(bar));
            }
            Event::Scored {
                rows_in, rows_rejected, ..
            } => {
                self.rejected.fetch_add(*rows_rejected as u64, Ordering::Relaxed);
                if let Some(bar) = self.screen.bar() {
                    bar.inc(*rows_in as u64);
                }
            }
            Event::Publishing => {
                if let Some(bar) = self.screen.bar() {
                    bar.set_style(style(PUBLISHING));
                    bar.reset_elapsed();
                }
            }
            Event::Finished | Event::Failed => self.screen.show(None),
        }
    }
}

impl Drop for Bar {
    /// A run that fails tells of no end.
    fn drop(&mut self) {
        self.screen.show(None);
    }
}

#[cfg(test)]
mod tests;
