//! One machine with many keys.

use std::net::SocketAddr;
use std::time::Duration;

use cairn_actors::limits::{NEIGHBOURS_AFTER_EACH, SESSIONS_MAX};
use cairn_actors::link::{Lane, Transport};
use cairn_actors::proto::session::Control;
use cairn_crdt::identity::DeviceKey;
use cairn_crdt::ids::DeviceId;

use super::{Attacker, Office, SOON};
use crate::world::{Sim, until};

fn key(n: u16) -> DeviceKey {
    let mut seed = [0xa7; 32];
    seed[..2].copy_from_slice(&n.to_be_bytes());
    DeviceKey::from_seed(&seed)
}

#[tokio::test(start_paused = true)]
#[ignore = "eight seconds; `.ci/run` takes it"]
async fn six_hundred_sessions_from_one_address_keep_nobody_out() {
    let mut office = Office::open(131).await;
    let to = office.nodes[0].at.addr;
    let mut crowd = Vec::new();
    for n in 0..600u16 {
        let key = key(n);
        let at = office.lan.attach_at(key.id(), SocketAddr::from(([10, 77, 9, 9], 30_000 + n)));
        let link = at.transport.dial(to, None).await.unwrap();
        let a = Attacker { key, _at: at, link };
        a.control(a.hello(office.network)).await;
        crowd.push(a);
    }
    until(SOON, "they are in", async || office.nodes[0].online().await as usize >= SESSIONS_MAX - 1).await;
    let late = Sim::start(&office.lan, 3).await;
    until(Duration::from_secs(3), "an honest newcomer gets in", async || {
        office.nodes[0]
            .handle()
            .peers()
            .await
            .unwrap()
            .iter()
            .any(|p| p.id == late.id && p.address.is_some() && p.rtt_ms.is_some())
    })
    .await;
    assert!(office.nodes[0].online().await as usize <= SESSIONS_MAX);
    office.nodes.push(late);
    office.goes_on(SOON).await;
    until(SOON, "and it holds everything", async || office.honest(2).await.len() == office.said).await;
    let mut refused = 0;
    for a in &crowd {
        refused += usize::from(tokio::time::timeout(Duration::from_millis(1), a.link.closed()).await.is_ok());
    }
    assert!(refused >= 600 - SESSIONS_MAX, "{refused}");
}

#[tokio::test(start_paused = true)]
async fn passers_by_leave_nothing_behind() {
    let mut office = Office::open(132).await;
    for n in 0..200u16 {
        let key = key(n);
        let at = office.lan.attach(key.id());
        let link = at.transport.dial(office.nodes[0].at.addr, None).await.unwrap();
        let a = Attacker { key, _at: at, link };
        a.control(a.hello(office.network)).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        a.link.close("bye");
    }
    office.goes_on(SOON).await;
    let listed = office.nodes[0].handle().conversations().await.unwrap();
    assert_eq!(listed.len(), 1, "the room, and no conversation with any of them");
    assert_eq!(office.notices(), Vec::<String>::new());
}

/// Reads what a node tells of sessions until it tells of this one; answers who else was gained and lost by then.
async fn told(by: &Attacker, gained: bool, of: DeviceId) -> (Vec<DeviceId>, Vec<DeviceId>) {
    loop {
        let Ok(Control::Neighbours { up, down }) = Control::decode(&by.link.recv(Lane::Control).await.unwrap()) else {
            continue;
        };
        let up: Vec<_> = up.into_iter().map(|n| n.device).collect();
        if (if gained { &up } else { &down }).contains(&of) {
            return (up, down);
        }
    }
}

/// In a crowd those who come are told of together. Who goes is told of at once, with those who came meanwhile: until
/// others know of it they pass nothing on in its place.
#[tokio::test(start_paused = true)]
async fn a_lost_session_is_told_of_before_those_that_are_being_gathered() {
    let office = Office::open(133).await;
    let mut crowd = Vec::new();
    for n in 0..60 {
        let a = Attacker::enter_as(&office, Attacker::many(n), 0).await;
        a.drain(Lane::Control);
        a.drain(Lane::Sync);
        crowd.push(a);
    }
    let watcher = Attacker::enter(&office, 66, 0).await;
    watcher.drain(Lane::Sync);
    let together = NEIGHBOURS_AFTER_EACH * 60;
    tokio::time::sleep(together * 2).await;
    // Alone, who comes waits for others who may come.
    let start = tokio::time::Instant::now();
    let first = Attacker::enter_as(&office, Attacker::many(100), 0).await;
    let (_, down) = told(&watcher, true, first.key.id()).await;
    assert!(start.elapsed() >= together && down.is_empty(), "{:?}", start.elapsed());
    tokio::time::sleep(together * 2).await;
    // While another one waits so, somebody goes.
    let start = tokio::time::Instant::now();
    let second = Attacker::enter_as(&office, Attacker::many(101), 0).await;
    let gone = crowd.remove(0);
    gone.link.close("done");
    let (up, down) = told(&watcher, false, gone.key.id()).await;
    assert!(start.elapsed() < together / 2, "{:?}", start.elapsed());
    assert_eq!((up, down), (vec![second.key.id()], vec![gone.key.id()]));
}
