//! `avycenna webhooks`: everybody's endpoints, straight in the control database.

use clap::{Args, Subcommand};
use jiff::{SignedDuration, Timestamp};

use super::user::{find, open};
use super::{ConfigOptions, Failure, Terminal, block_on};
use crate::control::Control;
use crate::control::entities::webhook::Model;
use crate::control::repository::{deliveries, webhooks};
use crate::routes::time::rfc3339;
use crate::webhooks::feed::{self, Since};

const EXAMPLES: &str = "\
Examples:
  avycenna webhooks list
  avycenna webhooks list --user doc@example.org
  avycenna webhooks redeliver whk_3fYqZ0dTnUe1xK9s --since 24h
  avycenna webhooks redeliver whk_3fYqZ0dTnUe1xK9s --since 2026-06-01T00:00:00Z

Works while the server runs: it sends what is redelivered within a second.";

/// Endpoints that one statement lists.
const PAGE_ROWS: u64 = 500;

/// Lists webhooks, and sends again what failed.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Webhooks {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Lists endpoints: id, owner, state, deliveries that wait, URL, separated by tabs.
    #[command(after_help = EXAMPLES)]
    List(List),
    /// Sends everything once more that an endpoint was owed and never got; prints how many events.
    #[command(after_help = EXAMPLES)]
    Redeliver(Redeliver),
}

#[derive(Debug, Args)]
struct List {
    /// Whose: e-mail address or id [default: everybody's]
    #[arg(long)]
    user: Option<String>,
    #[command(flatten)]
    options: ConfigOptions,
}

#[derive(Debug, Args)]
struct Redeliver {
    /// The endpoint's id, as `webhooks list` shows it.
    id: String,
    /// From when on: a span back such as 24h or 7d, or a time in RFC 3339
    #[arg(long, value_name = "SPAN|TIME", value_parser = since)]
    since: From,
    #[command(flatten)]
    options: ConfigOptions,
}

/// From when on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum From {
    Back { us: i64 },
    At { us: i64 },
}

impl Webhooks {
    pub(super) fn run(self, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        match self.action {
            Action::List(list) => list.run(terminal),
            Action::Redeliver(redeliver) => redeliver.run(terminal),
        }
    }
}

impl List {
    fn run(self, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        let config = self.options.load(&[])?;
        block_on(async {
            let (control, _) = open(&config).await?;
            if let Some(user) = &self.user {
                let user = find(&control, user).await?;
                let rows = webhooks::of_user(control.read(), &user.id).await?;
                say(terminal, &control, &rows).await?;
            } else {
                let mut after = String::new();
                loop {
                    let rows = webhooks::page(control.read(), &after, PAGE_ROWS).await?;
                    let Some(last) = rows.last() else { break };
                    after.clone_from(&last.id);
                    say(terminal, &control, &rows).await?;
                }
            }
            Ok(control.close().await?)
        })
    }
}

async fn say(terminal: &mut Terminal<'_>, control: &Control, rows: &[Model]) -> Result<(), Failure> {
    for row in rows {
        let (waiting, _) = deliveries::waiting(control.read(), Some(&row.id)).await?;
        let state = match (&row.disabled_by, row.failing_since) {
            (Some(by), _) => format!("disabled: {by}"),
            (None, Some(since_us)) => format!("failing since {}", rfc3339(since_us)),
            (None, None) => "works".to_owned(),
        };
        terminal.say(&format!("{}\t{}\t{state}\t{waiting}\t{}", row.id, row.user_id, row.url))?;
    }
    Ok(())
}

impl Redeliver {
    fn run(self, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        let config = self.options.load(&[])?;
        let queued = block_on(async {
            let (control, _) = open(&config).await?;
            let found = webhooks::any(control.read(), &self.id).await?;
            let endpoint = found.ok_or_else(|| Failure::Unknown { what: "webhook", name: self.id.clone() })?;
            if endpoint.disabled_at.is_some() {
                return Err(Failure::Argument("the webhook is disabled; its owner enables it first"));
            }
            let since_us = match self.since {
                From::Back { us } => control.now_us().saturating_sub(us),
                From::At { us } => us,
            };
            let queued = feed::recover(&control, &endpoint, Since::Time(since_us), None).await?;
            control.close().await?;
            Ok(queued)
        })?;
        terminal.say(&queued.to_string())
    }
}

fn since(text: &str) -> Result<From, &'static str> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(From::At { us: time.as_microsecond() });
    }
    let wrong = "must be a span such as 24h or 7d, or a time such as 2026-06-01T00:00:00Z";
    let (number, hours) = match (text.strip_suffix('d'), text.strip_suffix('h')) {
        (Some(days), _) => (days, 24),
        (_, Some(hours)) => (hours, 1),
        _ => return Err(wrong),
    };
    let count: i64 = number.parse().map_err(|_| wrong)?;
    let span = count.checked_mul(hours).and_then(SignedDuration::try_from_hours).ok_or(wrong)?;
    let us = i64::try_from(span.as_micros()).map_err(|_| wrong)?;
    if us > 0 { Ok(From::Back { us }) } else { Err(wrong) }
}
