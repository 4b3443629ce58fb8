//! What a patient can allow a doctor.

use std::fmt;

/// One thing that is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Permission {
    /// Check-ins; includes [`Self::Wearables`].
    CheckIns,
    /// Symptoms.
    Symptoms,
    /// Points.
    Wearables,
    /// Sending points for the patient.
    WearablesWrite,
}

impl Permission {
    /// Every permission, in the order in which they are listed.
    pub const ALL: [Self; 4] = [Self::CheckIns, Self::Symptoms, Self::Wearables, Self::WearablesWrite];

    /// The API's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CheckIns => "check_ins",
            Self::Symptoms => "symptoms",
            Self::Wearables => "wearables",
            Self::WearablesWrite => "wearables_write",
        }
    }

    /// Reads the API's word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|permission| permission.as_str() == word)
    }
}

/// Some of the permissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Permissions(u8);

impl Permissions {
    /// None of them.
    pub const NONE: Self = Self(0);

    /// The permissions that a row holds. A word that this program does not know allows nothing.
    pub fn stored(words: &str) -> Self {
        words.split(' ').filter_map(Permission::parse).fold(Self::NONE, Self::with)
    }

    /// These and one more.
    #[must_use]
    pub fn with(self, permission: Permission) -> Self {
        Self(self.0 | 1 << permission as u8)
    }

    /// Whether one of them stands here by name.
    pub fn names(self, permission: Permission) -> bool {
        self.0 & 1 << permission as u8 != 0
    }

    /// Whether they allow something: by name, or because another one includes it.
    pub fn allow(self, permission: Permission) -> bool {
        let is_included = permission == Permission::Wearables && self.names(Permission::CheckIns);
        self.names(permission) || is_included
    }

    /// Their words.
    pub fn words(self) -> Vec<&'static str> {
        Permission::ALL.into_iter().filter(|permission| self.names(*permission)).map(Permission::as_str).collect()
    }
}

impl fmt::Display for Permissions {
    /// As a row holds them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words().join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_permission_allows_what_it_says() {
        use Permission::{CheckIns, Symptoms, Wearables, WearablesWrite};
        let table = [
            (CheckIns, [true, false, true, false]),
            (Symptoms, [false, true, false, false]),
            (Wearables, [false, false, true, false]),
            (WearablesWrite, [false, false, false, true]),
        ];
        for (given, expected) in table {
            let permissions = Permissions::NONE.with(given);
            assert_eq!(Permission::ALL.map(|asked| permissions.allow(asked)), expected, "{given:?}");
        }
        assert_eq!(Permission::ALL.map(|asked| Permissions::NONE.allow(asked)), [false; 4]);
    }

    #[test]
    fn a_row_is_read_back_and_unknown_words_allow_nothing() {
        let some = Permissions::NONE.with(Permission::Wearables).with(Permission::CheckIns);
        assert_eq!(some.to_string(), "check_ins wearables");
        assert_eq!(Permissions::stored(&some.to_string()), some);
        assert_eq!(Permissions::stored(""), Permissions::NONE);
        assert_eq!(Permissions::stored("admin wearables all"), Permissions::NONE.with(Permission::Wearables));
    }
}
