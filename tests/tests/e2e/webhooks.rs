//! Webhooks of the real binary: the documentation's receivers, SIGKILL over a retry in real time, proxies that are not
//! asked.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tests::receiver::Got;
use tests::server::DEADLINE;
use tests::{Client, Receiver, Server, node, python, time};

use crate::setup::inward;

/// The documentation's own code, compiled as it stands.
#[path = "../../../docs/examples/webhooks/verify.rs"]
#[expect(unreachable_pub, reason = "it is written to be copied into another crate")]
mod verify;

const PASSWORD: &str = "correct horse battery staple";

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("no {key} in {value}"))
}

/// A patient and a doctor whom they have let in.
async fn people(server: &Server) -> (Client, Client) {
    let mut clients = Vec::new();
    for (email, role) in [("ada@example.org", "patient"), ("doc@example.org", "doctor")] {
        let client = server.client();
        let body = json!({"name": "Somebody", "email": email, "password": PASSWORD, "role": role});
        client.post("/api/v1/auth/register", &body).await.expect(201);
        let login = client.post("/api/v1/auth/login", &json!({"email": email, "password": PASSWORD})).await;
        clients.push(client.with_token(text(&login.expect(200).json(), "access_token")));
    }
    let (doctor, patient) = (clients.pop().unwrap(), clients.pop().unwrap());
    let invitation = json!({"patient_email": "ada@example.org", "permissions": ["check_ins"]});
    let grant = doctor.post("/api/v1/grants/invite", &invitation).await.expect(201).json();
    patient.post(&format!("/api/v1/grants/{}/accept", text(&grant, "id")), &json!({})).await.expect(200);
    (patient, doctor)
}

/// An endpoint for check-ins: its path and its secret.
async fn endpoint(doctor: &Client, url: &str) -> (String, String) {
    let body = json!({"url": url, "events": ["check_in.created"]});
    let made = doctor.post("/api/v1/webhooks", &body).await.expect(201).json();
    (format!("/api/v1/webhooks/{}", text(&made, "id")), text(&made, "secret").to_owned())
}

async fn check_in(patient: &Client) -> String {
    let made = patient.post("/api/v1/check-ins", &json!({"mood": 4, "energy": 3, "focus": 4})).await.expect(201).json();
    text(&made, "id").to_owned()
}

/// A receiver of the documentation, as a process; killed when it is dropped.
struct Example {
    name: &'static str,
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Example {
    fn start(name: &'static str, program: &Path, file: &Path, secret: &str) -> Self {
        let mut command = Command::new(program);
        command.arg(file).env("SECRET", secret).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{name}: {error}"));
        let lines: Arc<Mutex<Vec<String>>> = Arc::default();
        let (out, kept) = (child.stdout.take().unwrap(), Arc::clone(&lines));
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                kept.lock().unwrap().push(line);
            }
        });
        Self { name, child, lines }
    }

    fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// The lines, once there are so many.
    async fn wait_for(&self, count: usize) -> Vec<String> {
        let deadline = tokio::time::Instant::now() + DEADLINE;
        while self.lines().len() < count {
            assert!(tokio::time::Instant::now() < deadline, "{}: {:?}", self.name, self.lines());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.lines()
    }

    async fn url(&self) -> String {
        let first = self.wait_for(1).await.remove(0);
        format!("http://127.0.0.1:{}/", first.rsplit(' ').next().unwrap())
    }
}

/// Sends a request as it was, or changed; the status.
async fn send(url: &str, got: &Got, body: &[u8]) -> u16 {
    let client = Client::new(url);
    let mut request = client.request("POST", "").body(body.to_vec());
    for (name, value) in &got.headers {
        if !["host", "content-length"].contains(&name.as_str()) {
            request = request.header(name, value);
        }
    }
    client.send(request).await.status
}

#[tokio::test(flavor = "multi_thread")]
async fn the_receivers_of_the_documentation_take_what_is_genuine_once_and_nothing_else() {
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let folder = tests::root().join("docs/examples/webhooks");
    let mut programs = vec![
        ("receiver.py", "python3".into(), folder.join("receiver.py")),
        ("receiver.mjs", "node".into(), folder.join("receiver.mjs")),
    ];
    programs.extend(python::interpreter(scratch).map(|python| ("standard.py", python, folder.join("standard.py"))));
    programs.extend(node::webhooks(scratch).map(|copy| ("standard.mjs", "node".into(), copy.join("standard.mjs"))));

    let server = Server::start(inward()).await;
    let (patient, doctor) = people(&server).await;
    for (name, program, file) in programs {
        // The secret is there before the receiver, and its port behind it.
        let (path, secret) = endpoint(&doctor, "https://8.8.8.8/").await;
        let example = Example::start(name, &program, &file, &secret);
        let url = example.url().await;
        doctor.patch(&path, &json!({"url": url})).await.expect(200);
        check_in(&patient).await;
        let event = example.wait_for(2).await.remove(1);
        let feed = doctor.get(&format!("{path}/events")).await.expect(200).json();
        assert_eq!(event, format!("{} check_in.created", text(&feed["events"][0], "event_id")), "{name}");
        delivered(&doctor, &path, 1).await;

        // The same delivery as anybody on the way may have seen it: signed with the same secret, to our own ears.
        let ears = Receiver::start().await;
        doctor.patch(&path, &json!({"url": ears.url()})).await.expect(200);
        check_in(&patient).await;
        let got = ears.wait_for(1).await.remove(0);
        assert_eq!(send(&url, &got, &got.body).await, 204, "{name}");
        let changed = String::from_utf8(got.body.clone()).unwrap().replace("\"mood\":4", "\"mood\":5");
        assert_eq!(send(&url, &got, changed.as_bytes()).await, 401, "{name} took a changed body");
        let mut bare = got.clone();
        bare.headers.retain(|(header, _)| !header.contains("signature"));
        assert_eq!(send(&url, &bare, &got.body).await, 401, "{name} took a body without a signature");
        assert_eq!(send(&url, &got, &got.body).await, 204, "{name} refused a second delivery");
        if name.starts_with("standard") {
            let mut old = got.clone();
            for (header, value) in &mut old.headers {
                if header == "webhook-timestamp" {
                    *value = (time::now() - 3_600).to_string();
                }
            }
            assert_eq!(send(&url, &old, &got.body).await, 401, "{name} took an old request");
        }
        // One line for the address, one for each event, however often it came.
        assert_eq!(example.lines().len(), 3, "{name}: {:?}", example.lines());
        doctor.delete(&path).await.expect(204);
    }
}

/// Waits until so many deliveries of an endpoint have arrived.
async fn delivered(doctor: &Client, path: &str, count: usize) {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    loop {
        let list = doctor.get(&format!("{path}/deliveries?status=delivered")).await.expect(200).json();
        if list["deliveries"].as_array().unwrap().len() == count {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "{list}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Runs a program that reads a body; whether it was taken.
fn is_taken(command: &mut Command, secret: &str, signature: &str, body: &[u8]) -> bool {
    command.env("SECRET", secret).env("SIGNATURE", signature).stdin(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    child.stdin.take().unwrap().write_all(body).unwrap();
    child.wait().unwrap().success()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_delivery_is_verified_in_rust_in_go_and_by_openssl() {
    let server = Server::start(inward()).await;
    let (patient, doctor) = people(&server).await;
    let ears = Receiver::start().await;
    let (path, old) = endpoint(&doctor, &ears.url()).await;
    let rotated = doctor.post(&format!("{path}/rotate-secret"), &json!({})).await.expect(200).json();
    let new = text(&rotated, "secret");
    check_in(&patient).await;
    let got = ears.wait_for(1).await.remove(0);
    let published = got.header("x-avycenna-signature");
    assert!(verify::is_genuine(new, &got.body, published));
    assert!(!verify::is_genuine(&old, &got.body, published) && !verify::is_genuine(new, b"{}", published));
    assert!(!verify::is_genuine(new, &got.body, "") && !verify::is_genuine(new, &got.body, "sha256=00"));
    let headers = (got.header("webhook-id"), got.header("webhook-timestamp"), got.header("webhook-signature"));
    let now_s = u64::try_from(time::now()).unwrap();
    for secret in [new, old.as_str()] {
        assert!(verify::is_fresh(secret, &got.body, headers, now_s), "both sign while a secret is changed");
        assert!(!verify::is_fresh(secret, &got.body, headers, now_s + 600), "an old request");
        assert!(!verify::is_fresh(secret, b"{}", headers, now_s), "another body");
    }
    let folder = tests::root().join("docs/examples/webhooks");
    let mut programs = vec![(folder.join("verify.sh"), Vec::new())];
    if Command::new("go").arg("version").output().is_ok() {
        programs.push(("go".into(), vec!["run".into(), folder.join("verify.go")]));
    } else {
        eprintln!("\n*** SKIPPED, NOT TESTED: verify.go, there is no Go on this machine ***\n");
    }
    for (program, arguments) in programs {
        let run =
            |signature: &str, body: &[u8]| is_taken(Command::new(&program).args(&arguments), new, signature, body);
        assert!(run(published, &got.body), "{}", program.display());
        assert!(!run(published, b"{}") && !run("sha256=00", &got.body) && !run("", &got.body), "{}", program.display());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_comes_in_its_time_though_the_server_is_killed_before_it() {
    let mut server = Server::start(inward()).await;
    let (patient, doctor) = people(&server).await;
    let receiver = Receiver::start().await;
    receiver.set(500);
    let (path, secret) = endpoint(&doctor, &receiver.url()).await;
    let first = check_in(&patient).await;
    receiver.wait_for(1).await;
    let deadline = tokio::time::Instant::now() + DEADLINE;
    while doctor.get(&format!("{path}/deliveries")).await.expect(200).json()["deliveries"][0]["tries"] != 1 {
        assert!(tokio::time::Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let failed = receiver.got().remove(0);
    receiver.set(204);
    // The second one's 201 is hardly out when the server dies.
    let second = check_in(&patient).await;
    server.kill();
    server.restart().await;
    let is_of = |got: &Got, id: &str| got.json()["data"]["check_in_id"] == id;
    let deadline = tokio::time::Instant::now() + DEADLINE;
    let (retried, other) = loop {
        let got = receiver.got();
        let retried = got.iter().filter(|got| is_of(got, &first)).nth(1).cloned();
        let other = got.iter().find(|got| is_of(got, &second)).cloned();
        if let (Some(retried), Some(other)) = (retried, other) {
            break (retried, other);
        }
        assert!(tokio::time::Instant::now() < deadline, "{} requests came in", got.len());
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert_eq!(retried.body, failed.body);
    assert_eq!(retried.header("webhook-id"), failed.header("webhook-id"));
    assert_eq!(retried.header("x-avycenna-signature"), failed.header("x-avycenna-signature"));
    assert!(verify::is_genuine(&secret, &other.body, other.header("x-avycenna-signature")));
    let waited = retried.at - failed.at;
    assert!((30.0..45.0).contains(&waited.as_secs_f64()), "30 s and a tenth, a look, a slow machine: {waited:?}");
    // Every second one of the same event has the same bytes.
    for got in receiver.got() {
        let twin = if is_of(&got, &first) { &failed } else { &other };
        assert_eq!(got.body, twin.body);
    }
    assert!(server.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn proxies_of_the_environment_are_not_asked() {
    let proxy = Receiver::start().await;
    let mut options = inward();
    for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        options = options.environment(name, &proxy.url());
    }
    let server = Server::start(options).await;
    let (patient, doctor) = people(&server).await;
    let receiver = Receiver::start().await;
    let (path, _) = endpoint(&doctor, &receiver.url()).await;
    check_in(&patient).await;
    receiver.wait_for(1).await;
    delivered(&doctor, &path, 1).await;
    assert!(proxy.got().is_empty());
}
