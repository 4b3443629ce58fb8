//! What every request handler shares.

use std::sync::Arc;

use storage::Clock;

use crate::auth::Auth;
use crate::config::Config;
use crate::control::Control;
use crate::erasure::Eraser;
use crate::export::Exports;
use crate::extract::payload::Room;
use crate::fhir::Fhir;
use crate::fhir::bulk::Bulk;
use crate::imports::{Imports, Uploads};
use crate::mail::Mailer;
use crate::metrics::Metrics;
use crate::middleware::rate::Rates;
use crate::sql::Queries;
use crate::stream::Streams;
use crate::webhooks::Webhooks;

/// The open parts of the server. `Clone` is a few reference counts.
#[derive(Debug, Clone)]
pub struct AppState {
    /// Points.
    pub engine: Arc<engine::Engine>,
    /// People, keys, sessions.
    pub control: Control,
    /// Who is asking.
    pub auth: Auth,
    /// The effective configuration.
    pub config: Arc<Config>,
    /// Outgoing mail.
    pub mail: Mailer,
    /// Who ends what is here of a person.
    pub eraser: Eraser,
    /// Outgoing events.
    pub webhooks: Webhooks,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Figures about this server.
    pub metrics: Metrics,
    /// Who has asked how often.
    pub rates: Arc<Rates>,
    /// Memory for request bodies.
    pub room: Room,
    /// Places for exports.
    pub exports: Arc<Exports>,
    /// Places for streams of points.
    pub streams: Arc<Streams>,
    /// What is observed, and the names of observations.
    pub fhir: Arc<Fhir>,
    /// Exports of FHIR.
    pub bulk: Bulk,
    /// Files that people send.
    pub imports: Imports,
    /// Places for queries in SQL.
    pub queries: Arc<Queries>,
}

impl AppState {
    /// Puts the open parts together; limits are those of `config`.
    pub fn new(
        engine: Arc<engine::Engine>,
        control: Control,
        auth: Auth,
        config: Arc<Config>,
        mail: Mailer,
        webhooks: Webhooks,
    ) -> Self {
        let clock = Arc::clone(control.clock());
        let rates = Arc::new(Rates::new(&config.limits));
        let bulk = Bulk::new(&config.storage.data_dir);
        let folder = bulk.folder().clone();
        let uploads = Arc::new(Uploads::new(&config));
        let storage = Arc::clone(engine.storage());
        let eraser = Eraser::new(control.clone(), storage, mail.clone(), folder, Arc::clone(&uploads));
        let room = Room::new(config.limits.bodies_bytes_max);
        let exports = Arc::new(Exports::new(&config.limits));
        let streams = Arc::new(Streams::new(&config.limits));
        let metrics = Metrics::new();
        let fhir = Arc::new(Fhir::new(&config.fhir, engine.catalogue()));
        let imports = Imports::new(control.clone(), Arc::clone(&engine), &config, uploads, metrics.clone());
        let queries = Arc::new(Queries::new(&config.limits, metrics.clone()));
        Self {
            engine,
            control,
            auth,
            config,
            mail,
            eraser,
            webhooks,
            clock,
            metrics,
            rates,
            room,
            exports,
            streams,
            fhir,
            bulk,
            imports,
            queries,
        }
    }
}
