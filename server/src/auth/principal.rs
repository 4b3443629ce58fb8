//! Somebody whose credentials hold, and what these allow.

use std::fmt;
use std::sync::Arc;

use storage::UserId;

use super::{AuthError, Resource, SystemScopes};

/// What somebody is to the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Has data.
    Patient,
    /// Is let in by patients.
    Doctor,
}

impl Role {
    /// The role of a word.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "patient" => Some(Self::Patient),
            "doctor" => Some(Self::Doctor),
            _ => None,
        }
    }

    /// The role's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Patient => "patient",
            Self::Doctor => "doctor",
        }
    }
}

/// What an API key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scopes {
    /// Reads.
    pub read: bool,
    /// Writes.
    pub write: bool,
}

impl Scopes {
    /// Everything, which is the default of a new key.
    pub const ALL: Self = Self { read: true, write: true };

    /// The scopes of words; `None` if one is unknown, or none is there.
    pub fn parse<'a>(words: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let mut scopes = Self { read: false, write: false };
        for word in words {
            match word {
                "read" => scopes.read = true,
                "write" => scopes.write = true,
                _ => return None,
            }
        }
        (scopes.read || scopes.write).then_some(scopes)
    }

    /// The scopes' words.
    pub fn words(self) -> Vec<&'static str> {
        [(self.read, "read"), (self.write, "write")].into_iter().filter_map(|(has, word)| has.then_some(word)).collect()
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words().join(" "))
    }
}

/// By what somebody was let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Means {
    /// A person's access token.
    Token {
        /// The token's own id.
        jti: String,
        /// The login that it came out of.
        session: String,
    },
    /// An API key.
    Key {
        /// The key's id.
        id: Arc<str>,
        /// What it may do.
        scopes: Scopes,
    },
    /// The token of another system that acts for a doctor.
    Client {
        /// The client's id.
        id: Arc<str>,
        /// What it may do.
        scopes: SystemScopes,
    },
}

impl Means {
    /// What a trail of reads says of it: the sort, and an id by which its owner finds it.
    pub fn recorded(&self) -> (&'static str, &str) {
        match self {
            Self::Token { jti, .. } => ("token", jti),
            Self::Key { id, .. } => ("key", id),
            Self::Client { id, .. } => ("client", id),
        }
    }
}

/// Somebody whose credentials hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Who they are.
    pub user: UserId,
    /// What they are.
    pub role: Role,
    /// By what they were let in.
    pub means: Means,
}

impl Principal {
    /// Whether they may read.
    pub fn can_read(&self) -> bool {
        match &self.means {
            // A client is refused by the path of what it asks for: [`SystemScopes::admit`].
            Means::Token { .. } | Means::Client { .. } => true,
            Means::Key { scopes, .. } => scopes.read,
        }
    }

    /// Whether they may write.
    pub fn can_write(&self) -> bool {
        match &self.means {
            Means::Token { .. } => true,
            Means::Key { scopes, .. } => scopes.write,
            Means::Client { .. } => false,
        }
    }

    /// Refuses who may not read.
    ///
    /// # Errors
    /// [`AuthError::WantsScope`].
    pub fn require_read(&self) -> Result<(), AuthError> {
        if self.can_read() { Ok(()) } else { Err(AuthError::WantsScope("read")) }
    }

    /// Refuses who may not write.
    ///
    /// # Errors
    /// [`AuthError::WantsScope`].
    pub fn require_write(&self) -> Result<(), AuthError> {
        if self.can_write() { Ok(()) } else { Err(AuthError::WantsScope("write")) }
    }

    /// Refuses API keys: what could hand over the account wants a person's token. Answers the session.
    ///
    /// # Errors
    /// [`AuthError::WantsToken`].
    pub fn require_token(&self) -> Result<&str, AuthError> {
        match &self.means {
            Means::Token { session, .. } => Ok(session),
            Means::Key { .. } | Means::Client { .. } => Err(AuthError::WantsToken),
        }
    }

    /// Refuses another system's token for what is at `path`, the whole path of the request, unless that is its own
    /// field and within its scopes.
    ///
    /// # Errors
    /// [`AuthError::Elsewhere`], [`AuthError::WantsScope`].
    pub fn require_path(&self, path: &str) -> Result<(), AuthError> {
        match &self.means {
            Means::Client { scopes, .. } => scopes.admit(path),
            Means::Token { .. } | Means::Key { .. } => Ok(()),
        }
    }

    /// Refuses another system's token for a resource that its scopes do not name: what comes beside what the path says.
    ///
    /// # Errors
    /// [`AuthError::WantsScope`].
    pub fn require_resource(&self, resource: Resource) -> Result<(), AuthError> {
        if self.may_see(resource) { Ok(()) } else { Err(AuthError::WantsScope(resource.scope())) }
    }

    /// Whether the credential is for a resource of FHIR, by whatever operation it comes: that of a client may not be.
    pub fn may_see(&self, resource: Resource) -> bool {
        match &self.means {
            Means::Client { scopes, .. } => scopes.cover(resource),
            Means::Token { .. } | Means::Key { .. } => true,
        }
    }

    /// The client of SMART that asks, if it is one.
    pub fn client(&self) -> Option<&str> {
        match &self.means {
            Means::Client { id, .. } => Some(id),
            Means::Token { .. } | Means::Key { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_what_was_said_and_nothing_else() {
        assert_eq!(Scopes::parse(["read", "write"]), Some(Scopes::ALL));
        assert_eq!(Scopes::parse(["write"]).unwrap().words(), ["write"]);
        assert_eq!(Scopes::parse([]), None);
        assert_eq!(Scopes::parse(["read", "admin"]), None);
        assert_eq!(Scopes::ALL.to_string(), "read write");
    }

    #[test]
    fn a_key_does_only_what_its_scopes_say() {
        let user = UserId::parse("usr_7jRtHvBk").unwrap();
        let key = |scopes| Principal { user, role: Role::Patient, means: Means::Key { id: "key_1".into(), scopes } };
        let reader = key(Scopes { read: true, write: false });
        assert!(reader.require_read().is_ok());
        assert!(matches!(reader.require_write(), Err(AuthError::WantsScope("write"))));
        let writer = key(Scopes { read: false, write: true });
        assert!(writer.require_write().is_ok());
        assert!(matches!(writer.require_read(), Err(AuthError::WantsScope("read"))));
        assert!(matches!(key(Scopes::ALL).require_token(), Err(AuthError::WantsToken)));
        let means = Means::Token { jti: "j".to_owned(), session: "ses_1".to_owned() };
        assert_eq!(Principal { user, role: Role::Doctor, means }.require_token().unwrap(), "ses_1");
        let means = Means::Client { id: "smc_1".into(), scopes: SystemScopes::ALL };
        let client = Principal { user, role: Role::Doctor, means };
        assert!(client.require_write().is_err() && client.require_token().is_err());
        assert!(
            client.require_path("/fhir/R4/Observation").is_ok() && client.require_path("/api/v1/users/me").is_err()
        );
    }
}
