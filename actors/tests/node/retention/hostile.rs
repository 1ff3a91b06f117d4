//! Retires by strangers, by clocks that lie, and by the thousand.

use std::sync::Arc;
use std::time::Duration;

use cairn_actors::link::Lane;
use cairn_actors::link::memory::Switch;
use cairn_actors::link::{Link, Transport};
use cairn_actors::proto::session::{Control, Hello, VERSION, space_tag};
use cairn_crdt::author::Author;
use cairn_crdt::entry::Entry;
use cairn_crdt::hlc::Hlc;
use cairn_crdt::identity::DeviceKey;
use cairn_crdt::ids::{DocumentId, Incarnation, Kind, LogId, SpaceId};
use cairn_crdt::kinds::control::{ControlLog, Operation, write};
use cairn_crdt::period::{DAY_MS, HOUR_MS};
use cairn_crdt::replica::Access;
use cairn_crdt::sync::frame::Frame;
use cairn_crdt::writer::{LogTip, LogWriter};

use super::{EPOCH_MS, SOON, Sim, bodies, kept, until};

/// Somebody who writes control entries of any space, by any clock.
struct Mallory {
    key: DeviceKey,
    link: Arc<dyn Link>,
    space: SpaceId,
    author: Author,
    writer: LogWriter,
    log: ControlLog,
}

impl Mallory {
    async fn meet(lan: &Switch, node: &Sim, space: impl FnOnce(&DeviceKey) -> SpaceId) -> Self {
        let key = DeviceKey::from_seed(&[66; 32]);
        let at = lan.attach(key.id());
        let link = at.transport.dial(node.at.addr, Some(node.id)).await.unwrap();
        let hello = Hello {
            version: VERSION,
            incarnation: Incarnation([0xbd; 16]),
            link: 1,
            name: "Mallory".into(),
            claims: Vec::new(),
            port: 27_475,
        };
        link.send(Lane::Control, Control::Hello(hello).encode().into()).await.unwrap();
        let (beating, reading) = (link.clone(), link.clone());
        tokio::spawn(async move {
            let beat = Control::Heartbeat { away: false, clock: EPOCH_MS, beat: 1, echo: None }.encode();
            while beating.send(Lane::Control, beat.clone().into()).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(900)).await;
            }
        });
        tokio::spawn(async move { while reading.recv(Lane::Sync).await.is_ok() {} });
        let space = space(&key);
        let log = LogId {
            document: DocumentId::singleton(Kind::Control),
            device: key.id(),
            incarnation: Incarnation([0xbd; 16]),
        };
        until(SOON, "it is here", async || node.online().await > 0).await;
        Self {
            author: Author::new(log),
            writer: LogWriter::new(key.clone(), space, log, LogTip::EMPTY),
            log: ControlLog::new(Access::Direct(key.id().principal(), node.id.principal())),
            key,
            link,
            space,
        }
    }

    fn entry(&mut self, ms: u64, operation: &Operation) -> Arc<Entry> {
        let hlc = Hlc::from_ms(ms);
        let raw = write(&mut self.author, hlc, operation, &self.log).unwrap();
        Arc::new(self.writer.write_with(raw, hlc, true, Vec::new(), self.log.heads()).unwrap())
    }

    async fn send(&self, entries: Vec<Arc<Entry>>) {
        let tag = space_tag(&self.link.exporter(), &self.space);
        let frame = Frame::Entries { live: true, entries }.encode();
        let _ = self.link.send(Lane::Sync, [&tag[..], &frame].concat().into()).await;
    }
}

const KEEP: Operation = Operation::Retention { keep: Some(DAY_MS) };
const FUTURE: u64 = EPOCH_MS + 200 * 7 * DAY_MS;

fn everything(ms: u64) -> Operation {
    let upto = ms - DAY_MS;
    Operation::Retire { from: 0, upto: upto - upto % HOUR_MS }
}

#[tokio::test(start_paused = true)]
async fn the_other_side_cannot_hide_what_is_recent_by_a_clock_that_lies() {
    let lan = Switch::new(211);
    let node = Sim::start(&lan, 1).await;
    let mut m = Mallory::meet(&lan, &node, |key| SpaceId::direct(&key.id().principal(), &node.id.principal())).await;
    let place = m.space;
    node.handle().say(place, "evidence", None).await.unwrap();
    let entries = vec![m.entry(EPOCH_MS, &KEEP), m.entry(FUTURE, &everything(FUTURE)), m.entry(FUTURE + 1, &KEEP)];
    m.send(entries).await;
    until(SOON, "the setting is known", async || kept(&node, place).await.keep == Some(86_400)).await;
    tokio::time::sleep(Duration::from_secs(200)).await;
    assert_eq!(bodies(&node, place).await, ["evidence"]);
    assert_eq!(kept(&node, place).await.gone_before, None);
    // What is said on goes where it belongs, and whoever is here can put another setting in place of the lie.
    node.handle().say(place, "and more", None).await.unwrap();
    assert_eq!(bodies(&node, place).await, ["evidence", "and more"]);
    let r = node.handle().set_retention(place, None).await.unwrap();
    assert_eq!((r.keep, r.set_by), (None, Some(node.id)), "though the other's stamp is four years ahead");
}

#[tokio::test(start_paused = true)]
async fn a_stranger_retires_nothing() {
    let lan = Switch::new(212);
    let nodes = [Sim::start(&lan, 1).await, Sim::start(&lan, 2).await];
    crate::world::all_online(&nodes, 1).await;
    let room = nodes[0].everyone().await;
    let place = SpaceId::direct(&nodes[0].id.principal(), &nodes[1].id.principal());
    nodes[0].handle().say(place, "between us", None).await.unwrap();
    nodes[0].say("to all").await;
    until(SOON, "it arrives", async || bodies(&nodes[1], place).await.len() == 1).await;
    for space in [place, room] {
        let mut m = Mallory::meet(&lan, &nodes[0], |_| space).await;
        let old = EPOCH_MS + 60 * 1_000;
        let entries =
            vec![m.entry(EPOCH_MS, &KEEP), m.entry(old, &everything(old)), m.entry(FUTURE, &everything(FUTURE))];
        m.send(entries).await;
        tokio::time::sleep(Duration::from_secs(70)).await;
        assert_eq!(m.key.id(), DeviceKey::from_seed(&[66; 32]).id());
        m.link.close("done");
        tokio::time::sleep(SOON).await;
    }
    for n in &nodes {
        assert_eq!(kept(n, place).await.keep, None);
        assert_eq!((bodies(n, place).await.len(), bodies(n, room).await.len()), (1, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_control_entries_delays_nothing_by_more_than_seconds() {
    let lan = Switch::new(213);
    let node = Sim::start(&lan, 1).await;
    let mut m = Mallory::meet(&lan, &node, |key| SpaceId::direct(&key.id().principal(), &node.id.principal())).await;
    let place = m.space;
    node.handle().say(place, "evidence", None).await.unwrap();
    let mut entries = vec![m.entry(EPOCH_MS, &KEEP)];
    for i in 1..3_000u64 {
        // Small stretches far apart, so that nothing runs together.
        let from = (i * 2 * HOUR_MS) % (EPOCH_MS - 9 * DAY_MS);
        let from = from - from % HOUR_MS;
        let operation = if i % 3 == 0 {
            Operation::Retention { keep: Some(DAY_MS + i * HOUR_MS) }
        } else {
            Operation::Retire { from, upto: from + HOUR_MS }
        };
        entries.push(m.entry(EPOCH_MS + i, &operation));
    }
    for part in entries.chunks(200) {
        m.send(part.to_vec()).await;
    }
    until(Duration::from_secs(20), "all of it is taken", async || {
        kept(&node, place).await.keep == Some((DAY_MS + 2_997 * HOUR_MS) / 1_000)
    })
    .await;
    node.handle().say(place, "and more", None).await.unwrap();
    assert_eq!(bodies(&node, place).await, ["evidence", "and more"]);
    tokio::time::sleep(Duration::from_secs(130)).await;
    node.handle().set_retention(place, None).await.unwrap();
    assert_eq!(kept(&node, place).await.gone_before, None);
    assert_eq!(bodies(&node, place).await, ["evidence", "and more"]);
}
