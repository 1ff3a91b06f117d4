//! Handshakes that others began with us, by where they come from: a dial to the same place waits for their end.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use cairn_crdt::ids::DeviceId;
use tokio::sync::watch;

use crate::limits::CAME_FIRST_WAIT;

/// The latest handshake from each address, for as long as it is under way; as many as the acceptor takes at once.
#[derive(Debug, Default)]
pub(super) struct Arriving(Mutex<BTreeMap<SocketAddr, watch::Receiver<Option<DeviceId>>>>);

impl Arriving {
    /// A handshake from an address begins; it ends when what is returned is dropped.
    pub(super) fn begin(self: &Arc<Self>, from: SocketAddr) -> Arrival {
        let (end, ended) = watch::channel(None);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(from, ended);
        Arrival { all: self.clone(), from, end }
    }

    /// Who has come from there, if a handshake is under way now and leads to a link soon enough. Whoever can send
    /// packets in another's name holds up a dial no longer than [`CAME_FIRST_WAIT`].
    pub(super) async fn from(&self, address: SocketAddr) -> Option<DeviceId> {
        let mut ended = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&address).cloned()?;
        tokio::time::timeout(CAME_FIRST_WAIT, ended.changed()).await.ok()?.ok()?;
        *ended.borrow()
    }
}

/// One handshake under way.
#[derive(Debug)]
pub(super) struct Arrival {
    all: Arc<Arriving>,
    from: SocketAddr,
    end: watch::Sender<Option<DeviceId>>,
}

impl Arrival {
    /// It led to a link with this device.
    pub(super) fn ended(&self, peer: DeviceId) {
        let _ = self.end.send(Some(peer));
    }
}

impl Drop for Arrival {
    fn drop(&mut self) {
        let mut all = self.all.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A later one from the same address stays.
        if all.get(&self.from).is_some_and(|ended| ended.same_channel(&self.end.subscribe())) {
            all.remove(&self.from);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const WHO: DeviceId = DeviceId([1; 32]);

    fn at(port: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], port))
    }

    #[tokio::test(start_paused = true)]
    async fn a_dial_waits_for_a_handshake_from_where_it_would_go_and_for_no_other() {
        let all = Arc::<Arriving>::default();
        assert_eq!(all.from(at(1)).await, None, "nobody comes");
        let arrival = all.begin(at(1));
        assert_eq!(all.from(at(2)).await, None, "it comes from elsewhere");
        let (waiting, task) = (all.clone(), Duration::from_millis(300));
        let dial = tokio::spawn(async move { waiting.from(at(1)).await });
        tokio::time::sleep(task).await;
        assert!(!dial.is_finished());
        arrival.ended(WHO);
        drop(arrival);
        assert_eq!(dial.await.unwrap(), Some(WHO));
        assert_eq!(all.from(at(1)).await, None, "what has ended holds nobody up");
    }

    #[tokio::test(start_paused = true)]
    async fn a_handshake_that_fails_or_never_ends_holds_a_dial_up_for_two_seconds_at_most() {
        let all = Arc::<Arriving>::default();
        let (first, second) = (all.begin(at(1)), all.begin(at(1)));
        drop(first);
        let began = tokio::time::Instant::now();
        assert_eq!(all.from(at(1)).await, None, "the later one is under way and never ends");
        assert_eq!(began.elapsed(), CAME_FIRST_WAIT);
        let waiting = all.clone();
        let dial = tokio::spawn(async move { waiting.from(at(1)).await });
        tokio::task::yield_now().await;
        drop(second);
        assert_eq!(dial.await.unwrap(), None);
        assert_eq!(began.elapsed(), CAME_FIRST_WAIT, "at once");
        assert!(all.0.lock().unwrap().is_empty());
    }
}
