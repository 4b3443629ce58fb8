//! Nights of sleep that were told.

use std::ops::Range;

use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{ColumnTrait, Condition, ConnectionTrait, EntityTrait, IntoActiveModel, QueryFilter};

use super::super::entities::night::{Column, Entity, Model};
use super::super::error::{Result, at};

/// Rows of one statement: databases take so many values and not many more.
const ROWS_MAX: usize = 500;

/// Rows that are named one by one in a statement.
const DELETED_MAX: usize = 100;

/// The nights of a person and sender that overlap a span of time, microseconds UTC.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn overlapping(
    on: &impl ConnectionTrait,
    user_id: &str,
    sender: &str,
    span: Range<i64>,
) -> Result<Vec<Model>> {
    let found = Entity::find()
        .filter(Column::UserId.eq(user_id))
        .filter(Column::Sender.eq(sender))
        .filter(Column::EndedAt.gt(span.start))
        .filter(Column::BeganAt.lt(span.end));
    found.all(on).await.map_err(at("read nights"))
}

/// Puts nights in the place of those that are there.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn put(on: &impl ConnectionTrait, rows: Vec<Model>) -> Result<()> {
    use Column::{
        AsleepH, BeganAt, DeepH, Device, EndedAt, HrvMs, IsStored, Rank, RemH, Sender, Source, ToldAt, UserId,
    };
    let mut rows = rows.into_iter();
    loop {
        let some: Vec<_> = rows.by_ref().take(ROWS_MAX).map(IntoActiveModel::into_active_model).collect();
        if some.is_empty() {
            return Ok(());
        }
        let replace = OnConflict::columns([UserId, Sender, EndedAt, BeganAt, Source, Device, ToldAt])
            .update_columns([Rank, AsleepH, DeepH, RemH, HrvMs, IsStored])
            .to_owned();
        let put = Entity::insert_many(some).on_conflict(replace).exec_without_returning(on).await;
        put.map_err(at("keep nights"))?;
    }
}

/// Forgets nights of a person and sender.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn delete(on: &impl ConnectionTrait, user_id: &str, sender: &str, mut rows: Vec<Model>) -> Result<()> {
    rows.sort_by_key(|row| row.ended_at);
    for some in rows.chunks(DELETED_MAX) {
        let (Some(first), Some(last)) = (some.first(), some.last()) else { continue };
        let any = some.iter().fold(Condition::any(), |any, row| {
            any.add(
                Condition::all()
                    .add(Column::EndedAt.eq(row.ended_at))
                    .add(Column::BeganAt.eq(row.began_at))
                    .add(Column::Source.eq(&row.source))
                    .add(Column::Device.eq(&row.device))
                    .add(Column::ToldAt.eq(row.told_at)),
            )
        });
        let deleted = Entity::delete_many()
            .filter(Column::UserId.eq(user_id))
            .filter(Column::Sender.eq(sender))
            // Follows from the next condition. It says where in the index they are.
            .filter(Column::EndedAt.between(first.ended_at, last.ended_at))
            .filter(any)
            .exec(on)
            .await;
        deleted.map_err(at("forget nights"))?;
    }
    Ok(())
}

/// Forgets the nights of a person that end within a span of time, and those that have lost their place to one of them.
/// `reach_us` is how long a night is at most.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn forget(on: &impl ConnectionTrait, user_id: &str, ends: Range<i64>, reach_us: i64) -> Result<()> {
    let forgotten = Entity::delete_many().filter(within(user_id, &ends, reach_us)).exec(on).await;
    forgotten.map(|_| ()).map_err(at("forget nights"))
}

/// Forgets one value of those nights: `sleep_deep`, `sleep_rem` or `hrv`.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn forget_value(
    on: &impl ConnectionTrait,
    user_id: &str,
    metric: &str,
    ends: Range<i64>,
    reach_us: i64,
) -> Result<()> {
    let column = match metric {
        "sleep_deep" => Column::DeepH,
        "sleep_rem" => Column::RemH,
        "hrv" => Column::HrvMs,
        _ => return Ok(()),
    };
    let forgotten = Entity::update_many()
        .col_expr(column, Expr::value(None::<f64>))
        .filter(within(user_id, &ends, reach_us))
        .exec(on)
        .await;
    forgotten.map(|_| ()).map_err(at("forget a value of nights"))
}

/// Who ends within a span, or has lost their place to somebody who does.
fn within(user_id: &str, ends: &Range<i64>, reach_us: i64) -> Condition {
    let ended = Condition::all().add(Column::EndedAt.gte(ends.start)).add(Column::EndedAt.lt(ends.end));
    let lost = Condition::all()
        .add(Column::IsStored.eq(0))
        .add(Column::EndedAt.gt(ends.start.saturating_sub(reach_us)))
        .add(Column::BeganAt.lt(ends.end));
    Condition::all().add(Column::UserId.eq(user_id)).add(Condition::any().add(ended).add(lost))
}

/// Deletes all nights of a person.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn erase(on: &impl ConnectionTrait, user_id: &str) -> Result<()> {
    let erased = Entity::delete_many().filter(Column::UserId.eq(user_id)).exec(on).await;
    erased.map(|_| ()).map_err(at("erase nights"))
}
