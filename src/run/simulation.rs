//! The protocol under crashes, pauses, lost answers and late requests: the code of the runs themselves, over a bucket in memory.
//!
//! A seed draws a schedule: who runs, what each wants, and what befalls it. Everything happens on one thread, one request at a time, in an
//! order that follows from the seed, so that a failure can be played again. A judge looks at the bucket after every event. What is not
//! simulated: the model, Parquet input, and the local disk, where a lock keeps writers apart.
//!
//! ```text
//! BATCH_INFER_SIMULATION_SCHEDULES=1000000 BATCH_INFER_SIMULATION_SEED=7 cargo test --lib --features failpoints simulation::no -- --nocapture
//! ```

mod bucket;
mod clock;
mod connection;
mod fault;
mod fence;
mod judge;
mod play;
mod process;
mod schedule;
mod tally;
mod waiting;
mod work;
mod world;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use fence::Fence;
use play::play;
use tally::Tally;

/// Schedules of `cargo test`.
const SCHEDULES: u64 = 20_000;

/// Schedules in which the lack of a fence must show.
const MOST_WITHOUT: u64 = 20_000;

#[expect(
    clippy::disallowed_methods,
    reason = "a test may be asked for more than its usual size"
)]
fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable} is a number, not {text}")),
    )
}

/// A seed, and what was wrong with its schedule.
type Failure = (u64, String);

/// Plays schedules on all cores, all of them or up to the first that fails.
fn play_all(first: u64, count: u64, without: Option<Fence>) -> (Tally, Vec<Failure>) {
    let (next, over) = (AtomicU64::new(0), AtomicBool::new(false));
    let player = || {
        let (mut tally, mut failures) = (Tally::default(), Vec::new());
        while !over.load(Ordering::Relaxed) {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                break;
            }
            let seed = first.wrapping_add(number);
            let played = play(seed, without, false);
            tally.add(played.tally);
            if let Some(failure) = played.failure {
                failures.push((seed, failure));
                over.fetch_or(without.is_some(), Ordering::Relaxed);
            }
        }
        (tally, failures)
    };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let (mut tally, mut failures) = (Tally::default(), Vec::new());
    thread::scope(|scope| {
        let players: Vec<_> = (0..cores).map(|_| scope.spawn(player)).collect();
        for player in players {
            let (one, failed) = player.join().unwrap();
            tally.add(one);
            failures.extend(failed);
        }
    });
    failures.sort();
    (tally, failures)
}

#[test]
fn no_schedule_breaks_a_promise() {
    let first = number("BATCH_INFER_SIMULATION_SEED").unwrap_or(0);
    let count = number("BATCH_INFER_SIMULATION_SCHEDULES").unwrap_or(SCHEDULES);
    let (tally, failures) = play_all(first, count, None);
    println!("simulation: {tally}, failures {}", failures.len());
    let Some((seed, what)) = failures.first() else {
        assert_eq!(tally.schedules, count);
        return;
    };
    println!("{}", play(*seed, None, true).story.join("\n"));
    for (seed, what) in failures.iter().take(20) {
        println!("seed {seed}: {what}");
    }
    panic!(
        "seed {seed}: {what}\nthe story is above; to play it again: BATCH_INFER_SIMULATION_SEED={seed} BATCH_INFER_SIMULATION_SCHEDULES=1"
    );
}

#[test]
fn each_fence_is_missed_when_it_is_taken_away() {
    for fence in Fence::ALL {
        let (tally, failures) = play_all(1 << 40, MOST_WITHOUT, Some(fence));
        let Some((_, what)) = failures.first() else {
            panic!("without {fence:?} nothing went wrong in {tally}");
        };
        println!("without {fence:?}: after {} schedules, {what}", tally.schedules);
    }
}

#[test]
fn schedule_can_be_played_again() {
    for seed in 0..100 {
        let [once, again] = [0, 1].map(|_| play(seed, None, true).story);
        assert_eq!(once, again, "seed {seed}");
    }
}
