//! The discovery actor: drives the pure machine of [`crate::proto::discovery`] with datagrams, session news and
//! tokio's clock. It never dials and knows no other actor: what it wants and what it learns goes to one callback.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use cairn_crdt::ids::{DeviceId, Incarnation, NetworkId};
use cairn_crdt::netkey::NetworkKey;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::api::InterfaceInfo;
use crate::net::{BeaconEvent, BeaconIo};
use crate::proto::discovery::{DialFault, Discovery, DiscoveryConfig, Met, Output};

/// Datagrams that wait in the mailbox; the next is read when one of them is done.
const WAITING: usize = 64;

/// What the discovery actor is told.
#[derive(Debug)]
pub enum DiscoveryMsg {
    /// Something came from the sockets. The permit bounds how many wait.
    Heard(BeaconEvent, OwnedSemaphorePermit),
    /// Something is due.
    Due,
    /// The machine woke up, or somebody else noticed a change of the network: look, and announce anew.
    LinksChanged,
    /// The first session with a device opened, whoever dialled.
    PeerUp {
        /// Who.
        device: DeviceId,
        /// Where.
        addr: SocketAddr,
        /// Its start, as its hello says.
        incarnation: Option<Incarnation>,
    },
    /// The last session with a device ended.
    PeerDown {
        /// Who.
        device: DeviceId,
        /// It is a co-member that did not say goodbye: search for it.
        missed: bool,
    },
    /// A dial that was asked for ended; the first two fields are those of [`DiscoveryEvent::Dial`].
    DialEnded {
        /// Where.
        addr: SocketAddr,
        /// Who was expected.
        device: Option<DeviceId>,
        /// Who is there, or why nobody is.
        result: Result<DeviceId, DialFault>,
    },
    /// A session says where other devices are reached.
    Learned {
        /// Whose session.
        teller: DeviceId,
        /// Who, and where: all that one frame named.
        others: Vec<(DeviceId, SocketAddr)>,
    },
    /// Our network, and whether it is settled.
    SetNetwork(Option<(NetworkId, bool)>),
    /// The keys of our network that are accepted, the present one first; none: it is open.
    SetKeys(Vec<NetworkKey>),
    /// A device and we don't hold the same network key.
    Refused(DeviceId),
    /// The node goes down: say so.
    Goodbye,
}

/// What the discovery actor wants or learned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DiscoveryEvent {
    /// Dial, and answer with [`DiscoveryMsg::DialEnded`].
    Dial {
        /// Where.
        addr: SocketAddr,
        /// Who must be there.
        device: Option<DeviceId>,
    },
    /// A beacon told of a new start of a device, or of another network than before.
    Met(Met),
    /// A device that is here says that it goes: ask it.
    Goodbye(DeviceId),
    /// Our key is used by another machine.
    IdentityElsewhere {
        /// Where it was heard.
        addr: SocketAddr,
    },
    /// The interfaces in use: at the start, and whenever they change.
    LinksChanged(Vec<InterfaceInfo>),
    /// What is wrong with the sockets, a sentence each; empty when all is well again.
    Troubles(Vec<String>),
}

/// What the actor is made from; kept by its supervisor for a restart, which also tells it again who is here
/// ([`DiscoveryMsg::PeerUp`]) and which network we are in.
#[derive(Clone)]
pub struct DiscoveryArgs {
    /// Keys, ports, peers.
    pub config: DiscoveryConfig,
    /// The sockets, or the switch.
    pub io: Arc<dyn BeaconIo>,
    /// When the node started; beacon counters count from it, over restarts of the actor.
    pub epoch: Instant,
    /// Takes every event; must not block.
    pub report: Arc<dyn Fn(DiscoveryEvent) + Send + Sync>,
    /// How late the node does things.
    pub lag: Arc<dyn Fn() -> Duration + Send + Sync>,
}

/// The actor.
#[derive(Debug, Clone, Copy, Default)]
pub struct DiscoveryActor;

/// What it remembers.
pub struct DiscoveryState {
    machine: Discovery,
    io: Arc<dyn BeaconIo>,
    epoch: Instant,
    report: Arc<dyn Fn(DiscoveryEvent) + Send + Sync>,
    lag: Arc<dyn Fn() -> Duration + Send + Sync>,
    wake: watch::Sender<Instant>,
    _tasks: [Task; 2],
}

/// A task that ends with the state.
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl DiscoveryState {
    fn now(&self) -> Duration {
        self.epoch.elapsed()
    }

    /// Carries out what the machine wants, then sets the clock for what it wants next. `due`: the clock ran down.
    fn act(&mut self, mut out: Vec<Output>, due: bool) {
        self.machine.set_lag((self.lag)());
        self.machine.tick(self.now(), &mut out);
        for output in out {
            match output {
                Output::SendBeacon(beacon) => self.io.announce(&beacon),
                Output::Answer { to, beacon } => self.io.answer(to, &beacon),
                Output::Rescan => self.io.rescan(),
                Output::Dial { addr, device } => (self.report)(DiscoveryEvent::Dial { addr, device }),
                Output::Goodbye(device) => (self.report)(DiscoveryEvent::Goodbye(device)),
                Output::Met(met) => (self.report)(DiscoveryEvent::Met(met)),
                Output::IdentityElsewhere { addr } => (self.report)(DiscoveryEvent::IdentityElsewhere { addr }),
            }
        }
        let next = self.epoch + self.machine.next_wake(self.now());
        // The clock is set anew where it ran down, else only where that changes something: most messages do not.
        self.wake.send_if_modified(|at| std::mem::replace(at, next) != next || due);
    }

    fn heard(&mut self, event: BeaconEvent) -> Vec<Output> {
        let mut out = Vec::new();
        match event {
            BeaconEvent::Heard { from, bytes } => {
                if let Err(reason) = self.machine.heard(from, &bytes, self.now(), &mut out) {
                    tracing::trace!(%from, %reason, "a beacon was dropped");
                }
            }
            BeaconEvent::Changed(interfaces) => {
                self.machine.links_changed(self.now());
                (self.report)(DiscoveryEvent::LinksChanged(interfaces));
            }
            BeaconEvent::Troubles(troubles) => (self.report)(DiscoveryEvent::Troubles(troubles)),
        }
        out
    }
}

impl Actor for DiscoveryActor {
    type Msg = DiscoveryMsg;
    type State = DiscoveryState;
    type Arguments = DiscoveryArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<DiscoveryMsg>,
        args: DiscoveryArgs,
    ) -> Result<DiscoveryState, ActorProcessingErr> {
        let DiscoveryArgs { config, io, epoch, report, lag } = args;
        let (wake, due) = watch::channel(Instant::now());
        let tasks = [Task(tokio::spawn(listen(io.clone(), myself.clone()))), Task(tokio::spawn(tell_due(due, myself)))];
        report(DiscoveryEvent::LinksChanged(io.interfaces()));
        let machine = Discovery::new(config, epoch.elapsed());
        let mut state = DiscoveryState { machine, io, epoch, report, lag, wake, _tasks: tasks };
        state.act(Vec::new(), false);
        Ok(state)
    }

    async fn handle(
        &self,
        _myself: ActorRef<DiscoveryMsg>,
        message: DiscoveryMsg,
        state: &mut DiscoveryState,
    ) -> Result<(), ActorProcessingErr> {
        let now = state.now();
        let mut out = Vec::new();
        let due = matches!(message, DiscoveryMsg::Due);
        match message {
            DiscoveryMsg::Heard(event, _permit) => out = state.heard(event),
            DiscoveryMsg::Due => {}
            DiscoveryMsg::LinksChanged => {
                state.io.rescan();
                state.machine.links_changed(now);
            }
            DiscoveryMsg::PeerUp { device, addr, incarnation } => {
                state.machine.peer_up(device, addr, incarnation, now);
            }
            DiscoveryMsg::PeerDown { device, missed } => state.machine.peer_down(device, missed, now),
            DiscoveryMsg::DialEnded { addr, device, result } => {
                state.machine.dial_ended(addr, device, result, now);
            }
            DiscoveryMsg::Learned { teller, others } => {
                for (device, addr) in others {
                    state.machine.learned(teller, device, addr, now);
                }
            }
            DiscoveryMsg::SetNetwork(network) => state.machine.set_network(network, now),
            DiscoveryMsg::SetKeys(keys) => state.machine.set_keys(keys, now),
            DiscoveryMsg::Refused(device) => state.machine.refused(device, now),
            DiscoveryMsg::Goodbye => state.machine.goodbye(now, &mut out),
        }
        state.act(out, due);
        Ok(())
    }
}

/// Reads the sockets, no faster than the actor keeps up: what the system's buffer can't hold is lost there.
async fn listen(io: Arc<dyn BeaconIo>, actor: ActorRef<DiscoveryMsg>) {
    let places = Arc::new(Semaphore::new(WAITING));
    while let Ok(place) = places.clone().acquire_owned().await {
        let event = io.recv().await;
        if actor.cast(DiscoveryMsg::Heard(event, place)).is_err() {
            return;
        }
    }
}

/// Says [`DiscoveryMsg::Due`] once for each time that is set.
async fn tell_due(mut due: watch::Receiver<Instant>, actor: ActorRef<DiscoveryMsg>) {
    loop {
        let at = *due.borrow_and_update();
        tokio::select! {
            changed = due.changed() => {
                if changed.is_err() {
                    return;
                }
                continue;
            }
            () = tokio::time::sleep_until(at) => {}
        }
        if actor.cast(DiscoveryMsg::Due).is_err() || due.changed().await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests;
