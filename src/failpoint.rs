//! Places where a test kills, stops or fails this process: before and after each operation on a store.
//!
//! Compiled only with the feature `failpoints`, which the release binary does not have. A point is called
//! `<record>.<operation>.<before|after>`, such as `log.create.after`, and does what the variable `FAILPOINTS` says in the notation of the
//! crate `fail`: `return(kill)`, `return(stop)`, and before an operation `return(eio)` or `return(enospc)`.

#[cfg(feature = "failpoints")]
pub use active::{Scenario, after, before};
#[cfg(not(feature = "failpoints"))]
pub use inert::{Scenario, after, before};

#[cfg(feature = "failpoints")]
mod active {
    use std::io;

    use rustix::io::Errno;
    use rustix::process::{Signal, getpid, kill_process};

    /// What `FAILPOINTS` says, in force until it is dropped.
    pub struct Scenario {
        _scenario: fail::FailScenario<'static>,
    }

    impl Scenario {
        /// Reads `FAILPOINTS`.
        pub fn from_environment() -> Self {
            Self {
                _scenario: fail::FailScenario::setup(),
            }
        }
    }

    /// Called before an operation; an error takes the operation's place.
    pub fn before(operation: &str, path: &str) -> io::Result<()> {
        let name = format!("{}.{operation}.before", record(path));
        fail::fail_point!(name.as_str(), |action| act(action.as_deref()));
        Ok(())
    }

    /// Called after an operation, whatever came of it.
    pub fn after(operation: &str, path: &str) {
        let name = format!("{}.{operation}.after", record(path));
        fail::fail_point!(name.as_str(), |action| {
            let _ = act(action.as_deref());
        });
    }

    fn act(action: Option<&str>) -> io::Result<()> {
        match action {
            Some("kill") => send(Signal::KILL),
            Some("stop") => send(Signal::STOP),
            Some("enospc") => Err(Errno::NOSPC.into()),
            Some("eio") => Err(Errno::IO.into()),
            other => Err(io::Error::other(format!("failpoint with the unknown action {other:?}"))),
        }
    }

    fn send(signal: Signal) -> io::Result<()> {
        Ok(kill_process(getpid(), signal)?)
    }

    /// What a path holds, by the names that the state folder and a partition use.
    fn record(path: &str) -> &'static str {
        let named = [
            ("/.probe/", "probe"),
            ("/log/", "log"),
            ("/published/", "published"),
            ("/uploads/", "upload"),
            ("/rejects/", "rejects"),
        ];
        let ends = [
            ("lease.json", "lease"),
            ("lock", "lock"),
            ("plan.json", "plan"),
            (".done.json", "done"),
            (".part", "part"),
            (".spool", "spool"),
            ("_SUCCESS", "success"),
            (".parquet", "final"),
        ];
        let within = named.iter().find(|(folder, _)| path.contains(folder));
        let end = ends.iter().find(|(end, _)| path.ends_with(end));
        within.or(end).map_or("other", |(_, record)| record)
    }
}

#[cfg(not(feature = "failpoints"))]
mod inert {
    /// Nothing is in force.
    pub struct Scenario;

    impl Scenario {
        /// Nothing is read.
        pub fn from_environment() -> Self {
            Self
        }
    }

    /// Nothing happens.
    #[inline]
    pub fn before(_operation: &str, _path: &str) -> std::io::Result<()> {
        Ok(())
    }

    /// Nothing happens.
    #[inline]
    pub fn after(_operation: &str, _path: &str) {}
}
