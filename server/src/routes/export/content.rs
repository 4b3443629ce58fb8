//! What an export holds, section by section, a page at a time.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::runtime::Handle;

use super::super::api_keys::ListedKey;
use super::super::audit::{asked, record_of};
use super::super::check_ins::CheckIn;
use super::super::grants::schema::{IncomingGrant, OutgoingGrant};
use super::super::grants::{incoming_of, outgoing_of};
use super::super::imports::Import;
use super::super::symptoms::Symptom;
use super::super::time::rfc3339;
use super::super::users::User;
use super::super::webhooks::schema::Webhook;
use crate::access::invitation::status_at;
use crate::auth::Principal;
use crate::control::entities::{check_in, grant, session, smart_client, symptom, user};
use crate::control::repository::{
    Place, api_keys, audit, check_ins, grants, imports, sessions, smart, symptoms, webhooks,
};
use crate::export::Failure;
use crate::export::document::{Document, Section};
use crate::export::sink::Sink;
use crate::state::AppState;

/// Rows of the control database that are in memory at once.
const PAGE_ROWS: u64 = 500;

/// How often it is looked whether the credential still stands.
const LOOK_EVERY: Duration = Duration::from_secs(1);

const CHECK_INS: Section = Section { name: "check_ins", record: "check_in" };
const SYMPTOMS: Section = Section { name: "symptoms", record: "symptom" };
const INCOMING: Section = Section { name: "incoming_grants", record: "incoming_grant" };
const OUTGOING: Section = Section { name: "outgoing_grants", record: "outgoing_grant" };
const API_KEYS: Section = Section { name: "api_keys", record: "api_key" };
const WEBHOOKS: Section = Section { name: "webhooks", record: "webhook" };
const SMART_CLIENTS: Section = Section { name: "smart_clients", record: "smart_client" };
const IMPORTS: Section = Section { name: "imports", record: "import" };
const SESSIONS: Section = Section { name: "sessions", record: "session" };
const AUDIT: Section = Section { name: "audit", record: "audit_record" };
const METRICS: Section = Section { name: "metrics", record: "metric" };

/// How many records there are of each sort.
#[derive(Debug, Default, Serialize)]
struct Counts {
    check_ins: u64,
    symptoms: u64,
    incoming_grants: u64,
    outgoing_grants: u64,
    api_keys: u64,
    webhooks: u64,
    smart_clients: u64,
    imports: u64,
    sessions: u64,
    audit: u64,
    points: u64,
    metrics: u64,
}

/// A record of the API, and what is stored beside it.
#[derive(Serialize)]
struct Stored<T> {
    #[serde(flatten)]
    record: T,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<String>,
    updated_at: String,
}

/// The account.
#[derive(Serialize)]
struct Account {
    #[serde(flatten)]
    user: User,
    email_verified_at: Option<String>,
}

/// A grant, as its doctor sees it, with what the doctor wrote.
#[derive(Serialize)]
struct Asked {
    #[serde(flatten)]
    grant: OutgoingGrant,
    message: Option<String>,
    ended_at: Option<String>,
}

/// Another system that acts for the person, with its public keys.
#[derive(Serialize)]
struct SmartClient {
    id: String,
    name: String,
    scopes: Vec<String>,
    jwks: serde_json::Value,
    created_at: String,
}

/// A login, ended or not.
#[derive(Serialize)]
struct Login {
    id: String,
    created_at: String,
    expires_at: String,
    ended_at: Option<String>,
    end_reason: Option<String>,
}

/// A metric with points.
#[derive(Serialize)]
struct Measured {
    key: String,
    unit: Option<String>,
    description: Option<String>,
    loinc: Vec<String>,
    ucum: Option<String>,
    points: u64,
}

/// Everything of one person.
pub(super) struct Content {
    state: AppState,
    principal: Principal,
    user: user::Model,
    points: engine::Export,
    runtime: Handle,
    looked: Duration,
}

impl Content {
    /// Of a person as they are now; points are those of this moment. Must be called on a runtime.
    ///
    /// # Errors
    /// As [`engine::Engine::export`].
    pub(super) fn new(state: AppState, principal: Principal, user: user::Model) -> engine::Result<Self> {
        let (points, looked) = (state.engine.export(principal.user)?, state.clock.elapsed());
        Ok(Self { state, principal, user, points, runtime: Handle::current(), looked })
    }

    /// Writes it all; the sink wants [`Sink::end`] yet. Blocks; not for the runtime's own threads.
    ///
    /// # Errors
    /// Why it broke off; then nothing that was written looks whole.
    pub(super) fn write(&mut self, mut document: impl Document) -> Result<Sink, Failure> {
        let updated_at = rfc3339(self.user.updated_at);
        let email_verified_at = self.user.email_verified_at.map(rfc3339);
        let account = Account { user: User::from(self.user.clone()), email_verified_at };
        let profile = Stored { record: account, created_at: None, updated_at };
        document.single("user", &profile)?;
        let mut counts = Counts::default();
        self.write_own(&mut document, &mut counts)?;
        self.write_shared(&mut document, &mut counts)?;
        let measured = self.write_points(&mut document)?;
        counts.points = measured.iter().map(|metric| metric.points).sum();
        counts.metrics = measured.len() as u64;
        document.begin(&METRICS)?;
        for metric in &measured {
            document.record(metric)?;
        }
        document.end()?;
        look(&self.state, &self.principal, &self.runtime)?;
        document.finish(&counts)
    }

    /// What the person said, and how they come in.
    fn write_own(&mut self, document: &mut impl Document, counts: &mut Counts) -> Result<(), Failure> {
        let (control, user_id) = (self.state.control.clone(), self.user.id.clone());
        counts.check_ins = self.list(document, &CHECK_INS, Place::START, async |place| {
            let rows = check_ins::after(control.read(), &user_id, &place, PAGE_ROWS).await?;
            Ok(page(rows, |row| (row.created_at, &row.id), of_check_in))
        })?;
        counts.symptoms = self.list(document, &SYMPTOMS, Place::START, async |place| {
            let rows = symptoms::after(control.read(), &user_id, &place, PAGE_ROWS).await?;
            Ok(page(rows, |row| (row.created_at, &row.id), of_symptom))
        })?;
        // At most `auth.keys_per_user_max`.
        counts.api_keys = self.list(document, &API_KEYS, (), async |()| {
            let rows = api_keys::of_user(control.read(), &user_id).await?;
            Ok((rows.into_iter().map(ListedKey::from).collect(), None))
        })?;
        // At most [`crate::webhooks::PER_USER_MAX`].
        let now_us = self.state.clock.now_us();
        counts.webhooks = self.list(document, &WEBHOOKS, (), async |()| {
            let rows = webhooks::of_user(control.read(), &user_id).await?;
            Ok((rows.into_iter().map(|row| Webhook::of(row, now_us)).collect(), None))
        })?;
        // At most [`smart::PER_OWNER_MAX`].
        counts.smart_clients = self.list(document, &SMART_CLIENTS, (), async |()| {
            let rows = smart::of_user(control.read(), &user_id).await?;
            Ok((rows.into_iter().map(of_smart_client).collect(), None))
        })?;
        // Those that have not ended, and at most [`imports::ENDED_MAX`] besides.
        counts.imports = self.list(document, &IMPORTS, (), async |()| {
            let rows = imports::of_user(control.read(), &user_id).await?;
            Ok((rows.into_iter().map(Import::from).collect(), None))
        })?;
        counts.sessions = self.list(document, &SESSIONS, Place::START, async |place| {
            let rows = sessions::after(control.read(), &user_id, &place, PAGE_ROWS).await?;
            Ok(page(rows, |row| (row.created_at, &row.id), of_session))
        })?;
        Ok(())
    }

    /// Who was let in by whom, and who looked.
    fn write_shared(&mut self, document: &mut impl Document, counts: &mut Counts) -> Result<(), Failure> {
        let (control, clock, user) = (self.state.control.clone(), Arc::clone(&self.state.clock), self.user.clone());
        counts.incoming_grants = self.list(document, &INCOMING, Place::START, async |place| {
            let rows = grants::incoming_after(control.read(), &user, &place, PAGE_ROWS).await?;
            let people = grants::people(control.read(), rows.iter().map(|row| row.doctor_id.clone()).collect()).await?;
            let statuses = statuses(&rows, clock.now_us())?;
            let (rows, next) = page(rows, |row| (row.created_at, &row.id), |row| row);
            let records: Vec<IncomingGrant> =
                rows.into_iter().zip(statuses).map(|(row, status)| incoming_of(row, status, &people)).collect();
            Ok((records, next))
        })?;
        counts.outgoing_grants = self.list(document, &OUTGOING, Place::START, async |place| {
            let rows = grants::outgoing_after(control.read(), &user.id, &place, PAGE_ROWS).await?;
            let patients = rows.iter().filter_map(|row| row.patient_id.clone()).collect();
            let people = grants::people(control.read(), patients).await?;
            let statuses = statuses(&rows, clock.now_us())?;
            let (rows, next) = page(rows, |row| (row.created_at, &row.id), |row| row);
            let records: Vec<Asked> = rows
                .into_iter()
                .zip(statuses)
                .map(|(row, status)| {
                    let (message, ended_at) = (row.message.clone(), row.ended_at.map(rfc3339));
                    Asked { grant: outgoing_of(row, status, &people), message, ended_at }
                })
                .collect();
            Ok((records, next))
        })?;
        counts.audit = self.list(document, &AUDIT, 0, async |above| {
            let rows = audit::after(control.read(), &user.id, above, PAGE_ROWS).await?;
            let next = if rows.len() as u64 == PAGE_ROWS { rows.last().map(|row| row.seq) } else { None };
            let mut actors: Vec<_> = rows.iter().map(|row| row.actor_id.clone()).collect();
            actors.sort_unstable();
            actors.dedup();
            let people = grants::people(control.read(), actors).await?;
            let asked = asked(control.read(), &rows).await?;
            let name_of = |id: &str| people.get(id).map(|person| person.name.clone());
            Ok((rows.into_iter().map(|row| record_of(name_of(&row.actor_id), &asked, row)).collect(), next))
        })?;
        Ok(())
    }

    /// Every point; what there was of each metric.
    fn write_points(&mut self, document: &mut impl Document) -> Result<Vec<Measured>, Failure> {
        document.begin_points()?;
        let mut measured = Vec::new();
        for series in self.points.series().iter() {
            // The credential is looked at in between, and that is a field of the same content.
            let Self { points, runtime, state, principal, looked, .. } = self;
            let mut points = points.points(series);
            let count = document.points(series, &mut || {
                look_if_due(state, principal, runtime, looked)?;
                Ok(runtime.block_on(points.next())?)
            })?;
            if count > 0 {
                let metric = self.state.engine.catalogue().get(&series.key);
                measured.push(Measured {
                    key: series.key.to_string(),
                    unit: series.unit.as_ref().map(ToString::to_string),
                    description: metric.map(|metric| metric.description.to_string()),
                    loinc: metric.into_iter().flat_map(|metric| &metric.loinc).map(ToString::to_string).collect(),
                    ucum: metric.and_then(|metric| metric.ucum.as_ref()).map(ToString::to_string),
                    points: count,
                });
            }
        }
        document.end_points()?;
        Ok(measured)
    }

    /// A section: its pages from `start` until one has no next; how many records there were.
    fn list<K, T: Serialize>(
        &mut self,
        document: &mut impl Document,
        section: &Section,
        start: K,
        mut page_from: impl AsyncFnMut(K) -> Result<(Vec<T>, Option<K>), Failure>,
    ) -> Result<u64, Failure> {
        document.begin(section)?;
        let (mut next, mut count) = (Some(start), 0);
        while let Some(place) = next {
            look_if_due(&self.state, &self.principal, &self.runtime, &mut self.looked)?;
            let (records, following) = self.runtime.block_on(page_from(place))?;
            for record in &records {
                document.record(record)?;
            }
            count += records.len() as u64;
            next = following;
        }
        document.end()?;
        Ok(count)
    }
}

/// Breaks off if the credential was ended. Whoever has stolen a key gets nothing any more when it is deleted, and of an
/// account that is erased meanwhile nothing is told that looks whole.
fn look(state: &AppState, principal: &Principal, runtime: &Handle) -> Result<(), Failure> {
    if runtime.block_on(state.auth.stands(principal))? { Ok(()) } else { Err(Failure::Ended) }
}

fn look_if_due(
    state: &AppState,
    principal: &Principal,
    runtime: &Handle,
    looked: &mut Duration,
) -> Result<(), Failure> {
    let now = state.clock.elapsed();
    if now.saturating_sub(*looked) < LOOK_EVERY {
        return Ok(());
    }
    *looked = now;
    look(state, principal, runtime)
}

/// A page's records, and where the next one begins: nowhere, if this one was not full.
fn page<M, T>(
    rows: Vec<M>,
    place_of: impl Fn(&M) -> (i64, &String),
    record_of: impl FnMut(M) -> T,
) -> (Vec<T>, Option<Place>) {
    let is_full = rows.len() as u64 == PAGE_ROWS;
    let next = rows.last().filter(|_| is_full).map(|row| {
        let (made_at, id) = place_of(row);
        Place { made_at, id: id.clone() }
    });
    (rows.into_iter().map(record_of).collect(), next)
}

fn statuses(rows: &[grant::Model], now_us: i64) -> Result<Vec<crate::access::Status>, Failure> {
    Ok(rows.iter().map(|row| status_at(row, now_us)).collect::<Result<_, _>>()?)
}

fn of_check_in(row: check_in::Model) -> Stored<CheckIn> {
    let (created_at, updated_at) = (Some(rfc3339(row.created_at)), rfc3339(row.updated_at));
    Stored { record: row.into(), created_at, updated_at }
}

fn of_symptom(row: symptom::Model) -> Stored<Symptom> {
    let (created_at, updated_at) = (Some(rfc3339(row.created_at)), rfc3339(row.updated_at));
    Stored { record: row.into(), created_at, updated_at }
}

fn of_smart_client(row: smart_client::Model) -> SmartClient {
    SmartClient {
        id: row.id,
        name: row.name,
        scopes: row.scopes.split(' ').map(str::to_owned).collect(),
        jwks: serde_json::from_str(&row.jwks).unwrap_or_default(),
        created_at: rfc3339(row.created_at),
    }
}

fn of_session(row: session::Model) -> Login {
    Login {
        id: row.id,
        created_at: rfc3339(row.created_at),
        expires_at: rfc3339(row.expires_at),
        ended_at: row.ended_at.map(rfc3339),
        end_reason: row.end_reason,
    }
}
