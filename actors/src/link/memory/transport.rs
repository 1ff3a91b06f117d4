//! Dialling and accepting over the switch.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use cairn_crdt::ids::DeviceId;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::wire::{MemoryLink, Party, Wire};
use super::{Instance, Net, lock};
use crate::limits::HANDSHAKE_TIMEOUT;
use crate::link::{BoxFuture, Link, LinkError, Transport};

/// The link side of one node.
pub struct MemoryTransport {
    net: Arc<Mutex<Net>>,
    me: Party,
    arrived: tokio::sync::Mutex<mpsc::Receiver<Arc<dyn Link>>>,
    mine: Mutex<Vec<std::sync::Weak<dyn Link>>>,
}

impl std::fmt::Debug for MemoryTransport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MemoryTransport({} at {})", self.me.device.short(), self.me.addr)
    }
}

impl MemoryTransport {
    pub(super) fn new(
        net: Arc<Mutex<Net>>,
        addr: SocketAddr,
        instance: Instance,
        device: DeviceId,
        arrived: mpsc::Receiver<Arc<dyn Link>>,
    ) -> Self {
        let me = Party { addr, instance, device };
        Self { net, me, arrived: tokio::sync::Mutex::new(arrived), mine: Mutex::default() }
    }

    async fn dial_link(&self, to: SocketAddr, expect: Option<DeviceId>) -> Result<Arc<dyn Link>, LinkError> {
        let given_up = Instant::now() + HANDSHAKE_TIMEOUT;
        let round = {
            let mut net = lock(&self.net);
            let delay = net.delay();
            delay.saturating_mul(3)
        };
        tokio::time::sleep(round).await;
        match self.join(to, expect) {
            Some(result) => result,
            None => {
                tokio::time::sleep_until(given_up).await;
                Err(LinkError::TimedOut)
            }
        }
    }

    /// Both ends of a new wire, or `None` if no answer comes.
    fn join(&self, to: SocketAddr, expect: Option<DeviceId>) -> Option<Result<Arc<dyn Link>, LinkError>> {
        let mut net = lock(&self.net);
        if !net.is(self.me.addr, self.me.instance) || !net.reaches(self.me.addr, to) {
            return None;
        }
        let node = net.nodes.get(&to).filter(|n| !n.firewalled || to == self.me.addr)?;
        let peer = Party { addr: to, instance: node.instance, device: node.device };
        if peer.device == self.me.device {
            return Some(Err(LinkError::Oneself));
        }
        if expect.is_some_and(|e| e != peer.device) {
            return Some(Err(LinkError::WrongPeer));
        }
        let place = node.arrive.clone().try_reserve_owned().ok()?;
        net.next = net.next.saturating_add(1);
        let wire = Wire::new(self.net.clone(), net.next, self.me, peer);
        net.wires.push(Arc::downgrade(&wire));
        drop(net);
        let (here, there) = MemoryLink::pair(wire);
        let here: Arc<dyn Link> = Arc::new(here);
        self.keep(&here);
        place.send(Arc::new(there));
        Some(Ok(here))
    }

    fn keep(&self, link: &Arc<dyn Link>) {
        let mut mine = lock(&self.mine);
        mine.retain(|l| l.strong_count() > 0);
        mine.push(Arc::downgrade(link));
    }
}

impl Transport for MemoryTransport {
    fn port(&self) -> u16 {
        self.me.addr.port()
    }

    fn dial(&self, to: SocketAddr, expect: Option<DeviceId>) -> BoxFuture<'_, Result<Arc<dyn Link>, LinkError>> {
        Box::pin(self.dial_link(to, expect))
    }

    fn accept(&self) -> BoxFuture<'_, Option<Arc<dyn Link>>> {
        Box::pin(async {
            let link = self.arrived.lock().await.recv().await?;
            self.keep(&link);
            Some(link)
        })
    }

    fn network_changed(&self) {}

    fn shutdown(&self, reason: &str) -> BoxFuture<'_, ()> {
        let reason = reason.to_owned();
        Box::pin(async move {
            let mine: Vec<_> = lock(&self.mine).drain(..).filter_map(|l| l.upgrade()).collect();
            for link in &mine {
                link.close(&reason);
            }
            let delay = {
                let mut net = lock(&self.net);
                let delay = net.delay();
                if net.is(self.me.addr, self.me.instance) {
                    net.nodes.remove(&self.me.addr);
                }
                delay
            };
            tokio::time::sleep(delay).await;
        })
    }
}
