//! FHIR of the real binary: every resource through validators that others wrote, and read by client libraries that
//! others wrote. The validators lie in `tests/fhir`, and are tested themselves.

mod answers;
mod clients;
mod long;
mod validators;

use serde_json::{Value, json};
use tests::{Client, Server, time};

use crate::setup::{bulk, server};
use crate::sharing::{person, text};

/// A patient with something of everything, and a doctor whom they have let in.
struct Clinic {
    server: Server,
    patient: Client,
    doctor: Client,
    /// The Patient's id.
    id: String,
}

impl Clinic {
    async fn new() -> Self {
        let server = server().await;
        let patient = person(&server, "Ada Lovelace", "ada@example.org", "patient").await;
        let doctor = person(&server, "Dr. Blackwell", "doc@example.org", "doctor").await;
        let invitation = json!({"patient_email": "ada@example.org", "permissions": ["check_ins"]});
        let grant = doctor.post("/api/v1/grants/invite", &invitation).await.expect(201).json();
        patient.post(&format!("/api/v1/grants/{}/accept", text(&grant, "id")), &json!({})).await.expect(200);
        let me = patient.get("/api/v1/users/me").await.expect(200).json();
        let id = text(&me, "id").replace('_', "-");
        Self { server, patient, doctor, id }
    }

    /// Sends points of every metric, of several devices, one of them corrected and one the total of a day.
    async fn fill(&self) {
        let mut points: Vec<Value> = METRICS
            .iter()
            .flat_map(|(metric, value, unit)| {
                [("watch", Some("left \"w\" <1>")), ("ring é", None)].into_iter().enumerate().map(
                    move |(nth, (source, device))| {
                        let at = time::ago(3_600 * (2 + i64::try_from(nth).unwrap()));
                        json!({"metric": metric, "value": value, "unit": unit, "recorded_at": at, "source": source,
                            "source_device_id": device})
                    },
                )
            })
            .collect();
        let today = time::now().div_euclid(DAY) * DAY;
        // A day that is over, and one that is not, whenever the test runs.
        for (day, metric) in [(today - DAY, "steps"), (today - DAY, "calories"), (today + DAY, "steps")] {
            let unit = if metric == "steps" { "steps" } else { "kcal" };
            points.push(json!({"metric": metric, "value": 4_321, "unit": unit, "recorded_at": time::rfc3339(day),
                "source": "apple_health"}));
        }
        self.patient.post("/api/v1/wearables/bulk-ingest", &bulk(&points)).await.expect(201);
        points[0]["value"] = json!(71.5);
        self.patient.post("/api/v1/wearables/ingest", &points[0]).await.expect(201);
        let whole = json!({"mood": 4, "energy": 3, "focus": 5, "sleep_hours": 7.25, "steps": 9_241, "note": "fine"});
        let made = self.patient.post("/api/v1/check-ins", &whole).await.expect(201).json();
        let path = format!("/api/v1/check-ins/{}", text(&made, "id"));
        self.patient.patch(&path, &json!({"mood": 5})).await.expect(200);
        self.patient.post("/api/v1/check-ins", &json!({"mood": 1, "energy": 1, "focus": 1})).await.expect(201);
    }

    /// Sends so many heart rates, a minute apart.
    async fn fill_heart_rates(&self, count: i64) {
        let point = |nth: i64| {
            json!({"metric": "heart_rate", "value": 60 + nth % 40, "unit": "bpm", "recorded_at": time::ago(60 * (nth + 1)),
                "source": "watch"})
        };
        let points: Vec<Value> = (0..count).map(point).collect();
        self.patient.post("/api/v1/wearables/bulk-ingest", &bulk(&points)).await.expect(201);
    }
}

/// Seconds.
const DAY: i64 = 86_400;

/// Every metric that is built in, a value, its unit.
const METRICS: [(&str, f64, &str); 13] = [
    ("heart_rate", 62.0, "bpm"),
    ("hrv", 48.2, "ms"),
    ("hrv_sdnn", 51.0, "ms"),
    ("spo2", 97.0, "%"),
    ("steps", 9_241.0, "steps"),
    ("steps_sample", 120.0, "count"),
    ("sleep_duration", 7.25, "hours"),
    ("sleep_deep", 1.5, "hours"),
    ("sleep_rem", 1.75, "hours"),
    ("body_temperature", 36.6, "°C"),
    ("respiratory_rate", 14.5, "breaths/min"),
    ("calories", 2_210.0, "kcal"),
    ("calories_sample", 12.5, "kcal"),
];
