//! Lists the objects of the input: a file, a folder or prefix, or a glob.

use std::pin::pin;

use futures::FutureExt;
use futures::future::{Either, ready, select};
use glob::{MatchOptions, Pattern};
use object_store::ObjectMeta;
use object_store::path::Path;

use super::PlanError;
use crate::storage::Place;
use crate::validate::Job;

/// `*` does not cross a folder, as in a shell; `**` does.
const MATCH: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: false,
};

/// An object of the input.
pub(super) struct Listed {
    pub(super) place: Place,
    pub(super) name: String,
    pub(super) meta: ObjectMeta,
}

/// The input's objects by name; at least one.
pub(super) async fn list(job: &Job, input: &Place) -> Result<Vec<Listed>, PlanError> {
    let path = input.path().to_string();
    let mut found = if let Some(literal) = path.find(['*', '?', '[']) {
        matching(input, &path, literal).await?
    } else {
        at_or_below(input).await?
    };
    if found.is_empty() {
        return Err(PlanError::NoInput {
            input: job.input.to_string(),
        });
    }
    found.sort_by(|a, b| a.meta.location.cmp(&b.meta.location));
    Ok(found)
}

/// The object of that name, or else those below it. Two questions to a bucket take the time of one; where the first is enough, nobody waits
/// for the second, which may not even be allowed.
async fn at_or_below(input: &Place) -> Result<Vec<Listed>, PlanError> {
    let (head, below) = (pin!(input.head()), pin!(below(input)));
    let (object, below) = match select(head, below).await {
        Either::Left((object, below)) => (object?, below.left_future()),
        Either::Right((below, head)) => (head.await?, ready(below).right_future()),
    };
    match object {
        Some(meta) => Ok(vec![only(input, meta)]),
        None => below.await,
    }
}

/// Objects whose names are known.
pub(super) async fn of_places(places: Vec<Place>) -> Result<Vec<Listed>, PlanError> {
    let mut found = Vec::with_capacity(places.len());
    for place in places {
        let meta = place.head().await?.ok_or_else(|| PlanError::NoInput {
            input: place.location().to_string(),
        })?;
        found.push(only(&place, meta));
    }
    Ok(found)
}

/// Objects that match a glob, listed from the last folder before its first special character.
async fn matching(input: &Place, path: &str, literal: usize) -> Result<Vec<Listed>, PlanError> {
    let pattern = Pattern::new(path).map_err(|source| PlanError::Pattern {
        pattern: path.to_owned(),
        source,
    })?;
    let root = &path[..path[..literal].rfind('/').map_or(0, |slash| slash)];
    let root = input.at(Path::parse(root).unwrap_or_default());
    let matches = |path: &Path| pattern.matches_with(path.as_ref(), MATCH);
    whole(&root, matches)?;
    let objects = root.list().await?.into_iter();
    let matching = objects.filter(|meta| matches(&meta.location));
    Ok(matching
        .map(|meta| {
            let name = name_below(root.path().as_ref(), &meta.location);
            listed(&root, meta, name)
        })
        .collect())
}

/// Parquet files below a folder, without those that writers hide.
async fn below(input: &Place) -> Result<Vec<Listed>, PlanError> {
    let root: &str = input.path().as_ref();
    // A link at the place itself was named by the job, whatever it is called.
    whole(input, |link| link == input.path() || counts(&name_below(root, link)))?;
    let mut files = Vec::new();
    for meta in input.list().await? {
        let name = name_below(root, &meta.location);
        if counts(&name) {
            files.push(listed(input, meta, name));
        }
    }
    Ok(files)
}

/// Whether a name below a folder is one of the input.
fn counts(name: &str) -> bool {
    let hidden = name
        .split('/')
        .any(|part| part.starts_with('.') || (part.starts_with('_') && !part.contains('=')));
    !hidden && has_parquet_extension(name)
}

/// An error where something of the input is a link to nothing: its rows would be missing without a word.
fn whole(root: &Place, counts: impl Fn(&Path) -> bool) -> Result<(), PlanError> {
    let mut links = root.dangling();
    links.retain(counts);
    match links.first() {
        None => Ok(()),
        Some(link) => Err(PlanError::Dangling {
            link: root.at(link.clone()).location().to_string(),
            others: links.len() - 1,
        }),
    }
}

fn has_parquet_extension(name: &str) -> bool {
    let extension = name.rsplit_once('.').map(|(_, extension)| extension);
    extension.is_some_and(|extension| extension.eq_ignore_ascii_case("parquet"))
}

fn name_below(root: &str, location: &Path) -> String {
    let path: &str = location.as_ref();
    let below = path.strip_prefix(root).unwrap_or(path);
    below.trim_start_matches('/').to_owned()
}

/// An object that was named itself.
fn only(root: &Place, meta: ObjectMeta) -> Listed {
    let name = meta.location.filename().unwrap_or_default().to_owned();
    listed(root, meta, name)
}

fn listed(root: &Place, meta: ObjectMeta, name: String) -> Listed {
    Listed {
        place: root.at(meta.location.clone()),
        name,
        meta,
    }
}
