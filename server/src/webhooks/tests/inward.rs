//! Nobody makes the server call what only the server can reach.

use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::access::tests::places;

/// Names that lead inward, as a hostile name server would have it.
fn hostile_names(name: &str) -> Vec<IpAddr> {
    let texts: &[&str] = match name {
        "loopback.example" => &["127.0.0.1"],
        "loopback6.example" => &["::1"],
        "mapped.example" => &["::ffff:127.0.0.1"],
        "private.example" => &["10.0.0.1"],
        "metadata.example" => &["169.254.169.254"],
        "mixed.example" => &["8.8.8.8", "192.168.0.1"],
        "mixed6.example" => &["8.8.8.8", "fd00::1"],
        "nat64.example" => &["64:ff9b::a00:1"],
        "sixtofour.example" => &["2002:a00:1::1"],
        "multicast.example" => &["224.0.0.1"],
        "unspecified.example" => &["0.0.0.0"],
        "public.example" => &["8.8.8.8", "2606:4700::1111"],
        _ => &[],
    };
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// URLs that are refused although `http` would do.
const HOSTILE: [&str; 100] = [
    // addresses of this machine and of networks behind it
    "https://127.0.0.1/",
    "https://127.0.0.1:8080/admin",
    "https://127.1.2.3/",
    "https://0.0.0.0/",
    "https://10.0.0.1/",
    "https://172.16.0.1/",
    "https://172.31.255.255/",
    "https://192.168.1.1/",
    "https://100.64.0.1/",
    "https://169.254.1.1/",
    // metadata of clouds
    "http://169.254.169.254/latest/meta-data/",
    "http://169.254.170.2/v2/credentials",
    "http://100.100.100.200/",
    "http://168.63.129.16/",
    "http://192.0.0.192/",
    "http://[fd00:ec2::254]/",
    "http://metadata.google.internal/",
    // not for anybody
    "https://224.0.0.1/",
    "https://239.255.255.250/",
    "https://255.255.255.255/",
    "https://240.0.0.1/",
    "https://192.0.2.1/",
    "https://198.51.100.1/",
    "https://203.0.113.1/",
    "https://198.18.0.1/",
    "https://192.88.99.1/",
    // IPv6, and IPv4 in it
    "https://[::1]/",
    "https://[::]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:7f00:1]/",
    "https://[::ffff:10.0.0.1]/",
    "https://[::127.0.0.1]/",
    "https://[64:ff9b::7f00:1]/",
    "https://[64:ff9b::a9fe:a9fe]/",
    "https://[64:ff9b:1::1]/",
    "https://[2002:7f00:1::1]/",
    "https://[2002:a00:1::]/",
    "https://[2001:0:7f00:1::]/",
    "https://[fe80::1]/",
    "https://[fc00::1]/",
    "https://[fdff::1]/",
    "https://[fec0::1]/",
    "https://[ff02::1]/",
    "https://[2001:db8::1]/",
    "https://[3fff::1]/",
    "https://[100::1]/",
    "https://[fe80::1%25eth0]/",
    "https://[0:0:0:0:0:ffff:127.0.0.1]/",
    // other ways to write a number
    "https://2130706433/",
    "https://017700000001/",
    "https://0x7f000001/",
    "https://0x7f.0.0.1/",
    "https://0177.0.0.1/",
    "https://127.1/",
    "https://127.0.1/",
    "https://127.0.0.1./",
    "https://0/",
    "https://0x0/",
    "https://1.1/",
    "https://0x08080808/",
    "https://8.8.2056/",
    "https://010.8.8.8/",
    "https://127.0.0.01/",
    "https://%31%32%37.0.0.1/",
    "https://127%2e0%2e0%2e1/",
    "https://①②⑦.⓪.⓪.①/",
    "https://127。0。0。1/",
    // names
    "https://localhost/",
    "https://LOCALHOST/",
    "https://localhost./",
    "https://a.localhost/",
    "https://printer/",
    "https://nas.local/",
    "https://db.internal/",
    "https://router.lan/",
    "https://1.0.0.10.in-addr.arpa/",
    "https://loopback.example/",
    "https://loopback6.example/",
    "https://mapped.example/",
    "https://private.example/",
    "https://metadata.example/",
    "https://mixed.example/",
    "https://mixed6.example/",
    "https://nat64.example/",
    "https://sixtofour.example/",
    "https://multicast.example/",
    "https://unspecified.example/",
    // what makes two readers see two hosts
    "https://public.example@127.0.0.1/",
    "https://user:password@public.example/",
    "https://@public.example/",
    "https://public.example\\@127.0.0.1/",
    "https://127.0.0.1\\.public.example/",
    "https:127.0.0.1/",
    "https:///127.0.0.1/",
    "https://public.example/\r\nX-Evil: 1",
    " https://public.example/",
    "https://pub\tlic.example/",
    "https://public.example/#fragment",
    // no web at all
    "file:///etc/passwd",
    "gopher://127.0.0.1:6379/_INFO",
];

#[tokio::test]
async fn a_hundred_hostile_urls_are_refused_each_located() {
    let mut database = Database::new().await;
    database.config.webhooks.allow_http = true;
    let stage = stage_with_names(database, hostile_names).await;
    let doctor = stage.doctor("Doc").await;
    let more = [
        "",
        "https://",
        "https:///",
        "//8.8.8.8/",
        "8.8.8.8",
        "javascript:alert(1)",
        "https://public.example:0/",
        "https://public.example:99999/",
        "https://pub lic.example/",
        "https://-.example:x/",
    ];
    let long = format!("https://public.example/{}", "x".repeat(2_048));
    for url in HOSTILE.into_iter().chain(more).chain([long.as_str()]) {
        let (status, answer) = stage.post(&doctor.key, "/webhooks", json!({"url": url, "events": ALL})).await;
        assert_eq!(status, 422, "{url} was taken: {answer}");
        assert_eq!(places(&answer), [json!(["body", "url"])], "{url}");
    }
    for url in [
        "https://public.example/hook",
        "http://public.example:8080/a?b=c",
        "https://8.8.8.8/",
        "https://[2606:4700::1111]/",
        "https://PUBLIC.example./",
        "https://nobody-knows.example/",
    ] {
        endpoint(&stage, &doctor, url, &ALL).await;
    }
}

#[tokio::test]
async fn without_the_operator_s_word_there_is_no_http() {
    let stage = stage_with_names(Database::new().await, hostile_names).await;
    let doctor = stage.doctor("Doc").await;
    let (status, answer) = stage.post(&doctor.key, "/webhooks", json!({"url": "http://8.8.8.8/", "events": ALL})).await;
    assert_eq!((status, places(&answer)), (422, vec![json!(["body", "url"])]), "{answer}");
}

#[tokio::test]
async fn a_name_that_changes_its_address_behind_the_check_is_not_dialled() {
    let looks = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&looks);
    // Public when the endpoint is made, the loopback from then on.
    let table = move |name: &str| {
        assert_eq!(name, "rebind.example");
        let text = if counted.fetch_add(1, Ordering::SeqCst) == 0 { "8.8.8.8" } else { "127.0.0.1" };
        vec![text.parse().unwrap()]
    };
    let mut database = Database::new().await;
    database.config.webhooks.allow_http = true;
    let stage = stage_with_names(database, table).await;
    let running = start(&stage);
    let receiver = Receiver::start().await;
    let doctor = stage.doctor("Doc").await;
    let (id, _) = endpoint(&stage, &doctor, &format!("http://rebind.example:{}/", receiver.port()), &ALL).await;
    test(&stage, &doctor, &id).await;
    let found = wait_for_one(&stage, &doctor, &id, "dropped", 1).await;
    assert_eq!((&found["error"], &found["status_code"]), (&json!("address_refused"), &Value::Null));
    running.stop().await;
    assert!(receiver.got().is_empty());
    assert_eq!(looks.load(Ordering::SeqCst), 2, "judged when it was made, and when it was dialled");
}

#[tokio::test]
async fn rules_that_were_made_narrower_hold_for_endpoints_that_are_there() {
    let database = inward(Database::new().await);
    let receiver = Receiver::start().await;
    let stage = Stage::on(database).await;
    let doctor = stage.doctor("Doc").await;
    let (id, _) = endpoint(&stage, &doctor, &receiver.url("/"), &ALL).await;
    test(&stage, &doctor, &id).await;
    let mut narrower = stage.database.again().await;
    narrower.config.webhooks.allowed_networks.clear();
    let other = Stage::on(narrower).await;
    let running = start(&other);
    let found = wait_for_one(&stage, &doctor, &id, "dropped", 1).await;
    assert_eq!(found["error"], "address_refused");
    running.stop().await;
    assert!(receiver.got().is_empty());
}

#[tokio::test]
async fn the_checked_address_is_dialled_and_the_name_kept_for_the_receiver() {
    let stage = stage_with_names(inward(Database::new().await), |name| {
        assert_eq!(name, "hook.example");
        vec!["127.0.0.1".parse().unwrap()]
    })
    .await;
    let running = start(&stage);
    let receiver = Receiver::start().await;
    let doctor = stage.doctor("Doc").await;
    let (id, _) = endpoint(&stage, &doctor, &format!("http://hook.example:{}/a?b=c", receiver.port()), &ALL).await;
    test(&stage, &doctor, &id).await;
    let got = receiver.wait_for(1).await.remove(0);
    assert_eq!(got.header("host"), format!("hook.example:{}", receiver.port()));
    wait_for_one(&stage, &doctor, &id, "delivered", 1).await;
    // By https the name stands in the first message, where a receiver finds its certificate by it.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (secure, _) = endpoint(&stage, &doctor, &format!("https://hook.example:{port}/"), &ALL).await;
    test(&stage, &doctor, &secure).await;
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut hello = vec![0; 4_096];
    let len = tokio::io::AsyncReadExt::read(&mut stream, &mut hello).await.unwrap();
    assert_eq!(hello[0], 22, "a TLS handshake");
    assert!(hello[..len].windows(12).any(|part| part == b"hook.example"), "no server name");
    drop(stream);
    let found = wait_for_one(&stage, &doctor, &secure, "pending", 1).await;
    assert_eq!(found["error"], "connect", "{found}");
    running.stop().await;
}

#[tokio::test]
async fn no_redirect_is_followed_and_an_answer_without_end_is_cut_off() {
    let stage = stage().await;
    let running = start(&stage);
    let receiver = Receiver::start().await;
    let doctor = stage.doctor("Doc").await;
    let (moved, _) = endpoint(&stage, &doctor, &receiver.url("/redirect"), &ALL).await;
    test(&stage, &doctor, &moved).await;
    let found = wait_for_one(&stage, &doctor, &moved, "pending", 1).await;
    assert_eq!((&found["error"], &found["status_code"]), (&json!("redirect"), &json!(302)));
    let (endless, _) = endpoint(&stage, &doctor, &receiver.url("/endless"), &ALL).await;
    test(&stage, &doctor, &endless).await;
    let found = wait_for_one(&stage, &doctor, &endless, "delivered", 1).await;
    assert_eq!(found["answer"].as_str().unwrap(), "x".repeat(1_024));
    running.stop().await;
    let paths: Vec<_> = receiver.got().into_iter().map(|one| one.path).collect();
    assert_eq!(paths, ["/redirect", "/endless"]);
}

#[tokio::test]
async fn nobody_at_home_and_no_such_name_are_failures_that_are_tried_again() {
    let stage = stage_with_names(inward(Database::new().await), |_| Vec::new()).await;
    let running = start(&stage);
    let doctor = stage.doctor("Doc").await;
    // A port that was free a moment ago.
    let port = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let cases =
        [(format!("http://127.0.0.1:{port}/"), "connect"), ("https://nobody.example/".to_owned(), "unknown_host")];
    for (url, error) in cases {
        let (id, _) = endpoint(&stage, &doctor, &url, &ALL).await;
        test(&stage, &doctor, &id).await;
        assert_eq!(wait_for_one(&stage, &doctor, &id, "pending", 1).await["error"], error, "{url}");
    }
    running.stop().await;
}

#[tokio::test]
async fn a_secret_that_another_key_sealed_is_a_failure_and_no_request() {
    let stage = stage().await;
    let receiver = Receiver::start().await;
    let doctor = stage.doctor("Doc").await;
    let (id, _) = endpoint(&stage, &doctor, &receiver.url("/"), &ALL).await;
    test(&stage, &doctor, &id).await;
    let mut other = stage.database.again().await;
    other.config.secrets.key = Some(crate::config::Secret::new("00".repeat(32)));
    let other = Stage::on(other).await;
    let running = start(&other);
    assert_eq!(wait_for_one(&stage, &doctor, &id, "pending", 1).await["error"], "secret_unreadable");
    running.stop().await;
    assert!(receiver.got().is_empty());
}
