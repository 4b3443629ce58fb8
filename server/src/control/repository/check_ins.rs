//! Check-ins.

use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect,
    Select,
};

use super::super::entities::check_in::{Column, Entity, Model};
use super::super::error::{Result, at};
use super::{Place, behind};

/// Most check-ins that one listing holds: ten a day for five years.
pub const LISTED_MAX: u64 = 20_000;

/// Stores a check-in.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn insert(on: &impl ConnectionTrait, row: Model) -> Result<()> {
    Entity::insert(row.into_active_model()).exec_without_returning(on).await.map_err(at("insert a check-in"))?;
    Ok(())
}

/// The check-ins of a person from a moment on, newest first, at most [`LISTED_MAX`].
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn of_user(on: &impl ConnectionTrait, user_id: &str, since_us: i64) -> Result<Vec<Model>> {
    select(user_id, since_us).all(on).await.map_err(at("list check-ins"))
}

/// The statement of [`of_user`].
pub(in crate::control) fn select(user_id: &str, since_us: i64) -> Select<Entity> {
    Entity::find()
        .filter(Column::UserId.eq(user_id))
        .filter(Column::CheckedInAt.gte(since_us))
        .order_by_desc(Column::CheckedInAt)
        .order_by_desc(Column::Id)
        .limit(LISTED_MAX)
}

/// A person's check-ins that were made behind a moment and id, in the order in which they were made.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn after(on: &impl ConnectionTrait, user_id: &str, place: &Place, limit: u64) -> Result<Vec<Model>> {
    select_after(user_id, place, limit).all(on).await.map_err(at("walk check-ins"))
}

/// The statement of [`after`].
pub(in crate::control) fn select_after(user_id: &str, place: &Place, limit: u64) -> Select<Entity> {
    let own = Entity::find().filter(Column::UserId.eq(user_id));
    behind(own, place, (Column::CreatedAt, Column::Id)).limit(limit)
}

/// A person's check-in of an id.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn by_id(on: &impl ConnectionTrait, user_id: &str, id: &str) -> Result<Option<Model>> {
    Entity::find_by_id(id).filter(Column::UserId.eq(user_id)).one(on).await.map_err(at("find a check-in"))
}

/// As [`by_id`], held against changes until the transaction ends.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn hold(on: &impl ConnectionTrait, user_id: &str, id: &str) -> Result<Option<Model>> {
    let found = Entity::find_by_id(id).filter(Column::UserId.eq(user_id)).lock_exclusive().one(on).await;
    found.map_err(at("find a check-in"))
}

/// Writes a check-in that is there, whole.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn update(on: &impl ConnectionTrait, row: Model) -> Result<()> {
    let id = row.id.clone();
    let updated =
        Entity::update_many().set(row.into_active_model().reset_all()).filter(Column::Id.eq(id)).exec(on).await;
    updated.map(|_| ()).map_err(at("update a check-in"))
}

/// Deletes a person's check-in; whether there was one.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn delete(on: &impl ConnectionTrait, user_id: &str, id: &str) -> Result<bool> {
    let deleted = Entity::delete_many().filter(Column::Id.eq(id)).filter(Column::UserId.eq(user_id)).exec(on).await;
    Ok(deleted.map_err(at("delete a check-in"))?.rows_affected > 0)
}
