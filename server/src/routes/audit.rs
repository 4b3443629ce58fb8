//! `/audit`: who has read one's own data.

use std::collections::HashMap;

use axum::Json;
use axum::extract::{RawQuery, State};
use sea_orm::ConnectionTrait;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::time::rfc3339;
use crate::control::entities::audit_record::Model;
use crate::control::repository::{audit, audit_many, grants};
use crate::error::ApiError;
use crate::extract::{Query, Reader};
use crate::state::AppState;

/// Most records of one page.
const LIMIT_MAX: u32 = 1_000;
const LIMIT_DEFAULT: u32 = 100;
/// Largest cursor: eighteen digits, which every reader of the description can hold.
const CURSOR_MAX: i64 = 999_999_999_999_999_999;

/// Characters of a statement that a record shows.
const SQL_CHARACTERS_MAX: u32 = 2_000;
/// How ids of people begin.
const ID_PREFIX: &str = "usr_";

/// The operations, below `/api/v1`.
pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list))
}

/// One read of one's data by somebody else.
#[derive(Debug, Serialize, ToSchema)]
pub struct AuditRecord {
    /// From 1 without a gap.
    #[schema(example = 17)]
    pub seq: i64,
    /// When.
    #[schema(example = "2026-06-01T07:30:00Z", format = DateTime)]
    pub at: String,
    /// Who.
    #[schema(example = "usr_9kLmNoPq")]
    pub actor_id: String,
    /// Their name; null if they have no account any more.
    pub actor_name: Option<String>,
    /// The operation in a word. Reads: `check_ins`, `symptoms`, `wearables`, `wearables_latest`, `overview`, `sql`;
    /// of FHIR: `fhir_observation`, `fhir_observations`, `fhir_patient`, `fhir_export` for a file of an export;
    /// of webhooks: `webhook_events` for the feed, `webhook_replay` for events that a doctor had sent once more, by replay
    /// or recover. Writes: `wearables_write` for a stream that held points for the patient.
    #[schema(example = "wearables")]
    pub what: String,
    /// Of `wearables`: which metric.
    #[schema(example = "heart_rate")]
    pub metric: Option<String>,
    /// First moment that was asked for, where there was a range.
    #[schema(format = DateTime)]
    pub start: Option<String>,
    /// First moment behind it.
    #[schema(format = DateTime)]
    pub end: Option<String>,
    /// Of `sql`: the statement and its parameters, up to 2,000 characters of it, the ids of others left out. Null where
    /// it was erased because it named somebody who was.
    pub sql: Option<String>,
    /// From which address.
    #[schema(example = "192.0.2.1")]
    pub address: String,
    /// By `token`, `key` or `client`: a login, an API key, or another system that acts for the doctor.
    #[schema(example = "token")]
    pub means: String,
    /// The token's, the key's or the client's id.
    pub means_id: String,
    /// By which grant.
    #[schema(example = "grt_3fYqZ0dTnUe1xK9s")]
    pub grant_id: String,
    /// SHA-256 over this record and the hash of the one before it.
    pub hash: String,
}

/// A page of the trail.
#[derive(Debug, Serialize, ToSchema)]
pub struct AuditPage {
    /// Newest first.
    pub records: Vec<AuditRecord>,
    /// The next page's `cursor`; null on the last one.
    #[schema(example = "17")]
    pub next_cursor: Option<String>,
}

/// Who has read one's own data: newest first, a page at a time.
#[utoipa::path(
    get, path = "/audit", tag = "audit",
    params(
        ("limit" = Option<u32>, Query, description = "records of a page; 100 by default", minimum = 1, maximum = 1000),
        ("cursor" = Option<String>, Query, description = "the page before's `next_cursor`", min_length = 1,
            max_length = 18, pattern = "^[1-9][0-9]*$"),
    ),
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 200, description = "records", body = AuditPage), (status = 422, description = "faults, located"))
)]
async fn list(
    Reader(principal): Reader,
    State(state): State<AppState>,
    RawQuery(raw): RawQuery,
) -> Result<Json<AuditPage>, ApiError> {
    let mut query = Query::parse(raw.as_deref(), &["limit", "cursor"])?;
    let limit = u64::from(query.integer("limit", 1..=LIMIT_MAX).unwrap_or(LIMIT_DEFAULT));
    let below = match query.text("cursor").map(str::parse::<i64>) {
        None => i64::MAX,
        Some(Ok(below)) if (1..=CURSOR_MAX).contains(&below) => below,
        Some(_) => {
            query.refuse("cursor", "must be a `next_cursor`");
            0
        }
    };
    query.finish()?;
    let on = state.control.read();
    let rows = audit::page(on, principal.user.as_str(), below, limit).await?;
    let mut actors: Vec<_> = rows.iter().map(|row| row.actor_id.clone()).collect();
    actors.sort_unstable();
    actors.dedup();
    let people = grants::people(on, actors).await?;
    let next_cursor = rows.last().filter(|row| row.seq > 1).map(|row| row.seq.to_string());
    let asked = asked(on, &rows).await?;
    let name_of = |row: &Model| people.get(&row.actor_id).map(|person| person.name.clone());
    let records = rows.into_iter().map(|row| record_of(name_of(&row), &asked, row)).collect();
    Ok(Json(AuditPage { records, next_cursor }))
}

/// What was asked in SQL, by its hash.
pub(super) type Asked = HashMap<Vec<u8>, String>;

/// What the records of these rows were asked.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub(super) async fn asked(on: &impl ConnectionTrait, rows: &[Model]) -> crate::control::Result<Asked> {
    let hashes = rows.iter().filter_map(|row| row.query_hash.clone()).collect();
    audit_many::queries(on, hashes, SQL_CHARACTERS_MAX).await
}

/// As the patient sees it.
pub(super) fn record_of(actor_name: Option<String>, asked: &Asked, row: Model) -> AuditRecord {
    let sql = row.query_hash.as_ref().and_then(|hash| asked.get(hash));
    AuditRecord {
        sql: sql.map(|sql| without_others(sql, &row.patient_id)),
        seq: row.seq,
        at: rfc3339(row.at),
        actor_id: row.actor_id,
        actor_name,
        what: row.what,
        metric: row.metric,
        start: row.range_start.map(rfc3339),
        end: row.range_end.map(rfc3339),
        address: row.address,
        means: row.means,
        means_id: row.means_id,
        grant_id: row.grant_id,
        hash: hex::encode(row.hash),
    }
}

/// A statement without the ids of other people, and without the beginnings of ids: who else is a patient of this doctor is
/// nobody's business.
fn without_others(sql: &str, own: &str) -> String {
    let mut shown = String::with_capacity(sql.len());
    let mut rest = sql;
    while let Some(at) = rest.find(ID_PREFIX) {
        let (before, found) = rest.split_at(at);
        let end = found.find(|character: char| !character.is_ascii_alphanumeric() && character != '_');
        let (id, behind) = found.split_at(end.unwrap_or(found.len()));
        shown.push_str(before);
        shown.push_str(if id == own { id } else { "usr_…" });
        rest = behind;
    }
    shown.push_str(rest);
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patient_sees_their_own_id_alone() {
        let sql =
            "SELECT 1 FROM points WHERE user_id IN ('usr_0000000a', 'usr_0000000b') OR user_id LIKE 'usr_00%' -- usr_";
        let expected =
            "SELECT 1 FROM points WHERE user_id IN ('usr_0000000a', 'usr_…') OR user_id LIKE 'usr_…%' -- usr_…";
        assert_eq!(without_others(sql, "usr_0000000a"), expected);
        assert_eq!(without_others("SELECT 1", "usr_0000000a"), "SELECT 1");
    }
}
