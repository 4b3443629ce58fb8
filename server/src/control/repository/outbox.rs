//! Events that receivers are owed, and their deliveries. Most are made of [`super::notices`].

use std::collections::HashSet;

use sea_orm::{ActiveValue::Set, ColumnTrait, ConnectionTrait, DbBackend, EntityTrait, QueryFilter, Statement, Value};

use super::super::entities::{delivery, event};
use super::super::error::{Result, at};

/// An event to store.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// `evt_` and sixteen base62 characters.
    pub id: String,
    /// `check_in.created` and so on.
    pub kind: &'static str,
    /// Whom it speaks of.
    pub patient_id: Option<String>,
    /// The check-in, symptom, grant or endpoint.
    pub subject_id: String,
    /// What is signed and sent.
    pub body: String,
    /// When it happened.
    pub created_at: i64,
}

/// Stores an event; its seq.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn insert(on: &impl ConnectionTrait, new: NewEvent) -> Result<i64> {
    let row = event::ActiveModel {
        id: Set(new.id),
        kind: Set(new.kind.to_owned()),
        patient_id: Set(new.patient_id),
        subject_id: Set(new.subject_id),
        body: Set(new.body),
        created_at: Set(new.created_at),
        ..Default::default()
    };
    Ok(event::Entity::insert(row).exec(on).await.map_err(at("insert an event"))?.last_insert_id)
}

/// One delivery to store.
#[derive(Debug, Clone)]
pub struct NewDelivery {
    /// `dlv_` and sixteen base62 characters.
    pub id: String,
    /// Where to.
    pub webhook_id: String,
    /// Which event.
    pub event_seq: i64,
    /// `event`, `replay` or `test`.
    pub origin: &'static str,
    /// `pending`, or `dropped` where nothing is sent.
    pub status: &'static str,
    /// Why nothing is sent.
    pub error: Option<&'static str>,
    /// When it may be sent.
    pub due_at: i64,
}

/// Stores deliveries.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn insert_deliveries(on: &impl ConnectionTrait, new: Vec<NewDelivery>) -> Result<()> {
    if new.is_empty() {
        return Ok(());
    }
    let rows = new.into_iter().map(|new| delivery::ActiveModel {
        id: Set(new.id),
        webhook_id: Set(new.webhook_id),
        event_seq: Set(new.event_seq),
        origin: Set(new.origin.to_owned()),
        status: Set(new.status.to_owned()),
        tries: Set(0),
        due_at: Set(new.due_at),
        error: Set(new.error.map(str::to_owned)),
        created_at: Set(new.due_at),
        ..Default::default()
    });
    delivery::Entity::insert_many(rows).exec_without_returning(on).await.map_err(at("insert deliveries"))?;
    Ok(())
}

/// The highest seq that is seen at this moment, and who is writing events. On PostgreSQL a transaction may get its number
/// before another one and be seen behind it: up to that seq no event can appear any more once all of those have ended.
/// Nobody is held up by the question: it takes no lock. On SQLite there is one writer, and nobody to wait for.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn seen(on: &impl ConnectionTrait) -> Result<(i64, HashSet<String>)> {
    if on.get_database_backend() != DbBackend::Postgres {
        return Ok((i64::MAX, HashSet::new()));
    }
    let at = at("look at the last event");
    let statement = Statement::from_string(DbBackend::Postgres, "SELECT COALESCE(MAX(seq), 0) FROM events");
    let row = on.query_one_raw(statement).await.map_err(&at)?;
    let last_seq = row.map_or(Ok(0), |row| row.try_get_by_index(0).map_err(&at))?;
    // Asked behind it: whoever has a number below has had this lock since before they got it, until they were seen.
    Ok((last_seq, writers(on).await?))
}

/// The transactions of PostgreSQL that are writing events.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn writers(on: &impl ConnectionTrait) -> Result<HashSet<String>> {
    let at = at("look who is writing events");
    let sql = "SELECT virtualtransaction AS writer FROM pg_locks WHERE locktype = 'relation' \
               AND relation = 'events'::regclass AND mode = 'RowExclusiveLock' AND granted \
               AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    let rows = on.query_all_raw(Statement::from_string(DbBackend::Postgres, sql)).await.map_err(&at)?;
    rows.iter().map(|row| row.try_get("", "writer")).collect::<Result<_, _>>().map_err(at)
}

/// Deletes every event about a person, with the bodies in every queue and feed and what receivers answered to them; and
/// every endpoint of theirs. Part of the person's erasure, in its transaction.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn forget_person(on: &impl ConnectionTrait, user_id: &str) -> Result<()> {
    use super::super::entities::webhook;
    drop_notices(on, "patient_id = $1", [user_id.into()]).await?;
    keep_places(on, "patient_id = $1", [user_id.into()]).await?;
    let events = event::Entity::delete_many().filter(event::Column::PatientId.eq(user_id));
    events.exec(on).await.map_err(at("delete a person's events"))?;
    let own = webhook::Entity::delete_many().filter(webhook::Column::UserId.eq(user_id));
    own.exec(on).await.map_err(at("delete a person's webhooks"))?;
    Ok(())
}

/// Deletes the events about something that its patient has deleted.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn forget_subject(on: &impl ConnectionTrait, patient_id: &str, subject_id: &str) -> Result<()> {
    drop_notices(on, "subject_id = $1 AND patient_id = $2", [subject_id.into(), patient_id.into()]).await?;
    keep_places(on, "subject_id = $1 AND patient_id = $2", [subject_id.into(), patient_id.into()]).await?;
    let events = event::Entity::delete_many()
        .filter(event::Column::SubjectId.eq(subject_id))
        .filter(event::Column::PatientId.eq(patient_id));
    events.exec(on).await.map(|_| ()).map_err(at("delete the events about a subject"))
}

/// Deletes notices. To be done before events are: one that is becoming an event at this moment is waited for, and is found
/// among those.
async fn drop_notices(
    on: &impl ConnectionTrait,
    of: &'static str,
    values: impl IntoIterator<Item = Value>,
) -> Result<()> {
    let sql = format!("DELETE FROM notices WHERE {of}");
    let statement = Statement::from_sql_and_values(on.get_database_backend(), sql, values);
    on.execute_raw(statement).await.map(|_| ()).map_err(at("delete notices"))
}

/// Keeps the ids and places of events that are about to go, and nothing else of them: somebody reads a feed behind one.
async fn keep_places(
    on: &impl ConnectionTrait,
    of: &'static str,
    values: impl IntoIterator<Item = Value>,
) -> Result<()> {
    let sql =
        format!("INSERT INTO forgotten_events (id, seq, created_at) SELECT id, seq, created_at FROM events WHERE {of}");
    let statement = Statement::from_sql_and_values(on.get_database_backend(), sql, values);
    on.execute_raw(statement).await.map(|_| ()).map_err(at("keep the places of events"))
}

/// Deletes events from before `before_us` with their deliveries, the oldest `count_max`, and as many places of events that
/// were taken back; how many of that of which there were more.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn sweep(on: &impl ConnectionTrait, before_us: i64, count_max: u64) -> Result<u64> {
    // The oldest are those with the lowest numbers: no index by age is needed to find them.
    let sql = "DELETE FROM events WHERE created_at < $1 AND seq IN (SELECT seq FROM events ORDER BY seq LIMIT $2)";
    let count_max = i64::try_from(count_max).unwrap_or(i64::MAX);
    let values: [Value; 2] = [before_us.into(), count_max.into()];
    let backend = on.get_database_backend();
    let statement = Statement::from_sql_and_values(backend, sql, values.clone());
    let swept = on.execute_raw(statement).await.map_err(at("sweep events"))?.rows_affected();
    let sql = "DELETE FROM forgotten_events WHERE id IN \
               (SELECT id FROM forgotten_events WHERE created_at < $1 ORDER BY created_at LIMIT $2)";
    let statement = Statement::from_sql_and_values(backend, sql, values);
    let places = on.execute_raw(statement).await.map_err(at("sweep the places of events"))?.rows_affected();
    Ok(swept.max(places))
}
