//! The people that own the points, each with a key.

use std::path::Path;
use std::sync::Arc;

use server::auth::{Auth, NewKey, NewUser, Role, Scopes};
use server::config::{Config, Sources};
use server::control::Control;
use storage::SystemClock;

use crate::Result;

/// Makes `people` users with a key each in the control database of a data directory, as the command line does, but a
/// thousand in one go. Gives the keys.
pub(crate) fn create(data_dir: &Path, people: u32) -> Result<Vec<String>> {
    with_accounts(data_dir, async |control, auth| {
        let mut keys = Vec::new();
        for number in 0..people {
            let user = auth.register(new_user(number)).await?;
            keys.push(new_key(auth, &user.id).await?);
        }
        control.close().await?;
        Ok(keys)
    })
}

/// Opens the control database of a data directory and works on it.
pub(crate) fn with_accounts<T>(data_dir: &Path, work: impl AsyncFnOnce(&Control, &Auth) -> Result<T>) -> Result<T> {
    let data_dir = data_dir.to_str().ok_or("the folder's name is not text")?.to_owned();
    let flag = ("--data-dir".to_owned(), "storage.data_dir".to_owned(), data_dir);
    let config = Config::load(&Sources { flags: vec![flag], ..Sources::default() })?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let control = Control::open(&config, Arc::new(SystemClock::default())).await?;
        let auth = Auth::open_unwatched(&config, control.clone())?;
        work(&control, &auth).await
    })
}

/// A key of somebody.
pub(crate) async fn new_key(auth: &Auth, user_id: &str) -> Result<String> {
    let new = NewKey { name: "load".to_owned(), scopes: Scopes::ALL, expires_at: None };
    Ok(auth.create_key(user_id, new).await?.1)
}

fn new_user(number: u32) -> NewUser {
    NewUser {
        name: format!("Person {number}"),
        email: format!("person{number}@example.org"),
        password: None,
        role: Role::Patient,
    }
}
