//! Which plans of a date may go, and which parts of the others.
//!
//! A plan stays while readers see its rows, while a run may go on with it, and until it is old. Looks only; `gc` removes.

use std::collections::{BTreeMap, BTreeSet};

use object_store::ObjectMeta;

use super::{Age, Object};
use crate::publish::{Shown, Standing};
use crate::records::{ChunkFolder, Log, PlanRecord};
use crate::run::Desk;
use crate::storage::{Place, StorageError};

/// A plan that may go, in the order in which it goes.
pub(super) struct Heap {
    /// Records of its chunks.
    pub(super) done: Vec<Object>,
    /// Its parts and rejected rows.
    pub(super) rest: Vec<Object>,
    /// Its own record.
    pub(super) record: Vec<Object>,
    /// Its folder.
    pub(super) folder: Place,
}

/// What may go of a date.
#[derive(Default)]
pub(super) struct Rubbish {
    /// Plans.
    pub(super) heaps: Vec<Heap>,
    /// Parts of plans that stay.
    pub(super) parts: Vec<Object>,
    /// Why plans stay that would go otherwise.
    pub(super) skipped: Option<String>,
}

/// True when nobody has opened or committed since the log was read.
pub(super) async fn is_unchanged(desk: &Desk, standing: &Standing) -> Result<bool, StorageError> {
    Ok(Log::read(&desk.date.log()).await?.head() == standing.log.head())
}

/// Looks at the plans of a date.
pub(super) async fn rubbish(desk: &Desk, standing: &Standing, age: Age) -> Result<Rubbish, StorageError> {
    let mut found = Rubbish::default();
    let newest = standing.log.newest_commit().map_or(0, |commit| commit.n);
    if let Some(unread) = standing.log.unreadable().find(|number| *number > newest) {
        found.skipped = Some(format!(
            "record {unread} of the log cannot be read, and may name any plan"
        ));
        return Ok(found);
    }
    let plans = desk.date.plans();
    for (plan_id, objects) in by_plan(&plans, plans.list().await?) {
        let record = PlanRecord::of(&desk.date, &plan_id).await?;
        if stays(standing, &plan_id, record.as_ref()) {
            if let Some(plan) = &record {
                found.parts.extend(surplus(desk, plan, &objects, age).await?);
            }
            continue;
        }
        let made = record.iter().map(|record| record.created_at);
        let written = objects.iter().map(|meta| meta.last_modified);
        if made.chain(written).all(|at| age.is_old(at)) {
            found.heaps.push(heap(desk, &plan_id, objects));
        }
    }
    found
        .heaps
        .extend(rejects_alone(desk, standing, age, &found.heaps).await?);
    Ok(found)
}

/// True for the plan that readers see, the one committed last, and the one that a run may be at.
fn stays(standing: &Standing, plan_id: &str, record: Option<&PlanRecord>) -> bool {
    let shown = match &standing.shown {
        Shown::Ours(stamp, _) => Some(stamp.plan_id.as_str()),
        Shown::Nothing | Shown::Foreign(_) => None,
    };
    let committed = standing.log.newest_commit().map(|commit| commit.plan_id.as_str());
    if shown == Some(plan_id) || committed == Some(plan_id) {
        return true;
    }
    standing.log.newest_open().is_some_and(|open| {
        // A run that finds its plan's folder damaged goes on in that of the next generation.
        let later = record.is_some_and(|plan| plan.base_id == open.base_id && plan.generation >= open.generation);
        open.plan_id == plan_id || later
    })
}

/// Objects below the folder of plans, by plan.
fn by_plan(plans: &Place, listed: Vec<ObjectMeta>) -> BTreeMap<String, Vec<ObjectMeta>> {
    let mut by_plan: BTreeMap<String, Vec<ObjectMeta>> = BTreeMap::new();
    for meta in listed {
        let plan = meta
            .location
            .prefix_match(plans.path())
            .and_then(|mut below| below.next());
        if let Some(plan) = plan.map(|plan| plan.as_ref().to_owned()) {
            by_plan.entry(plan).or_default().push(meta);
        }
    }
    by_plan
}

fn object(plans: &Place, meta: ObjectMeta) -> Object {
    Object {
        bytes: meta.size,
        place: plans.at(meta.location),
    }
}

fn name(meta: &ObjectMeta) -> &str {
    meta.location.filename().unwrap_or_default()
}

fn heap(desk: &Desk, plan_id: &str, objects: Vec<ObjectMeta>) -> Heap {
    let plans = desk.date.plans();
    let (record, objects): (Vec<_>, Vec<_>) = objects.into_iter().partition(|meta| name(meta) == "plan.json");
    let (done, rest): (Vec<_>, Vec<_>) = objects
        .into_iter()
        .partition(|meta| meta.location.extension() == Some("json"));
    let all = |metas: Vec<ObjectMeta>| metas.into_iter().map(|meta| object(&plans, meta)).collect();
    Heap {
        done: all(done),
        rest: all(rest),
        record: all(record),
        folder: desk.date.plan(plan_id),
    }
}

/// Files with the rejected rows of plans that go, or have gone.
async fn rejects_alone(desk: &Desk, standing: &Standing, age: Age, heaps: &[Heap]) -> Result<Vec<Heap>, StorageError> {
    let folder = desk.date.place().join("rejects");
    let plans = desk.date.plans().folders().await?;
    let going: BTreeSet<_> = heaps.iter().map(|heap| heap.folder.path().clone()).collect();
    let mut found = Vec::new();
    for meta in folder.list().await? {
        let Some(plan_id) = name(&meta).strip_suffix(".parquet") else {
            continue;
        };
        let goes = going.contains(desk.date.plan(plan_id).path()) || !plans.iter().any(|plan| plan == plan_id);
        if goes && !stays(standing, plan_id, None) && age.is_old(meta.last_modified) {
            found.push(Heap {
                done: Vec::new(),
                rest: vec![object(&folder, meta.clone())],
                record: Vec::new(),
                folder: folder.clone(),
            });
        }
    }
    Ok(found)
}

/// Old parts of a plan that no record of a chunk names.
async fn surplus(
    desk: &Desk,
    record: &PlanRecord,
    objects: &[ObjectMeta],
    age: Age,
) -> Result<Vec<Object>, StorageError> {
    let plan = desk.date.plan(&record.plan_id);
    let done = ChunkFolder::new(&desk.date, record).done().await?;
    let mut named = BTreeSet::new();
    for done in done.values() {
        named.insert(plan.join("chunks").join(&done.part.name).path().clone());
        if let Some(rejects) = &done.rejects {
            named.insert(plan.join("rejects").join(&rejects.name).path().clone());
        }
    }
    let plans = desk.date.plans();
    let old = objects.iter().filter(|meta| {
        meta.location.extension() == Some("part") && !named.contains(&meta.location) && age.is_old(meta.last_modified)
    });
    Ok(old.map(|meta| object(&plans, meta.clone())).collect())
}
