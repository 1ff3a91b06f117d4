//! The storage actor: the one writer, with group commit.
//!
//! Writes go straight to the writer's queue through a [`Committer`]; the writer takes everything that waits (at most
//! [`COMMIT_RECORDS`]) into one durable batch and then answers each. While it waits for the disk, the next group
//! gathers. A while after a batch the writer lets the store rest, which empties its journal. The actor owns the writer: when it dies the writer ends, and the tree starts both anew, together with the
//! documents that may wait for an answer.

use std::path::Path;
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Instant;

use ractor::{Actor, ActorProcessingErr, ActorRef};

use crate::api::Compacted;
use crate::care::room::{self, Look, Watch, frees};
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
    /// The writer gave room back.
    Compacted(Compacted),
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
                let (store, data) = (wiring.store.clone(), wiring.status().data);
                std::thread::Builder::new().name("cairn-writer".into()).spawn(move || {
                    let tell = |msg| drop(myself.send_message(msg));
                    write_until_closed(store.as_ref(), &data, &rx, Watch::new(), tell);
                })?;
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
            StorageMsg::Compacted(compacted) => state.wiring.compacted(compacted),
        }
        Ok(())
    }

    async fn post_stop(&self, _: ActorRef<StorageMsg>, state: &mut StorageState) -> Result<(), ActorProcessingErr> {
        state.wiring.committer.write().unwrap_or_else(PoisonError::into_inner).take();
        Ok(())
    }
}

fn write_until_closed(
    store: &dyn Store,
    data: &Path,
    rx: &Receiver<Batch>,
    mut watch: Watch,
    tell: impl Fn(StorageMsg),
) {
    let mut failing = false;
    let mut rest_at = Instant::now().checked_add(JOURNAL_FIRST);
    loop {
        let rest = rest_at.map(|at| at.saturating_duration_since(Instant::now()));
        let first = match rest.into_iter().chain(watch.wait()).min() {
            None => rx.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(wait) => rx.recv_timeout(wait),
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
            Err(RecvTimeoutError::Timeout) => {
                if watch.take() {
                    give_back(store, data, &tell);
                }
                continue;
            }
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
        watch.wrote(frees(&all));
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
            tell(StorageMsg::Failed(e));
        } else if std::mem::take(&mut failing) {
            tell(StorageMsg::Recovered);
        }
        rest_at = rest_at.or_else(|| Instant::now().checked_add(JOURNAL_REST));
    }
}

/// Gives room back where it is worth it. Whoever waits for a commit waits for this too.
fn give_back(store: &dyn Store, data: &Path, tell: impl Fn(StorageMsg)) {
    match room::look(store, data) {
        Ok(Look::Left) => {}
        Ok(Look::Later) => tracing::info!("much of the store is free: the next start gives it back"),
        Ok(Look::Done(compacted)) => tell(StorageMsg::Compacted(compacted)),
        Err(error) => tracing::warn!(%error, "room in the store could not be given back"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use super::*;
    use crate::store::RedbStore;
    use crate::store::conformance::Author;

    #[test]
    fn the_file_shrinks_by_itself_once_nothing_is_written_after_much_was_erased() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cairn.redb");
        let store = RedbStore::open(&path).unwrap();
        let mut author = Author::new(1, 1, 1);
        let (tx, rx) = sync_channel(COMMIT_QUEUE);
        let (told, heard) = channel();
        let watch = Watch::after(Duration::from_millis(200));
        std::thread::scope(|scope| {
            let (store, data) = (&store, dir.path());
            scope.spawn(move || write_until_closed(store, data, &rx, watch, |msg| drop(told.send(msg))));
            let write = |writes| {
                let (done, answer) = channel();
                let done: Done = Box::new(move |result| drop(done.send(result)));
                assert!(tx.send(Batch { writes, done }).is_ok());
                answer.recv().unwrap().unwrap();
            };
            for _ in 0..80 {
                write(author.appends(100, 4_000));
            }
            let full = std::fs::metadata(&path).unwrap().len();
            write(vec![Write::Erase { space: author.space, log: author.log, from: 1, upto: 7_900 }]);
            let StorageMsg::Compacted(room) = heard.recv().unwrap() else { panic!("nothing else is to be told") };
            assert!(room.before >= full && room.after < full / 3, "{room:?} of {full}");
            write(vec![author.append(b"and it goes on")]);
            drop(tx);
        });
        store.close();
        let after = std::fs::metadata(&path).unwrap().len();
        assert!(after < 20_000_000, "{after} bytes");
        assert_eq!(RedbStore::open(&path).unwrap().tips(&author.space).unwrap()[0].1.seq, 8_001);
    }
}
