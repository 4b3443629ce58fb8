//! FHIR R4: check-ins and points as an EHR wants to read them.
//!
//! ```text
//! point, value of a check-in ─▶ Kind (codes, category, unit, profile) ─▶ render ─▶ an Observation's bytes
//!                            └▶ Ids (deterministic authenticated encryption) ─▶ its id
//! ```
//!
//! One stored point is one Observation, and so is each value of a check-in. What an id names is read out of the id: there
//! is no table of ids. Nothing is built as a tree for each resource: what repeats is prepared once, the rest is written
//! between.
//!
//! ```text
//! request ─▶ routes::fhir ─▶ search (what is asked) ─▶ visit (access::admit) ─▶ engine::observe, check-ins ─▶ render ─▶ Bundle
//! ```
//!
//! How other systems come in by themselves is [`smart`]'s, everything at once [`bulk`]'s.
//!
//! Not here: who may read what (`access`), how points are found (`engine::observe`).

pub mod answer;
pub mod base;
pub mod bulk;
pub mod day;
pub mod device;
pub mod find;
pub mod id;
pub mod kind;
pub mod namer;
pub mod operation;
pub mod outcome;
pub mod provenance;
pub mod render;
pub mod search;
pub mod smart;
pub mod visit;

use tokio::sync::OnceCell;

use self::id::{Ids, KEY_BYTES};
use self::kind::Kinds;
use crate::auth::random;
use crate::config;
use crate::control::Control;
use crate::control::repository::fhir_keys;
use crate::error::ApiError;

/// What every request of the FHIR face shares.
#[derive(Debug)]
pub struct Fhir {
    kinds: Kinds,
    ids: OnceCell<Ids>,
}

impl Fhir {
    /// For the metrics of a catalogue. Nothing is read from the database before the first [`Self::ids`].
    pub fn new(config: &config::Fhir, catalogue: &engine::Catalogue) -> Self {
        Self { kinds: Kinds::new(catalogue, config.mood_loinc), ids: OnceCell::new() }
    }

    /// What is observed.
    pub fn kinds(&self) -> &Kinds {
        &self.kinds
    }

    /// The names of observations, by the key that the database keeps. It is made when it is first asked for, by whichever
    /// process is first; all others find that one.
    ///
    /// # Errors
    /// 500, 503: the key can be neither read nor made.
    pub async fn ids(&self, control: &Control) -> Result<&Ids, ApiError> {
        self.ids.get_or_try_init(|| key_of(control)).await
    }
}

async fn key_of(control: &Control) -> Result<Ids, ApiError> {
    let key = if let Some(key) = fhir_keys::find(control.read()).await? {
        key
    } else {
        let fresh = random::bytes::<KEY_BYTES>().map_err(ApiError::internal)?;
        let write = control.write().await?;
        let key = fhir_keys::insert(write.on(), fresh.to_vec()).await?;
        write.commit().await?;
        key
    };
    let key = <[u8; KEY_BYTES]>::try_from(key.as_slice()).map_err(|_| ApiError::internal(BadKey))?;
    Ok(Ids::new(&key))
}

#[derive(Debug, thiserror::Error)]
#[error("the key of FHIR's ids in the control database does not have 32 bytes")]
struct BadKey;

#[cfg(test)]
mod tests;
