//! Notices: events as their causes have written them down, each with the endpoints that it is for. They become events
//! and deliveries behind the request, many in one transaction.

use sea_orm::{ConnectionTrait, DbBackend, FromQueryResult, Statement, Value};

use super::super::error::{Result, at};
use super::outbox::NewEvent;

/// Whom an event is for. Which rows those are is for `crate::access` to say.
#[derive(Debug, Clone)]
pub struct Audience {
    /// What stands behind `FROM`, the endpoints as `w`: `$1` to `$6` are the event's columns, `values` follow
    /// behind them. `$find(a, b)` is the place of `b` in `a`, from 1, or 0.
    pub from: &'static str,
    /// `$7` and so on.
    pub values: Vec<Value>,
}

/// Writes a notice, if there is anybody to be told; whether there is. Cost: one statement.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn post(on: &impl ConnectionTrait, new: NewEvent, audience: Audience) -> Result<bool> {
    let backend = on.get_database_backend();
    let NewEvent { id, kind, patient_id, subject_id, body, created_at } = new;
    let event: [Value; 6] =
        [id.into(), kind.into(), patient_id.into(), subject_id.into(), body.into(), created_at.into()];
    let values = event.into_iter().chain(audience.values);
    let statement = Statement::from_sql_and_values(backend, post_sql(backend, audience.from), values);
    Ok(on.execute_raw(statement).await.map_err(at("write a notice"))?.rows_affected() > 0)
}

/// The statement of [`post`].
pub(in crate::control) fn post_sql(backend: DbBackend, from: &str) -> String {
    let find = if backend == DbBackend::Postgres { "strpos(" } else { "instr(" };
    let from = from.replace("$find(", find);
    format!(
        "INSERT INTO notices (id, kind, patient_id, subject_id, body, created_at, receivers) \
         SELECT $1, $2, $3, $4, $5, $6, string_agg(w.id, ' ') FROM {from} HAVING COUNT(*) > 0"
    )
}

/// A notice at hand.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
pub struct Notice {
    /// Its place.
    pub seq: i64,
    /// The event's id.
    pub id: String,
    /// The endpoints that it is for, with a space between.
    pub receivers: String,
}

/// How many there are.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn count(on: &impl ConnectionTrait) -> Result<u64> {
    let at = at("count notices");
    let statement = Statement::from_string(on.get_database_backend(), "SELECT COUNT(*) AS number FROM notices");
    let Some(row) = on.query_one_raw(statement).await.map_err(&at)? else { return Ok(0) };
    Ok(u64::try_from(row.try_get::<i64>("", "number").map_err(&at)?).unwrap_or(0))
}

/// The first notices, at most `count_max`, held until the transaction ends: another process waits for it, and so does
/// whoever takes back what they speak of.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn hold(on: &impl ConnectionTrait, count_max: u64) -> Result<Vec<Notice>> {
    let backend = on.get_database_backend();
    let lock = if backend == DbBackend::Postgres { " FOR UPDATE" } else { "" };
    let sql = format!("SELECT seq, id, receivers FROM notices ORDER BY seq LIMIT $1{lock}");
    let count_max = i64::try_from(count_max).unwrap_or(i64::MAX);
    let statement = Statement::from_sql_and_values(backend, sql, [Value::from(count_max)]);
    Notice::find_by_statement(statement).all(on).await.map_err(at("hold notices"))
}

/// A delivery that was made of a notice.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
pub struct Made {
    /// The delivery.
    pub id: String,
    /// Where to.
    pub webhook_id: String,
    /// `pending`, or `dropped` where nothing is sent.
    pub status: String,
}

/// What one delivery is made of: its own id, the endpoint, the id of the event.
pub type New<'a> = (String, &'a str, &'a str);

/// The statement that makes events of notices, in their order.
const EVENTS: &str = "
INSERT INTO events (id, kind, patient_id, subject_id, body, created_at)
SELECT id, kind, patient_id, subject_id, body, created_at FROM notices WHERE seq IN $seqs ORDER BY seq";

/// The one that makes deliveries, by what their endpoints are now; one that is gone gets none.
pub(in crate::control) const DELIVERIES: &str = "
INSERT INTO deliveries (id, webhook_id, event_seq, origin, status, tries, due_at, error, created_at)
SELECT j.value ->> 0, w.id, e.seq, 'event', CASE WHEN w.disabled_at IS NULL THEN 'pending' ELSE 'dropped' END, 0,
       e.created_at, CASE WHEN w.disabled_at IS NULL THEN NULL ELSE $2 END, e.created_at
FROM $each($1) AS j JOIN webhooks w ON w.id = j.value ->> 1 JOIN events e ON e.id = j.value ->> 2
RETURNING id, webhook_id, status";

/// The one with which notices go.
const DONE: &str = "DELETE FROM notices WHERE seq IN $seqs";

/// Rows of a JSON array, so that a statement has one text whatever the number of its rows: it is prepared once.
pub(in crate::control) fn in_dialect(backend: DbBackend, sql: &str) -> String {
    let sql = sql.replace("$seqs", "(SELECT CAST(CAST(j.value AS TEXT) AS BIGINT) FROM $each($1) AS j)");
    let each = if backend == DbBackend::Postgres { "json_array_elements(CAST($1 AS JSON))" } else { "json_each($1)" };
    sql.replace("$each($1)", each)
}

/// Makes events of notices that are [held](hold), and these deliveries of them; where nothing is sent at the moment one
/// is dropped for the reason `disabled`. The notices are gone then.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn spread(
    on: &impl ConnectionTrait,
    notices: &[Notice],
    deliveries: &[New<'_>],
    disabled: &str,
) -> Result<Vec<Made>> {
    let backend = on.get_database_backend();
    let seqs: Vec<i64> = notices.iter().map(|notice| notice.seq).collect();
    let seqs = serde_json::json!(seqs).to_string();
    let of_seqs = |sql| Statement::from_sql_and_values(backend, in_dialect(backend, sql), [Value::from(seqs.as_str())]);
    on.execute_raw(of_seqs(EVENTS)).await.map_err(at("make events of notices"))?;
    let values: [Value; 2] = [serde_json::json!(deliveries).to_string().into(), disabled.into()];
    let statement = Statement::from_sql_and_values(backend, in_dialect(backend, DELIVERIES), values);
    let made = Made::find_by_statement(statement).all(on).await.map_err(at("make deliveries of notices"))?;
    on.execute_raw(of_seqs(DONE)).await.map_err(at("delete notices"))?;
    Ok(made)
}
