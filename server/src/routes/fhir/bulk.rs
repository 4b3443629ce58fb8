//! `$export`: asked for, looked at, cancelled; and its files.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{OriginalUri, Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;
use tokio_util::io::ReaderStream;

use super::entry::Invoked;
use super::spelled;
use crate::access::export;
use crate::access::{Look, Permission, Standing, Visitor, admit};
use crate::auth::{Principal, Resource, Role, random};
use crate::control::entities::{bulk_file, bulk_job};
use crate::control::repository::bulk;
use crate::error::ApiError;
use crate::extract::Reader;
use crate::fhir::answer::{BASE, Base, check_form, http_date};
use crate::fhir::bulk::kickoff::{self, Asked};
use crate::fhir::bulk::own::Guard;
use crate::fhir::bulk::{ID_PREFIX, KEPT_PER_PERSON_MAX, Part, RUNNING_MAX, RUNNING_PER_PERSON_MAX, manifest};
use crate::fhir::outcome::{Failure, Issue};
use crate::fhir::render::patient_id;
use crate::fhir::search::parameter::{GENERAL, Handling, Parameters};
use crate::routes::ids::is_id;
use crate::state::AppState;

/// Bytes of a file that are read at once.
const PIECE_BYTES: usize = 128 << 10;

/// After how long a client should look again: soon at first, then less often.
const LOOK_AGAIN_S: (u32, u32) = (1, 10);

/// For so long it is soon.
const SOON_US: i64 = 30 * 1_000_000;

/// Seconds after which somebody who has too many exports may ask again.
const TOO_MANY_S: u32 = 60;

/// What lets points be read, and who the patient is: [`Permission::CheckIns`] includes it.
static POINTS: [Permission; 1] = [Permission::Wearables];
static CHECK_INS: [Permission; 1] = [Permission::CheckIns];

const NO_EXPORT: &str = "no such export of yours, or it is over";

/// The operations.
pub(super) fn router() -> Router<AppState> {
    let operations = [
        ("/Patient/$export", get(of_patients).post(of_patients).head(no_head)),
        ("/Group/{id}/$export", get(of_group).post(of_group).head(no_head)),
        ("/$export-status/{id}", get(status).delete(cancel)),
        ("/$export-file/{id}/{seq}", get(file)),
    ];
    operations.into_iter().fold(Router::new(), |router, (path, route)| spelled(router, path, &route))
}

/// axum answers `HEAD` by what answers `GET`, which would begin an export here.
async fn no_head() -> Response {
    let refused = ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "an export is asked for by GET or POST");
    ([(header::ALLOW, "GET,POST")], refused).into_response()
}

async fn of_patients(
    visitor: Visitor,
    State(state): State<AppState>,
    base: Base,
    OriginalUri(uri): OriginalUri,
    invoked: Invoked,
) -> Result<Response, Failure> {
    let headers = &invoked.headers;
    let asked = kickoff::read(invoked.pairs()?, Handling::of(headers))?;
    kick_off(&state, &visitor, &base, (headers, uri.path_and_query().map_or("", |uri| uri.as_str())), asked).await
}

async fn of_group(
    visitor: Visitor,
    state: State<AppState>,
    base: Base,
    Path(id): Path<String>,
    uri: OriginalUri,
    invoked: Invoked,
) -> Result<Response, Failure> {
    check_group(visitor.principal(), &id)?;
    of_patients(visitor, state, base, uri, invoked).await
}

/// A doctor has one group, of all patients who let them in; it has the doctor's id.
fn check_group(principal: &Principal, id: &str) -> Result<(), Failure> {
    let own = principal.user.as_str();
    let is_own = principal.role == Role::Doctor && (id == own || id == patient_id(own));
    if is_own { Ok(()) } else { Err(Failure::not_found("no such group; a doctor's has the doctor's id")) }
}

async fn kick_off(
    state: &AppState,
    visitor: &Visitor,
    base: &Base,
    (headers, target): (&HeaderMap, &str),
    asked: Asked,
) -> Result<Response, Failure> {
    check_form(asked.format.as_deref(), headers)?;
    kickoff::check_prefer(headers)?;
    let principal = visitor.principal();
    let types = types_of(principal, asked.types)?;
    let (user_id, now_us) = (principal.user.as_str().to_owned(), state.clock.now_us());
    let folder = state.bulk.folder().clone();
    let place = blocking(move || folder.place()).await?;
    let (scope, patients_total) = match principal.role {
        Role::Doctor => ("granted", export::all(state.control.read(), &user_id, now_us).await?.len()),
        Role::Patient => ("own", 1),
    };
    let job = bulk_job::Model {
        id: random::base62(ID_PREFIX, 16).map_err(ApiError::internal)?,
        user_id,
        client_id: principal.client().map(str::to_owned),
        place,
        request: format!("{}{}", base.0, target.strip_prefix(BASE).unwrap_or_default()),
        scope: scope.to_owned(),
        types: types.join(" "),
        since: asked.since_us,
        status: "running".to_owned(),
        error: None,
        after_patient: String::new(),
        patients_total: i64::try_from(patients_total).unwrap_or(i64::MAX),
        patients_done: 0,
        stepped_at: now_us,
        created_at: now_us,
        ended_at: None,
    };
    let id = job.id.clone();
    store(state, job).await?;
    state.bulk.wake();
    let location = format!("{}/$export-status/{id}", base.0);
    let location = HeaderValue::try_from(location).map_err(ApiError::internal)?;
    Ok((StatusCode::ACCEPTED, [(header::CONTENT_LOCATION, location)]).into_response())
}

/// The types of an export: those that are asked for, which the credential must be for; all that it is for otherwise.
fn types_of(principal: &Principal, asked: Option<Vec<Resource>>) -> Result<Vec<&'static str>, Failure> {
    let types: Vec<Resource> = match asked {
        Some(types) => types,
        None => Resource::EXPORTED.into_iter().filter(|resource| principal.may_see(*resource)).collect(),
    };
    for resource in &types {
        principal.require_resource(*resource).map_err(ApiError::from)?;
    }
    Ok(types.into_iter().map(Resource::as_str).collect())
}

/// Writes an export down, unless there are too many.
async fn store(state: &AppState, job: bulk_job::Model) -> Result<(), Failure> {
    let write = state.control.write().await?;
    let (kept, running) = bulk::count_of(write.on(), &job.user_id, &job.place).await?;
    if running >= RUNNING_PER_PERSON_MAX {
        let what = format!("{RUNNING_PER_PERSON_MAX} exports of yours are running; wait for their end, or cancel one");
        return Err(ApiError::too_many_of(what, TOO_MANY_S).into());
    }
    if kept >= KEPT_PER_PERSON_MAX {
        let what = format!("{KEPT_PER_PERSON_MAX} exports of yours are kept; delete one by its status URL");
        return Err(ApiError::too_many_of(what, TOO_MANY_S).into());
    }
    if bulk::count_running(write.on(), &job.place).await? >= RUNNING_MAX {
        return Err(ApiError::busy("too many exports are running; try again later", TOO_MANY_S).into());
    }
    bulk::insert(write.on(), job).await?;
    Ok(write.commit().await?)
}

/// The export of an id, for who asked for it: the same person, by the same client.
async fn found(state: &AppState, principal: &Principal, id: &str) -> Result<bulk_job::Model, Failure> {
    let unknown = || Failure::not_found(NO_EXPORT);
    if !is_id(ID_PREFIX, id) {
        return Err(unknown());
    }
    let folder = state.bulk.folder().clone();
    let place = blocking(move || folder.known_place()).await?.ok_or_else(unknown)?;
    let job = bulk::by_id(state.control.read(), id).await?.ok_or_else(unknown)?;
    let is_theirs = job.user_id == principal.user.as_str() && job.client_id.as_deref() == principal.client();
    let is_over = manifest::expires_us(&job).is_some_and(|expires_us| expires_us <= state.clock.now_us());
    if is_theirs && !is_over && job.place == place { Ok(job) } else { Err(unknown()) }
}

async fn status(
    Reader(principal): Reader,
    State(state): State<AppState>,
    base: Base,
    Path(id): Path<String>,
    headers: HeaderMap,
    RawQuery(raw): RawQuery,
) -> Result<Response, Failure> {
    let raw = raw.unwrap_or_default();
    let parameters = Parameters::read(&[raw.as_bytes()], &[&GENERAL], Handling::of(&headers))?;
    check_form(parameters.one("_format")?, &headers)?;
    let job = found(&state, &principal, &id).await?;
    match job.status.as_str() {
        "done" => {
            let manifest = manifest::of(&state, &job, &principal, &base).await?;
            let json = (header::CONTENT_TYPE, "application/json".to_owned());
            let expires = (header::EXPIRES, http_date(manifest::expires_us(&job).unwrap_or_default()));
            let kept = (header::CACHE_CONTROL, "no-store".to_owned());
            Ok(([json, expires, kept], manifest.to_string()).into_response())
        }
        "failed" => {
            let diagnostics = job.error.unwrap_or_default().into();
            let issue = Issue { code: "exception", diagnostics, parameter: None };
            Err(Failure::Issues(StatusCode::INTERNAL_SERVER_ERROR, vec![issue]))
        }
        _ => {
            let is_soon = state.clock.now_us().saturating_sub(job.created_at) < SOON_US;
            let again_s = if is_soon { LOOK_AGAIN_S.0 } else { LOOK_AGAIN_S.1 };
            let progress = format!("{} of {} patients", job.patients_done, job.patients_total.max(job.patients_done));
            let headers = [("x-progress", progress), ("retry-after", again_s.to_string())];
            Ok((StatusCode::ACCEPTED, headers).into_response())
        }
    }
}

async fn cancel(
    Reader(principal): Reader,
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<Response, Failure> {
    let job = found(&state, &principal, &id).await?;
    let write = state.control.write().await?;
    // What it is now: it may have come to its end since it was found.
    let was_running = bulk::hold(write.on(), &job.id).await?.is_some_and(|job| job.status == "running");
    bulk::delete(write.on(), &job.id).await?;
    write.commit().await?;
    if was_running {
        state.metrics.fhir_exports.cancelled.increment(1);
        state.bulk.wake();
    }
    let folder = state.bulk.folder().clone();
    blocking(move || folder.remove_job(&job.id)).await?;
    let done = json!({"resourceType": "OperationOutcome", "issue": [
        {"severity": "information", "code": "informational", "diagnostics": "the export and its files are deleted"}
    ]});
    let fhir = [(header::CONTENT_TYPE, "application/fhir+json")];
    Ok((StatusCode::ACCEPTED, fhir, done.to_string()).into_response())
}

/// One file. Of another person it is answered behind a record, and breaks off when the grant ends.
async fn file(
    visitor: Visitor,
    State(state): State<AppState>,
    Path((id, seq)): Path<(String, String)>,
) -> Result<Response, Failure> {
    let unknown = || Failure::not_found("no such file of an export of yours, or it is over");
    let principal = visitor.principal();
    let job = found(&state, principal, &id).await?;
    let seq: i64 = seq.parse().map_err(|_| unknown())?;
    let row = bulk::file(state.control.read(), &job.id, seq).await?.filter(|_| job.status == "done");
    let row = row.ok_or_else(unknown)?;
    let part = Part::parse(&row.part).ok_or_else(unknown)?;
    principal.require_resource(part.resource()).map_err(ApiError::from)?;
    if job.scope == "own" {
        let guard = Guard::new(state.auth.clone(), Arc::clone(&state.clock), principal.clone());
        return body_of(&state, &row).await?.map(|response| guard.guard(response)).ok_or_else(unknown);
    }
    let permissions: &'static [Permission] = if part == Part::CheckIns { &CHECK_INS } else { &POINTS };
    let range = (job.since.unwrap_or(i64::MIN), job.created_at.saturating_add(1));
    let look = Look { what: "fhir_export", metric: None, range: job.since.map(|_| range) };
    let admitted = admit(&state.control, &visitor, &row.patient_id, permissions, look).await?;
    admitted.commit().await?;
    let standing = Standing::new(&state.control, &visitor, &row.patient_id, permissions);
    let body = standing.behind(body_of(&state, &row)).await.map_err(Failure::from)?;
    body.map(|response| standing.guard(response)).ok_or_else(unknown)
}

/// The bytes of a file; `None` if it is not there as it was written.
async fn body_of(state: &AppState, row: &bulk_file::Model) -> Result<Option<Response>, ApiError> {
    let Some(file) = state.bulk.folder().open(row).await.map_err(ApiError::internal)? else { return Ok(None) };
    let body = Body::from_stream(ReaderStream::with_capacity(file, PIECE_BYTES));
    let headers = [(header::CONTENT_TYPE, "application/fhir+ndjson"), (header::CACHE_CONTROL, "no-store")];
    Ok(Some((headers, body).into_response()))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> std::io::Result<T> + Send + 'static) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await.map_err(ApiError::internal)?;
    Ok(done.map_err(ApiError::internal)?)
}
