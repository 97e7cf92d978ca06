//! Who runs, what they want, and what befalls them: drawn from a seed.

use chrono::TimeDelta;

use super::bucket::Kind;
use super::fault::Faults;
use crate::run::Shard;

/// How a partition is put in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// One file by one request.
    Single,
    /// One file in pieces.
    Pieces,
    /// Two files.
    Several,
}

impl Layout {
    /// Its files.
    pub(super) fn files(self) -> usize {
        match self {
            Self::Single | Self::Pieces => 1,
            Self::Several => 2,
        }
    }
}

/// What is the same for all processes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setting {
    pub(super) layout: Layout,
    /// Whether leases are taken.
    pub(super) lease: bool,
    /// Chunks of every plan.
    pub(super) chunks: usize,
}

/// What a run wants.
#[derive(Debug, Clone)]
pub(super) struct Errand {
    pub(super) plan: usize,
    /// The intention that it belongs to; its own if there is none.
    pub(super) key: Option<String>,
    /// Whether it publishes again what is published.
    pub(super) again: bool,
    pub(super) shard: Option<Shard>,
}

/// What a process does.
#[derive(Debug, Clone)]
pub(super) enum Task {
    /// Scores and publishes.
    Run(Errand),
    /// Removes what no run will ask for.
    Collect,
    /// Brings to its end what is decided.
    Repair,
}

/// When something befalls a process.
#[derive(Debug, Clone, Copy)]
pub(super) enum Moment {
    /// At one of its requests, by number.
    At(usize),
    /// At a write of a kind, the first or a later one.
    Write(Kind),
}

impl Moment {
    fn draw(chance: &mut fastrand::Rng) -> Self {
        if chance.bool() {
            Self::At(chance.usize(..90))
        } else {
            Self::Write(Kind::ALL[chance.usize(..Kind::ALL.len())])
        }
    }
}

/// A process and what befalls it.
#[derive(Debug, Clone)]
pub(super) struct Actor {
    pub(super) task: Task,
    /// Events before it begins.
    pub(super) begins: usize,
    /// When it is killed.
    pub(super) killed: Option<Moment>,
    /// When it is stopped, and for how many events.
    pub(super) stopped: Option<(Moment, usize)>,
    /// How often it is started again after it was killed or told to try again.
    pub(super) retries: u32,
    /// By how much its wall clock is off.
    pub(super) off: TimeDelta,
}

impl Actor {
    /// A process that nothing befalls.
    pub(super) fn quiet(task: Task) -> Self {
        Self {
            task,
            begins: 0,
            killed: None,
            stopped: None,
            retries: 0,
            off: TimeDelta::zero(),
        }
    }
}

/// One simulation.
#[derive(Debug, Clone)]
pub(super) struct Schedule {
    pub(super) setting: Setting,
    pub(super) faults: Faults,
    /// Whether sleeps may last as long as they like.
    pub(super) wild: bool,
    pub(super) actors: Vec<Actor>,
}

impl Schedule {
    pub(super) fn draw(chance: &mut fastrand::Rng) -> Self {
        let setting = Setting {
            layout: match chance.u32(..10) {
                0..=5 => Layout::Single,
                6 | 7 => Layout::Pieces,
                _ => Layout::Several,
            },
            lease: chance.u32(..10) < 4,
            chunks: chance.usize(1..=2),
        };
        let setting = Setting {
            chunks: setting.chunks.max(setting.layout.files()),
            ..setting
        };
        let faults = Faults {
            rate: [0, 0, 20, 80][chance.usize(..4)],
        };
        let troubled = chance.u32(..10) < 8;
        let plans = chance.usize(1..=3);
        let shared_key = chance.u32(..10) < 4;
        let sharded = setting.chunks > 1 && chance.u32(..10) < 2;
        let count = chance.usize(2..=5);
        let actors = (0..count).map(|number| {
            let collects = number > 0 && chance.u32(..8) == 0;
            let task = if collects {
                Task::Collect
            } else {
                Task::Run(Errand {
                    plan: chance.usize(..plans),
                    key: (shared_key && chance.u32(..10) < 8).then(|| "shared".to_owned()),
                    again: chance.u32(..10) == 0,
                    shard: sharded.then(|| Shard {
                        index: number % setting.chunks,
                        of: setting.chunks,
                    }),
                })
            };
            let reach = [8, 60, 250][chance.usize(..3)];
            Actor {
                task,
                begins: chance.usize(..=reach),
                killed: (troubled && chance.u32(..10) < 3).then(|| Moment::draw(chance)),
                stopped: (troubled && chance.u32(..10) < 4).then(|| (Moment::draw(chance), chance.usize(20..400))),
                retries: chance.u32(..3),
                off: TimeDelta::seconds(if chance.u32(..4) == 0 {
                    chance.i64(-700_000..700_000)
                } else {
                    0
                }),
            }
        });
        let actors = actors.collect();
        Self {
            setting,
            faults,
            wild: chance.u32(..8) == 0,
            actors,
        }
    }

    /// True when nothing can go wrong.
    pub(super) fn is_calm(&self) -> bool {
        let quiet = |actor: &Actor| actor.killed.is_none() && actor.stopped.is_none();
        self.faults.rate == 0 && !self.wild && self.actors.iter().all(quiet)
    }
}
