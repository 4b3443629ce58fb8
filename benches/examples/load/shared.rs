//! A doctor whom everybody has let in, and what there is to read.

use std::path::Path;

use server::auth::{NewUser, Role};
use server::control::Write;
use server::control::entities::{check_in, grant};
use server::control::repository::{check_ins, grants, users};

use crate::Result;
use crate::accounts::{new_key, with_accounts};

/// What a doctor needs to read.
pub(crate) struct Shared {
    pub(crate) doctor_key: String,
    pub(crate) patient_ids: Vec<String>,
}

/// Gives everybody of a data directory a check-in on each of the last 30 days, and makes a doctor whom they allow this.
pub(crate) fn share(data_dir: &Path, permissions: &str) -> Result<Shared> {
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
            let_in(&write, number, (&doctor.id, patient_id), permissions, control.now_us()).await?;
        }
        write.commit().await?;
        let doctor_key = new_key(auth, &doctor.id).await?;
        control.close().await?;
        Ok(Shared { doctor_key, patient_ids })
    })
}

async fn let_in(
    write: &Write,
    number: usize,
    (doctor_id, patient_id): (&str, &str),
    permissions: &str,
    now_us: i64,
) -> Result<()> {
    let row = grant::Model {
        id: format!("grt_{number:016}"),
        doctor_id: doctor_id.to_owned(),
        patient_email: format!("{patient_id}@example.org"),
        patient_id: Some(patient_id.to_owned()),
        permissions: permissions.to_owned(),
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
