//! Tries whether a store keeps the conditions of writes, with objects that are made for it.
//!
//! A request to a bucket takes tens of milliseconds, so conditions are tried side by side, each on an object of its own, by three requests one
//! after the other.

use std::pin::pin;

use bytes::Bytes;
use futures::future::{Either, join, join_all, select};
use object_store::Attributes;

use super::conditional::Form;
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

const NOT_OURS: &str = "an object that was just made holds something else";

const GONE: Match = Match::Broken("an object that was just made is gone");

const WRITTEN: Match = Match::Broken("a refused write took place");

impl Place {
    /// Proves that the store refuses writes whose condition does not hold, with objects below this place, which are left to be removed.
    /// `None`: it does; else what it did instead.
    pub async fn try_conditions(&self, name: &str) -> Result<(Option<&'static str>, Traces), StorageError> {
        let [created, quoted, unquoted] =
            ["created", "quoted", "unquoted"].map(|object| self.join(&format!("{name}-{object}")));
        let bytes = ["1", "2", "3"].map(|number| Bytes::from(format!("{name} {number}")));
        self.door.conditions.write(Form::Quoted);
        let creation = created.try_creation(&bytes);
        let (creation, matching) = join(creation, choose(&quoted, &unquoted, &bytes)).await;
        // What is known to be wrong is told, whatever became of the other half.
        let fault = match (creation, matching) {
            (Ok(Some(fault)), _) | (_, Ok(Err(fault))) => Some(fault),
            (creation, matching) => {
                creation?;
                matching?.map_or_else(Some, |form| {
                    self.door.conditions.write(form);
                    None
                })
            }
        };
        Ok((fault, Traces(vec![created, quoted, unquoted])))
    }

    async fn try_creation(&self, [first, second, _]: &Writes) -> Result<Option<&'static str>, StorageError> {
        if let Created::Theirs(_) = self.create(first.clone()).await? {
            return Ok(Some(NOT_OURS));
        }
        Ok(match self.create(second.clone()).await? {
            Created::Ours => Some("`If-None-Match: *` is ignored: an object that exists was created again"),
            Created::Theirs(_) => None,
        })
    }

    async fn try_match(&self, [first, second, third]: &Writes, form: Form) -> Result<Match, StorageError> {
        let version = match self.create_version(first.clone()).await? {
            (Created::Theirs(_), _) => return Ok(Match::Broken(NOT_OURS)),
            (Created::Ours, Some(version)) => version,
            (Created::Ours, None) => match self.read_record().await? {
                Some((_, version)) => version,
                None => return Ok(GONE),
            },
        };
        if self.is_replaced(second, &Version::none().written(form)).await? {
            return Ok(Match::Broken(
                "`If-Match` is ignored: an object of another version was replaced",
            ));
        }
        // If the refused write took place all the same, this is no longer the right version.
        Ok(if self.is_replaced(third, &version.written(form)).await? {
            Match::Kept
        } else {
            Match::Refused
        })
    }

    /// As `replace`, but a refusal is an answer and not a reason to try again. It may be that of a repetition, after a success whose answer was
    /// lost.
    async fn is_replaced(&self, bytes: &Bytes, over: &Version) -> Result<bool, StorageError> {
        let mut patience = Patience::new(self);
        let condition = Condition::Is(over.clone());
        loop {
            let reason = match self.attempt("replace", bytes, &condition, Attributes::new()).await? {
                (Attempt::Done, _) => return Ok(true),
                (Attempt::Unsure(reason), _) => reason,
            };
            // "Somebody else is writing it" (409) says nothing of the condition.
            match reason.answer() {
                Some(Answer::Changed | Answer::Missing) => return Ok(false),
                _ => patience.or(reason).await?,
            }
        }
    }

    /// A refusal, looked at: which of the writes took place?
    async fn settled(&self, writes: &Writes, form: Form) -> Result<Match, StorageError> {
        let [first, _, third] = writes;
        match self.read_record().await? {
            None => return Ok(GONE),
            Some((found, _)) if found == *first => return Ok(Match::Refused),
            Some((found, _)) if found != *third => return Ok(WRITTEN),
            Some(_) => {}
        }
        // Either the answer to a success was lost, or this store writes what it refuses.
        if self.is_replaced(first, &Version::none().written(form)).await? {
            return Ok(WRITTEN);
        }
        Ok(match self.read_record().await? {
            Some((found, _)) if found == *third => Match::Kept,
            _ => WRITTEN,
        })
    }
}

/// The first form in which the store keeps `If-Match`; else what is wrong.
async fn choose(quoted: &Place, unquoted: &Place, writes: &Writes) -> Result<Result<Form, &'static str>, StorageError> {
    let in_quotes = pin!(quoted.try_match(writes, Form::Quoted));
    let without = pin!(unquoted.try_match(writes, Form::Unquoted));
    let (in_quotes, without) = match select(in_quotes, without).await {
        // The other form, which a store may not even understand, is not waited for.
        Either::Left((Ok(Match::Kept), _)) => return Ok(Ok(Form::Quoted)),
        Either::Left((in_quotes, without)) => (in_quotes, without.await),
        Either::Right((without, in_quotes)) => (in_quotes.await, without),
    };
    if let (Ok(Match::Refused), Ok(Match::Kept)) = (&in_quotes, &without) {
        return Ok(Ok(Form::Unquoted));
    }
    for (form, object, matched) in [(Form::Quoted, quoted, in_quotes), (Form::Unquoted, unquoted, without)] {
        let matched = match matched? {
            Match::Refused => object.settled(writes, form).await?,
            told => told,
        };
        match matched {
            Match::Kept => return Ok(Ok(form)),
            Match::Broken(fault) => return Ok(Err(fault)),
            Match::Refused => {}
        }
    }
    Ok(Err("`If-Match` with the right ETag is refused"))
}

#[cfg(test)]
mod tests;
