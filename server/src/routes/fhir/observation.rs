//! `Observation`: read, vread, search.

use axum::extract::{Path, RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use engine::observe::Observed;

use super::entry::{Question, Sent, own_link};
use crate::access::{Look, Visitor};
use crate::auth::Role;
use crate::error::ApiError;
use crate::fhir::answer::{Base, versioned};
use crate::fhir::day::Days;
use crate::fhir::find;
use crate::fhir::id::{Ids, Name};
use crate::fhir::kind::Series;
use crate::fhir::outcome::Failure;
use crate::fhir::render::{Frame, ObservationWriter, Version};
use crate::fhir::search::page::{Asked, Reader};
use crate::fhir::search::parse::Reading;
use crate::fhir::search::table::OBSERVATION;
use crate::fhir::visit::{Visit, Wish};
use crate::state::AppState;

const NO_OBSERVATION: &str = "no such observation";

/// A search, by either method.
pub(super) async fn search(
    visitor: Visitor,
    State(state): State<AppState>,
    base: Base,
    sent: Sent,
) -> Result<Response, Failure> {
    let question = sent.read(&OBSERVATION)?;
    // Before anybody is let in: the key may have to be made, and only one may write at a time.
    let ids = state.fhir.ids(&state.control).await?;
    let reader = Reader { state: &state, ids, base: &base, visitor: &visitor };
    let asked = match question {
        Question::Page(sealed) => reader.follow(&sealed)?,
        Question::Anew(parameters) => {
            let principal = visitor.principal();
            let own = (principal.role == Role::Patient).then_some(principal.user);
            let search = Reading { kinds: state.fhir.kinds(), ids, base: &base, own }.search(&parameters)?;
            Asked { search, after: None, link: own_link(&base, &OBSERVATION, &parameters), is_counted: false }
        }
    };
    reader.page(asked).await
}

/// A search in a patient's compartment: `Patient/[id]/Observation`.
pub(super) async fn search_of_patient(
    visitor: Visitor,
    state: State<AppState>,
    base: Base,
    Path(id): Path<String>,
    sent: Sent,
) -> Result<Response, Failure> {
    search(visitor, state, base, sent.of_patient(&id)).await
}

/// One observation.
pub(super) async fn read(
    visitor: Visitor,
    State(state): State<AppState>,
    Path(id): Path<String>,
    headers: HeaderMap,
    RawQuery(raw): RawQuery,
) -> Result<Response, Failure> {
    super::check_read(&headers, raw.as_deref())?;
    let Current { version, changed_us, body } = current(&state, &visitor, &id).await?;
    Ok(versioned(&headers, &version, changed_us, body))
}

/// The current version of an observation; those before it are not kept.
pub(super) async fn vread(
    visitor: Visitor,
    State(state): State<AppState>,
    Path((id, version)): Path<(String, String)>,
    headers: HeaderMap,
    RawQuery(raw): RawQuery,
) -> Result<Response, Failure> {
    super::check_read(&headers, raw.as_deref())?;
    let current = current(&state, &visitor, &id).await?;
    super::check_version(&version, &current.version)?;
    Ok(versioned(&headers, &current.version, current.changed_us, current.body))
}

/// An observation as it is now.
pub(super) struct Current {
    pub(super) version: String,
    pub(super) changed_us: i64,
    pub(super) body: Vec<u8>,
}

impl Current {
    fn of(Version { number, changed_us }: Version, body: Vec<u8>) -> Self {
        Self { version: number.to_string(), changed_us, body }
    }
}

/// Reads an observation for a visitor, and writes down that they did.
///
/// # Errors
/// 404 for none, 403 for one that they may not see.
pub(super) async fn current(state: &AppState, visitor: &Visitor, id: &str) -> Result<Current, Failure> {
    let ids = state.fhir.ids(&state.control).await?;
    let name = ids.read(id).ok_or(Failure::not_found(NO_OBSERVATION))?;
    let kind = find::kind_of(&state.fhir, &name).ok_or(Failure::not_found(NO_OBSERVATION))?;
    let user = name.user();
    match (&name, &kind.series) {
        (Name::Point(point), Series::Metric(key)) => {
            let range = Some((point.recorded_at, point.recorded_at.saturating_add(1)));
            let look = Look { what: "fhir_observation", metric: Some((**key).to_owned()), range };
            let mut visit = Visit::begin(state, visitor, user.as_str(), Wish::Points, look).await?;
            let days = visit.days(state, std::iter::once(&kind.series)).await?;
            let inside = visit.enter().await?;
            let observed = inside.behind(find::point(&state.engine, key, point)).await?;
            of_point(state, ids, days, &observed.ok_or(Failure::not_found(NO_OBSERVATION))?, &name)
        }
        (Name::CheckIn { field, id, .. }, _) => {
            let look = Look { what: "fhir_observation", metric: None, range: None };
            let mut visit = Visit::begin(state, visitor, user.as_str(), Wish::CheckIns, look).await?;
            let days = visit.days(state, std::iter::once(&kind.series)).await?;
            let row = match visit.on() {
                Some(on) => find::check_in(on, user.as_str(), *field, id).await?,
                None => find::check_in(state.control.read(), user.as_str(), *field, id).await?,
            };
            visit.enter().await?;
            let row = row.ok_or(Failure::not_found(NO_OBSERVATION))?;
            let version = Version::of_check_in(&row, &days, days.end_of_said(*field, row.checked_in_at));
            let mut body = Vec::new();
            ObservationWriter::new(&state.fhir, ids, user, days, Frame::Alone).check_in(&row, *field, &mut body);
            Ok(Current::of(version, body))
        }
        _ => Err(Failure::not_found(NO_OBSERVATION)),
    }
}

fn of_point(state: &AppState, ids: &Ids, days: Days, observed: &Observed, name: &Name) -> Result<Current, Failure> {
    let columns = observed.columns()?;
    let version = columns.runs().find_map(|run| {
        let measured = run.points().next()?;
        let end = days.end_of_point(&observed.metric, run.source, run.device, measured.recorded_at);
        Some(Version::of_point(&measured, &days, end))
    });
    let version = version.ok_or(Failure::not_found(NO_OBSERVATION))?;
    let mut body = Vec::new();
    let mut writer = ObservationWriter::new(&state.fhir, ids, name.user(), days, Frame::Alone);
    writer.points(observed, &mut body).map_err(ApiError::from)?;
    Ok(Current::of(version, body))
}
