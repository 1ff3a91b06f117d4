//! `config`: the settings file of the data folder. A running node is told to read it again.

use std::path::Path;

use cairn_actors::api::ApiError;
use cairn_actors::data::{DataError, DataFolder, settings_path};
use cairn_actors::settings::{KEYS, Settings, SettingsError};
use serde_json::Value;

use super::args::ConfigVerb;
use super::backend::retry_in_use;
use super::error::Failure;
use super::json;
use super::text::{Out, pad, plain};
use crate::local::client::Client;

/// Does what `config` was asked.
///
/// # Errors
/// `bad_settings`, `no_such_setting`, `bad_value`, and what reading, writing and a running node answer.
pub async fn config(data: &Path, out: &mut Out, verb: &ConfigVerb) -> Result<(), Failure> {
    match verb {
        ConfigVerb::Get { key: Some(key) } => {
            let value = load(data)?.get(key).map_err(|e| settings_error(&e))?;
            out.line(&if out.json { json::config(key, &value) } else { text(&value) })
        }
        ConfigVerb::Get { key: None } => {
            let settings = load(data)?;
            for (key, _) in KEYS {
                let value = settings.get(key).map_err(|e| settings_error(&e))?;
                let line = if out.json {
                    json::config(key, &value)
                } else {
                    format!("{}  {}", out.style.dim(&pad(key, 10)), text(&value))
                };
                out.line(line.trim_end())?;
            }
            Ok(())
        }
        ConfigVerb::Set { key, value } => {
            let value = set(data, key, value).await?;
            out.line(&if out.json { json::config(key, &value) } else { format!("{key} is now {}", shown(&value)) })
        }
    }
}

/// The settings of a data folder.
///
/// # Errors
/// `bad_settings`, or `io` where the file can't be read.
pub fn load(data: &Path) -> Result<Settings, ApiError> {
    Settings::load(&settings_path(data)).map_err(|e| settings_error(&e))
}

async fn set(data: &Path, key: &str, value: &str) -> Result<Value, ApiError> {
    let node = Client::connect(data).await?;
    // Without a node the folder is taken for this command, so that two commands don't undo each other.
    let _folder = match node {
        Some(_) => None,
        None => Some(retry_in_use(async || DataFolder::open(data).map_err(|e| data_error(&e))).await?),
    };
    let path = settings_path(data);
    let mut settings = Settings::load(&path).map_err(|e| settings_error(&e))?;
    settings.set(key, value).map_err(|e| settings_error(&e))?;
    if key == "name" {
        settings.named = settings.name.is_some();
    }
    settings.save(&path).map_err(|e| settings_error(&e))?;
    if let Some(mut node) = node {
        node.settings_changed().await?;
    }
    settings.get(key).map_err(|e| settings_error(&e))
}

/// A value as it is typed: lists with commas, nothing for null.
fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(s) => plain(s),
        Value::Array(items) => items.iter().map(text).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

fn shown(value: &Value) -> String {
    let text = text(value);
    if text.is_empty() { "unset".to_owned() } else { text }
}

/// An error of the settings in the node's terms.
#[must_use]
pub fn settings_error(error: &SettingsError) -> ApiError {
    let code = match error {
        SettingsError::Bad { .. } | SettingsError::Bounds { .. } | SettingsError::TooLarge(_) => "bad_settings",
        SettingsError::UnknownKey { .. } => "no_such_setting",
        SettingsError::Value { .. } => "bad_value",
        SettingsError::Data(e) => return data_error(e),
    };
    ApiError::new(code, error.to_string())
}

/// An error of the data folder in the node's terms.
#[must_use]
pub fn data_error(error: &DataError) -> ApiError {
    let code = match error {
        DataError::InUse(_) => "in_use",
        DataError::Full(_) => "disk_full",
        DataError::NoHome => "no_data_folder",
        DataError::Locked(_) => "locked",
        DataError::DamagedLock { .. } | DataError::NoLock(_) => "bad_lock",
        _ => "data_folder",
    };
    ApiError::new(code, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::tests::Captured;

    async fn run(data: &Path, json: bool, verb: ConfigVerb) -> Result<String, Failure> {
        let captured = Captured::default();
        config(data, &mut Out::to(captured.clone(), json), &verb).await.map(|()| captured.text())
    }

    fn set_verb(key: &str, value: &str) -> ConfigVerb {
        ConfigVerb::Set { key: key.to_owned(), value: value.to_owned() }
    }

    #[tokio::test]
    async fn settings_are_changed_and_read_without_a_node() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("new");
        assert_eq!(run(&data, false, set_verb("port", "27480")).await.unwrap(), "port is now 27480\n");
        assert_eq!(
            run(&data, true, set_verb("interfaces", "eth0,wlan0")).await.unwrap(),
            "{\"key\":\"interfaces\",\"value\":[\"eth0\",\"wlan0\"]}\n"
        );
        run(&data, false, set_verb("name", "Post 3")).await.unwrap();
        assert!(load(&data).unwrap().named);
        let get = ConfigVerb::Get { key: Some("port".to_owned()) };
        assert_eq!(run(&data, true, get).await.unwrap(), "{\"key\":\"port\",\"value\":27480}\n");
        let all = run(&data, false, ConfigVerb::Get { key: None }).await.unwrap();
        assert_eq!(all.lines().count(), KEYS.len());
        assert!(all.contains("interfaces  eth0,wlan0\n"), "{all}");
    }

    #[tokio::test]
    async fn what_is_wrong_is_named_and_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let code = |r: Result<String, Failure>| match r {
            Err(Failure::Failed(e)) => e.code,
            other => panic!("{other:?}"),
        };
        assert_eq!(code(run(dir.path(), false, set_verb("prot", "5")).await), "no_such_setting");
        assert_eq!(code(run(dir.path(), false, set_verb("port", "0")).await), "bad_value");
        std::fs::write(settings_path(dir.path()), "{\"port\": }").unwrap();
        assert_eq!(code(run(dir.path(), false, set_verb("port", "5")).await), "bad_settings");
        assert_eq!(code(run(dir.path(), false, ConfigVerb::Get { key: None }).await), "bad_settings");
        assert_eq!(std::fs::read_to_string(settings_path(dir.path())).unwrap(), "{\"port\": }");
    }
}
