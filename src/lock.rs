//! The lock before what a running Cairn shows: the window and the local socket look at it. A locked Cairn goes on carrying,
//! receiving and keeping; the key of its folder stays in memory, and nobody is shown anything until somebody brings the
//! passphrase, or shows that they hold the key.
//!
//! It exists only where the folder has a passphrase. A window on a folder that is still closed begins with a lock that waits:
//! the first passphrase that fits is what the node is started with.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cairn_actors::api::ApiError;
use cairn_actors::vault;
use cairn_crdt::vault::DataKey;
use tokio::sync::watch;

use crate::cli::config::data_error;
use crate::cli::unlock::{lock_error, vault_error};

/// Whether what there is to see is behind the lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Everything is shown.
    Open,
    /// Nothing is; why the last try came to nothing, where it was not the passphrase.
    Locked(Option<String>),
}

impl State {
    /// Whether nothing is shown.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        matches!(self, Self::Locked(_))
    }
}

#[derive(Debug)]
struct Inner {
    data: PathBuf,
    state: watch::Sender<State>,
    held: Mutex<Held>,
}

#[derive(Debug)]
struct Held {
    /// The key, once it is known; for good `None` where the folder has no passphrase.
    key: Option<DataKey>,
    /// What whoever holds the key is asked to prove it with; another one each time it is locked.
    challenge: [u8; 16],
}

/// The lock of one process; clones are the same lock.
#[derive(Debug, Clone)]
pub struct ScreenLock(Arc<Inner>);

impl ScreenLock {
    /// The lock of a node on `data` that was started with this key; open. Without a key it cannot be locked.
    #[must_use]
    pub fn open(data: &Path, key: Option<DataKey>) -> Self {
        Self::of(data, key, State::Open)
    }

    /// The lock of a folder whose node is still to be started: locked, and without its key.
    #[must_use]
    pub fn waiting(data: &Path) -> Self {
        Self::of(data, None, State::Locked(None))
    }

    fn of(data: &Path, key: Option<DataKey>, state: State) -> Self {
        let held = Mutex::new(Held { key, challenge: [0; 16] });
        Self(Arc::new(Inner { data: data.to_owned(), state: watch::Sender::new(state), held }))
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nothing is shown now.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.0.state.borrow().is_locked()
    }

    /// Whether it can be locked: the folder has a passphrase.
    #[must_use]
    pub fn can_lock(&self) -> bool {
        self.is_locked() || self.held().key.is_some()
    }

    /// What it is, and what it becomes.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<State> {
        self.0.state.subscribe()
    }

    /// The key that it was opened with.
    #[must_use]
    pub fn key(&self) -> Option<DataKey> {
        self.held().key.clone()
    }

    /// Locks it.
    ///
    /// # Errors
    /// `no_passphrase` where the folder has none.
    pub fn lock(&self) -> Result<(), ApiError> {
        if self.is_locked() {
            return Ok(());
        }
        let env = cairn_actors::env::Env::system().map_err(|e| ApiError::new("system", e))?;
        let mut held = self.held();
        if held.key.is_none() {
            let why = "there is no passphrase to unlock it with: `cairn passphrase set` sets one";
            return Err(ApiError::new("no_passphrase", why));
        }
        held.challenge = env.random();
        drop(held);
        self.0.state.send_replace(State::Locked(None));
        Ok(())
    }

    /// Opens it with the passphrase of the folder. Takes the memory and time of one argon2id; blocks.
    ///
    /// # Errors
    /// `wrong_passphrase`, and what reading the lock's file answers.
    pub fn unlock(&self, passphrase: &str) -> Result<(), ApiError> {
        let lock = vault::lock_of(&self.0.data).map_err(|e| data_error(&e))?;
        let lock = lock.ok_or_else(|| vault_error(&vault::VaultError::HasNone))?;
        let key = lock.open(passphrase).map_err(lock_error)?;
        let mut held = self.held();
        if held.key.as_ref().is_some_and(|own| *own != key) {
            return Err(ApiError::new("bad_lock", "the folder's passphrase.key is that of another folder"));
        }
        held.key = Some(key);
        drop(held);
        self.0.state.send_replace(State::Open);
        Ok(())
    }

    /// What is asked of whoever holds the key.
    #[must_use]
    pub fn challenge(&self) -> [u8; 16] {
        self.held().challenge
    }

    /// Opens it for whoever holds the key, so that no passphrase goes over a socket.
    ///
    /// # Errors
    /// `wrong_passphrase`.
    pub fn unlock_with(&self, proof: &[u8; 32]) -> Result<(), ApiError> {
        if !self.is_locked() {
            return Ok(());
        }
        let held = self.held();
        if !held.key.as_ref().is_some_and(|key| key.proves(&held.challenge, proof)) {
            return Err(ApiError::new("wrong_passphrase", "that is not the key of this folder"));
        }
        drop(held);
        self.0.state.send_replace(State::Open);
        Ok(())
    }

    /// What was to be started with the key could not be: it is locked again, without the key, and says why.
    pub fn failed(&self, why: String) {
        self.held().key = None;
        self.0.state.send_replace(State::Locked(Some(why)));
    }
}

/// What is answered while it is locked.
#[must_use]
pub fn refusal() -> ApiError {
    ApiError::new("locked", "Cairn is locked here: `cairn unlock` opens it with the passphrase")
}

#[cfg(test)]
mod tests {
    use cairn_actors::data::DataFolder;
    use cairn_crdt::vault::Cost;

    use super::*;

    const WORDS: &str = "correct horse battery staple";

    #[test]
    fn it_opens_with_the_passphrase_or_a_proof_of_the_key_alone() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(ScreenLock::open(dir.path(), None).lock().unwrap_err().code, "no_passphrase");
        vault::set(&mut DataFolder::open(dir.path()).unwrap(), WORDS, Cost::LEAST).unwrap();
        let waiting = ScreenLock::waiting(dir.path());
        assert!(waiting.is_locked() && waiting.key().is_none());
        assert_eq!(waiting.unlock_with(&[0; 32]).unwrap_err().code, "wrong_passphrase", "nobody holds it yet");
        assert_eq!(waiting.unlock("other words, as many").unwrap_err().code, "wrong_passphrase");
        waiting.unlock(WORDS).unwrap();
        let key = waiting.key().unwrap();
        assert!(!waiting.is_locked());
        waiting.failed("no port".into());
        assert_eq!(*waiting.watch().borrow(), State::Locked(Some("no port".into())));

        let lock = ScreenLock::open(dir.path(), Some(key.clone()));
        let before = lock.challenge();
        lock.lock().unwrap();
        let challenge = lock.challenge();
        assert!(lock.is_locked() && challenge != before);
        assert_eq!(lock.unlock_with(key.proof(&before).as_bytes()).unwrap_err().code, "wrong_passphrase", "an old one");
        lock.unlock_with(key.proof(&challenge).as_bytes()).unwrap();
        assert!(!lock.is_locked());
        lock.lock().unwrap();
        assert_ne!(lock.challenge(), challenge);
        assert_eq!(lock.unlock("wrong").unwrap_err().code, "wrong_passphrase");
        lock.unlock(WORDS).unwrap();
        // Another folder's lock in its place.
        std::fs::remove_file(vault::lock_path(dir.path())).unwrap();
        lock.lock().unwrap();
        assert_eq!(lock.unlock(WORDS).unwrap_err().code, "no_passphrase");
        assert!(lock.is_locked());
    }
}
