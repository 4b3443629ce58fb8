//! What a token must say, and who may say it.

use std::os::unix::fs::PermissionsExt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::*;
use crate::config::Secret as ConfigSecret;
use crate::key_file::KeyFileError;

const NOW_US: i64 = 1_780_000_000_000_000;
const NEW: &str = "new:nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn";
const OLD: &str = "old:oooooooooooooooooooooooooooooooo";

fn tokens(secrets: &[&str]) -> Tokens {
    let mut config = Config::default();
    config.auth.jwt_secrets = secrets.iter().map(|secret| ConfigSecret::new(*secret)).collect();
    Tokens::open(&config).unwrap()
}

fn claims() -> Value {
    let now_s = NOW_US / 1_000_000;
    json!({
        "iss": "avycenna", "aud": "avycenna", "sub": "usr_7jRtHvBk",
        "iat": now_s, "exp": now_s + 900, "jti": "j", "sid": "ses_1",
    })
}

/// A token of any header and claims, signed with any secret: what an attacker can make, and what we make.
fn forge(header: &Value, claims: &Value, secret: &str) -> String {
    use hmac::{Hmac, KeyInit, Mac};
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(header), part(claims));
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

const NEW_SECRET: &str = "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn";

#[test]
fn a_token_says_what_was_signed() {
    let tokens = tokens(&[NEW]);
    let token = tokens.sign("usr_7jRtHvBk", "ses_1", NOW_US).unwrap();
    let claims = tokens.verify(&token, NOW_US).unwrap();
    assert_eq!((claims.sub.as_str(), claims.sid.as_str()), ("usr_7jRtHvBk", "ses_1"));
    assert_eq!(claims.exp - claims.iat, 900);
    assert_eq!(claims.jti.len(), 16);
}

#[test]
fn the_newest_secret_signs_and_the_older_ones_verify() {
    let old = tokens(&[OLD]).sign("usr_7jRtHvBk", "ses_1", NOW_US).unwrap();
    let rotated = tokens(&[NEW, OLD]);
    assert!(rotated.verify(&old, NOW_US).is_ok());
    let new = rotated.sign("usr_7jRtHvBk", "ses_1", NOW_US).unwrap();
    assert_eq!(jsonwebtoken::decode_header(&new).unwrap().kid.as_deref(), Some("new"));
    assert!(tokens(&[NEW]).verify(&old, NOW_US).is_err(), "a secret that was taken out verifies nothing");
    assert!(tokens(&[NEW]).verify(&new, NOW_US).is_ok());
}

#[test]
fn a_token_ends_at_its_second() {
    let tokens = tokens(&[NEW]);
    let token = tokens.sign("usr_7jRtHvBk", "ses_1", NOW_US).unwrap();
    assert!(tokens.verify(&token, NOW_US + 899_999_999).is_ok());
    assert!(tokens.verify(&token, NOW_US + 900_000_000).is_err());
}

#[test]
fn a_token_that_the_test_forges_with_our_secret_and_our_words_holds() {
    let header = json!({"alg": "HS256", "typ": "JWT", "kid": "new"});
    assert!(tokens(&[NEW]).verify(&forge(&header, &claims(), NEW_SECRET), NOW_US).is_ok());
}

#[test]
fn every_other_header_is_refused() {
    let tokens = tokens(&[NEW]);
    for header in [
        json!({"alg": "none", "kid": "new"}),
        json!({"alg": "None", "kid": "new"}),
        json!({"alg": "HS384", "kid": "new"}),
        json!({"alg": "RS256", "kid": "new"}),
        json!({"alg": "HS256"}),
        json!({"alg": "HS256", "kid": "other"}),
        json!({"alg": "HS256", "kid": ""}),
        json!({"alg": "HS256", "kid": "new", "crit": ["exp"]}),
        json!({"kid": "new"}),
    ] {
        assert!(tokens.verify(&forge(&header, &claims(), NEW_SECRET), NOW_US).is_err(), "{header}");
    }
}

#[test]
fn every_claim_must_be_there_and_hold() {
    let tokens = tokens(&[NEW]);
    let header = json!({"alg": "HS256", "kid": "new"});
    let now_s = NOW_US / 1_000_000;
    for missing in ["iss", "aud", "sub", "exp", "iat", "jti", "sid"] {
        let mut claims = claims();
        claims.as_object_mut().unwrap().remove(missing);
        assert!(tokens.verify(&forge(&header, &claims, NEW_SECRET), NOW_US).is_err(), "without {missing}");
    }
    for (key, value) in [
        ("iss", json!("other")),
        ("aud", json!("other")),
        ("aud", json!(["avycenna", "other"])),
        ("exp", json!(now_s)),
        ("exp", json!("tomorrow")),
        ("exp", json!(1e300)),
        ("iat", json!(now_s + 3600)),
        ("jti", json!("")),
        ("sid", json!(null)),
    ] {
        let mut claims = claims();
        claims[key] = value.clone();
        assert!(tokens.verify(&forge(&header, &claims, NEW_SECRET), NOW_US).is_err(), "{key} {value}");
    }
}

#[test]
fn a_signature_of_another_secret_or_of_other_bytes_is_refused() {
    let tokens = tokens(&[NEW]);
    let header = json!({"alg": "HS256", "kid": "new"});
    assert!(tokens.verify(&forge(&header, &claims(), "another secret, thirty-two bytes"), NOW_US).is_err());
    let token = tokens.sign("usr_7jRtHvBk", "ses_1", NOW_US).unwrap();
    for at in 0..token.len() {
        let mut bytes = token.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(bytes).unwrap();
        // The last character of a signature holds two bits that no decoder should take.
        assert!(tokens.verify(&changed, NOW_US).is_err(), "byte {at}");
    }
    for garbage in ["", ".", "..", "a.b.c", "....", &"x".repeat(3000)] {
        assert!(tokens.verify(garbage, NOW_US).is_err());
    }
}

#[test]
fn the_secret_file_is_made_once_and_is_the_owner_s_alone() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::default();
    config.storage.data_dir = dir.path().join("deep").join("data");
    let first = Tokens::open(&config).unwrap();
    let token = first.sign("usr_7jRtHvBk", "ses_1", NOW_US).unwrap();
    let second = Tokens::open(&config).unwrap();
    assert!(second.verify(&token, NOW_US).is_ok());
    let path = config.auth.secret_file(&config.storage.data_dir);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no draft is left");
}

#[test]
fn a_bad_secret_file_stops_the_start_with_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secrets");
    let mut config = Config::default();
    config.auth.jwt_secret_file = Some(path.clone());
    let write = |text: &str| {
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    };
    write(&format!("# two\n{NEW}\nshort:secret\n"));
    assert!(matches!(Tokens::open(&config), Err(SecretError::Line { line: 3, .. })));
    write("\n# nothing\n");
    assert!(matches!(Tokens::open(&config), Err(SecretError::Empty { .. })));
    write(&format!("{NEW}\n{NEW}\n"));
    assert!(matches!(Tokens::open(&config), Err(SecretError::Twice { .. })));
    write(NEW);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(Tokens::open(&config), Err(SecretError::File(KeyFileError::Open { .. }))));
    config.auth.jwt_secret_file = Some(dir.path().to_path_buf());
    assert!(matches!(Tokens::open(&config), Err(SecretError::File(_))));
}
