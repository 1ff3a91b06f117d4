//! `passphrase` and `wipe`: sealing what a data folder holds, and destroying it.

use std::io::{self, IsTerminal};
use std::path::Path;

use cairn_actors::api::ApiError;
use cairn_actors::care::checkup::{SEALED, UNSEALED};
use cairn_actors::data::DataFolder;
use cairn_actors::vault;
use cairn_crdt::vault::{Cost, DataKey};

use super::args::{PassphraseSource, PassphraseVerb};
use super::backend::{self, retry_in_use};
use super::config::data_error;
use super::error::Failure;
use super::secret;
use super::text::{Out, note};
use super::unlock::{self, vault_error};
use super::{care, json};
use crate::local::client::Client;

/// Does what `passphrase` was asked.
///
/// # Errors
/// `has_passphrase`, `no_passphrase`, `bad_passphrase`, `wrong_passphrase`, `locked`, `unsealed_copies`, `in_use` where a
/// node runs, and what reading and writing answers.
pub async fn passphrase(data: &Path, out: &mut Out, verb: &PassphraseVerb) -> Result<(), Failure> {
    let what = "The new passphrase of this folder";
    let sealed = vault::lock_of(data).map_err(|e| data_error(&e))?.is_some();
    match verb {
        PassphraseVerb::Status => return told(data, out),
        // Before anything is asked for.
        PassphraseVerb::Set(_) if sealed => return Err(vault_error(&vault::VaultError::Has).into()),
        PassphraseVerb::Change(_) | PassphraseVerb::Remove if !sealed => {
            return Err(vault_error(&vault::VaultError::HasNone).into());
        }
        PassphraseVerb::Set(source) => {
            let new = read(source, what)?;
            let mut folder = take(data, None).await?;
            vault::set(&mut folder, &new, Cost::PRODUCT).map_err(|e| vault_error(&e))?;
        }
        PassphraseVerb::Change(source) => {
            let (_, old) = unlock::passphrase(data)?;
            let new = read(source, what)?;
            vault::change(data, &old, &new, Cost::PRODUCT).map_err(|e| vault_error(&e))?;
        }
        PassphraseVerb::Remove => {
            let (key, _) = unlock::passphrase(data)?;
            let mut folder = take(data, Some(key)).await?;
            vault::remove(&mut folder).map_err(|e| vault_error(&e))?;
        }
    }
    told(data, out)
}

fn read(source: &PassphraseSource, what: &str) -> Result<zeroize::Zeroizing<String>, ApiError> {
    secret::read(source.file.as_deref(), what)
}

/// The folder, on which no node may run.
async fn take(data: &Path, key: Option<DataKey>) -> Result<DataFolder, ApiError> {
    if Client::connect(data).await?.is_some() {
        let sentence = format!("a node runs on {}: stop it first, since everything is written anew", data.display());
        return Err(ApiError::new("in_use", sentence));
    }
    let mut folder = retry_in_use(async || DataFolder::open(data).map_err(|e| data_error(&e))).await?;
    folder.unlock(key).map_err(|e| data_error(&e))?;
    Ok(folder)
}

fn told(data: &Path, out: &mut Out) -> Result<(), Failure> {
    let sealed = vault::lock_of(data).map_err(|e| data_error(&e))?.is_some();
    let meaning = if sealed { SEALED } else { UNSEALED };
    out.line(&if out.json { json::passphrase::passphrase(sealed, meaning) } else { meaning.to_owned() })
}

/// Locks what the running node shows.
///
/// # Errors
/// `no_node`, `no_passphrase`.
pub async fn lock(data: &Path, out: &mut Out) -> Result<(), Failure> {
    backend::node(data).await?.lock().await?;
    said(out, true)
}

/// Unlocks it. The passphrase opens the key here, and the node is shown a proof of that.
///
/// # Errors
/// `no_node`, `no_passphrase`, `locked` where nobody can be asked, `wrong_passphrase`.
pub async fn unlock(data: &Path, out: &mut Out) -> Result<(), Failure> {
    let mut node = backend::node(data).await?;
    let (key, _) = unlock::passphrase(data)?;
    node.unlock(&key).await?;
    said(out, false)
}

fn said(out: &mut Out, locked: bool) -> Result<(), Failure> {
    let words = if locked { "locked" } else { "unlocked" };
    out.line(&if out.json { json::passphrase::locked(locked) } else { words.to_owned() })
}

/// Destroys all that Cairn keeps in a folder.
///
/// # Errors
/// `no_data`, `not_confirmed`, `in_use`, and what the system refuses.
pub async fn wipe(data: &Path, out: &mut Out, yes: bool) -> Result<(), Failure> {
    care::something(data)?;
    if !yes {
        confirm(data)?;
    }
    if Client::connect(data).await?.is_some() {
        return Err(Failure::failed("in_use", format!("a node runs on {}: stop it first", data.display())));
    }
    let folder = retry_in_use(async || DataFolder::open(data).map_err(|e| data_error(&e))).await?;
    vault::wipe(folder).map_err(|e| vault_error(&e))?;
    let shown = data.display().to_string();
    out.line(&if out.json { json::passphrase::wiped(&shown) } else { format!("nothing of Cairn is left in {shown}") })
}

fn confirm(data: &Path) -> Result<(), Failure> {
    let refused = || Failure::failed("not_confirmed", "nothing was removed: --yes wipes without asking");
    if !io::stdin().is_terminal() {
        return Err(refused());
    }
    note(&format!("cairn: this destroys the identity, the keys and the whole history in {}", data.display()));
    note("Type wipe to go on:");
    let mut line = String::new();
    io::stdin().read_line(&mut line)?;
    if line.trim() == "wipe" { Ok(()) } else { Err(refused()) }
}
