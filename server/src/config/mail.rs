//! `[mail]`: how one-time codes reach people.

use serde::{Deserialize, Serialize};

use super::{Flaw, SecretUrl};

/// The mail server. Without one, mail is appended to `mail.txt` in the data directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mail {
    /// `smtps://user:password@host:465`, `smtp://user:password@host:587?tls=required`.
    pub smtp_url: Option<SecretUrl>,
    /// The sender's address.
    pub from: String,
    /// Longest time that one mail may take, seconds.
    pub send_s: u64,
}

impl Default for Mail {
    fn default() -> Self {
        Self { smtp_url: None, from: "avycenna <no-reply@localhost>".to_owned(), send_s: 30 }
    }
}

impl Mail {
    /// Checks what the types alone cannot.
    pub(super) fn check(&self) -> Result<(), Flaw> {
        if self.from.parse::<lettre::message::Mailbox>().is_err() {
            return Err(Flaw::new("from", "must be a mail address, `name <user@host>` or `user@host`"));
        }
        if let Some(url) = &self.smtp_url
            && !["smtp://", "smtps://"].iter().any(|scheme| url.reveal().starts_with(scheme))
        {
            return Err(Flaw::new("smtp_url", "must be `smtp://…` or `smtps://…`"));
        }
        if self.send_s == 0 {
            return Err(Flaw::new("send_s", "must be at least 1"));
        }
        Ok(())
    }
}
