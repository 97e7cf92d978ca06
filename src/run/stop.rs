//! What may be left undone when the process is asked to stop, and what is brought to its end first.

use std::time::Duration;

use crate::clock::Clock;
use crate::error::Error;
use crate::shutdown::Shutdown;

/// The request to stop, as those hear it who work.
#[derive(Clone, Copy)]
pub struct Stop<'a> {
    /// The request.
    pub shutdown: &'a Shutdown,
    /// Time to finish what was begun.
    pub grace: Duration,
    /// The time.
    pub clock: &'a dyn Clock,
}

impl Stop<'_> {
    /// Waits for something, unless the process is asked to stop meanwhile.
    pub async fn or<T, E: Into<Error>>(&self, work: impl Future<Output = Result<T, E>>) -> Result<T, Error> {
        // Boxed, since a future within a future takes its size twice, and these are large.
        self.shutdown.unless(Box::pin(work)).await?.map_err(Into::into)
    }

    /// Brings something to its end that is decided already. When the process is asked to stop, it has the time to finish that chunks have.
    pub async fn after<T, E: Into<Error>>(&self, work: impl Future<Output = Result<T, E>>) -> Result<T, Error> {
        let late = async {
            self.shutdown.wait().await;
            self.clock.sleep(self.grace).await;
        };
        tokio::select! {
            biased;
            done = work => done.map_err(Into::into),
            () = late => Err(self.shutdown.stopped().into()),
        }
    }
}
