//! One page of a search: who asks is let in, check-ins are read in that step, points behind it, and all of it is written.

use axum::response::Response;
use engine::observe::Order;
use sea_orm::ConnectionTrait;
use storage::UserId;

use super::along::Along;
use super::bundle::{Bundle, HEAD, trimmed};
use super::entries::Found;
use super::link::CURSOR;
use super::merge::{CHECK_INS, Merge, Run, order_of, runs};
use super::named::Named;
use super::said::{count, wanted_of, wants};
use super::table::OBSERVATION;
use super::{Next, Search, Sort, Spot, along, link, named};
use crate::access::{Look, Visitor};
use crate::control::repository::check_ins;
use crate::error::ApiError;
use crate::fhir::answer::{Base, answer};
use crate::fhir::day::Days;
use crate::fhir::id::Ids;
use crate::fhir::kind::{Field, Kinds, Series};
use crate::fhir::outcome::Failure;
use crate::fhir::render::{Frame, ObservationWriter, patient, patient_id};
use crate::fhir::visit::{Inside, Visit, Wish};
use crate::state::AppState;

/// The first and the last moment that a record of a read can name, microseconds: years 1 and 9999.
const NAMED_US: (i64, i64) = (-62_135_596_800_000_000, 253_402_300_799_999_999);

/// A page that is asked for.
#[derive(Debug)]
pub(crate) struct Asked {
    /// What is searched for.
    pub(crate) search: Search,
    /// Where the page before ended.
    pub(crate) after: Option<Spot>,
    /// The link to this page.
    pub(crate) link: String,
    /// Whether nothing is told but how many there are on it.
    pub(crate) is_counted: bool,
}

/// What a page is made with.
pub(crate) struct Reader<'a> {
    pub(crate) state: &'a AppState,
    pub(crate) ids: &'a Ids,
    pub(crate) base: &'a Base,
    pub(crate) visitor: &'a Visitor,
}

impl std::fmt::Debug for Reader<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("base", self.base).finish_non_exhaustive()
    }
}

/// What was read of check-ins in the step in which the visitor was let in.
#[derive(Default)]
struct Said {
    runs: Vec<Run>,
    /// What the total is of: the whole search, whatever page it is.
    counted: Vec<Run>,
    named: Vec<Named>,
    total: usize,
}

impl Reader<'_> {
    /// The page as a Bundle.
    ///
    /// # Errors
    /// [`Failure`]; 400 for a place in a search that there is no more; 403 for a client whose scopes do not name what comes
    /// beside the observations.
    pub(crate) async fn page(&self, asked: Asked) -> Result<Response, Failure> {
        let (state, search) = (self.state, &asked.search);
        along::check(search, self.visitor.principal()).map_err(ApiError::from)?;
        let kinds = state.fhir.kinds();
        let look = look_of(search, kinds);
        let mut visit = Visit::begin(state, self.visitor, &search.user, wish_of(search, kinds), look).await?;
        // Of one moment in all of the page.
        let days = visit.days(state, search.kinds(kinds).map(|kind| &kind.series)).await?;
        let after = asked.after.as_ref().filter(|_| search.ids.is_none());
        let runs = runs(search, kinds, after, visit.with_check_ins);
        let runs = runs.ok_or_else(|| Failure::value(CURSOR, "the search has no such place any more"))?;
        let said = match visit.on() {
            Some(on) => self.said(on, (&asked, &days), runs, visit.with_check_ins).await?,
            None => self.said(state.control.read(), (&asked, &days), runs, visit.with_check_ins).await?,
        };
        self.found((&asked, &days), said, visit.enter().await?).await
    }

    /// Reads what is to be shown of check-ins.
    async fn said(
        &self,
        on: &impl ConnectionTrait,
        (asked, days): (&Asked, &Days),
        mut runs: Vec<Run>,
        with_check_ins: bool,
    ) -> Result<Said, Failure> {
        let search = &asked.search;
        if let Some(ids) = &search.ids {
            if !with_check_ins {
                return Ok(Said::default());
            }
            return Ok(Said { named: named::check_ins(on, self.ids, (search, days), ids).await?, ..Said::default() });
        }
        let (mut total, mut counted) = (0, Vec::new());
        if search.with_total {
            counted = super::merge::runs(search, self.state.fhir.kinds(), None, with_check_ins).unwrap_or_default();
            for run in &counted {
                total += count(on, search, days, &run.fields).await?;
            }
        }
        for run in &mut runs {
            let Some(wanted) = wanted_of(search, days, &run.fields) else { continue };
            if search.count > 0 {
                let after = run.after(asked.after.as_ref());
                let is_descending = order_of(search) == Order::Descending;
                let from = after.map(|spot| from_of(spot, &run.fields, search.sort, is_descending));
                // One more tells that there is more, and the first may have been given already.
                let limit = u64::try_from(search.run_count()).unwrap_or(u64::MAX).saturating_add(2);
                let rows = check_ins::spoken_of(on, &search.user, &wanted, from, is_descending, limit).await?;
                run.take(rows, asked.after.as_ref(), |row, field| wants(search, days, row, field));
            }
        }
        Ok(Said { runs, counted, named: Vec::new(), total })
    }

    /// Finds what is on the page, and writes it.
    async fn found(&self, (asked, days): (&Asked, &Days), said: Said, mut inside: Inside) -> Result<Response, Failure> {
        let search = &asked.search;
        let (found, total) = inside.behind(self.find((asked, days), inside.user, said)).await?;
        let is_whole = asked.after.is_none() && found.next.is_none() && search.count > 0;
        let total = total.or(is_whole.then_some(found.count));
        let mut links = vec![("self", asked.link.clone())];
        if asked.is_counted {
            return Ok(answer(Bundle::new().finish(&links, Some(found.count))));
        }
        if let Some(after) = &found.next {
            links.push(("next", self.link(search, after.clone())?));
        }
        let frame = match &search.elements {
            Some(_) => Frame::Lines,
            None => Frame::Entries(format!("{}/Observation/", self.base.0)),
        };
        let mut writer = ObservationWriter::new(&self.state.fhir, self.ids, inside.user, days.clone(), frame);
        // Entries are written straight into the page; lines are made into entries first.
        let head = if search.elements.is_some() { &[][..] } else { HEAD };
        let mut out = head.to_vec();
        found.write(&mut writer, &mut out).map_err(ApiError::from)?;
        let along = Along::of(search, (self.ids, inside.user), &found, out.get(head.len()..).unwrap_or_default())?;
        let mut bundle = if let Some(elements) = &search.elements {
            let mut bundle = Bundle::new();
            bundle.entries(&trimmed(&out, elements, self.base).map_err(ApiError::internal)?);
            bundle
        } else {
            Bundle::begun(out)
        };
        if search.with_patient && found.count > 0 {
            let person = inside.patient(self.state).await?;
            bundle.resource(self.base, ("Patient", &patient_id(&person.id)), "include", &patient(person));
        }
        along.add_to(&mut bundle, self.base);
        Ok(answer(bundle.finish(&links, total)))
    }

    /// What is on the page, and how many there are in all, if that is asked for or known.
    async fn find(
        &self,
        (asked, days): (&Asked, &Days),
        user: UserId,
        said: Said,
    ) -> engine::Result<(Found, Option<usize>)> {
        let (search, engine, kinds) = (&asked.search, &*self.state.engine, self.state.fhir.kinds());
        if search.ids.is_some() {
            let all = named::points(engine, kinds, self.ids, (search, days), said.named).await?;
            let total = all.len();
            return Ok((named::page(all, search, asked.after.as_ref()), Some(total)));
        }
        let merge = Merge { engine, user, search, after: asked.after.as_ref(), days };
        let total = if search.with_total { Some(said.total + merge.count(&said.counted).await?) } else { None };
        let found = if search.count == 0 { Found::default() } else { merge.find(said.runs).await? };
        Ok((found, total))
    }

    /// The link to the page behind a place, for this caller alone.
    fn link(&self, search: &Search, after: Spot) -> Result<String, Failure> {
        let next = Next { search: search.clone(), after };
        link::to((self.ids, self.base, self.visitor), OBSERVATION.resource, &next)
    }

    /// The page that a link leads to.
    ///
    /// # Errors
    /// 400 for a link that we did not make for this caller.
    pub(crate) fn follow(&self, sealed: &str) -> Result<Asked, Failure> {
        let Next { search, after } = link::read(self.ids, self.visitor, sealed)?;
        let link = link::of_sealed(self.base, OBSERVATION.resource, sealed);
        Ok(Asked { search, after: Some(after), link, is_counted: false })
    }
}

fn wish_of(search: &Search, kinds: &Kinds) -> Wish {
    let (mut points, mut check_ins) = (false, false);
    for kind in search.kinds(kinds) {
        match kind.series {
            Series::Metric(_) => points = true,
            Series::Field(_) => check_ins = true,
        }
    }
    match (points, check_ins) {
        (false, true) => Wish::CheckIns,
        (true, true) => Wish::Both,
        (_, false) => Wish::Points,
    }
}

/// What the record of the read says: the metric where it is one, and from when to when.
fn look_of(search: &Search, kinds: &Kinds) -> Look {
    let mut asked = search.kinds(kinds);
    let metric = match (asked.next(), asked.next()) {
        (Some(only), None) => match &only.series {
            Series::Metric(key) => Some((**key).to_owned()),
            Series::Field(_) => None,
        },
        _ => None,
    };
    // Of a total that begins before, its day reaches into what was asked.
    let times = search.times(search.dates.moments().ranges().is_empty());
    let (first, last) = NAMED_US;
    let range = (!search.dates.is_all()).then(|| (times.start.clamp(first, last), times.end.clamp(first, last)));
    Look { what: "fhir_observations", metric, range }
}

/// From which check-in on a page goes on, that one included.
fn from_of<'a>(spot: &'a Spot, fields: &[Field], sort: Sort, is_descending: bool) -> (i64, Option<&'a str>) {
    if sort == Sort::Code || (spot.series == CHECK_INS && !fields.is_empty()) {
        return (spot.at, Some(&spot.source));
    }
    // Of one moment what stands behind the metric is still to come, and what stands before it was given.
    let is_to_come = (spot.series.as_str() < CHECK_INS) != is_descending;
    let step = if is_descending { -1 } else { 1 };
    (if is_to_come { spot.at } else { spot.at.saturating_add(step) }, None)
}
