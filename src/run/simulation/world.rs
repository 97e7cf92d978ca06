//! What all processes of a simulation share: the bucket, the time, and what each of them waits for.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use object_store::path::Path;
use object_store::{Attribute, Error, Result};

use super::bucket::{Answer, Bucket, Kind, Object, Request, exists};
use super::fault::{Fate, Faults};
use super::fence::{Fence, is_log};
use super::judge::Judge;
use super::process::Ending;
use super::tally::Tally;
use super::waiting::Wait;

/// Something that a process waits for, and what came of it.
#[derive(Debug)]
struct Call {
    process: usize,
    what: Wait,
    /// The answer.
    done: Option<Result<Answer>>,
    waker: Option<Waker>,
}

/// The world behind a lock, for what has to be `Sync`. There is one thread.
#[derive(Debug)]
pub(super) struct Shared(Mutex<World>);

impl Shared {
    pub(super) fn new(world: World) -> Self {
        Self(Mutex::new(world))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What all processes share.
#[derive(Debug)]
pub(super) struct World {
    /// Source of all chance.
    pub(super) chance: fastrand::Rng,
    /// Time since the beginning.
    pub(super) now: Duration,
    pub(super) bucket: Bucket,
    pub(super) faults: Faults,
    pub(super) without: Option<Fence>,
    pub(super) judge: Judge,
    pub(super) tally: Tally,
    /// Processes that have ended, and how.
    pub(super) ended: Vec<(usize, std::result::Result<Ending, crate::error::Error>)>,
    /// What happened, where somebody wants to read it.
    pub(super) story: Option<Vec<String>>,
    /// Requests whose senders have given them up.
    strays: Vec<(usize, Request)>,
    /// The log as a collector saw it first.
    frozen: BTreeMap<usize, Vec<(Path, Object)>>,
    /// What each process has put last below the data set.
    own: BTreeMap<usize, String>,
    calls: BTreeMap<u64, Call>,
    next: u64,
}

/// Something that can happen next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// A process's request is taken.
    Request { process: usize, call: u64 },
    /// A process wakes up.
    Timer { process: usize, call: u64, at: Duration },
    /// A request arrives that was given up.
    Stray { number: usize },
}

impl World {
    pub(super) fn new(chance: fastrand::Rng, faults: Faults, without: Option<Fence>, judge: Judge, told: bool) -> Self {
        Self {
            chance,
            now: Duration::ZERO,
            bucket: Bucket::default(),
            faults,
            without,
            judge,
            tally: Tally::default(),
            ended: Vec::new(),
            story: told.then(Vec::new),
            strays: Vec::new(),
            frozen: BTreeMap::new(),
            own: BTreeMap::new(),
            calls: BTreeMap::new(),
            next: 0,
        }
    }

    /// Writes a line of the story.
    pub(super) fn tell(&mut self, line: impl FnOnce() -> String) {
        let now = self.now;
        if let Some(story) = &mut self.story {
            story.push(format!("{:>9.3} {}", now.as_secs_f64(), line()));
        }
    }

    /// A process begins to wait.
    pub(super) fn begin(&mut self, process: usize, what: Wait) -> u64 {
        self.next += 1;
        let call = Call {
            process,
            what,
            done: None,
            waker: None,
        };
        self.calls.insert(self.next, call);
        self.next
    }

    /// What came of a wait, if it is over.
    pub(super) fn answer(&mut self, number: u64, waker: &Waker) -> Option<Result<Answer>> {
        let call = self.calls.get_mut(&number)?;
        if call.done.is_none() {
            call.waker = Some(waker.clone());
            return None;
        }
        self.calls.remove(&number).and_then(|call| call.done)
    }

    /// A process waits no longer; its request may arrive all the same.
    pub(super) fn give_up(&mut self, number: u64) {
        if let Some(Call {
            process,
            what: Wait::For(request),
            done: None,
            ..
        }) = self.calls.remove(&number)
            && request.writes()
            && self.chance.bool()
        {
            self.strays.push((process, request));
        }
    }

    /// What can happen next.
    pub(super) fn events(&self) -> impl Iterator<Item = Event> {
        let waiting = self.calls.iter().filter(|(_, call)| call.done.is_none());
        let of_calls = waiting.map(|(number, call)| match call.what {
            Wait::For(_) => Event::Request {
                process: call.process,
                call: *number,
            },
            Wait::Until(at) => Event::Timer {
                process: call.process,
                call: *number,
                at,
            },
        });
        of_calls.chain((0..self.strays.len()).map(|number| Event::Stray { number }))
    }

    /// The kind of write that an event is.
    pub(super) fn kind(&self, event: Event) -> Option<Kind> {
        let Event::Request { call, .. } = event else {
            return None;
        };
        match &self.calls.get(&call)?.what {
            Wait::For(request) => Kind::of(request),
            Wait::Until(_) => None,
        }
    }

    /// Lets something happen.
    pub(super) fn happen(&mut self, event: Event) {
        match event {
            Event::Timer { call, at, .. } => {
                self.now = self.now.max(at);
                self.done(call, Ok(Answer::Done));
            }
            Event::Stray { number } => {
                let (process, request) = self.strays.remove(number);
                self.tell(|| format!("p{process} late {}", name(&request)));
                let _ = self.apply(process, &request);
            }
            Event::Request { process, call } => {
                let Some(Call {
                    what: Wait::For(request),
                    ..
                }) = self.calls.get(&call)
                else {
                    return;
                };
                let request = request.clone();
                self.now += Duration::from_micros(self.chance.u64(..40_000));
                let answer = self.serve(process, &request);
                self.done(call, answer);
            }
        }
    }

    /// Forgets every request that was given up.
    pub(super) fn drop_strays(&mut self) {
        self.strays.clear();
    }

    fn done(&mut self, number: u64, answer: Result<Answer>) {
        if let Some(call) = self.calls.get_mut(&number) {
            call.done = Some(answer);
            if let Some(waker) = call.waker.take() {
                waker.wake();
            }
        }
    }

    fn serve(&mut self, process: usize, request: &Request) -> Result<Answer> {
        let fate = self.faults.draw(&mut self.chance, request);
        self.tally.requests += 1;
        self.tally.fate(fate);
        let answer = match fate {
            Fate::Served => self.apply(process, request),
            Fate::Lost => self.silence(request),
            Fate::Unanswered => match self.apply(process, request) {
                // The second try of a completed upload finds none.
                Ok(_) if matches!(request, Request::Complete { .. }) && self.chance.bool() => {
                    Err(super::bucket::no_upload("gone"))
                }
                _ => Err(silence()),
            },
            Fate::Late => {
                self.strays.push((process, request.clone()));
                self.silence(request)
            }
            Fate::Twice => {
                let _ = self.apply(process, request);
                self.apply(process, request)
            }
            Fate::Conflict => Err(exists(&Path::default())),
        };
        self.tell(|| {
            let outcome = match &answer {
                Ok(_) => "ok".to_owned(),
                Err(error) => error.to_string(),
            };
            format!("p{process} {} {fate:?}: {outcome}", name(request))
        });
        answer
    }

    /// No answer; or, where a write is not read back, what is taken for one.
    fn silence(&self, request: &Request) -> Result<Answer> {
        match request {
            Request::Put { .. } if self.without == Some(Fence::ReadBack) => Ok(Answer::Written("\"taken\"".to_owned())),
            _ => Err(silence()),
        }
    }

    fn apply(&mut self, process: usize, request: &Request) -> Result<Answer> {
        let ignored = self.without.and_then(|fence| fence.ignored(request));
        let request = ignored.as_ref().unwrap_or(request);
        let before = request.changes().and_then(|path| self.bucket.get(path)).cloned();
        let mut answer = self.bucket.apply(request, self.now);
        self.judge.heard(process, request);
        if answer.is_ok()
            && let Some(path) = request.changes()
        {
            self.judge.changed(process, path, before.as_ref(), &self.bucket);
            let nonce = self.bucket.get(path).and_then(|object| object.attribute("bi-nonce"));
            if let Some(nonce) = nonce {
                self.own.insert(process, nonce.to_owned());
            }
        }
        if let Ok(answer) = &mut answer {
            self.lie(process, request, answer);
        }
        answer
    }

    /// What a program sees that does not look where a fence makes it look.
    fn lie(&mut self, process: usize, request: &Request, answer: &mut Answer) {
        match (self.without, request, answer) {
            (Some(Fence::NumberSeen), Request::Get { path, head: true, .. }, Answer::Object(object, _))
                if path.extension() == Some("parquet") =>
            {
                let own = self.own.get(&process).map(String::as_str);
                if object.attribute("bi-nonce") != own {
                    let number = Attribute::Metadata("bi-seq".into());
                    object.attributes.insert(number, "0".into());
                }
            }
            (Some(Fence::LookAgain), Request::List { prefix }, Answer::Listed(listed))
                if is_log(&prefix.clone().join("any")) && self.judge.collects(process) =>
            {
                *listed = self.frozen.entry(process).or_insert_with(|| listed.clone()).clone();
            }
            _ => {}
        }
    }
}

fn silence() -> Error {
    Error::Generic {
        store: "bucket",
        source: "no answer in time".into(),
    }
}

/// A request in a few words.
fn name(request: &Request) -> String {
    match request {
        Request::Get { path, head: false, .. } => format!("get {path}"),
        Request::Get { path, .. } => format!("head {path}"),
        Request::List { prefix } => format!("list {prefix}"),
        Request::Put { path, mode, .. } => format!("put {path} {mode:?}"),
        Request::Delete { path } => format!("delete {path}"),
        Request::Begin { path, .. } => format!("begin {path}"),
        Request::Piece { upload, number, .. } => format!("piece {upload} {number}"),
        Request::Complete { path, upload } => format!("complete {upload} {path}"),
        Request::Abort { upload } => format!("abort {upload}"),
    }
}
