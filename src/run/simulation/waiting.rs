//! What a process waits for: an answer or a time.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use object_store::Result;

use super::bucket::{Answer, Request};
use super::world::Shared;

/// What is waited for.
#[derive(Debug)]
pub(super) enum Wait {
    /// The answer to a request.
    For(Request),
    /// A time.
    Until(Duration),
}

/// Something that a process waits for.
pub(super) struct Waiting {
    world: Arc<Shared>,
    number: Option<u64>,
}

impl Waiting {
    pub(super) fn new(world: &Arc<Shared>, process: usize, what: Wait) -> Self {
        Self {
            number: Some(world.lock().begin(process, what)),
            world: Arc::clone(world),
        }
    }
}

impl Future for Waiting {
    type Output = Result<Answer>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(number) = self.number else {
            return Poll::Pending;
        };
        let answer = self.world.lock().answer(number, context.waker());
        match answer {
            Some(answer) => {
                self.number = None;
                Poll::Ready(answer)
            }
            None => Poll::Pending,
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.world.lock().give_up(number);
        }
    }
}
