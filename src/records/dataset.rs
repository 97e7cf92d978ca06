//! Which data set the records of a job are about. Numbers and plans of one mean nothing for another.

use serde::{Deserialize, Serialize};

use super::{FORM, decode, encode, jobs};
use crate::storage::{Created, Place, StorageError};
use crate::validate::Location;

/// The data set of a job's records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatasetRecord {
    /// Form of the record.
    v: u32,
    /// Where the data set is, seen from the state folder: so both can be moved together.
    pub dataset: String,
}

impl DatasetRecord {
    /// What the record of this state and data set would say.
    pub fn of(state: &Place, dataset: &Place) -> Self {
        Self {
            v: FORM,
            dataset: seen_from(state, dataset),
        }
    }

    /// Where it lies.
    pub fn place(state: &Place, job: &str) -> Place {
        jobs(state).join(&format!("{job}/dataset.json"))
    }

    /// The record that is there.
    pub async fn read(place: &Place) -> Result<Option<Self>, StorageError> {
        let found = place.read_record().await?;
        Ok(found.and_then(|(bytes, _)| decode(&bytes)))
    }

    /// Keeps the record, unless there is one; the one that counts.
    pub async fn keep(self, place: &Place) -> Result<Self, StorageError> {
        match place.create(encode(&self)).await? {
            Created::Ours => Ok(self),
            // One that cannot be read is no reason to refuse anything.
            Created::Theirs(bytes) => Ok(decode(&bytes).unwrap_or(self)),
        }
    }
}

/// The way from one place to another: `../predictions`.
fn seen_from(state: &Place, dataset: &Place) -> String {
    if let (Location::S3 { bucket: a, .. }, Location::S3 { bucket: b, .. }) = (state.location(), dataset.location())
        && a != b
    {
        return dataset.location().to_string();
    }
    let from: Vec<_> = state.path().parts().collect();
    let to: Vec<_> = dataset.path().parts().collect();
    let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let up = std::iter::repeat_n("..", from.len() - common);
    let down = to[common..].iter().map(AsRef::as_ref);
    up.chain(down).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::seen_from;
    use crate::settings::StorageSettings;
    use crate::storage::Place;
    use crate::validate::Location;

    fn place(path: &str) -> Place {
        let location = Location::parse("output.path", path).unwrap();
        Place::open(&location, &StorageSettings::default()).unwrap()
    }

    #[test]
    fn way_is_the_same_after_both_are_moved() {
        for root in ["/data", "/mnt/volume/data", "relative"] {
            let [state, dataset, other] =
                ["p/fraud.batch-infer", "p/fraud", "p/challenger"].map(|path| place(&format!("{root}/{path}")));
            assert_eq!(seen_from(&state, &dataset), "../fraud");
            assert_eq!(seen_from(&state, &other), "../challenger");
        }
        assert_eq!(seen_from(&place("/a/state"), &place("/b/c/data")), "../../b/c/data");
    }
}
