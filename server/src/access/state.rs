//! The life of a grant, as one pure function.
//!
//! ```text
//! pending ─accept─▶ active ─revoke─▶ revoked
//!    │ └──decline─▶ declined │ └─narrow─▶ active
//!    └──────expire─▶ expired ◀┘
//! ```
//!
//! Whatever is not drawn here does not happen: 409.

/// Where a grant stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = GrantStatus)]
pub enum Status {
    /// Asked for, not answered.
    Pending,
    /// Accepted: the doctor may read.
    Active,
    /// The patient said no.
    Declined,
    /// Either side ended it.
    Revoked,
    /// Its time is over.
    Expired,
}

impl Status {
    /// Every status.
    pub const ALL: [Self; 5] = [Self::Pending, Self::Active, Self::Declined, Self::Revoked, Self::Expired];

    /// The API's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Declined => "declined",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
        }
    }

    /// Reads the API's word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }

    /// Where a grant of this stored status stands at a moment: its time may be over without anybody having noted it.
    #[must_use]
    pub fn at(self, now_us: i64, expires_at: Option<i64>) -> Self {
        let is_over = expires_at.is_some_and(|expires_at| expires_at <= now_us);
        if is_over { step(self, Move::Expire).unwrap_or(self) } else { self }
    }
}

/// What happens to a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Move {
    /// The patient says yes.
    Accept,
    /// The patient says no.
    Decline,
    /// The patient takes permissions back.
    Narrow,
    /// Either side ends it.
    Revoke,
    /// Its time is over.
    Expire,
}

/// Where a move leads; `None` if it is not possible.
pub fn step(from: Status, by: Move) -> Option<Status> {
    match (from, by) {
        (Status::Pending, Move::Accept) | (Status::Active, Move::Narrow) => Some(Status::Active),
        (Status::Pending, Move::Decline) => Some(Status::Declined),
        (Status::Active, Move::Revoke) => Some(Status::Revoked),
        (Status::Pending | Status::Active, Move::Expire) => Some(Status::Expired),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_move_leads_where_the_table_says() {
        use Move::{Accept, Decline, Expire, Narrow, Revoke};
        use Status::{Active, Declined, Expired, Pending, Revoked};
        let table = [
            // from      accept        decline         narrow        revoke         expire
            (Pending, [Some(Active), Some(Declined), None, None, Some(Expired)]),
            (Active, [None, None, Some(Active), Some(Revoked), Some(Expired)]),
            (Declined, [None; 5]),
            (Revoked, [None; 5]),
            (Expired, [None; 5]),
        ];
        assert_eq!(table.map(|(from, _)| from), Status::ALL);
        for (from, expected) in table {
            assert_eq!([Accept, Decline, Narrow, Revoke, Expire].map(|by| step(from, by)), expected, "{from:?}");
        }
    }

    #[test]
    fn time_ends_what_lives_and_nothing_else() {
        use Status::{Active, Declined, Expired, Pending, Revoked};
        assert_eq!(Status::ALL.map(|status| status.at(10, Some(10))), [Expired, Expired, Declined, Revoked, Expired]);
        assert_eq!(Status::ALL.map(|status| status.at(9, Some(10))), Status::ALL);
        assert_eq!(Status::ALL.map(|status| status.at(i64::MAX, None)), [Pending, Active, Declined, Revoked, Expired]);
    }

    #[test]
    fn words_are_read_back() {
        assert_eq!(Status::ALL.map(|status| Status::parse(status.as_str())), Status::ALL.map(Some));
        assert_eq!(Status::parse("all"), None);
    }
}
