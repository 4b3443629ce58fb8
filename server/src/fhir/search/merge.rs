//! Points and check-ins in one order: some of them, behind a place, one after the other.
//!
//! By date all metrics and all values of check-ins run together; of one moment metrics come by their keys and the values of
//! a check-in together, where [`CHECK_INS`] stands between the keys. By code each kind is a run of its own.

use std::collections::VecDeque;
use std::sync::Arc;

use engine::observe::{Candidate, Keep, ObserveQuery, Observed, Order, Place};
use engine::{Engine, Result};
use storage::UserId;

use super::entries::{Found, Piece};
use super::{Search, Sort, Spot};
use crate::control::entities::check_in;
use crate::fhir::day::{Days, Totals};
use crate::fhir::kind::{Field, Kind, Kinds, Series};

/// Where values of check-ins stand among metrics' keys.
pub(super) const CHECK_INS: &str = "check_in";

/// A value of a check-in.
#[derive(Debug, Clone)]
pub(super) struct Said {
    pub(super) row: Arc<check_in::Model>,
    pub(super) field: Field,
}

/// What comes in one order of time.
#[derive(Debug, Default)]
pub(super) struct Run {
    /// What places in it are named by, where it is of one kind.
    name: Option<Arc<str>>,
    metrics: Vec<Arc<str>>,
    /// In order, behind the place where the page begins.
    pub(super) said: VecDeque<Said>,
    /// Whose values belong into `said`.
    pub(super) fields: Vec<Field>,
}

/// The order of time in a search.
pub(super) fn order_of(search: &Search) -> Order {
    if search.sort == Sort::OldestFirst { Order::Ascending } else { Order::Descending }
}

/// The runs of a search in their order, those before a place left out; `None` if the place is of no kind that there is.
/// `with_check_ins` is whether values of check-ins may be seen.
pub(super) fn runs(search: &Search, kinds: &Kinds, after: Option<&Spot>, with_check_ins: bool) -> Option<Vec<Run>> {
    let states = search.statuses;
    let is_seen = |kind: &&Kind| {
        let may_be_preliminary = states.preliminary && Days::may_be_totals(&kind.series);
        match &kind.series {
            Series::Metric(_) => states.is_final || states.corrected || may_be_preliminary,
            Series::Field(_) => with_check_ins && (states.is_final || states.amended || may_be_preliminary),
        }
    };
    let mut kinds: Vec<&Kind> = search.kinds(kinds).filter(is_seen).collect();
    if search.sort != Sort::Code {
        let mut run = Run::default();
        for kind in kinds {
            run.add(kind);
        }
        return Some(vec![run]);
    }
    let code = |kind: &Kind| kind.codings.first().map(|coding| coding.code.clone());
    kinds.sort_by(|a, b| code(a).cmp(&code(b)).then_with(|| a.name.cmp(&b.name)));
    let first = match after {
        Some(spot) => kinds.iter().position(|kind| *kind.name == *spot.series)?,
        None => 0,
    };
    let mut runs: Vec<Run> = Vec::new();
    let mut last = None;
    for kind in kinds.into_iter().skip(first) {
        // The newest of a code are the newest of all kinds that have it.
        let is_same = search.last_of_code.is_some() && last == Some(code(kind));
        last = Some(code(kind));
        if !is_same {
            runs.push(Run { name: Some(Arc::clone(&kind.name)), ..Run::default() });
        }
        if let Some(run) = runs.last_mut() {
            run.add(kind);
        }
    }
    Some(runs)
}

impl Run {
    fn add(&mut self, kind: &Kind) {
        match &kind.series {
            Series::Metric(key) => self.metrics.push(Arc::clone(key)),
            // In the order of fields, which is that of places in a check-in.
            Series::Field(field) => {
                let place = self.fields.partition_point(|known| known < field);
                self.fields.insert(place, *field);
            }
        }
    }

    /// The place that lies in this run, if it does.
    pub(super) fn after<'a>(&self, after: Option<&'a Spot>) -> Option<&'a Spot> {
        after.filter(|spot| self.name.as_ref().is_none_or(|name| **name == *spot.series))
    }

    /// Takes the values of rows that come in order, leaving out those up to a place and those that are not wanted.
    pub(super) fn take(
        &mut self,
        rows: Vec<check_in::Model>,
        after: Option<&Spot>,
        is_wanted: impl Fn(&check_in::Model, Field) -> bool,
    ) {
        let is_said = |spot: &&Spot| self.name.is_some() || spot.series == CHECK_INS;
        let given = self.after(after).filter(is_said).and_then(|spot| {
            let field = Field::ALL.into_iter().find(|field| Some(field.as_str()) == spot.device.as_deref())?;
            Some((spot.source.clone(), field))
        });
        for row in rows.into_iter().map(Arc::new) {
            for field in self.fields.iter().copied().filter(|field| field.of(&row).is_some()) {
                let is_given = given.as_ref().is_some_and(|(id, last)| *id == row.id && field <= *last);
                if !is_given && is_wanted(&row, field) {
                    self.said.push_back(Said { row: Arc::clone(&row), field });
                }
            }
        }
    }

    fn spot_of(&self, said: &Said) -> Spot {
        Spot {
            at: said.row.checked_in_at,
            series: self.name.as_deref().unwrap_or(CHECK_INS).to_owned(),
            source: said.row.id.clone(),
            device: Some(said.field.as_str().to_owned()),
        }
    }
}

/// Which points a search wants, beside whose, of what and from when; `days` are the person's, `with_totals` is whether
/// points of one of its metrics can be totals.
pub(super) fn keep_of(search: &Search, days: &Days, with_totals: bool) -> Option<Keep> {
    let states = search.statuses;
    if (!with_totals || search.dates.is_all())
        && search.dates.moments().is_one()
        && search.updated.is_all()
        && states.is_all()
    {
        return None;
    }
    let (dates, updated, days) = (search.dates.clone(), search.updated.clone(), days.clone());
    Some(Arc::new(move |candidate: &Candidate<'_>| {
        let Candidate { metric, source, device, measured } = *candidate;
        let at = measured.recorded_at;
        let totals = if with_totals { Totals::of(metric, source, device) } else { None };
        let end = totals.and_then(|totals| days.end_of(totals, at));
        let period_end = end.filter(|_| totals.is_some_and(Totals::have_period));
        let is_preliminary = end.is_some_and(|end| days.is_open(end));
        let is_wanted = match (is_preliminary, measured.is_corrected) {
            (true, _) => states.preliminary,
            (false, true) => states.corrected,
            (false, false) => states.is_final,
        };
        is_wanted
            && period_end.map_or_else(|| dates.moments().contain(at), |end| dates.hold_of(at, end))
            && updated.contain(days.changed_us(measured.accepted_at_ms.saturating_mul(1_000), end))
    }))
}

/// Points and check-ins of a person.
pub(super) struct Merge<'a> {
    pub(super) engine: &'a Engine,
    pub(super) user: UserId,
    pub(super) search: &'a Search,
    pub(super) after: Option<&'a Spot>,
    pub(super) days: &'a Days,
}

impl Merge<'_> {
    /// Finds at most so many observations as the search wants on a page.
    pub(super) async fn find(&self, runs: Vec<Run>) -> Result<Found> {
        let mut found = Found::default();
        let mut last = None;
        for mut run in runs {
            let begun = found.count;
            let mut points = self.points(&run, run.after(self.after))?;
            let mut head: Option<Observed> = None;
            loop {
                if head.is_none() {
                    head = points.next().await?;
                }
                if head.is_none() && run.said.is_empty() {
                    break;
                }
                let of_run = self.search.run_count().saturating_sub(found.count - begun);
                if self.search.last_of_code.is_some() && of_run == 0 {
                    break;
                }
                let left = self.search.count.saturating_sub(found.count).min(of_run);
                if left == 0 {
                    found.next = last;
                    return Ok(found);
                }
                let rows = match (&head, run.said.front()) {
                    (Some(points), Some(said)) => points.rows_before(said.row.checked_in_at, CHECK_INS)?,
                    (Some(points), None) => points.len(),
                    (None, _) => 0,
                };
                if rows > 0
                    && let Some(points) = head.take()
                {
                    let (now, later) = points.split_at(rows.min(left));
                    last = now.last_place()?.map(spot_of);
                    found.add(Piece::Points(now));
                    head = (!later.is_empty()).then_some(later);
                } else if let Some(said) = run.said.pop_front() {
                    last = Some(run.spot_of(&said));
                    found.add(Piece::Said(said));
                }
            }
        }
        Ok(found)
    }

    /// How many points there are in all, whatever page it is.
    pub(super) async fn count(&self, runs: &[Run]) -> Result<usize> {
        let mut count = 0;
        for run in runs {
            let mut points = self.points(run, None)?;
            while let Some(some) = points.next().await? {
                count += some.len();
            }
        }
        Ok(count)
    }

    fn points(&self, run: &Run, after: Option<&Spot>) -> Result<engine::observe::Observations> {
        let after = after.map(|spot| Place {
            recorded_at: spot.at,
            metric: spot.series.clone(),
            source: spot.source.clone(),
            device: spot.device.clone(),
        });
        let with_totals = run.metrics.iter().any(|metric| Days::may_have_totals(metric));
        let query = ObserveQuery {
            metrics: run.metrics.clone(),
            times: self.search.times(with_totals),
            order: order_of(self.search),
            after,
            keep: keep_of(self.search, self.days, with_totals),
            // One more tells whether there is more.
            rows_about: if self.search.count == 0 { usize::MAX } else { self.search.run_count().saturating_add(1) },
        };
        self.engine.observe(self.user, query)
    }
}

fn spot_of(place: Place) -> Spot {
    Spot { at: place.recorded_at, series: place.metric, source: place.source, device: place.device }
}
