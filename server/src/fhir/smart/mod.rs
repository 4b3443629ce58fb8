//! SMART backend services: how another system comes in by itself, without a person at a browser.
//!
//! ```text
//! operator: avycenna smart client add --owner DOCTOR --jwks FILE ─▶ smart_clients
//! client:   JWT signed with its private key ─▶ POST …/auth/token ─▶ key by kid, signature, claims, used once
//!                                                               └▶ access token: 5 minutes, FHIR alone, scopes
//! ```
//!
//! - A client acts for a doctor, and sees what that doctor's grants allow; scopes only take away from that.
//! - Keys come out of the registration alone. Nothing in a header (`jku`, `x5u`, `jwk`) is followed, so nobody makes this
//!   server fetch a URL, and the algorithm is the registered key's, whatever a header says.
//! - An assertion is used once, over all processes and restarts: its id is written down before a token leaves.
//!
//! Not here: what the token is good for (`auth`), and what of FHIR there is.

mod assertion;
pub mod jwks;
mod metadata;
#[cfg(test)]
pub(crate) mod tests;
pub(crate) mod token;

use axum::Router;
use axum::routing::{get, post};

use crate::state::AppState;

/// Where a client gets its token.
pub const TOKEN_PATH: &str = "/fhir/R4/auth/token";

/// The same below the base.
const TOKEN_BELOW_BASE: &str = "/auth/token";

/// Where a client looks first: below the base, and at the root for those who know the server alone.
const CONFIGURATION_PATHS: [&str; 2] = ["/fhir/R4/.well-known/smart-configuration", "/.well-known/smart-configuration"];

/// The operations, at the root. SMART describes itself by its configuration; these are not in the OpenAPI description.
pub fn router() -> Router<AppState> {
    let router = Router::new().route(TOKEN_PATH, post(token::token));
    CONFIGURATION_PATHS.iter().fold(router, |router, path| router.route(path, get(metadata::read)))
}
