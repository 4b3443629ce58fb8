//! One-time codes, by the hash of an address.

use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, ExprTrait, QueryFilter};

use super::super::entities::otp::{ActiveModel, Column, Entity, Model};
use super::super::error::{Result, at};

/// Length of the span in which codes are counted.
pub const WINDOW_US: i64 = 3600 * 1_000_000;

/// A new code.
#[derive(Debug, Clone)]
pub struct Code {
    /// SHA-256 of the address.
    pub email_hash: Vec<u8>,
    /// Keyed hash of address and code.
    pub code_hash: Vec<u8>,
    /// When it expires.
    pub expires_at: i64,
    /// Wrong tries that end it.
    pub tries: i32,
    /// Most codes of one address in [`WINDOW_US`].
    pub per_window_max: i32,
}

/// Puts a code in the place of the address's earlier one; whether it did. It does not once the address has had its
/// codes of the hour: then the earlier code stands, with the tries that it has left.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn replace(on: &impl ConnectionTrait, code: Code, now_us: i64) -> Result<bool> {
    let found = Entity::find_by_id(code.email_hash.clone()).one(on).await.map_err(at("find a one-time code"))?;
    let (window_started_at, sent) = match found {
        Some(Model { window_started_at, sent_in_window, .. })
            if now_us < window_started_at.saturating_add(WINDOW_US) =>
        {
            (window_started_at, sent_in_window)
        }
        _ => (now_us, 0),
    };
    let is_allowed = sent < code.per_window_max;
    if is_allowed {
        let row = ActiveModel {
            email_hash: Set(code.email_hash),
            code_hash: Set(code.code_hash),
            expires_at: Set(code.expires_at),
            tries_left: Set(code.tries),
            window_started_at: Set(window_started_at),
            sent_in_window: Set(sent.saturating_add(1)),
        };
        let columns =
            [Column::CodeHash, Column::ExpiresAt, Column::TriesLeft, Column::WindowStartedAt, Column::SentInWindow];
        let insert =
            Entity::insert(row).on_conflict(OnConflict::column(Column::EmailHash).update_columns(columns).to_owned());
        insert.exec_without_returning(on).await.map_err(at("store a one-time code"))?;
    }
    Ok(is_allowed)
}

/// Takes one try of the address's code before it is compared, so that tries at the same moment count each.
/// Nothing if there is no code, it has expired, or no try is left.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn take_try(on: &impl ConnectionTrait, email_hash: &[u8], now_us: i64) -> Result<Option<Model>> {
    let updated = Entity::update_many()
        .col_expr(Column::TriesLeft, Expr::col(Column::TriesLeft).sub(1))
        .filter(Column::EmailHash.eq(email_hash.to_vec()))
        .filter(Column::TriesLeft.gt(0))
        .filter(Column::ExpiresAt.gt(now_us))
        .exec(on)
        .await
        .map_err(at("take a try of a one-time code"))?;
    if updated.rows_affected == 0 {
        return Ok(None);
    }
    Entity::find_by_id(email_hash.to_vec()).one(on).await.map_err(at("find a one-time code"))
}

/// Ends the address's code: it was used. The count of the hour stays.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn end(on: &impl ConnectionTrait, email_hash: &[u8]) -> Result<()> {
    let updated = Entity::update_many()
        .col_expr(Column::TriesLeft, Expr::value(0))
        .filter(Column::EmailHash.eq(email_hash.to_vec()))
        .exec(on)
        .await;
    updated.map(|_| ()).map_err(at("end a one-time code"))
}

/// Removes the rows whose hour is over and whose code has expired.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn sweep(on: &impl ConnectionTrait, now_us: i64) -> Result<()> {
    let over = Entity::delete_many()
        .filter(Column::WindowStartedAt.lt(now_us.saturating_sub(WINDOW_US)))
        .filter(Column::ExpiresAt.lt(now_us));
    over.exec(on).await.map_err(at("sweep one-time codes"))?;
    Ok(())
}
