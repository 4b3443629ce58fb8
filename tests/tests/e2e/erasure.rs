//! A person erases themselves: SIGKILL right behind the answer, a backup that comes back, and every byte afterwards.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use storage::search::{self, Needle};
use storage::{Place, SystemClock};
use tests::{Client, Options, Server};

use crate::setup::{inward, server};

const PASSWORD: &str = "correct horse battery staple";
const ADA: &str = "ada.lovelace@example.org";
const BO: &str = "bo@example.org";

/// Registers and logs in: a client with the access token, and the id.
async fn person(server: &Server, email: &str, role: &str) -> (Client, String) {
    let client = server.client();
    let body = json!({"name": email, "email": email, "password": PASSWORD, "role": role});
    let registered = client.post("/api/v1/auth/register", &body).await.expect(201).json();
    let login = client.post("/api/v1/auth/login", &json!({"email": email, "password": PASSWORD})).await;
    (client.with_token(text(&login.expect(200).json(), "access_token")), text(&registered, "id").to_owned())
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("no {key} in {value}"))
}

async fn ingest(client: &Client, first: usize) {
    let points: Vec<Value> = (first..first + 300)
        .map(|nth| {
            let at = tests::time::ago(i64::try_from(nth).unwrap() * 60);
            json!({"metric": "heart_rate", "value": 60 + nth % 9, "unit": "bpm", "recorded_at": at, "source": "watch"})
        })
        .collect();
    client.post("/api/v1/wearables/bulk-ingest", &json!({ "data_points": points })).await.expect(201);
}

/// Ada and Bo with points at rest and in the log, a doctor who has read of both, and letters in the mail file.
struct Life {
    server: Server,
    ada: Client,
    ada_id: String,
    bo: Client,
    bo_id: String,
    doctor: Client,
}

impl Life {
    async fn begin(options: Options) -> Self {
        let mut server = Server::start(options).await;
        let (ada, ada_id) = person(&server, ADA, "patient").await;
        let (bo, bo_id) = person(&server, BO, "patient").await;
        let (doctor, _) = person(&server, "doc@example.org", "doctor").await;
        // Nobody listens there: what it is owed waits, and holds what patients said.
        let webhook = json!({"url": "http://127.0.0.1:9/hook", "events": ["check_in.created", "grant.accepted"]});
        for person in [&doctor, &ada, &bo] {
            person.post("/api/v1/webhooks", &webhook).await.expect(201);
        }
        for (patient, email) in [(&ada, ADA), (&bo, BO)] {
            let body = json!({"patient_email": email, "permissions": ["check_ins"], "message": format!("for {email}")});
            let grant = doctor.post("/api/v1/grants/invite", &body).await.expect(201).json();
            let accept = format!("/api/v1/grants/{}/accept", text(&grant, "id"));
            patient.send(patient.request("POST", &accept)).await.expect(200);
            let check_in = json!({"mood": 4, "energy": 2, "focus": 3, "note": format!("{email} slept well")});
            patient.post("/api/v1/check-ins", &check_in).await.expect(201);
            ingest(patient, 0).await;
        }
        assert!(server.stop().await.success());
        server.command_ok(&["compact"]);
        server.restart().await;
        let mut life = Self { server, ada, ada_id, bo, bo_id, doctor };
        life.reconnect();
        for (patient, id) in [(&life.ada, &life.ada_id), (&life.bo, &life.bo_id)] {
            ingest(patient, 300).await;
            life.doctor.get(&format!("/api/v1/grants/patient/{id}/check-ins")).await.expect(200);
        }
        life
    }

    /// The server has another address after each start; tokens outlive it.
    fn reconnect(&mut self) {
        for client in [&mut self.ada, &mut self.bo, &mut self.doctor] {
            *client = client.moved_to(&self.server.url());
        }
    }

    async fn restart(&mut self) {
        self.server.restart().await;
        self.reconnect();
    }

    async fn erase_ada(&self) {
        let request = self.ada.request("DELETE", "/api/v1/users/me").json(&json!({"confirm": ADA}));
        let answer = self.ada.send(request).await.expect(202).json();
        assert_eq!(text(&answer, "user_id"), self.ada_id);
    }

    /// Ada is nobody, Bo is as before.
    async fn ada_is_gone(&self) {
        self.ada.get("/api/v1/users/me").await.expect(401);
        let login = json!({"email": ADA, "password": PASSWORD});
        self.server.client().post("/api/v1/auth/login", &login).await.expect(401);
        self.doctor.get(&format!("/api/v1/grants/patient/{}/check-ins", self.ada_id)).await.expect(403);
        self.doctor.get(&format!("/api/v1/grants/patient/{}/wearables/latest", self.ada_id)).await.expect(403);
        self.doctor.get(&format!("/api/v1/grants/patient/{}/check-ins", self.bo_id)).await.expect(200);
        let window = self.bo.get("/api/v1/wearables/metric/heart_rate?days=30").await.expect(200).json();
        assert_eq!(window["data_points"].as_array().unwrap().len(), 600);
        let people = self.server.command_ok(&["user", "list"]);
        assert!(!people.contains(ADA) && people.contains(BO), "{people}");
    }

    fn verify(&self) -> (i32, String) {
        let output = self.server.command(&["verify", "--erased", &self.ada_id, "--email", ADA]);
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output.status.code().unwrap(), said)
    }

    /// Neither id nor address stands in any file but the id in the trail, looked at byte by byte and by a search that
    /// finds Bo.
    fn no_byte_names_ada(&self) {
        let mut trail = 0;
        for file in files(&self.server.data_dir()) {
            let bytes = std::fs::read(&file).unwrap();
            assert_eq!(count(&bytes, ADA), 0, "{}", file.display());
            let places = count(&bytes, &self.ada_id);
            if file.file_name().unwrap() == "control.db" {
                trail = places;
            } else {
                assert_eq!(places, 0, "{}", file.display());
            }
        }
        // One record and its head, each in its table and in the index of its key.
        assert_eq!(trail, 4, "the trail of the one read keeps the id, and nothing else does");
        let disk = storage::disk::real::RealDisk::open(self.server.data_dir()).unwrap();
        let clock = std::sync::Arc::new(SystemClock::default());
        let place = Place { disk: std::sync::Arc::new(disk), objects: None, ledger: None, clock };
        let needles = [Needle::exact(&self.ada_id), Needle::in_any_case(ADA), Needle::exact(&self.bo_id)];
        let searched = search::search(&place, &needles).unwrap();
        let of = |needle: usize| searched.hits.iter().filter(move |hit| hit.needle == needle);
        assert!(of(0).all(|hit| hit.path == Path::new("control.db")) && of(1).count() == 0, "{:?}", searched.hits);
        let in_parquet = |hit: &search::Hit| matches!(hit.part, search::Part::Column { .. });
        assert!(of(2).any(in_parquet), "Bo is found in what was decoded");
        assert!(searched.decoded > 0 && searched.unreadable.is_empty(), "{:?}", searched.unreadable);
    }
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn count(bytes: &[u8], text: &str) -> usize {
    bytes.windows(text.len()).filter(|window| window.eq_ignore_ascii_case(text.as_bytes())).count()
}

fn copy(from: &Path, to: &Path) {
    let copied = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(copied.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_person_is_gone_after_sigkill_and_from_every_byte_after_a_compaction() {
    let mut life = Life::begin(inward()).await;
    life.erase_ada().await;
    life.server.kill();
    let (code, said) = life.verify();
    assert_eq!(code, 6, "what is not compacted yet is found: {said}");
    assert!(said.contains(&format!("{} is in the ledger of erased people", life.ada_id)), "{said}");
    assert!(said.contains("a page of column user_id") && said.contains("behind row 0"), "{said}");

    life.restart().await;
    life.ada_is_gone().await;
    assert!(life.server.stop().await.success());
    life.server.command_ok(&["compact"]);
    let (code, said) = life.verify();
    assert_eq!(code, 0, "{said}");
    assert!(said.ends_with(&format!("not found: {}, {ADA}\n", life.ada_id)), "{said}");
    life.no_byte_names_ada();
    assert!(life.server.command_ok(&["verify"]).contains("no damage"), "the trail is unbroken");
    life.restart().await;
    life.ada_is_gone().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_server_s_open_erasure_is_finished_by_compact_alone() {
    let mut life = Life::begin(inward()).await;
    let key = life.ada.post("/api/v1/api-keys", &json!({"name": "watch"})).await.expect(201).json();
    let key = life.server.client().with_key(text(&key, "key"));
    // Both credentials are remembered now.
    for credential in [&life.ada, &key] {
        credential.get("/api/v1/check-ins").await.expect(200);
    }
    life.erase_ada().await;
    for credential in [&life.ada, &key] {
        // What looks at no row of the account's own says so, too.
        credential.get("/api/v1/check-ins").await.expect(401);
        let point =
            json!({"metric": "hrv", "value": 40, "unit": "ms", "recorded_at": tests::time::ago(0), "source": "w"});
        credential.post("/api/v1/wearables/ingest", &point).await.expect(401);
    }
    life.server.kill();
    life.server.command_ok(&["compact"]);
    let (code, said) = life.verify();
    assert_eq!(code, 0, "{said}");
    life.no_byte_names_ada();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_backup_that_is_restored_is_erased_again() {
    let mut life = Life::begin(inward()).await;
    assert!(life.server.stop().await.success());
    let data_dir = life.server.data_dir();
    let backup = data_dir.with_file_name("backup");
    copy(&data_dir, &backup);
    life.restart().await;
    life.erase_ada().await;
    assert!(life.server.stop().await.success());
    life.server.command_ok(&["compact"]);

    // As the documentation says: the backup in the folder's place, the ledger of the old folder into it.
    std::fs::rename(&data_dir, data_dir.with_file_name("old")).unwrap();
    copy(&backup, &data_dir);
    let (code, said) = life.verify();
    assert!(code == 6 && said.contains("table users"), "without the ledger she is back: {said}");
    copy(&data_dir.with_file_name("old").join("erased"), &data_dir);
    life.restart().await;
    life.ada_is_gone().await;
    assert!(life.server.log().contains("came back with a backup"));
    assert!(life.server.stop().await.success());
    life.server.command_ok(&["compact"]);
    let (code, said) = life.verify();
    assert_eq!(code, 0, "{said}");
    life.no_byte_names_ada();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_outside_of_the_data_directory_outlives_it() {
    let elsewhere = tempfile::tempdir().unwrap();
    let ledger = elsewhere.path().join("ledger");
    let options = inward().environment("AVYCENNA_STORAGE_ERASURE_LEDGER", ledger.to_str().unwrap());
    let mut life = Life::begin(options).await;
    assert!(life.server.stop().await.success());
    let data_dir = life.server.data_dir();
    let backup = data_dir.with_file_name("backup");
    copy(&data_dir, &backup);
    life.restart().await;
    life.erase_ada().await;
    life.server.kill();
    std::fs::remove_dir_all(&data_dir).unwrap();
    copy(&backup, &data_dir);
    // No server has started in between.
    life.server.command_ok(&["compact"]);
    let (code, said) = life.verify();
    assert_eq!(code, 0, "{said}");
    life.no_byte_names_ada();
    assert_eq!(files(&ledger).len(), 1);
    assert!(files(&ledger).iter().all(|file| std::fs::metadata(file).unwrap().len() == 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_verify_is_to_look_for_must_be_an_id_or_an_address() {
    let mut server = server().await;
    server.kill();
    for arguments in [["--erased", "ada"], ["--erased", "usr_1"], ["--email", "ada"]] {
        let output = server.command(&[&["verify"], &arguments[..]].concat());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
}
