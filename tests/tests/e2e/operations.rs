//! What an operator does: start, look, stop, repair.

use std::collections::BTreeMap;

use serde_json::json;
use tests::Server;
use tests::time::ago;

use crate::setup::{bulk, heart_rate, options, server};

const BULK: &str = "/api/v1/wearables/bulk-ingest";

fn said(output: &std::process::Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[tokio::test]
async fn the_server_says_that_it_lives_and_is_ready() {
    let server = server().await;
    let client = server.client();
    for path in ["/healthz", "/readyz"] {
        let answer = client.get(path).await.expect(200);
        assert!(!answer.header("x-request-id").is_empty(), "{path}");
    }
    client.get("/metrics").await.expect(404);
}

#[tokio::test]
async fn a_second_serve_on_the_same_data_is_refused_and_the_first_goes_on() {
    let server = server().await;
    let second = server.command(&["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(second.status.code(), Some(3));
    assert!(said(&second).contains("in use by another process"), "{}", said(&second));
    server.client().get("/readyz").await.expect(200);
}

#[tokio::test]
async fn sigterm_lets_requests_end_and_exits_with_0() {
    let mut server = server().await;
    server.user("ada@example.org");
    let key = server.key("ada@example.org");
    let ada = server.client().with_key(&key);
    let points: Vec<_> = (0..500).map(|nth| heart_rate(60.0, &ago(1_000 + nth))).collect();
    let body = bulk(&points);
    ada.post(BULK, &body).await.expect(201);
    let flying: Vec<_> = (0..20)
        .map(|_| {
            let (ada, body) = (ada.clone(), body.clone());
            tokio::spawn(async move { ada.try_send(ada.request("POST", BULK).json(&body)).await })
        })
        .collect();
    assert_eq!(server.stop().await.code(), Some(0), "{}", server.log());
    for request in flying {
        // Refused connections are fine; an answer that was begun is whole.
        if let Ok(answer) = request.await.unwrap() {
            assert!([201, 503].contains(&answer.status), "{}", answer.text);
        }
    }
    server.restart().await;
    let window = server.client().with_key(&key).get("/api/v1/wearables/metric/heart_rate").await.expect(200).json();
    assert_eq!(window["data_points"].as_array().unwrap().len(), 500);
}

#[tokio::test]
async fn a_key_that_is_unknown_or_a_value_that_is_bad_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    for (name, value, key) in [
        ("AVYCENNA_LIMITS_ENABLE", "false", "limits.enable"),
        ("AVYCENNA_LIMITS_ENABLED", "perhaps", "limits.enabled"),
        ("AVYCENNA_STORAGE_SEAL_BYTES", "1", "storage.seal_bytes"),
        ("AVYCENNA_LISTEN_ADDRESS", "here", "listen.address"),
    ] {
        let output = options().environment(name, value).run(&["serve"], folder.path());
        assert_eq!(output.status.code(), Some(2), "{name}={value}");
        assert!(said(&output).contains(key) && said(&output).contains(name), "{}", said(&output));
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "a refused start leaves nothing behind");
}

#[tokio::test]
async fn the_printed_configuration_hides_secrets_and_names_sources() {
    let folder = tempfile::tempdir().unwrap();
    let options = options()
        .environment("AVYCENNA_AUTH_JWT_SECRETS", "one:hunter2hunter2hunter2hunter2hunter2")
        .environment("AVYCENNA_MAIL_SMTP_URL", "smtps://user:hunter2@mail.example.org");
    let output = options.run(&["serve", "--print-config"], folder.path());
    assert!(output.status.success(), "{}", said(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.contains("hunter2"), "{text}");
    assert!(text.contains("[limits]") && text.contains("AVYCENNA_LIMITS_ENABLED"), "{text}");
}

/// `section.key` → default, of `serve --print-config` without any setting.
fn printed_defaults() -> BTreeMap<String, String> {
    let folder = tempfile::tempdir().unwrap();
    let options = tests::Options::bare(env!("CARGO_BIN_EXE_avycenna-under-test"));
    let output = options.run(&["serve", "--print-config"], folder.path());
    assert!(output.status.success(), "{}", said(&output));
    let mut found = BTreeMap::new();
    let mut section = String::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            name.clone_into(&mut section);
        } else if let Some(key) = line.strip_prefix("# ").and_then(|rest| rest.strip_suffix(" is not set")) {
            found.insert(format!("{section}.{key}"), "not set".to_owned());
        } else if section.is_empty() {
            // A list above the sections (the operator's own metrics) has a chapter of its own.
        } else if let Some((key, value)) = line.split_once(" = ") {
            found.insert(format!("{section}.{key}"), value.to_owned());
        }
    }
    found
}

#[test]
fn the_configuration_table_of_the_documentation_is_complete_and_true() {
    let page = std::fs::read_to_string(tests::root().join("docs/src/operations.md")).unwrap();
    let mut documented = BTreeMap::new();
    for line in page.lines() {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`')).collect();
        if let [key, default, variable, meaning] = cells.as_slice()
            && variable.starts_with("AVYCENNA_")
        {
            assert_eq!(*variable, format!("AVYCENNA_{}", key.to_uppercase().replace('.', "_")));
            assert!(!meaning.is_empty(), "{key} has no meaning");
            documented.insert((*key).to_owned(), (*default).to_owned());
        }
    }
    assert_eq!(documented, printed_defaults(), "left: docs/src/operations.md, right: the code");
}

#[tokio::test]
async fn the_documented_metrics_are_served_on_their_own_address() {
    // Any free port: taken and given back, since the metrics' own is not printed in a fixed form.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("127.0.0.1:{port}");
    let server = Server::start(options().environment("AVYCENNA_LISTEN_METRICS", &address)).await;
    let ada = server.person("ada@example.org");
    ada.post(BULK, &bulk(&[heart_rate(60.0, &ago(60))])).await.expect(201);
    let text = tests::Client::new(&format!("http://{address}")).get("/metrics").await.expect(200).text;
    let page = std::fs::read_to_string(tests::root().join("docs/src/operations.md")).unwrap();
    let served: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| name.starts_with("avycenna_"))
        .collect();
    assert!(!served.is_empty(), "{text}");
    for name in served {
        assert!(page.contains(&format!("`{name}`")), "{name} is not in docs/src/operations.md");
    }
    server.client().get("/metrics").await.expect(404);
}

#[tokio::test]
async fn the_description_and_its_pages_need_no_other_host() {
    let server = server().await;
    let client = server.client();
    let description = client.get("/openapi.json").await.expect(200).json();
    assert!(description["openapi"].as_str().unwrap().starts_with("3."), "{}", description["openapi"]);
    for path in
        ["/api/v1/wearables/bulk-ingest", "/api/v1/wearables/metric/{metric}", "/api/v1/auth/login", "/api/v1/api-keys"]
    {
        assert!(description["paths"][path].is_object(), "{path} is not described");
    }
    for path in ["/docs/", "/redoc"] {
        let page = client.get(path).await.expect(200);
        assert!(page.header("content-type").starts_with("text/html"), "{path}");
        for word in ["src=\"http", "href=\"http", "src='http", "src=\"//"] {
            assert!(!page.text.contains(word), "{path} loads from elsewhere: {word}");
        }
    }
}

#[tokio::test]
async fn verify_finds_a_flipped_byte_and_names_file_and_place() {
    let mut server = server().await;
    let ada = server.person("ada@example.org");
    let points: Vec<_> = (0..500).map(|nth| heart_rate(60.0, &ago(1_000 + nth))).collect();
    ada.post(BULK, &bulk(&points)).await.expect(201);
    assert!(server.stop().await.success());
    server.command_ok(&["compact"]);
    let sound = said(&server.command(&["verify"]));

    let mut folders = vec![server.data_dir()];
    let mut parquet = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "parquet") {
                parquet.push(path);
            }
        }
    }
    let file = parquet.first().expect("a compacted server has Parquet files");
    let mut bytes = std::fs::read(file).unwrap();
    bytes[20] ^= 0x10;
    std::fs::write(file, &bytes).unwrap();
    let damaged = server.command(&["verify"]);
    assert_eq!(damaged.status.code(), Some(4), "before: {sound}\nafter: {}", said(&damaged));
    let name = file.file_name().unwrap().to_str().unwrap();
    assert!(said(&damaged).contains(name), "{name} in {}", said(&damaged));
    assert_eq!(std::fs::read(file).unwrap(), bytes, "verify changes nothing");

    // Nobody is there to agree.
    let asked = server.command(&["repair"]);
    assert_eq!(asked.status.code(), Some(4), "{}", said(&asked));
    assert!(said(&asked).contains("loses at most 500 points") && said(&asked).contains("drop it?"), "{}", said(&asked));
    assert_eq!(std::fs::read(file).unwrap(), bytes, "without a yes nothing is dropped");
    server.command_ok(&["repair", "--yes"]);
    server.command_ok(&["verify"]);
    server.restart().await;
    ada_again(&server).await;
}

/// After a repair the server takes points and answers.
async fn ada_again(server: &Server) {
    let ada = server.client().with_key(&server.key("ada@example.org"));
    ada.post(BULK, &bulk(&[heart_rate(61.0, &ago(30))])).await.expect(201);
    let window = ada.get("/api/v1/wearables/metric/heart_rate").await.expect(200).json();
    assert_eq!(window["data_points"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_copy_of_a_stopped_servers_folder_is_a_backup() {
    let mut server = server().await;
    server.user("ada@example.org");
    let key = server.key("ada@example.org");
    let ada = server.client().with_key(&key);
    ada.post(BULK, &bulk(&[heart_rate(62.0, &ago(60))])).await.expect(201);
    assert!(server.stop().await.success());
    let copy = tempfile::tempdir().unwrap();
    let status = std::process::Command::new("cp").arg("-a").arg(server.data_dir()).arg(copy.path()).status().unwrap();
    assert!(status.success());
    std::fs::remove_dir_all(server.data_dir()).unwrap();
    std::fs::rename(copy.path().join("data"), server.data_dir()).unwrap();
    server.restart().await;
    let latest = server.client().with_key(&key).get("/api/v1/wearables/latest").await.expect(200).json();
    assert_eq!(latest["latest"]["heart_rate"]["value"], json!(62.0));
}

#[test]
fn every_command_explains_itself() {
    let folder = tempfile::tempdir().unwrap();
    let options = options();
    let help = options.run(&["--help"], folder.path());
    let text = said(&help);
    assert!(help.status.success());
    for command in ["serve", "demo", "compact", "verify", "repair", "key", "user"] {
        assert!(text.contains(command), "{command} in {text}");
        let help = options.run(&[command, "--help"], folder.path());
        assert!(help.status.success() && said(&help).contains("Usage"), "{command} --help: {}", said(&help));
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "help touches nothing");
}
