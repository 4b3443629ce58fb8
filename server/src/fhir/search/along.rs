//! What comes along with a page of observations: who they are of, what measured them, where they are from.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Search;
use super::bundle::Bundle;
use crate::auth::{AuthError, Principal, Resource};
use crate::fhir::answer::Base;
use crate::fhir::device::{Origin, device};
use crate::fhir::id::Ids;
use crate::fhir::provenance;
use storage::UserId;

/// Refuses a client whose scopes do not name what comes beside the observations.
///
/// # Errors
/// [`AuthError::WantsScope`].
pub(super) fn check(search: &Search, principal: &Principal) -> Result<(), AuthError> {
    let wanted = [
        (search.with_patient, Resource::Patient),
        (search.with_device, Resource::Device),
        (search.with_provenance, Resource::Provenance),
    ];
    wanted.into_iter().filter(|(is_wanted, _)| *is_wanted).try_for_each(|(_, one)| principal.require_resource(one))
}

/// The observations of a page that something is to come along with; none, and nothing is read, where nothing is.
///
/// # Errors
/// A page that is neither lines nor entries with commas between them.
pub(super) fn observations(search: &Search, page: &[u8]) -> serde_json::Result<Vec<Value>> {
    if !search.with_device && !search.with_provenance {
        return Ok(Vec::new());
    }
    read(page, search.elements.is_some())
}

fn read(page: &[u8], are_lines: bool) -> serde_json::Result<Vec<Value>> {
    if are_lines {
        let lines = page.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        return lines.map(serde_json::from_slice).collect();
    }
    let mut entries: Vec<Value> = serde_json::from_slice(&[b"[", page, b"]"].concat())?;
    Ok(entries.iter_mut().filter_map(|entry| entry.get_mut("resource")).map(Value::take).collect())
}

/// Adds to a page what measured its observations, each once, and where each of them is from.
pub(super) fn add(
    bundle: &mut Bundle,
    (search, ids, base): (&Search, &Ids, &Base),
    user: UserId,
    observations: &[Value],
) {
    if search.with_device {
        let references = observations.iter().filter_map(|observation| observation.get("device"));
        let origins: BTreeSet<Origin> = references.filter_map(Origin::referred).collect();
        for origin in &origins {
            let id = ids.of_device(user, origin.mark());
            bundle.resource(base, ("Device", &id), "include", device(ids, user, origin).to_string().as_bytes());
        }
    }
    if search.with_provenance {
        for observation in observations {
            let (id, resource) = provenance::of(observation);
            bundle.resource(base, ("Provenance", &id), "include", resource.to_string().as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_read_in_either_form() {
        let lines = read(b"{\"id\":\"a\"}\n{\"id\":\"b\"}\n", true).unwrap();
        let entries = read(br#"{"resource":{"id":"a"}},{"resource":{"id":"b"}}"#, false).unwrap();
        assert_eq!(lines, entries);
        assert_eq!(lines.len(), 2);
        assert!(read(b"", false).unwrap().is_empty() && read(b"", true).unwrap().is_empty());
    }
}
