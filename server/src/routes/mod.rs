//! The operations, one file per section of the API.

pub mod api_keys;
pub mod auth;
mod fields;
pub mod health;
mod time;
pub mod users;
pub mod wearables;
