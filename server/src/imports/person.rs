//! Whose data comes in, and what is known of them.

use std::sync::Arc;

use engine::Engine;
use engine::import::Daily;
use engine::import::day::Calendar;
use jiff::tz::TimeZone;
use storage::UserId;
use tokio::runtime::Handle;

use super::Failure;
use crate::control::repository::days::{self, Series};
use crate::control::repository::users;
use crate::control::{Control, entities::user};

/// A person whose data comes in, for a thread that blocks.
#[derive(Debug, Clone)]
pub(super) struct Person {
    pub(super) user: UserId,
    /// The source of their totals: `apple_health` or `garmin`.
    pub(super) sender: &'static str,
    pub(super) control: Control,
    pub(super) engine: Arc<Engine>,
    pub(super) runtime: Handle,
    pub(super) calendar: Calendar,
    /// Sources, the best first.
    sources: Vec<String>,
}

impl Person {
    /// Looks up what is known.
    ///
    /// # Errors
    /// [`Failure::Gone`] where there is no such account, [`Failure::Control`].
    pub(super) fn find(
        user: UserId,
        sender: &'static str,
        control: Control,
        engine: Arc<Engine>,
        runtime: Handle,
    ) -> Result<Self, Failure> {
        let found = runtime.block_on(async {
            let found = users::by_id(control.read(), user.as_str()).await?;
            Ok::<_, Failure>((found.ok_or(Failure::Gone)?, days::priority(control.read(), user.as_str()).await?))
        });
        let (row, sources) = found?;
        let sources = sources.and_then(|sources| serde_json::from_str(&sources).ok()).unwrap_or_default();
        Ok(Self { user, sender, control, engine, runtime, calendar: calendar(&row), sources })
    }

    /// The id.
    pub(super) fn id(&self) -> &str {
        self.user.as_str()
    }

    /// Their days of what this sender counts.
    pub(super) fn series(&self, daily: Daily) -> Series<'_> {
        Series { user_id: self.id(), sender: self.sender, daily: daily.total_metric() }
    }

    /// The place of a source among those that they prefer; behind all of them if it is not there.
    pub(super) fn preference(&self, source: &str) -> usize {
        self.sources.iter().position(|preferred| preferred == source).unwrap_or(self.sources.len())
    }

    /// Blocks until a future is done.
    pub(super) fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }
}

/// How their days are cut: by their time zone, or by what the files say where they have not set one.
fn calendar(row: &user::Model) -> Calendar {
    match TimeZone::get(&row.timezone) {
        Ok(zone) if row.timezone != "UTC" => Calendar::Zone(zone),
        _ => Calendar::Offsets,
    }
}
