//! `avycenna smart client`: other systems that act for a doctor by themselves, straight in the control database.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::user::{find, open};
use super::{ConfigOptions, Failure, Terminal, block_on};
use crate::auth::{Role, SystemScopes, random};
use crate::control::entities::smart_client::Model;
use crate::control::repository::smart;
use crate::fhir::smart::jwks::{FILE_BYTES_MAX, Jwks};
use crate::fhir::smart::token::ID_PREFIX;

const EXAMPLES: &str = "\
Examples:
  avycenna smart client add --owner doc@example.org --name 'ward analytics' --jwks keys.json
  avycenna smart client add --owner doc@example.org --name ehr --jwks keys.json --scope system/Observation.rs
  avycenna smart client list
  avycenna smart client set-keys smc_3fYqZ0dTnUe1xK9s --jwks keys.json
  avycenna smart client remove smc_3fYqZ0dTnUe1xK9s

The file is a JSON Web Key Set of public keys: RSA (RS384) or P-384 (ES384), each with a `kid`. A client sees what the
grants of its owner allow, never more. Works while the server runs; a removed client is refused within a second, a key
that is not in the file any more at once.";

/// Clients that one statement lists.
const PAGE_ROWS: u64 = 500;

/// Registers other systems that act for a doctor (SMART backend services).
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Smart {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Registers, lists and removes clients, changes their keys.
    #[command(subcommand, after_help = EXAMPLES)]
    Client(Action),
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Registers a client and prints its id.
    #[command(after_help = EXAMPLES)]
    Add(Add),
    /// Lists clients: id, owner, scopes, keys (kid and algorithm), name, separated by tabs.
    #[command(after_help = EXAMPLES)]
    List(List),
    /// Gives a client other keys in place of all that it has; it keeps its id, its tokens and its exports.
    #[command(after_help = EXAMPLES)]
    SetKeys(SetKeys),
    /// Removes a client by its id, and ends its tokens.
    #[command(after_help = EXAMPLES)]
    Remove(Remove),
}

#[derive(Debug, Args)]
struct Add {
    /// The doctor for whom it acts: e-mail address or id.
    #[arg(long)]
    owner: String,
    /// What the client is for.
    #[arg(long)]
    name: String,
    /// The file with its public keys.
    #[arg(long, value_name = "FILE")]
    jwks: PathBuf,
    /// What it may do, as `system/Observation.rs`; may be repeated [default: system/*.rs]
    #[arg(long)]
    scope: Vec<String>,
    #[command(flatten)]
    options: ConfigOptions,
}

#[derive(Debug, Args)]
struct List {
    /// Whose: e-mail address or id [default: everybody's]
    #[arg(long)]
    owner: Option<String>,
    #[command(flatten)]
    options: ConfigOptions,
}

#[derive(Debug, Args)]
struct SetKeys {
    /// The client's id, as `smart client list` shows it.
    id: String,
    /// The file with its public keys: the new ones, and old ones that are still to be good.
    #[arg(long, value_name = "FILE")]
    jwks: PathBuf,
    #[command(flatten)]
    options: ConfigOptions,
}

#[derive(Debug, Args)]
struct Remove {
    /// The client's id, as `smart client list` shows it.
    id: String,
    #[command(flatten)]
    options: ConfigOptions,
}

impl Smart {
    pub(super) fn run(self, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        let What::Client(action) = self.what;
        match action {
            Action::Add(add) => add.run(terminal),
            Action::List(list) => list.run(terminal),
            Action::SetKeys(set_keys) => set_keys.run(terminal),
            Action::Remove(remove) => remove.run(),
        }
    }
}

impl Add {
    fn run(self, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        let config = self.options.load(&[])?;
        let name = self.name.trim().to_owned();
        if name.is_empty() {
            return Err(Failure::Argument("--name must not be empty"));
        }
        let scopes = if self.scope.is_empty() {
            SystemScopes::ALL
        } else {
            let known = SystemScopes::parse(&self.scope.join(" ")).filter(|scopes| !scopes.is_empty());
            known.ok_or(Failure::Argument("--scope must be such as system/Observation.rs or system/Patient.rs"))?
        };
        let jwks = read_keys(&self.jwks)?;
        let id = block_on(async {
            let (control, _) = open(&config).await?;
            let owner = find(&control, &self.owner).await?;
            if owner.role != Role::Doctor.as_str() {
                return Err(Failure::Argument("--owner must be a doctor: a client sees what a doctor was granted"));
            }
            let id = random::base62(ID_PREFIX, 16).map_err(crate::auth::AuthError::from)?;
            let row = Model {
                id: id.clone(),
                user_id: owner.id,
                name,
                jwks: jwks.to_json(),
                scopes: scopes.to_string(),
                created_at: control.now_us(),
            };
            let write = control.write().await?;
            smart::insert(write.on(), row).await?;
            write.commit().await?;
            control.close().await?;
            Ok(id)
        })?;
        note_left_out(terminal, &jwks)?;
        terminal.say(&id)
    }
}

fn note_left_out(terminal: &mut Terminal<'_>, jwks: &Jwks) -> Result<(), Failure> {
    jwks.left_out().iter().try_for_each(|fault| terminal.note(&format!("left out {fault}")))
}

/// The keys of a file; one byte more than fits is read, so that a longer one is seen and refused.
fn read_keys(path: &std::path::Path) -> Result<Jwks, Failure> {
    use std::io::Read as _;
    let unread = |source| Failure::Read { path: path.to_path_buf(), source };
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(unread)?;
    let bytes_max = u64::try_from(FILE_BYTES_MAX + 1).unwrap_or(u64::MAX);
    file.take(bytes_max).read_to_string(&mut text).map_err(unread)?;
    Jwks::parse(&text).map_err(|source| Failure::Keys { path: path.to_path_buf(), source })
}

impl List {
    fn run(self, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        let config = self.options.load(&[])?;
        block_on(async {
            let (control, _) = open(&config).await?;
            if let Some(owner) = &self.owner {
                let owner = find(&control, owner).await?;
                say(terminal, &smart::of_user(control.read(), &owner.id).await?)?;
            } else {
                let mut after = String::new();
                loop {
                    let rows = smart::page(control.read(), &after, PAGE_ROWS).await?;
                    let Some(last) = rows.last() else { break };
                    after.clone_from(&last.id);
                    say(terminal, &rows)?;
                }
            }
            Ok(control.close().await?)
        })
    }
}

fn say(terminal: &mut Terminal<'_>, rows: &[Model]) -> Result<(), Failure> {
    for row in rows {
        let keys = match Jwks::parse(&row.jwks) {
            Ok(keys) => {
                keys.names().map(|(kid, algorithm)| format!("{kid}:{algorithm:?}")).collect::<Vec<_>>().join(" ")
            }
            Err(fault) => format!("cannot be read: {fault}"),
        };
        terminal.say(&format!("{}\t{}\t{}\t{keys}\t{}", row.id, row.user_id, row.scopes, row.name))?;
    }
    Ok(())
}

impl SetKeys {
    fn run(self, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        let config = self.options.load(&[])?;
        let jwks = read_keys(&self.jwks)?;
        let is_set = block_on(async {
            let (control, _) = open(&config).await?;
            let write = control.write().await?;
            let is_set = smart::set_keys(write.on(), &self.id, &jwks.to_json()).await?;
            write.commit().await?;
            control.close().await?;
            Ok(is_set)
        })?;
        if !is_set {
            return Err(Failure::Unknown { what: "SMART client", name: self.id });
        }
        note_left_out(terminal, &jwks)
    }
}

impl Remove {
    fn run(self) -> Result<(), Failure> {
        let config = self.options.load(&[])?;
        block_on(async {
            let (control, auth) = open(&config).await?;
            let is_removed = auth.remove_client(&self.id).await?;
            control.close().await?;
            if is_removed { Ok(()) } else { Err(Failure::Unknown { what: "SMART client", name: self.id }) }
        })
    }
}
