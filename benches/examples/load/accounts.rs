//! The people that own the points, each with a key; and a doctor whom all of them have let in.

use std::path::Path;
use std::sync::Arc;

use server::auth::{Auth, NewKey, NewUser, Role, Scopes};
use server::config::{Config, Sources};
use server::control::entities::{check_in, grant};
use server::control::repository::{check_ins, grants, users};
use server::control::{Control, Write};
use storage::SystemClock;

use crate::Result;

/// Makes `people` users with a key each in the control database of a data directory, as the command line does, but a
/// thousand in one go. Gives the keys.
pub(crate) fn create(data_dir: &Path, people: u32) -> Result<Vec<String>> {
    with_accounts(data_dir, async |control, auth| {
        let mut keys = Vec::new();
        for number in 0..people {
            let user = auth.register(new_user(number)).await?;
            keys.push(new_key(auth, &user.id).await?);
        }
        control.close().await?;
        Ok(keys)
    })
}

/// What a doctor needs to read.
pub(crate) struct Shared {
    pub(crate) doctor_key: String,
    pub(crate) patient_ids: Vec<String>,
}

/// Gives everybody of a data directory a check-in on each of the last 30 days, and makes a doctor whom they let read.
pub(crate) fn share(data_dir: &Path) -> Result<Shared> {
    with_accounts(data_dir, async |control, auth| {
        let mut patient_ids: Vec<String> = Vec::new();
        loop {
            let page = users::list(control.read(), patient_ids.last().map_or("", String::as_str)).await?;
            if page.is_empty() {
                break;
            }
            patient_ids.extend(page.into_iter().map(|user| user.id));
        }
        let doctor = NewUser {
            name: "Dr. Load".to_owned(),
            email: "doctor@example.org".to_owned(),
            password: None,
            role: Role::Doctor,
        };
        let doctor = auth.register(doctor).await?;
        let write = control.write().await?;
        for (number, patient_id) in patient_ids.iter().enumerate() {
            let_in(&write, number, &doctor.id, patient_id, control.now_us()).await?;
        }
        write.commit().await?;
        let doctor_key = new_key(auth, &doctor.id).await?;
        control.close().await?;
        Ok(Shared { doctor_key, patient_ids })
    })
}

async fn let_in(write: &Write, number: usize, doctor_id: &str, patient_id: &str, now_us: i64) -> Result<()> {
    let row = grant::Model {
        id: format!("grt_{number:016}"),
        doctor_id: doctor_id.to_owned(),
        patient_email: format!("{patient_id}@example.org"),
        patient_id: Some(patient_id.to_owned()),
        permissions: "check_ins".to_owned(),
        message: None,
        status: "active".to_owned(),
        created_at: now_us,
        accepted_at: Some(now_us),
        ended_at: None,
        expires_at: None,
    };
    grants::insert(write.on(), row, u64::MAX).await?;
    for day in 0..30_i64 {
        let score = |shift: i64| i32::try_from((day + shift) % 5 + 1).unwrap_or(1);
        let row = check_in::Model {
            id: format!("ci_{:016}", number * 30 + usize::try_from(day)?),
            user_id: patient_id.to_owned(),
            mood: score(0),
            energy: score(1),
            focus: score(2),
            sleep_hours: Some(7.25),
            steps: Some(8_200),
            note: Some("slept well, a walk in the afternoon".to_owned()),
            // An hour of room, so that the oldest is still in the window at the end of the run.
            checked_in_at: now_us - day * 86_400_000_000 - 3_600_000_000,
            source: "mobile".to_owned(),
            created_at: now_us,
            updated_at: now_us,
        };
        check_ins::insert(write.on(), row).await?;
    }
    Ok(())
}

/// Opens the control database of a data directory and works on it.
pub(crate) fn with_accounts<T>(data_dir: &Path, work: impl AsyncFnOnce(&Control, &Auth) -> Result<T>) -> Result<T> {
    let data_dir = data_dir.to_str().ok_or("the folder's name is not text")?.to_owned();
    let flag = ("--data-dir".to_owned(), "storage.data_dir".to_owned(), data_dir);
    let config = Config::load(&Sources { flags: vec![flag], ..Sources::default() })?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let control = Control::open(&config, Arc::new(SystemClock::default())).await?;
        let auth = Auth::open_unwatched(&config, control.clone())?;
        work(&control, &auth).await
    })
}

/// A key of somebody.
pub(crate) async fn new_key(auth: &Auth, user_id: &str) -> Result<String> {
    let new = NewKey { name: "load".to_owned(), scopes: Scopes::ALL, expires_at: None };
    Ok(auth.create_key(user_id, new).await?.1)
}

fn new_user(number: u32) -> NewUser {
    NewUser {
        name: format!("Person {number}"),
        email: format!("person{number}@example.org"),
        password: None,
        role: Role::Patient,
    }
}
