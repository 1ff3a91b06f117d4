//! The supervision tree on one screen.
//!
//! ```text
//! Node                       supervisor; a child that dies is started again, at most MAX_RESTARTS times in WINDOW,
//! │                          beyond that the node stops with a clear sentence (whoever runs it decides)
//! ├── storage                the writer's keeper; when it dies, documents start anew too: a commit may go unanswered
//! ├── documents              every space; asks sessions to introduce themselves when it starts
//! ├── sessions               supervisor; when it dies its sessions end and peers are dialled again
//! │   └── session × n        temporary: not restarted, its peer is dialled again; at most SESSIONS_MAX
//! ├── presence               heartbeats and the failure detector; asks for introductions when it starts
//! ├── endpoint               accepts and dials; the socket itself outlives it
//! └── discovery              beacons; its sockets are bound anew; asks for introductions when it starts
//! ```
//!
//! Nobody keeps an address of another actor: messages go through [`crate::wiring::Slot`]s, which the node refills. A
//! message to an actor that is being restarted is dropped, and nothing rests on one: what is durable is in the store,
//! who is connected is known to sessions, and both are asked on every start.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorCell, SpawnErr};

use crate::discovery::{DiscoveryActor, DiscoveryArgs};
use crate::documents::Documents;
use crate::endpoint::Endpoint;
use crate::presence::Presence;
use crate::sessions::Sessions;
use crate::storage::{Storage, WriterMode};
use crate::wiring::Wiring;

/// Restarts of one child allowed within [`WINDOW`].
pub const MAX_RESTARTS: usize = 10;
/// The window in which restarts are counted.
pub const WINDOW: Duration = Duration::from_secs(30);

/// The children of the node, in the order in which they start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Child {
    /// The storage actor.
    Storage,
    /// The documents actor.
    Documents,
    /// The sessions' supervisor.
    Sessions,
    /// The presence actor.
    Presence,
    /// The endpoint actor.
    Endpoint,
    /// The discovery actor.
    Discovery,
}

impl Child {
    /// All children, in the order in which they start.
    pub const ALL: [Self; 6] =
        [Self::Storage, Self::Documents, Self::Sessions, Self::Presence, Self::Endpoint, Self::Discovery];

    /// The name for logs and for the kill hook.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Storage => "storage",
            Self::Documents => "documents",
            Self::Sessions => "sessions",
            Self::Presence => "presence",
            Self::Endpoint => "endpoint",
            Self::Discovery => "discovery",
        }
    }

    /// Children that cannot go on when this one dies: they are killed and start anew after it.
    #[must_use]
    pub fn takes_along(self) -> &'static [Self] {
        match self {
            Self::Storage => &[Self::Documents],
            _ => &[],
        }
    }
}

/// Makes discovery's arguments, at every start of it anew: what the node knows by then.
pub type MakeDiscovery = Box<dyn Fn(&Arc<Wiring>) -> DiscoveryArgs + Send + Sync>;

/// What children are started with.
pub struct Spec {
    /// What they share.
    pub wiring: Arc<Wiring>,
    /// How the writer runs.
    pub writer: WriterMode,
    /// Makes discovery's arguments, at every start anew.
    pub discovery: MakeDiscovery,
}

impl Spec {
    /// Starts a child under a supervisor and puts it into its slot.
    ///
    /// # Errors
    /// [`SpawnErr`] where its start failed.
    pub async fn start(&self, child: Child, supervisor: ActorCell) -> Result<ActorCell, SpawnErr> {
        let w = &self.wiring;
        Ok(match child {
            Child::Storage => {
                let (a, _) = Actor::spawn_linked(None, Storage, (w.clone(), self.writer), supervisor).await?;
                w.storage.set(a.clone());
                a.get_cell()
            }
            Child::Documents => {
                let (a, _) = Actor::spawn_linked(None, Documents, w.clone(), supervisor).await?;
                w.documents.set(a.clone());
                a.get_cell()
            }
            Child::Sessions => {
                let networks = crate::documents::claims_of(w.store.as_ref());
                let (a, _) = Actor::spawn_linked(None, Sessions, (w.clone(), networks), supervisor).await?;
                w.sessions.set(a.clone());
                a.get_cell()
            }
            Child::Presence => {
                let (a, _) = Actor::spawn_linked(None, Presence, w.clone(), supervisor).await?;
                w.presence.set(a.clone());
                a.get_cell()
            }
            Child::Endpoint => {
                let (a, _) = Actor::spawn_linked(None, Endpoint, w.clone(), supervisor).await?;
                w.endpoint.set(a.clone());
                a.get_cell()
            }
            Child::Discovery => {
                let (a, _) = Actor::spawn_linked(None, DiscoveryActor, (self.discovery)(w), supervisor).await?;
                w.discovery.set(a.clone());
                // Whoever is here must not be dialled again.
                w.sessions.cast(crate::sessions::SessionsMsg::Introduce);
                a.get_cell()
            }
        })
    }
}

/// Counts restarts of one child.
#[derive(Debug, Default)]
pub struct Restarts(VecDeque<Duration>);

impl Restarts {
    /// Notes a restart; `false` if there were too many within [`WINDOW`].
    pub fn allow(&mut self, now: Duration) -> bool {
        while self.0.front().is_some_and(|t| now.saturating_sub(*t) > WINDOW) {
            self.0.pop_front();
        }
        self.0.push_back(now);
        self.0.len() <= MAX_RESTARTS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restarts_are_capped_within_the_window_and_forgiven_after_it() {
        let mut r = Restarts::default();
        for i in 0..MAX_RESTARTS {
            assert!(r.allow(Duration::from_secs(i as u64)));
        }
        assert!(!r.allow(Duration::from_secs(11)));
        assert!(r.allow(Duration::from_secs(60)));
    }
}
