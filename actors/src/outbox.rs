//! The way out of a node to one peer: a bounded queue in front of each lane of a link.
//!
//! Documents put frames straight into it. Live entries that do not fit are dropped and the peer is marked as behind;
//! when the queue has drained, documents hear of it and compare digests. Everything else is bounded by the protocol
//! itself (one batch at a time, one answer a question) and always fits, or the session ends.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use cairn_crdt::ids::{DeviceId, SpaceId};
use tokio::sync::mpsc;

use crate::documents::DocumentsMsg;
use crate::limits::{SESSION_BACKLOG_BYTES, SESSION_QUEUE_BYTES, SESSION_QUEUE_FRAMES};
use crate::link::{Lane, Link};
use crate::proto::session::space_tag;
use crate::wiring::Wiring;

/// The spaces shared on a session, by tag: what documents allow the peer to speak about.
#[derive(Debug, Default)]
pub struct Shared(RwLock<BTreeMap<[u8; 8], SpaceId>>);

impl Shared {
    /// Replaces the set.
    pub fn set(&self, exporter: &[u8; 32], spaces: impl Iterator<Item = SpaceId>) {
        let map = spaces.map(|s| (space_tag(exporter, &s), s)).collect();
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = map;
    }

    /// The space of a tag, if it is shared.
    #[must_use]
    pub fn space(&self, tag: &[u8; 8]) -> Option<SpaceId> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(tag).copied()
    }
}

struct Item {
    space: SpaceId,
    body: Bytes,
    /// Tell documents when the link has taken it.
    notify: bool,
}

/// The queue of the sync lane. Cheap to clone.
#[derive(Clone)]
pub struct Outbox {
    tx: mpsc::Sender<Item>,
    queued: Arc<AtomicUsize>,
    behind: Arc<AtomicBool>,
}

impl std::fmt::Debug for Outbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Outbox({} bytes)", self.queued.load(Ordering::Relaxed))
    }
}

/// The queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

impl Outbox {
    /// A queue and the task that empties it into the link.
    pub fn start(wiring: Arc<Wiring>, link: Arc<dyn Link>, serial: u64) -> Self {
        let (tx, rx) = mpsc::channel(SESSION_QUEUE_FRAMES);
        let outbox = Self { tx, queued: Arc::default(), behind: Arc::default() };
        tokio::spawn(empty(wiring, link, rx, outbox.queued.clone(), outbox.behind.clone(), serial));
        outbox
    }

    /// Queues a frame of the protocol.
    ///
    /// # Errors
    /// [`Full`]: the peer has stopped reading altogether.
    pub fn send(&self, space: SpaceId, body: Bytes, notify: bool) -> Result<(), Full> {
        if self.queued.fetch_add(body.len(), Ordering::AcqRel) > SESSION_BACKLOG_BYTES {
            return Err(Full);
        }
        self.tx.try_send(Item { space, body, notify }).map_err(|_| Full)
    }

    /// Queues live entries if there is room.
    ///
    /// # Errors
    /// [`Full`]: the peer is behind now; [`DocumentsMsg::Drained`] follows.
    pub fn push(&self, space: SpaceId, body: Bytes) -> Result<(), Full> {
        let queued = self.queued.load(Ordering::Acquire);
        // A batch larger than the queue goes alone.
        let room = (queued == 0 || queued.saturating_add(body.len()) <= SESSION_QUEUE_BYTES)
            && self.tx.capacity() > SESSION_QUEUE_FRAMES / 2;
        if room && !self.behind.load(Ordering::Acquire) {
            return self.send(space, body, false);
        }
        self.behind.store(true, Ordering::Release);
        // Where the queue drained just now nothing would come after it to say so.
        if self.queued.load(Ordering::Acquire) == 0 && self.behind.swap(false, Ordering::AcqRel) {
            return self.send(space, body, false);
        }
        Err(Full)
    }
}

async fn empty(
    wiring: Arc<Wiring>,
    link: Arc<dyn Link>,
    mut rx: mpsc::Receiver<Item>,
    queued: Arc<AtomicUsize>,
    behind: Arc<AtomicBool>,
    serial: u64,
) {
    let peer: DeviceId = link.peer();
    let exporter = link.exporter();
    let mut tags = BTreeMap::new();
    while let Some(item) = rx.recv().await {
        let tag = tags.entry(item.space).or_insert_with(|| space_tag(&exporter, &item.space));
        let mut frame = Vec::with_capacity(8 + item.body.len());
        frame.extend_from_slice(tag);
        frame.extend_from_slice(&item.body);
        if link.send(Lane::Sync, frame.into()).await.is_err() {
            return;
        }
        let left = queued.fetch_sub(item.body.len(), Ordering::AcqRel).saturating_sub(item.body.len());
        if item.notify {
            wiring.documents.cast(DocumentsMsg::Sent { peer, serial, space: item.space });
        }
        if left == 0 && behind.swap(false, Ordering::AcqRel) {
            wiring.documents.cast(DocumentsMsg::Drained { peer, serial });
        }
    }
}
