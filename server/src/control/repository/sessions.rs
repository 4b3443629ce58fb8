//! Sessions and the refresh tokens of each.

use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Select,
};

use super::super::entities::{refresh_token, session, user};
use super::super::error::{Result, at};
use super::{Place, behind};

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Its owner said so.
    Logout,
    /// A spent refresh token came back: somebody has a copy.
    Reuse,
    /// The password changed.
    Password,
    /// The address's owner came in for the first time; whoever began it may be somebody else.
    Claimed,
}

impl End {
    fn as_str(self) -> &'static str {
        match self {
            Self::Logout => "logout",
            Self::Reuse => "reuse",
            Self::Password => "password",
            Self::Claimed => "claimed",
        }
    }
}

/// What became of a refresh token that was presented.
#[derive(Debug, PartialEq, Eq)]
pub enum Spent {
    /// It was good, and is spent now.
    Now {
        /// Its session, still open.
        session: session::Model,
    },
    /// It was spent before. Its session, open or not.
    Before {
        /// The session's id.
        session_id: String,
    },
    /// It is unknown, expired, or its session has ended.
    No,
}

/// Stores a new session.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn insert(on: &impl ConnectionTrait, id: &str, user_id: &str, now_us: i64, expires_at: i64) -> Result<()> {
    let row = session::ActiveModel {
        id: Set(id.to_owned()),
        user_id: Set(user_id.to_owned()),
        created_at: Set(now_us),
        expires_at: Set(expires_at),
        ended_at: Set(None),
        end_reason: Set(None),
    };
    session::Entity::insert(row).exec_without_returning(on).await.map_err(at("insert a session"))?;
    Ok(())
}

/// Stores a session's next refresh token and moves the session's expiry on.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn insert_token(
    on: &impl ConnectionTrait,
    session_id: &str,
    hash: &[u8],
    now_us: i64,
    expires_at: i64,
) -> Result<()> {
    let row = refresh_token::ActiveModel {
        hash: Set(hash.to_vec()),
        session_id: Set(session_id.to_owned()),
        created_at: Set(now_us),
        expires_at: Set(expires_at),
        spent_at: Set(None),
    };
    refresh_token::Entity::insert(row).exec_without_returning(on).await.map_err(at("insert a refresh token"))?;
    session::Entity::update_many()
        .col_expr(session::Column::ExpiresAt, Expr::value(expires_at))
        .filter(session::Column::Id.eq(session_id))
        .exec(on)
        .await
        .map_err(at("move a session's expiry"))?;
    Ok(())
}

/// Spends a refresh token. Of two callers with the same token, exactly one gets [`Spent::Now`].
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn spend(on: &impl ConnectionTrait, hash: &[u8], now_us: i64) -> Result<Spent> {
    use refresh_token::{Column, Entity};
    let updated = Entity::update_many()
        .col_expr(Column::SpentAt, Expr::value(now_us))
        .filter(Column::Hash.eq(hash.to_vec()))
        .filter(Column::SpentAt.is_null())
        .filter(Column::ExpiresAt.gt(now_us))
        .exec(on)
        .await
        .map_err(at("spend a refresh token"))?;
    let Some(token) = by_token(on, hash).await? else { return Ok(Spent::No) };
    if updated.rows_affected == 0 {
        let is_spent = token.spent_at.is_some();
        return Ok(if is_spent { Spent::Before { session_id: token.session_id } } else { Spent::No });
    }
    let found = session::Entity::find_by_id(&token.session_id).one(on).await.map_err(at("find a session"))?;
    Ok(match found {
        Some(session) if session.ended_at.is_none() => Spent::Now { session },
        _ => Spent::No,
    })
}

/// The refresh token of a hash, spent or not.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn by_token(on: &impl ConnectionTrait, hash: &[u8]) -> Result<Option<refresh_token::Model>> {
    refresh_token::Entity::find_by_id(hash.to_vec()).one(on).await.map_err(at("find a refresh token"))
}

/// The person of an open session.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn owner(on: &impl ConnectionTrait, id: &str) -> Result<Option<user::Model>> {
    let found = session::Entity::find_by_id(id).one(on).await.map_err(at("find a session"))?;
    match found {
        Some(session) if session.ended_at.is_none() => super::users::by_id(on, &session.user_id).await,
        _ => Ok(None),
    }
}

/// A person's open sessions, the newest first.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn of_user(on: &impl ConnectionTrait, user_id: &str, now_us: i64) -> Result<Vec<session::Model>> {
    let found = session::Entity::find()
        .filter(session::Column::UserId.eq(user_id))
        .filter(session::Column::EndedAt.is_null())
        .filter(session::Column::ExpiresAt.gt(now_us))
        .order_by_desc(session::Column::CreatedAt)
        .order_by_desc(session::Column::Id);
    found.all(on).await.map_err(at("list sessions"))
}

/// A person's sessions that began behind a place, ended or not, the oldest first.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn after(on: &impl ConnectionTrait, user_id: &str, place: &Place, limit: u64) -> Result<Vec<session::Model>> {
    select_after(user_id, place, limit).all(on).await.map_err(at("walk sessions"))
}

/// The statement of [`after`].
pub(in crate::control) fn select_after(user_id: &str, place: &Place, limit: u64) -> Select<session::Entity> {
    let own = session::Entity::find().filter(session::Column::UserId.eq(user_id));
    behind(own, place, (session::Column::CreatedAt, session::Column::Id)).limit(limit)
}

/// Ends a person's open session; whether there was one.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn end_own(on: &impl ConnectionTrait, user_id: &str, id: &str, now_us: i64) -> Result<bool> {
    let found = session::Entity::find_by_id(id)
        .filter(session::Column::UserId.eq(user_id))
        .filter(session::Column::EndedAt.is_null())
        .filter(session::Column::ExpiresAt.gt(now_us));
    let is_there = found.one(on).await.map_err(at("find a session"))?.is_some();
    if is_there {
        end(on, id, End::Logout, now_us).await?;
    }
    Ok(is_there)
}

/// Ends a session; one that has ended keeps its first reason.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn end(on: &impl ConnectionTrait, id: &str, why: End, now_us: i64) -> Result<()> {
    end_where(on, session::Column::Id.eq(id), why, now_us).await
}

/// Ends every session of a person.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn end_all(on: &impl ConnectionTrait, user_id: &str, why: End, now_us: i64) -> Result<()> {
    end_where(on, session::Column::UserId.eq(user_id), why, now_us).await
}

async fn end_where(
    on: &impl ConnectionTrait,
    which: sea_orm::sea_query::SimpleExpr,
    why: End,
    now_us: i64,
) -> Result<()> {
    session::Entity::update_many()
        .col_expr(session::Column::EndedAt, Expr::value(now_us))
        .col_expr(session::Column::EndReason, Expr::value(why.as_str()))
        .filter(which)
        .filter(session::Column::EndedAt.is_null())
        .exec(on)
        .await
        .map_err(at("end sessions"))?;
    Ok(())
}

/// Removes sessions whose last token expired before `before_us`, and tokens that expired before it.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn sweep(on: &impl ConnectionTrait, before_us: i64) -> Result<()> {
    let tokens = refresh_token::Entity::delete_many().filter(refresh_token::Column::ExpiresAt.lt(before_us));
    tokens.exec(on).await.map_err(at("sweep refresh tokens"))?;
    let sessions = session::Entity::delete_many().filter(session::Column::ExpiresAt.lt(before_us));
    sessions.exec(on).await.map_err(at("sweep sessions"))?;
    Ok(())
}
