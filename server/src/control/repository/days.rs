//! What totals of days are made of, the totals themselves, and whose pieces a person prefers.

use std::ops::RangeInclusive;

use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, IntoActiveModel, ModelTrait as _, QueryFilter, QueryOrder,
    QuerySelect, Select,
};

use super::super::entities::{day_piece, day_total, source_priority};
use super::super::error::{Result, at};

/// Rows of one statement: databases take so many values and not many more.
const ROWS_MAX: usize = 500;

/// Whose days, of which sender, and of what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Series<'a> {
    /// The person.
    pub user_id: &'a str,
    /// `apple_health` or `garmin`.
    pub sender: &'a str,
    /// `steps` or `calories`.
    pub daily: &'a str,
}

impl Series<'_> {
    fn pieces(&self) -> Condition {
        Condition::all()
            .add(day_piece::Column::UserId.eq(self.user_id))
            .add(day_piece::Column::Sender.eq(self.sender))
            .add(day_piece::Column::Daily.eq(self.daily))
    }

    fn totals(&self) -> Condition {
        Condition::all()
            .add(day_total::Column::UserId.eq(self.user_id))
            .add(day_total::Column::Sender.eq(self.sender))
            .add(day_total::Column::Daily.eq(self.daily))
    }
}

/// The pieces of one maker that begin on some days of UTC.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn pieces_of(
    on: &impl ConnectionTrait,
    series: Series<'_>,
    (source, device): (&str, &str),
    days: &[i64],
) -> Result<Vec<day_piece::Model>> {
    let mut rows = Vec::new();
    for days in days.chunks(ROWS_MAX) {
        let found = day_piece::Entity::find()
            .filter(series.pieces())
            .filter(day_piece::Column::Day.is_in(days.iter().copied()))
            .filter(day_piece::Column::Source.eq(source))
            .filter(day_piece::Column::Device.eq(device));
        rows.extend(found.all(on).await.map_err(at("read pieces of days"))?);
    }
    Ok(rows)
}

/// All makers' pieces that begin within a range of days of UTC, in a fixed order.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn pieces_between(
    on: &impl ConnectionTrait,
    series: Series<'_>,
    days: RangeInclusive<i64>,
) -> Result<Vec<day_piece::Model>> {
    let (first, last) = days.into_inner();
    let found = day_piece::Entity::find()
        .filter(series.pieces())
        .filter(day_piece::Column::Day.between(first, last))
        .order_by_asc(day_piece::Column::Day)
        .order_by_asc(day_piece::Column::Source)
        .order_by_asc(day_piece::Column::Device);
    found.all(on).await.map_err(at("read pieces of days"))
}

/// Puts pieces in the place of those that are there.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn put_pieces(on: &impl ConnectionTrait, rows: Vec<day_piece::Model>) -> Result<()> {
    use day_piece::Column::{Daily, Day, Device, IsSettled, Pieces, Sender, Source, UserId};
    let mut rows = rows.into_iter();
    loop {
        let some: Vec<_> = rows.by_ref().take(ROWS_MAX).map(IntoActiveModel::into_active_model).collect();
        if some.is_empty() {
            return Ok(());
        }
        let replace = OnConflict::columns([UserId, Sender, Daily, Day, Source, Device])
            .update_columns([Pieces, IsSettled])
            .to_owned();
        let put = day_piece::Entity::insert_many(some).on_conflict(replace).exec_without_returning(on).await;
        put.map_err(at("keep pieces of days"))?;
    }
}

/// The first day of UTC of a range on which something of a person begins, of every sender.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn first_day(
    on: &impl ConnectionTrait,
    user_id: &str,
    daily: &str,
    days: RangeInclusive<i64>,
) -> Result<Option<i64>> {
    let found = within(user_id, daily, days).select_only().column(day_piece::Column::Day);
    let found = found.order_by_asc(day_piece::Column::Day).into_tuple().one(on).await;
    found.map_err(at("look for pieces of days"))
}

/// All pieces of a person that begin within a range of days of UTC, of every sender.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn rows_between(
    on: &impl ConnectionTrait,
    user_id: &str,
    daily: &str,
    days: RangeInclusive<i64>,
) -> Result<Vec<day_piece::Model>> {
    within(user_id, daily, days).all(on).await.map_err(at("read pieces of days"))
}

fn within(user_id: &str, daily: &str, days: RangeInclusive<i64>) -> Select<day_piece::Entity> {
    let (first, last) = days.into_inner();
    day_piece::Entity::find()
        .filter(day_piece::Column::UserId.eq(user_id))
        .filter(day_piece::Column::Daily.eq(daily))
        .filter(day_piece::Column::Day.between(first, last))
}

/// Deletes the pieces of one maker that begin on one day of UTC.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn delete_row(on: &impl ConnectionTrait, row: day_piece::Model) -> Result<()> {
    row.delete(on).await.map(|_| ()).map_err(at("delete pieces of a day"))
}

/// The senders and kinds of a person's pieces that no total holds yet.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn unsettled(on: &impl ConnectionTrait, user_id: &str) -> Result<Vec<(String, String)>> {
    let found = day_piece::Entity::find()
        .select_only()
        .column(day_piece::Column::Sender)
        .column(day_piece::Column::Daily)
        .distinct()
        .filter(day_piece::Column::UserId.eq(user_id))
        .filter(Expr::cust("is_settled = 0"))
        .into_tuple();
    found.all(on).await.map_err(at("find what is not settled"))
}

/// The first day of UTC whose pieces no total holds yet.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn first_unsettled(on: &impl ConnectionTrait, series: Series<'_>) -> Result<Option<i64>> {
    let found = day_piece::Entity::find()
        .select_only()
        .column(day_piece::Column::Day)
        .filter(series.pieces())
        .filter(Expr::cust("is_settled = 0"))
        .order_by_asc(day_piece::Column::Day)
        .into_tuple();
    found.one(on).await.map_err(at("find what is not settled"))
}

/// Notes that totals hold what the pieces of a range of days say.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn settle(on: &impl ConnectionTrait, series: Series<'_>, days: RangeInclusive<i64>) -> Result<()> {
    let (first, last) = days.into_inner();
    let settled = day_piece::Entity::update_many()
        .col_expr(day_piece::Column::IsSettled, Expr::value(1))
        .filter(series.pieces())
        .filter(Expr::cust("is_settled = 0"))
        .filter(day_piece::Column::Day.between(first, last))
        .exec(on)
        .await;
    settled.map(|_| ()).map_err(at("note that days are settled"))
}

/// Notes that all totals of a person are to be made anew.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn unsettle(on: &impl ConnectionTrait, user_id: &str) -> Result<()> {
    let unsettled = day_piece::Entity::update_many()
        .col_expr(day_piece::Column::IsSettled, Expr::value(0))
        .filter(day_piece::Column::UserId.eq(user_id))
        .exec(on)
        .await;
    unsettled.map(|_| ()).map_err(at("note that days are not settled"))
}

/// The totals of a range of local days, in their order.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn totals(
    on: &impl ConnectionTrait,
    series: Series<'_>,
    days: RangeInclusive<i64>,
) -> Result<Vec<day_total::Model>> {
    let (first, last) = days.into_inner();
    let found = day_total::Entity::find()
        .filter(series.totals())
        .filter(day_total::Column::Day.between(first, last))
        .order_by_asc(day_total::Column::Day);
    found.all(on).await.map_err(at("read totals of days"))
}

/// Puts totals in the place of those that are there.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn put_totals(on: &impl ConnectionTrait, rows: &[day_total::Model]) -> Result<()> {
    use day_total::Column::{Daily, Day, Origin, Sender, Start, UserId, Value};
    for some in rows.chunks(ROWS_MAX) {
        let replace =
            OnConflict::columns([UserId, Sender, Daily, Day]).update_columns([Start, Value, Origin]).to_owned();
        let rows = some.iter().cloned().map(IntoActiveModel::into_active_model);
        let put = day_total::Entity::insert_many(rows).on_conflict(replace).exec_without_returning(on).await;
        put.map_err(at("keep totals of days"))?;
    }
    Ok(())
}

/// Forgets the totals of some local days.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn forget_totals(on: &impl ConnectionTrait, series: Series<'_>, days: &[i64]) -> Result<()> {
    for some in days.chunks(ROWS_MAX) {
        let forgotten = day_total::Entity::delete_many()
            .filter(series.totals())
            .filter(day_total::Column::Day.is_in(some.iter().copied()))
            .exec(on)
            .await;
        forgotten.map_err(at("forget totals of days"))?;
    }
    Ok(())
}

/// Forgets totals that stand within a range of time, of every sender.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn delete_totals(
    on: &impl ConnectionTrait,
    user_id: &str,
    daily: &str,
    times: storage::TimeRange,
) -> Result<()> {
    let deleted = day_total::Entity::delete_many()
        .filter(day_total::Column::UserId.eq(user_id))
        .filter(day_total::Column::Daily.eq(daily))
        .filter(day_total::Column::Start.gte(times.start))
        .filter(day_total::Column::Start.lt(times.end))
        .exec(on)
        .await;
    deleted.map(|_| ()).map_err(at("forget totals of days"))
}

/// A person's sources, the best first, as a JSON list; `None` where nothing was said.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn priority(on: &impl ConnectionTrait, user_id: &str) -> Result<Option<String>> {
    let found = source_priority::Entity::find_by_id(user_id).one(on).await.map_err(at("read a priority of sources"))?;
    Ok(found.map(|row| row.sources))
}

/// Sets a person's sources, the best first, as a JSON list.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn set_priority(on: &impl ConnectionTrait, user_id: &str, sources: &str) -> Result<()> {
    let row = source_priority::Model { user_id: user_id.to_owned(), sources: sources.to_owned() };
    let replace =
        OnConflict::column(source_priority::Column::UserId).update_column(source_priority::Column::Sources).to_owned();
    let put = source_priority::Entity::insert(row.into_active_model()).on_conflict(replace);
    put.exec_without_returning(on).await.map(|_| ()).map_err(at("set a priority of sources"))
}

/// Deletes all of it that is a person's.
///
/// # Errors
/// [`crate::control::Error::Database`].
pub async fn erase(on: &impl ConnectionTrait, user_id: &str) -> Result<()> {
    let pieces = day_piece::Entity::delete_many().filter(day_piece::Column::UserId.eq(user_id));
    pieces.exec(on).await.map_err(at("erase pieces of days"))?;
    let totals = day_total::Entity::delete_many().filter(day_total::Column::UserId.eq(user_id));
    totals.exec(on).await.map_err(at("erase totals of days"))?;
    let priority = source_priority::Entity::delete_many().filter(source_priority::Column::UserId.eq(user_id));
    priority.exec(on).await.map_err(at("erase a priority of sources"))?;
    Ok(())
}
