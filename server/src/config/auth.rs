//! `[auth]`: tokens, one-time codes, the cost of a password.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize, de};

use super::{Flaw, Secret};

/// Shortest signing secret, bytes: as long as the MAC (RFC 7518, section 3.2).
pub const JWT_SECRET_BYTES_MIN: usize = 32;

/// Signing secrets and ages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    /// Secrets that sign access tokens, each `kid:secret`, the newest first: it signs, all verify. Empty: the file.
    #[serde(deserialize_with = "one_or_many")]
    pub jwt_secrets: Vec<Secret>,
    /// File with one `kid:secret` a line, the newest first. Made at the first start, `jwt.secret` in the data directory.
    pub jwt_secret_file: Option<PathBuf>,
    /// `iss` of the tokens.
    pub issuer: String,
    /// `aud` of the tokens.
    pub audience: String,
    /// Life of an access token, seconds.
    pub access_token_s: u64,
    /// Life of a refresh token, seconds.
    pub refresh_token_s: u64,
    /// Life of a one-time code, seconds.
    pub otp_s: u64,
    /// Wrong tries that end a one-time code.
    pub otp_tries: u32,
    /// Most one-time codes of one address in an hour; further requests are answered alike and send nothing.
    pub otp_per_hour: u32,
    /// Passwords that are hashed at once; each takes 19 MiB and a core for some 30 ms.
    pub password_hashes_max: usize,
    /// Most API keys of one person.
    pub keys_per_user_max: u64,
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            jwt_secrets: Vec::new(),
            jwt_secret_file: None,
            issuer: "avycenna".to_owned(),
            audience: "avycenna".to_owned(),
            access_token_s: 15 * 60,
            refresh_token_s: 30 * 24 * 3600,
            otp_s: 10 * 60,
            otp_tries: 5,
            otp_per_hour: 10,
            password_hashes_max: 2,
            keys_per_user_max: 100,
        }
    }
}

impl Auth {
    /// The file of signing secrets.
    pub fn secret_file(&self, data_dir: &Path) -> PathBuf {
        self.jwt_secret_file.clone().unwrap_or_else(|| data_dir.join("jwt.secret"))
    }

    /// Checks what the types alone cannot.
    pub(super) fn check(&self) -> Result<(), Flaw> {
        for (nth, secret) in self.jwt_secrets.iter().enumerate() {
            if let Err(what) = parse_secret(secret.reveal()) {
                return Err(Flaw::new("jwt_secrets", format!("entry {nth}: {what}")));
            }
        }
        let at_least_one = [
            ("access_token_s", self.access_token_s),
            ("refresh_token_s", self.refresh_token_s),
            ("otp_s", self.otp_s),
            ("otp_tries", u64::from(self.otp_tries)),
            ("otp_per_hour", u64::from(self.otp_per_hour)),
            ("password_hashes_max", u64::try_from(self.password_hashes_max).unwrap_or(u64::MAX)),
            ("keys_per_user_max", self.keys_per_user_max),
        ];
        for (key, value) in at_least_one {
            if value == 0 {
                return Err(Flaw::new(key, "must be at least 1"));
            }
        }
        for (key, value) in [("access_token_s", self.access_token_s), ("otp_s", self.otp_s)] {
            if value > 24 * 3600 {
                return Err(Flaw::new(key, "must be at most 86400 (a day)"));
            }
        }
        if self.refresh_token_s > 366 * 24 * 3600 {
            return Err(Flaw::new("refresh_token_s", "must be at most 31622400 (366 days)"));
        }
        if self.otp_tries > 10 {
            return Err(Flaw::new("otp_tries", "must be at most 10: a code has six digits"));
        }
        if self.issuer.is_empty() {
            return Err(Flaw::new("issuer", "must not be empty"));
        }
        if self.audience.is_empty() {
            return Err(Flaw::new("audience", "must not be empty"));
        }
        Ok(())
    }
}

/// Splits `kid:secret` and checks both halves.
///
/// # Errors
/// What is wrong, without the secret.
pub fn parse_secret(line: &str) -> Result<(&str, &str), &'static str> {
    let Some((kid, secret)) = line.split_once(':') else { return Err("must be `kid:secret`") };
    if kid.is_empty()
        || kid.len() > 64
        || !kid.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    {
        return Err("the kid must be 1 to 64 of `A-Za-z0-9-_.`");
    }
    if secret.len() < JWT_SECRET_BYTES_MIN {
        return Err("the secret must be at least 32 bytes");
    }
    Ok((kid, secret))
}

/// Takes a list of secrets, or one text with commas between them, which is what an environment variable can say.
fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Secret>, D::Error> {
    struct Visitor;
    impl<'de> de::Visitor<'de> for Visitor {
        type Value = Vec<Secret>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a list of `kid:secret`")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
            Ok(text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(Secret::new).collect())
        }

        fn visit_seq<A: de::SeqAccess<'de>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
            let mut secrets = Vec::new();
            while let Some(secret) = sequence.next_element()? {
                secrets.push(secret);
            }
            Ok(secrets)
        }
    }
    deserializer.deserialize_any(Visitor)
}
