//! The public keys of a client: a JSON Web Key Set (RFC 7517), read once when it is registered.
//!
//! | `kty` | wanted                         | algorithm |
//! |-------|--------------------------------|-----------|
//! | `RSA` | 2048 to 4096 bits, e ≥ 65537   | RS384     |
//! | `EC`  | `crv` P-384                    | ES384     |
//!
//! Each key has a `kid`, which none other has. A key for something else, such as `"use": "enc"` or another curve, is left
//! out; where nothing else is, the set is refused. A set with a private or a symmetric key is refused as a whole: what was
//! sent around is no secret any more. So is one with a key that is for this and broken: whoever made it meant it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::{Map, Value, json};

/// Longest file of keys, bytes.
pub const FILE_BYTES_MAX: usize = 64 << 10;

/// Most keys of one client: two, and room to change them.
const KEYS_MAX: usize = 16;

/// Longest `kid`, bytes.
const KID_BYTES_MAX: usize = 256;

/// Bytes of an RSA modulus: below it keys are weak, above it they are slow.
const MODULUS_BYTES: std::ops::RangeInclusive<usize> = 256..=512;

/// Bytes of a coordinate on P-384.
const COORDINATE_BYTES: usize = 48;

/// What of a key is secret (RFC 7518, sections 6.2.2, 6.3.2 and 6.4).
const SECRET_FIELDS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// Why a set of keys is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {what}")]
pub struct Fault {
    /// Where in the file: `keys[1].n`.
    pub place: String,
    /// What is wrong there, and what must be there.
    pub what: &'static str,
}

fn fault(place: impl Into<String>, what: &'static str) -> Fault {
    Fault { place: place.into(), what }
}

/// One public key.
#[derive(Debug, Clone)]
pub struct Key {
    /// By which a header names it.
    pub kid: String,
    /// The one algorithm that it is good for.
    pub algorithm: Algorithm,
    /// It verifies.
    pub verifying: DecodingKey,
    public: Value,
}

/// The keys of a client, never none.
#[derive(Debug, Clone)]
pub struct Jwks {
    keys: Vec<Key>,
    left_out: Vec<Fault>,
}

impl Jwks {
    /// Reads a set as it is in a file.
    ///
    /// # Errors
    /// [`Fault`], the first one; that of a key which is for something else only where all are.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        if text.len() > FILE_BYTES_MAX {
            return Err(fault("the file", "is longer than 65536 bytes"));
        }
        let set: Value = serde_json::from_str(text).map_err(|_| fault("the file", "is not JSON"))?;
        let keys = set.get("keys").and_then(Value::as_array).ok_or_else(|| fault("keys", "must be a list of keys"))?;
        if keys.is_empty() || keys.len() > KEYS_MAX {
            return Err(fault("keys", "must be 1 to 16 keys"));
        }
        let (mut read, mut left_out): (Vec<Key>, _) = (Vec::with_capacity(keys.len()), Vec::new());
        for (nth, key) in keys.iter().enumerate() {
            let place = format!("keys[{nth}]");
            let key = key.as_object().ok_or_else(|| fault(&place, "must be an object"))?;
            check_secret(&place, key)?;
            if let Err(fault) = check_purpose(&place, key) {
                left_out.push(fault);
                continue;
            }
            let key = read_key(&place, key)?;
            if read.iter().any(|other| other.kid == key.kid) {
                return Err(fault(format!("{place}.kid"), "is another key's already"));
            }
            read.push(key);
        }
        match left_out.first() {
            Some(fault) if read.is_empty() => Err(fault.clone()),
            _ => Ok(Self { keys: read, left_out }),
        }
    }

    /// Why keys of the file are not among these.
    pub fn left_out(&self) -> &[Fault] {
        &self.left_out
    }

    /// The key of a `kid`.
    pub fn get(&self, kid: &str) -> Option<&Key> {
        self.keys.iter().find(|key| key.kid == kid)
    }

    /// Kid and algorithm of each.
    pub fn names(&self) -> impl Iterator<Item = (&str, Algorithm)> {
        self.keys.iter().map(|key| (key.kid.as_str(), key.algorithm))
    }

    /// The set as it is stored: what is public and needed, nothing else that was in the file.
    pub fn to_json(&self) -> String {
        let keys: Vec<&Value> = self.keys.iter().map(|key| &key.public).collect();
        json!({ "keys": keys }).to_string()
    }
}

fn check_secret(place: &str, key: &Map<String, Value>) -> Result<(), Fault> {
    match SECRET_FIELDS.iter().find(|field| key.contains_key(**field)) {
        Some(field) => {
            let what = "is secret; make a new pair, and register its public half alone";
            Err(fault(format!("{place}.{field}"), what))
        }
        None => Ok(()),
    }
}

/// Refuses a key that is for something else than signing by an algorithm of ours.
fn check_purpose(place: &str, key: &Map<String, Value>) -> Result<(), Fault> {
    let wrong = |field: &str, what: &'static str| Err(fault(format!("{place}.{field}"), what));
    if key.get("use").is_some_and(|used| used != "sig") {
        return wrong("use", "must be `sig`");
    }
    let verifies = |operations: &Value| operations.as_array().is_some_and(|list| list.contains(&json!("verify")));
    if key.get("key_ops").is_some_and(|operations| !verifies(operations)) {
        return wrong("key_ops", "must hold `verify`");
    }
    let algorithm = match key.get("kty").and_then(Value::as_str) {
        Some("RSA") => "RS384",
        Some("EC") if key.get("crv").is_none_or(|curve| curve != "P-384") => return wrong("crv", "must be `P-384`"),
        Some("EC") => "ES384",
        _ => return wrong("kty", "must be `RSA` or `EC`"),
    };
    if key.get("alg").is_some_and(|named| named != algorithm) {
        return wrong("alg", "must be `RS384` for RSA, `ES384` for EC");
    }
    Ok(())
}

/// Reads a key that [`check_purpose`] lets pass.
fn read_key(place: &str, key: &Map<String, Value>) -> Result<Key, Fault> {
    let at = |field: &str| format!("{place}.{field}");
    let text = |field: &'static str| {
        let text = key.get(field).and_then(Value::as_str).filter(|text| !text.is_empty());
        text.ok_or_else(|| fault(at(field), "must be a text"))
    };
    let kid = text("kid")?;
    if kid.len() > KID_BYTES_MAX || kid.chars().any(char::is_control) {
        return Err(fault(at("kid"), "must be at most 256 bytes without control characters"));
    }
    let bytes = |field: &'static str| {
        URL_SAFE_NO_PAD.decode(text(field)?).map_err(|_| fault(at(field), "must be base64url without padding"))
    };
    let (algorithm, verifying, public) = match text("kty")? {
        "RSA" => {
            let (n, e) = (bytes("n")?, bytes("e")?);
            check_rsa(&n, &e).map_err(|(field, what)| fault(at(field), what))?;
            let verifying = DecodingKey::from_rsa_raw_components(&n, &e);
            let public = json!({ "kty": "RSA", "kid": kid, "alg": "RS384", "n": text("n")?, "e": text("e")? });
            (Algorithm::RS384, verifying, public)
        }
        "EC" => {
            if [bytes("x")?, bytes("y")?].iter().any(|coordinate| coordinate.len() != COORDINATE_BYTES) {
                return Err(fault(at("x"), "x and y must be 48 bytes each"));
            }
            let (x, y) = (text("x")?, text("y")?);
            let verifying = DecodingKey::from_ec_components(x, y).map_err(|_| fault(at("x"), "is no coordinate"))?;
            let public = json!({ "kty": "EC", "kid": kid, "alg": "ES384", "crv": "P-384", "x": x, "y": y });
            (Algorithm::ES384, verifying, public)
        }
        _ => return Err(fault(at("kty"), "must be `RSA` or `EC`")),
    };
    // A point that is not on the curve is an error here; a signature that does not fit is not.
    if jsonwebtoken::crypto::verify("AAAA", b"", &verifying, algorithm).is_err() {
        return Err(fault(place, "is no key of its algorithm"));
    }
    Ok(Key { kid: kid.to_owned(), algorithm, verifying, public })
}

/// The field that is wrong, and what is.
fn check_rsa(n: &[u8], e: &[u8]) -> Result<(), (&'static str, &'static str)> {
    let significant = |number: &[u8]| number.iter().skip_while(|byte| **byte == 0).count();
    let is_odd = |number: &[u8]| number.last().is_some_and(|byte| byte & 1 == 1);
    if !MODULUS_BYTES.contains(&significant(n)) || !is_odd(n) {
        return Err(("n", "must be an odd number of 2048 to 4096 bits"));
    }
    let exponent = e.iter().fold(0_u64, |sum, byte| sum.saturating_mul(256).saturating_add(u64::from(*byte)));
    if !(65_537..=u64::from(u32::MAX)).contains(&exponent) || !is_odd(e) {
        return Err(("e", "must be an odd number from 65537 to 4294967295"));
    }
    Ok(())
}
