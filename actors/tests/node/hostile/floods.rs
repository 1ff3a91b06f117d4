//! Floods of well-formed frames: they are read later, not refused, and honest peers go on undelayed.

use std::time::Duration;

use cairn_actors::api::{DeliveryState, Event, NetworkState, PeerState};
use cairn_actors::limits::SESSION_QUEUE_BYTES;
use cairn_actors::link::Lane;
use cairn_actors::proto::session::{Control, MAX_CLAIMS, Neighbour};
use cairn_crdt::hlc::Hlc;
use cairn_crdt::ids::{DeviceId, DocumentId, LogId, NetworkId, SpaceId};
use cairn_crdt::network::{Claim, MAX_ASKING, MAX_NETWORKS};
use cairn_crdt::sync::frame::{Frame, LogEnd, MAX_DOCS};

use super::{Attacker, Office, SOON};
use crate::world::until;

fn id(n: usize, salt: u8) -> [u8; 32] {
    let mut id = [salt; 32];
    id[..8].copy_from_slice(&n.to_be_bytes());
    id
}

/// Sends in the background until the link ends.
fn flood(a: &Attacker, lane: Lane, frames: impl Iterator<Item = Vec<u8>> + Send + 'static) {
    let link = a.link.clone();
    tokio::spawn(async move {
        for f in frames {
            if link.send(lane, f.into()).await.is_err() {
                return;
            }
        }
    });
}

#[tokio::test(start_paused = true)]
async fn floods_of_control_frames_delay_nobody_else() {
    let mut office = Office::open(111).await;
    let (one, two, three) = (
        Attacker::enter(&office, 66, 0).await,
        Attacker::enter(&office, 67, 0).await,
        Attacker::enter(&office, 68, 0).await,
    );
    flood(&one, Lane::Control, (0..20_000).map(|n| Control::Probe(DeviceId(id(n, 1))).encode()));
    flood(
        &two,
        Lane::Control,
        (0..2_000).map(|n| {
            let many = |salt| (0..512).map(move |i| DeviceId(id(n * 512 + i, salt)));
            // Addresses of nobody, of this machine and of everybody.
            let addresses = ["10.77.200.1:9", "127.0.0.1:9", "239.255.47.47:9", "255.255.255.255:9"];
            let at = |i: usize| addresses.get(i % 4).and_then(|a| a.parse().ok());
            let up = many(1).enumerate().map(|(i, device)| Neighbour { device, address: at(i) }).collect();
            Control::Neighbours { up, down: many(2).collect() }.encode()
        }),
    );
    flood(
        &three,
        Lane::Control,
        (0..5_000).map(|n| Control::Heard { device: DeviceId(id(n, 3)), ago_ms: Some(0) }.encode()),
    );
    for _ in 0..20 {
        office.goes_on(Duration::from_secs(1)).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    // A flooder delays its own heartbeats too, and may pass for gone; the honest peer does not.
    let peers = office.nodes[0].handle().peers().await.unwrap();
    assert!(peers.iter().any(|p| p.id == office.nodes[1].id && p.state == PeerState::Online));
    assert_eq!(office.notices(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn floods_of_questions_delay_nobody_else() {
    let mut office = Office::open(112).await;
    let tag = |a: &Attacker| cairn_actors::proto::session::space_tag(&a.link.exporter(), &office.commons()).to_vec();
    let week = office.this_week();
    let (digests, wants, lists) = (
        Attacker::enter(&office, 66, 0).await,
        Attacker::enter(&office, 67, 0).await,
        Attacker::enter(&office, 68, 0).await,
    );
    // They ask and never read the answers.
    let head = tag(&digests);
    flood(&digests, Lane::Sync, (0..20_000).map(move |n| [&head[..], &Frame::Digest(id(n, 1)).encode()].concat()));
    let head = tag(&wants);
    flood(
        &wants,
        Lane::Sync,
        (0..20_000).map(move |_| [&head[..], &Frame::Want { document: week, logs: vec![] }.encode()].concat()),
    );
    let head = tag(&lists);
    flood(
        &lists,
        Lane::Sync,
        (0..20_000).map(move |_| [&head[..], &Frame::Docs { more: false, ask: true, docs: vec![] }.encode()].concat()),
    );
    for _ in 0..5 {
        office.goes_on(Duration::from_secs(1)).await;
    }
    // Whoever asks without end and reads nothing is let go; that is no offence.
    assert!(!lists.is_linked().await);
    assert_eq!(office.notices(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn documents_that_are_offered_and_never_served_do_not_block_what_honest_peers_bring() {
    let mut office = Office::open(113).await;
    office.lan.unplug(office.nodes[1].at.addr);
    until(SOON * 2, "two is gone", async || office.nodes[0].online().await == 0).await;
    let a = Attacker::enter(&office, 66, 0).await;
    a.drain(Lane::Sync);
    for i in 0..5 {
        office.nodes[1].say(&format!("honest: while apart {i}")).await;
    }
    office.said += 5;
    // Eight thousand documents that nobody has, and among them, first to be asked for, the one that everybody writes.
    let commons = office.commons();
    for part in 0..4u16 {
        let mut docs: Vec<_> = (0..MAX_DOCS as u32 - 1)
            .map(|w| (DocumentId::chat(w % 2_000, part + 4 * (w / 2_000) as u16), [7; 32]))
            .collect();
        docs.retain(|(d, _)| *d < office.this_week());
        docs.push((office.this_week(), [7; 32]));
        docs.sort_unstable();
        docs.dedup();
        a.sync(&commons, &Frame::Docs { more: false, ask: false, docs }).await;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    office.lan.plug(office.nodes[1].at.addr);
    until(Duration::from_secs(25), "what was said apart arrives", async || office.honest(0).await.len() == office.said)
        .await;
    office.goes_on(SOON).await;
    // And it goes on offering.
    for n in 0..60u16 {
        let docs = vec![(DocumentId::chat(5, n), [1; 32]), (office.this_week(), id(n.into(), 9))];
        a.sync(&commons, &Frame::Docs { more: false, ask: false, docs }).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    office.goes_on(SOON).await;
    assert!(a.is_linked().await);
}

#[tokio::test(start_paused = true)]
async fn whoever_claims_to_hold_more_than_there_is_is_believed_for_what_there_is() {
    let mut office = Office::open(114).await;
    let a = Attacker::enter(&office, 66, 0).await;
    let everyone = office.nodes[0].everyone().await;
    let mine = office.nodes[0].messages(everyone).await.into_iter().find(|m| m.mine).unwrap();
    let incarnation = office.nodes[0].handle().status().await.unwrap().incarnation;
    let log = LogId { document: office.this_week(), device: office.nodes[0].id, incarnation };
    let unknown = LogId { document: DocumentId::chat(7, 7), ..log };
    a.sync(&office.commons(), &Frame::Durable(vec![(log, u64::MAX), (unknown, u64::MAX)])).await;
    let logs =
        vec![LogEnd { device: log.device, incarnation, seq: u64::MAX, hash: cairn_crdt::ids::EntryHash([1; 32]) }];
    a.sync(&office.commons(), &Frame::Want { document: office.this_week(), logs }).await;
    let state = async |id| {
        let all = office.nodes[0].handle().receipts(everyone, id).await.unwrap();
        all.into_iter().find(|r| r.id == a.key.id()).unwrap().state
    };
    until(SOON, "the claim is taken", async || state(mine.id).await == DeliveryState::Delivered).await;
    let later = office.nodes[0].handle().say(everyone, "honest: later", None).await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(
        state(later.id).await,
        DeliveryState::Carried,
        "others have what was said since, not whoever claimed it"
    );
    office.said += 1;
    office.goes_on(SOON).await;
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_networks_neither_fills_the_table_nor_the_persons_day() {
    let mut office = Office::open(115).await;
    let a = Attacker::enter(&office, 66, 0).await;
    let network = office.network;
    flood(
        &a,
        Lane::Control,
        (0..3_000usize).map(move |n| {
            let claim = |i: usize| {
                let mut id = [0; 16];
                id[..8].copy_from_slice(&(n * MAX_CLAIMS + i + 1).to_be_bytes());
                Claim { id: NetworkId(id), settled: true, name: format!("net {n} {i}"), named: Hlc::from_ms(n as u64) }
            };
            let ours = Claim { id: network, settled: true, name: String::new(), named: Hlc::default() };
            Control::Claims((0..MAX_CLAIMS - 1).map(claim).chain([ours]).collect()).encode()
        }),
    );
    for _ in 0..10 {
        office.goes_on(Duration::from_secs(1)).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    for n in &office.nodes {
        let known = n.handle().networks().await.unwrap();
        assert!(known.len() <= MAX_NETWORKS);
        let asking = known.iter().filter(|n| n.state == NetworkState::Asking).count();
        assert!(asking <= MAX_ASKING, "{asking} questions");
        assert_eq!(known.iter().filter(|n| n.state == NetworkState::Joined).count(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_stops_reading_is_left_behind_and_catches_up_when_it_reads_again() {
    let mut office = Office::open(116).await;
    let a = Attacker::enter(&office, 66, 0).await;
    let body = format!("honest: {}", "long ".repeat(1_000));
    for _ in 0..400 {
        office.nodes[0].say(&body).await;
    }
    office.said += 400;
    office.goes_on(SOON).await;
    assert!(a.is_linked().await);
    // Now it reads: what was kept for it is bounded, and then comes a digest.
    let (mut live, mut digest) = (0, false);
    while let Ok(Ok(bytes)) = tokio::time::timeout(Duration::from_secs(2), a.link.recv(Lane::Sync)).await {
        match Frame::decode(&bytes[8..]).unwrap() {
            Frame::Entries { live: true, .. } => live += bytes.len(),
            Frame::Digest(_) => digest = true,
            _ => {}
        }
    }
    assert!(live <= SESSION_QUEUE_BYTES + 300 * 1_024, "{live} bytes were kept");
    assert!(digest, "and it is asked to compare");
    a.sync(&office.commons(), &Frame::Want { document: office.this_week(), logs: vec![] }).await;
    let mut entries = 0;
    let caught_up = async {
        loop {
            let bytes = a.link.recv(Lane::Sync).await.unwrap();
            match Frame::decode(&bytes[8..]).unwrap() {
                Frame::Entries { live: false, entries: e } => entries += e.len(),
                Frame::Served(_) => return,
                _ => {}
            }
        }
    };
    tokio::time::timeout(SOON, caught_up).await.expect("it catches up");
    assert_eq!(entries, office.said);
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_who_writes_is_dropped_where_it_is_read() {
    let mut office = Office::open(114).await;
    let a = Attacker::enter(&office, 66, 0).await;
    let tag = cairn_actors::proto::session::space_tag(&a.link.exporter(), &office.commons());
    let strange = cairn_actors::proto::session::space_tag(&a.link.exporter(), &SpaceId([9; 32]));
    let mut events = office.nodes[0].handle().subscribe();
    // A frame for a space that it is not in, and on and off without end.
    let frame = move |n: usize| {
        [if n.is_multiple_of(10) { &strange[..] } else { &tag[..] }, &Frame::Typing(n % 2 == 1).encode()].concat()
    };
    flood(&a, Lane::Sync, (0..20_000).map(frame));
    for _ in 0..5 {
        office.goes_on(Duration::from_secs(1)).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let mut told = 0;
    loop {
        match events.try_recv() {
            Ok(Event::Typing { .. }) => told += 1,
            Ok(_) => {}
            Err(tokio::sync::broadcast::error::TryRecvError::Lagged(_)) => panic!("so much was told"),
            Err(_) => break,
        }
    }
    assert!((1..=30).contains(&told), "told {told} times in some seven seconds");
    let peers = office.nodes[0].handle().peers().await.unwrap();
    assert!(peers.iter().any(|p| p.id == office.nodes[1].id && p.state == PeerState::Online));
    assert_eq!(office.notices(), Vec::<String>::new());
}
