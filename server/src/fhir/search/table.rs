//! What can be searched, and by what: the table that requests are read by and that the CapabilityStatement is made of.

/// What a client may search by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// FHIR's type of it.
    pub kind: &'static str,
    /// For people.
    pub documentation: &'static str,
}

/// What can come along with what is found: `_include`, `_revinclude`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Along {
    /// The type that refers, and its parameter.
    pub name: &'static str,
    /// The type that is referred to.
    pub target: &'static str,
}

impl Along {
    /// Whether a value means it: its name, with the type that is referred to or without, or a wildcard for all there are.
    pub fn is(self, value: &str) -> bool {
        let of_its_type = self.name.split(':').next().unwrap_or_default();
        if value == "*" || value.strip_suffix(":*") == Some(of_its_type) {
            return true;
        }
        let rest = value.strip_prefix(self.name);
        rest.is_some_and(|rest| rest.is_empty() || rest.strip_prefix(':') == Some(self.target))
    }
}

/// A type of resource that can be searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Searchable {
    /// The type.
    pub resource: &'static str,
    /// The conditions that there are.
    pub parameters: &'static [Parameter],
    /// Those of them that may have a modifier, with it.
    pub modified: &'static [&'static str],
    /// What shapes the answer, beside [`Self::sorts`], [`Self::includes`] and [`Self::revincludes`].
    pub results: &'static [&'static str],
    /// The values of `_sort`.
    pub sorts: &'static [&'static str],
    /// What may come along because a match refers to it.
    pub includes: &'static [Along],
    /// What may come along because it refers to a match.
    pub revincludes: &'static [Along],
    /// Whether it has links to further pages.
    pub is_paged: bool,
}

impl Searchable {
    /// The names of all parameters but a page's and those that any request may have.
    pub fn names(&self) -> Vec<&'static str> {
        let mut names: Vec<&'static str> = self.parameters.iter().map(|parameter| parameter.name).collect();
        names.extend(self.modified);
        names.extend(self.results);
        names.extend((!self.sorts.is_empty()).then_some("_sort"));
        names.extend((!self.includes.is_empty()).then_some("_include"));
        names.extend((!self.revincludes.is_empty()).then_some("_revinclude"));
        names
    }
}

const fn parameter(name: &'static str, kind: &'static str, documentation: &'static str) -> Parameter {
    Parameter { name, kind, documentation }
}

const fn along(name: &'static str, target: &'static str) -> Along {
    Along { name, target }
}

/// Everything that can be searched.
pub const ALL: [&Searchable; 5] = [&CODE_SYSTEM, &DEVICE, &OBSERVATION, &PATIENT, &PROVENANCE];

/// Our code system.
pub const CODE_SYSTEM: Searchable = Searchable {
    resource: "CodeSystem",
    parameters: &[parameter("url", "uri", "urn:avycenna:codes.")],
    modified: &[],
    results: &["_count", "_summary"],
    sorts: &[],
    includes: &[],
    revincludes: &[],
    is_paged: false,
};

/// Devices. Where one is from is not said: `Provenance:target` is understood and brings nothing.
pub const DEVICE: Searchable = Searchable {
    resource: "Device",
    parameters: &[parameter("patient", "reference", "Patient/[id] or [id]; a patient who asks may leave it out.")],
    modified: &[],
    results: &["_count", "_summary"],
    sorts: &[],
    includes: &[along("Device:patient", "Patient")],
    revincludes: &[along("Provenance:target", "Device")],
    is_paged: true,
};

/// Observations.
pub const OBSERVATION: Searchable = Searchable {
    resource: "Observation",
    parameters: &[
        parameter(
            "_id",
            "token",
            "Ids, with commas between them; at most 100. Without `patient` all must be of one patient.",
        ),
        parameter("_lastUpdated", "date", "When it was accepted, or a check-in last changed."),
        parameter("category", "token", "vital-signs or activity; :not for all others."),
        parameter("code", "token", "system|code, |code, system| or a code alone; :not for all others."),
        parameter("date", "date", "When it was measured; a date without a zone is in UTC."),
        parameter("patient", "reference", "Patient/[id] or [id]; a patient who asks may leave it out."),
        parameter("status", "token", "Of the value set observation-status; :not for all others."),
        parameter("subject", "reference", "As patient."),
    ],
    modified: &["category:not", "code:not", "status:not"],
    results: &["_count", "_elements", "_summary", "_total"],
    sorts: &["-date", "code", "date"],
    includes: &[
        along("Observation:device", "Device"),
        along("Observation:patient", "Patient"),
        along("Observation:subject", "Patient"),
    ],
    revincludes: &[along("Provenance:target", "Observation")],
    is_paged: true,
};

/// Patients. Where an account is from is not said: `Provenance:target`, which US Core wants understood, brings nothing.
pub const PATIENT: Searchable = Searchable {
    resource: "Patient",
    parameters: &[
        parameter("_id", "token", "Ids, with commas between them; at most 100."),
        parameter("_lastUpdated", "date", "When the account last changed."),
        parameter(
            "gender",
            "token",
            "Of the value set administrative-gender; everybody's is unknown. :not for all others.",
        ),
        parameter("identifier", "token", "The person's id, with or without its system urn:avycenna:user."),
        parameter(
            "name",
            "string",
            "How the name, or a word of it, begins; in any case, with accents or without. :contains for what is anywhere \
             in it, :exact for the name as it is.",
        ),
    ],
    modified: &["gender:not", "name:contains", "name:exact"],
    results: &["_count", "_elements", "_summary", "_total"],
    sorts: &["-_id", "-_lastUpdated", "-name", "_id", "_lastUpdated", "name"],
    includes: &[],
    revincludes: &[along("Provenance:target", "Patient")],
    is_paged: true,
};

/// Where observations are from.
pub const PROVENANCE: Searchable = Searchable {
    resource: "Provenance",
    parameters: &[parameter("target", "reference", "Observation/[id] or [id], with commas between them; at most 100.")],
    modified: &[],
    results: &["_count", "_summary"],
    sorts: &[],
    includes: &[along("Provenance:target", "Observation")],
    revincludes: &[],
    is_paged: true,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_along_may_name_the_type_it_refers_to_or_all_and_no_other() {
        let [device, ..] = OBSERVATION.includes else { panic!("no includes") };
        assert!(device.is("Observation:device") && device.is("Observation:device:Device"));
        assert!(device.is("*") && device.is("Observation:*"));
        for other in
            ["Observation:device:", "Observation:device:Patient", "Observation:devices", "device", "Device:*", ":*", ""]
        {
            assert!(!device.is(other), "{other}");
        }
    }

    #[test]
    fn every_order_that_observations_are_said_to_have_is_read() {
        assert!(OBSERVATION.sorts.iter().all(|sort| crate::fhir::search::Sort::parse(sort).is_some()));
    }

    #[test]
    fn no_parameter_is_there_twice() {
        for searchable in ALL {
            let mut names = searchable.names();
            names.sort_unstable();
            assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
        }
    }
}
