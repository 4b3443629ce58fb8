//! `POST …/auth/token`: a client's proof in, a token out (RFC 6749, section 4.4; RFC 7523).

use std::borrow::Cow;

use axum::Json;
use axum::extract::{FromRequest as _, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::TOKEN_BELOW_BASE;
use super::assertion::{self, Refusal};
use super::jwks::Jwks;
use crate::auth::{CLIENT_TOKEN_S, SystemScopes};
use crate::control::entities::smart_client::Model;
use crate::control::repository::smart;
use crate::error::ApiError;
use crate::extract::Payload;
use crate::fhir::base;
use crate::routes::ids::is_id;
use crate::state::AppState;

/// What a client's id begins with.
pub(crate) const ID_PREFIX: &str = "smc_";

/// Longest body, bytes.
const BODY_BYTES_MAX: usize = 16 << 10;

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// What is said where nobody has told the server how it is reached.
pub(super) const UNKNOWN_BASE: &str = "this server does not know its own URL; its operator sets `fhir.base_url`";

/// One text for all who prove nothing.
const UNPROVED: &str = "no registered client has signed this assertion";

/// A token.
#[derive(Debug, Serialize)]
pub(super) struct Issued {
    /// To be sent as `Authorization: Bearer …`.
    access_token: String,
    /// `bearer`.
    token_type: &'static str,
    /// Seconds that it lives.
    expires_in: i64,
    /// What it allows.
    scope: String,
}

/// Why there is no token, in OAuth's words.
#[derive(Debug, Serialize)]
pub(super) struct Refused {
    /// `invalid_request`, `invalid_client`, `invalid_scope` or `unsupported_grant_type`.
    error: &'static str,
    /// For people.
    error_description: Cow<'static, str>,
}

/// Why there is no token.
#[derive(Debug)]
pub(super) enum Failure {
    OAuth(StatusCode, Refused),
    Api(ApiError),
}

impl Failure {
    fn request(what: impl Into<Cow<'static, str>>) -> Self {
        Self::bad("invalid_request", what)
    }

    fn bad(error: &'static str, what: impl Into<Cow<'static, str>>) -> Self {
        Self::OAuth(StatusCode::BAD_REQUEST, Refused { error, error_description: what.into() })
    }

    fn client(what: &'static str) -> Self {
        let error = Refused { error: "invalid_client", error_description: what.into() };
        Self::OAuth(StatusCode::UNAUTHORIZED, error)
    }
}

impl<E: Into<ApiError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Api(error.into())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        match self {
            Self::Api(error) => error.into_response(),
            Self::OAuth(status, error) => {
                let mut response = (status, not_stored(), Json(error)).into_response();
                if status == StatusCode::UNAUTHORIZED {
                    let challenge = HeaderValue::from_static(r#"Bearer realm="avycenna""#);
                    response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
                }
                response
            }
        }
    }
}

/// Nobody on the way keeps it (RFC 6749, section 5.1).
fn not_stored() -> [(header::HeaderName, &'static str); 2] {
    [(header::CACHE_CONTROL, "no-store"), (header::PRAGMA, "no-cache")]
}

/// Gives a registered client a token for five minutes, against an assertion that it has signed (SMART backend services).
///
/// The assertion is a JWT by RS384 or ES384 with `kid` in its header and `iss`, `sub` (both the client's id), `aud` (this
/// endpoint's URL as `.well-known/smart-configuration` says it), `exp` (at most five minutes ahead) and `jti`; each works
/// once. What of `scope` the client is not registered for is left out.
pub(super) async fn token(State(state): State<AppState>, request: Request) -> Result<Response, Failure> {
    let (parts, body) = request.into_parts();
    let base = base::of(&state.config.fhir, &parts);
    let is_form = has_form(&parts.headers);
    let payload = Payload::from_request(Request::from_parts(parts, body), &state).await.map_err(in_oauth)?;
    if !is_form {
        return Err(Failure::request("the body must be application/x-www-form-urlencoded"));
    }
    let form = Form::parse(&payload)?;
    match form.get("grant_type") {
        Some("client_credentials") => {}
        Some(_) => return Err(Failure::bad("unsupported_grant_type", "grant_type must be client_credentials")),
        None => return Err(Failure::request("grant_type is missing")),
    }
    if form.get("client_assertion_type") != Some(ASSERTION_TYPE) {
        return Err(Failure::request(format!("client_assertion_type must be {ASSERTION_TYPE}")));
    }
    let assertion = form.get("client_assertion").ok_or_else(|| Failure::request("client_assertion is missing"))?;
    let token_url = format!("{}{TOKEN_BELOW_BASE}", base.ok_or_else(|| Failure::request(UNKNOWN_BASE))?);
    let client = prove(&state, assertion, &token_url).await?;
    if form.get("client_id").is_some_and(|id| id != client.id) {
        return Err(Failure::client("client_id is not the client that has signed"));
    }
    let asked = form.get("scope").ok_or_else(|| Failure::bad("invalid_scope", "scope is missing"))?;
    let scope = SystemScopes::parse(&client.scopes).unwrap_or_default().narrow(asked);
    if scope.is_empty() {
        return Err(Failure::bad("invalid_scope", "the client is registered for nothing of what it asks"));
    }
    let access_token = state.auth.client_token(&client.id, &scope)?;
    tracing::info!(client = client.id, owner = client.user_id, "a client got a token");
    let token = Issued { access_token, token_type: "bearer", expires_in: CLIENT_TOKEN_S, scope };
    Ok((not_stored(), Json(token)).into_response())
}

/// The client that has signed an assertion, which is spent by it.
async fn prove(state: &AppState, assertion: &str, token_url: &str) -> Result<Model, Failure> {
    let unproved = || Failure::client(UNPROVED);
    let named = assertion::named(assertion).map_err(|_| unproved())?;
    if !is_id(ID_PREFIX, &named.client_id) {
        return Err(unproved());
    }
    let found = smart::with_owner(state.control.read(), &named.client_id).await?;
    let (client, _) = found.ok_or_else(unproved)?;
    let keys = Jwks::parse(&client.jwks).map_err(ApiError::internal)?;
    let now_s = state.clock.now_us().div_euclid(1_000_000);
    let proof = assertion::check(assertion, &named, &keys, token_url, now_s).map_err(|refusal| match refusal {
        Refusal::Unproved => unproved(),
        Refusal::Wrong(what) => {
            tracing::warn!(client = client.id, reason = what, "a client's assertion does not hold");
            Failure::client(what)
        }
    })?;
    let mut hash = Sha256::new();
    hash.update(client.id.as_bytes());
    hash.update([0]);
    hash.update(proof.jti.as_bytes());
    let hash: [u8; 32] = hash.finalize().into();
    let write = state.control.write().await?;
    let is_first = smart::spend(write.on(), &hash, proof.kept_until_s.saturating_mul(1_000_000)).await?;
    write.commit().await?;
    if !is_first {
        tracing::warn!(client = client.id, "an assertion came a second time");
        return Err(Failure::client("this assertion was used before; make a new one with a new jti"));
    }
    Ok(client)
}

fn has_form(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

/// A body that cannot be read, in OAuth's words where it is the client's fault.
fn in_oauth(error: ApiError) -> Failure {
    match error.status() {
        StatusCode::BAD_REQUEST | StatusCode::UNSUPPORTED_MEDIA_TYPE => Failure::request("the body cannot be read"),
        _ => Failure::Api(error),
    }
}

/// The parameters of a body. One without a value counts as absent; one that nobody knows is let be (RFC 6749, section
/// 3.2).
struct Form(Vec<(String, String)>);

impl Form {
    fn parse(body: &[u8]) -> Result<Self, Failure> {
        if body.len() > BODY_BYTES_MAX {
            return Err(Failure::Api(ApiError::too_large("the body", BODY_BYTES_MAX)));
        }
        let mut pairs: Vec<(String, String)> = Vec::new();
        for (name, value) in url::form_urlencoded::parse(body) {
            if value.is_empty() {
                continue;
            }
            if pairs.iter().any(|(known, _)| *known == name) {
                return Err(Failure::request("a parameter is there twice"));
            }
            pairs.push((name.into_owned(), value.into_owned()));
        }
        Ok(Self(pairs))
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}
