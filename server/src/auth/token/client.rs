//! What a client's token says. Its audience is not that of people's tokens, so that neither passes for the other.

use jsonwebtoken::{Algorithm, Validation};
use serde::{Deserialize, Serialize};

use super::{AuthError, IAT_LEEWAY_S, Tokens, random};
use crate::auth::clients::CLIENT_TOKEN_S;

/// Behind the audience of people's tokens.
const AUDIENCE_SUFFIX: &str = "/fhir";

/// What a client's token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientClaims {
    /// Who made it.
    pub iss: String,
    /// For what.
    pub aud: String,
    /// The client.
    pub sub: String,
    /// The end of its life, seconds since 1970 UTC.
    pub exp: i64,
    /// When it was made, seconds since 1970 UTC.
    pub iat: i64,
    /// Its own id.
    pub jti: String,
    /// What is allowed, words with blanks between them.
    pub scope: String,
}

/// What is wanted of a client's token beside the signature.
pub(super) fn validation(issuer: &str, audience: &str) -> Validation {
    let mut validation = Validation::new(Algorithm::HS256);
    validation.set_issuer(&[issuer]);
    validation.set_audience(&[format!("{audience}{AUDIENCE_SUFFIX}")]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    // Our own clock decides.
    validation.validate_exp = false;
    validation
}

impl Tokens {
    /// Signs a token of a client.
    ///
    /// # Errors
    /// [`AuthError::Random`], [`AuthError::Sign`].
    pub fn sign_client(&self, client_id: &str, scope: &str, now_us: i64) -> Result<String, AuthError> {
        let now_s = now_us.div_euclid(1_000_000);
        let claims = ClientClaims {
            iss: self.issuer.clone(),
            aud: format!("{}{AUDIENCE_SUFFIX}", self.audience),
            sub: client_id.to_owned(),
            exp: now_s.saturating_add(CLIENT_TOKEN_S),
            iat: now_s,
            jti: random::base62("", 16)?,
            scope: scope.to_owned(),
        };
        self.encode(&claims)
    }

    /// What a client's token says, if it is ours and lives. No look-up, no database.
    ///
    /// # Errors
    /// [`AuthError::Invalid`].
    pub fn verify_client(&self, token: &str, now_us: i64) -> Result<ClientClaims, AuthError> {
        let claims: ClientClaims = self.decode(token, &self.client_validation)?;
        let now_s = now_us.div_euclid(1_000_000);
        let is_alive = now_s < claims.exp && claims.iat <= now_s.saturating_add(IAT_LEEWAY_S);
        if is_alive && !claims.jti.is_empty() { Ok(claims) } else { Err(AuthError::Invalid) }
    }
}
