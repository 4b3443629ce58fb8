//! People.

use sea_orm::sea_query::Expr;
use sea_orm::{ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::super::entities::user::{ActiveModel, Column, Entity, Model};
use super::super::error::{Result, at, conflict_at};

/// Most people that one listing holds.
pub const LISTED_MAX: u64 = 1_000;

/// Stores a new person.
///
/// # Errors
/// [`crate::control::Error::Conflict`] if the address is taken, [`crate::control::Error::Database`].
pub async fn insert(on: &impl ConnectionTrait, user: Model) -> Result<()> {
    let row: ActiveModel = ActiveModel {
        id: Set(user.id),
        email: Set(user.email),
        name: Set(user.name),
        role: Set(user.role),
        timezone: Set(user.timezone),
        password_hash: Set(user.password_hash),
        email_verified_at: Set(user.email_verified_at),
        created_at: Set(user.created_at),
        updated_at: Set(user.updated_at),
    };
    Entity::insert(row)
        .exec_without_returning(on)
        .await
        .map_err(conflict_at("insert a user", "this e-mail address"))?;
    Ok(())
}

/// The person of an id.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn by_id(on: &impl ConnectionTrait, id: &str) -> Result<Option<Model>> {
    Entity::find_by_id(id).one(on).await.map_err(at("find a user by id"))
}

/// As [`by_id`], held against changes until the transaction ends: what is decided by the row still holds at the commit.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn hold(on: &impl ConnectionTrait, id: &str) -> Result<Option<Model>> {
    Entity::find_by_id(id).lock_exclusive().one(on).await.map_err(at("find a user by id"))
}

/// The person of an address, which must be trimmed and lower-case.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn by_email(on: &impl ConnectionTrait, email: &str) -> Result<Option<Model>> {
    Entity::find().filter(Column::Email.eq(email)).one(on).await.map_err(at("find a user by address"))
}

/// People in the order of their ids, those behind `after`, at most [`LISTED_MAX`].
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn list(on: &impl ConnectionTrait, after: &str) -> Result<Vec<Model>> {
    let found = Entity::find().filter(Column::Id.gt(after)).order_by_asc(Column::Id).limit(LISTED_MAX);
    found.all(on).await.map_err(at("list users"))
}

/// Sets name and time zone, each only if given.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn set_profile(
    on: &impl ConnectionTrait,
    id: &str,
    name: Option<String>,
    timezone: Option<String>,
    now_us: i64,
) -> Result<()> {
    let mut row = ActiveModel { updated_at: Set(now_us), ..Default::default() };
    if let Some(name) = name {
        row.name = Set(name);
    }
    if let Some(timezone) = timezone {
        row.timezone = Set(timezone);
    }
    let updated = Entity::update_many().set(row).filter(Column::Id.eq(id)).exec(on).await;
    updated.map(|_| ()).map_err(at("update a user"))
}

/// Sets the password. The caller ends the person's sessions in the same transaction.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn set_password(on: &impl ConnectionTrait, id: &str, hash: &str, now_us: i64) -> Result<()> {
    let updated = Entity::update_many()
        .col_expr(Column::PasswordHash, Expr::value(hash))
        .col_expr(Column::UpdatedAt, Expr::value(now_us))
        .filter(Column::Id.eq(id))
        .exec(on)
        .await;
    updated.map(|_| ()).map_err(at("set a password"))
}

/// Notes that the address is known to be its owner's, and takes the password away: nobody knows who set it. The caller
/// ends what else lets somebody in, in the same transaction.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn set_verified(on: &impl ConnectionTrait, id: &str, now_us: i64) -> Result<()> {
    let updated = Entity::update_many()
        .col_expr(Column::EmailVerifiedAt, Expr::value(now_us))
        .col_expr(Column::PasswordHash, Expr::value(Option::<String>::None))
        .col_expr(Column::UpdatedAt, Expr::value(now_us))
        .filter(Column::Id.eq(id))
        .exec(on)
        .await;
    updated.map(|_| ()).map_err(at("note that an address is known"))
}
