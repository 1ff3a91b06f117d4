//! The network's keys in a running node: read from their file when it is said that they changed, and looked at for ones
//! that have ended. Whom a change concerns is told here.

use std::path::PathBuf;
use std::time::Duration;

use cairn_crdt::netkey::KeyTag;
use ractor::{ActorRef, MessagingErr};
use tokio::task::JoinHandle;

use crate::api::{ApiError, Event, KeyChange};
use crate::discovery::DiscoveryMsg;
use crate::documents::DocumentsMsg;
use crate::limits::{NETWORK_KEY_LOOK, NETWORK_KEY_OLD};
use crate::netkeys;
use crate::node::RootMsg;
use crate::sessions::SessionsMsg;
use crate::wiring::Wiring;

/// What the root knows of them beside the wiring.
pub(crate) struct Keys {
    file: Option<PathBuf>,
    /// Those that counted when it was last looked.
    counted: Vec<KeyTag>,
    /// The next look, while an old key has not ended.
    timer: Option<JoinHandle<Result<(), MessagingErr<RootMsg>>>>,
}

impl Keys {
    /// Begins to look after the keys that the wiring holds.
    pub fn begin(file: Option<PathBuf>, wiring: &Wiring, root: &ActorRef<RootMsg>) -> Self {
        let mut this = Self { file, counted: counted(wiring), timer: None };
        this.wait(wiring, root);
        this
    }

    /// Reads the file again.
    ///
    /// # Errors
    /// `bad_network_key`; the keys are as they were.
    pub fn reload(&mut self, wiring: &Wiring, root: &ActorRef<RootMsg>) -> Result<(), ApiError> {
        let Some(file) = &self.file else { return Ok(()) };
        let ring = netkeys::load(file, &wiring.seal).map_err(|e| ApiError::new("bad_network_key", e.to_string()))?;
        if wiring.set_keys(ring) {
            self.look(wiring, root);
        }
        Ok(())
    }

    /// Changes the keys, on the disk first.
    ///
    /// # Errors
    /// `same_network_key`, `no_network_key`, `bad_network_key` where the file could not be read or written; the keys are as
    /// they were.
    pub fn change(&mut self, change: KeyChange, wiring: &Wiring, root: &ActorRef<RootMsg>) -> Result<(), ApiError> {
        let bad = |e: netkeys::KeyFileError| ApiError::new("bad_network_key", e.to_string());
        let mut ring = match &self.file {
            Some(file) => netkeys::load(file, &wiring.seal).map_err(bad)?,
            None => wiring.keys(),
        };
        let now = wiring.env.now_ms();
        let until = now.saturating_add(u64::try_from(NETWORK_KEY_OLD.as_millis()).unwrap_or(u64::MAX));
        let done = match change {
            KeyChange::Use(key, network) if ring.is_open() => ring.set(key, network, now),
            KeyChange::Use(key, _) => ring.change(key, now, until),
            KeyChange::DropOld => ring.drop_old(now).map(drop),
            KeyChange::Remove => ring.remove(),
        };
        done.map_err(netkeys::ring_error)?;
        if let Some(file) = &self.file {
            netkeys::save(&ring, file, &wiring.seal).map_err(bad)?;
        }
        if wiring.set_keys(ring) {
            self.look(wiring, root);
        }
        Ok(())
    }

    /// Tells everybody whom it concerns if other keys count than before, and looks again when the next one ends.
    pub fn look(&mut self, wiring: &Wiring, root: &ActorRef<RootMsg>) {
        let now = counted(wiring);
        if now != self.counted {
            self.counted = now;
            // First who may not go on, then who may come.
            wiring.sessions.cast(SessionsMsg::KeysChanged);
            wiring.documents.cast(DocumentsMsg::Keyed);
            wiring.discovery.cast(DiscoveryMsg::SetKeys(wiring.accepted_keys()));
            wiring.emit(Event::Status(Box::new(wiring.status())));
        }
        self.wait(wiring, root);
    }

    fn wait(&mut self, wiring: &Wiring, root: &ActorRef<RootMsg>) {
        let now = wiring.env.now_ms();
        let next = wiring.keys().ends(now).map(|ends| {
            let left = Duration::from_millis(ends.saturating_sub(now));
            root.send_after(left.min(NETWORK_KEY_LOOK), || RootMsg::KeysDue)
        });
        if let Some(before) = std::mem::replace(&mut self.timer, next) {
            before.abort();
        }
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        if let Some(timer) = &self.timer {
            timer.abort();
        }
    }
}

fn counted(wiring: &Wiring) -> Vec<KeyTag> {
    wiring.accepted_keys().iter().map(|key| key.tag()).collect()
}
