//! What a person deletes is no part of later totals: pieces go and nights with their points, totals of makers with theirs.

use engine::import::Daily;
use engine::time::DAY_US;
use storage::{TimeRange, UserId};

use super::Imports;
use super::nights::{self, NIGHT_US_MAX};
use super::packed;
use crate::control;
use crate::control::entities::day_piece;
use crate::control::repository::{days, nights as rows, users};

/// Longest range whose rows are read at once, days.
const DAYS_AT_ONCE: i64 = 64;

impl Imports {
    /// Follows the deletion of a person's points of a metric in a range.
    ///
    /// # Errors
    /// [`control::Error`].
    pub(crate) async fn forget(&self, user: UserId, metric: &str, times: TimeRange) -> control::Result<()> {
        for daily in [Daily::Steps, Daily::Calories] {
            let control = self.control();
            if metric == daily.total_metric() {
                let write = control.write().await?;
                days::delete_totals(write.on(), user.as_str(), daily.total_metric(), times).await?;
                write.commit().await?;
            } else if metric == daily.piece_metric() {
                self.forget_pieces(user, daily, times).await?;
            }
        }
        if nights::is_of_night(metric) {
            self.forget_nights(user, metric, times).await?;
        }
        Ok(())
    }

    async fn forget_nights(&self, user: UserId, metric: &str, times: TimeRange) -> control::Result<()> {
        let (ends, reach_us) = (times.start..times.end, NIGHT_US_MAX);
        let write = self.control().write().await?;
        users::hold(write.on(), user.as_str()).await?;
        if metric == "sleep_duration" {
            rows::forget(write.on(), user.as_str(), ends, reach_us).await?;
        } else {
            rows::forget_value(write.on(), user.as_str(), metric, ends, reach_us).await?;
        }
        write.commit().await
    }

    async fn forget_pieces(&self, user: UserId, daily: Daily, times: TimeRange) -> control::Result<()> {
        // What counters showed lies on the day on which they began.
        let from = times.start.saturating_sub(2 * DAY_US);
        let daily = daily.total_metric();
        let mut after = from.div_euclid(DAY_US);
        let last = times.end.saturating_sub(1).div_euclid(DAY_US);
        loop {
            let write = self.control().write().await?;
            users::hold(write.on(), user.as_str()).await?;
            let Some(first) = days::first_day(write.on(), user.as_str(), daily, after..=last).await? else { break };
            let some = first..=last.min(first + DAYS_AT_ONCE - 1);
            after = some.end() + 1;
            for row in days::rows_between(write.on(), user.as_str(), daily, some).await? {
                follow(write.on(), row, times).await?;
            }
            write.commit().await?;
        }
        Ok(())
    }
}

async fn follow(on: &sea_orm::DatabaseTransaction, row: day_piece::Model, times: TimeRange) -> control::Result<()> {
    let items = packed::unpack(row.day, &row.pieces).unwrap_or_default();
    let at = |item: &packed::Item| if item.is_reading { item.end } else { item.start };
    let left: Vec<_> = items.iter().filter(|item| !times.contains(at(item))).copied().collect();
    if left.len() == items.len() {
        return Ok(());
    }
    if left.is_empty() {
        return days::delete_row(on, row).await;
    }
    let pieces = packed::pack(row.day, &left);
    days::put_pieces(on, vec![day_piece::Model { pieces, is_settled: 0, ..row }]).await
}
