//! Accounts: made, entered by password or one-time code, given a new password.

use super::random;
use super::{Auth, AuthError, Grant, Role, micros, otp};
use crate::control::entities::user;
use crate::control::repository::otps::{self, Code};
use crate::control::repository::sessions::{self, End};
use crate::control::repository::users;
use crate::control::{self, Control};
use crate::mail::{Mail, Mailer};

/// Longest address, bytes (RFC 5321, section 4.5.3.1.3, less the brackets).
pub const EMAIL_BYTES_MAX: usize = 254;

/// Fresh ids to try before two people with the same one are somebody's error.
const ID_TRIES: usize = 3;

/// Somebody to make an account for.
#[derive(Debug, Clone)]
pub struct NewUser {
    /// As they call themselves.
    pub name: String,
    /// Normal, as [`normal_email`] makes it.
    pub email: String,
    /// Without one they enter by one-time code alone.
    pub password: Option<String>,
    /// What they are.
    pub role: Role,
}

/// An address trimmed and in lower case; `None` for what is no address.
pub fn normal_email(text: &str) -> Option<String> {
    let email = text.trim().to_lowercase();
    let is_short = email.len() <= EMAIL_BYTES_MAX;
    let is_plain = !email.chars().any(|character| character.is_control() || character.is_whitespace());
    (is_short && is_plain && email.parse::<lettre::Address>().is_ok()).then_some(email)
}

impl Auth {
    /// Makes an account of an address that nobody has shown to be theirs yet. The password is hashed before anything is
    /// looked up.
    ///
    /// # Errors
    /// [`control::Error::Conflict`] in [`AuthError::Control`] if the address has one; [`AuthError::Busy`].
    pub async fn register(&self, new: NewUser) -> Result<user::Model, AuthError> {
        self.make(new, None).await
    }

    /// Makes an account whose address the operator vouches for.
    ///
    /// # Errors
    /// As [`Self::register`].
    pub async fn register_known(&self, new: NewUser) -> Result<user::Model, AuthError> {
        self.make(new, Some(self.control().now_us())).await
    }

    async fn make(&self, new: NewUser, email_verified_at: Option<i64>) -> Result<user::Model, AuthError> {
        let password_hash = match new.password {
            Some(password) => Some(self.inner.passwords.hash(password).await?),
            None => None,
        };
        let now_us = self.control().now_us();
        let mut user = user::Model {
            id: String::new(),
            email: new.email,
            name: new.name,
            role: new.role.as_str().to_owned(),
            timezone: "UTC".to_owned(),
            password_hash,
            email_verified_at,
            created_at: now_us,
            updated_at: now_us,
        };
        for _ in 0..ID_TRIES {
            user.id = random::base62("usr_", 8)?;
            match insert(self.control(), user.clone()).await {
                Ok(()) => return Ok(user),
                // Either unique column may be the one that is taken.
                Err(control::Error::Conflict { what }) => {
                    if users::by_email(self.control().read(), &user.email).await?.is_some() {
                        return Err(control::Error::Conflict { what }.into());
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(control::Error::Conflict { what: "every id that was tried" }.into())
    }

    /// Begins a session by password.
    ///
    /// # Errors
    /// [`AuthError::Wrong`], alike and after the same work for an unknown address, an account without a password and a
    /// wrong password; [`AuthError::Busy`].
    pub async fn login(&self, email: &str, password: String) -> Result<Grant, AuthError> {
        let found = users::by_email(self.control().read(), email).await?;
        let stored = found.as_ref().and_then(|user| user.password_hash.clone());
        let is_right = self.inner.passwords.verify(password, stored.clone()).await?;
        let (true, Some(user)) = (is_right, found) else { return Err(AuthError::Wrong) };
        let write = self.control().write().await?;
        // The password may have changed while this one was hashed; what was right then opens nothing now.
        let user = users::hold(write.on(), &user.id).await?.filter(|user| user.password_hash == stored);
        let grant = self.begin_session(&write, user.ok_or(AuthError::Wrong)?).await?;
        write.commit().await?;
        Ok(grant)
    }

    /// Sends a one-time code to an address that has an account; does the same work for one that has none.
    ///
    /// # Errors
    /// [`AuthError::Control`], [`AuthError::Random`]. That mail did not go out is logged, not told.
    pub async fn send_code(&self, email: &str, mail: &Mailer) -> Result<(), AuthError> {
        let minutes = self.code_minutes();
        self.send_code_for(email, email, mail, |code| Mail {
            to: email.to_owned(),
            subject: "Your login code".to_owned(),
            body: format!(
                "{code} is your avycenna login code. It holds for {minutes} minutes and works once.\n\n\
                 If you did not ask for it, do nothing: without the code nobody gets in.\n",
            ),
        })
        .await
    }

    /// Sends a code that is good for `purpose` alone, which names the address.
    pub(super) async fn send_code_for(
        &self,
        purpose: &str,
        email: &str,
        mail: &Mailer,
        letter: impl FnOnce(&str) -> Mail,
    ) -> Result<(), AuthError> {
        let code = random::six_digits()?;
        let config = &self.inner.config;
        let now_us = self.control().now_us();
        let row = Code {
            email_hash: otp::email_hash(purpose),
            code_hash: otp::code_hash(self.tokens().code_key(), purpose, &code),
            expires_at: now_us.saturating_add(micros(config.otp_s)),
            tries: i32::try_from(config.otp_tries).unwrap_or(i32::MAX),
            per_window_max: i32::try_from(config.otp_per_hour).unwrap_or(i32::MAX),
        };
        let write = self.control().write().await?;
        let is_new = otps::replace(write.on(), row, now_us).await?;
        let found = users::by_email(write.on(), email).await?;
        write.commit().await?;
        // The mail goes out behind the answer, so that a slow mail server does not tell who has an account.
        if is_new && found.is_some() {
            mail.send(letter(&code));
        }
        Ok(())
    }

    /// Begins a session by one-time code, which works once. The first code of an account proves its address, and ends
    /// what was made in it before: password, sessions, keys, webhooks, accepted grants.
    ///
    /// # Errors
    /// [`AuthError::Wrong`] for a wrong, spent, expired or unknown code, alike for addresses without an account.
    pub async fn verify_code(&self, email: &str, code: &str) -> Result<Grant, AuthError> {
        let email_hash = otp::email_hash(email);
        let write = self.control().write().await?;
        let row = otps::take_try(write.on(), &email_hash, self.control().now_us()).await?;
        let stored = row.map(|row| row.code_hash).unwrap_or_default();
        if !otp::matches(self.tokens().code_key(), email, code, &stored) {
            // The try that was taken counts.
            write.commit().await?;
            return Err(AuthError::Wrong);
        }
        otps::end(write.on(), &email_hash).await?;
        let Some(user) = users::by_email(write.on(), email).await? else {
            write.commit().await?;
            return Err(AuthError::Wrong);
        };
        let user = self.prove(&write, &user.id).await?.ok_or(AuthError::Wrong)?;
        let grant = self.begin_session(&write, user).await?;
        write.commit().await?;
        self.forget();
        Ok(grant)
    }

    /// Gives a person a new password and ends all their sessions.
    ///
    /// # Errors
    /// [`AuthError::Busy`], [`AuthError::Control`].
    pub async fn set_password(&self, user_id: &str, password: String) -> Result<(), AuthError> {
        let hash = self.inner.passwords.hash(password).await?;
        let write = self.control().write().await?;
        let now_us = self.control().now_us();
        users::set_password(write.on(), user_id, &hash, now_us).await?;
        sessions::end_all(write.on(), user_id, End::Password, now_us).await?;
        write.commit().await?;
        self.forget();
        Ok(())
    }

    /// Life of a one-time code, minutes.
    pub fn code_minutes(&self) -> u64 {
        self.inner.config.otp_s.div_ceil(60)
    }
}

async fn insert(control: &Control, user: user::Model) -> control::Result<()> {
    let write = control.write().await?;
    users::insert(write.on(), user).await?;
    write.commit().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_trimmed_lower_case_and_one() {
        assert_eq!(normal_email("  Ada@Example.ORG ").as_deref(), Some("ada@example.org"));
        assert_eq!(normal_email("a+b.c@x-y.example").as_deref(), Some("a+b.c@x-y.example"));
        let long = format!("{}@example.org", "x".repeat(250));
        for text in ["", "ada", "@example.org", "ada@", "a b@example.org", "a@b@c", "a@example.org\nBcc: b@c.d", &long]
        {
            assert_eq!(normal_email(text), None, "{text}");
        }
    }
}
