//! Access tokens: JWT, HS256 and nothing else.
//!
//! The newest secret signs, all verify; a token names its secret by `kid`. `iss`, `aud`, `sub`, `exp`, `iat`, `jti` and
//! the session `sid` must all be there and hold.
//!
//! Not here: whether the session still stands (`auth::cache`).

mod client;
mod secrets;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub use self::client::ClientClaims;
pub use self::secrets::SecretError;
use super::{AuthError, random};
use crate::config::{self, Config, parse_secret};

/// Longest token that is looked at, bytes; ours have about 400.
const TOKEN_BYTES_MAX: usize = 2048;

/// How far the clocks of our own servers may differ, seconds.
const IAT_LEEWAY_S: i64 = 60;

/// What an access token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Who made it.
    pub iss: String,
    /// For whom.
    pub aud: String,
    /// The person.
    pub sub: String,
    /// The end of its life, seconds since 1970 UTC.
    pub exp: i64,
    /// When it was made, seconds since 1970 UTC.
    pub iat: i64,
    /// Its own id.
    pub jti: String,
    /// The login that it came out of.
    pub sid: String,
}

struct Secret {
    kid: String,
    signing: EncodingKey,
    verifying: DecodingKey,
}

/// Signs and verifies access tokens.
pub struct Tokens {
    /// Newest first, never empty.
    secrets: Vec<Secret>,
    validation: Validation,
    client_validation: Validation,
    issuer: String,
    audience: String,
    life_s: i64,
    /// Derived from the newest secret, for keyed hashes of one-time codes.
    code_key: [u8; 32],
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kids: Vec<&str> = self.secrets.iter().map(|secret| secret.kid.as_str()).collect();
        f.debug_struct("Tokens").field("kids", &kids).finish_non_exhaustive()
    }
}

impl Tokens {
    /// Takes the secrets of the configuration, or those of the file, which it makes if it is not there.
    ///
    /// # Errors
    /// [`SecretError`].
    pub fn open(config: &Config) -> Result<Self, SecretError> {
        let lines = if config.auth.jwt_secrets.is_empty() {
            secrets::read_or_create(&config.auth.secret_file(&config.storage.data_dir))?
        } else {
            config.auth.jwt_secrets.iter().map(|secret| secret.reveal().to_owned()).collect()
        };
        Self::new(&lines, &config.auth)
    }

    fn new(lines: &[String], auth: &config::Auth) -> Result<Self, SecretError> {
        let path = || "of the configuration".to_owned();
        let mut secrets: Vec<Secret> = Vec::with_capacity(lines.len());
        let mut code_key = None;
        for (nth, line) in lines.iter().enumerate() {
            let (kid, secret) =
                parse_secret(line).map_err(|what| SecretError::Line { path: path(), line: nth + 1, what })?;
            if secrets.iter().any(|other| other.kid == kid) {
                return Err(SecretError::Twice { kid: kid.to_owned() });
            }
            let secret = secret.as_bytes();
            code_key.get_or_insert_with(|| super::otp::code_key(secret));
            secrets.push(Secret {
                kid: kid.to_owned(),
                signing: EncodingKey::from_secret(secret),
                verifying: DecodingKey::from_secret(secret),
            });
        }
        let Some(code_key) = code_key else { return Err(SecretError::Empty { path: path() }) };
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[&auth.issuer]);
        validation.set_audience(&[&auth.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // Our own clock decides, in `verify`.
        validation.validate_exp = false;
        let client_validation = client::validation(&auth.issuer, &auth.audience);
        let life_s = i64::try_from(auth.access_token_s).unwrap_or(i64::MAX);
        let (issuer, audience) = (auth.issuer.clone(), auth.audience.clone());
        Ok(Self { secrets, validation, client_validation, issuer, audience, life_s, code_key })
    }

    /// Signs a token of a session.
    ///
    /// # Errors
    /// [`AuthError::Random`], [`AuthError::Sign`].
    pub fn sign(&self, user: &str, session: &str, now_us: i64) -> Result<String, AuthError> {
        let now_s = now_us.div_euclid(1_000_000);
        let claims = Claims {
            iss: self.issuer.clone(),
            aud: self.audience.clone(),
            sub: user.to_owned(),
            exp: now_s.saturating_add(self.life_s),
            iat: now_s,
            jti: random::base62("", 16)?,
            sid: session.to_owned(),
        };
        self.encode(&claims)
    }

    /// What a token says, if it is ours and lives. No look-up, no database.
    ///
    /// # Errors
    /// [`AuthError::Invalid`].
    pub fn verify(&self, token: &str, now_us: i64) -> Result<Claims, AuthError> {
        let claims: Claims = self.decode(token, &self.validation)?;
        let now_s = now_us.div_euclid(1_000_000);
        let is_alive = now_s < claims.exp && claims.iat <= now_s.saturating_add(IAT_LEEWAY_S);
        if is_alive && !claims.jti.is_empty() { Ok(claims) } else { Err(AuthError::Invalid) }
    }

    /// Signs with the newest secret.
    fn encode(&self, claims: &impl Serialize) -> Result<String, AuthError> {
        let Some(newest) = self.secrets.first() else { return Err(AuthError::Stopping) };
        let mut header = Header::new(Algorithm::HS256);
        header.kid = Some(newest.kid.clone());
        Ok(jsonwebtoken::encode(&header, claims, &newest.signing)?)
    }

    /// The claims of a token that one of our secrets has signed for who `validation` says.
    fn decode<T: DeserializeOwned>(&self, token: &str, validation: &Validation) -> Result<T, AuthError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(AuthError::Invalid);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| AuthError::Invalid)?;
        if header.alg != Algorithm::HS256 || header.crit.is_some() {
            return Err(AuthError::Invalid);
        }
        let kid = header.kid.ok_or(AuthError::Invalid)?;
        let secret = self.secrets.iter().find(|secret| secret.kid == kid).ok_or(AuthError::Invalid)?;
        let decoded = jsonwebtoken::decode(token, &secret.verifying, validation).map_err(|_| AuthError::Invalid)?;
        Ok(decoded.claims)
    }

    /// Life of a token, seconds.
    pub fn life_s(&self) -> i64 {
        self.life_s
    }

    /// The key of the hashes of one-time codes.
    pub(super) fn code_key(&self) -> &[u8; 32] {
        &self.code_key
    }
}

#[cfg(test)]
mod tests;
