//! The same document between two samod repositories in this process, joined by channels, each on a folder of its own.
//! samod writes without fsync: its "durable" is when its last write ended.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use automerge::{Automerge, Change};
use samod::storage::TokioFilesystemStorage;
use samod::transport::channel::ChannelDialer;
use samod::{BackoffConfig, DocHandle, DocumentId, Repo, RepoEvent, RepoObserver, StorageOperation, Url};

use super::{Figures, data};
use crate::nodes::Error;
use crate::proc;

const PATIENCE: Duration = Duration::from_secs(600);

/// What a repository did.
#[derive(Default)]
struct Watch {
    bytes: AtomicU64,
    messages: AtomicU64,
    put: Mutex<Option<Instant>>,
}

struct Observer(Arc<Watch>);

impl RepoObserver for Observer {
    fn observe(&self, event: &RepoEvent) {
        match event {
            RepoEvent::SyncMessageGenerated { bytes, .. } => {
                self.0.bytes.fetch_add(*bytes as u64, Ordering::Relaxed);
                self.0.messages.fetch_add(1, Ordering::Relaxed);
            }
            RepoEvent::StorageOperationCompleted { operation: StorageOperation::Put, .. } => {
                *self.0.put.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
            }
            _ => {}
        }
    }
}

async fn repo(folder: &Path) -> (Repo, Arc<Watch>) {
    let watch = Arc::new(Watch::default());
    let storage = TokioFilesystemStorage::new(folder);
    (Repo::build_tokio().with_storage(storage).with_observer(Observer(watch.clone())).load().await, watch)
}

/// Connects two repositories.
fn connect(from: &Repo, to: &Repo) -> Result<(), Error> {
    let acceptor = to.make_acceptor(Url::parse("channel://here")?)?;
    from.dial(BackoffConfig::default(), Arc::new(ChannelDialer::new(acceptor)))?;
    Ok(())
}

fn length(doc: &DocHandle) -> usize {
    doc.with_document(|d| d.get_changes_meta(&[]).len())
}

async fn found(repo: &Repo, id: &DocumentId) -> Result<DocHandle, Error> {
    let found = tokio::time::timeout(PATIENCE, repo.find(id.clone())).await?;
    Ok(found?.ok_or("the document is not found")?)
}

async fn wait(doc: &DocHandle, heads: &[automerge::ChangeHash]) -> Result<(), Error> {
    let until = Instant::now() + PATIENCE;
    while doc.with_document(|d| d.get_heads()) != heads {
        if Instant::now() > until {
            return Err(format!("samod has {} changes after {PATIENCE:?}", length(doc)).into());
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}

/// Lets a repository with the first `prefix` changes get the rest from another.
///
/// # Errors
/// Where it does not.
pub async fn run(changes: &[Change], prefix: usize, folder: &Path) -> Result<Figures, Error> {
    let (here, there) = (folder.join("giver"), folder.join("taker"));
    // The prefix, in both folders.
    let id = {
        let (giver, _) = repo(&here).await;
        let mut doc = Automerge::new();
        doc.apply_changes(changes.get(..prefix).ok_or("too few changes")?.to_vec())?;
        let doc = giver.create(doc).await?;
        let heads = doc.with_document(|d| d.get_heads());
        if prefix > 0 {
            let (taker, _) = repo(&there).await;
            connect(&taker, &giver)?;
            taker.when_connected(giver.peer_id()).await?;
            wait(&found(&taker, doc.document_id()).await?, &heads).await?;
            taker.stop().await;
        }
        doc.with_document(|d| d.apply_changes(changes.iter().skip(prefix).cloned()))?;
        let id = doc.document_id().clone();
        giver.stop().await;
        id
    };
    let (giver, giving) = repo(&here).await;
    let (taker, taking) = repo(&there).await;
    let heads = found(&giver, &id).await?.with_document(|d| d.get_heads());
    if prefix > 0 {
        // Loaded from the disk before the clock runs, as a node that was running has it.
        let _ = tokio::time::timeout(PATIENCE, taker.find(id.clone())).await??;
    }

    let (begun, cpu) = (Instant::now(), proc::own_cpu());
    connect(&taker, &giver)?;
    // Asked before there is a connection, it would say that nobody has the document.
    taker.when_connected(giver.peer_id()).await?;
    let doc = found(&taker, &id).await?;
    wait(&doc, &heads).await?;
    let applied = begun.elapsed();
    let reading = Instant::now();
    let shown = doc.with_document(|d| data::read(d))?;
    let readable = applied + reading.elapsed();
    if shown != changes.len() {
        return Err(format!("{shown} messages show, not {}", changes.len()).into());
    }
    giver.stop().await;
    taker.stop().await;
    let cpu = proc::own_cpu().saturating_sub(cpu);
    let put = *taking.put.lock().unwrap_or_else(PoisonError::into_inner);
    let durable = put.map_or(applied, |at| at.saturating_duration_since(begun));
    let bytes = giving.bytes.load(Ordering::Relaxed) + taking.bytes.load(Ordering::Relaxed);
    let round_trips = taking.messages.load(Ordering::Relaxed) as f64;
    Ok(Figures { bytes, round_trips, cpu, durable, readable })
}
