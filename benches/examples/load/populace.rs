//! Very many people in the control database, put there by statements of its own: what listings must stay fast with.

use std::path::Path;

use sea_orm::ConnectionTrait;

use crate::Result;
use crate::accounts::{new_key, with_accounts};

/// Check-ins of one person, one every third day.
const CHECK_INS: u32 = 10;
/// Patients of one doctor; every hundred-and-first person is one.
const PATIENTS: u32 = 100;
/// People whose keys the questions use.
const ASKING: u32 = 200;

/// Those who ask.
pub(crate) struct Populace {
    /// Keys of patients.
    pub(crate) patient_keys: Vec<String>,
    /// Keys of doctors, and the id of a patient of each.
    pub(crate) doctors: Vec<(String, String)>,
}

fn id(number: u32) -> String {
    format!("usr_{number:08}")
}

/// Makes `people` people with ten check-ins each in an empty data directory, a doctor for each hundred of them, and
/// keys for some.
pub(crate) fn settle(data_dir: &Path, people: u32) -> Result<Populace> {
    let groups = (people / (PATIENTS + 1)).max(1);
    with_accounts(data_dir, async |control, auth| {
        let now_us = control.now_us();
        let numbers = |count: u32| {
            format!("WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {count} - 1)")
        };
        let people = groups * (PATIENTS + 1);
        // The first of each group is its doctor.
        let users = format!(
            "{} INSERT INTO users SELECT printf('usr_%08d', i), 'p' || i || '@example.org', 'Person ' || i,
                CASE i % {} WHEN 0 THEN 'doctor' ELSE 'patient' END, 'UTC', NULL, {now_us}, {now_us} FROM n",
            numbers(people),
            PATIENTS + 1
        );
        let check_ins = format!(
            "{} INSERT INTO check_ins SELECT printf('ci_%016d', i), printf('usr_%08d', i % {people}), i % 5 + 1, i % 3 + 1, 3,
                7.25, 8200, 'a walk', {now_us} - i / {people} * 3 * 86400000000 - 3600000000, 'mobile', {now_us}, {now_us}
                FROM n",
            numbers(people * CHECK_INS)
        );
        let grants = format!(
            "{} INSERT INTO grants SELECT printf('grt_%016d', i), printf('usr_%08d', i - i % {group}), 'p' || i ||
                '@example.org', printf('usr_%08d', i), 'check_ins', NULL, 'active', {now_us}, {now_us}, NULL, NULL
                FROM n WHERE i % {group} > 0",
            numbers(people),
            group = PATIENTS + 1
        );
        for statement in [users, check_ins, grants] {
            control.read().execute_unprepared(&statement).await?;
        }
        let mut found = Populace { patient_keys: Vec::new(), doctors: Vec::new() };
        for number in 0..ASKING.min(groups) {
            // Spread over all of them.
            let doctor = number * (groups / ASKING.min(groups)) * (PATIENTS + 1);
            found.patient_keys.push(new_key(auth, &id(doctor + 1)).await?);
            found.doctors.push((new_key(auth, &id(doctor)).await?, id(doctor + 1 + number % PATIENTS)));
        }
        control.close().await?;
        Ok(found)
    })
}
