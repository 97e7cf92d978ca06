//! The bar and the log on one terminal, drawn on a terminal of the test.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, Utc};
use indicatif::{ProgressDrawTarget, TermLike};

use super::{Bar, DRAWINGS_PER_SECOND, Screen, monitor};
use crate::batch::{ChunkId, StageTimes};
use crate::clock::{Clock, FixedClock};
use crate::events::{Event, Monitor};
use crate::settings::ProgressMode;

/// A terminal that keeps what happens to it, in order.
#[derive(Debug, Clone, Default)]
struct Terminal(Arc<Mutex<Vec<String>>>);

impl Terminal {
    fn keep(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push(what.into());
    }

    fn kept(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    fn screen(&self) -> Screen {
        let (out, drawn) = (self.clone(), self.clone());
        let target = move || ProgressDrawTarget::term_like_with_hz(Box::new(drawn.clone()), DRAWINGS_PER_SECOND);
        Screen::new(Box::new(out), Box::new(target))
    }

    /// Waits until something that holds is on the terminal.
    #[track_caller]
    fn shows(&self, holds: impl Fn(&str) -> bool) {
        for _ in 0..500 {
            if self.kept().iter().any(|line| holds(line)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("{:?}", self.kept());
    }
}

impl Write for Terminal {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.keep(format!("log: {}", String::from_utf8_lossy(bytes)));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl TermLike for Terminal {
    fn width(&self) -> u16 {
        100
    }

    fn move_cursor_up(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_down(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_right(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_left(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.keep(format!("bar: {text}"));
        Ok(())
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        if !text.trim().is_empty() {
            self.keep(format!("bar: {text}"));
        }
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        self.keep("clear");
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}

fn scored(rows_in: usize, rows_rejected: usize) -> Event {
    Event::Scored {
        chunk: ChunkId(0),
        rows_in,
        rows_rejected,
        stages: StageTimes::default(),
    }
}

#[test]
fn bar_shows_rows_and_then_publishing_and_is_gone_at_the_end() {
    let terminal = Terminal::default();
    let bar = Bar::new(terminal.screen());
    bar.hear(&Event::Planned { rows: 4_000, chunks: 2 });
    terminal.shows(|line| line.contains("0% 0/4,000 rows") && !line.contains("left"));
    bar.hear(&scored(1_000, 7));
    terminal.shows(|line| line.contains("25% 1,000/4,000 rows") && line.contains("7 rejected"));
    terminal.shows(|line| line.contains(" rows/s, ") && line.contains("s left"));
    bar.hear(&Event::Publishing);
    terminal.shows(|line| line.contains("publishing, 00:00:0"));
    bar.hear(&Event::Finished);
    let kept = terminal.kept();
    assert_eq!(kept.last().unwrap(), "clear", "{kept:?}");
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(terminal.kept().len(), kept.len(), "nothing is drawn after the end");
}

#[test]
fn log_line_stands_above_the_bar() {
    let terminal = Terminal::default();
    let mut screen = terminal.screen();
    let bar = Bar::new(screen.clone());
    bar.hear(&Event::Planned { rows: 10, chunks: 1 });
    terminal.shows(|line| line.starts_with("bar: "));
    screen.write_all(b"hello\n").unwrap();
    bar.hear(&Event::Finished);
    screen.write_all(b"after\n").unwrap();
    let kept = terminal.kept();
    let log = kept.iter().position(|line| line == "log: hello\n").unwrap();
    assert_eq!(kept[log - 1], "clear", "{kept:?}");
    assert!(kept[log + 1].starts_with("bar: "), "{kept:?}");
    assert_eq!(kept.last().unwrap(), "log: after\n", "{kept:?}");
}

#[test]
fn bar_of_a_failed_run_is_cleared_too() {
    let terminal = Terminal::default();
    let bar = Bar::new(terminal.screen());
    bar.hear(&Event::Planned { rows: 10, chunks: 1 });
    terminal.shows(|line| line.starts_with("bar: "));
    drop(bar);
    assert_eq!(terminal.kept().last().unwrap(), "clear");
}

#[test]
fn bar_is_drawn_at_most_ten_times_a_second() {
    let terminal = Terminal::default();
    let bar = Bar::new(terminal.screen());
    bar.hear(&Event::Planned {
        rows: 1_000_000,
        chunks: 1_000,
    });
    for _ in 0..1_000 {
        bar.hear(&scored(1_000, 1));
        std::thread::sleep(Duration::from_micros(500));
    }
    let drawn = terminal.kept().iter().filter(|line| line.starts_with("bar: ")).count();
    // The loop takes half a second and more on a busy machine; drawing at each chunk would be a thousand.
    assert!(drawn <= 40, "{drawn}");
}

#[test]
fn mode_and_terminal_choose_the_monitor() {
    let clock: Arc<dyn Clock> = Arc::new(FixedClock(DateTime::<Utc>::UNIX_EPOCH));
    for (mode, is_terminal, draws) in [
        (ProgressMode::Auto, true, true),
        (ProgressMode::Auto, false, false),
        (ProgressMode::Bar, true, true),
        (ProgressMode::Bar, false, false),
        (ProgressMode::Lines, true, false),
        (ProgressMode::Off, true, false),
    ] {
        let terminal = Terminal::default();
        let interval = Duration::from_mins(1);
        let monitor = monitor(mode, is_terminal, &terminal.screen(), Arc::clone(&clock), interval);
        monitor.hear(&Event::Planned { rows: 10, chunks: 1 });
        if draws {
            terminal.shows(|line| line.starts_with("bar: "));
        } else {
            assert_eq!(terminal.kept(), [""; 0], "{mode:?} {is_terminal}");
        }
    }
}
