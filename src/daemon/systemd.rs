//! Word to systemd, where it waits for some: that the daemon is ready, reads its files again, stops.

use sd_notify::NotifyState;
use tracing::debug;

pub(super) fn ready() {
    say(&[NotifyState::Ready]);
}

pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => say(&[NotifyState::Reloading, now]),
        Err(_) => say(&[NotifyState::Reloading]),
    }
}

pub(super) fn stopping() {
    say(&[NotifyState::Stopping]);
}

fn say(state: &[NotifyState<'_>]) {
    if let Err(failure) = sd_notify::notify(state) {
        debug!(%failure, "systemd could not be told");
    }
}
