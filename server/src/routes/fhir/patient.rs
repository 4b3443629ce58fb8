//! `Patient`: read, vread, search.

use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, Uri};
use axum::response::Response;

use crate::access::{Look, Status, Visitor};
use crate::auth::Role;
use crate::control::entities::user;
use crate::control::repository::grants;
use crate::extract::Payload;
use crate::fhir::answer::{Base, answer, check_form, versioned};
use crate::fhir::outcome::Failure;
use crate::fhir::render::{USER_SYSTEM, patient, patient_id, user_id, version_of_patient};
use crate::fhir::search::IDS_MAX;
use crate::fhir::search::bundle::Bundle;
use crate::fhir::search::parameter::{GENERAL, Handling, PATIENT, PATIENT_RESULT, Parameters, token};
use crate::fhir::search::parse::{count, is_count_alone};
use crate::fhir::visit::{Visit, Wish};
use crate::state::AppState;

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
    let names = PATIENT.map(|parameter| parameter.name);
    let parameters = Parameters::read(parts, &[&names, &PATIENT_RESULT, &GENERAL], Handling::of(headers))?;
    check_form(parameters.one("_format")?, headers)?;
    let count = if is_count_alone(&parameters)? { 0 } else { count(&parameters)? };
    let names = parameters.lists("name")?;
    let has_name = |name: &str| names.iter().all(|list| list.iter().any(|begin| begins(name, begin)));
    let candidates = match wanted(&parameters)? {
        Some(ids) => ids,
        None => known(state, visitor, has_name).await?,
    };
    let mut people = Vec::new();
    for user in candidates {
        // Whom one may not see is not found, there or not.
        match person(state, visitor, &user).await {
            Ok(found) if has_name(&found.name) => people.push(found),
            Ok(_) => {}
            Err(Failure::Api(error)) if error.status() == axum::http::StatusCode::FORBIDDEN => {}
            Err(error) => return Err(error),
        }
    }
    let mut bundle = Bundle::new();
    if count > 0 {
        for person in &people {
            bundle.resource(base, ("Patient", &patient_id(&person.id)), "match", &patient(person));
        }
    }
    let link = format!("{}/Patient?{}", base.0, parameters.to_query());
    Ok(answer(bundle.finish(&[("self", link)], Some(people.len()))))
}

/// Whether a name or a word of it begins so, in any case.
fn begins(name: &str, begin: &str) -> bool {
    let (name, begin) = (name.to_lowercase(), begin.to_lowercase());
    name.starts_with(&begin) || name.split_whitespace().any(|word| word.starts_with(&begin))
}

/// Ids of people of such a name whom the caller knows: themselves, if they are a patient, and those who have let them in.
/// Whether these still do is asked of each when they are looked at.
async fn known(state: &AppState, visitor: &Visitor, has_name: impl Fn(&str) -> bool) -> Result<Vec<String>, Failure> {
    let principal = visitor.principal();
    if principal.role == Role::Patient {
        return Ok(vec![principal.user.as_str().to_owned()]);
    }
    let on = state.control.read();
    let rows = grants::outgoing(on, principal.user.as_str(), &[Status::Active.as_str()]).await?;
    let people = grants::people(on, rows.into_iter().filter_map(|row| row.patient_id).collect()).await?;
    let mut ids: Vec<String> =
        people.into_values().filter(|person| has_name(&person.name)).map(|person| person.id).collect();
    ids.sort_unstable();
    if ids.len() > IDS_MAX {
        let what = format!("more than {IDS_MAX} patients: say a name or ids");
        return Err(Failure::too_many(what));
    }
    Ok(ids)
}

/// Ids of the people that every parameter allows; `None` where none names any.
fn wanted(parameters: &Parameters) -> Result<Option<Vec<String>>, Failure> {
    let ids = parameters.lists("_id")?.into_iter().map(|list| list.iter().map(|id| user_id(id)).collect::<Vec<_>>());
    let of_identifier = |value: &str| {
        let (system, value) = token(value);
        let is_ours = system.is_none_or(|system| system == USER_SYSTEM);
        value.filter(|_| is_ours).map(user_id)
    };
    let identifiers = parameters.lists("identifier")?;
    let identifiers = identifiers.iter().map(|list| list.iter().filter_map(|value| of_identifier(value)).collect());
    let mut lists: Vec<Vec<String>> = ids.chain(identifiers).collect();
    let Some(mut first) = lists.pop() else { return Ok(None) };
    first.retain(|id| lists.iter().all(|list| list.contains(id)));
    first.sort_unstable();
    first.dedup();
    if first.len() > IDS_MAX {
        return Err(Failure::value("_id", format!("at most {IDS_MAX} patients")));
    }
    Ok(Some(first))
}

/// One patient.
pub(super) async fn read(
    visitor: Visitor,
    State(state): State<AppState>,
    Path(id): Path<String>,
    headers: HeaderMap,
    RawQuery(raw): RawQuery,
) -> Result<Response, Failure> {
    super::check_read(&headers, raw.as_deref())?;
    let person = person(&state, &visitor, &user_id(&id)).await?;
    Ok(versioned(&headers, &version_of_patient(&person), person.updated_at, patient(&person)))
}

/// The current version of a patient; those before it are not kept.
pub(super) async fn vread(
    visitor: Visitor,
    State(state): State<AppState>,
    Path((id, version)): Path<(String, String)>,
    headers: HeaderMap,
    RawQuery(raw): RawQuery,
) -> Result<Response, Failure> {
    super::check_read(&headers, raw.as_deref())?;
    let person = person(&state, &visitor, &user_id(&id)).await?;
    super::check_version(&version, &version_of_patient(&person))?;
    Ok(versioned(&headers, &version, person.updated_at, patient(&person)))
}

async fn person(state: &AppState, visitor: &Visitor, id: &str) -> Result<user::Model, Failure> {
    let look = Look { what: "fhir_patient", metric: None, range: None };
    let visit = Visit::begin(state, visitor, id, Wish::Points, look).await?;
    Ok(visit.enter().await?.patient(state).await?.clone())
}
