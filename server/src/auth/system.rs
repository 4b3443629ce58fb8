//! What another system may do by itself: the scopes of SMART backend services, such as `system/Observation.rs`.
//!
//! A scope only ever takes away: whose data a client reads is decided by the grants of the doctor whom it belongs to.
//! Which operation wants which scope is said here, by the path below [`BASE`], and what is not named is refused: a token
//! of a client is good for no other operation of this server.

use std::fmt;

use super::AuthError;
use crate::fhir::answer::BASE;

/// What is told by a resource of FHIR.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// Who somebody is.
    Patient,
    /// What was measured or said.
    Observation,
    /// By what it was measured.
    Device,
    /// How it came here.
    Provenance,
}

impl Resource {
    /// Every resource that a scope can name.
    pub const ALL: [Self; 4] = [Self::Patient, Self::Observation, Self::Device, Self::Provenance];

    /// Those that an export holds.
    pub const EXPORTED: [Self; 2] = [Self::Patient, Self::Observation];

    /// FHIR's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Patient => "Patient",
            Self::Observation => "Observation",
            Self::Device => "Device",
            Self::Provenance => "Provenance",
        }
    }

    /// Reads FHIR's name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|resource| resource.as_str() == name)
    }

    /// The scope that allows everything of it.
    pub fn scope(self) -> &'static str {
        match self {
            Self::Patient => "system/Patient.rs",
            Self::Observation => "system/Observation.rs",
            Self::Device => "system/Device.rs",
            Self::Provenance => "system/Provenance.rs",
        }
    }
}

/// Some scopes: of each resource whether it may be read by its id, and whether it may be searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SystemScopes {
    read: u8,
    search: u8,
}

impl SystemScopes {
    /// Everything that a client can be allowed.
    pub const ALL: Self = Self { read: 0b1111, search: 0b1111 };

    /// The scopes of words with blanks between them; `None` if one of them is nothing that this server can allow.
    pub fn parse(words: &str) -> Option<Self> {
        words.split(' ').filter(|word| !word.is_empty()).try_fold(Self::default(), |sum, word| Some(sum.or(one(word)?)))
    }

    /// What both allow.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { read: self.read & other.read, search: self.search & other.search }
    }

    /// What either allows.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self { read: self.read | other.read, search: self.search | other.search }
    }

    /// Whether they allow nothing.
    pub fn is_empty(self) -> bool {
        self.read | self.search == 0
    }

    /// Whether a resource may be read and searched, which is what an export of it wants.
    pub fn cover(self, resource: Resource) -> bool {
        self.read & self.search & bit(resource) != 0
    }

    /// What is left of `asked` (words with blanks between them) by these scopes, in the words in which it was asked where
    /// all of it is left. Words that this server does not know leave nothing.
    pub fn narrow(self, asked: &str) -> String {
        let mut left: Vec<String> = Vec::new();
        for word in asked.split(' ') {
            let Some(scopes) = one(word) else { continue };
            let both = scopes.and(self);
            let named = if both == scopes { word.to_owned() } else { both.to_string() };
            for word in named.split(' ').filter(|word| !word.is_empty()) {
                if left.iter().all(|known| known != word) {
                    left.push(word.to_owned());
                }
            }
        }
        left.join(" ")
    }

    /// Refuses a client that may not ask for what is at `path`, the whole path of a request.
    ///
    /// # Errors
    /// [`AuthError::Elsewhere`] if no client may; [`AuthError::WantsScope`].
    pub fn admit(self, path: &str) -> Result<(), AuthError> {
        let below = path.strip_prefix(BASE).and_then(|rest| rest.strip_prefix('/')).ok_or(AuthError::Elsewhere)?;
        let decoded = below.replace("%24", "$");
        let decoded = decoded.strip_suffix('/').unwrap_or(&decoded);
        let mut steps = decoded.split('/');
        let (first, second) = (steps.next().unwrap_or_default(), steps.next());
        if first == "$export-status" || first == "$export-file" {
            // Whoever made an export may look at it; which of its files may be read is looked at there.
            return if self.is_empty() { Err(AuthError::Elsewhere) } else { Ok(()) };
        }
        if decoded == "Patient/$export" || (first == "Group" && decoded.ends_with("/$export")) {
            let is_any = Resource::EXPORTED.into_iter().any(|resource| self.cover(resource));
            return if is_any { Ok(()) } else { Err(AuthError::WantsScope(Resource::Observation.scope())) };
        }
        let resource = Resource::parse(first).ok_or(AuthError::Elsewhere)?;
        // In a patient's compartment it is a search for what is in it, not a look at the patient.
        let within = steps.next().filter(|_| resource == Resource::Patient).and_then(Resource::parse);
        if let Some(within) = within {
            return if self.search & bit(within) != 0 { Ok(()) } else { Err(AuthError::WantsScope(within.scope())) };
        }
        let is_read = second.is_some_and(|step| !step.is_empty() && !step.starts_with(['$', '_']));
        let allowed = if is_read { self.read } else { self.search };
        if allowed & bit(resource) != 0 { Ok(()) } else { Err(AuthError::WantsScope(resource.scope())) }
    }
}

impl fmt::Display for SystemScopes {
    /// As a row and a token hold them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for resource in Resource::ALL {
            let letters = match (self.read & bit(resource) != 0, self.search & bit(resource) != 0) {
                (true, true) => "rs",
                (true, false) => "r",
                (false, true) => "s",
                (false, false) => continue,
            };
            write!(f, "{separator}system/{}.{letters}", resource.as_str())?;
            separator = " ";
        }
        Ok(())
    }
}

fn bit(resource: Resource) -> u8 {
    1 << resource as u8
}

/// One scope, in the form of SMART 2 (`system/Observation.rs`) or 1 (`system/Observation.read`). No other context and
/// nothing that writes.
fn one(word: &str) -> Option<SystemScopes> {
    let (name, letters) = word.strip_prefix("system/")?.split_once('.')?;
    let bits = match name {
        "*" => SystemScopes::ALL.read,
        name => bit(Resource::parse(name)?),
    };
    match letters {
        "rs" | "read" => Some(SystemScopes { read: bits, search: bits }),
        "r" => Some(SystemScopes { read: bits, search: 0 }),
        "s" => Some(SystemScopes { read: 0, search: bits }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scopes(words: &str) -> SystemScopes {
        SystemScopes::parse(words).unwrap()
    }

    #[test]
    fn scopes_of_both_versions_mean_the_same_and_nothing_else_is_one() {
        assert_eq!(scopes("system/Observation.rs"), scopes("system/Observation.read"));
        assert_eq!(scopes("system/*.rs"), SystemScopes::ALL);
        assert_eq!(scopes("system/Patient.r system/Patient.s").to_string(), "system/Patient.rs");
        assert_eq!(
            scopes("system/Observation.rs system/Patient.s").to_string(),
            "system/Patient.s system/Observation.rs"
        );
        assert!(scopes("").is_empty());
        for word in [
            "system/Observation.cruds",
            "system/Observation.write",
            "system/Observation.*",
            "system/Observation.",
            "system/Observation",
            "user/Observation.rs",
            "patient/Observation.rs",
            "system/observation.rs",
            "system/Group.rs",
            "system/Observation.rs?category=vital-signs",
            "openid",
            "system/.rs",
            "system/**.rs",
        ] {
            assert_eq!(SystemScopes::parse(word), None, "{word}");
        }
    }

    #[test]
    fn what_is_asked_is_narrowed_to_what_is_allowed_in_the_words_of_the_question() {
        let both = scopes("system/Observation.rs system/Patient.rs");
        let one = scopes("system/Observation.rs");
        let table = [
            (both, "system/Observation.read system/Patient.r", "system/Observation.read system/Patient.r"),
            (both, "system/*.rs", "system/Patient.rs system/Observation.rs"),
            (SystemScopes::ALL, "system/*.rs", "system/*.rs"),
            (one, "system/*.rs", "system/Observation.rs"),
            (one, "system/*.read system/Observation.rs", "system/Observation.rs"),
            (one, "system/Patient.rs", ""),
            (scopes("system/Observation.s"), "system/Observation.rs", "system/Observation.s"),
            (both, "openid system/Observation.cruds", ""),
            (both, "", ""),
        ];
        for (allowed, asked, expected) in table {
            assert_eq!(allowed.narrow(asked), expected, "{asked}");
        }
    }

    #[test]
    fn each_path_wants_its_scope_and_what_is_not_named_is_refused() {
        let (all, none) = (SystemScopes::ALL, SystemScopes::default());
        let table = [
            // path                                     all    none   O.r    O.s    P.rs
            ("/fhir/R4/Observation", [true, false, false, true, false]),
            ("/fhir/R4/Observation/", [true, false, false, true, false]),
            ("/fhir/R4/Observation/_search", [true, false, false, true, false]),
            ("/fhir/R4/Observation/$lastn", [true, false, false, true, false]),
            ("/fhir/R4/Observation/abc", [true, false, true, false, false]),
            ("/fhir/R4/Observation/abc/_history/1", [true, false, true, false, false]),
            ("/fhir/R4/Patient/usr-7jRtHvBk", [true, false, false, false, true]),
            ("/fhir/R4/Patient", [true, false, false, false, true]),
            ("/fhir/R4/Patient/usr-7jRtHvBk/_history/1", [true, false, false, false, true]),
            ("/fhir/R4/Patient/usr-7jRtHvBk/Observation", [true, false, false, true, false]),
            ("/fhir/R4/Patient/usr-7jRtHvBk/Observation/", [true, false, false, true, false]),
            ("/fhir/R4/Patient/usr-7jRtHvBk/Device", [true, false, false, false, false]),
            ("/fhir/R4/Patient/Observation", [true, false, false, false, true]),
            ("/fhir/R4/Patient/$export", [true, false, false, false, true]),
            ("/fhir/R4/Patient/%24export", [true, false, false, false, true]),
            ("/fhir/R4/Patient/$export/", [true, false, false, false, true]),
            ("/fhir/R4/Group/usr-7jRtHvBk/$export/", [true, false, false, false, true]),
            ("/fhir/R4/Observation/abc/", [true, false, true, false, false]),
            ("/fhir/R4/Observation//", [true, false, false, true, false]),
            ("/fhir/R4/Group/usr-7jRtHvBk/$export", [true, false, false, false, true]),
            ("/fhir/R4/$export-status/exp_1", [true, false, true, true, true]),
            ("/fhir/R4/$export-file/exp_1/2", [true, false, true, true, true]),
            ("/fhir/R4/Group/usr-7jRtHvBk", [false; 5]),
            ("/fhir/R4/Device/abc", [true, false, false, false, false]),
            ("/fhir/R4/Provenance", [true, false, false, false, false]),
            ("/fhir/R4/CodeSystem/avycenna", [false; 5]),
            ("/fhir/R4", [false; 5]),
            ("/fhir/R4/", [false; 5]),
            ("/fhir/R40/Observation", [false; 5]),
            ("/api/v1/users/me", [false; 5]),
            ("/api/v1/fhir/R4/Observation", [false; 5]),
            ("//fhir/R4/Observation", [false; 5]),
            ("", [false; 5]),
        ];
        let clients =
            [all, none, scopes("system/Observation.r"), scopes("system/Observation.s"), scopes("system/Patient.rs")];
        for (path, expected) in table {
            assert_eq!(clients.map(|scopes| scopes.admit(path).is_ok()), expected, "{path}");
        }
        assert!(matches!(all.admit("/api/v1/users/me"), Err(AuthError::Elsewhere)));
        let refused = scopes("system/Patient.rs").admit("/fhir/R4/Observation");
        assert!(matches!(refused, Err(AuthError::WantsScope("system/Observation.rs"))));
    }
}
