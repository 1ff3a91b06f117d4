//! `network key`: the key file of the data folder. A running node is told to read it again, so that the key itself goes
//! over no socket, and no command line shows it.

use std::path::Path;

use cairn_actors::api::{ApiError, NetworkKeyState};
use cairn_actors::data::DataFolder;
use cairn_actors::limits::NETWORK_KEY_OLD;
use cairn_actors::netkeys::{self, KeyFileError};
use cairn_actors::store::Seal;
use cairn_crdt::netkey::{Invite, NetworkKey, Ring, RingError};
use zeroize::Zeroizing;

use super::args::{KeySource, KeyVerb};
use super::backend::{self, Backend, Opened, retry_in_use};
use super::error::Failure;
use super::secret;
use super::text::{Out, note};
use super::time::now_ms;
use super::unlock;
use super::{config, human, json};
use crate::local::client::Client;
use crate::{netkey, qr};

/// Does what `network key` was asked.
///
/// # Errors
/// `bad_passphrase`, `bad_network_key`, `has_network_key`, `no_network_key`, `same_network_key`, and what reading, writing
/// and a running node answer.
pub async fn network_key(data: &Path, out: &mut Out, verb: &KeyVerb) -> Result<(), Failure> {
    // The file is sealed where the folder has a passphrase.
    let seal = &unlock::seal(data)?;
    match verb {
        KeyVerb::Status => {
            let ring = load(data, seal)?;
            told(out, &ring)
        }
        KeyVerb::Show { qr } => show(data, seal, out, qr.as_deref()).await,
        KeyVerb::Set(source) => {
            // Before anything is asked for.
            if !load(data, seal)?.is_open() {
                return Err(netkeys::ring_error(RingError::HasKey).into());
            }
            let (key, network) = read(source)?;
            change(data, seal, out, |ring| ring.set(key, network, now_ms())).await
        }
        KeyVerb::Change(source) => {
            if load(data, seal)?.is_open() {
                return Err(netkeys::ring_error(RingError::NoKey).into());
            }
            let (key, _) = read(source)?;
            let now = now_ms();
            let until = now.saturating_add(u64::try_from(NETWORK_KEY_OLD.as_millis()).unwrap_or(u64::MAX));
            change(data, seal, out, |ring| ring.change(key, now, until)).await
        }
        KeyVerb::DropOld => change(data, seal, out, |ring| ring.drop_old(now_ms()).map(drop)).await,
        KeyVerb::Remove => change(data, seal, out, Ring::remove).await,
    }
}

fn load(data: &Path, seal: &Seal) -> Result<Ring, ApiError> {
    netkeys::load(&netkeys::file_in(data), seal).map_err(|e| key_file_error(&e))
}

/// The key that a source holds, and the network that it names or gives.
fn read(source: &KeySource) -> Result<(NetworkKey, cairn_crdt::ids::NetworkId), Failure> {
    if let Some(picture) = &source.scan {
        return Ok(netkey::of_invite(qr::code_in_file(picture)?));
    }
    if source.random {
        return Ok(netkey::random()?);
    }
    Ok(netkey::of_text(&secret::read(source.file.as_deref(), "The network's passphrase")?)?)
}

/// Changes the file and tells a running node.
async fn change(
    data: &Path,
    seal: &Seal,
    out: &mut Out,
    change: impl FnOnce(&mut Ring) -> Result<(), RingError>,
) -> Result<(), Failure> {
    let node = Client::connect(data).await?;
    // Without a node the folder is taken for this command, so that two commands don't undo each other.
    let _folder = match node {
        Some(_) => None,
        None => Some(retry_in_use(async || DataFolder::open(data).map_err(|e| config::data_error(&e))).await?),
    };
    let mut ring = load(data, seal)?;
    change(&mut ring).map_err(netkeys::ring_error)?;
    netkeys::save(&ring, &netkeys::file_in(data), seal).map_err(|e| key_file_error(&e))?;
    if let Some(mut node) = node {
        node.settings_changed().await?;
    }
    told(out, &ring)
}

fn told(out: &mut Out, ring: &Ring) -> Result<(), Failure> {
    let state = NetworkKeyState::of(ring, now_ms());
    if out.json {
        return out.line(&json::network_key(state.as_ref()));
    }
    out.lines(human::network_key(state.as_ref()))
}

/// Prints the key for others to join with: with the network that this device is in, which is another than the key gives
/// where people talked before there was one.
async fn show(data: &Path, seal: &Seal, out: &mut Out, picture: Option<&Path>) -> Result<(), Failure> {
    let ring = load(data, seal)?;
    let (Some(key), Some(first)) = (ring.key(), ring.network()) else {
        return Err(netkeys::ring_error(RingError::NoKey).into());
    };
    let networks = match backend::open_with(data, seal.key().cloned()).await? {
        Opened::Node(mut node) => Backend::networks(&mut node).await?,
        Opened::Offline(mut store) => store.networks().await?,
    };
    let primary = networks.into_iter().find(|n| n.primary);
    let (network, name) = primary.map_or((first, String::new()), |n| (n.id, n.name));
    let text = Zeroizing::new(Invite { key: key.clone(), network, name: name.clone() }.to_string());
    let code = netkey::code(&text)?;
    if let Some(file) = picture {
        code.save(file)?;
        note(&format!("cairn: the key is in {}; delete it when the others have read it", file.display()));
    }
    if out.json {
        return out.line(&json::network_key_text(&text, &key.code(), network, &name));
    }
    note("cairn: whoever sees this is in");
    if out.style.0 {
        out.lines(code.lines(true))?;
    }
    out.line(text.as_str())
}

/// An error of the key file in the node's terms.
#[must_use]
pub fn key_file_error(e: &KeyFileError) -> ApiError {
    match e {
        KeyFileError::Data(e) => config::data_error(e),
        KeyFileError::Damaged { .. } | KeyFileError::Newer(_) => ApiError::new("bad_network_key", e.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::tests::Captured;

    async fn run(data: &Path, json: bool, verb: KeyVerb) -> Result<String, String> {
        let captured = Captured::default();
        match network_key(data, &mut Out::to(captured.clone(), json), &verb).await {
            Ok(()) => Ok(captured.text()),
            Err(Failure::Failed(e)) => Err(e.code),
            Err(other) => panic!("{other:?}"),
        }
    }

    fn from(dir: &Path, text: &str) -> KeySource {
        let file = dir.join("given");
        std::fs::write(&file, text).unwrap();
        KeySource { file: Some(file), random: false, scan: None }
    }

    #[tokio::test]
    async fn a_key_is_set_changed_shown_and_removed_without_a_node() {
        let dir = tempfile::tempdir().unwrap();
        let (data, other) = (dir.path().join("one"), dir.path().join("two"));
        std::fs::create_dir(&data).unwrap();
        std::fs::create_dir(&other).unwrap();
        let source = |text: &str| from(dir.path(), text);
        let none = r#"{"code":null,"since":null,"old":[]}"#;
        assert_eq!(run(&data, true, KeyVerb::Status).await.unwrap().trim_end(), none);
        assert_eq!(run(&data, false, KeyVerb::Status).await.unwrap(), "no key: the network is open\n");
        for verb in
            [KeyVerb::Show { qr: None }, KeyVerb::Remove, KeyVerb::DropOld, KeyVerb::Change(source("never mind this"))]
        {
            assert_eq!(run(&data, true, verb).await.unwrap_err(), "no_network_key");
        }
        assert_eq!(run(&data, true, KeyVerb::Set(source("too short"))).await.unwrap_err(), "bad_passphrase");
        assert_eq!(run(&data, true, KeyVerb::Set(source("cairn:net:zzz"))).await.unwrap_err(), "bad_network_key");

        let passphrase = "correct horse battery staple";
        let code = NetworkKey::from_passphrase(passphrase).unwrap().code();
        let set = run(&data, true, KeyVerb::Set(source(&format!("{passphrase}\n")))).await.unwrap();
        assert!(set.starts_with(&format!(r#"{{"code":"{code}","since":"20"#)) && set.contains(r#""old":[]"#), "{set}");
        assert_eq!(run(&data, true, KeyVerb::Set(source("another passphrase"))).await.unwrap_err(), "has_network_key");
        assert_eq!(run(&data, true, KeyVerb::Change(source(passphrase))).await.unwrap_err(), "same_network_key");

        let shown = run(&data, false, KeyVerb::Show { qr: None }).await.unwrap();
        let invite: Invite = shown.trim().parse().unwrap();
        assert_eq!((invite.key.code(), invite.network), (code.clone(), invite.key.network()));
        // Carried to another laptop, it is the same key.
        run(&other, true, KeyVerb::Set(source(&shown))).await.unwrap();
        assert_eq!(run(&other, false, KeyVerb::Show { qr: None }).await.unwrap(), shown);

        // Or as a picture.
        let picture = dir.path().join("key.png");
        let qr = Some(picture.clone());
        assert_eq!(run(&data, false, KeyVerb::Show { qr: qr.clone() }).await.unwrap(), shown);
        assert_eq!(run(&data, false, KeyVerb::Show { qr }).await.unwrap_err(), "file_exists");
        #[cfg(unix)]
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&picture.metadata().unwrap().permissions()) & 0o777, 0o600);
        let third = dir.path().join("three");
        std::fs::create_dir(&third).unwrap();
        let scan = |picture| KeySource { file: None, random: false, scan: Some(picture) };
        run(&third, true, KeyVerb::Set(scan(picture))).await.unwrap();
        assert_eq!(run(&third, false, KeyVerb::Show { qr: None }).await.unwrap(), shown);
        assert_eq!(
            run(&third, true, KeyVerb::Change(scan("none.png".into()))).await.unwrap_err(),
            "picture_unreadable"
        );

        let changed =
            run(&data, true, KeyVerb::Change(KeySource { file: None, random: true, scan: None })).await.unwrap();
        assert!(changed.contains(&format!(r#""old":[{{"code":"{code}","until":"20"#)), "{changed}");
        let again: Invite = run(&data, false, KeyVerb::Show { qr: None }).await.unwrap().trim().parse().unwrap();
        assert!(again.network == invite.network && again.key != invite.key, "the network stays");
        let human = run(&data, false, KeyVerb::Status).await.unwrap();
        assert!(human.lines().nth(1).is_some_and(|l| l.starts_with(&format!("the old one, {code}, is accepted"))));
        assert!(run(&data, true, KeyVerb::DropOld).await.unwrap().contains(r#""old":[]"#));
        assert_eq!(run(&data, true, KeyVerb::Remove).await.unwrap().trim_end(), none);
        assert!(!netkeys::file_in(&data).exists());
    }

    #[tokio::test]
    async fn nothing_but_show_prints_a_key_and_a_damaged_file_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        run(dir.path(), true, KeyVerb::Set(KeySource { file: None, random: true, scan: None })).await.unwrap();
        let kept = std::fs::read_to_string(netkeys::file_in(dir.path())).unwrap();
        let secret = kept.lines().find_map(|l| l.strip_prefix("key ")).unwrap().split(' ').next().unwrap();
        for json in [true, false] {
            assert!(!run(dir.path(), json, KeyVerb::Status).await.unwrap().contains(&secret[..16]));
        }
        std::fs::write(netkeys::file_in(dir.path()), &kept[..40]).unwrap();
        for verb in [KeyVerb::Status, KeyVerb::Show { qr: None }, KeyVerb::Remove, KeyVerb::DropOld] {
            assert_eq!(run(dir.path(), true, verb).await.unwrap_err(), "bad_network_key");
        }
        assert_eq!(std::fs::read_to_string(netkeys::file_in(dir.path())).unwrap(), kept[..40]);
    }
}
