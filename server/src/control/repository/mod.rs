//! Statements by purpose. Each takes the connection or transaction that it runs on, so that callers decide what is
//! atomic. None of them decides who may do what.

pub mod api_keys;
pub mod audit;
pub mod check_ins;
pub mod deliveries;
pub mod erasures;
pub mod grants;
pub mod leases;
pub mod otps;
pub mod outbox;
pub mod sessions;
pub mod symptoms;
pub mod users;
pub mod webhooks;
