//! Lays the sources over each other, one value at a time.

use std::path::{Path, PathBuf};

use figment::Figment;
use figment::providers::{Format as _, Serialized, Toml};
use figment::value::{Dict, Value};

use super::{Config, Error};

/// Variables with this prefix belong to the test suite and configure nothing.
pub const TEST_PREFIX: &str = "AVYCENNA_TEST_";

const PREFIX: &str = "AVYCENNA_";
const FILE_VARIABLE: &str = "AVYCENNA_CONFIG";
const FILE_NAME: &str = "avycenna.toml";

/// A client's key, which is no setting of a server.
pub(crate) const CLIENT_KEY_VARIABLE: &str = "AVYCENNA_KEY";

/// Shorter names that are taken too: section, the other name, the key.
const OTHER_NAMES: [(&str, &str, &str); 1] = [("control", "url", "database_url")];

/// What the configuration is made of, beside the defaults.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// `--config`; without it `AVYCENNA_CONFIG`, or `avycenna.toml` in the data directory, or in `working_dir`.
    pub file: Option<PathBuf>,
    /// Where `avycenna.toml` is looked for last.
    pub working_dir: PathBuf,
    /// Environment variables; those without our prefix are ignored.
    pub environment: Vec<(String, String)>,
    /// Flags: the flag as typed, `section.key`, value.
    pub flags: Vec<(String, String, String)>,
}

impl Sources {
    /// The process's environment and working directory, no flags.
    pub fn of_process() -> Self {
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.to_string_lossy().into_owned())))
            .collect();
        Self { file: None, working_dir: PathBuf::from("."), environment, flags: Vec::new() }
    }
}

/// One value of one source.
struct Leaf {
    section: String,
    key: Option<String>,
    /// Readings of the value, the preferred one first: a variable's text may be a text, a number, a switch or a list.
    readings: Vec<Value>,
    origin: String,
}

impl Leaf {
    /// The same under its key's own name.
    fn renamed(mut self) -> Self {
        let is_meant =
            |(section, other, _): &&(&str, &str, &str)| self.section == *section && self.key.as_deref() == Some(*other);
        if let Some((_, _, key)) = OTHER_NAMES.iter().find(is_meant) {
            self.key = Some((*key).to_owned());
        }
        self
    }

    fn name(&self) -> String {
        match &self.key {
            Some(key) => format!("{}.{key}", self.section),
            None => self.section.clone(),
        }
    }

    fn error(&self, what: impl Into<String>) -> Error {
        Error { key: self.name(), origin: self.origin.clone(), what: what.into() }
    }
}

/// Merges defaults, file, environment and flags.
pub(super) fn merge(sources: &Sources) -> Result<Config, Error> {
    let overrides = overrides(sources)?;
    let mut leaves = Vec::new();
    if let Some(path) = file_of(sources, &overrides)? {
        leaves.extend(of_file(&path)?);
    }
    leaves.extend(overrides);

    let mut figment = Figment::from(Serialized::defaults(Config::default()));
    let mut origins = std::collections::BTreeMap::new();
    for leaf in leaves.into_iter().map(Leaf::renamed) {
        figment = lay_over(&figment, &leaf)?;
        origins.insert(leaf.name(), leaf.origin);
    }
    let mut config: Config = figment.extract().map_err(|error| Error {
        key: error.path.join("."),
        origin: "the merged configuration".to_owned(),
        what: error.kind.to_string(),
    })?;
    config.origins = origins;
    Ok(config)
}

/// Environment, then flags, as leaves.
fn overrides(sources: &Sources) -> Result<Vec<Leaf>, Error> {
    let mut leaves = Vec::new();
    let mut environment = sources.environment.clone();
    environment.sort();
    for (name, text) in environment {
        let Some(rest) = name.strip_prefix(PREFIX) else { continue };
        if [FILE_VARIABLE, CLIENT_KEY_VARIABLE].contains(&name.as_str()) || name.starts_with(TEST_PREFIX) {
            continue;
        }
        let Some((section, key)) = rest.split_once('_') else {
            return Err(Error {
                key: name,
                origin: "the environment".to_owned(),
                what: "is not a setting; the form is AVYCENNA_<SECTION>_<KEY>".to_owned(),
            });
        };
        leaves.push(Leaf {
            section: section.to_ascii_lowercase(),
            key: Some(key.to_ascii_lowercase()),
            readings: readings(&text),
            origin: format!("environment variable {name}"),
        });
    }
    for (flag, name, text) in &sources.flags {
        let origin = format!("flag {flag}");
        let Some((section, key)) = name.split_once('.') else {
            let what = "is not a setting; the form is section.key=value".to_owned();
            return Err(Error { key: name.clone(), origin, what });
        };
        leaves.push(Leaf { section: section.to_owned(), key: Some(key.to_owned()), readings: readings(text), origin });
    }
    Ok(leaves)
}

/// A text first as it stands, so that a secret of digits stays a text, then as a number, a switch or a list.
fn readings(text: &str) -> Vec<Value> {
    let Ok(parsed) = text.parse::<Value>();
    vec![Value::from(text), parsed]
}

/// The file to read, if there is one. A file that was named must exist.
fn file_of(sources: &Sources, overrides: &[Leaf]) -> Result<Option<PathBuf>, Error> {
    let variable = sources.environment.iter().find(|(name, _)| name == FILE_VARIABLE).map(|(_, path)| path);
    let named = match (&sources.file, variable) {
        (Some(path), _) => Some((path.clone(), "flag --config".to_owned())),
        (None, Some(path)) => Some((PathBuf::from(path), format!("environment variable {FILE_VARIABLE}"))),
        (None, None) => None,
    };
    if let Some((path, origin)) = named {
        if path.is_file() {
            return Ok(Some(path));
        }
        return Err(Error { key: path.display().to_string(), origin, what: "is not a file".to_owned() });
    }
    let data_dir = overrides
        .iter()
        .rev()
        .find(|leaf| leaf.name() == "storage.data_dir")
        .and_then(|leaf| leaf.readings.first().and_then(Value::as_str).map(PathBuf::from))
        .unwrap_or_else(|| Config::default().storage.data_dir);
    let places = [sources.working_dir.join(data_dir).join(FILE_NAME), sources.working_dir.join(FILE_NAME)];
    Ok(places.into_iter().find(|path| path.is_file()))
}

/// Every value of a TOML file.
fn of_file(path: &Path) -> Result<Vec<Leaf>, Error> {
    let origin = format!("file {}", path.display());
    let dict: Dict = Figment::from(Toml::file_exact(path)).extract().map_err(|error| Error {
        key: path.display().to_string(),
        origin: "the file system".to_owned(),
        what: error.to_string(),
    })?;
    let mut leaves = Vec::new();
    for (section, value) in dict {
        match value {
            Value::Dict(_, keys) => leaves.extend(keys.into_iter().map(|(key, value)| Leaf {
                section: section.clone(),
                key: Some(key),
                readings: vec![value],
                origin: origin.clone(),
            })),
            other => leaves.push(Leaf { section, key: None, readings: vec![other], origin: origin.clone() }),
        }
    }
    Ok(leaves)
}

/// Lays one value over what is there; the first reading that the setting's type takes wins.
fn lay_over(figment: &Figment, leaf: &Leaf) -> Result<Figment, Error> {
    let mut fault = leaf.error("has no value");
    for reading in &leaf.readings {
        let merged = figment.clone().merge(Serialized::default(&leaf.name(), reading));
        match merged.extract::<Config>() {
            Ok(_) => return Ok(merged),
            Err(error) => fault = leaf.error(explain(&error.kind)),
        }
    }
    Err(fault)
}

/// The fault in words, without the value: it may be a secret.
fn explain(kind: &figment::error::Kind) -> String {
    use figment::error::Kind;
    match kind {
        Kind::UnknownField(_, known) | Kind::UnknownVariant(_, known) if known.is_empty() => "is unknown".to_owned(),
        Kind::UnknownField(_, known) => format!("is unknown; there are {}", known.join(", ")),
        Kind::UnknownVariant(_, known) => format!("must be one of {}", known.join(", ")),
        Kind::InvalidType(_, expected) | Kind::InvalidValue(_, expected) => format!("must be {expected}"),
        other => other.to_string(),
    }
}
