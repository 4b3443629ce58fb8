//! Statements by purpose. Each takes the connection or transaction that it runs on, so that callers decide what is
//! atomic. None of them decides who may do what.

pub mod api_keys;
pub mod audit;
pub mod check_ins;
pub mod erasures;
pub mod grants;
pub mod otps;
pub mod sessions;
pub mod symptoms;
pub mod users;
