//! `avycenna user`: people, straight in the control database.

use std::sync::Arc;

use clap::{Args, Subcommand, ValueEnum};
use storage::SystemClock;

use super::{ConfigOptions, Failure, Terminal, block_on};
use crate::auth::{Auth, NewUser, PASSWORD_BYTES_MAX, PASSWORD_BYTES_MIN, Role, normal_email};
use crate::config::Config;
use crate::control::Control;
use crate::control::entities::user::Model;
use crate::control::repository::users;

const EXAMPLES: &str = "\
Examples:
  avycenna user create --email ada@example.org --name 'Ada Lovelace'
  printf %s \"$PASSWORD\" | avycenna user create --email ada@example.org --name Ada --password-stdin
  avycenna user create --email doc@example.org --name 'Dr. House' --role doctor
  avycenna user list
  printf %s \"$PASSWORD\" | avycenna user set-password ada@example.org

Works while the server runs. Without a password a person logs in by one-time code.";

/// Makes and lists people, sets passwords.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct User {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Makes an account and prints its id.
    #[command(after_help = EXAMPLES)]
    Create(Create),
    /// Lists all accounts: id, role, e-mail address, name, separated by tabs.
    List(List),
    /// Reads a new password from standard input and ends all sessions of the person.
    #[command(after_help = EXAMPLES)]
    SetPassword(SetPassword),
}

#[derive(Debug, Args)]
struct Create {
    /// Their e-mail address.
    #[arg(long)]
    email: String,
    /// As they want to be called.
    #[arg(long)]
    name: String,
    /// What they are.
    #[arg(long, value_enum, default_value_t = RoleName::Patient)]
    role: RoleName,
    /// Reads a password of 8 to 1024 bytes from the first line of standard input.
    #[arg(long)]
    password_stdin: bool,
    #[command(flatten)]
    options: ConfigOptions,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum RoleName {
    Patient,
    Doctor,
}

#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    options: ConfigOptions,
}

#[derive(Debug, Args)]
struct SetPassword {
    /// Their e-mail address or id.
    user: String,
    #[command(flatten)]
    options: ConfigOptions,
}

impl User {
    pub(super) fn run(self, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        match self.action {
            Action::Create(create) => create.run(terminal),
            Action::List(list) => list.run(terminal),
            Action::SetPassword(set_password) => set_password.run(terminal),
        }
    }
}

impl Create {
    fn run(self, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        let config = self.options.load(&[])?;
        let email = normal_email(&self.email).ok_or(Failure::Argument("--email must be an e-mail address"))?;
        let name = self.name.trim().to_owned();
        if name.is_empty() {
            return Err(Failure::Argument("--name must not be empty"));
        }
        let password = if self.password_stdin { Some(read_password(terminal)?) } else { None };
        let role = match self.role {
            RoleName::Patient => Role::Patient,
            RoleName::Doctor => Role::Doctor,
        };
        let user = block_on(async {
            let (control, auth) = open(&config).await?;
            let user = auth.register_known(NewUser { name, email, password, role }).await?;
            control.close().await?;
            Ok(user)
        })?;
        terminal.say(&user.id)
    }
}

impl List {
    fn run(self, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        let config = self.options.load(&[])?;
        block_on(async {
            let control = open_control(&config).await?;
            let mut after = String::new();
            loop {
                let page = users::list(control.read(), &after).await?;
                let Some(last) = page.last() else { break };
                after.clone_from(&last.id);
                for user in page {
                    terminal.say(&format!("{}\t{}\t{}\t{}", user.id, user.role, user.email, user.name))?;
                }
            }
            Ok(control.close().await?)
        })
    }
}

impl SetPassword {
    fn run(self, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        let config = self.options.load(&[])?;
        let password = read_password(terminal)?;
        block_on(async {
            let (control, auth) = open(&config).await?;
            let user = find(&control, &self.user).await?;
            auth.set_password(&user.id, password).await?;
            Ok(control.close().await?)
        })?;
        terminal.note("the password is set; all sessions of this person have ended")
    }
}

/// Opens the control database, which is the server's: made here only where somebody has made the data directory, as in the
/// wrong folder it would be another, of nobody.
async fn open_control(config: &Config) -> Result<Control, Failure> {
    let path = &config.storage.data_dir;
    if Control::is_absent(config) && matches!(path.try_exists(), Ok(false)) {
        return Err(Failure::NoDataDir { path: path.clone() });
    }
    Ok(Control::open(config, Arc::new(SystemClock::default())).await?)
}

/// Opens what `user`, `key`, `webhooks` and `smart` need.
pub(super) async fn open(config: &Config) -> Result<(Control, Auth), Failure> {
    let control = open_control(config).await?;
    let auth = Auth::open_unwatched(config, control.clone())?;
    Ok((control, auth))
}

/// The person of an e-mail address or id.
pub(super) async fn find(control: &Control, name: &str) -> Result<Model, Failure> {
    let found = match normal_email(name) {
        Some(email) => users::by_email(control.read(), &email).await?,
        None => users::by_id(control.read(), name).await?,
    };
    found.ok_or_else(|| Failure::Unknown { what: "user", name: name.to_owned() })
}

/// The first line of standard input.
fn read_password(terminal: &mut Terminal<'_>) -> Result<String, Failure> {
    if terminal.is_interactive {
        terminal.note("reading the password from standard input; it is shown while you type")?;
    }
    let mut line = String::new();
    // One byte more than fits, so that a longer one is seen and refused; two for the line's end.
    let bytes_max = u64::try_from(PASSWORD_BYTES_MAX + 3).unwrap_or(u64::MAX);
    let mut limited = std::io::Read::take(&mut *terminal.input, bytes_max);
    std::io::BufRead::read_line(&mut limited, &mut line).map_err(Failure::Input)?;
    let password = line.trim_end_matches(['\r', '\n']).to_owned();
    if (PASSWORD_BYTES_MIN..=PASSWORD_BYTES_MAX).contains(&password.len()) {
        Ok(password)
    } else {
        Err(Failure::Argument("the password must be 8 to 1024 bytes"))
    }
}
