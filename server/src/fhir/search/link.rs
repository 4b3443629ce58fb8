//! Links to the next page: what was asked and where the page before ended, sealed for the caller who got it.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::access::Visitor;
use crate::error::ApiError;
use crate::fhir::answer::Base;
use crate::fhir::id::Ids;
use crate::fhir::outcome::Failure;

/// The parameter of a link to the next page.
pub(crate) const CURSOR: &str = "_cursor";

/// The link to the page that is described by `next`.
pub(crate) fn to(
    (ids, base, visitor): (&Ids, &Base, &Visitor),
    resource: &str,
    next: &impl Serialize,
) -> Result<String, Failure> {
    let plain = serde_json::to_vec(next).map_err(ApiError::internal)?;
    Ok(of_sealed(base, resource, &ids.seal(visitor.principal().user.as_str(), &plain)))
}

/// What a link was made of.
///
/// # Errors
/// 400 for a link that we did not make for this caller, or made to something else.
pub(crate) fn read<T: DeserializeOwned>(ids: &Ids, visitor: &Visitor, sealed: &str) -> Result<T, Failure> {
    let plain = ids.unseal(visitor.principal().user.as_str(), sealed);
    let next = plain.and_then(|plain| serde_json::from_slice(&plain).ok());
    next.ok_or_else(|| Failure::value(CURSOR, "not a link of this server for you; take it as it came"))
}

/// The link itself.
pub(crate) fn of_sealed(base: &Base, resource: &str, sealed: &str) -> String {
    format!("{}/{resource}?{CURSOR}={sealed}", base.0)
}
