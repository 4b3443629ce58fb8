//! `.well-known/smart-configuration`: where a client gets its token, and what it may ask for.

use axum::Json;
use axum::extract::{Request, State};
use serde::Serialize;

use super::TOKEN_BELOW_BASE;
use super::token::UNKNOWN_BASE;
use crate::error::ApiError;
use crate::fhir::base;
use crate::state::AppState;

/// What this server can of SMART.
#[derive(Debug, Serialize)]
pub(super) struct SmartConfiguration {
    /// Where a client gets its token; also the audience of its assertion.
    token_endpoint: String,
    /// `private_key_jwt` alone.
    token_endpoint_auth_methods_supported: [&'static str; 1],
    /// Algorithms of assertions.
    token_endpoint_auth_signing_alg_values_supported: [&'static str; 2],
    /// `client_credentials` alone.
    grant_types_supported: [&'static str; 1],
    /// What a client can be allowed.
    scopes_supported: [&'static str; 5],
    /// None: nobody logs in through SMART here.
    response_types_supported: [&'static str; 0],
    /// Wanted of every server by SMART 2, also of one where nobody logs in.
    code_challenge_methods_supported: [&'static str; 1],
    /// In SMART's words.
    capabilities: [&'static str; 3],
}

/// What this server can of SMART; 404 where it does not know its own URL.
pub(super) async fn read(
    State(state): State<AppState>,
    request: Request,
) -> Result<Json<SmartConfiguration>, ApiError> {
    let (parts, _) = request.into_parts();
    let base = base::of(&state.config.fhir, &parts).ok_or_else(|| ApiError::not_found(UNKNOWN_BASE))?;
    Ok(Json(SmartConfiguration {
        token_endpoint: format!("{base}{TOKEN_BELOW_BASE}"),
        token_endpoint_auth_methods_supported: ["private_key_jwt"],
        token_endpoint_auth_signing_alg_values_supported: ["RS384", "ES384"],
        grant_types_supported: ["client_credentials"],
        scopes_supported: [
            "system/Patient.rs",
            "system/Observation.rs",
            "system/Device.rs",
            "system/Provenance.rs",
            "system/*.rs",
        ],
        response_types_supported: [],
        code_challenge_methods_supported: ["S256"],
        capabilities: ["client-confidential-asymmetric", "permission-v1", "permission-v2"],
    }))
}
