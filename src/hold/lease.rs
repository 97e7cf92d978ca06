//! The lease in a bucket: a record that its holder renews and others may take over when it is not renewed.
//!
//! Clocks of two machines are never compared: a contender waits the lease's time on its own monotonic clock and takes over only a record
//! that has not changed meanwhile. The record is never deleted, so that its epoch only grows.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tracing::{info, warn};

use super::{Hold, HoldError, Holder, Seat, Taken, Terms};
use crate::records::{DateFolder, FORM, decode, encode};
use crate::shutdown::Shutdown;
use crate::storage::{Created, Place, Replaced, StorageError, Version};

/// A lease is renewed this often within its time.
const BEATS: u32 = 3;

/// A waiting process looks this often within the lease's time.
const LOOKS: u32 = 6;

/// The record of a lease.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LeaseRecord {
    /// Form of the record.
    pub v: u32,
    /// How often it was acquired.
    pub epoch: u64,
    /// Whether somebody has it.
    pub state: LeaseState,
    /// The process.
    pub holder: String,
    /// The intention that its run belongs to.
    pub run_key: String,
    /// The machine or pod, for people.
    pub host: String,
    /// The process there, for people.
    pub pid: u32,
    /// How often it was renewed; also makes the bytes of each renewal different.
    pub beat: u64,
    /// How long it holds without being renewed, in milliseconds.
    pub ttl_ms: u64,
    /// When, by the clock of its machine; for people.
    pub at: DateTime<Utc>,
}

/// Whether somebody has a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum LeaseState {
    /// Yes.
    Held,
    /// Its holder gave it back.
    Released,
}

/// A lease that is held and renewed until it is released.
#[derive(Debug)]
pub struct Lease {
    shared: Arc<Shared>,
    beating: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Shared {
    place: Place,
    ttl: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Clone)]
struct State {
    record: LeaseRecord,
    version: Version,
    /// When the last renewal that succeeded was sent, monotonic.
    renewed: Duration,
    lost: bool,
}

/// A lease that nobody had when it was looked at. It may be old: the lease is written only if it is still that record, and no two are alike.
#[derive(Debug, Clone)]
pub struct Vacancy {
    /// How often it will have been acquired.
    epoch: u64,
    /// The record in which it was given back; `None` when there was none.
    over: Option<Version>,
}

/// Looks whether the lease is free. One that is held, or cannot be read, has to be watched by whoever takes it.
pub(super) async fn vacancy(place: &Place) -> Result<Option<Vacancy>, StorageError> {
    let Some((bytes, version)) = place.read_record().await? else {
        return Ok(Some(Vacancy { epoch: 1, over: None }));
    };
    let record: Option<LeaseRecord> = decode(&bytes);
    let free = record.filter(|record| record.state == LeaseState::Released);
    Ok(free.map(|record| Vacancy {
        epoch: record.epoch + 1,
        over: Some(version),
    }))
}

/// Takes the lease, waiting as long as the terms say.
pub(super) async fn take(
    date: &DateFolder,
    holder: &Holder,
    terms: Terms,
    vacancy: Option<Vacancy>,
    runtime: &Handle,
    shutdown: &Shutdown,
) -> Result<Taken, HoldError> {
    let shared = match acquire(date.lease(), holder, terms, vacancy, shutdown).await? {
        Acquired::Ours(shared) => shared,
        Acquired::Busy(who) => return Ok(Taken::Busy(who)),
    };
    let beating = runtime.spawn(beat(Arc::clone(&shared)));
    Ok(Taken::Held(Hold::Lease(Lease {
        shared,
        beating: Mutex::new(Some(beating)),
    })))
}

/// Who has the lease, by its record.
pub(super) async fn look(place: &Place) -> Result<Option<Seat>, StorageError> {
    let Some((bytes, _)) = place.read_record().await? else {
        return Ok(None);
    };
    let record: Option<LeaseRecord> = decode(&bytes);
    let held = record.as_ref().is_none_or(|record| record.state == LeaseState::Held);
    Ok(held.then(|| Seat {
        who: whoever(record.as_ref()),
        seen_at: record.map(|record| record.at),
    }))
}

enum Acquired {
    Ours(Arc<Shared>),
    Busy(String),
}

async fn acquire(
    place: Place,
    holder: &Holder,
    terms: Terms,
    vacancy: Option<Vacancy>,
    shutdown: &Shutdown,
) -> Result<Acquired, HoldError> {
    let clock = Arc::clone(place.clock());
    let until = clock.monotonic() + terms.patience;
    let mut watched: Option<(Version, Duration)> = None;
    let mut alive = false;
    // Without conditions it would be written over whatever has come since.
    let vacancy = vacancy.filter(|_| place.keeps_conditions());
    if let Some(Vacancy { epoch, over }) = vacancy
        && let Some(ours) = write(&place, holder, terms, epoch, over).await?
    {
        return Ok(Acquired::Ours(ours));
    }
    loop {
        let now = clock.monotonic();
        let (epoch, over) = match shutdown.unless(place.read_record()).await?? {
            None => (1, None),
            Some((bytes, version)) => {
                let record: Option<LeaseRecord> = decode(&bytes);
                // A record that cannot be read is waited for like one that is held.
                let epoch = record.as_ref().map_or(0, |record| record.epoch) + 1;
                let held = record.as_ref().is_none_or(|record| record.state == LeaseState::Held);
                if held {
                    let time = record
                        .as_ref()
                        .map_or(terms.ttl, |record| Duration::from_millis(record.ttl_ms));
                    let since = match &watched {
                        Some((seen, since)) if *seen == version => *since,
                        Some(_) => {
                            alive = true;
                            now
                        }
                        None => now,
                    };
                    watched = Some((version.clone(), since));
                    if now.saturating_sub(since) < time {
                        // Patience is for a holder that lives; whether it does shows within the time of its lease.
                        if alive && now >= until {
                            return Ok(Acquired::Busy(whoever(record.as_ref())));
                        }
                        shutdown.unless(clock.sleep(time / LOOKS)).await?;
                        continue;
                    }
                    info!(lease = %place.location(), "its holder gave no sign of life; taking it over");
                }
                (epoch, Some(version))
            }
        };
        if let Some(ours) = write(&place, holder, terms, epoch, over).await? {
            return Ok(Acquired::Ours(ours));
        }
    }
}

/// Writes that the lease is held from now on; `None` when somebody else has written meanwhile.
async fn write(
    place: &Place,
    holder: &Holder,
    terms: Terms,
    epoch: u64,
    over: Option<Version>,
) -> Result<Option<Arc<Shared>>, StorageError> {
    let clock = place.clock();
    let record = LeaseRecord {
        v: FORM,
        epoch,
        state: LeaseState::Held,
        holder: holder.id.clone(),
        run_key: holder.run_key.clone(),
        host: holder.host.clone(),
        pid: holder.pid,
        beat: 0,
        ttl_ms: u64::try_from(terms.ttl.as_millis()).unwrap_or(u64::MAX),
        at: clock.now(),
    };
    let sent = clock.monotonic();
    let version = written(place, encode(&record), over).await?;
    Ok(version.map(|version| {
        Arc::new(Shared {
            place: place.clone(),
            ttl: terms.ttl,
            state: Mutex::new(State {
                record,
                version,
                renewed: sent,
                lost: false,
            }),
        })
    }))
}

/// Writes the first record or the next; its version if it is ours.
async fn written(place: &Place, bytes: Bytes, over: Option<Version>) -> Result<Option<Version>, StorageError> {
    if let Some(version) = over {
        return Ok(match place.replace(bytes, &version).await? {
            Replaced::Ours(version) => Some(version),
            Replaced::Theirs => None,
        });
    }
    match place.create_version(bytes.clone()).await? {
        (Created::Theirs(_), _) => Ok(None),
        (Created::Ours, Some(version)) => Ok(Some(version)),
        (Created::Ours, None) => Ok(place
            .read_record()
            .await?
            .and_then(|(found, version)| (found == bytes).then_some(version))),
    }
}

/// Renews the lease until it is lost.
async fn beat(shared: Arc<Shared>) {
    let clock = Arc::clone(shared.place.clock());
    loop {
        clock.sleep(shared.ttl / BEATS).await;
        let State {
            mut record, version, ..
        } = shared.state();
        record.beat += 1;
        record.at = clock.now();
        let sent = clock.monotonic();
        match shared.place.replace(encode(&record), &version).await {
            Ok(Replaced::Ours(version)) => shared.set(State {
                record,
                version,
                renewed: sent,
                lost: false,
            }),
            Ok(Replaced::Theirs) => {
                warn!(lease = %shared.place.location(), "another process has taken over the lease; starting no more chunks");
                shared.set(State {
                    lost: true,
                    ..shared.state()
                });
                return;
            }
            // Tried again at the next beat; `ready` notices that it is getting old.
            Err(error) => warn!(lease = %shared.place.location(), %error, "the lease could not be renewed"),
        }
    }
}

impl Shared {
    fn state(&self) -> State {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, state: State) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }
}

impl Lease {
    /// Returns when new work may be started. A lease that has not been renewed for two thirds of its time is waited for.
    pub(super) async fn ready(&self) -> Result<(), HoldError> {
        let clock = self.shared.place.clock();
        loop {
            let state = self.shared.state();
            if state.lost {
                return Err(HoldError::Lost {
                    place: self.shared.place.location().to_string(),
                });
            }
            if clock.monotonic().saturating_sub(state.renewed) <= self.shared.ttl * 2 / 3 {
                return Ok(());
            }
            clock.sleep(self.shared.ttl / (4 * BEATS)).await;
        }
    }

    /// Says that it is free.
    pub(super) async fn release(&self) {
        if let Some(beating) = self.stopped() {
            beating.abort();
            // Whatever it had sent is known after this, or will be found by reading.
            let _ = beating.await;
        }
        if let Err(error) = self.shared.give_back().await {
            warn!(lease = %self.shared.place.location(), %error, "the lease could not be released; it runs out by itself");
        }
    }
}

impl Lease {
    /// Takes the task that renews it.
    fn stopped(&self) -> Option<JoinHandle<()>> {
        self.beating.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(beating) = self.stopped() {
            beating.abort();
        }
    }
}

impl Shared {
    async fn give_back(&self) -> Result<(), StorageError> {
        let State {
            record,
            mut version,
            lost,
            ..
        } = self.state();
        let mut released = LeaseRecord {
            state: LeaseState::Released,
            ..record
        };
        if lost {
            return Ok(());
        }
        loop {
            released.beat += 1;
            if let Replaced::Ours(_) = self.place.replace(encode(&released), &version).await? {
                return Ok(());
            }
            // A renewal may have been on the way.
            match self.place.read_record().await? {
                Some((bytes, found)) => match decode::<LeaseRecord>(&bytes) {
                    Some(theirs) if theirs.holder == released.holder => {
                        released.beat = theirs.beat;
                        version = found;
                    }
                    _ => return Ok(()),
                },
                None => return Ok(()),
            }
        }
    }
}

fn whoever(record: Option<&LeaseRecord>) -> String {
    record.map_or_else(
        || "another process".to_owned(),
        |record| format!("process {} on {}", record.pid, record.host),
    )
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDate;
    use object_store::memory::InMemory;
    use object_store::throttle::{ThrottleConfig, ThrottledStore};

    use super::*;
    use crate::clock::SystemClock;
    use crate::shutdown::Signal;
    use crate::validate::Location;

    /// Longer than a poll, so that a write is under way when it is looked for the request.
    const WRITE: Duration = Duration::from_millis(20);

    fn date() -> DateFolder {
        let slow = ThrottleConfig {
            wait_put_per_call: WRITE,
            ..ThrottleConfig::default()
        };
        let bucket = Location::S3 {
            bucket: "lake".to_owned(),
            prefix: "state".to_owned(),
        };
        let state = Place::made(
            ThrottledStore::new(InMemory::new(), slow),
            Arc::new(SystemClock),
            bucket,
        );
        DateFolder::new(&state, "fraud", NaiveDate::MIN)
    }

    fn holder(id: &str) -> Holder {
        Holder {
            id: id.to_owned(),
            run_key: id.to_owned(),
            host: "here".to_owned(),
            pid: 1,
        }
    }

    const TERMS: Terms = Terms {
        ttl: Duration::from_mins(1),
        patience: Duration::from_mins(1),
        lease: true,
    };

    fn asked() -> Shutdown {
        let shutdown = Shutdown::never();
        shutdown.request(Signal::Terminate);
        shutdown
    }

    #[tokio::test]
    async fn a_lease_that_is_being_written_when_the_process_is_asked_to_stop_is_known_and_given_back() {
        let (date, runtime) = (date(), Handle::current());
        let vacancy = vacancy(&date.lease()).await.unwrap();
        let taken = take(&date, &holder("a"), TERMS, vacancy, &runtime, &asked()).await;
        let Ok(Taken::Held(hold)) = taken else {
            panic!("{taken:?}");
        };
        assert!(look(&date.lease()).await.unwrap().is_some());
        hold.release().await;
        assert_eq!(look(&date.lease()).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_request_to_stop_ends_the_wait_for_another_holder() {
        let (date, runtime) = (date(), Handle::current());
        let first = take(&date, &holder("a"), TERMS, None, &runtime, &Shutdown::never()).await;
        assert!(matches!(first, Ok(Taken::Held(_))), "{first:?}");
        let second = take(&date, &holder("b"), TERMS, None, &runtime, &asked()).await;
        assert!(matches!(second, Err(HoldError::Stopped(_))), "{second:?}");
    }
}
