//! The effective configuration as TOML, for `--print-config`.

use serde_json::Value;

use super::Config;

/// One table a section, each value with its source as a comment. Secrets are masked by their types.
pub(super) fn to_toml(config: &Config) -> String {
    let Ok(Value::Object(sections)) = serde_json::to_value(config) else { return String::new() };
    let (mut lists, mut tables) = (Vec::new(), Vec::new());
    for (section, value) in sections {
        match value {
            Value::Object(keys) => {
                tables.push(format!("[{section}]\n"));
                tables.extend(keys.iter().map(|(key, value)| line(config, &section, key, value)));
                tables.push("\n".to_owned());
            }
            // What belongs to no table must stand above the first one.
            other => lists.extend(literal(&other).map(|literal| format!("{section} = {literal}\n\n"))),
        }
    }
    let text = lists.concat() + &tables.concat();
    text.trim_end().to_owned() + "\n"
}

fn line(config: &Config, section: &str, key: &str, value: &Value) -> String {
    let setting = match literal(value) {
        Some(literal) => format!("{key} = {literal}"),
        None => format!("# {key} is not set"),
    };
    match config.origins.get(&format!("{section}.{key}")) {
        Some(origin) => format!("{setting}  # {origin}\n"),
        None => setting + "\n",
    }
}

/// A TOML literal; nothing for a value that is not set, which TOML cannot say.
fn literal(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Number(number) => Some(number.to_string()),
        // A JSON string is a TOML basic string: the same escapes, and more.
        Value::String(_) => Some(value.to_string()),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().filter_map(literal).collect();
            Some(format!("[{}]", items.join(", ")))
        }
        Value::Object(keys) => {
            let keys: Vec<String> =
                keys.iter().filter_map(|(key, value)| Some(format!("{key} = {}", literal(value)?))).collect();
            Some(format!("{{ {} }}", keys.join(", ")))
        }
    }
}
