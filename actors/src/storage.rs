//! The storage actor: the one writer, with group commit.
//!
//! Writes go straight to the writer's queue through a [`Committer`]; the writer takes everything that waits (at most
//! [`COMMIT_RECORDS`]) into one durable batch and then answers each. While it waits for the disk, the next group
//! gathers. A while after a batch the writer lets the store rest, which empties its journal. The actor owns the writer: when it dies the writer ends, and the tree starts both anew, together with the
//! documents that may wait for an answer.

use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Instant;

use ractor::{Actor, ActorProcessingErr, ActorRef};

use crate::limits::{COMMIT_QUEUE, COMMIT_RECORDS, JOURNAL_FIRST, JOURNAL_REST};
use crate::store::{Store, StoreError, Write};
use crate::wiring::Wiring;

/// Called once with what became of a batch, on the writer's thread: it must only send a message.
pub type Done = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// A message to the storage actor.
pub enum StorageMsg {
    /// A batch failed: tell the person.
    Failed(StoreError),
    /// Batches succeed again.
    Recovered,
}

struct Batch {
    writes: Vec<Write>,
    done: Done,
}

/// The way to the writer.
#[derive(Clone)]
pub struct Committer {
    to: To,
}

#[derive(Clone)]
enum To {
    Thread(SyncSender<Batch>),
    Inline(Arc<dyn Store>),
}

impl std::fmt::Debug for Committer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Committer")
    }
}

impl Committer {
    /// Queues a batch: durable, all or nothing. `done` hears the result, also when the queue is full or the writer is
    /// gone.
    pub fn commit(&self, writes: Vec<Write>, done: Done) {
        match &self.to {
            To::Inline(store) => done(store.commit(&writes)),
            To::Thread(tx) => match tx.try_send(Batch { writes, done }) {
                Ok(()) => {}
                Err(TrySendError::Full(b)) => {
                    (b.done)(Err(StoreError::Io("the disk is too slow: too much waits to be saved".into())));
                }
                Err(TrySendError::Disconnected(b)) => {
                    (b.done)(Err(StoreError::Io("the writer is being restarted".into())));
                }
            },
        }
    }
}

/// How the writer runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriterMode {
    /// On a thread of its own, since a commit waits for the disk.
    Thread,
    /// In the caller, for stores in memory and simulations on a paused clock.
    Inline,
}

/// The storage actor.
pub struct Storage;

/// Its state.
pub struct StorageState {
    wiring: Arc<Wiring>,
}

impl Actor for Storage {
    type Msg = StorageMsg;
    type State = StorageState;
    type Arguments = (Arc<Wiring>, WriterMode);

    async fn pre_start(
        &self,
        myself: ActorRef<StorageMsg>,
        (wiring, mode): Self::Arguments,
    ) -> Result<StorageState, ActorProcessingErr> {
        let to = match mode {
            WriterMode::Inline => To::Inline(wiring.store.clone()),
            WriterMode::Thread => {
                let (tx, rx) = sync_channel(COMMIT_QUEUE);
                let store = wiring.store.clone();
                std::thread::Builder::new()
                    .name("cairn-writer".into())
                    .spawn(move || write_until_closed(store.as_ref(), &rx, &myself))?;
                To::Thread(tx)
            }
        };
        *wiring.committer.write().unwrap_or_else(PoisonError::into_inner) = Some(Committer { to });
        Ok(StorageState { wiring })
    }

    async fn handle(
        &self,
        _myself: ActorRef<StorageMsg>,
        msg: StorageMsg,
        state: &mut StorageState,
    ) -> Result<(), ActorProcessingErr> {
        match msg {
            StorageMsg::Failed(e) => state.wiring.trouble("store", Some(e.to_string())),
            StorageMsg::Recovered => state.wiring.trouble("store", None),
        }
        Ok(())
    }

    async fn post_stop(&self, _: ActorRef<StorageMsg>, state: &mut StorageState) -> Result<(), ActorProcessingErr> {
        state.wiring.committer.write().unwrap_or_else(PoisonError::into_inner).take();
        Ok(())
    }
}

fn write_until_closed(store: &dyn Store, rx: &Receiver<Batch>, actor: &ActorRef<StorageMsg>) {
    let mut failing = false;
    let mut rest_at = Instant::now().checked_add(JOURNAL_FIRST);
    loop {
        let first = match rest_at {
            None => rx.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(at) => rx.recv_timeout(at.saturating_duration_since(Instant::now())),
        };
        if rest_at.is_some_and(|at| Instant::now() >= at) {
            rest_at = None;
            if let Err(error) = store.rest() {
                // What is saved stays saved; a batch that cannot be is told to whoever waits for it.
                tracing::warn!(%error, "the store could not be put in order");
            }
        }
        let first = match first {
            Ok(first) => first,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let mut records = first.writes.len();
        let mut group = vec![first];
        while records < COMMIT_RECORDS
            && let Ok(next) = rx.try_recv()
        {
            records += next.writes.len();
            group.push(next);
        }
        let all: Vec<Write> = group.iter_mut().flat_map(|b| b.writes.iter().cloned()).collect();
        let result = store.commit(&all);
        drop(all);
        let lone = group.len() == 1;
        let mut failed = None;
        for b in group {
            // One bad batch must not take its neighbours along: after a failed group each is tried alone.
            let r = match &result {
                Ok(()) => Ok(()),
                Err(e) if lone => Err(e.clone()),
                Err(_) => store.commit(&b.writes),
            };
            failed = r.as_ref().err().cloned().or(failed);
            (b.done)(r);
        }
        if let Some(e) = failed {
            failing = true;
            let _ = actor.send_message(StorageMsg::Failed(e));
        } else if std::mem::take(&mut failing) {
            let _ = actor.send_message(StorageMsg::Recovered);
        }
        rest_at = rest_at.or_else(|| Instant::now().checked_add(JOURNAL_REST));
    }
}
