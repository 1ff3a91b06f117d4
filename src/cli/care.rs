//! `doctor`, `backup` and `restore`: care for a data folder. A running node does it to itself; where none runs, the
//! command does.

use std::path::Path;

use cairn_actors::api::{ApiError, BackedUp, Checkup, Compacted, Restored};
use cairn_actors::care::file::BackupReader;
use cairn_actors::care::{self, BackupError};
use cairn_actors::data::{DataFolder, key_path, store_path};
use cairn_actors::store::StoreError;
use cairn_crdt::vault::DataKey;

use super::backend::retry_in_use;
use super::config::data_error;
use super::error::Failure;
use super::text::{Out, note};
use super::time::now_ms;
use super::{human, json, unlock};
use crate::local::client::Client;

/// What `doctor` is to do.
#[derive(Debug, Clone, Copy, Default)]
pub struct Treatment {
    /// Every signature.
    pub all: bool,
    /// Repair what is damaged.
    pub repair: bool,
    /// Give room back first.
    pub compact: bool,
}

/// Who has the data folder.
enum Keeper {
    Node(Box<Client>),
    Command(DataFolder),
}

/// The node that runs on a data folder, or the folder, taken for this command.
async fn keeper(data: &Path) -> Result<Keeper, ApiError> {
    let mut key = None;
    let keeper = retry_in_use(async || match Client::connect(data).await? {
        Some(client) => Ok(Keeper::Node(Box::new(client))),
        None => {
            if key.is_none() {
                key = unlock::key(data)?;
            }
            let folder = DataFolder::open(data).and_then(|mut folder| folder.unlock(key.clone()).map(|()| folder));
            folder.map(Keeper::Command).map_err(|e| data_error(&e))
        }
    });
    let keeper = keeper.await?;
    if matches!(keeper, Keeper::Command(_)) {
        note(&format!("cairn: no node runs here: looking after {} directly", data.display()));
    }
    Ok(keeper)
}

/// Does something with a data folder that takes its time.
async fn directly<T: Send + 'static>(
    folder: DataFolder,
    f: impl FnOnce(DataFolder) -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let done = tokio::task::spawn_blocking(move || f(folder)).await;
    done.map_err(|e| ApiError::new("internal", e.to_string()))?
}

pub(super) fn store_error(e: &StoreError) -> ApiError {
    let code = match e {
        StoreError::Full => "disk_full",
        StoreError::InUse => "in_use",
        StoreError::Newer { .. } => "store_newer",
        _ => "store_failed",
    };
    ApiError::new(code, e.to_string())
}

/// There must be something to look after: nothing is made by looking.
pub(super) fn something(data: &Path) -> Result<(), Failure> {
    if key_path(data).exists() || store_path(data).exists() {
        return Ok(());
    }
    Err(Failure::failed("no_data", format!("there is no data of Cairn in {}", data.display())))
}

/// Checks everything, and repairs or compacts where that was asked for.
///
/// # Errors
/// `damaged` where something is, after printing; `no_data`, `in_use`, `busy`, `store_failed`.
pub async fn doctor(data: &Path, out: &mut Out, treatment: Treatment) -> Result<(), Failure> {
    something(data)?;
    let Treatment { all, repair, compact } = treatment;
    let (compacted, checkup): (Option<Compacted>, Checkup) = match keeper(data).await? {
        Keeper::Node(mut node) => {
            let compacted = if compact { Some(node.compact().await?) } else { None };
            (compacted, if repair { node.repair(all).await? } else { node.check(all).await? })
        }
        Keeper::Command(folder) => {
            directly(folder, move |folder| {
                let compacted = if compact { Some(care::compact_folder(&folder)) } else { None };
                let checkup = match repair {
                    true => care::repair_folder(&folder, all),
                    false => care::checkup::check_folder(&folder, all),
                };
                Ok((compacted.transpose().map_err(|e| store_error(&e))?, checkup.map_err(|e| store_error(&e))?))
            })
            .await?
        }
    };
    if out.json {
        out.lines(compacted.iter().map(json::compacted).chain(checkup.findings.iter().map(json::finding)))?;
        out.line(&json::checkup(&checkup))?;
    } else {
        out.lines(compacted.iter().map(human::compacted).chain(human::findings(&checkup.findings, out.style)))?;
    }
    if checkup.healthy() {
        return Ok(());
    }
    let hint = if repair { "it could not be repaired" } else { "`cairn doctor --repair` saves what can be saved" };
    Err(Failure::failed("damaged", format!("something is damaged: {hint}")))
}

/// Saves everything to a file.
///
/// # Errors
/// `no_data`, `in_use`, `busy`, `file_exists`, `disk_full`, `backup_failed`.
pub async fn backup(data: &Path, out: &mut Out, file: &Path) -> Result<(), Failure> {
    something(data)?;
    let to = std::path::absolute(file)?;
    let done: BackedUp = match keeper(data).await? {
        Keeper::Node(mut node) => node.back_up(&to).await?,
        Keeper::Command(folder) => {
            directly(folder, move |folder| Ok(care::back_up_folder(&folder, now_ms(), &to)?)).await?
        }
    };
    if out.json { out.line(&json::backed_up(&done)) } else { out.lines(human::backed_up(&done)) }
}

/// The key of a backup that is sealed with another one than the folder.
fn backup_key(from: &Path, folder: &DataFolder, passphrase: Option<&Path>) -> Result<Option<DataKey>, ApiError> {
    let Some(lock) = BackupReader::lock(from)? else { return Ok(None) };
    if folder.seal().key().is_some_and(|key| key.tag() == lock.tag()) {
        return Ok(None);
    }
    let refused = || ApiError::from(BackupError::Sealed(from.to_owned()));
    unlock::open(&lock, passphrase, "The passphrase of the backup", refused).map(|(key, _)| Some(key))
}

/// Fills the data folder from a backup.
///
/// # Errors
/// `folder_in_use` without `replace` where there is something; `in_use`, `busy`, `not_a_backup`, `backup_newer`,
/// `backup_incomplete`, `backup_damaged`, `disk_full`, `backup_failed`.
pub async fn restore(
    data: &Path,
    out: &mut Out,
    file: &Path,
    replace: bool,
    passphrase: Option<&Path>,
) -> Result<(), Failure> {
    let from = std::path::absolute(file)?;
    let done: Restored = match keeper(data).await? {
        Keeper::Node(mut node) => node.restore(&from, replace).await.map_err(|e| match e.code.as_str() {
            // Its passphrase goes over no socket.
            "backup_sealed" => {
                ApiError::new(&e.code, format!("{}: stop the node, and restore it with this command", e.message))
            }
            _ => e,
        })?,
        Keeper::Command(folder) => {
            let key = backup_key(&from, &folder, passphrase)?;
            directly(folder, move |mut folder| Ok(care::backup::restore(&mut folder, &from, key, replace, now_ms())?))
                .await?
        }
    };
    if out.json { out.line(&json::restored(&done, data)) } else { out.lines(human::restored(&done)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::backend::Backend;
    use crate::cli::offline::Offline;
    use crate::cli::tests::Captured;
    use crate::local::fake::FakeNode;
    use crate::local::resolve::ConvRef;
    use crate::local::server::serve;

    fn code(result: Result<(), Failure>) -> String {
        match result {
            Err(Failure::Failed(e)) => e.code,
            other => panic!("{other:?}"),
        }
    }

    async fn run(work: impl AsyncFnOnce(&mut Out) -> Result<(), Failure>) -> (Result<(), Failure>, String) {
        let captured = Captured::default();
        let result = work(&mut Out::to(captured.clone(), true)).await;
        (result, captured.text())
    }

    #[tokio::test]
    async fn a_folder_without_a_node_is_checked_saved_and_restored() {
        let dir = tempfile::tempdir().unwrap();
        let (data, other, file) = (dir.path().join("a"), dir.path().join("b"), dir.path().join("file"));
        let (result, _) = run(async |out| doctor(&data, out, Treatment::default()).await).await;
        assert_eq!(code(result), "no_data");
        assert!(!data.exists(), "looking makes nothing");
        let mut store = Offline::open(&data).unwrap();
        store.say(cairn_crdt::ids::SpaceId([0; 32]), "kept", None, None).await.unwrap();
        let id = store.status().await.unwrap().id;
        drop(store);

        let (result, text) =
            run(async |out| doctor(&data, out, Treatment { compact: true, ..Treatment::default() }).await).await;
        result.unwrap();
        assert!(text.starts_with(r#"{"check":"compact","state":"ok","message":"#), "{text}");
        assert!(text.lines().last().unwrap().starts_with(r#"{"check":"summary","state":"ok","#), "{text}");
        let (result, text) = run(async |out| backup(&data, out, &file).await).await;
        result.unwrap();
        assert!(text.contains(&format!(r#""id":"{id}""#)) && text.contains(r#""created":"20"#), "{text}");
        assert_eq!(code(run(async |out| backup(&data, out, &file).await).await.0), "file_exists");
        let (result, text) = run(async |out| restore(&other, out, &file, false, None).await).await;
        result.unwrap();
        assert!(text.contains(&format!(r#""id":"{id}""#)) && text.contains(r#""kept":null"#), "{text}");
        assert_eq!(code(run(async |out| restore(&other, out, &file, false, None).await).await.0), "folder_in_use");
        assert_eq!(
            code(run(async |out| restore(&other, out, &data.join("device.key"), true, None).await).await.0),
            "not_a_backup"
        );
        let mut store = Offline::open(&other).unwrap();
        assert_eq!(store.status().await.unwrap().id, id);
        assert!(store.resolve(&ConvRef::Everyone).await.is_ok());
    }

    #[tokio::test]
    async fn damage_is_told_with_status_1_and_repaired_when_told() {
        let dir = tempfile::tempdir().unwrap();
        drop(Offline::open(dir.path()).unwrap());
        let path = store_path(dir.path());
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.truncate(4096 * 3);
        std::fs::write(&path, &bytes).unwrap();
        let (result, text) = run(async |out| doctor(dir.path(), out, Treatment::default()).await).await;
        assert_eq!(code(result), "damaged");
        assert!(text.contains(r#"{"check":"store","state":"damaged","message":"#), "{text}");
        assert!(std::fs::read(&path).unwrap() == bytes, "a check changes nothing");
        let repair = Treatment { repair: true, ..Treatment::default() };
        let (result, text) = run(async |out| doctor(dir.path(), out, repair).await).await;
        result.unwrap();
        assert!(text.contains(r#"{"check":"repaired","state":"warning","#), "{text}");
    }

    #[tokio::test]
    async fn a_running_node_is_asked() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(key_path(dir.path()), "").unwrap();
        let fake = FakeNode::start();
        let _server = serve(dir.path(), fake.handle()).unwrap();
        let (result, text) = run(async |out| doctor(dir.path(), out, Treatment::default()).await).await;
        assert_eq!(code(result), "damaged");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1], r#"{"check":"disk","state":"warning","message":"the disk is nearly full"}"#);
        assert_eq!(
            lines[3],
            r#"{"check":"summary","state":"damaged","logs":2,"entries":12,"erased":1,"bytes":4000,"file_bytes":100000,"signatures":2}"#
        );
        let compact = Treatment { compact: true, repair: true, all: true };
        let (_, text) = run(async |out| doctor(dir.path(), out, compact).await).await;
        let first = r#"{"check":"compact","state":"ok","message":"the store went from 3.0 MB to 1.0 MB","before":3000000,"after":1000000}"#;
        assert_eq!(text.lines().next(), Some(first));
        assert!(text.contains(r#"{"check":"repaired","state":"warning","message":"the store was damaged"}"#), "{text}");
        let (result, text) = run(async |out| backup(dir.path(), out, Path::new("relative")).await).await;
        result.unwrap();
        let whole = std::path::absolute("relative").unwrap();
        assert!(text.contains(&format!(r#"{{"file":"{}","id":""#, whole.display())), "{text}");
        let (result, text) = run(async |out| restore(dir.path(), out, Path::new("f"), true, None).await).await;
        result.unwrap();
        assert!(text.contains(r#""created":"1970-01-01T00:00:00.000Z","entries":3,"kept":"/old""#), "{text}");
        assert_eq!(
            code(run(async |out| restore(dir.path(), out, Path::new("f"), false, None).await).await.0),
            "folder_in_use"
        );
    }
}
