//! The lives of a node. What a running node cannot do to its own store (exchange it for a backup, repair it, compact it)
//! is done between two lives: the tree stops as it does when the node stops, the store is closed, the parts are made
//! anew, and a new tree starts, a new incarnation. The door, who listens and the lock of the data folder stay; requests
//! wait meanwhile.

use std::any::Any;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use cairn_crdt::ids::Incarnation;
use ractor::{Actor, ActorRef};
use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;

use crate::api::{ApiError, Compacted, Event};
use crate::link::{BoxFuture, Transport};
use crate::node::{Parts, Root, RootArgs, RootMsg, StartError};
use crate::people::People;
use crate::quota::Quota;
use crate::tree::Spec;
use crate::wiring::{Me, Wiring, started};

/// What is kept as long as the node: the lock of its data folder.
pub type Keep = Box<dyn Any + Send + Sync>;

/// What is done between two lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Renew {
    /// Read and check everything, and repair what is damaged.
    pub verify: bool,
    /// Give room back.
    pub compact: bool,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Renewed {
    /// Where what a restored backup replaced is kept.
    pub kept: Option<std::path::PathBuf>,
    /// What was repaired.
    pub repaired: Option<String>,
    /// What compacting the store gave back.
    pub compacted: Option<Compacted>,
}

/// Makes the parts of the next life, with what is to be done before, what is kept, and the port to take again.
pub type Remake = Box<dyn FnMut(Renew, Keep, u16) -> BoxFuture<'static, Result<(Parts, Renewed), StartError>> + Send>;

/// An order to end this life and begin another.
pub(crate) struct Order {
    pub renew: Renew,
    /// Told once the next life has begun.
    pub done: Box<dyn FnOnce(Result<Renewed, ApiError>) + Send>,
}

/// Where an order waits for the end of a life.
#[derive(Clone)]
pub(crate) struct Orders {
    waiting: Arc<Mutex<Option<Order>>>,
    renewable: bool,
}

impl Orders {
    pub(crate) fn new(renewable: bool) -> Self {
        Self { waiting: Arc::default(), renewable }
    }

    pub(crate) fn renewable(&self) -> bool {
        self.renewable
    }

    pub(crate) fn give(&self, order: Order) {
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = Some(order);
    }

    fn take(&self) -> Option<Order> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// One life: a tree and what its actors share.
pub(crate) struct Life {
    pub wiring: Arc<Wiring>,
    pub root: ActorRef<RootMsg>,
    join: JoinHandle<()>,
    failure: Arc<Mutex<Option<String>>>,
}

impl Life {
    /// Starts a tree; `events`: where subscribers listen already.
    pub(crate) async fn begin(
        parts: Parts,
        events: Option<broadcast::Sender<Event>>,
        orders: &Orders,
    ) -> Result<Self, StartError> {
        let Parts { env, key, store, seal, mut first, writer, transport, settings, keys, name, .. } = parts;
        let Parts { data, discovery, discovering, keep, troubles, known, resumed, given_back, .. } = parts;
        let me = key.id();
        let incarnation = resumed.unwrap_or_else(|| Incarnation(env.random()));
        let people = People::load(me, store.as_ref())?;
        // Written before anything is signed: how often this device has started, and when.
        first.push(started(&incarnation, &env));
        store.commit(&first)?;
        let about = Me { name, named: settings.0.named, interfaces: Vec::new(), discovery: discovering, data };
        let mut wiring = Wiring::new(env, key, incarnation, store, transport, people, about);
        wiring.known = known;
        wiring.seal = seal;
        if let Some(events) = events {
            wiring.events = events;
        }
        wiring.read_receipts = settings.0.read_receipts.into();
        wiring.set_quota(Quota::of(&settings.0));
        wiring.set_keys(keys.0);
        let wiring = Arc::new(wiring);
        *wiring.keep.lock().unwrap_or_else(PoisonError::into_inner) = Some(keep);
        if !troubles.is_empty() {
            wiring.trouble("data_folder", Some(troubles.join(" ")));
        }
        let failure = Arc::<Mutex<Option<String>>>::default();
        if let Some(room) = given_back {
            wiring.compacted(room);
        }
        let spec = Spec { wiring: wiring.clone(), writer, discovery };
        let args = RootArgs { spec, settings, keys_file: keys.1, failure: failure.clone(), orders: orders.clone() };
        let (root, join) = Actor::spawn(None, Root, args)
            .await
            .map_err(|e| StartError::System(format!("the node could not start: {e}")))?;
        Ok(Self { wiring, root, join, failure })
    }

    /// Waits for its end and lets go of the store. Answers what was kept, and why it gave up if it did.
    async fn end(self) -> (Arc<Wiring>, Option<Keep>, Option<String>) {
        let _ = self.join.await;
        // Tasks that are just ending may hold the wiring a moment longer: the store is free when this returns.
        self.wiring.store.close();
        let keep = self.wiring.keep.lock().unwrap_or_else(PoisonError::into_inner).take();
        let why = self.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        (self.wiring, keep, why)
    }
}

/// Lives until the node stops; answers why it gave up, if it did. `root` is where requests go, `None` between lives.
pub(crate) async fn live(
    mut life: Life,
    mut remake: Option<Remake>,
    orders: &Orders,
    root: &watch::Sender<Option<ActorRef<RootMsg>>>,
) -> Option<String> {
    loop {
        let (wiring, keep, why) = life.end().await;
        root.send_replace(None);
        let (order, events) = (orders.take(), wiring.events.clone());
        let (Some(Order { renew, done }), Some(remake), Some(keep), None) = (order, &mut remake, keep, &why) else {
            // The lock of the data folder is gone with what was kept.
            return why;
        };
        let (port, transport) = (wiring.transport.port(), Arc::downgrade(&wiring.transport));
        drop(wiring);
        gone(&transport).await;
        let next = match remake(renew, keep, port).await {
            Ok((parts, renewed)) => Life::begin(parts, Some(events.clone()), orders).await.map(|next| (next, renewed)),
            Err(e) => Err(e),
        };
        match next {
            Ok((next, renewed)) => {
                root.send_replace(Some(next.root.clone()));
                life = next;
                // Whoever listens knows nothing of what is there now.
                let _ = events.send(Event::Lagged);
                done(Ok(renewed));
            }
            Err(e) => {
                let why = format!("the node could not start again: {e}");
                let _ = events.send(Event::Stopping);
                done(Err(ApiError::new("stopped", why.clone())));
                return Some(why);
            }
        }
    }
}

/// How long the next life waits for the socket of the last one.
const SOCKET_WAIT: Duration = Duration::from_secs(2);

/// Waits until nobody holds a transport any more, so that its port is free.
async fn gone(transport: &Weak<dyn Transport>) {
    let gone = async {
        while transport.strong_count() > 0 {
            // No event tells when the last of the tasks that are just ending lets go.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let _ = tokio::time::timeout(SOCKET_WAIT, gone).await;
}
