//! API keys.

use sea_orm::sea_query::Expr;
use sea_orm::{ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder};

use super::super::entities::api_key::{ActiveModel, Column, Entity, Model};
use super::super::entities::user;
use super::super::error::{Error, Result, at};

/// Stores a new key, unless its owner has `count_max` of them.
///
/// # Errors
/// [`Error::Limit`], [`Error::Database`].
pub async fn insert(on: &impl ConnectionTrait, key: Model, count_max: u64) -> Result<()> {
    let owned = Entity::find().filter(Column::UserId.eq(&key.user_id)).count(on).await;
    if owned.map_err(at("count API keys"))? >= count_max {
        return Err(Error::Limit { what: "API keys", count_max });
    }
    let row = ActiveModel {
        id: Set(key.id),
        user_id: Set(key.user_id),
        name: Set(key.name),
        prefix: Set(key.prefix),
        hash: Set(key.hash),
        scopes: Set(key.scopes),
        created_at: Set(key.created_at),
        expires_at: Set(key.expires_at),
        last_used_at: Set(None),
    };
    Entity::insert(row).exec_without_returning(on).await.map_err(at("insert an API key"))?;
    Ok(())
}

/// The key of a hash with its owner, expired or not.
///
/// # Errors
/// [`Error::Database`].
pub async fn by_hash(on: &impl ConnectionTrait, hash: &[u8]) -> Result<Option<(Model, user::Model)>> {
    let found = Entity::find().filter(Column::Hash.eq(hash.to_vec())).one(on).await;
    let Some(key) = found.map_err(at("find an API key"))? else { return Ok(None) };
    let owner = super::users::by_id(on, &key.user_id).await?;
    Ok(owner.map(|owner| (key, owner)))
}

/// A person's keys, the oldest first.
///
/// # Errors
/// [`Error::Database`].
pub async fn of_user(on: &impl ConnectionTrait, user_id: &str) -> Result<Vec<Model>> {
    let found =
        Entity::find().filter(Column::UserId.eq(user_id)).order_by_asc(Column::CreatedAt).order_by_asc(Column::Id);
    found.all(on).await.map_err(at("list API keys"))
}

/// Whether a person has a key of this id, expired or not.
///
/// # Errors
/// [`Error::Database`].
pub async fn is_of(on: &impl ConnectionTrait, user_id: &str, id: &str) -> Result<bool> {
    let found = Entity::find_by_id(id).filter(Column::UserId.eq(user_id)).one(on).await;
    Ok(found.map_err(at("find an API key"))?.is_some())
}

/// Deletes a key of a person; whether there was one.
///
/// # Errors
/// [`Error::Database`].
pub async fn delete(on: &impl ConnectionTrait, user_id: &str, id: &str) -> Result<bool> {
    let deleted = Entity::delete_many().filter(Column::Id.eq(id)).filter(Column::UserId.eq(user_id)).exec(on).await;
    Ok(deleted.map_err(at("delete an API key"))?.rows_affected > 0)
}

/// Deletes a key, whoever has it; whether there was one.
///
/// # Errors
/// [`Error::Database`].
pub async fn revoke(on: &impl ConnectionTrait, id: &str) -> Result<bool> {
    let deleted = Entity::delete_many().filter(Column::Id.eq(id)).exec(on).await;
    Ok(deleted.map_err(at("delete an API key"))?.rows_affected > 0)
}

/// Notes when a key was last used.
///
/// # Errors
/// [`Error::Database`].
pub async fn touch(on: &impl ConnectionTrait, id: &str, used_at: i64) -> Result<()> {
    let updated = Entity::update_many()
        .col_expr(Column::LastUsedAt, Expr::value(used_at))
        .filter(Column::Id.eq(id))
        .exec(on)
        .await;
    updated.map(|_| ()).map_err(at("note the use of an API key"))
}

/// Deletes every key of a person.
///
/// # Errors
/// [`Error::Database`].
pub async fn delete_all(on: &impl ConnectionTrait, user_id: &str) -> Result<()> {
    let deleted = Entity::delete_many().filter(Column::UserId.eq(user_id)).exec(on).await;
    deleted.map(|_| ()).map_err(at("delete a person's API keys"))
}
