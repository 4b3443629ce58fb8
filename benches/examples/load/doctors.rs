//! Doctors with an endpoint each, patients who have let some of them in, and a queue that waits.

use std::path::Path;
use std::sync::Arc;

use sea_orm::ConnectionTrait;
use server::auth::{Auth, NewKey, NewUser, Role, Scopes};
use server::config::{Config, Sources};
use server::control::entities::{grant, webhook};
use server::control::repository::outbox::{self, NewDelivery, NewEvent};
use server::control::repository::{grants, webhooks};
use server::control::{Control, Write};
use server::webhooks::Webhooks;
use server::webhooks::secret::SigningSecret;
use storage::{Clock as _, SystemClock};

use crate::Result;
use crate::receiver::Receiver;

/// Everybody of a server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Crowd {
    /// Doctors, each with one endpoint.
    pub(crate) doctors: u32,
    /// Patients of each kind.
    pub(crate) patients: u32,
    /// What becomes of events.
    pub(crate) of: Of,
}

impl Crowd {
    /// A hundred doctors, a hundred patients of each kind, and events that are sent.
    pub(crate) const HUNDRED: Self = Self { doctors: 100, patients: 100, of: Of::Sent };
}

/// Patients' keys, by how many doctors they have let in.
#[derive(Debug, Default)]
pub(crate) struct Cast {
    /// Nobody.
    pub(crate) none: Vec<String>,
    /// One each.
    pub(crate) one: Vec<String>,
    /// Ten each.
    pub(crate) ten: Vec<String>,
}

/// Settings of the server, as it and this module read them.
pub(crate) fn settings(control: Option<&str>) -> Vec<(&'static str, String)> {
    let mut settings = vec![
        ("AVYCENNA_WEBHOOKS_ALLOW_HTTP", "true".to_owned()),
        ("AVYCENNA_WEBHOOKS_ALLOWED_NETWORKS", "127.0.0.0/8".to_owned()),
    ];
    settings.extend(control.map(|url| ("AVYCENNA_CONTROL_DATABASE_URL", url.to_owned())));
    settings
}

/// Makes an empty schema in a PostgreSQL database; the URL that leads there.
pub(crate) fn schema(url: &str, name: &str) -> Result<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let database = sea_orm::Database::connect(url).await?;
        database.execute_unprepared(&format!("DROP SCHEMA IF EXISTS {name} CASCADE; CREATE SCHEMA {name}")).await?;
        database.close().await
    })?;
    let separator = if url.contains('?') { '&' } else { '?' };
    Ok(format!("{url}{separator}options=-c%20search_path%3D{name}"))
}

/// What becomes of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Of {
    /// They are sent.
    Sent,
    /// They are written down and not sent: another dispatcher has every endpoint.
    Written,
    /// So many wait for each doctor.
    Queued(u32),
}

/// Makes everybody in the control database of a data directory.
pub(crate) fn create(data_dir: &Path, control: Option<&str>, receiver: &Receiver, crowd: Crowd) -> Result<Cast> {
    let Crowd { doctors: doctors_count, patients, of } = crowd;
    let data_dir = data_dir.to_str().ok_or("the folder's name is not text")?.to_owned();
    let flag = ("--data-dir".to_owned(), "storage.data_dir".to_owned(), data_dir);
    let environment = settings(control).into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let config = Config::load(&Sources { flags: vec![flag], environment, ..Sources::default() })?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let control = Control::open(&config, Arc::new(SystemClock::default())).await?;
        let auth = Auth::open_unwatched(&config, control.clone())?;
        let vault = Webhooks::open(&config)?.vault().clone();
        let mut doctors = Vec::new();
        for number in 0..doctors_count {
            let (id, _) = person(&auth, &format!("doctor{number}"), Role::Doctor).await?;
            doctors.push(id);
        }
        let write = control.write().await?;
        for (number, doctor) in (0..).zip(&doctors) {
            let id = endpoint_id(number);
            let secret = vault.seal(&id, &SigningSecret::generate()?)?;
            let mut row = endpoint(id, doctor.clone(), receiver.url(number), secret);
            if of == Of::Written {
                (row.lease_owner, row.lease_until) = (Some("nobody".to_owned()), i64::MAX);
            }
            webhooks::insert(write.on(), row, 1).await?;
        }
        write.commit().await?;
        let mut cast = Cast::default();
        let mut number = 0;
        for (kind, count) in [("none", 0), ("one", 1), ("ten", 10)] {
            for patient in 0..patients {
                let (id, key) = person(&auth, &format!("{kind}{patient}"), Role::Patient).await?;
                let write = control.write().await?;
                for nth in 0..count {
                    let doctor = doctors.get((patient as usize * count + nth) % doctors.len()).ok_or("no doctor")?;
                    grant_to(&write, number, doctor, &id).await?;
                    number += 1;
                }
                write.commit().await?;
                let keys = match kind {
                    "none" => &mut cast.none,
                    "one" => &mut cast.one,
                    _ => &mut cast.ten,
                };
                keys.push(key);
            }
        }
        if let Of::Queued(queued) = of {
            let (patient, _) = person(&auth, "everybodys", Role::Patient).await?;
            queue(&control, &doctors, &patient, number, queued).await?;
        }
        control.close().await?;
        Ok(cast)
    })
}

async fn person(auth: &Auth, name: &str, role: Role) -> Result<(String, String)> {
    let email = format!("{name}@example.org");
    let id = auth.register(NewUser { name: name.to_owned(), email, password: None, role }).await?.id;
    let new = NewKey { name: "load".to_owned(), scopes: Scopes::ALL, expires_at: None };
    let (_, key) = auth.create_key(&id, new).await?;
    Ok((id, key))
}

fn endpoint_id(number: u32) -> String {
    format!("whk_{number:016}")
}

fn endpoint(id: String, user_id: String, url: String, secret: Vec<u8>) -> webhook::Model {
    webhook::Model {
        id,
        user_id,
        url,
        events: "check_in.created".to_owned(),
        description: None,
        secret,
        old_secret: None,
        old_secret_until: None,
        disabled_at: None,
        disabled_by: None,
        failing_since: None,
        lease_owner: None,
        lease_until: 0,
        created_at: 0,
        updated_at: 0,
    }
}

async fn grant_to(write: &Write, number: u32, doctor_id: &str, patient_id: &str) -> Result<()> {
    let row = grant::Model {
        id: format!("grt_{number:016}"),
        doctor_id: doctor_id.to_owned(),
        patient_email: format!("{patient_id}@example.org"),
        patient_id: Some(patient_id.to_owned()),
        permissions: "check_ins".to_owned(),
        message: None,
        status: "active".to_owned(),
        created_at: 0,
        accepted_at: Some(0),
        ended_at: None,
        expires_at: None,
    };
    Ok(grants::insert(write.on(), row, u64::MAX).await?)
}

/// `count` events about a patient, each for every doctor.
async fn queue(control: &Control, doctors: &[String], patient: &str, first_grant: u32, count: u32) -> Result<()> {
    let write = control.write().await?;
    for (number, doctor) in (first_grant..).zip(doctors) {
        grant_to(&write, number, doctor, patient).await?;
    }
    write.commit().await?;
    let now_us = SystemClock::default().now_us();
    for event in 0..count {
        let write = control.write().await?;
        let id = format!("evt_{event:016}");
        let body = format!(
            "{{\"event\":\"check_in.created\",\"event_id\":\"{id}\",\"timestamp\":\"2026-06-01T08:00:00Z\",\"data\":{{\
             \"patient_id\":\"{patient}\",\"check_in_id\":\"ci_{event:016}\",\"mood\":4,\"energy\":3,\"focus\":4,\
             \"sleep_hours\":7.5,\"steps\":8200,\"checked_in_at\":\"2026-06-01T08:00:00Z\"}}}}"
        );
        let patient_id = Some(patient.to_owned());
        let subject_id = format!("ci_{event:016}");
        let new = NewEvent { id, kind: "check_in.created", patient_id, subject_id, body, created_at: now_us };
        let event_seq = outbox::insert(write.on(), new).await?;
        let deliveries = (0..).zip(doctors).map(|(doctor, _)| NewDelivery {
            id: format!("dlv_{event:010}{doctor:06}"),
            webhook_id: endpoint_id(doctor),
            event_seq,
            origin: "event",
            status: "pending",
            error: None,
            due_at: now_us,
        });
        outbox::insert_deliveries(write.on(), deliveries.collect()).await?;
        write.commit().await?;
    }
    Ok(())
}
