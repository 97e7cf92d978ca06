//! Names that nothing else has, in this process or any other.

use uuid::Uuid;

/// 32 hex digits that no other call gives.
pub fn nonce() -> String {
    #[cfg(test)]
    if let Some(nonce) = repeatable::next() {
        return nonce;
    }
    Uuid::new_v4().simple().to_string()
}

/// Names that come again with the same seed, on this thread: a simulation has to be replayed.
#[cfg(test)]
pub(crate) mod repeatable {
    use std::cell::RefCell;

    use uuid::Builder;

    thread_local! {
        static SOURCE: RefCell<Option<fastrand::Rng>> = const { RefCell::new(None) };
    }

    /// From now on names on this thread follow from the seed; `None`: they are unique again.
    pub(crate) fn seed(seed: Option<u64>) {
        SOURCE.with_borrow_mut(|source| *source = seed.map(fastrand::Rng::with_seed));
    }

    pub(super) fn next() -> Option<String> {
        SOURCE.with_borrow_mut(|source| {
            let bytes = source.as_mut()?.u128(..).to_be_bytes();
            Some(Builder::from_random_bytes(bytes).into_uuid().simple().to_string())
        })
    }
}
