//! What can happen to a request on its way.

use super::bucket::Request;

/// What happens to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It takes effect and is answered.
    Served,
    /// It never arrives.
    Lost,
    /// It takes effect, and the answer is lost or says that it failed.
    Unanswered,
    /// Its sender gives it up, and it takes effect later.
    Late,
    /// The client sends it again after a lost answer, and hears only what becomes of the second.
    Twice,
    /// The store says that somebody else is writing the object.
    Conflict,
}

/// How often requests go wrong.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Faults {
    /// Of a thousand requests.
    pub(super) rate: u32,
}

impl Faults {
    /// What happens to a request.
    pub(super) fn draw(self, chance: &mut fastrand::Rng, request: &Request) -> Fate {
        if self.rate == 0 || chance.u32(..1000) >= self.rate {
            return Fate::Served;
        }
        if !request.writes() {
            return Fate::Lost;
        }
        match chance.u32(..10) {
            0 | 1 => Fate::Lost,
            2..=4 => Fate::Unanswered,
            5 | 6 => Fate::Late,
            7 | 8 => Fate::Twice,
            _ if matches!(request, Request::Put { .. }) => Fate::Conflict,
            _ => Fate::Unanswered,
        }
    }
}
