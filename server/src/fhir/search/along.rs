//! What comes along with a page of observations: who they are of, what measured them, where they are from.

use serde_json::Value;
use storage::UserId;

use super::Search;
use super::bundle::Bundle;
use super::entries::Found;
use crate::auth::{AuthError, Principal, Resource};
use crate::error::ApiError;
use crate::fhir::answer::Base;
use crate::fhir::device::device;
use crate::fhir::id::Ids;
use crate::fhir::provenance;

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

/// The observations of a page that were written as lines, or as entries with commas between them.
///
/// # Errors
/// Neither of these.
fn read(page: &[u8], are_lines: bool) -> serde_json::Result<Vec<Value>> {
    if are_lines {
        let lines = page.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        return lines.map(serde_json::from_slice).collect();
    }
    let mut entries: Vec<Value> = serde_json::from_slice(&[b"[", page, b"]"].concat())?;
    Ok(entries.iter_mut().filter_map(|entry| entry.get_mut("resource")).map(Value::take).collect())
}

/// What comes along with a page: each Device, and where each observation is from, by their ids.
#[derive(Debug, Default)]
pub(super) struct Along {
    resources: Vec<(&'static str, String, Value)>,
}

impl Along {
    /// Beside what was found, and written as a page; nothing is looked at where nothing comes along.
    ///
    /// # Errors
    /// Columns or a page of another form.
    pub(super) fn of(
        search: &Search,
        (ids, user): (&Ids, UserId),
        found: &Found,
        page: &[u8],
    ) -> Result<Self, ApiError> {
        let mut along = Self::default();
        if search.with_device {
            for origin in found.origins()? {
                along.resources.push(("Device", ids.of_device(user, origin.mark()), device(ids, user, &origin)));
            }
        }
        if search.with_provenance {
            for observation in read(page, search.elements.is_some()).map_err(ApiError::internal)? {
                let (id, resource) = provenance::of(&observation);
                along.resources.push(("Provenance", id, resource));
            }
        }
        Ok(along)
    }

    /// Adds all of it to a page.
    pub(super) fn add_to(&self, bundle: &mut Bundle, base: &Base) {
        for (kind, id, resource) in &self.resources {
            bundle.resource(base, (kind, id), "include", resource.to_string().as_bytes());
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
