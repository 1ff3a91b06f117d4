//! The discovery actor over the switch, and over real sockets on loopback.

use std::collections::BTreeSet;
use std::sync::Mutex;

use cairn_crdt::identity::DeviceKey;
use ractor::ActorStatus;

use super::*;
use crate::link::memory::Switch;
use crate::link::quic::{QuicOptions, QuicTransport};
use crate::link::{Link, LinkError, Transport};
use crate::net::interfaces::Wanted;
use crate::net::udp::UdpBeacons;

/// A node that only finds others: links instead of sessions.
struct Finder {
    id: DeviceId,
    addr: SocketAddr,
    actor: ActorRef<DiscoveryMsg>,
    links: Arc<Mutex<Vec<Arc<dyn Link>>>>,
    events: Arc<Mutex<Vec<DiscoveryEvent>>>,
    tasks: Vec<Task>,
}

impl Finder {
    async fn start(lan: &Switch, n: u8, configured: Vec<SocketAddr>) -> Self {
        let at = lan.attach(DeviceKey::from_seed(&[n; 32]).id());
        Self::launch(n, at.addr, at.transport, at.beacons, configured).await
    }

    async fn launch(
        n: u8,
        addr: SocketAddr,
        transport: Arc<dyn Transport>,
        io: Arc<dyn BeaconIo>,
        configured: Vec<SocketAddr>,
    ) -> Self {
        let key = DeviceKey::from_seed(&[n; 32]);
        let config = DiscoveryConfig {
            key: key.clone(),
            incarnation: Incarnation([n; 16]),
            port: transport.port(),
            network: None,
            keys: vec![],
            configured,
            known: vec![],
            beacons: true,
            seed: [n; 32],
        };
        let (links, events) = (Arc::<Mutex<Vec<Arc<dyn Link>>>>::default(), Arc::<Mutex<Vec<_>>>::default());
        let own = Arc::new(Mutex::new(None::<ActorRef<DiscoveryMsg>>));
        let report = {
            let (links, events, own, transport) = (links.clone(), events.clone(), own.clone(), transport.clone());
            move |event: DiscoveryEvent| {
                events.lock().unwrap().push(event.clone());
                let DiscoveryEvent::Dial { addr, device } = event else { return };
                let (links, own, transport) = (links.clone(), own.clone(), transport.clone());
                tokio::spawn(async move {
                    let link = transport.dial(addr, device).await;
                    let result = link.as_ref().map(|l| l.peer()).map_err(|e| match e {
                        LinkError::Oneself => DialFault::Oneself,
                        LinkError::WrongPeer => DialFault::WrongPeer,
                        _ => DialFault::Failed,
                    });
                    let actor = own.lock().unwrap().clone().unwrap();
                    actor.cast(DiscoveryMsg::DialEnded { addr, device, result }).unwrap();
                    if let Ok(link) = link {
                        up(&actor, &links, link);
                    }
                });
            }
        };
        let args = DiscoveryArgs {
            config,
            io,
            epoch: Instant::now(),
            report: Arc::new(report),
            lag: Arc::new(|| Duration::ZERO),
        };
        let (actor, _) = Actor::spawn(None, DiscoveryActor, args).await.unwrap();
        *own.lock().unwrap() = Some(actor.clone());
        let accept = {
            let (actor, links) = (actor.clone(), links.clone());
            async move {
                while let Some(link) = transport.accept().await {
                    up(&actor, &links, link);
                }
            }
        };
        let tasks = vec![Task(tokio::spawn(accept))];
        Self { id: key.id(), addr, actor, links, events, tasks }
    }

    fn peers(&self) -> BTreeSet<DeviceId> {
        self.links.lock().unwrap().iter().map(|l| l.peer()).collect()
    }

    fn dials(&self) -> usize {
        self.events.lock().unwrap().iter().filter(|e| matches!(e, DiscoveryEvent::Dial { .. })).count()
    }
}

fn up(actor: &ActorRef<DiscoveryMsg>, links: &Mutex<Vec<Arc<dyn Link>>>, link: Arc<dyn Link>) {
    let up = DiscoveryMsg::PeerUp { device: link.peer(), addr: link.remote(), incarnation: None };
    links.lock().unwrap().push(link);
    actor.cast(up).unwrap();
}

#[tokio::test(start_paused = true)]
async fn ten_nodes_that_start_together_find_each_other_at_once() {
    let lan = Switch::new(1);
    let mut nodes = Vec::new();
    for n in 1..=10 {
        nodes.push(Finder::start(&lan, n, vec![]).await);
    }
    tokio::time::sleep(Duration::from_millis(150)).await;
    for node in &nodes {
        assert_eq!(node.peers().len(), 9, "{}", node.id);
    }
    let newcomer = Finder::start(&lan, 11, vec![]).await;
    tokio::time::sleep(Duration::from_millis(30)).await;
    assert_eq!(newcomer.peers().len(), 10);
    let dials: usize = nodes.iter().map(Finder::dials).sum();
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(nodes.iter().map(Finder::dials).sum::<usize>(), dials, "whoever is here is not dialled again");
}

#[tokio::test(start_paused = true)]
async fn a_node_behind_a_firewall_is_found_by_the_answer_to_its_beacon() {
    let lan = Switch::new(2);
    let a = Finder::start(&lan, 1, vec![]).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let b = Finder::start(&lan, 2, vec![]).await;
    lan.set_firewall(b.addr, true);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(b.peers(), BTreeSet::from([a.id]));
    assert!(b.links.lock().unwrap().iter().all(|l| l.dialled()));
}

#[tokio::test(start_paused = true)]
async fn without_beacons_configured_peers_do() {
    let lan = Switch::new(3);
    lan.set_beacon_loss(1.0);
    let a = Finder::start(&lan, 1, vec![]).await;
    let b = Finder::start(&lan, 2, vec![a.addr]).await;
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!((a.peers(), b.peers()), (BTreeSet::from([b.id]), BTreeSet::from([a.id])));
}

#[tokio::test(start_paused = true)]
async fn a_pulled_cable_is_told_and_a_flood_neither_stops_nor_fills_the_actor() {
    let lan = Switch::new(4);
    let a = Finder::start(&lan, 1, vec![]).await;
    let noise = lan.attach(DeviceId([9; 32]));
    for n in 0..10_000u32 {
        noise.beacons.announce(&n.to_be_bytes());
        if n % 100 == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    lan.unplug(a.addr);
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert!(a.events.lock().unwrap().contains(&DiscoveryEvent::LinksChanged(vec![])));
    lan.plug(a.addr);
    let b = Finder::start(&lan, 2, vec![]).await;
    tokio::time::sleep(Duration::from_millis(30)).await;
    assert_eq!(a.peers(), BTreeSet::from([b.id]));
    assert_eq!(a.actor.get_status(), ActorStatus::Running);
    a.actor.stop(None);
    drop(b.tasks);
}

#[tokio::test]
async fn five_nodes_on_one_host_find_each_other_over_real_sockets() {
    let free = std::net::UdpSocket::bind((std::net::Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let mut nodes = Vec::new();
    for n in 1..=5 {
        let options = QuicOptions { port: Some(0), remembered: None, loopback_only: true };
        let transport = Arc::new(QuicTransport::bind(&DeviceKey::from_seed(&[n; 32]), &options).unwrap());
        let addr = SocketAddr::from((std::net::Ipv4Addr::LOCALHOST, transport.port()));
        let io = Arc::new(UdpBeacons::open(free, Wanted { names: vec![], loopback_only: true }));
        nodes.push(Finder::launch(n, addr, transport, io, vec![]).await);
    }
    let all = async {
        while nodes.iter().any(|n| n.peers().len() < 4) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), all).await.expect("not all found each other");
}
