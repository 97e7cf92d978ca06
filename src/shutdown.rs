//! SIGTERM and SIGINT as one request to stop, which the line asks for between chunks and futures wait on.
//!
//! The first signal only sets the request: what is in hand is finished and kept. A second one ends the process at once. What
//! stopping means is decided by those who ask; nothing here stops anything.

use std::io::Write;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use thiserror::Error;
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

use crate::error::Seam;
use crate::exit::ExitCode;

/// A signal that asks the process to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGINT, a person at a terminal.
    Interrupt,
    /// SIGTERM, the machine or the cluster.
    Terminate,
    /// No signal: the time that the run was given is over.
    Deadline,
}

impl Signal {
    /// How a process ends that stopped for this signal.
    pub fn exit(self) -> ExitCode {
        match self {
            Self::Interrupt => ExitCode::Interrupted,
            Self::Terminate => ExitCode::Terminated,
            Self::Deadline => ExitCode::Deadline,
        }
    }

    /// The name that people know.
    pub fn name(self) -> &'static str {
        match self {
            Self::Interrupt => "SIGINT",
            Self::Terminate => "SIGTERM",
            Self::Deadline => "the end of the time allowed",
        }
    }
}

/// The request to stop. Clones share it.
#[derive(Debug, Clone)]
pub struct Shutdown {
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    /// 0, or the signal as `encode` has it.
    signal: AtomicU8,
    asked: Notify,
    /// Questions left until the request sets itself; for tests.
    questions: Option<AtomicUsize>,
}

impl Shutdown {
    /// Listens for both signals on a runtime, which must live as long as the process: once it is gone, signals are swallowed.
    pub fn listen(runtime: &Handle) -> Result<Self, ShutdownError> {
        let _entered = runtime.enter();
        let listener = |kind| signal(kind).map_err(|source| ShutdownError::Listen { source });
        let mut interrupts = listener(SignalKind::interrupt())?;
        let mut terminates = listener(SignalKind::terminate())?;
        let shutdown = Self::never();
        let told = shutdown.clone();
        runtime.spawn(async move {
            loop {
                let signal = tokio::select! {
                    Some(()) = interrupts.recv() => Signal::Interrupt,
                    Some(()) = terminates.recv() => Signal::Terminate,
                    else => return,
                };
                if !told.request(signal) {
                    leave(signal.exit());
                }
                tracing::warn!(
                    signal = signal.name(),
                    "stopping before anything more is published; a second signal ends the process at once"
                );
            }
        });
        Ok(shutdown)
    }

    /// A request that no signal sets.
    pub fn never() -> Self {
        Self::with_questions(None)
    }

    /// A request that answers no for so many questions and then sets itself as SIGTERM would; for tests that stop a run midway.
    pub fn after(questions: usize) -> Self {
        Self::with_questions(Some(AtomicUsize::new(questions)))
    }

    fn with_questions(questions: Option<AtomicUsize>) -> Self {
        let state = State {
            signal: AtomicU8::new(0),
            asked: Notify::new(),
            questions,
        };
        Self { state: Arc::new(state) }
    }

    /// Sets the request. False when it was set before; then the first signal stands.
    pub fn request(&self, signal: Signal) -> bool {
        let first = self
            .state
            .signal
            .compare_exchange(0, encode(signal), Ordering::AcqRel, Ordering::Acquire)
            .is_ok();
        if first {
            self.state.asked.notify_waiters();
        }
        first
    }

    /// The signal, once there was one. Cheap enough to ask before every chunk.
    pub fn requested(&self) -> Option<Signal> {
        if let Some(questions) = &self.state.questions
            && questions
                .fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(1))
                .is_err()
        {
            self.request(Signal::Terminate);
        }
        self.signal()
    }

    /// An error once there was a signal.
    pub fn go_on(&self) -> Result<(), Stopped> {
        match self.requested() {
            None => Ok(()),
            Some(signal) => Err(Stopped(signal)),
        }
    }

    /// The error that says so; as for SIGTERM where there was no signal.
    pub fn stopped(&self) -> Stopped {
        Stopped(self.signal().unwrap_or(Signal::Terminate))
    }

    /// Waits for the request; returns at once where it is set.
    pub async fn wait(&self) -> Signal {
        loop {
            let mut asked = pin!(self.state.asked.notified());
            // Registered before the look, so that a request between the look and the wait is not missed.
            asked.as_mut().enable();
            if let Some(signal) = self.signal() {
                return signal;
            }
            asked.await;
        }
    }

    /// Waits for something; an error where the request comes first.
    pub async fn unless<T>(&self, work: impl Future<Output = T>) -> Result<T, Stopped> {
        tokio::select! {
            biased;
            done = work => Ok(done),
            signal = self.wait() => Err(Stopped(signal)),
        }
    }

    fn signal(&self) -> Option<Signal> {
        match self.state.signal.load(Ordering::Acquire) {
            0 => None,
            1 => Some(Signal::Interrupt),
            2 => Some(Signal::Terminate),
            _ => Some(Signal::Deadline),
        }
    }
}

fn encode(signal: Signal) -> u8 {
    match signal {
        Signal::Interrupt => 1,
        Signal::Terminate => 2,
        Signal::Deadline => 3,
    }
}

/// Ends the process without unwinding and without the destructors of linked libraries: those would pull the tensors away
/// from under the threads that still compute, and the exit code would be that of a crash. Such threads are there after a
/// second signal, and after any error in the middle of the line.
#[expect(unsafe_code, reason = "std has no exit that skips the handlers of linked libraries")]
pub fn leave(exit: ExitCode) -> ! {
    // SAFETY: `_exit` is in every libc that std links, has this signature, and has no precondition.
    unsafe extern "C" {
        safe fn _exit(status: std::ffi::c_int) -> !;
    }
    // A reader that is gone is the reader's choice.
    let _ = std::io::stdout().flush();
    _exit(exit.code().into())
}

/// The process was asked to stop.
#[derive(Debug, Error)]
#[error("stopped on {}; finished chunks are kept, and the next run goes on after them", .0.name())]
pub struct Stopped(Signal);

impl Seam for Stopped {
    fn exit(&self) -> ExitCode {
        self.0.exit()
    }
}

/// Signals cannot be heard.
#[derive(Debug, Error)]
pub enum ShutdownError {
    /// The system refused a handler.
    #[error("listen for SIGINT and SIGTERM")]
    Listen {
        /// What the system said.
        source: std::io::Error,
    },
}

impl Seam for ShutdownError {
    fn exit(&self) -> ExitCode {
        match self {
            Self::Listen { .. } => ExitCode::Internal,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Shutdown, Signal};

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap()
    }

    #[test]
    fn first_signal_stands() {
        let shutdown = Shutdown::never();
        assert_eq!(shutdown.requested(), None);
        assert!(shutdown.request(Signal::Interrupt));
        assert!(!shutdown.clone().request(Signal::Terminate));
        assert_eq!(shutdown.requested(), Some(Signal::Interrupt));
    }

    #[test]
    fn counted_request_sets_itself_after_its_questions() {
        let shutdown = Shutdown::after(2);
        let answers: Vec<_> = (0..4).map(|_| shutdown.requested()).collect();
        assert_eq!(answers, [None, None, Some(Signal::Terminate), Some(Signal::Terminate)]);
    }

    #[test]
    fn wait_ends_for_requests_before_and_after_it_began() {
        let runtime = runtime();
        let shutdown = Shutdown::never();
        let waiting = runtime.spawn({
            let shutdown = shutdown.clone();
            async move { shutdown.wait().await }
        });
        let patience = Duration::from_millis(20);
        let early = runtime.block_on(async { tokio::time::timeout(patience, shutdown.wait()).await });
        assert!(early.is_err(), "nothing was requested yet");
        shutdown.request(Signal::Terminate);
        assert_eq!(runtime.block_on(waiting).unwrap(), Signal::Terminate);
        assert_eq!(runtime.block_on(shutdown.wait()), Signal::Terminate);
    }

    #[test]
    fn exit_codes_are_those_of_the_signals() {
        assert_eq!(Signal::Interrupt.exit().code(), 130);
        assert_eq!(Signal::Terminate.exit().code(), 143);
    }

    /// The only test that sends a real signal: a second one, from any test, would end this process.
    #[test]
    fn sent_signal_becomes_a_request() {
        let runtime = runtime();
        let shutdown = Shutdown::listen(runtime.handle()).unwrap();
        let process = rustix::process::getpid();
        rustix::process::kill_process(process, rustix::process::Signal::TERM).unwrap();
        let patience = Duration::from_secs(20);
        let heard = runtime.block_on(async { tokio::time::timeout(patience, shutdown.wait()).await });
        assert_eq!(heard.unwrap(), Signal::Terminate);
        assert_eq!(shutdown.requested(), Some(Signal::Terminate));
    }
}
