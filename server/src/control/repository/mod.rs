//! Statements by purpose. Each takes the connection or transaction that it runs on, so that callers decide what is
//! atomic. None of them decides who may do what.

pub mod api_keys;
pub mod audit;
pub mod audit_many;
pub mod bulk;
pub mod check_ins;
pub mod days;
pub mod deliveries;
pub mod erasures;
pub mod fhir_keys;
pub mod grants;
pub mod imports;
pub mod leases;
pub mod nights;
pub mod notices;
pub mod otps;
pub mod outbox;
pub mod sessions;
pub mod smart;
pub mod symptoms;
pub mod users;
pub mod webhooks;

use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, Select};

/// A place in a list that is ordered by when its rows were made, which never changes: that moment, and an id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Microseconds UTC.
    pub made_at: i64,
    /// Of two rows that were made at one moment the one with the greater id comes behind.
    pub id: String,
}

impl Place {
    /// Before every row.
    pub const START: Self = Self { made_at: i64::MIN, id: String::new() };
}

/// What of a list lies behind a place, in order. `columns` are when a row was made, and its id.
fn behind<E: EntityTrait, C: ColumnTrait>(list: Select<E>, place: &Place, columns: (C, C)) -> Select<E> {
    let (made_at, id) = columns;
    // The first condition follows from the second. It says where in an index to begin.
    list.filter(made_at.gte(place.made_at))
        .filter(Condition::any().add(made_at.gt(place.made_at)).add(id.gt(&place.id)))
        .order_by_asc(made_at)
        .order_by_asc(id)
}
