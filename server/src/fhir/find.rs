//! One observation by its name.

use std::sync::Arc;

use engine::Engine;
use engine::observe::{ObserveQuery, Observed, Order};
use sea_orm::ConnectionTrait;
use storage::TimeRange;

use super::Fhir;
use super::id::{Name, Point, metric_mark};
use super::kind::{Field, Kind, Series};
use super::render::is_of;
use crate::control::entities::check_in;
use crate::control::repository::check_ins;

/// The kind that a name is of; `None` if the catalogue has the metric no more.
pub fn kind_of<'a>(fhir: &'a Fhir, name: &Name) -> Option<&'a Kind> {
    match name {
        Name::Point(point) => fhir.kinds().iter().find(|kind| match &kind.series {
            Series::Metric(key) => metric_mark(key) == point.metric,
            Series::Field(_) => false,
        }),
        Name::CheckIn { field, .. } => fhir.kinds().of_field(*field),
    }
}

/// The point of a name; `None` if there is none. Cost: one moment of one metric is read.
///
/// # Errors
/// As [`Engine::observe`].
pub async fn point(engine: &Engine, metric: &Arc<str>, point: &Point) -> engine::Result<Option<Observed>> {
    let query = ObserveQuery {
        metrics: vec![Arc::clone(metric)],
        times: TimeRange { start: point.recorded_at, end: point.recorded_at.saturating_add(1) },
        order: Order::Ascending,
        after: None,
        keep: None,
        rows_about: 1,
    };
    let mut points = engine.observe(point.user, query)?;
    while let Some(mut left) = points.next().await? {
        while !left.is_empty() {
            let (first, others) = left.split_at(1);
            let is_it = first.columns()?.runs().any(|run| is_of(point.origin, run.source, run.device));
            if is_it {
                return Ok(Some(first));
            }
            left = others;
        }
    }
    Ok(None)
}

/// The check-in of a name, if there is one and it says something of that value.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn check_in(
    on: &impl ConnectionTrait,
    user: &str,
    field: Field,
    id: &str,
) -> crate::control::Result<Option<check_in::Model>> {
    Ok(check_ins::by_id(on, user, id).await?.filter(|row| field.of(row).is_some()))
}
