//! The real beacon sockets. One socket a family listens on the beacon port; it is shared, so that several nodes run on
//! one machine (multicast and broadcast reach every one of them). Beacons go out of one socket for each address of
//! each interface, bound to it, so that no route is needed and the source is right; answers may come back to those
//! sockets, which is what a host firewall lets in.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket as StdSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, SockRef, Socket, Type};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::interfaces::{Interface, Wanted, list};
use super::{BeaconEvent, BeaconIo};
use crate::api::InterfaceInfo;
use crate::limits::{BEACON_MAX, BEACON_V4, BEACON_V6, BEACONS_WAITING};
use crate::link::BoxFuture;

/// Errors in a row after which a socket is given up and made anew.
const ERRORS_MAX: u32 = 64;
/// An IPv6 address that was just given to an interface can't send for up to two seconds: how often, and how many
/// times, the beacon is tried again.
const TENTATIVE: (Duration, u32) = (Duration::from_millis(250), 12);

/// The beacon sockets of a node.
pub struct UdpBeacons {
    shared: Arc<Shared>,
    events: tokio::sync::Mutex<mpsc::Receiver<BeaconEvent>>,
    _watch: Task,
}

struct Shared {
    port: u16,
    wanted: Wanted,
    silent: bool,
    events: mpsc::Sender<BeaconEvent>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    listed: bool,
    interfaces: Vec<Interface>,
    listen_v4: Option<Port>,
    listen_v6: Option<Port>,
    out: Vec<Out>,
    troubles: Vec<String>,
    failing: BTreeSet<String>,
    again: Option<Task>,
}

/// A task that ends with its owner.
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A socket that is read.
struct Port {
    socket: Arc<UdpSocket>,
    reader: Task,
}

/// Where beacons leave.
struct Out {
    interface: String,
    index: u32,
    ip: IpAddr,
    targets: Vec<SocketAddr>,
    port: Port,
}

impl std::fmt::Debug for UdpBeacons {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "UdpBeacons(port {})", self.shared.port)
    }
}

impl UdpBeacons {
    /// Opens what can be opened; the rest is told as a trouble and tried again with every beacon. Must be called within
    /// a tokio runtime.
    #[must_use]
    pub fn open(port: u16, wanted: Wanted) -> Self {
        Self::start(port, wanted, false)
    }

    /// Opens nothing and only watches the interfaces, for a node without discovery.
    #[must_use]
    pub fn silent(wanted: Wanted) -> Self {
        Self::start(0, wanted, true)
    }

    fn start(port: u16, wanted: Wanted, silent: bool) -> Self {
        let (tx, rx) = mpsc::channel(BEACONS_WAITING);
        let shared = Arc::new(Shared { port, wanted, silent, events: tx, state: Mutex::default() });
        shared.rescan();
        let watch = Task(tokio::spawn(watch(Arc::downgrade(&shared))));
        Self { shared, events: tokio::sync::Mutex::new(rx), _watch: watch }
    }
}

impl BeaconIo for UdpBeacons {
    fn announce(&self, beacon: &[u8]) {
        self.shared.rescan();
        if self.shared.send_all(beacon, |_| true) {
            let again = Task(tokio::spawn(send_again(Arc::downgrade(&self.shared), beacon.to_vec())));
            self.shared.lock().again = Some(again);
        }
    }

    fn answer(&self, to: SocketAddr, beacon: &[u8]) {
        let state = self.shared.lock();
        let fits = |o: &&Out| match (o.ip, to) {
            (IpAddr::V4(_), SocketAddr::V4(_)) => true,
            (IpAddr::V6(_), SocketAddr::V6(to)) => to.scope_id() == 0 || to.scope_id() == o.index,
            _ => false,
        };
        let near = |o: &&Out| match to.ip() {
            IpAddr::V4(ip) => state.interfaces.iter().any(|i| i.index == o.index && i.holds(ip)),
            IpAddr::V6(_) => true,
        };
        let candidates = || state.out.iter().filter(fits);
        if let Some(out) = candidates().find(near).or_else(|| candidates().next()) {
            let mut port = to;
            port.set_port(self.shared.port);
            for target in BTreeSet::from([to, port]) {
                if let Err(error) = send(&out.port.socket, beacon, target) {
                    tracing::debug!(%target, %error, "a beacon was not answered");
                }
            }
        }
    }

    fn recv(&self) -> BoxFuture<'_, BeaconEvent> {
        Box::pin(async {
            match self.events.lock().await.recv().await {
                Some(event) => event,
                // The sender lives as long as we do.
                None => std::future::pending().await,
            }
        })
    }

    fn rescan(&self) {
        self.shared.rescan();
    }

    fn interfaces(&self) -> Vec<InterfaceInfo> {
        self.shared.lock().interfaces.iter().map(Interface::info).collect()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends to all targets that `pick` takes; whether one has an address that can't send yet.
    fn send_all(&self, beacon: &[u8], pick: impl Fn(&Out) -> bool) -> bool {
        let mut state = self.lock();
        let State { out, failing, .. } = &mut *state;
        let mut tentative = false;
        for out in out.iter().filter(|o| pick(o)) {
            for target in &out.targets {
                let key = format!("{} to {target}", out.interface);
                match send(&out.port.socket, beacon, *target) {
                    Ok(()) => {
                        failing.remove(&key);
                    }
                    Err(error) => {
                        tentative |= out.ip.is_ipv6() && error.kind() == io::ErrorKind::AddrNotAvailable;
                        if failing.insert(key) {
                            let interface = &out.interface;
                            tracing::info!(%interface, %target, %error, "a beacon can't be sent");
                        }
                    }
                }
            }
        }
        tentative
    }

    /// Brings the sockets in line with the interfaces. What can't be opened is tried again the next time.
    fn rescan(self: &Arc<Self>) {
        let found = match list(&self.wanted) {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(%error, "the interfaces can't be listed");
                return;
            }
        };
        let mut state = self.lock();
        let mut troubles = Vec::new();
        if !self.silent {
            self.open_all(&mut state, &found, &mut troubles);
        }
        let first = !std::mem::replace(&mut state.listed, true);
        let changed = !first && state.interfaces != found;
        state.interfaces = found;
        if changed {
            state.failing.clear();
            self.tell(BeaconEvent::Changed(state.interfaces.iter().map(Interface::info).collect()));
        }
        if state.troubles != troubles {
            state.troubles.clone_from(&troubles);
            self.tell(BeaconEvent::Troubles(troubles));
        }
    }

    fn open_all(self: &Arc<Self>, state: &mut State, found: &[Interface], troubles: &mut Vec<String>) {
        let v6 = !self.wanted.loopback_only && found.iter().any(|i| !i.v6.is_empty());
        let v4 = self.listen(&mut state.listen_v4, Ipv4Addr::UNSPECIFIED.into());
        let v6 = if v6 { self.listen(&mut state.listen_v6, Ipv6Addr::UNSPECIFIED.into()) } else { Ok(()) };
        if let Err(error) = v4.and(v6) {
            troubles.push(format!("UDP port {} can't be opened, so other devices are not heard: {error}.", self.port));
        }
        state.join(found);
        self.open_out(state, found);
    }

    /// A change must not be lost to a flood of datagrams, so it waits for room beside them.
    fn tell(&self, event: BeaconEvent) {
        if let Err(mpsc::error::TrySendError::Full(event)) = self.events.try_send(event) {
            let events = self.events.clone();
            tokio::spawn(async move { events.send(event).await });
        }
    }

    fn listen(self: &Arc<Self>, port: &mut Option<Port>, ip: IpAddr) -> io::Result<()> {
        if port.as_ref().is_some_and(|p| !p.reader.0.is_finished()) {
            return Ok(());
        }
        *port = None;
        *port = Some(self.read(listener(SocketAddr::new(ip, self.port))?)?);
        Ok(())
    }

    fn read(self: &Arc<Self>, socket: StdSocket) -> io::Result<Port> {
        socket.set_nonblocking(true)?;
        let socket = Arc::new(UdpSocket::from_std(socket)?);
        let reader = Task(tokio::spawn(read(socket.clone(), Arc::downgrade(self))));
        Ok(Port { socket, reader })
    }

    /// One sending socket for each IPv4 address, and one for IPv6, of each interface; the ones that fit already stay.
    fn open_out(self: &Arc<Self>, state: &mut State, found: &[Interface]) {
        let mut old = std::mem::take(&mut state.out);
        for i in found {
            let v4 = i.v4.iter().map(|a| {
                let group = (!i.loopback || self.wanted.loopback_only).then_some(BEACON_V4);
                let ips = group.into_iter().chain(a.broadcast);
                (IpAddr::V4(a.ip), ips.map(|ip| SocketAddr::from((ip, self.port))).collect::<Vec<_>>())
            });
            let v6 = (!i.v6.is_empty() && !i.loopback).then(|| {
                let target = SocketAddrV6::new(BEACON_V6, self.port, 0, i.index);
                (IpAddr::V6(Ipv6Addr::UNSPECIFIED), vec![SocketAddr::V6(target)])
            });
            for (ip, targets) in v4.chain(v6) {
                let same = |o: &Out| (o.index, o.ip, &o.targets) == (i.index, ip, &targets);
                let kept = old.iter().position(|o| same(o) && !o.port.reader.0.is_finished());
                if let Some(at) = kept {
                    state.out.push(old.swap_remove(at));
                    continue;
                }
                match sender(ip, i.index).and_then(|s| self.read(s)) {
                    Ok(port) => {
                        state.out.push(Out { interface: i.name.clone(), index: i.index, ip, targets, port });
                    }
                    Err(error) => {
                        if state.failing.insert(format!("{} from {ip}", i.name)) {
                            tracing::info!(interface = %i.name, %ip, %error, "no socket for beacons");
                        }
                    }
                }
            }
        }
    }

    /// Whether a datagram from there is taken.
    fn hears(&self, from: IpAddr) -> bool {
        if self.wanted.loopback_only {
            return from.is_loopback();
        }
        if self.wanted.names.is_empty() {
            return true;
        }
        let state = self.lock();
        match from {
            IpAddr::V4(ip) => {
                state.interfaces.iter().any(|i| i.holds(ip) || i.v4.iter().any(|a| a.mask.is_broadcast()))
            }
            // Heard only by the group, which is joined only on the wanted ones.
            IpAddr::V6(_) => true,
        }
    }
}

impl State {
    /// Joins both groups on every interface; joining again is harmless, and heals what a restart of the link undid.
    fn join(&mut self, found: &[Interface]) {
        for i in found {
            let mut results = Vec::new();
            if let Some(port) = self.listen_v4.as_ref().filter(|_| !i.v4.is_empty()) {
                let at = InterfaceIndexOrAddress::Index(i.index);
                results.push(SockRef::from(&*port.socket).join_multicast_v4_n(&BEACON_V4, &at));
            }
            if let Some(port) = self.listen_v6.as_ref().filter(|_| !i.v6.is_empty()) {
                results.push(SockRef::from(&*port.socket).join_multicast_v6(&BEACON_V6, i.index));
            }
            for error in results.into_iter().filter_map(Result::err) {
                let joined = matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::InvalidInput);
                if !joined && self.failing.insert(format!("{} joins", i.name)) {
                    tracing::info!(interface = %i.name, %error, "the beacon group can't be joined");
                }
            }
        }
    }
}

/// Sends at once or not at all.
fn send(socket: &UdpSocket, beacon: &[u8], to: SocketAddr) -> io::Result<()> {
    match SockRef::from(socket).send_to(beacon, &to.into()) {
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(()),
        other => other.map(drop),
    }
}

/// A socket on the beacon port that others on this machine may share.
fn listener(addr: SocketAddr) -> io::Result<StdSocket> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_address(true)?;
    #[cfg(unix)]
    socket.set_reuse_port(true)?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    #[cfg(target_os = "linux")]
    if addr.is_ipv4() {
        socket.set_multicast_all_v4(false)?;
    }
    socket.bind(&addr.into())?;
    Ok(socket.into())
}

/// A socket that sends from one address (IPv4) or out of one interface (IPv6).
fn sender(ip: IpAddr, index: u32) -> io::Result<StdSocket> {
    let addr = SocketAddr::new(ip, 0);
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    match ip {
        IpAddr::V4(ip) => {
            socket.set_broadcast(true)?;
            socket.set_multicast_if_v4(&ip)?;
            socket.set_multicast_ttl_v4(1)?;
            socket.set_multicast_loop_v4(true)?;
        }
        IpAddr::V6(_) => {
            socket.set_only_v6(true)?;
            socket.set_multicast_if_v6(index)?;
            socket.set_multicast_hops_v6(1)?;
            socket.set_multicast_loop_v6(true)?;
        }
    }
    socket.bind(&addr.into())?;
    Ok(socket.into())
}

/// Hands on what a socket hears; a flood is dropped here, in order of arrival.
async fn read(socket: Arc<UdpSocket>, shared: Weak<Shared>) {
    let mut buffer = [0u8; BEACON_MAX + 1];
    let mut errors = 0u32;
    while errors < ERRORS_MAX {
        let (length, from) = match socket.recv_from(&mut buffer).await {
            Ok(heard) => heard,
            // Windows reports what became of earlier answers here, and datagrams that are too long.
            Err(_) => {
                errors = errors.saturating_add(1);
                continue;
            }
        };
        errors = 0;
        let Some(shared) = shared.upgrade() else { return };
        if shared.hears(from.ip()) {
            let bytes = Bytes::copy_from_slice(buffer.get(..length).unwrap_or_default());
            let _ = shared.events.try_send(BeaconEvent::Heard { from, bytes });
        }
    }
}

/// Sends again from IPv6 addresses that could not send yet.
async fn send_again(shared: Weak<Shared>, beacon: Vec<u8>) {
    for _ in 0..TENTATIVE.1 {
        tokio::time::sleep(TENTATIVE.0).await;
        let Some(shared) = shared.upgrade() else { return };
        let failing: BTreeSet<String> = shared.lock().failing.clone();
        let failed = |o: &Out| o.targets.iter().any(|t| failing.contains(&format!("{} to {t}", o.interface)));
        if !shared.send_all(&beacon, |o| o.ip.is_ipv6() && failed(o)) {
            return;
        }
    }
}

/// Lists the interfaces again whenever the system says that an address came or went.
async fn watch(shared: Weak<Shared>) {
    let mut watcher = match if_watch::tokio::IfWatcher::new() {
        Ok(watcher) => watcher,
        Err(error) => return tracing::info!(%error, "address changes are noticed by looking every few seconds only"),
    };
    loop {
        if let Err(error) = std::future::poll_fn(|cx| watcher.poll_if_event(cx)).await {
            return tracing::info!(%error, "the system tells no address changes any more");
        }
        match shared.upgrade() {
            Some(shared) => shared.rescan(),
            None => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A port that nobody uses just now.
    fn free_port() -> u16 {
        StdSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
    }

    fn loopback(port: u16) -> UdpBeacons {
        UdpBeacons::open(port, Wanted { names: vec![], loopback_only: true })
    }

    async fn hear(io: &UdpBeacons) -> (SocketAddr, Bytes) {
        loop {
            let event = tokio::time::timeout(Duration::from_secs(5), io.recv()).await.expect("nothing heard");
            if let BeaconEvent::Heard { from, bytes } = event {
                return (from, bytes);
            }
        }
    }

    #[tokio::test]
    async fn three_nodes_on_one_host_hear_each_other_and_answer() {
        let port = free_port();
        let nodes = [loopback(port), loopback(port), loopback(port)];
        for (n, node) in nodes.iter().enumerate() {
            assert_eq!(node.interfaces().len(), 1);
            let beacon = format!("beacon {n}");
            node.announce(beacon.as_bytes());
            let mut sources = Vec::new();
            for hearer in &nodes {
                sources.push(loop {
                    let (from, bytes) = hear(hearer).await;
                    if bytes == beacon.as_bytes() {
                        break from;
                    }
                });
            }
            for (hearer, from) in nodes.iter().zip(sources) {
                assert!(from.ip().is_loopback());
                // An answer to the source reaches the one that sent, however many share the beacon port.
                hearer.answer(from, b"answer");
                while hear(node).await.1 != b"answer"[..] {}
            }
        }
    }

    #[tokio::test]
    async fn a_datagram_that_is_too_long_is_known_as_such() {
        let port = free_port();
        let node = loopback(port);
        node.announce(&[7; 2000]);
        assert_eq!(hear(&node).await.1.len(), BEACON_MAX + 1);
    }

    #[tokio::test]
    async fn a_taken_port_is_a_trouble_in_one_sentence_until_it_is_free() {
        let taken = StdSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let node = loopback(port);
        let troubles = loop {
            if let BeaconEvent::Troubles(t) = node.recv().await {
                break t;
            }
        };
        assert_eq!(troubles.len(), 1);
        assert!(troubles[0].contains(&port.to_string()), "{troubles:?}");
        drop(taken);
        node.rescan();
        assert_eq!(node.recv().await, BeaconEvent::Troubles(vec![]));
    }
}
