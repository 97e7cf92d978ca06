//! The parent: starts children, two at a time, counts what they say, and notices when one does not come back.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use batch_infer::clock::{Clock, SystemClock};

use crate::Asked;
use crate::worker::MUTANTS_OF_A_WORKER;

/// Children at a time.
const AT_A_TIME: usize = 2;

/// The longest that a mutant may take of a processor.
const LONGEST: Duration = Duration::from_secs(5);

/// After which one that does not come back hangs, on a machine that is busy with other things too.
const PATIENCE: Duration = Duration::from_mins(1);

/// A child begins with reading whole files.
const START: Duration = Duration::from_mins(1);

/// Injuries to what checksums cover.
const IN_PAGES: [&str; 3] = [
    "bits of a page",
    "the first bytes of a page",
    "the rest of a page wiped",
];

/// What was counted.
#[derive(Debug, Default)]
struct Tally {
    mutants: u64,
    /// By checksums and outcome.
    outcomes: BTreeMap<(String, &'static str), u64>,
    slowest: f64,
    largest: u64,
    failures: Vec<String>,
    panics: BTreeMap<String, u64>,
}

/// Reads as many mutants as are asked for. True when none of them was a failure.
pub(crate) fn run(asked: &Asked) -> bool {
    let start = SystemClock.monotonic();
    let tally = Mutex::new(Tally::default());
    let next = AtomicU64::new(0);
    let over = || {
        let minutes = asked.minutes.map(Duration::from_mins);
        minutes.is_some_and(|most| SystemClock.monotonic().saturating_sub(start) > most)
    };
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                loop {
                    let first = next.fetch_add(MUTANTS_OF_A_WORKER, Ordering::Relaxed);
                    if first >= asked.count || over() {
                        return;
                    }
                    work(asked, first, &tally);
                }
            });
        }
    });
    let tally = tally.into_inner().unwrap_or_else(PoisonError::into_inner);
    report(asked, &tally, SystemClock.monotonic().saturating_sub(start));
    tally.failures.is_empty()
}

/// The mutants of one child, and of those that take its place when it dies.
fn work(asked: &Asked, first: u64, tally: &Mutex<Tally>) {
    let end = (first + MUTANTS_OF_A_WORKER).min(asked.count);
    let mut next = first;
    while next < end {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--seed", &asked.seed.to_string(), "--count", &end.to_string()])
            .args(["--worker", &next.to_string()])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        match listen(&mut child, tally) {
            // All of them, as far as it was to go.
            None => next = end,
            Some((dead, why)) => {
                let _ = child.kill();
                let status = child.wait().unwrap();
                let seed = asked.seed;
                let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
                let Some(number) = dead else {
                    tally.failures.push(format!(
                        "a child that was to begin at {next} {why}, {status}: --worker {next}"
                    ));
                    return;
                };
                tally.mutants += 1;
                tally
                    .failures
                    .push(format!("{number} {why}, {status}: --only {number} --seed {seed}"));
                next = number + 1;
            }
        }
    }
    // A child stops at a thousand from where it began, so what follows a death is done by the next in turn.
}

/// Hears a child out. Where it stops too early: the mutant that it was at, and how.
fn listen(child: &mut Child, tally: &Mutex<Tally>) -> Option<(Option<u64>, &'static str)> {
    let output = BufReader::new(child.stdout.take().unwrap());
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        output
            .lines()
            .map_while(Result::ok)
            .try_for_each(|line| sender.send(line))
    });
    let mut at = None;
    loop {
        match lines.recv_timeout(if at.is_none() { START } else { PATIENCE }) {
            Ok(line) if line.starts_with("begin ") => at = line[6..].parse().ok(),
            Ok(line) if line.starts_with("end ") => {
                tally.lock().unwrap_or_else(PoisonError::into_inner).add(&line[4..]);
                // What may take its time now is the end of the process.
                at = None;
            }
            Ok(_) => {}
            Err(RecvTimeoutError::Timeout) => return Some((at, "hangs")),
            Err(RecvTimeoutError::Disconnected) => {
                let whole = child.wait().unwrap().success();
                return (!whole).then_some((at, "ended the process"));
            }
        }
    }
}

impl Tally {
    /// A line: number, checksums, changed, seconds, memory, megabytes, outcome, and the rest for people.
    fn add(&mut self, line: &str) {
        let mut words = line.splitn(7, ' ');
        let mut word = || words.next().unwrap_or_default();
        let (number, crc, changed, seconds, memory, size) = (word(), word(), word(), word(), word(), word());
        let rest = word();
        self.mutants += 1;
        self.slowest = self.slowest.max(seconds.parse().unwrap_or(f64::MAX));
        self.largest = self.largest.max(size.parse().unwrap_or(u64::MAX));
        let outcome = match rest.split(' ').next().unwrap_or_default() {
            _ if changed == "unchanged" => "unchanged",
            "same" => "same rows",
            "different" => "other rows",
            "planned" => "refused at once",
            "decoded" => "refused when decoded",
            _ => "failed",
        };
        *self.outcomes.entry((crc.to_owned(), outcome)).or_insert(0) += 1;
        let injuries = rest
            .rsplit_once('[')
            .map_or("", |(_, injuries)| injuries.trim_end_matches(']'));
        if injuries.split(", ").all(|injury| IN_PAGES.contains(&injury)) {
            *self
                .outcomes
                .entry((format!("{crc}, pages alone"), outcome))
                .or_insert(0) += 1;
        }
        let slow = seconds
            .parse()
            .is_ok_and(|seconds: f64| seconds > LONGEST.as_secs_f64());
        if outcome == "failed" || memory == "LARGE" || slow {
            self.failures.push(format!("{number} {crc} {memory} {size} MiB {rest}"));
        }
        if let Some((_, panic)) = rest.split_once("panicked: ") {
            let place = panic.rsplit_once('(').map_or(panic, |(_, place)| place);
            let place = place.split(')').next().unwrap_or_default();
            *self.panics.entry(place.to_owned()).or_insert(0) += 1;
        }
    }
}

fn report(asked: &Asked, tally: &Tally, time: Duration) {
    println!(
        "{} mutants of seed {} in {:.0} s: {} failures, slowest {:.2} CPU-s, largest {} MiB above the process",
        tally.mutants,
        asked.seed,
        time.as_secs_f64(),
        tally.failures.len(),
        tally.slowest,
        tally.largest
    );
    let kinds = ["bare", "crc", "mended"].map(|kind| [kind.to_owned(), format!("{kind}, pages alone")]);
    for crc in kinds.iter().flatten() {
        let of = |outcome: &str| {
            let found = tally.outcomes.iter().filter(|((kind, _), _)| kind == crc);
            found
                .filter(|((_, name), _)| outcome.is_empty() || *name == outcome)
                .map(|(_, n)| n)
                .sum::<u64>()
        };
        let (all, other) = (of("") - of("unchanged"), of("other rows"));
        println!(
            "  {crc:<19} {all:>8} changed: {} refused at once, {} when decoded, {} same rows, {other} other rows unnoticed ({:.3} %)",
            of("refused at once"),
            of("refused when decoded"),
            of("same rows"),
            100.0 * other as f64 / all.max(1) as f64
        );
    }
    let panics: u64 = tally.panics.values().sum();
    println!(
        "  {panics} panics of decoders were caught, in {} places: {:?}",
        tally.panics.len(),
        tally.panics
    );
    for failure in tally.failures.iter().take(20) {
        println!("  FAILED {failure}");
    }
}
