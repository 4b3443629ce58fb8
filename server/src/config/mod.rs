//! The configuration: flags over environment over file over defaults.
//!
//! ```text
//! defaults ◀─ avycenna.toml ◀─ AVYCENNA_<SECTION>_<KEY> ◀─ --listen, --data-dir, --set section.key=value
//! ```
//!
//! Every value is laid over the defaults one by one, so that a fault names its key and where it came from. An unknown
//! key or a bad value stops the start. One file per section; its `Default` is what the documentation says.
//!
//! Not here: what a budget means. Storage and engine get plain structs and never read the environment.

mod auth;
mod control;
mod fhir;
mod imports;
mod limits;
mod listen;
mod log;
mod mail;
mod merge;
mod print;
mod secret;
mod secrets;
mod storage;
#[cfg(test)]
mod tests;
mod webhooks;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use engine::catalogue::OwnMetric;
use engine::{Catalogue, EngineConfig};
use serde::{Deserialize, Serialize};

pub use self::auth::{Auth, JWT_SECRET_BYTES_MIN, parse_secret};
pub use self::control::{Control, Database};
pub use self::fhir::Fhir;
pub use self::imports::Imports;
pub use self::limits::Limits;
pub use self::listen::{Listen, Network};
pub use self::log::{Format, Log};
pub use self::mail::Mail;
pub(crate) use self::merge::CLIENT_KEY_VARIABLE;
pub use self::merge::{Sources, TEST_PREFIX};
pub use self::secret::{MASK, Secret, SecretUrl};
pub use self::secrets::{SECRETS_KEY_BYTES, Secrets, parse_secrets_key};
pub use self::storage::Storage;
pub use self::webhooks::Webhooks;

/// The effective configuration.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where the server answers.
    pub listen: Listen,
    /// Where the points are, and the memory they may take.
    pub storage: Storage,
    /// Tokens, codes, passwords.
    pub auth: Auth,
    /// The control database.
    pub control: Control,
    /// Outgoing mail.
    pub mail: Mail,
    /// Files that people send.
    pub imports: Imports,
    /// Where webhooks may lead.
    pub webhooks: Webhooks,
    /// The FHIR face.
    pub fhir: Fhir,
    /// The key of secrets at rest.
    pub secrets: Secrets,
    /// Rates, sizes, times.
    pub limits: Limits,
    /// The log.
    pub log: Log,
    /// Metrics of the operator's own, `[[metrics]]`, beside the built-in ones.
    pub metrics: Vec<OwnMetric>,
    /// Where each value that is not the default came from, by `section.key`.
    #[serde(skip)]
    pub origins: BTreeMap<String, String>,
}

/// A setting that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{key}` from {origin}: {what}")]
pub struct Error {
    /// `section.key`, or the file or variable itself.
    pub key: String,
    /// The flag, the variable, the file, or the defaults.
    pub origin: String,
    /// What is wrong, and what it must be.
    pub what: String,
}

/// What a section's own check found: the key inside the section, and what it must be.
#[derive(Debug)]
pub(crate) struct Flaw {
    key: &'static str,
    what: Cow<'static, str>,
}

impl Flaw {
    /// A fault of `key`.
    pub(crate) fn new(key: &'static str, what: impl Into<Cow<'static, str>>) -> Self {
        Self { key, what: what.into() }
    }
}

impl Config {
    /// Merges the sources and checks the result.
    ///
    /// # Errors
    /// The first setting that is unknown or cannot be used, with its source.
    pub fn load(sources: &Sources) -> Result<Self, Error> {
        let config = merge::merge(sources)?;
        config.check()?;
        Ok(config)
    }

    /// The configuration as TOML, each value with its source, secrets masked.
    pub fn to_toml(&self) -> String {
        print::to_toml(self)
    }

    /// The engine's budgets and metrics, as it takes them.
    ///
    /// # Errors
    /// A metric of the operator's own that cannot be, by `metrics.<key>`.
    pub fn engine(&self) -> Result<EngineConfig, Error> {
        let catalogue = Catalogue::with_own(self.metrics.clone()).map_err(|error| {
            let origin = self.origins.get("metrics").map_or("the defaults", String::as_str).to_owned();
            match error {
                engine::Error::Catalogue { key, what } => Error { key: format!("metrics.{key}"), origin, what },
                other => Error { key: "metrics".to_owned(), origin, what: other.to_string() },
            }
        })?;
        Ok(EngineConfig {
            storage: self.storage.budgets(),
            catalogue,
            latest_cache_bytes: self.storage.latest_cache_bytes,
            query_memory_bytes: self.storage.query_memory_bytes,
            query_time_max: Duration::from_secs(self.storage.query_s),
            query_rows_max: self.storage.query_rows_max,
        })
    }

    fn check(&self) -> Result<(), Error> {
        let checks = [
            ("listen", self.listen.check()),
            ("storage", self.storage.check()),
            ("auth", self.auth.check()),
            ("control", self.control.check()),
            ("mail", self.mail.check()),
            ("fhir", self.fhir.check()),
            ("imports", self.imports.check()),
            ("webhooks", self.webhooks.check()),
            ("secrets", self.secrets.check()),
            ("limits", self.limits.check()),
            ("log", self.log.check()),
        ];
        for (section, check) in checks {
            if let Err(Flaw { key, what }) = check {
                let key = format!("{section}.{key}");
                let origin = self.origins.get(&key).map_or("the defaults", String::as_str).to_owned();
                return Err(Error { key, origin, what: what.into_owned() });
            }
        }
        self.engine().map(|_| ())
    }
}
