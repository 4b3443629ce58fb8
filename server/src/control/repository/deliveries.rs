//! What becomes of each event at each endpoint.

use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, FromQueryResult, QueryFilter, Statement, Value,
};

use super::super::entities::delivery::{ActiveModel, Column, Entity};
use super::super::error::{Result, at};

/// A try to make: the delivery, its event, its endpoint.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
pub struct Job {
    /// The delivery.
    pub delivery_id: String,
    /// Tries that have ended.
    pub tries: i32,
    /// The event.
    pub event_id: String,
    /// `check_in.created` and so on.
    pub kind: String,
    /// Whom it speaks of.
    pub patient_id: Option<String>,
    /// What it speaks of.
    pub subject_id: String,
    /// What is signed and sent.
    pub body: String,
    /// The endpoint.
    pub webhook_id: String,
    /// The endpoint's owner.
    pub user_id: String,
    /// Where to.
    pub url: String,
    /// Encrypted.
    pub secret: Vec<u8>,
    /// Encrypted.
    pub old_secret: Option<Vec<u8>>,
    /// Until when the old one signs.
    pub old_secret_until: Option<i64>,
    /// Since when the endpoint fails.
    pub failing_since: Option<i64>,
}

/// The first delivery of an endpoint that is due and not among `flying`: in the order of creation, a retry where its time
/// puts it.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn next(on: &impl ConnectionTrait, webhook_id: &str, now_us: i64, flying: &[String]) -> Result<Option<Job>> {
    let sql = next_sql(flying.len());
    let fixed: [Value; 2] = [webhook_id.into(), now_us.into()];
    let values = fixed.into_iter().chain(flying.iter().map(|id| id.as_str().into()));
    let statement = Statement::from_sql_and_values(on.get_database_backend(), sql, values);
    Job::find_by_statement(statement).one(on).await.map_err(at("find the next delivery"))
}

/// The statement of [`next`], with so many deliveries left out.
pub(in crate::control) fn next_sql(flying: usize) -> String {
    let except = if flying == 0 {
        String::new()
    } else {
        let places: Vec<_> = (3..3 + flying).map(|nth| format!("${nth}")).collect();
        format!("AND d.id NOT IN ({})", places.join(", "))
    };
    format!(
        "SELECT d.id AS delivery_id, d.tries, e.id AS event_id, e.kind, e.patient_id, e.subject_id, e.body, \
         d.webhook_id, w.user_id, w.url, w.secret, w.old_secret, w.old_secret_until, w.failing_since \
         FROM deliveries d JOIN events e ON e.seq = d.event_seq JOIN webhooks w ON w.id = d.webhook_id \
         WHERE d.webhook_id = $1 AND d.status = 'pending' AND d.due_at <= $2 AND w.disabled_at IS NULL {except} \
         ORDER BY d.due_at, d.event_seq LIMIT 1"
    )
}

/// What a try left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Try {
    /// `pending`, `delivered`, `dropped` or `withdrawn`.
    pub status: &'static str,
    /// Tries that have ended, this one among them.
    pub tries: i32,
    /// When the next one may begin.
    pub due_at: Option<i64>,
    /// When it began.
    pub tried_at: i64,
    /// The answer's.
    pub status_code: Option<u16>,
    /// How long it took.
    pub latency_ms: i64,
    /// The first bytes of the answer.
    pub answer: Option<String>,
    /// Why it failed.
    pub error: Option<&'static str>,
}

/// Writes a try down. One that failed changes nothing of a delivery that has ended meanwhile.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn record(on: &impl ConnectionTrait, id: &str, made: &Try) -> Result<()> {
    let mut row = ActiveModel {
        status: Set(made.status.to_owned()),
        tries: Set(made.tries),
        tried_at: Set(Some(made.tried_at)),
        status_code: Set(made.status_code.map(i32::from)),
        latency_ms: Set(Some(made.latency_ms)),
        answer: Set(made.answer.clone()),
        error: Set(made.error.map(str::to_owned)),
        ..Default::default()
    };
    if let Some(due_at) = made.due_at {
        row.due_at = Set(due_at);
    }
    let mut made_of = Entity::update_many().set(row).filter(Column::Id.eq(id));
    if made.status != "delivered" {
        made_of = made_of.filter(Column::Status.eq("pending"));
    }
    made_of.exec(on).await.map(|_| ()).map_err(at("record a try"))
}

/// Marks a delivery whose receiver may not have it any more.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn withdraw(on: &impl ConnectionTrait, id: &str) -> Result<()> {
    let pending = Entity::update_many()
        .col_expr(Column::Status, Expr::value("withdrawn"))
        .filter(Column::Id.eq(id))
        .filter(Column::Status.eq("pending"));
    pending.exec(on).await.map(|_| ()).map_err(at("withdraw a delivery"))
}

/// A delivery that was given up: its id and its event's.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
pub struct Dropped {
    /// The delivery.
    pub id: String,
    /// Its event.
    pub event_id: String,
}

/// Gives up everything that an endpoint still waits for.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn drop_pending(on: &impl ConnectionTrait, webhook_id: &str, error: &'static str) -> Result<Vec<Dropped>> {
    let sql = "SELECT d.id, e.id AS event_id FROM deliveries d JOIN events e ON e.seq = d.event_seq \
               WHERE d.webhook_id = $1 AND d.status = 'pending' ORDER BY d.due_at, d.event_seq";
    let statement = Statement::from_sql_and_values(on.get_database_backend(), sql, [Value::from(webhook_id)]);
    let dropped = Dropped::find_by_statement(statement).all(on).await.map_err(at("find pending deliveries"))?;
    let updated = Entity::update_many()
        .col_expr(Column::Status, Expr::value("dropped"))
        .col_expr(Column::Error, Expr::value(error))
        .filter(Column::WebhookId.eq(webhook_id))
        .filter(Column::Status.eq("pending"))
        .exec(on)
        .await;
    updated.map(|_| dropped).map_err(at("drop pending deliveries"))
}

/// A delivery as it is listed, and what its event speaks of.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
pub struct Listed {
    /// The delivery.
    pub id: String,
    /// Which event, for another delivery of it.
    pub event_seq: i64,
    /// The event's id.
    pub event_id: String,
    /// `check_in.created` and so on.
    pub kind: String,
    /// Whom it speaks of.
    pub patient_id: Option<String>,
    /// What it speaks of.
    pub subject_id: String,
    /// `event`, `replay` or `test`.
    pub origin: String,
    /// `pending`, `delivered`, `dropped` or `withdrawn`.
    pub status: String,
    /// Tries that have ended.
    pub tries: i32,
    /// When the next try may begin.
    pub due_at: i64,
    /// When the last try began.
    pub tried_at: Option<i64>,
    /// The last answer's.
    pub status_code: Option<i32>,
    /// How long the last try took.
    pub latency_ms: Option<i64>,
    /// The first bytes of the last answer.
    pub answer: Option<String>,
    /// Why the last try failed.
    pub error: Option<String>,
    /// When it was made.
    pub created_at: i64,
}

const LISTED: &str = "
SELECT d.id, d.event_seq, e.id AS event_id, e.kind, e.patient_id, e.subject_id, d.origin, d.status, d.tries, d.due_at,
       d.tried_at, d.status_code, d.latency_ms, d.answer, d.error, d.created_at
FROM deliveries d JOIN events e ON e.seq = d.event_seq";

/// Deliveries of an endpoint before a place (seq of the event, time and id of the last one of the page before): the newest
/// events first, and of each its newest deliveries.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn list(
    on: &impl ConnectionTrait,
    webhook_id: &str,
    (seq, at_us, id): (i64, i64, &str),
    count_max: i64,
) -> Result<Vec<Listed>> {
    let sql = format!(
        "{LISTED} WHERE d.webhook_id = $1 AND d.event_seq <= $2 AND (d.event_seq, d.created_at, d.id) < ($2, $3, $4) \
         ORDER BY d.event_seq DESC, d.created_at DESC, d.id DESC LIMIT $5"
    );
    let values: [Value; 5] = [webhook_id.into(), seq.into(), at_us.into(), id.into(), count_max.into()];
    let statement = Statement::from_sql_and_values(on.get_database_backend(), sql, values);
    Listed::find_by_statement(statement).all(on).await.map_err(at("list deliveries"))
}

/// The delivery of an id at an endpoint.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn by_id(on: &impl ConnectionTrait, webhook_id: &str, id: &str) -> Result<Option<Listed>> {
    let sql = format!("{LISTED} WHERE d.webhook_id = $1 AND d.id = $2");
    let values: [Value; 2] = [webhook_id.into(), id.into()];
    let statement = Statement::from_sql_and_values(on.get_database_backend(), sql, values);
    Listed::find_by_statement(statement).one(on).await.map_err(at("find a delivery"))
}

/// An event that an endpoint was owed.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
pub struct Owed {
    /// Its place.
    pub event_seq: i64,
    /// Its id.
    pub event_id: String,
    /// `check_in.created` and so on.
    pub kind: String,
    /// Whom it speaks of.
    pub patient_id: Option<String>,
    /// What it speaks of.
    pub subject_id: String,
    /// As it was signed.
    pub body: String,
}

/// Which of the owed events are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// All of them.
    All,
    /// Those that never arrived and are not on their way.
    Failed,
}

/// A stretch of what an endpoint was owed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// Behind the event of this seq.
    pub behind_seq: i64,
    /// Up to the event of this seq.
    pub last_seq: i64,
    /// Not from before this.
    pub since_us: i64,
}

/// What an endpoint was owed, in order.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn owed(
    on: &impl ConnectionTrait,
    webhook_id: &str,
    which: Which,
    stretch: Stretch,
    count_max: i64,
) -> Result<Vec<Owed>> {
    let sql = owed_sql(which);
    let Stretch { behind_seq, last_seq, since_us } = stretch;
    let values: [Value; 5] = [webhook_id.into(), behind_seq.into(), last_seq.into(), since_us.into(), count_max.into()];
    let statement = Statement::from_sql_and_values(on.get_database_backend(), sql, values);
    Owed::find_by_statement(statement).all(on).await.map_err(at("list owed events"))
}

/// The statement of [`owed`].
pub(in crate::control) fn owed_sql(which: Which) -> String {
    let failed = match which {
        Which::All => "",
        Which::Failed => {
            "AND NOT EXISTS (SELECT 1 FROM deliveries x WHERE x.event_seq = d.event_seq \
             AND x.webhook_id = d.webhook_id AND x.status IN ('delivered', 'pending'))"
        }
    };
    format!(
        "SELECT d.event_seq, e.id AS event_id, e.kind, e.patient_id, e.subject_id, e.body \
         FROM deliveries d JOIN events e ON e.seq = d.event_seq \
         WHERE d.webhook_id = $1 AND d.origin = 'event' AND d.event_seq > $2 AND d.event_seq <= $3 \
         AND e.created_at >= $4 {failed} ORDER BY d.event_seq LIMIT $5"
    )
}

/// The seq of an event that an endpoint was told of in whatever way, or of any event that its patient has taken back:
/// of that no more is left than its place.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn place(on: &impl ConnectionTrait, webhook_id: &str, event_id: &str) -> Result<Option<i64>> {
    let sql = "SELECT e.seq AS event_seq FROM events e WHERE e.id = $2 AND EXISTS \
               (SELECT 1 FROM deliveries d WHERE d.event_seq = e.seq AND d.webhook_id = $1) \
               UNION ALL SELECT seq FROM forgotten_events WHERE id = $2";
    let values: [Value; 2] = [webhook_id.into(), event_id.into()];
    let statement = Statement::from_sql_and_values(on.get_database_backend(), sql, values);
    let at = at("find the place of an event");
    let Some(row) = on.query_one_raw(statement).await.map_err(&at)? else { return Ok(None) };
    Ok(Some(row.try_get("", "event_seq").map_err(&at)?))
}

/// How much waits: number, and the earliest time from which something is due.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn waiting(on: &impl ConnectionTrait, webhook_id: Option<&str>) -> Result<(i64, Option<i64>)> {
    let mut sql =
        "SELECT COUNT(*) AS number, MIN(due_at) AS due_at FROM deliveries WHERE status = 'pending'".to_owned();
    let mut values = Vec::new();
    if let Some(webhook_id) = webhook_id {
        sql.push_str(" AND webhook_id = $1");
        values.push(Value::from(webhook_id));
    }
    let statement = Statement::from_sql_and_values(on.get_database_backend(), sql, values);
    let at = at("count pending deliveries");
    let Some(row) = on.query_one_raw(statement).await.map_err(&at)? else { return Ok((0, None)) };
    Ok((row.try_get("", "number").map_err(&at)?, row.try_get("", "due_at").map_err(&at)?))
}
