//! A new password: by the old one, or by a code to the address. Either ends every session of the person.

use super::{Auth, AuthError, Means, Principal, otp};
use crate::control::repository::sessions::{self, End};
use crate::control::repository::{otps, users};
use crate::mail::{Mail, Mailer};

/// What a code for a new password is good for; one for a login is good for the bare address.
fn purpose(email: &str) -> String {
    format!("new password {email}")
}

/// The names under which codes of an address are stored, whatever they are good for.
pub(crate) fn code_hashes(email: &str) -> Vec<Vec<u8>> {
    vec![otp::email_hash(email), otp::email_hash(&purpose(email))]
}

impl Auth {
    /// Sends a code for a new password to an address that has an account; does the same work for one that has none.
    ///
    /// # Errors
    /// [`AuthError::Control`], [`AuthError::Random`].
    pub async fn send_reset_code(&self, email: &str, mail: &Mailer) -> Result<(), AuthError> {
        let minutes = self.code_minutes();
        self.send_code_for(&purpose(email), email, mail, |code| Mail {
            to: email.to_owned(),
            subject: "Your code for a new password".to_owned(),
            body: format!(
                "{code} is your avycenna code for a new password. It holds for {minutes} minutes and works once.\n\n\
                 If you did not ask for it, do nothing: your password stays.\n",
            ),
        })
        .await
    }

    /// Sets a new password by a code, which works once, and ends every session of the person. The first code of an account
    /// proves its address, and ends keys, webhooks and accepted grants, too.
    ///
    /// # Errors
    /// [`AuthError::Wrong`] for a wrong, spent, expired or unknown code, alike for addresses without an account;
    /// [`AuthError::Busy`].
    pub async fn reset_password(&self, email: &str, code: &str, password: String) -> Result<(), AuthError> {
        let purpose = purpose(email);
        let email_hash = otp::email_hash(&purpose);
        // Hashed for every code, so that the time does not tell a right one.
        let hash = self.inner.passwords.hash(password).await?;
        let write = self.control().write().await?;
        let now_us = self.control().now_us();
        let row = otps::take_try(write.on(), &email_hash, now_us).await?;
        let stored = row.map(|row| row.code_hash).unwrap_or_default();
        let is_right = otp::matches(self.tokens().code_key(), &purpose, code, &stored);
        let found = users::by_email(write.on(), email).await?;
        let (true, Some(user)) = (is_right, found) else {
            // The try that was taken counts.
            write.commit().await?;
            return Err(AuthError::Wrong);
        };
        otps::end(write.on(), &email_hash).await?;
        let user = self.prove(&write, &user.id).await?.ok_or(AuthError::Wrong)?;
        users::set_password(write.on(), &user.id, &hash, now_us).await?;
        sessions::end_all(write.on(), &user.id, End::Password, now_us).await?;
        write.commit().await?;
        self.forget();
        Ok(())
    }

    /// Sets a new password by the present one, and ends every session of the person.
    ///
    /// # Errors
    /// [`AuthError::Wrong`] for another password, or an account without one, or if the password was replaced meanwhile;
    /// [`AuthError::Invalid`] if the asking session has ended meanwhile; [`AuthError::Busy`].
    pub async fn change_password(&self, asking: &Principal, present: String, new: String) -> Result<(), AuthError> {
        let user_id = asking.user.as_str();
        let found = users::by_id(self.control().read(), user_id).await?.ok_or(AuthError::Invalid)?;
        if !self.inner.passwords.verify(present, found.password_hash.clone()).await? {
            return Err(AuthError::Wrong);
        }
        let hash = self.inner.passwords.hash(new).await?;
        self.replace_password(asking, found.password_hash, &hash).await
    }

    /// Puts `hash` in the place of the password that was found right, if that is still the password and the session still
    /// open: whoever has an older password must not undo a reset that came while theirs was hashed.
    pub(super) async fn replace_password(
        &self,
        asking: &Principal,
        verified: Option<String>,
        hash: &str,
    ) -> Result<(), AuthError> {
        let Means::Token { session, .. } = &asking.means else { return Err(AuthError::WantsToken) };
        let user_id = asking.user.as_str();
        let write = self.control().write().await?;
        let now_us = self.control().now_us();
        let held = users::hold(write.on(), user_id).await?.ok_or(AuthError::Invalid)?;
        if sessions::owner(write.on(), session).await?.is_none() {
            return Err(AuthError::Invalid);
        }
        if held.password_hash.is_none() || held.password_hash != verified {
            return Err(AuthError::Wrong);
        }
        users::set_password(write.on(), user_id, hash, now_us).await?;
        sessions::end_all(write.on(), user_id, End::Password, now_us).await?;
        write.commit().await?;
        self.forget();
        Ok(())
    }
}
