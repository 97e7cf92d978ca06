//! Lists the input: a file, a folder or prefix, or a glob; and refuses what is not whole, or is no plain folder.
//!
//! The one place that knows which names are rows, which are signs of tables and of writers at work, and what is passed over.

mod letters;
mod links;
mod names;
mod passed_over;
mod pattern;
mod selection;
mod sorted;
mod table;
mod unfinished;

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;

use futures::FutureExt;
use futures::future::{Either, join_all, ready, select};
use object_store::ObjectMeta;

use self::letters::Letters;
use self::selection::{Below, Selection};
use self::sorted::Sorted;
use super::PlanError;
use crate::spec::{OnUnfinished, TableFormat};
use crate::storage::{Identity, Place, StorageError};
use crate::validate::Job;

pub use passed_over::{Passed, PassedOver};
pub use table::{Table, TableKind};

/// Folder above the date's in which Spark writes all partitions of a data set.
const SPARK_STAGING: &str = "_temporary";

/// An object of the input.
pub(super) struct Listed {
    pub(super) place: Place,
    pub(super) name: String,
    pub(super) meta: ObjectMeta,
    /// Which file it is, on a disk.
    pub(super) identity: Option<Identity>,
}

/// What is to be read, and what was noticed on the way.
#[derive(Default)]
pub(super) struct Listing {
    /// The files by name; none only on a day that is marked as whole and empty.
    pub(super) files: Vec<Listed>,
    pub(super) passed_over: PassedOver,
    /// A sign of a writer in a folder above the date's.
    pub(super) writer_above: Option<String>,
}

/// The input's objects.
pub(super) async fn list(job: &Job, input: &Place) -> Result<Listing, PlanError> {
    let selection = Selection::of(input, job.date)?;
    let above = above(&selection.root);
    let (found, table, writer) = futures::join!(
        async {
            if selection.is_glob {
                selection.below().await.map(Content::Below)
            } else {
                at_or_below(&selection).await
            }
        },
        async {
            match job.table_format {
                TableFormat::Refuse => table::first_of(&above).await,
                TableFormat::Ignore => Ok(None),
            }
        },
        async {
            match job.unfinished {
                OnUnfinished::Fail => writer_above(&above).await,
                OnUnfinished::Ignore => Ok(None),
            }
        }
    );
    let found = found?;
    if let Some(table) = table? {
        return Err(PlanError::Table(table));
    }
    let writer_above = writer?;
    let listing = match found {
        Content::Object(meta) => Listing {
            files: vec![only(input, meta)],
            ..Listing::default()
        },
        Content::Below(found) => self::below(job, &selection, found).await?,
    };
    Ok(Listing {
        writer_above: listing.writer_above.or(writer_above),
        ..listing
    })
}

/// Objects whose names are known.
pub(super) async fn of_places(places: Vec<Place>) -> Result<Vec<Listed>, PlanError> {
    let mut found = Vec::with_capacity(places.len());
    for place in places {
        let meta = place.head().await?.ok_or_else(|| PlanError::NoInput {
            input: place.location().to_string(),
            passed_over: PassedOver::default(),
        })?;
        found.push(only(&place, meta));
    }
    Ok(found)
}

/// What stands at a place.
enum Content {
    Object(ObjectMeta),
    Below(Below),
}

/// The object of that name, or else those below it. Two questions to a bucket take the time of one; where the first is enough, nobody waits
/// for the second, which may not even be allowed.
async fn at_or_below(selection: &Selection) -> Result<Content, PlanError> {
    let (head, below) = (pin!(selection.root.head()), pin!(selection.below()));
    let (object, below) = match select(head, below).await {
        Either::Left((object, below)) => (object?, below.left_future()),
        Either::Right((below, head)) => (head.await?, ready(below).right_future()),
    };
    match object {
        Some(meta) => Ok(Content::Object(meta)),
        None => below.await.map(Content::Below),
    }
}

/// The folders above a place up to the root or the bucket, also those above where links lead to; each once.
fn above(place: &Place) -> Vec<Place> {
    let resolved = place.resolved();
    let folders = std::iter::once(place).chain(&resolved).flat_map(table::above);
    let mut seen = BTreeSet::new();
    folders
        .filter(|folder| seen.insert(folder.path().to_string()))
        .collect()
}

/// A sign above the date's folder that some writer of the data set is at work.
async fn writer_above(above: &[Place]) -> Result<Option<String>, StorageError> {
    let looks = above.iter().map(|folder| folder.has_folder(SPARK_STAGING));
    for (folder, found) in above.iter().zip(join_all(looks).await) {
        if table::seen(found, folder, &format!("`{SPARK_STAGING}/`"))? {
            return Ok(Some(folder.join(SPARK_STAGING).location().to_string()));
        }
    }
    Ok(None)
}

/// What is to be read of all that lies below a folder.
async fn below(job: &Job, selection: &Selection, below: Below) -> Result<Listing, PlanError> {
    let Below { found, tables } = below;
    let mut sorted = Sorted::of(found, selection, job.extensions.as_deref(), &tables);
    if job.table_format == TableFormat::Refuse
        && let Some(table) = table_within(selection, &sorted, &tables).await?
    {
        return Err(PlanError::Table(table));
    }
    let writer_above = writers(job, selection, &sorted)?;
    sorted.settle_unfinished(&selection.pattern);
    if let Some(broken) = sorted.broken.first() {
        let link = selection.root.at(selection.root.join(&broken.name).path().clone());
        let link = link.location().to_string();
        return Err(if broken.is_loop {
            StorageError::Loop { link: link.into() }.into()
        } else {
            let others = sorted.broken.len() - 1;
            PlanError::Dangling { link, others }
        });
    }
    for (file, letters) in letters::ask(std::mem::take(&mut sorted.undecided)).await? {
        match letters {
            Letters::Parquet => sorted.input.push(file),
            Letters::CutOff => sorted.pass(
                file.name,
                "begins as Parquet and does not end so: cut off or still being written",
            ),
            Letters::Other => sorted.pass(file.name, "not Parquet"),
            Letters::Forbidden => sorted.pass(file.name, "may not be read"),
        }
    }
    if sorted.input.is_empty() && !sorted.is_marked_empty(&selection.pattern) {
        return Err(PlanError::NoInput {
            input: job.input.to_string(),
            passed_over: PassedOver::of(sorted.passed),
        });
    }
    let mut files = links::once(std::mem::take(&mut sorted.input), &mut sorted.passed);
    files.sort_by(|a, b| a.meta.location.cmp(&b.meta.location));
    Ok(Listing {
        files,
        passed_over: PassedOver::of(sorted.passed),
        writer_above,
    })
}

/// The table in which files of the input lie: the folder that was listed, or one below on the way to a file.
async fn table_within(
    selection: &Selection,
    sorted: &Sorted,
    tables: &BTreeMap<String, TableKind>,
) -> Result<Option<Table>, StorageError> {
    let files = sorted.input.iter().chain(&sorted.undecided);
    let on_the_way = files.flat_map(|file| table::folders_of(&file.name));
    let folders: BTreeSet<_> = std::iter::once("").chain(on_the_way).collect();
    let place = |folder: &str| match folder {
        "" => selection.root.clone(),
        folder => selection.root.join(folder),
    };
    if let Some((folder, kind)) = folders.iter().find_map(|folder| Some((folder, tables.get(*folder)?))) {
        return Ok(Some(Table {
            kind: *kind,
            place: place(folder).location().to_string(),
        }));
    }
    // On a disk a pattern does not enter the folder by which an Iceberg table is known.
    if selection.is_glob && selection.root.local().is_some() {
        let places: Vec<_> = folders.into_iter().map(place).collect();
        return table::first_of(&places).await;
    }
    Ok(None)
}

/// An error where a writer is at work in the date's folder; a sign above it, where it is at work.
fn writers(job: &Job, selection: &Selection, sorted: &Sorted) -> Result<Option<String>, PlanError> {
    let at = |name: &str| selection.root.join(name).location().to_string();
    let (within, above): (Vec<_>, Vec<_>) = sorted
        .at_work()
        .partition(|sign| selection.pattern.is_in_date(&sign.folder));
    match within.first() {
        Some(sign) if job.unfinished == OnUnfinished::Fail => Err(PlanError::Unfinished {
            sign: at(&sign.name),
            others: within.len() - 1,
        }),
        _ => Ok(above.first().map(|sign| at(&sign.name))),
    }
}

/// An object that was named itself.
fn only(root: &Place, meta: ObjectMeta) -> Listed {
    Listed {
        place: root.at(meta.location.clone()),
        name: meta.location.filename().unwrap_or_default().to_owned(),
        meta,
        identity: None,
    }
}
