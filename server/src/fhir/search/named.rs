//! Searches that name the observations they want: each is looked up, all are sorted, a page of them is taken.

use std::cmp::Reverse;
use std::sync::Arc;

use engine::observe::{Candidate, Observed};
use engine::{Engine, Result};
use sea_orm::ConnectionTrait;

use super::entries::{Found, Piece};
use super::merge::{Said, keep_of};
use super::said::wants;
use super::{Search, Sort, Spot};
use crate::fhir::day::Days;
use crate::fhir::find;
use crate::fhir::id::{Ids, Name, metric_mark};
use crate::fhir::kind::{Kinds, Series};
use crate::fhir::outcome::Failure;

/// An observation that was found by its id.
pub(super) struct Named {
    id: String,
    at: i64,
    what: Piece,
}

/// The values of check-ins among ids that a search wants.
pub(super) async fn check_ins(
    on: &impl ConnectionTrait,
    ids: &Ids,
    (search, days): (&Search, &Days),
    wanted: &[String],
) -> std::result::Result<Vec<Named>, Failure> {
    let mut found = Vec::new();
    for text in wanted {
        let Some(Name::CheckIn { user, field, id }) = ids.read(text) else { continue };
        if user.as_str() != search.user {
            continue;
        }
        if let Some(row) = find::check_in(on, &search.user, field, &id).await?
            && search.dates.moments().contain(row.checked_in_at)
            && wants(search, days, &row, field)
        {
            let at = row.checked_in_at;
            found.push(Named { id: text.clone(), at, what: Piece::Said(Said { row: Arc::new(row), field }) });
        }
    }
    Ok(found)
}

/// Adds the points among the ids of a search, leaves out what is of no kind that it wants, and sorts all of it.
pub(super) async fn points(
    engine: &Engine,
    kinds: &Kinds,
    ids: &Ids,
    (search, days): (&Search, &Days),
    mut found: Vec<Named>,
) -> Result<Vec<Named>> {
    for text in search.ids.iter().flatten() {
        let Some(Name::Point(point)) = ids.read(text) else { continue };
        if point.user.as_str() != search.user {
            continue;
        }
        let key = search.kinds(kinds).find_map(|kind| match &kind.series {
            Series::Metric(key) if metric_mark(key) == point.metric => Some(key),
            _ => None,
        });
        let Some(key) = key else { continue };
        if let Some(observed) = find::point(engine, key, &point).await?
            && is_kept(search, days, &observed)?
        {
            found.push(Named { id: text.clone(), at: point.recorded_at, what: Piece::Points(observed) });
        }
    }
    let is_wanted = |found: &Named| match &found.what {
        Piece::Points(_) => true,
        Piece::Said(said) => search.kinds(kinds).any(|kind| kind.series == Series::Field(said.field)),
    };
    found.retain(is_wanted);
    match search.sort {
        Sort::OldestFirst => found.sort_by(|a, b| (a.at, &a.id).cmp(&(b.at, &b.id))),
        Sort::NewestFirst => found.sort_by(|a, b| (Reverse(a.at), &a.id).cmp(&(Reverse(b.at), &b.id))),
        Sort::Code => found.sort_by_cached_key(|found| (code_of(kinds, found), Reverse(found.at), found.id.clone())),
    }
    Ok(found)
}

fn code_of(kinds: &Kinds, found: &Named) -> String {
    let kind = match &found.what {
        Piece::Points(observed) => kinds.of_metric(&observed.metric),
        Piece::Said(said) => kinds.of_field(said.field),
    };
    kind.and_then(|kind| kind.codings.first()).map(|coding| coding.code.to_string()).unwrap_or_default()
}

fn is_kept(search: &Search, days: &Days, observed: &Observed) -> Result<bool> {
    let Some(keep) = keep_of(search, days, Days::may_have_totals(&observed.metric)) else {
        let columns = observed.columns()?;
        return Ok(columns.times().iter().all(|time| search.dates.moments().contain(*time)));
    };
    let columns = observed.columns()?;
    let mut runs = columns.runs();
    Ok(runs.all(|run| {
        let (metric, source, device) = (&*observed.metric, run.source, run.device);
        run.points().all(|measured| keep(&Candidate { metric, source, device, measured }))
    }))
}

/// Those behind a place, as many as a page holds.
pub(super) fn page(all: Vec<Named>, search: &Search, after: Option<&Spot>) -> Found {
    let mut found = Found::default();
    if search.count == 0 {
        return found;
    }
    let given =
        after.and_then(|spot| all.iter().position(|named| named.id == spot.source)).map_or(0, |place| place + 1);
    let mut last = None;
    for named in all.into_iter().skip(given) {
        if found.count == search.count {
            found.next = last;
            break;
        }
        found.add(named.what);
        last = Some(Spot { at: named.at, series: String::new(), source: named.id, device: None });
    }
    found
}
