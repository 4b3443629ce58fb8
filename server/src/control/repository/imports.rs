//! Imports, as rows.

use sea_orm::sea_query::Expr;
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, IntoActiveModel, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect,
    Select,
};

use super::super::entities::import::{Column, Entity, Model};
use super::super::error::{Error, Result, at};

/// Waits for a thread.
pub const QUEUED: &str = "queued";
/// Is being read.
pub const RUNNING: &str = "running";
/// Its owner wants no more of it; its thread has not ended yet. Told as [`RUNNING`].
pub const CANCELED: &str = "canceled";

/// Statuses of imports that still have a file.
const WAITING: [&str; 3] = [QUEUED, RUNNING, CANCELED];

/// Most ended imports of one person that are kept to be looked at.
pub const ENDED_MAX: u64 = 100;

/// How far an import has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advance {
    /// Bytes of the file that are read.
    pub bytes_read: i64,
    /// Calls of the importer that are acknowledged.
    pub calls_taken: i64,
    /// The report until there, as JSON.
    pub report: String,
}

/// How many of a person's imports have not ended.
///
/// # Errors
/// [`Error::Database`].
pub async fn count_waiting(on: &impl ConnectionTrait, user_id: &str) -> Result<u64> {
    let waiting = Entity::find().filter(Column::UserId.eq(user_id)).filter(Column::Status.is_in(WAITING));
    waiting.count(on).await.map_err(at("count imports"))
}

/// Stores an import, unless its owner has `waiting_max` that have not ended, and forgets the oldest ended ones above
/// [`ENDED_MAX`].
///
/// # Errors
/// [`Error::Limit`], [`Error::Database`].
pub async fn insert(on: &impl ConnectionTrait, row: Model, waiting_max: u64) -> Result<()> {
    if count_waiting(on, &row.user_id).await? >= waiting_max {
        return Err(Error::Limit { what: "imports that wait or run", count_max: waiting_max });
    }
    let old: Vec<String> = select_of_user(&row.user_id)
        .filter(Column::Status.is_not_in(WAITING))
        .offset(ENDED_MAX - 1)
        .limit(ENDED_MAX)
        .select_only()
        .column(Column::Id)
        .into_tuple()
        .all(on)
        .await
        .map_err(at("list old imports"))?;
    if !old.is_empty() {
        let forgotten = Entity::delete_many().filter(Column::Id.is_in(old)).exec(on).await;
        forgotten.map_err(at("forget old imports"))?;
    }
    Entity::insert(row.into_active_model()).exec_without_returning(on).await.map_err(at("insert an import"))?;
    Ok(())
}

/// A person's imports, the newest first.
///
/// # Errors
/// [`Error::Database`].
pub async fn of_user(on: &impl ConnectionTrait, user_id: &str) -> Result<Vec<Model>> {
    let found = select_of_user(user_id);
    found.limit(2 * ENDED_MAX).all(on).await.map_err(at("list imports"))
}

/// The statement of [`of_user`].
pub(in crate::control) fn select_of_user(user_id: &str) -> Select<Entity> {
    Entity::find().filter(Column::UserId.eq(user_id)).order_by_desc(Column::CreatedAt).order_by_desc(Column::Id)
}

/// A person's import of an id.
///
/// # Errors
/// [`Error::Database`].
pub async fn by_id(on: &impl ConnectionTrait, user_id: &str, id: &str) -> Result<Option<Model>> {
    let found = Entity::find_by_id(id).filter(Column::UserId.eq(user_id));
    found.one(on).await.map_err(at("find an import"))
}

/// Everybody's imports of a data directory that have not ended, the oldest first.
///
/// # Errors
/// [`Error::Database`].
pub async fn waiting(on: &impl ConnectionTrait, server: &str) -> Result<Vec<Model>> {
    select_waiting(server).all(on).await.map_err(at("list waiting imports"))
}

/// The statement of [`waiting`].
pub(in crate::control) fn select_waiting(server: &str) -> Select<Entity> {
    Entity::find()
        .filter(Column::Server.eq(server))
        // As the index says it: a list of parameters would not find it.
        .filter(Expr::cust("status IN ('queued', 'running', 'canceled')"))
        .order_by_asc(Column::CreatedAt)
        .order_by_asc(Column::Id)
}

/// Which of some imports have not ended.
///
/// # Errors
/// [`Error::Database`].
pub async fn waiting_among(on: &impl ConnectionTrait, ids: &[String]) -> Result<Vec<String>> {
    let found = Entity::find().filter(Column::Id.is_in(ids)).filter(Column::Status.is_in(WAITING));
    found.select_only().column(Column::Id).into_tuple().all(on).await.map_err(at("find waiting imports"))
}

/// Notes that a thread reads it; whether it has not been ended in between.
///
/// # Errors
/// [`Error::Database`].
pub async fn start(on: &impl ConnectionTrait, id: &str, now_us: i64) -> Result<bool> {
    let started = Entity::update_many()
        .col_expr(Column::Status, Expr::value(RUNNING))
        .col_expr(Column::UpdatedAt, Expr::value(now_us))
        .filter(Column::Id.eq(id))
        .filter(Column::Status.is_in([QUEUED, RUNNING]))
        .exec(on)
        .await;
    Ok(started.map_err(at("start an import"))?.rows_affected == 1)
}

/// Notes how far it has come; whether it has not been ended in between.
///
/// # Errors
/// [`Error::Database`].
pub async fn advance(on: &impl ConnectionTrait, id: &str, advance: &Advance, now_us: i64) -> Result<bool> {
    let advanced = Entity::update_many()
        .col_expr(Column::BytesRead, Expr::value(advance.bytes_read))
        .col_expr(Column::CallsTaken, Expr::value(advance.calls_taken))
        .col_expr(Column::Report, Expr::value(&advance.report))
        .col_expr(Column::UpdatedAt, Expr::value(now_us))
        .filter(Column::Id.eq(id))
        .filter(Column::Status.eq(RUNNING))
        .exec(on)
        .await;
    Ok(advanced.map_err(at("note how far an import is"))?.rows_affected == 1)
}

/// Notes how it ended: `done`, `partial` or `failed`. One that was to be ended and is read to its end by then is `done`.
///
/// # Errors
/// [`Error::Database`].
pub async fn end(on: &impl ConnectionTrait, row: &Model) -> Result<()> {
    let ended = Entity::update_many()
        .col_expr(Column::Status, Expr::value(&row.status))
        .col_expr(Column::BytesRead, Expr::value(row.bytes_read))
        .col_expr(Column::CallsTaken, Expr::value(row.calls_taken))
        .col_expr(Column::Report, Expr::value(&row.report))
        .col_expr(Column::Error, Expr::value(row.error.clone()))
        .col_expr(Column::UpdatedAt, Expr::value(row.updated_at))
        .filter(Column::Id.eq(&row.id))
        .filter(Column::Status.is_in(WAITING))
        .exec(on)
        .await;
    ended.map(|_| ()).map_err(at("end an import"))
}

/// Ends a person's import: one that has not ended is to be ended by its thread, however often that is said; an ended one
/// is forgotten. Whether there was one.
///
/// # Errors
/// [`Error::Database`].
pub async fn cancel(on: &impl ConnectionTrait, user_id: &str, id: &str, now_us: i64) -> Result<bool> {
    let canceled = Entity::update_many()
        .col_expr(Column::Status, Expr::value(CANCELED))
        .col_expr(Column::UpdatedAt, Expr::value(now_us))
        .filter(Column::Id.eq(id))
        .filter(Column::UserId.eq(user_id))
        .filter(Column::Status.is_in(WAITING))
        .exec(on)
        .await;
    if canceled.map_err(at("cancel an import"))?.rows_affected == 1 {
        return Ok(true);
    }
    let forgotten = Entity::delete_many()
        .filter(Column::Id.eq(id))
        .filter(Column::UserId.eq(user_id))
        .filter(Column::Status.is_not_in(WAITING))
        .exec(on)
        .await;
    Ok(forgotten.map_err(at("forget an import"))?.rows_affected == 1)
}
