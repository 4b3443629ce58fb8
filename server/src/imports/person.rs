//! Whose data comes in, and what is known of them.

use std::sync::Arc;

use engine::Engine;
use engine::import::day::Calendar;
use engine::import::{Daily, health_auto_export};
use jiff::tz::TimeZone;
use sea_orm::ConnectionTrait;
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
    said: Said,
}

/// What a person has said of their days.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Said {
    timezone: String,
    sources: Option<String>,
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
        let (row, said) = found?;
        let sources = said.as_ref().and_then(|sources| serde_json::from_str(sources).ok()).unwrap_or_default();
        let calendar = calendar(&row);
        let said = Said { timezone: row.timezone, sources: said };
        Ok(Self { user, sender, control, engine, runtime, calendar, sources, said })
    }

    /// Holds the person's row in a transaction: whoever keeps something of them waits. Whether they still say of their days
    /// what is known here.
    ///
    /// # Errors
    /// [`Failure::Gone`] if there is no such account any more, [`Failure::Control`].
    pub(super) async fn hold(&self, on: &impl ConnectionTrait) -> Result<bool, Failure> {
        let row = users::hold(on, self.id()).await?.ok_or(Failure::Gone)?;
        Ok(Said { timezone: row.timezone, sources: days::priority(on, self.id()).await? } == self.said)
    }

    /// The id.
    pub(super) fn id(&self) -> &str {
        self.user.as_str()
    }

    /// Their days of what this sender counts.
    pub(super) fn series(&self, daily: Daily) -> Series<'_> {
        Series { user_id: self.id(), sender: self.sender, daily: daily.total_metric() }
    }

    /// The place of a source among those that they prefer. Behind all of them comes the app that has summed up what watch
    /// and phone counted, as the phone does; beside its hours the same steps must not count once more. Then the others.
    pub(super) fn preference(&self, source: &str) -> usize {
        let is_single = source != health_auto_export::SOURCE;
        let place = self.sources.iter().position(|preferred| preferred == source);
        place.unwrap_or(self.sources.len() + usize::from(is_single))
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
