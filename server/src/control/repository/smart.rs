//! Clients of SMART backend services, and the assertions that they have spent.

use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, IntoActiveModel, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect,
    Statement, Value,
};

use super::super::entities::smart_client::{Column, Entity, Model};
use super::super::entities::user;
use super::super::error::{Error, Result, at};

/// Most clients of one doctor.
pub const PER_OWNER_MAX: u64 = 100;

/// Stores a new client, unless its owner has [`PER_OWNER_MAX`].
///
/// # Errors
/// [`Error::Limit`], [`Error::Database`].
pub async fn insert(on: &impl ConnectionTrait, row: Model) -> Result<()> {
    let owned = Entity::find().filter(Column::UserId.eq(&row.user_id)).count(on).await;
    if owned.map_err(at("count SMART clients"))? >= PER_OWNER_MAX {
        return Err(Error::Limit { what: "SMART clients", count_max: PER_OWNER_MAX });
    }
    let inserted = Entity::insert(row.into_active_model()).exec_without_returning(on).await;
    inserted.map(|_| ()).map_err(at("insert a SMART client"))
}

/// The client of an id with its owner.
///
/// # Errors
/// [`Error::Database`].
pub async fn with_owner(on: &impl ConnectionTrait, id: &str) -> Result<Option<(Model, user::Model)>> {
    let found = Entity::find_by_id(id).one(on).await;
    let Some(client) = found.map_err(at("find a SMART client"))? else { return Ok(None) };
    let owner = super::users::by_id(on, &client.user_id).await?;
    Ok(owner.map(|owner| (client, owner)))
}

/// A person's clients, the oldest first.
///
/// # Errors
/// [`Error::Database`].
pub async fn of_user(on: &impl ConnectionTrait, user_id: &str) -> Result<Vec<Model>> {
    let found =
        Entity::find().filter(Column::UserId.eq(user_id)).order_by_asc(Column::CreatedAt).order_by_asc(Column::Id);
    found.all(on).await.map_err(at("list a person's SMART clients"))
}

/// Everybody's clients behind an id, in the order of ids.
///
/// # Errors
/// [`Error::Database`].
pub async fn page(on: &impl ConnectionTrait, after: &str, limit: u64) -> Result<Vec<Model>> {
    let found = Entity::find().filter(Column::Id.gt(after)).order_by_asc(Column::Id).limit(limit);
    found.all(on).await.map_err(at("list SMART clients"))
}

/// Gives a client other keys, whoever has it; whether there was one.
///
/// # Errors
/// [`Error::Database`].
pub async fn set_keys(on: &impl ConnectionTrait, id: &str, jwks: &str) -> Result<bool> {
    let set = Entity::update_many().col_expr(Column::Jwks, jwks.into()).filter(Column::Id.eq(id)).exec(on).await;
    Ok(set.map_err(at("set a SMART client's keys"))?.rows_affected > 0)
}

/// Removes a client, whoever has it; whether there was one.
///
/// # Errors
/// [`Error::Database`].
pub async fn remove(on: &impl ConnectionTrait, id: &str) -> Result<bool> {
    let removed = Entity::delete_many().filter(Column::Id.eq(id)).exec(on).await;
    Ok(removed.map_err(at("remove a SMART client"))?.rows_affected > 0)
}

/// Notes that an assertion was used, by the hash of its client and its id; whether it had not been before. Of two
/// processes that try at one moment one is told so.
///
/// # Errors
/// [`Error::Database`].
pub async fn spend(on: &impl ConnectionTrait, hash: &[u8; 32], expires_at: i64) -> Result<bool> {
    let sql = "INSERT INTO smart_assertions (hash, expires_at) VALUES ($1, $2) ON CONFLICT (hash) DO NOTHING";
    let values: [Value; 2] = [hash.to_vec().into(), expires_at.into()];
    let statement = Statement::from_sql_and_values(on.get_database_backend(), sql, values);
    Ok(on.execute_raw(statement).await.map_err(at("note the use of an assertion"))?.rows_affected() > 0)
}

/// Forgets assertions that would be refused by their own time.
///
/// # Errors
/// [`Error::Database`].
pub async fn sweep(on: &impl ConnectionTrait, now_us: i64) -> Result<()> {
    let sql = "DELETE FROM smart_assertions WHERE expires_at <= $1";
    let statement = Statement::from_sql_and_values(on.get_database_backend(), sql, [Value::from(now_us)]);
    on.execute_raw(statement).await.map(|_| ()).map_err(at("sweep assertions"))
}
