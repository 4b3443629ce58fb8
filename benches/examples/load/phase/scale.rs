//! Listings of a control database with very many people.

use super::Bench;
use crate::client::Head;
use crate::report::Target::{AtMost, None as NoTarget};
use crate::{Result, populace, query};

/// People, each with ten check-ins.
const PEOPLE: u32 = 100_000;
/// Times each listing is asked over one connection.
const READ_COUNT: usize = 2_000;

impl Bench<'_> {
    /// A patient's list, a doctor's summary and a doctor's grants, among 100,000 people.
    pub(super) fn scale(&mut self) -> Result<()> {
        const PHASE: &str = "listings among 100,000 people, 1 M check-ins";
        let people = if self.args.quick { PEOPLE / 50 } else { PEOPLE };
        eprintln!("settling {people} people");
        let data_dir = self.data_dir("scale");
        std::fs::create_dir(&data_dir)?;
        let populace = populace::settle(&data_dir, people)?;
        let server = self.server(&data_dir, &[])?;
        let host = server.address.to_string();
        let list = populace.patient_keys.iter().map(|key| Head::get(&host, "/api/v1/check-ins?days=30", Some(key)));
        let summary = populace.doctors.iter().map(|(key, patient_id)| {
            Head::get(&host, &format!("/api/v1/grants/patient/{patient_id}/check-ins?days=30"), Some(key))
        });
        let outgoing = populace.doctors.iter().map(|(key, _)| Head::get(&host, "/api/v1/grants/outgoing", Some(key)));
        let count = if self.args.quick { READ_COUNT / 10 } else { READ_COUNT };
        let questions: [(&str, Vec<Head>); 3] = [
            ("a patient's check-ins", list.collect()),
            ("a doctor's summary, recorded", summary.collect()),
            ("a doctor's 100 grants", outgoing.collect()),
        ];
        for (what, heads) in questions {
            let ns = query::one_by_one(server.address, &heads, count)?;
            self.report.add_latencies(PHASE, what, &ns, NoTarget, AtMost(10.0));
        }
        self.stop(server)?;
        Ok(())
    }
}
