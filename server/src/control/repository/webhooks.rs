//! Webhooks' endpoints, as rows.

use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, IntoActiveModel, PaginatorTrait, QueryFilter,
    QueryOrder, QuerySelect, Select,
};

use super::super::entities::webhook::{ActiveModel, Column, Entity, Model};
use super::super::error::{Error, Result, at};

/// Who ended an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DisabledBy {
    /// Whoever made it.
    Owner,
    /// The receiver: it answered 410.
    Gone,
    /// Nobody: it has failed for too long.
    Failing,
}

impl DisabledBy {
    /// As rows and answers say it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Gone => "gone",
            Self::Failing => "failing",
        }
    }
}

/// Stores an endpoint, unless its owner has `count_max`.
///
/// # Errors
/// [`Error::Limit`], [`Error::Database`].
pub async fn insert(on: &impl ConnectionTrait, row: Model, count_max: u64) -> Result<()> {
    let own = Entity::find().filter(Column::UserId.eq(&row.user_id));
    if own.count(on).await.map_err(at("count webhooks"))? >= count_max {
        return Err(Error::Limit { what: "webhooks", count_max });
    }
    Entity::insert(row.into_active_model()).exec_without_returning(on).await.map_err(at("insert a webhook"))?;
    Ok(())
}

/// A person's endpoints, the oldest first.
///
/// # Errors
/// [`Error::Database`].
pub async fn of_user(on: &impl ConnectionTrait, user_id: &str) -> Result<Vec<Model>> {
    select_of_user(user_id).all(on).await.map_err(at("list webhooks"))
}

/// The statement of [`of_user`].
pub(in crate::control) fn select_of_user(user_id: &str) -> Select<Entity> {
    Entity::find().filter(Column::UserId.eq(user_id)).order_by_asc(Column::CreatedAt).order_by_asc(Column::Id)
}

/// Everybody's endpoints behind an id, at most `count_max`, by their ids.
///
/// # Errors
/// [`Error::Database`].
pub async fn page(on: &impl ConnectionTrait, after: &str, count_max: u64) -> Result<Vec<Model>> {
    let found = Entity::find().filter(Column::Id.gt(after)).order_by_asc(Column::Id).limit(count_max);
    found.all(on).await.map_err(at("list webhooks"))
}

/// A person's endpoint of an id.
///
/// # Errors
/// [`Error::Database`].
pub async fn by_id(on: &impl ConnectionTrait, user_id: &str, id: &str) -> Result<Option<Model>> {
    Entity::find_by_id(id).filter(Column::UserId.eq(user_id)).one(on).await.map_err(at("find a webhook"))
}

/// The endpoint of an id, whoever has it.
///
/// # Errors
/// [`Error::Database`].
pub async fn any(on: &impl ConnectionTrait, id: &str) -> Result<Option<Model>> {
    Entity::find_by_id(id).one(on).await.map_err(at("find a webhook"))
}

/// As [`by_id`], held against changes until the transaction ends.
///
/// # Errors
/// [`Error::Database`].
pub async fn hold(on: &impl ConnectionTrait, user_id: &str, id: &str) -> Result<Option<Model>> {
    let found = Entity::find_by_id(id).filter(Column::UserId.eq(user_id)).lock_exclusive().one(on).await;
    found.map_err(at("find a webhook"))
}

/// Writes what an owner may change. The lease is the dispatchers'.
///
/// # Errors
/// [`Error::Database`].
pub async fn update(on: &impl ConnectionTrait, row: &Model) -> Result<()> {
    let changed = ActiveModel {
        url: Set(row.url.clone()),
        events: Set(row.events.clone()),
        description: Set(row.description.clone()),
        secret: Set(row.secret.clone()),
        old_secret: Set(row.old_secret.clone()),
        old_secret_until: Set(row.old_secret_until),
        disabled_at: Set(row.disabled_at),
        disabled_by: Set(row.disabled_by.clone()),
        failing_since: Set(row.failing_since),
        updated_at: Set(row.updated_at),
        ..Default::default()
    };
    let updated = Entity::update_many().set(changed).filter(Column::Id.eq(&row.id)).exec(on).await;
    updated.map(|_| ()).map_err(at("update a webhook"))
}

/// Deletes a person's endpoint with all its deliveries; whether there was one.
///
/// # Errors
/// [`Error::Database`].
pub async fn delete(on: &impl ConnectionTrait, user_id: &str, id: &str) -> Result<bool> {
    let deleted = Entity::delete_many().filter(Column::Id.eq(id)).filter(Column::UserId.eq(user_id)).exec(on).await;
    Ok(deleted.map_err(at("delete a webhook"))?.rows_affected > 0)
}

/// Deletes every endpoint of a person with all its deliveries.
///
/// # Errors
/// [`Error::Database`].
pub async fn delete_all(on: &impl ConnectionTrait, user_id: &str) -> Result<()> {
    let deleted = Entity::delete_many().filter(Column::UserId.eq(user_id)).exec(on).await;
    deleted.map(|_| ()).map_err(at("delete a person's webhooks"))
}

/// Notes that a try has failed, if none had since the last success.
///
/// # Errors
/// [`Error::Database`].
pub async fn note_failing(on: &impl ConnectionTrait, id: &str, since_us: i64) -> Result<()> {
    let updated = Entity::update_many()
        .col_expr(Column::FailingSince, Expr::value(since_us))
        .filter(Column::Id.eq(id))
        .filter(Column::FailingSince.is_null())
        .exec(on)
        .await;
    updated.map(|_| ()).map_err(at("note that a webhook fails"))
}

/// Notes that a try has succeeded.
///
/// # Errors
/// [`Error::Database`].
pub async fn note_success(on: &impl ConnectionTrait, id: &str) -> Result<()> {
    let updated = Entity::update_many()
        .col_expr(Column::FailingSince, Expr::value(Option::<i64>::None))
        .filter(Column::Id.eq(id))
        .filter(Column::FailingSince.is_not_null())
        .exec(on)
        .await;
    updated.map(|_| ()).map_err(at("note that a webhook works"))
}

/// Ends an endpoint; whether it was open until now.
///
/// # Errors
/// [`Error::Database`].
pub async fn disable(on: &impl ConnectionTrait, id: &str, by: DisabledBy, now_us: i64) -> Result<bool> {
    let updated = Entity::update_many()
        .col_expr(Column::DisabledAt, Expr::value(now_us))
        .col_expr(Column::DisabledBy, Expr::value(by.as_str()))
        .filter(Column::Id.eq(id))
        .filter(Column::DisabledAt.is_null())
        .exec(on)
        .await;
    Ok(updated.map_err(at("disable a webhook"))?.rows_affected > 0)
}
