//! Devices: what a person's points came from, each source and device id once.
//!
//! Nothing keeps a list of them: they are found in the points themselves, which costs a look at each of the person's. What
//! is held meanwhile is as many as are asked for, and one slice of points of each metric.

use std::collections::{BTreeSet, VecDeque};
use std::ops::ControlFlow;
use std::sync::Arc;

use engine::Engine;
use engine::observe::{Observations, ObserveQuery, Order, OriginRun};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use storage::{TimeRange, UserId};

use super::id::{Ids, Mark, origin_mark};
use super::kind::{Kinds, Series};
use super::render::patient_id;

/// The system of sources, as senders name them.
const SOURCE_SYSTEM: &str = "urn:avycenna:source";
/// The system of devices, as senders name them.
const DEVICE_SYSTEM: &str = "urn:avycenna:device";

/// Origins that are known to have been looked at already; behind more than these, one may be looked at again.
const RECENT_MAX: usize = 64;

/// About how many points of a metric are read at once where a few can be enough.
const FEW_ROWS: usize = 1_000;

/// A source and what it was measured by; the order is that of a list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Origin {
    /// The source, as the sender names it.
    pub source: String,
    /// The device, as the sender names it.
    pub device: Option<String>,
}

impl Origin {
    /// That of points beside each other.
    pub fn of(run: &OriginRun<'_, '_>) -> Self {
        Self { source: run.source.to_owned(), device: run.device.map(str::to_owned) }
    }

    fn is(&self, source: &str, device: Option<&str>) -> bool {
        self.source == source && self.device.as_deref() == device
    }

    /// What tells it apart in ids.
    pub fn mark(&self) -> Mark {
        origin_mark(&self.source, self.device.as_deref())
    }
}

/// The first `limit` origins of a person's points behind one, in order.
///
/// # Errors
/// As [`Engine::observe`].
pub async fn origins(
    engine: &Engine,
    kinds: &Kinds,
    user: UserId,
    after: Option<&Origin>,
    limit: usize,
) -> engine::Result<Vec<Origin>> {
    let mut found: Vec<Origin> = Vec::new();
    each(engine, kinds, user, usize::MAX, |origin| {
        if after.is_none_or(|after| origin > after)
            && let Err(place) = found.binary_search(origin)
        {
            found.insert(place, origin.clone());
            found.truncate(limit);
        }
        ControlFlow::Continue(())
    })
    .await?;
    Ok(found)
}

/// How many origins a person's points have. Each is held meanwhile as its mark.
///
/// # Errors
/// As [`Engine::observe`].
pub async fn count_origins(engine: &Engine, kinds: &Kinds, user: UserId) -> engine::Result<usize> {
    let mut found: BTreeSet<Mark> = BTreeSet::new();
    each(engine, kinds, user, usize::MAX, |origin| {
        found.insert(origin.mark());
        ControlFlow::Continue(())
    })
    .await?;
    Ok(found.len())
}

/// Those of a person's origins that have one of these marks, in order.
///
/// # Errors
/// As [`Engine::observe`].
pub async fn named(engine: &Engine, kinds: &Kinds, user: UserId, marks: &[Mark]) -> engine::Result<Vec<Origin>> {
    let mut found: Vec<Origin> = Vec::new();
    each(engine, kinds, user, FEW_ROWS, |origin| {
        if marks.contains(&origin.mark())
            && let Err(place) = found.binary_search(origin)
        {
            found.insert(place, origin.clone());
        }
        if found.len() == marks.len() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })
    .await?;
    Ok(found)
}

/// Shows every origin of a person's points, some of them more than once; those of the newest points of each metric first.
///
/// The metrics take turns, a batch each: putting their points into one order would cost many times what reading them does.
async fn each(
    engine: &Engine,
    kinds: &Kinds,
    user: UserId,
    rows_about: usize,
    mut show: impl FnMut(&Origin) -> ControlFlow<()>,
) -> engine::Result<()> {
    let metrics = kinds.iter().filter_map(|kind| match &kind.series {
        Series::Metric(key) => Some(Arc::clone(key)),
        Series::Field(_) => None,
    });
    let query = |metric| ObserveQuery {
        metrics: vec![metric],
        times: TimeRange::ALL,
        order: Order::Descending,
        after: None,
        keep: None,
        rows_about,
    };
    let left: engine::Result<VecDeque<Observations>> =
        metrics.map(|metric| engine.observe(user, query(metric))).collect();
    let (mut left, mut recent): (_, Vec<Origin>) = (left?, Vec::new());
    while let Some(mut points) = left.pop_front() {
        let Some(some) = points.next().await? else { continue };
        left.push_back(points);
        for run in some.columns()?.runs() {
            if recent.iter().rev().any(|known| known.is(run.source, run.device)) {
                continue;
            }
            let origin = Origin::of(&run);
            if show(&origin).is_break() {
                return Ok(());
            }
            if recent.len() >= RECENT_MAX {
                recent.clear();
            }
            recent.push(origin);
        }
    }
    Ok(())
}

/// A Device.
pub fn device(ids: &Ids, user: UserId, origin: &Origin) -> Value {
    let mut identifiers = vec![json!({"system": SOURCE_SYSTEM, "value": origin.source})];
    if let Some(device) = &origin.device {
        identifiers.push(json!({"system": DEVICE_SYSTEM, "value": device}));
    }
    json!({
        "resourceType": "Device",
        "id": ids.of_device(user, origin.mark()),
        "identifier": identifiers,
        "deviceName": [{"name": origin.source, "type": "user-friendly-name"}],
        "patient": {"reference": format!("Patient/{}", patient_id(user.as_str()))},
    })
}
