//! A hostile peer: a device with a valid key that links to a node and speaks raw frames. Whatever it sends, the node
//! stays up, honest nodes converge, and a person is told once.

mod broken;
mod counts;
mod floods;
mod forking;
mod framing;
mod logs;
mod many;
mod sealed;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cairn_actors::api::{Event, Network, NetworkState};
use cairn_actors::link::memory::{Attached, Switch};
use cairn_actors::link::{Lane, Link, LinkError, Transport};
use cairn_actors::proto::session::{Control, Hello, VERSION, space_tag};
use cairn_crdt::entry::Entry;
use cairn_crdt::hlc::Hlc;
use cairn_crdt::identity::DeviceKey;
use cairn_crdt::ids::{DocumentId, Incarnation, LogId, MessageId, NetworkId, SpaceId};
use cairn_crdt::kinds::chat::{ChatAuthor, Draft, week_of};
use cairn_crdt::network::Claim;
use cairn_crdt::sync::frame::Frame;
use cairn_crdt::writer::{LogTip, LogWriter};
use tokio::sync::broadcast;

use crate::world::{EPOCH_MS, Sim, all_equal, all_online, until};

const SOON: Duration = Duration::from_secs(5);

/// Two honest nodes that have talked, and what the first one's person is told.
pub(crate) struct Office {
    lan: Switch,
    pub(crate) nodes: Vec<Sim>,
    network: NetworkId,
    told: broadcast::Receiver<Event>,
    said: usize,
}

impl Office {
    pub(crate) async fn open(seed: u64) -> Self {
        let lan = Switch::new(seed);
        let nodes = vec![Sim::start(&lan, 1).await, Sim::start(&lan, 2).await];
        all_online(&nodes, 1).await;
        nodes[0].say("honest: good morning").await;
        nodes[1].say("honest: hello").await;
        all_equal(&nodes, 2, SOON).await;
        let networks = nodes[0].handle().networks().await.unwrap();
        let joined = |n: &&Network| n.state == NetworkState::Joined;
        let network = networks.iter().find(joined).unwrap().id;
        let told = nodes[0].handle().subscribe();
        Self { lan, nodes, network, told, said: 2 }
    }

    pub(crate) fn commons(&self) -> SpaceId {
        SpaceId::commons(&self.network)
    }

    fn this_week(&self) -> DocumentId {
        DocumentId::chat(week_of(EPOCH_MS), 0)
    }

    async fn honest(&self, at: usize) -> Vec<String> {
        let mut all = self.nodes[at].bodies().await;
        all.retain(|b| b.starts_with("honest"));
        all
    }

    /// Both honest nodes talk on, and hear each other within `limit`.
    pub(crate) async fn goes_on(&mut self, limit: Duration) {
        for n in &self.nodes {
            n.say("honest: still here").await;
        }
        self.said += self.nodes.len();
        until(limit, "honest messages arrive", async || {
            let first = self.honest(0).await;
            first.len() == self.said && first == self.honest(1).await
        })
        .await;
    }

    /// The sentences that the first node's person was told since the last call.
    fn notices(&mut self) -> Vec<String> {
        let mut all = Vec::new();
        loop {
            match self.told.try_recv() {
                Ok(Event::Notice { message, .. }) => all.push(message),
                Ok(_) | Err(broadcast::error::TryRecvError::Lagged(_)) => {}
                Err(_) => return all,
            }
        }
    }
}

/// The hostile peer with one link to one node.
pub(crate) struct Attacker {
    key: DeviceKey,
    _at: Attached,
    link: Arc<dyn Link>,
}

impl Attacker {
    /// Links and says nothing.
    async fn link(lan: &Switch, seed: u8, to: &Sim) -> Self {
        Self::link_as(lan, DeviceKey::from_seed(&[seed; 32]), to).await
    }

    async fn link_as(lan: &Switch, key: DeviceKey, to: &Sim) -> Self {
        let at = lan.attach(key.id());
        let link = at.transport.dial(to.at.addr, Some(to.id)).await.unwrap();
        Self { key, _at: at, link }
    }

    /// One key of many.
    fn many(n: u16) -> DeviceKey {
        let mut seed = [0xa9; 32];
        seed[..2].copy_from_slice(&n.to_be_bytes());
        DeviceKey::from_seed(&seed)
    }

    /// Links, says hello as a member of the office's network, and waits until the node speaks of its room.
    pub(crate) async fn enter(office: &Office, seed: u8, node: usize) -> Self {
        Self::enter_as(office, DeviceKey::from_seed(&[seed; 32]), node).await
    }

    async fn enter_as(office: &Office, key: DeviceKey, node: usize) -> Self {
        let a = Self::link_as(&office.lan, key, &office.nodes[node]).await;
        a.control(a.hello(office.network)).await;
        let tag = space_tag(&a.link.exporter(), &office.commons());
        let speaks = async { while !a.link.recv(Lane::Sync).await.unwrap().starts_with(&tag) {} };
        tokio::time::timeout(SOON, speaks).await.expect("the node speaks of the room");
        let beating = a.link.clone();
        tokio::spawn(async move {
            let beat = Control::Heartbeat { away: false, clock: EPOCH_MS, beat: 1, echo: None };
            let beat = Bytes::from(beat.encode());
            while beating.send(Lane::Control, beat.clone()).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(900)).await;
            }
        });
        a
    }

    fn hello(&self, network: NetworkId) -> Control {
        let claims = vec![Claim { id: network, settled: true, name: String::new(), named: Hlc::default() }];
        let incarnation = Incarnation([0xbd; 16]);
        Control::Hello(Hello { version: VERSION, incarnation, link: 1, name: "Mallory".into(), claims, port: 27_475 })
    }

    async fn raw(&self, lane: Lane, bytes: Vec<u8>) {
        // A link that was cut off meanwhile is what the tests then look at.
        let _ = self.link.send(lane, bytes.into()).await;
    }

    async fn control(&self, frame: Control) {
        self.raw(Lane::Control, frame.encode()).await;
    }

    pub(crate) async fn sync(&self, space: &SpaceId, frame: &Frame) {
        let tag = space_tag(&self.link.exporter(), space);
        self.raw(Lane::Sync, [&tag[..], &frame.encode()].concat()).await;
    }

    /// Throws away what the node sends.
    pub(crate) fn drain(&self, lane: Lane) {
        let link = self.link.clone();
        tokio::spawn(async move { while link.recv(lane).await.is_ok() {} });
    }

    /// Why the node ended the link.
    async fn cut_off(&self) -> String {
        match tokio::time::timeout(SOON, self.link.closed()).await.expect("cut off") {
            LinkError::Closed(why) => why,
            other => panic!("{other}"),
        }
    }

    /// Whether the node has kept the link.
    pub(crate) async fn is_linked(&self) -> bool {
        tokio::time::timeout(Duration::from_millis(200), self.link.closed()).await.is_err()
    }

    pub(crate) fn log(&self, document: DocumentId) -> LogId {
        LogId { document, device: self.key.id(), incarnation: Incarnation([0xbd; 16]) }
    }

    pub(crate) fn writer(&self, space: SpaceId, document: DocumentId) -> LogWriter {
        LogWriter::new(self.key.clone(), space, self.log(document), LogTip::EMPTY)
    }

    /// Valid chat entries, one for each stamp.
    fn chat(&self, space: SpaceId, document: DocumentId, what: &str, stamps: &[Hlc]) -> Vec<Arc<Entry>> {
        let (mut author, mut writer) = (ChatAuthor::new(self.log(document)), self.writer(space, document));
        let mut write = |(n, hlc): (usize, &Hlc)| {
            let id = MessageId::from_token(&self.key.id(), &format!("{what} {n}"));
            let draft = Draft { id, body: &format!("{what} {n}"), after: None, reply_to: None };
            let raw = author.say(*hlc, &draft).unwrap();
            Arc::new(writer.write(raw, *hlc).unwrap())
        };
        stamps.iter().enumerate().map(&mut write).collect()
    }
}

fn now_stamps(n: u64) -> Vec<Hlc> {
    (0..n).map(|i| Hlc::from_ms(EPOCH_MS + i)).collect()
}
