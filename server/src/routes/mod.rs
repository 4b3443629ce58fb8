//! The operations, one file per section of the API.

pub mod api_keys;
pub mod audit;
pub mod auth;
pub mod check_ins;
pub mod export;
pub mod fhir;
mod fields;
pub mod grants;
pub mod health;
pub(crate) mod ids;
pub mod imports;
pub mod integrations;
pub mod query;
pub mod sessions;
pub mod shape;
pub mod symptoms;
pub(crate) mod time;
pub mod users;
pub mod wearables;
pub mod webhooks;
