//! Which dispatcher sends for which endpoint. A lease is for a time: what a dead one holds is taken over behind it.

use std::collections::HashSet;

use sea_orm::{ConnectionTrait, DbBackend, FromQueryResult, Statement, Value};

use super::super::error::{Result, at};

/// An endpoint with something due.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
pub struct Due {
    /// The endpoint.
    pub id: String,
    /// Who has it now, or had it last.
    pub lease_owner: Option<String>,
}

/// The statement of [`due`].
pub(in crate::control) const DUE: &str = "
SELECT w.id, w.lease_owner FROM webhooks w
WHERE w.disabled_at IS NULL AND (w.lease_until <= $1 OR w.lease_owner = $2)
  AND EXISTS (SELECT 1 FROM deliveries d WHERE d.webhook_id = w.id AND d.status = 'pending' AND d.due_at <= $1)
ORDER BY w.lease_until, w.id LIMIT $3";

/// Endpoints with something due that `owner` has or may take, the longest untouched first. Cost: a look into an index
/// for each endpoint.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn due(on: &impl ConnectionTrait, owner: &str, now_us: i64, count_max: i64) -> Result<Vec<Due>> {
    let values: [Value; 3] = [now_us.into(), owner.into(), count_max.into()];
    let statement = Statement::from_sql_and_values(on.get_database_backend(), DUE, values);
    Due::find_by_statement(statement).all(on).await.map_err(at("find due webhooks"))
}

/// An endpoint that was taken.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
pub struct Taken {
    /// The endpoint.
    pub id: String,
    /// Whose it is.
    pub user_id: String,
    /// Since when it fails.
    pub failing_since: Option<i64>,
}

/// Takes those of some endpoints that nobody else has, until `until_us`.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn take(
    on: &impl ConnectionTrait,
    ids: &[String],
    owner: &str,
    now_us: i64,
    until_us: i64,
) -> Result<Vec<Taken>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    // Another process that is taking the same ones at this moment is not waited for.
    let skip = if on.get_database_backend() == DbBackend::Postgres { " FOR UPDATE SKIP LOCKED" } else { "" };
    let places: Vec<_> = (4..4 + ids.len()).map(|nth| format!("${nth}")).collect();
    let sql = format!(
        "UPDATE webhooks SET lease_owner = $1, lease_until = $2 WHERE id IN (SELECT w.id FROM webhooks w \
         WHERE w.id IN ({}) AND w.disabled_at IS NULL AND (w.lease_until <= $3 OR w.lease_owner = $1){skip}) \
         RETURNING id, user_id, failing_since",
        places.join(", ")
    );
    let fixed: [Value; 3] = [owner.into(), until_us.into(), now_us.into()];
    let values = fixed.into_iter().chain(ids.iter().map(|id| id.as_str().into()));
    let statement = Statement::from_sql_and_values(on.get_database_backend(), sql, values);
    Taken::find_by_statement(statement).all(on).await.map_err(at("lease webhooks"))
}

/// Moves the end of everything that `owner` still has; which endpoints that is.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn renew(on: &impl ConnectionTrait, owner: &str, until_us: i64) -> Result<HashSet<String>> {
    let values: [Value; 2] = [owner.into(), until_us.into()];
    let sql = "UPDATE webhooks SET lease_until = $2 WHERE lease_owner = $1 RETURNING id";
    let statement = Statement::from_sql_and_values(on.get_database_backend(), sql, values);
    let at = at("renew leases");
    let rows = on.query_all_raw(statement).await.map_err(&at)?;
    rows.iter().map(|row| row.try_get("", "id")).collect::<Result<_, _>>().map_err(at)
}

/// Gives endpoints back: those of `ids`, or all that `owner` has.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn release(on: &impl ConnectionTrait, owner: &str, ids: Option<&[String]>) -> Result<()> {
    let mut sql = "UPDATE webhooks SET lease_owner = NULL, lease_until = 0 WHERE lease_owner = $1".to_owned();
    let mut values: Vec<Value> = vec![owner.into()];
    if let Some(ids) = ids {
        let places: Vec<_> = (2..2 + ids.len()).map(|nth| format!("${nth}")).collect();
        sql = format!("{sql} AND id IN ({})", places.join(", "));
        values.extend(ids.iter().map(|id| Value::from(id.as_str())));
    }
    let statement = Statement::from_sql_and_values(on.get_database_backend(), sql, values);
    on.execute_raw(statement).await.map(|_| ()).map_err(at("release leases"))
}
