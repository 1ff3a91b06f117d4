//! The in-memory twin of QUIC and of the beacon sockets: a [`Switch`] that connects any number of nodes in one process.
//! It runs on tokio's clock alone, so a paused clock makes hours pass in milliseconds, and all chance comes from its
//! seed, so every run repeats. It has latency, partitions, cut links, pulled cables, killed nodes and firewalls, and
//! it behaves like QUIC where it hurts: windows fill, frames in flight wait out a partition, silence ends a link after
//! the idle timeout and nobody is told.

mod beacons;
mod transport;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use bytes::Bytes;
use cairn_crdt::ids::DeviceId;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::sync::mpsc;
use tokio::time::Instant;

pub use self::beacons::MemoryBeacons;
pub use self::transport::MemoryTransport;
use self::wire::Wire;
use crate::limits::{BEACON_PORT, QUIC_PORT_FIRST};
use crate::link::Link;

/// One attachment of a node; a restarted node gets another one at the same address.
type Instance = u64;

/// A node's two sides of the switch.
#[derive(Debug, Clone)]
pub struct Attached {
    /// Where it is reached.
    pub addr: SocketAddr,
    /// Links.
    pub transport: Arc<MemoryTransport>,
    /// Beacons.
    pub beacons: Arc<MemoryBeacons>,
}

/// A simulated LAN. Clones are the same LAN.
#[derive(Debug, Clone)]
pub struct Switch {
    net: Arc<Mutex<Net>>,
    began: tokio::time::Instant,
}

struct Node {
    instance: Instance,
    device: DeviceId,
    plugged: bool,
    firewalled: bool,
    group: usize,
    arrive: mpsc::Sender<Arc<dyn Link>>,
    beacons: Arc<beacons::Inbox>,
}

/// What went over a switch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Frames of links.
    pub frames: u64,
    /// Their bytes; a real link adds about 60 a packet.
    pub bytes: u64,
    /// Beacons, each counted once for each hearer.
    pub beacons: u64,
}

struct Net {
    traffic: Traffic,
    /// Every frame sent, while somebody listens in.
    heard: Option<Vec<Bytes>>,
    rng: ChaCha8Rng,
    latency: Duration,
    jitter: Duration,
    beacon_loss: f64,
    next: u64,
    nodes: BTreeMap<SocketAddr, Node>,
    cut: BTreeSet<(SocketAddr, SocketAddr)>,
    wires: Vec<Weak<Wire>>,
}

impl std::fmt::Debug for Net {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Net({} nodes)", self.nodes.len())
    }
}

impl Switch {
    /// A LAN of 0.2 ms latency without loss.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let net = Net {
            traffic: Traffic::default(),
            heard: None,
            rng: ChaCha8Rng::seed_from_u64(seed),
            latency: Duration::from_micros(200),
            jitter: Duration::ZERO,
            beacon_loss: 0.0,
            next: 0,
            nodes: BTreeMap::new(),
            cut: BTreeSet::new(),
            wires: Vec::new(),
        };
        Self { net: Arc::new(Mutex::new(net)), began: tokio::time::Instant::now() }
    }

    /// How long this LAN has been there, by tokio's clock: true time for nodes whose own clocks may be wrong.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Attaches a node at a fresh address.
    #[must_use]
    pub fn attach(&self, device: DeviceId) -> Attached {
        let mut net = self.lock();
        let [_, _, high, low] = u32::try_from(net.next.saturating_add(1)).unwrap_or(u32::MAX).to_be_bytes();
        let addr = SocketAddr::from((Ipv4Addr::new(10, 77, high, low), QUIC_PORT_FIRST));
        net.attach(&self.net, device, addr)
    }

    /// Attaches a node at an address; whoever was there is killed.
    #[must_use]
    pub fn attach_at(&self, device: DeviceId, addr: SocketAddr) -> Attached {
        self.kill(addr);
        self.lock().attach(&self.net, device, addr)
    }

    /// One-way latency, and how much more it may be at random.
    pub fn set_latency(&self, latency: Duration, jitter: Duration) {
        let mut net = self.lock();
        (net.latency, net.jitter) = (latency, jitter);
    }

    /// The share of beacons that get lost, per hearer: 1.0 blocks multicast and broadcast altogether.
    pub fn set_beacon_loss(&self, share: f64) {
        self.lock().beacon_loss = share.clamp(0.0, 1.0);
    }

    /// Divides the LAN: nodes reach each other only within a group; nodes not named form one more group.
    pub fn partition(&self, groups: &[&[SocketAddr]]) {
        self.change(|net| {
            for (addr, node) in &mut net.nodes {
                node.group = groups.iter().position(|g| g.contains(addr)).map_or(0, |at| at.saturating_add(1));
            }
        });
    }

    /// Ends a partition and mends every cut link.
    pub fn heal(&self) {
        self.change(|net| {
            net.cut.clear();
            net.nodes.values_mut().for_each(|n| n.group = 0);
        });
    }

    /// Cuts what lies between two nodes.
    pub fn cut(&self, a: SocketAddr, b: SocketAddr) {
        self.change(|net| net.cut.insert((a.min(b), a.max(b))));
    }

    /// Mends it.
    pub fn mend(&self, a: SocketAddr, b: SocketAddr) {
        self.change(|net| net.cut.remove(&(a.min(b), a.max(b))));
    }

    /// Pulls a node's cable; the node notices that its interface is gone.
    pub fn unplug(&self, addr: SocketAddr) {
        self.set_plugged(addr, false);
    }

    /// Plugs it in again.
    pub fn plug(&self, addr: SocketAddr) {
        self.set_plugged(addr, true);
    }

    fn set_plugged(&self, addr: SocketAddr, plugged: bool) {
        self.change(|net| {
            if let Some(node) = net.nodes.get_mut(&addr) {
                node.plugged = plugged;
                node.beacons.changed(plugged.then_some(addr.ip()));
            }
        });
    }

    /// A firewall before a node that lets no dial in; it can dial others.
    pub fn set_firewall(&self, addr: SocketAddr, on: bool) {
        if let Some(node) = self.lock().nodes.get_mut(&addr) {
            node.firewalled = on;
        }
    }

    /// Ends a node as `kill -9` does: nobody is told.
    pub fn kill(&self, addr: SocketAddr) {
        self.change(|net| net.nodes.remove(&addr));
    }

    /// How many frames and beacons could be on their way: the number of links that still live.
    #[must_use]
    pub fn links(&self) -> usize {
        self.lock().wires.iter().filter(|w| w.strong_count() > 0).count()
    }

    /// What went over it so far.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        self.lock().traffic
    }

    /// Listens in from now on: [`Switch::heard`] is what a capture of all links would hold, below their encryption.
    pub fn listen_in(&self) {
        self.lock().heard.get_or_insert_default();
    }

    /// Every frame sent since.
    #[must_use]
    pub fn heard(&self) -> Vec<Bytes> {
        self.lock().heard.clone().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Net> {
        lock(&self.net)
    }

    /// Changes who reaches whom, and tells every link.
    fn change<T>(&self, f: impl FnOnce(&mut Net) -> T) {
        let mut net = self.lock();
        f(&mut net);
        let wires: Vec<(Arc<Wire>, bool)> =
            net.wires.iter().filter_map(Weak::upgrade).map(|w| (w.clone(), net.joins(&w))).collect();
        net.wires.retain(|w| w.strong_count() > 0);
        drop(net);
        for (wire, up) in wires {
            wire.set_path(up, Instant::now());
        }
    }
}

impl Net {
    fn attach(&mut self, net: &Arc<Mutex<Net>>, device: DeviceId, addr: SocketAddr) -> Attached {
        self.next = self.next.saturating_add(1);
        let instance = self.next;
        let (arrive, arrived) = mpsc::channel(64);
        let inbox = Arc::new(beacons::Inbox::new(addr.ip()));
        let node =
            Node { instance, device, plugged: true, firewalled: false, group: 0, arrive, beacons: inbox.clone() };
        self.nodes.insert(addr, node);
        Attached {
            addr,
            transport: Arc::new(MemoryTransport::new(net.clone(), addr, instance, device, arrived)),
            beacons: Arc::new(MemoryBeacons::new(net.clone(), addr, instance, inbox)),
        }
    }

    /// Whether packets pass between two addresses.
    fn reaches(&self, a: SocketAddr, b: SocketAddr) -> bool {
        match (self.nodes.get(&a), self.nodes.get(&b)) {
            (Some(x), Some(y)) => {
                let cut = self.cut.contains(&(a.min(b), a.max(b)));
                x.plugged && y.plugged && x.group == y.group && !cut
            }
            _ => false,
        }
    }

    /// Whether both ends of a wire still are who they were, and packets pass.
    fn joins(&self, wire: &Wire) -> bool {
        let [a, b] = wire.ends();
        self.is(a.0, a.1) && self.is(b.0, b.1) && self.reaches(a.0, b.0)
    }

    fn is(&self, addr: SocketAddr, instance: Instance) -> bool {
        self.nodes.get(&addr).is_some_and(|n| n.instance == instance)
    }

    /// The one-way delay of the next packet.
    fn delay(&mut self) -> Duration {
        let extra = self.jitter.mul_f64(self.rng.random::<f64>());
        self.latency.saturating_add(extra)
    }

    /// Sends a beacon from a node to all that it reaches, or to one address.
    fn beacon(&mut self, from: SocketAddr, instance: Instance, to: Option<SocketAddr>, bytes: &[u8]) {
        if !self.is(from, instance) {
            return;
        }
        let source = SocketAddr::new(from.ip(), BEACON_PORT);
        let hearers: Vec<SocketAddr> = self
            .nodes
            .keys()
            .filter(|&&a| self.reaches(from, a) && to.is_none_or(|t| t.ip() == a.ip()))
            .copied()
            .collect();
        for addr in hearers {
            let lost = to.is_none() && self.rng.random::<f64>() < self.beacon_loss;
            let at = Instant::now() + self.delay();
            self.traffic.beacons = self.traffic.beacons.saturating_add(1);
            if let Some(node) = self.nodes.get(&addr).filter(|_| !lost) {
                node.beacons.push(at, source, bytes);
            }
        }
    }
}

/// A lock whose holder never panics while holding it; should it all the same, the state is still whole.
fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
