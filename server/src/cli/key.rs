//! `avycenna key`: API keys, straight in the control database.

use clap::{Args, Subcommand, ValueEnum};
use jiff::{SignedDuration, Timestamp};

use super::user::{find, open};
use super::{ConfigOptions, Failure, Terminal, block_on};
use crate::auth::{NewKey, Scopes};
use crate::control::repository::api_keys;

const EXAMPLES: &str = "\
Examples:
  avycenna key create --user ada@example.org --name 'watch pipeline'
  avycenna key create --user usr_7jRtHvBk --name reports --scope read --expires 90d
  avycenna key create --user ada@example.org --name trial --expires 2027-01-01T00:00:00Z
  avycenna key list --user ada@example.org
  avycenna key revoke key_3fYqZ0dTnUe1xK9s

Works while the server runs; a revoked key is refused within a second.";

/// Makes, lists and revokes API keys.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Key {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Makes a key and prints it. It cannot be shown again.
    #[command(after_help = EXAMPLES)]
    Create(Create),
    /// Lists a person's keys: id, first characters, scopes, expiry, name, separated by tabs.
    List(List),
    /// Revokes a key by its id.
    #[command(after_help = EXAMPLES)]
    Revoke(Revoke),
}

#[derive(Debug, Args)]
struct Create {
    /// Whose key: e-mail address or id.
    #[arg(long)]
    user: String,
    /// What the key is for.
    #[arg(long)]
    name: String,
    /// What it may do; may be repeated [default: both]
    #[arg(long, value_enum)]
    scope: Vec<ScopeName>,
    /// When it ends: a span such as 90d or 12h, or a time in RFC 3339 [default: never]
    #[arg(long, value_name = "SPAN|TIME", value_parser = expiry)]
    expires: Option<Expiry>,
    #[command(flatten)]
    options: ConfigOptions,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ScopeName {
    Read,
    Write,
}

#[derive(Debug, Args)]
struct List {
    /// Whose keys: e-mail address or id.
    #[arg(long)]
    user: String,
    #[command(flatten)]
    options: ConfigOptions,
}

#[derive(Debug, Args)]
struct Revoke {
    /// The key's id, as `key list` shows it.
    id: String,
    #[command(flatten)]
    options: ConfigOptions,
}

/// When a key ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expiry {
    After { us: i64 },
    At { us: i64 },
}

impl Key {
    pub(super) fn run(self, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        match self.action {
            Action::Create(create) => create.run(terminal),
            Action::List(list) => list.run(terminal),
            Action::Revoke(revoke) => revoke.run(),
        }
    }
}

impl Create {
    fn run(self, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        let config = self.options.load(&[])?;
        let words = self.scope.iter().map(|scope| match scope {
            ScopeName::Read => "read",
            ScopeName::Write => "write",
        });
        let scopes = Scopes::parse(words).unwrap_or(Scopes::ALL);
        let name = self.name.trim().to_owned();
        if name.is_empty() {
            return Err(Failure::Argument("--name must not be empty"));
        }
        let key = block_on(async {
            let (control, auth) = open(&config).await?;
            let now_us = control.now_us();
            let expires_at = self.expires.map(|expiry| match expiry {
                Expiry::After { us } => now_us.saturating_add(us),
                Expiry::At { us } => us,
            });
            if expires_at.is_some_and(|expires_at| expires_at <= now_us) {
                return Err(Failure::Argument("--expires must be a time to come"));
            }
            let user = find(&control, &self.user).await?;
            let (_, key) = auth.create_key(&user.id, NewKey { name, scopes, expires_at }).await?;
            control.close().await?;
            Ok(key)
        })?;
        terminal.say(&key)
    }
}

impl List {
    fn run(self, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        let config = self.options.load(&[])?;
        block_on(async {
            let (control, _) = open(&config).await?;
            let user = find(&control, &self.user).await?;
            for key in api_keys::of_user(control.read(), &user.id).await? {
                let expires = match key.expires_at.and_then(|us| Timestamp::from_microsecond(us).ok()) {
                    Some(time) => time.to_string(),
                    None => "never".to_owned(),
                };
                terminal.say(&format!("{}\t{}\t{}\t{expires}\t{}", key.id, key.prefix, key.scopes, key.name))?;
            }
            Ok(control.close().await?)
        })
    }
}

impl Revoke {
    fn run(self) -> Result<(), Failure> {
        let config = self.options.load(&[])?;
        block_on(async {
            let (control, auth) = open(&config).await?;
            let is_revoked = auth.revoke_key(&self.id).await?;
            control.close().await?;
            if is_revoked { Ok(()) } else { Err(Failure::Unknown { what: "key", name: self.id }) }
        })
    }
}

fn expiry(text: &str) -> Result<Expiry, &'static str> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(Expiry::At { us: time.as_microsecond() });
    }
    let wrong = "must be a span such as 90d or 12h, or a time such as 2027-01-01T00:00:00Z";
    let (number, hours) = match (text.strip_suffix('d'), text.strip_suffix('h')) {
        (Some(days), _) => (days, 24),
        (_, Some(hours)) => (hours, 1),
        _ => return Err(wrong),
    };
    let count: i64 = number.parse().map_err(|_| wrong)?;
    let span = count.checked_mul(hours).and_then(SignedDuration::try_from_hours).ok_or(wrong)?;
    let us = i64::try_from(span.as_micros()).map_err(|_| wrong)?;
    if us > 0 { Ok(Expiry::After { us }) } else { Err(wrong) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expiry_is_a_span_or_a_time() {
        assert_eq!(expiry("90d"), Ok(Expiry::After { us: 90 * 86_400_000_000 }));
        assert_eq!(expiry("12h"), Ok(Expiry::After { us: 12 * 3_600_000_000 }));
        assert_eq!(expiry("1970-01-01T01:00:00+01:00"), Ok(Expiry::At { us: 0 }));
        for text in ["", "d", "0d", "-1d", "90", "90m", "99999999999999999999d", "9999999999999999d", "tomorrow"] {
            assert!(expiry(text).is_err(), "{text}");
        }
    }
}
