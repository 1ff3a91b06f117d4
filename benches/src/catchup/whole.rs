//! Whole nodes on loopback with real folders: when what was missing is durable, on screen and readable, and what
//! talking costs meanwhile.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cairn_actors::api::{Event, PageAt};
use cairn_actors::handle::Handle;
use cairn_actors::store::{RedbStore, Store, Write};
use cairn_crdt::entry::Entry;
use cairn_crdt::ids::{MessageId, SpaceId};

use crate::figures::percentile;
use crate::nodes::{Error, Running, everyone, start_in};
use crate::proc;

/// Records in one commit when a store is filled.
const FILL: usize = 4_096;
/// Longest wait for a catch-up.
const PATIENCE: Duration = Duration::from_secs(600);
/// Messages on a screen.
const SCREEN: usize = 100;

/// Two data folders of one network, one of which has what the other lacks.
pub struct Folders {
    giver: PathBuf,
    taker: PathBuf,
    /// Their Everyone room.
    pub room: SpaceId,
    /// Messages in it before any were put there.
    pub greeted: usize,
}

/// Two nodes meet once, so that their folders know one network, and say a word each.
///
/// # Errors
/// Where they don't.
pub async fn acquaint(folder: &Path) -> Result<Folders, Error> {
    let (giver, taker) = (folder.join("giver"), folder.join("taker"));
    let t = start_in("taker", &taker, Vec::new()).await?;
    let g = start_in("giver", &giver, vec![t.address]).await?;
    let until = Instant::now() + PATIENCE;
    let room = loop {
        let (here, there) = (everyone(&g.handle).await?, everyone(&t.handle).await?);
        if here == there && !g.handle.peers().await?.is_empty() {
            break here;
        }
        if Instant::now() > until {
            return Err("two nodes don't form one network".into());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    g.handle.say(room, "here", None).await?;
    t.handle.say(room, "here too", None).await?;
    for node in [&g, &t] {
        while total(&node.handle, room).await? < 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    stop(g).await?;
    stop(t).await?;
    Ok(Folders { giver, taker, room, greeted: 2 })
}

async fn stop(node: Running) -> Result<(), Error> {
    Ok(node.handle.stop().await?)
}

async fn total(handle: &Handle, room: SpaceId) -> Result<usize, Error> {
    Ok(usize::try_from(handle.page(room, PageAt::Newest, 1).await?.total)?)
}

/// Puts entries into a folder's store.
///
/// # Errors
/// What the store refuses.
pub fn fill(store: &Path, entries: &[Arc<Entry>]) -> Result<(), Error> {
    let store = RedbStore::open(store)?;
    for part in entries.chunks(FILL) {
        let writes: Vec<_> = part.iter().map(|e| Write::Append { entry: e.clone(), received: 1 }).collect();
        store.commit(&writes)?;
    }
    store.close();
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(to)?;
    for file in std::fs::read_dir(from)? {
        let file = file?;
        if file.file_type()?.is_file() {
            std::fs::copy(file.path(), to.join(file.file_name()))?;
        }
    }
    Ok(())
}

impl Folders {
    /// Copies of both, the giver's with the first `prefix + missing` entries, the taker's with the first `prefix`.
    ///
    /// # Errors
    /// What the system refuses.
    pub fn filled(&self, to: &Path, entries: &[Arc<Entry>], prefix: usize) -> Result<Self, Error> {
        let (giver, taker) = (to.join("giver"), to.join("taker"));
        copy(&self.giver, &giver)?;
        copy(&self.taker, &taker)?;
        fill(&giver.join("cairn.redb"), entries)?;
        fill(&taker.join("cairn.redb"), entries.get(..prefix).ok_or("too few entries")?)?;
        Ok(Self { giver, taker, room: self.room, greeted: self.greeted })
    }
}

/// What a catch-up took, from the moment the peer was online.
#[derive(Debug, Clone, Default)]
pub struct Took {
    /// All entries are on the disk.
    pub durable: Duration,
    /// The newest page shows the newest message.
    pub screen: Duration,
    /// Every message that was missing was read, page by page.
    pub readable: Duration,
    /// Processor time of both nodes until durable.
    pub cpu: Duration,
    /// Resident memory of both nodes in MiB, at its highest and above what it was before.
    pub memory: f64,
    /// What `say` took here meanwhile, if that was asked for.
    pub said: Vec<Duration>,
}

/// Starts the taker, then the giver, and waits until the taker has everything. `talk`: say something every 20 ms.
///
/// # Errors
/// Where it does not come about.
pub async fn run(folders: &Folders, missing: usize, total: usize, last: MessageId, talk: bool) -> Result<Took, Error> {
    let room = folders.room;
    let taker = start_in("taker", &folders.taker, Vec::new()).await?;
    let mut events = taker.handle.subscribe();
    let before = count(&taker.handle, room).await?;
    let giver = start_in("giver", &folders.giver, vec![taker.address]).await?;
    let begun = loop {
        if let Event::Peer(p) = events.recv().await?
            && p.id == giver.id
        {
            break Instant::now();
        }
    };
    let cpu = proc::own_cpu();
    let screen = tokio::spawn(screen(taker.handle.clone(), room, last, begun));
    let (stop_talking, stopped) = tokio::sync::watch::channel(false);
    let talking = talk.then(|| tokio::spawn(talk_until(taker.handle.clone(), room, stopped)));
    let mut took = Took::default();
    let resident = || proc::resident_mib(std::process::id());
    let idle = resident();
    let all = before + missing;
    while count(&taker.handle, room).await? < all {
        if begun.elapsed() > PATIENCE {
            return Err(format!("{} of {total} messages came", count(&taker.handle, room).await?).into());
        }
        took.memory = took.memory.max(resident() - idle);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    took.durable = begun.elapsed();
    took.cpu = proc::own_cpu().saturating_sub(cpu);
    let _ = stop_talking.send(true);
    if let Some(talking) = talking {
        took.said = talking.await??;
    }
    took.screen = screen.await??;
    let mut read = 0;
    let mut at = PageAt::Newest;
    while read < missing {
        let page = taker.handle.page(room, at, 2_000).await?;
        let first = page.messages.first().ok_or("a page without messages")?;
        (read, at) = (read + page.messages.len(), PageAt::Before(first.key));
    }
    took.readable = begun.elapsed();
    took.memory = took.memory.max(resident() - idle);
    stop(giver).await?;
    stop(taker).await?;
    Ok(took)
}

/// Messages that the list of conversations counts: durable ones, read into memory or not.
async fn count(handle: &Handle, room: SpaceId) -> Result<usize, Error> {
    let all = handle.conversations().await?;
    let room = all.iter().find(|c| c.id == room).ok_or("no such room")?;
    Ok(usize::try_from(room.unread)?)
}

/// A window on the conversation: it asks for the newest page whenever it hears of something new.
async fn screen(handle: Handle, room: SpaceId, last: MessageId, begun: Instant) -> Result<Duration, Error> {
    let mut events = handle.subscribe();
    loop {
        let page = handle.page(room, PageAt::Newest, SCREEN).await?;
        if page.messages.iter().any(|m| m.id == last) {
            return Ok(begun.elapsed());
        }
        if begun.elapsed() > PATIENCE {
            return Err("the newest message does not show".into());
        }
        let heard = async {
            loop {
                match events.recv().await {
                    Ok(Event::Message(_) | Event::Messages { .. } | Event::Conversation(_)) | Err(_) => return,
                    Ok(_) => {}
                }
            }
        };
        let _ = tokio::time::timeout(Duration::from_secs(1), heard).await;
    }
}

async fn talk_until(
    handle: Handle,
    room: SpaceId,
    stopped: tokio::sync::watch::Receiver<bool>,
) -> Result<Vec<Duration>, Error> {
    let mut took = Vec::new();
    while !*stopped.borrow() {
        let begun = Instant::now();
        handle.say(room, "still talking", None).await?;
        took.push(begun.elapsed());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(took)
}

/// Median and slowest.
#[must_use]
pub fn said(took: &mut [Duration]) -> String {
    let (p50, max) = (percentile(took, 50), percentile(took, 100));
    format!("{:.1} / {:.1} ms ({} times)", p50.as_secs_f64() * 1e3, max.as_secs_f64() * 1e3, took.len())
}
