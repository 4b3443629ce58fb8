//! `Observation`: read, vread, search.

use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use engine::observe::Observed;

use crate::access::{Look, Visitor};
use crate::auth::Role;
use crate::error::ApiError;
use crate::extract::Payload;
use crate::fhir::answer::{Base, answer, check_form, versioned};
use crate::fhir::day::Days;
use crate::fhir::find;
use crate::fhir::id::{Ids, Name};
use crate::fhir::kind::Series;
use crate::fhir::outcome::Failure;
use crate::fhir::render::{Frame, ObservationWriter, version_of_check_in, version_of_point};
use crate::fhir::search::page::{Asked, CURSOR, Reader};
use crate::fhir::search::parameter::{GENERAL, Handling, OBSERVATION, OBSERVATION_RESULT, Parameters};
use crate::fhir::search::parse::Reading;
use crate::fhir::visit::{Visit, Wish};
use crate::state::AppState;

const NO_OBSERVATION: &str = "no such observation";

/// A search whose parameters stand behind the `?`.
pub(super) async fn search(
    visitor: Visitor,
    State(state): State<AppState>,
    base: Base,
    headers: HeaderMap,
    RawQuery(raw): RawQuery,
) -> Result<Response, Failure> {
    found(&state, &visitor, &base, &headers, &[raw.unwrap_or_default().as_bytes()]).await
}

/// A search whose parameters stand in a form, and may stand behind the `?` too.
pub(super) async fn search_by_form(
    visitor: Visitor,
    State(state): State<AppState>,
    base: Base,
    headers: HeaderMap,
    uri: Uri,
    payload: Payload,
) -> Result<Response, Failure> {
    super::check_is_form(&headers, &payload)?;
    found(&state, &visitor, &base, &headers, &[uri.query().unwrap_or_default().as_bytes(), &payload]).await
}

async fn found(
    state: &AppState,
    visitor: &Visitor,
    base: &Base,
    headers: &HeaderMap,
    parts: &[&[u8]],
) -> Result<Response, Failure> {
    let names = OBSERVATION.map(|parameter| parameter.name);
    let known: [&[&str]; 4] = [&names, &OBSERVATION_RESULT, &GENERAL, &[CURSOR]];
    let parameters = Parameters::read(parts, &known, Handling::of(headers))?;
    check_form(parameters.one("_format")?, headers)?;
    // Before anybody is let in: the key may have to be made, and only one may write at a time.
    let ids = state.fhir.ids(&state.control).await?;
    let reader = Reader { state, ids, base, visitor };
    let asked = if let Some(sealed) = parameters.one(CURSOR)? {
        if let Some(other) = names.iter().chain(&OBSERVATION_RESULT).find(|name| parameters.has(name)) {
            return Err(Failure::value(other, "a link to a page says it already"));
        }
        reader.follow(sealed)?
    } else {
        let principal = visitor.principal();
        let own = (principal.role == Role::Patient).then_some(principal.user);
        let search = Reading { kinds: state.fhir.kinds(), ids, base, own }.search(&parameters)?;
        Asked { search, after: None, link: format!("{}/Observation?{}", base.0, parameters.to_query()) }
    };
    Ok(answer(reader.page(asked).await?))
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
            let visit = Visit::begin(state, visitor, user.as_str(), Wish::Points, look).await?;
            let mut inside = visit.enter().await?;
            let observed = inside.behind(find::point(&state.engine, key, point)).await?;
            let days = inside.days(state, std::iter::once(&**key)).await?;
            of_point(state, ids, days, &observed.ok_or(Failure::not_found(NO_OBSERVATION))?, &name)
        }
        (Name::CheckIn { field, id, .. }, _) => {
            let look = Look { what: "fhir_observation", metric: None, range: None };
            let visit = Visit::begin(state, visitor, user.as_str(), Wish::CheckIns, look).await?;
            let row = match visit.on() {
                Some(on) => find::check_in(on, user.as_str(), *field, id).await?,
                None => find::check_in(state.control.read(), user.as_str(), *field, id).await?,
            };
            visit.enter().await?;
            let days = Days::utc(state.clock.now_us());
            let row = row.ok_or(Failure::not_found(NO_OBSERVATION))?;
            let mut body = Vec::new();
            ObservationWriter::new(&state.fhir, ids, user, days, Frame::Alone).check_in(&row, *field, &mut body);
            Ok(Current { version: version_of_check_in(&row), changed_us: row.updated_at, body })
        }
        _ => Err(Failure::not_found(NO_OBSERVATION)),
    }
}

fn of_point(state: &AppState, ids: &Ids, days: Days, observed: &Observed, name: &Name) -> Result<Current, Failure> {
    let columns = observed.columns()?;
    let measured = columns.runs().find_map(|run| run.points().next());
    let measured = measured.ok_or(Failure::not_found(NO_OBSERVATION))?;
    let mut body = Vec::new();
    let mut writer = ObservationWriter::new(&state.fhir, ids, name.user(), days, Frame::Alone);
    writer.points(observed, &mut body).map_err(ApiError::from)?;
    let changed_us = measured.accepted_at_ms.saturating_mul(1_000);
    Ok(Current { version: version_of_point(&measured), changed_us, body })
}
