//! What must not get a token, case by case.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::*;

/// A JWT whose signature is whatever `signed` makes of what stands before it.
fn compact(header: &Value, claims: &Value, signed: impl FnOnce(&str) -> String) -> String {
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", encode(header), encode(claims));
    let signature = signed(&message);
    format!("{message}.{signature}")
}

/// An honest assertion with one claim changed; null takes it out.
fn with(client: &str, jti: &str, name: &str, value: Value) -> String {
    let mut claims = claims(client, jti);
    if value.is_null() {
        claims.as_object_mut().unwrap().remove(name);
    } else {
        claims[name] = value;
    }
    sign(&claims)
}

/// Each attack by its name. All of them say who they are rightly, and none of them is.
fn unproved(client: &str, other: &str) -> Vec<(&'static str, String)> {
    let honest = claims(client, "u");
    let by_rsa = |message: &str| jsonwebtoken::crypto::sign(message.as_bytes(), &rsa(), Algorithm::RS384).unwrap();
    let public = key_set();
    let foreign = EncodingKey::from_rsa_pem(OTHER_RSA).unwrap();
    let hmac = |secret: &[u8]| {
        let key = EncodingKey::from_secret(secret);
        jsonwebtoken::encode(&header(Algorithm::HS256, "r"), &honest, &key).unwrap()
    };
    let by_foreign = |change: &dyn Fn(&mut Header)| {
        let mut header = header(Algorithm::RS384, "r");
        change(&mut header);
        jsonwebtoken::encode(&header, &honest, &foreign).unwrap()
    };
    let n = serde_json::from_str::<Value>(&public).unwrap()["keys"][0]["n"].as_str().unwrap().to_owned();
    let rsa_by = |algorithm, kid: &str| jsonwebtoken::encode(&header(algorithm, kid), &honest, &rsa()).unwrap();
    let cut = rsa_by(Algorithm::RS384, "r");
    let swapped = {
        let (mine, theirs) = (sign(&honest), sign(&claims(other, "u")));
        let head = theirs.rsplit_once('.').unwrap().0;
        format!("{head}.{}", mine.rsplit_once('.').unwrap().1)
    };
    vec![
        ("no signature", compact(&json!({"alg": "none", "kid": "r"}), &honest, |_| String::new())),
        ("no algorithm, another's signature", compact(&json!({"alg": "none", "kid": "r"}), &honest, by_rsa)),
        ("no algorithm, in another case", compact(&json!({"alg": "NoNe", "kid": "r"}), &honest, |_| String::new())),
        ("HS256 with the public key set as its secret", hmac(public.as_bytes())),
        ("HS256 with the modulus as its secret", hmac(n.as_bytes())),
        ("HS256 with the modulus' bytes as its secret", hmac(&URL_SAFE_NO_PAD.decode(&n).unwrap())),
        ("HS256 with nothing as its secret", hmac(b"")),
        ("RS256 by the right key", rsa_by(Algorithm::RS256, "r")),
        ("PS384 by the right key", rsa_by(Algorithm::PS384, "r")),
        ("the RSA key under the name of the EC key", rsa_by(Algorithm::RS384, "e")),
        ("a kid that is not registered", rsa_by(Algorithm::RS384, "x")),
        ("no kid", jsonwebtoken::encode(&Header::new(Algorithm::RS384), &honest, &rsa()).unwrap()),
        ("a foreign key", by_foreign(&|_| ())),
        ("a foreign key at a jku", by_foreign(&|header| header.jku = Some("http://127.0.0.1:1/jwks".to_owned()))),
        ("a foreign key at an x5u", by_foreign(&|header| header.x5u = Some("http://127.0.0.1:1/cert".to_owned()))),
        ("a foreign key in the header", by_foreign(&|header| header.jwk = Some(jwk(&foreign, Algorithm::RS384, "r")))),
        (
            "something that must be understood",
            compact(&json!({"alg": "RS384", "kid": "r", "crit": ["b64"], "b64": false}), &honest, by_rsa),
        ),
        ("a header's algorithm changed behind the signature", {
            let (_, rest) = cut.split_once('.').unwrap();
            format!("{}.{rest}", URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256","kid":"r"}"#))
        }),
        ("another client's claims under this one's signature", swapped),
        ("cut off", cut[..cut.len() - 4].to_owned()),
        ("two parts", cut.rsplit_once('.').unwrap().0.to_owned()),
        ("four parts", format!("{cut}.AAAA")),
        ("nobody's id", sign(&claims("smc_0000000000000000", "u"))),
        ("an id that is none", sign(&claims("smc_'; DROP TABLE users; --", "u"))),
        ("an id with a NUL", sign(&claims("smc_\0", "u"))),
        ("no JWT", "x".to_owned()),
        ("dots", "..".to_owned()),
        ("oversized", with(client, "u", "more", json!("x".repeat(8 << 10)))),
    ]
}

/// Each assertion that the client itself has signed, and that does not hold.
fn wrong(client: &str, other: &str) -> Vec<(&'static str, &'static str, Value)> {
    let leak = |text: &str| json!(text);
    vec![
        ("aud", "of another server", leak("https://other.example.org/fhir/R4/auth/token")),
        ("aud", "the base", leak("http://localhost/fhir/R4")),
        ("aud", "with a slash", leak("http://localhost/fhir/R4/auth/token/")),
        ("aud", "two", json!([TOKEN_URL, "https://other.example.org"])),
        ("aud", "none", Value::Null),
        ("exp", "past", json!(NOW_S - 30)),
        ("exp", "too far ahead", json!(NOW_S + 331)),
        ("exp", "none", Value::Null),
        ("exp", "a text", json!((NOW_S + 60).to_string())),
        ("exp", "endless", json!(1e300)),
        ("nbf", "to come", json!(NOW_S + 31)),
        ("iat", "to come", json!(NOW_S + 31)),
        ("jti", "none", Value::Null),
        ("jti", "empty", json!("")),
        ("jti", "too long", json!("j".repeat(257))),
        ("sub", "another client", json!(other)),
        ("sub", "none", Value::Null),
        ("iss", "another client, who has the same keys", json!(other)),
    ]
    .into_iter()
    .filter(|(_, _, value)| *value != json!(client))
    .collect()
}

async fn refused(stage: Stage) {
    let doctor = stage.doctor("Doc").await;
    let (client, other) = (register(&stage, &doctor, BOTH).await, register(&stage, &doctor, BOTH).await);
    let mut answers = Vec::new();
    for (name, assertion) in unproved(&client, &other) {
        let (status, body) = ask(&stage, form(&assertion, BOTH)).await;
        assert_eq!((status, &body["error"]), (401, &json!("invalid_client")), "{name}: {body}");
        answers.push(body);
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "who proves nothing learns nothing: {answers:?}");
    for (nth, (claim, name, value)) in wrong(&client, &other).into_iter().enumerate() {
        let assertion = with(&client, &format!("w{nth}"), claim, value);
        let (status, body) = ask(&stage, form(&assertion, BOTH)).await;
        assert_eq!((status, &body["error"]), (401, &json!("invalid_client")), "{claim} {name}: {body}");
        assert_ne!(body, answers[0], "{claim} {name}: whoever holds the key is told what is wrong");
    }
    // Nothing of all this was noted as spent, and the honest one is let in.
    let (status, body) = ask(&stage, form(&sign(&claims(&client, "u")), BOTH)).await;
    assert_eq!((status, &body["expires_in"], &body["token_type"]), (200, &json!(300), &json!("bearer")), "{body}");
}

#[tokio::test]
async fn no_forged_or_wrong_assertion_gets_a_token() {
    refused(Stage::new().await).await;
}

#[tokio::test]
async fn nor_does_it_on_postgresql() {
    if let Some(database) = Database::postgres("avycenna_smart").await {
        refused(Stage::on(database).await).await;
    }
}

#[tokio::test]
async fn what_is_no_request_for_a_token_is_refused_in_the_words_of_oauth() {
    let stage = Stage::new().await;
    let doctor = stage.doctor("Doc").await;
    let client = register(&stage, &doctor, "system/Observation.rs").await;
    let fresh = |jti: &str| form(&sign(&claims(&client, jti)), BOTH);
    let table = [
        ("nothing", String::new(), 400, "invalid_request"),
        ("no form", "{}".to_owned(), 400, "invalid_request"),
        ("a code", fresh("1").replace("client_credentials", "authorization_code"), 400, "unsupported_grant_type"),
        ("no type of assertion", fresh("2").replace("jwt-bearer", "saml2-bearer"), 400, "invalid_request"),
        ("no assertion", form("", BOTH), 400, "invalid_request"),
        ("twice the same", format!("{}&scope=x", fresh("3")), 400, "invalid_request"),
        ("another's id beside it", format!("{}&client_id=smc_1", fresh("4")), 401, "invalid_client"),
        ("no scope", form(&sign(&claims(&client, "5")), ""), 400, "invalid_scope"),
        (
            "what it is not registered for",
            form(&sign(&claims(&client, "6")), "system/Patient.rs"),
            400,
            "invalid_scope",
        ),
        ("to write", form(&sign(&claims(&client, "7")), "system/Observation.cruds"), 400, "invalid_scope"),
        ("a person's scope", form(&sign(&claims(&client, "8")), "user/Observation.rs"), 400, "invalid_scope"),
    ];
    for (name, body, expected, error) in table {
        let (status, body) = ask(&stage, body).await;
        assert_eq!((status, &body["error"]), (expected, &json!(error)), "{name}: {body}");
    }
    let (status, _) = ask(&stage, format!("{}&more={}", fresh("9"), "x".repeat(16 << 10))).await;
    assert_eq!(status, 413);
    let (status, body) = ask(&stage, format!("{}&client_id={client}&unknown=1", fresh("10"))).await;
    assert_eq!((status, &body["scope"]), (200, &json!("system/Observation.rs")), "{body}");
}

#[tokio::test]
async fn without_a_base_url_no_host_but_the_loopback_is_an_audience() {
    let stage = Stage::new().await;
    let doctor = stage.doctor("Doc").await;
    let client = register(&stage, &doctor, BOTH).await;
    let mut claims = claims(&client, "1");
    claims["aud"] = json!("http://other.example.org/fhir/R4/auth/token");
    let request = Request::post("/fhir/R4/auth/token")
        .header("host", "other.example.org")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::from(form(&sign(&claims), BOTH)))
        .unwrap();
    assert_eq!(stage.ask(request).await.status(), 400);
    for path in ["/.well-known/smart-configuration", "/fhir/R4/.well-known/smart-configuration"] {
        let get = |host: &str| Request::get(path).header("host", host).body(Body::empty()).unwrap();
        assert_eq!(stage.ask(get("other.example.org")).await.status(), 404);
        let response = stage.ask(get("localhost")).await;
        assert_eq!(response.status(), 200);
        let body = to_bytes(response.into_body(), 1 << 16).await.unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&body).unwrap()["token_endpoint"], TOKEN_URL);
    }
}

#[test]
fn a_set_of_keys_is_taken_or_refused_with_its_place() {
    let set: Value = serde_json::from_str(&key_set()).unwrap();
    let changed = |nth: usize, field: &str, value: Value| {
        let mut set = set.clone();
        set["keys"][nth][field] = value;
        set.to_string()
    };
    let weak = URL_SAFE_NO_PAD.encode([0xff; 128]);
    let table = [
        (changed(0, "d", json!("AQAB")), "keys[0].d"),
        (changed(1, "d", json!("AQAB")), "keys[1].d"),
        (changed(0, "k", json!("AQAB")), "keys[0].k"),
        (changed(0, "kid", Value::Null), "keys[0].kid"),
        (changed(1, "kid", json!("r")), "keys[1].kid"),
        (changed(0, "kid", json!("a\u{0}")), "keys[0].kid"),
        (changed(0, "n", json!(weak)), "keys[0].n"),
        (changed(0, "n", json!("not base64!")), "keys[0].n"),
        (changed(0, "e", json!("Aw")), "keys[0].e"),
        (changed(1, "x", json!(URL_SAFE_NO_PAD.encode([7; 48]))), "keys[1]"),
        (changed(1, "y", json!("AAAA")), "keys[1].x"),
        (json!({"keys": []}).to_string(), "keys"),
        (json!({"keys": [1]}).to_string(), "keys[0]"),
        (json!([]).to_string(), "keys"),
        ("{".to_owned(), "the file"),
        (" ".repeat(65_537), "the file"),
    ];
    for (text, place) in table {
        assert_eq!(Jwks::parse(&text).unwrap_err().place, place, "{text:.200}");
    }
    // A key for something else is left out, and with nothing beside it refused.
    for (nth, field, value) in [
        (0, "alg", json!("RS256")),
        (0, "use", json!("enc")),
        (0, "key_ops", json!(["sign"])),
        (0, "kty", json!("oct")),
        (0, "kty", json!("OKP")),
        (0, "kty", Value::Null),
        (1, "crv", json!("P-256")),
        (1, "crv", Value::Null),
        (1, "alg", json!("ES256")),
    ] {
        let mut set: Value = serde_json::from_str(&changed(nth, field, value.clone())).unwrap();
        // What it lacks or shares otherwise does not matter.
        set["keys"][nth]["kid"] = set["keys"][1 - nth]["kid"].clone();
        let read = Jwks::parse(&set.to_string()).unwrap();
        let other = if nth == 0 { "e" } else { "r" };
        assert_eq!(read.names().map(|(kid, _)| kid.to_owned()).collect::<Vec<_>>(), [other], "{field} {value}");
        assert_eq!(read.left_out()[0].place, format!("keys[{nth}].{field}"));
        assert!(Jwks::parse(&read.to_json()).unwrap().left_out().is_empty());
        set["keys"].as_array_mut().unwrap().remove(1 - nth);
        assert_eq!(Jwks::parse(&set.to_string()).unwrap_err().place, format!("keys[0].{field}"), "{value}");
        set["keys"][0]["d"] = json!("AQAB");
        assert_eq!(Jwks::parse(&set.to_string()).unwrap_err().place, "keys[0].d", "a secret is one whatever it is for");
    }
    // What is stored reads back, and holds nothing that was beside the keys.
    let kept = Jwks::parse(&changed(0, "x5u", json!("https://example.org"))).unwrap().to_json();
    assert!(!kept.contains("x5u"), "{kept}");
    let names: Vec<_> = Jwks::parse(&kept).unwrap().names().map(|(kid, alg)| (kid.to_owned(), alg)).collect();
    assert_eq!(names, [("r".to_owned(), Algorithm::RS384), ("e".to_owned(), Algorithm::ES384)]);
}
