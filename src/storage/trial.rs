//! Tries whether a store keeps the conditions of writes, with objects that are made for it.
//!
//! A request to a bucket takes tens of milliseconds, so conditions are tried side by side, each on an object of its own, by three requests one
//! after the other.

use bytes::Bytes;
use futures::future::{join_all, join3};
use object_store::Attributes;

use super::conditional::{QUOTED, UNQUOTED};
use super::patience::Patience;
use super::{Answer, Attempt, Condition, Created, Place, StorageError, Version};

/// What is written of one object, in this order if all goes well.
type Writes = [Bytes; 3];

/// What trying the conditions of a store has left there.
#[derive(Debug)]
#[must_use]
pub struct Traces(Vec<Place>);

impl Traces {
    /// Removes it.
    pub async fn remove(self) -> Result<(), StorageError> {
        let removed = join_all(self.0.iter().map(Place::remove)).await;
        removed.into_iter().collect()
    }
}

/// How a store takes `If-Match`, with an `ETag` written in one form.
#[derive(Debug)]
enum Match {
    /// The right version is replaced, another one is not.
    Kept,
    /// Not even the right version is replaced, as far as the store says.
    Refused,
    /// Something else happens.
    Broken(&'static str),
}

const GONE: Match = Match::Broken("an object that was just made is gone");

/// What became of one write, as far as the store says.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    Done,
    Refused,
}

impl Place {
    /// Proves that the store refuses writes whose condition does not hold, with objects below this place, which are left to be removed.
    /// `None`: it does; else what it did instead.
    pub async fn try_conditions(&self, name: &str) -> Result<(Option<&'static str>, Traces), StorageError> {
        let [created, quoted, unquoted] =
            ["created", "quoted", "unquoted"].map(|object| self.join(&format!("{name}-{object}")));
        let bytes = ["1", "2", "3"].map(|number| Bytes::from(format!("{name} {number}")));
        self.door.conditions.set(QUOTED);
        let (creation, in_quotes, without) = join3(
            created.try_creation(&bytes),
            quoted.try_match(&bytes, Clone::clone),
            unquoted.try_match(&bytes, Version::unquoted),
        )
        .await;
        let forms = [(QUOTED, &quoted, in_quotes), (UNQUOTED, &unquoted, without)];
        // What is known to be wrong is told, whatever became of the rest.
        let fault = match (creation, self.choose(forms, &bytes).await) {
            (Ok(Some(fault)), _) | (_, Ok(Some(fault))) => Some(fault),
            (creation, matching) => {
                creation?;
                matching?;
                None
            }
        };
        Ok((fault, Traces(vec![created, quoted, unquoted])))
    }

    async fn try_creation(&self, [first, second, _]: &Writes) -> Result<Option<&'static str>, StorageError> {
        if let Created::Theirs(_) = self.create(first.clone()).await? {
            return Ok(Some("an object that was just made holds something else"));
        }
        Ok(match self.create(second.clone()).await? {
            Created::Ours => Some("`If-None-Match: *` is ignored: an object that exists was created again"),
            Created::Theirs(_) => None,
        })
    }

    async fn try_match(
        &self,
        [first, second, third]: &Writes,
        form: impl Fn(&Version) -> Version,
    ) -> Result<Match, StorageError> {
        let version = match self.create_version(first.clone()).await? {
            (Created::Theirs(_), _) => return Ok(Match::Broken("an object that was just made holds something else")),
            (Created::Ours, Some(version)) => version,
            (Created::Ours, None) => match self.read_record().await? {
                Some((_, version)) => version,
                None => return Ok(GONE),
            },
        };
        if self.replace_once(second, &form(&Version::none())).await? == Said::Done {
            return Ok(Match::Broken(
                "`If-Match` is ignored: an object of another version was replaced",
            ));
        }
        // If the refused write took place all the same, this is no longer the right version.
        Ok(match self.replace_once(third, &form(&version)).await? {
            Said::Done => Match::Kept,
            Said::Refused => Match::Refused,
        })
    }

    /// As `replace`, but a refusal is an answer and not a reason to try again. It may be that of a repetition, after a success whose answer was
    /// lost.
    async fn replace_once(&self, bytes: &Bytes, over: &Version) -> Result<Said, StorageError> {
        let mut patience = Patience::new(self);
        let condition = Condition::Is(over.clone());
        loop {
            let reason = match self.attempt("replace", bytes, &condition, Attributes::new()).await? {
                (Attempt::Done, _) => return Ok(Said::Done),
                (Attempt::Unsure(reason), _) => reason,
            };
            // "Somebody else is writing it" (409) says nothing of the condition.
            match reason.answer() {
                Some(Answer::Changed | Answer::Missing) => return Ok(Said::Refused),
                _ => patience.or(reason).await?,
            }
        }
    }

    /// Goes on with the first form in which the store keeps conditions; what is wrong if it does in none.
    async fn choose(
        &self,
        forms: [(u8, &Self, Result<Match, StorageError>); 2],
        bytes: &Writes,
    ) -> Result<Option<&'static str>, StorageError> {
        if let [(_, _, Ok(Match::Refused)), (form, _, Ok(Match::Kept))] = &forms {
            self.door.conditions.set(*form);
            return Ok(None);
        }
        for (form, object, matched) in forms {
            match object.settled(matched?, bytes).await? {
                Match::Kept => {
                    self.door.conditions.set(form);
                    return Ok(None);
                }
                Match::Broken(fault) => return Ok(Some(fault)),
                Match::Refused => {}
            }
        }
        Ok(Some("`If-Match` with the right ETag is refused"))
    }

    /// A refusal, looked at: which of the writes took place?
    async fn settled(&self, matched: Match, [first, _, third]: &Writes) -> Result<Match, StorageError> {
        if !matches!(matched, Match::Refused) {
            return Ok(matched);
        }
        Ok(match self.read_record().await? {
            None => GONE,
            Some((found, _)) if found == *first => Match::Refused,
            Some((found, _)) if found == *third => Match::Kept,
            Some(_) => Match::Broken("a refused write took place"),
        })
    }
}
