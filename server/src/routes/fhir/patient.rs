//! `Patient`: read, vread, search.

use axum::extract::{Path, RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;

use super::entry::{Question, Sent, own_link};
use crate::access::{Look, Visitor};
use crate::control::entities::user;
use crate::fhir::answer::{Base, answer, versioned};
use crate::fhir::outcome::Failure;
use crate::fhir::render::{patient, user_id, version_of_patient};
use crate::fhir::search::link;
use crate::fhir::search::people::{Desk, NextPeople, People};
use crate::fhir::search::table::PATIENT;
use crate::fhir::visit::{Visit, Wish};
use crate::state::AppState;

/// A search, by either method.
pub(super) async fn search(
    visitor: Visitor,
    State(state): State<AppState>,
    base: Base,
    sent: Sent,
) -> Result<Response, Failure> {
    let question = sent.read(&PATIENT)?;
    // Before anybody is let in: the key may have to be made, and only one may write at a time.
    let ids = state.fhir.ids(&state.control).await?;
    let desk = Desk { state: &state, ids, base: &base, visitor: &visitor };
    let page = match question {
        Question::Page(sealed) => {
            let NextPeople { asked, after_person } = link::read(ids, &visitor, &sealed)?;
            desk.page(asked, Some(&after_person), link::of_sealed(&base, PATIENT.resource, &sealed)).await?
        }
        Question::Anew(parameters) => {
            desk.page(People::read(&parameters)?, None, own_link(&base, &PATIENT, &parameters)).await?
        }
    };
    Ok(answer(page))
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
