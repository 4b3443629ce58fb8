//! The orders of a search for patients, and the place that somebody has in one.

use std::cmp::Reverse;

use serde::{Deserialize, Serialize};

use super::fold::folded;
use super::parameter::Parameters;
use super::table::PATIENT;
use crate::control::entities::user;
use crate::fhir::outcome::Failure;

/// An order of patients. It is total: who is alike in it stands by the id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PeopleOrder {
    by: By,
    is_descending: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum By {
    Id,
    LastUpdated,
    Name,
}

/// Where somebody stands in an order; places of one order compare as it says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Place {
    Ascending(Key, String),
    Descending(Reverse<(Key, String)>),
}

/// What somebody is sorted by, before the id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Key {
    Id,
    LastUpdated(i64),
    /// As [`folded`] has it.
    Name(String),
}

impl PeopleOrder {
    /// What `_sort` says; by the id where it says nothing.
    ///
    /// # Errors
    /// 400 for an order that there is not.
    pub(crate) fn read(parameters: &Parameters) -> Result<Self, Failure> {
        let text = parameters.one("_sort")?.unwrap_or("_id");
        Self::parse(text).ok_or_else(|| Failure::value("_sort", format!("must be one of {}", PATIENT.sorts.join(", "))))
    }

    /// The order of a value of `_sort`; `None` if there is none such.
    fn parse(text: &str) -> Option<Self> {
        let (text, is_descending) = text.strip_prefix('-').map_or((text, false), |rest| (rest, true));
        let by = match text {
            "_id" => By::Id,
            "_lastUpdated" => By::LastUpdated,
            "name" => By::Name,
            _ => return None,
        };
        Some(Self { by, is_descending })
    }

    /// The place that somebody has, which nobody else has. Cost: a few short texts.
    pub(crate) fn place(self, person: &user::Model) -> Place {
        let key = match self.by {
            By::Id => Key::Id,
            By::LastUpdated => Key::LastUpdated(person.updated_at),
            By::Name => Key::Name(folded(&person.name)),
        };
        let id = person.id.clone();
        if self.is_descending { Place::Descending(Reverse((key, id))) } else { Place::Ascending(key, id) }
    }
}

impl Place {
    /// Who stands there.
    pub(crate) fn id(&self) -> &str {
        match self {
            Self::Ascending(_, id) | Self::Descending(Reverse((_, id))) => id,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_order_that_patients_are_said_to_have_is_read_and_no_other_is() {
        for sort in PATIENT.sorts {
            assert!(PeopleOrder::parse(sort).is_some(), "{sort}");
        }
        for other in ["family", "given", "-family", "_id,name", "--name", "name:asc", "birthdate", "Name", "-", ""] {
            assert!(PeopleOrder::parse(other).is_none(), "{other}");
        }
    }
}
