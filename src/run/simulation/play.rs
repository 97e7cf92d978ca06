//! Plays one schedule: again and again one of the things that can happen is chosen and happens, until nothing is left to happen.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use tokio::runtime::{Builder, Handle};
use tokio::task::JoinHandle;

use super::fault::Faults;
use super::fence::Fence;
use super::judge::{Judge, visible};
use super::process::{Ending, Process, RETENTION, name};
use super::schedule::{Actor, Errand, Moment, Schedule, Task};
use super::tally::Tally;
use super::work;
use super::world::{Event, Shared, World};
use crate::error::Error;
use crate::exit::ExitCode;
use crate::nonce::repeatable;

/// Events after which a simulation is said to hang.
const MOST_EVENTS: usize = 30_000;

/// What came of one schedule.
#[derive(Debug, Default)]
pub(super) struct Played {
    pub(super) tally: Tally,
    /// What was wrong.
    pub(super) failure: Option<String>,
    /// What happened, if it is told.
    pub(super) story: Vec<String>,
}

/// Plays the schedule of a seed.
pub(super) fn play(seed: u64, without: Option<Fence>, told: bool) -> Played {
    let mut chance = Rng::with_seed(seed);
    repeatable::seed(Some(chance.u64(..)));
    fastrand::seed(chance.u64(..));
    let schedule = Schedule::draw(&mut chance);
    let judge = Judge::new(schedule.is_calm(), schedule.setting.lease);
    let mut world = World::new(chance, schedule.faults, without, judge, told);
    world.tell(|| format!("{schedule:#?}"));
    let world = Arc::new(Shared::new(world));
    let runtime = Builder::new_current_thread().build().expect("a thread is a runtime");
    let mut play = Play {
        world: Arc::clone(&world),
        runtime: runtime.handle().clone(),
        without,
        wild: schedule.wild,
        schedule,
        running: Vec::new(),
        events: 0,
    };
    let outcome = runtime.block_on(play.all());
    play.world.lock().tally.schedules = 1;
    drop(play);
    // What still beats for a process that was killed.
    drop(runtime);
    repeatable::seed(None);
    let mut world = world.lock();
    Played {
        tally: world.tally,
        failure: outcome.err(),
        story: world.story.take().unwrap_or_default(),
    }
}

struct Play {
    world: Arc<Shared>,
    runtime: Handle,
    without: Option<Fence>,
    wild: bool,
    schedule: Schedule,
    /// Every process that has begun, by its number.
    running: Vec<Running>,
    /// Events so far.
    events: usize,
}

struct Running {
    actor: Actor,
    task: JoinHandle<()>,
    /// Requests that it has made.
    requests: usize,
    /// The event up to which it is stopped.
    until: usize,
    over: bool,
}

impl Play {
    async fn all(&mut self) -> Result<(), String> {
        let actors = std::mem::take(&mut self.schedule.actors);
        self.act(actors).await?;
        self.calm_down();
        self.act(vec![Actor::quiet(Task::Repair)]).await?;
        let lost = self.rests()?;
        // Whatever has happened, whoever comes now publishes.
        if lost || self.world.lock().chance.u32(..3) == 0 {
            self.afterwards().await?;
        }
        let mut world = self.world.lock();
        let (commits, shown, removals) = (
            world.judge.commits().count() as u64,
            world.judge.versions(),
            world.judge.removals,
        );
        world.tally.processes = self.running.len() as u64;
        world.tally.commits = commits;
        world.tally.shown = shown;
        world.tally.collected = removals;
        Ok(())
    }

    /// No more faults; what is still on its way arrives or does not.
    fn calm_down(&mut self) {
        let mut world = self.world.lock();
        world.faults = Faults::default();
        self.wild = false;
        loop {
            let strays: Vec<_> = world
                .events()
                .filter(|event| matches!(event, Event::Stray { .. }))
                .collect();
            if strays.is_empty() || world.chance.bool() {
                break;
            }
            let stray = strays[world.chance.usize(..strays.len())];
            world.happen(stray);
        }
        world.drop_strays();
    }

    /// Judges the state at rest. True when the last commit cannot be shown.
    fn rests(&mut self) -> Result<bool, String> {
        let mut world = self.world.lock();
        let world = &mut *world;
        let lost = world.tally.unshowable > 0;
        if !lost {
            world.judge.rests(&world.bucket);
        }
        world
            .judge
            .failure()
            .map_or(Ok(lost), |failure| Err(failure.to_owned()))
    }

    /// One more run, to which nothing happens.
    async fn afterwards(&mut self) -> Result<(), String> {
        let plan = self.world.lock().chance.usize(..3);
        let errand = Errand {
            plan,
            key: None,
            again: false,
            shard: None,
        };
        self.world.lock().tally.unshowable = 0;
        self.act(vec![Actor::quiet(Task::Run(errand))]).await?;
        self.rests()?;
        let world = self.world.lock();
        let newest = world.judge.commits().next_back();
        match newest {
            Some(newest) if newest.base_id == work::base_id(plan) && newest.n == visible(&world.bucket) => Ok(()),
            _ => Err(format!("a run of plan {plan} by itself did not publish it")),
        }
    }

    /// Lets processes run until all have ended.
    async fn act(&mut self, mut actors: Vec<Actor>) -> Result<(), String> {
        let start = self.events;
        for actor in &mut actors {
            actor.begins += start;
        }
        loop {
            tokio::task::yield_now().await;
            self.take_endings(&mut actors);
            if let Some(failure) = self.world.lock().judge.failure() {
                return Err(failure.to_owned());
            }
            self.panicked()?;
            while let Some(number) = actors.iter().position(|actor| actor.begins <= self.events) {
                let actor = actors.remove(number);
                self.begin(actor);
                tokio::task::yield_now().await;
            }
            self.events += 1;
            if self.events > MOST_EVENTS {
                return Err("it does not come to an end".to_owned());
            }
            match self.choose() {
                Some(event) => self.happen(event, &mut actors),
                None if self.running.iter().any(|running| !running.over) => {
                    // All who could do something are stopped.
                    let stopped = self.running.iter().filter(|running| !running.over);
                    self.events = stopped
                        .map(|running| running.until)
                        .min()
                        .unwrap_or(self.events)
                        .max(self.events);
                }
                None => match actors.iter().map(|actor| actor.begins).min() {
                    Some(next) => self.events = self.events.max(next),
                    None => return Ok(()),
                },
            }
        }
    }

    fn begin(&mut self, actor: Actor) {
        let number = self.running.len();
        let process = Process {
            world: Arc::clone(&self.world),
            number,
            setting: self.schedule.setting,
            task: actor.task.clone(),
            off: actor.off,
            without: self.without,
        };
        {
            let mut world = self.world.lock();
            world.tell(|| format!("p{number} begins: {:?}", actor.task));
            let key = match &actor.task {
                Task::Run(errand) => Some(errand.key.clone().unwrap_or_else(|| name(number))),
                Task::Repair => Some(String::new()),
                Task::Collect => {
                    // What was there is old by then, or not.
                    if world.chance.u32(..4) > 0 {
                        world.now += RETENTION.to_std().unwrap_or(Duration::ZERO) * 2;
                    }
                    None
                }
            };
            world.judge.begins(number, key);
        }
        let (world, handle) = (Arc::clone(&self.world), self.runtime.clone());
        let task = self.runtime.spawn(async move {
            let ending = Box::pin(process.run(handle)).await;
            world.lock().ended.push((number, ending));
        });
        self.running.push(Running {
            actor,
            task,
            requests: 0,
            until: 0,
            over: false,
        });
    }

    fn take_endings(&mut self, actors: &mut Vec<Actor>) {
        let mut world = self.world.lock();
        let world = &mut *world;
        for (number, ending) in std::mem::take(&mut world.ended) {
            world.tell(|| format!("p{number} ends: {ending:?}"));
            world.judge.ended(number, &ending, &world.bucket);
            count(&mut world.tally, &ending);
            let running = &mut self.running[number];
            running.over = true;
            let again = ending.is_err_and(|error| matches!(error.exit(), ExitCode::Busy | ExitCode::StorageTransient));
            if again {
                actors.extend(retry(&running.actor, self.events, &mut world.chance));
            }
        }
    }

    fn panicked(&self) -> Result<(), String> {
        let mut running = self.running.iter().enumerate();
        match running.find(|(_, running)| !running.over && running.task.is_finished()) {
            Some((number, _)) => Err(format!("process {number} panicked")),
            None => Ok(()),
        }
    }

    /// One of the things that can happen next.
    fn choose(&self) -> Option<Event> {
        let mut world = self.world.lock();
        let able = |process: usize| self.running[process].until <= self.events;
        let (mut requests, mut timers) = (Vec::new(), Vec::new());
        for event in world.events() {
            match event {
                Event::Request { process, .. } if able(process) => requests.push(event),
                Event::Timer { process, at, .. } if able(process) => timers.push((at, event)),
                Event::Stray { .. } => requests.push(event),
                Event::Request { .. } | Event::Timer { .. } => {}
            }
        }
        // What was given up may come much later than everything else.
        if requests.len() > 1 && world.chance.bool() {
            requests.retain(|event| !matches!(event, Event::Stray { .. }));
        }
        if timers.is_empty() || (!requests.is_empty() && world.chance.u32(..40) > 0) {
            let count = requests.len();
            return (count > 0).then(|| requests[world.chance.usize(..count)]);
        }
        if self.wild {
            return Some(timers[world.chance.usize(..timers.len())].1);
        }
        timers.into_iter().min_by_key(|(at, _)| *at).map(|(_, event)| event)
    }

    fn happen(&mut self, event: Event, actors: &mut Vec<Actor>) {
        let mut world = self.world.lock();
        if let Event::Request { process, .. } = event {
            let running = &mut self.running[process];
            if running.over {
                // What still beats for a process that has ended.
                return world.happen(event);
            }
            running.requests += 1;
            let (requests, kind) = (running.requests, world.kind(event));
            let mut is_now = |moment: Moment| match moment {
                Moment::At(number) => number <= requests,
                Moment::Write(awaited) => kind == Some(awaited) && world.chance.bool(),
            };
            if let Some((_, long)) = running.actor.stopped.filter(|(moment, _)| is_now(*moment)) {
                running.actor.stopped = None;
                running.until = self.events + long;
                world.tally.paused += 1;
                world.tell(|| format!("p{process} is stopped for {long} events"));
                return;
            }
            if running.actor.killed.is_some_and(is_now) {
                running.over = true;
                running.task.abort();
                world.tally.killed += 1;
                let after = world.chance.bool();
                world.tell(|| format!("p{process} is killed {}", if after { "after" } else { "before" }));
                if after {
                    world.happen(event);
                }
                actors.extend(retry(&running.actor, self.events, &mut world.chance));
                return;
            }
        }
        world.happen(event);
    }
}

/// The same again, later, as a cluster does it.
fn retry(actor: &Actor, events: usize, chance: &mut Rng) -> Option<Actor> {
    let retries = actor.retries.checked_sub(1)?;
    Some(Actor {
        task: actor.task.clone(),
        begins: events + chance.usize(..100),
        retries,
        ..Actor::quiet(Task::Repair)
    })
}

fn count(tally: &mut Tally, ending: &Result<Ending, Error>) {
    let counted = match ending {
        Ok(Ending::Published(_)) => &mut tally.published,
        Ok(Ending::Already(_)) => &mut tally.already,
        Ok(Ending::Repaired(Some(_))) => &mut tally.unshowable,
        Ok(Ending::ShardDone | Ending::Repaired(None) | Ending::Collected) => return,
        Err(error) => match error.exit() {
            ExitCode::Superseded => &mut tally.superseded,
            ExitCode::Busy => &mut tally.decided,
            _ => &mut tally.failed,
        },
    };
    *counted += 1;
}
