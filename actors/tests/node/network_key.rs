//! A network with a key: who holds it meets, who does not neither appears nor learns anything; the key is changed while
//! people talk.

use std::path::PathBuf;
use std::time::Duration;

use cairn_actors::api::{Event, KeyChange, PeerState};
use cairn_actors::limits::NETWORK_KEY_OLD;
use cairn_actors::link::memory::Switch;
use cairn_actors::netkeys;
use cairn_actors::store::Seal;
use cairn_crdt::netkey::{Invite, NetworkKey, Ring};

use crate::world::{EPOCH_MS, Sim, all_equal, all_online, until};

const SOON: Duration = Duration::from_secs(5);

fn key(n: u8) -> NetworkKey {
    NetworkKey::from_secret(&[n; 32])
}

/// The key files of some nodes.
struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn of(&self, seed: u16) -> PathBuf {
        self.0.path().join(seed.to_string())
    }

    fn change(&self, seed: u16, change: impl FnOnce(&mut Ring)) {
        let mut ring = netkeys::load(&self.of(seed), &Seal::NONE).unwrap();
        change(&mut ring);
        netkeys::save(&ring, &self.of(seed), &Seal::NONE).unwrap();
    }

    /// A node that begins with a key, or without one.
    async fn start(&self, lan: &Switch, seed: u16, with: Option<u8>) -> Sim {
        if let Some(n) = with {
            self.change(seed, |ring| ring.set(key(n), key(n).network(), EPOCH_MS).unwrap());
        }
        Sim::start_keyed(lan, seed, &self.of(seed)).await
    }

    /// Changes the keys of a node while it runs.
    async fn tell(&self, sim: &Sim, seed: u16, change: impl FnOnce(&mut Ring)) {
        self.change(seed, change);
        sim.handle().settings_changed().await.unwrap();
    }
}

/// Those whom a node has ever heard of.
async fn known(sim: &Sim) -> usize {
    sim.handle().peers().await.unwrap().len()
}

#[tokio::test(start_paused = true)]
async fn only_who_holds_the_key_is_met_and_nobody_else_learns_a_name() {
    let (lan, files) = (Switch::new(40), Files::new());
    let nodes = [files.start(&lan, 1, Some(1)).await, files.start(&lan, 2, Some(1)).await];
    let others = [files.start(&lan, 3, None).await, files.start(&lan, 4, Some(2)).await];
    all_online(&nodes, 1).await;
    nodes[0].say("between us").await;
    nodes[1].say("and nobody else").await;
    all_equal(&nodes, 2, SOON).await;
    let networks = nodes[0].handle().networks().await.unwrap();
    assert_eq!((networks.len(), networks[0].id), (1, key(1).network()), "the first key gives the id");
    tokio::time::sleep(Duration::from_secs(120)).await;
    for n in &nodes {
        assert_eq!((n.online().await, known(n).await), (1, 1), "nobody else ever appears");
    }
    for o in &others {
        assert_eq!((o.online().await, known(o).await), (0, 0));
        assert_eq!(o.handle().networks().await.unwrap().len(), 1, "its own");
        o.say("alone").await;
        assert_eq!(o.bodies().await, ["alone"]);
    }
    let state = nodes[0].handle().status().await.unwrap().network_key.unwrap();
    assert_eq!((state.code, state.since, state.old.len()), (key(1).code(), EPOCH_MS, 0));
    assert_eq!(others[0].handle().status().await.unwrap().network_key, None);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_set_while_all_run_parts_and_joins_them_one_by_one() {
    let (lan, files) = (Switch::new(41), Files::new());
    let mut nodes = Vec::new();
    for seed in 1..=3 {
        nodes.push(files.start(&lan, seed, None).await);
    }
    all_online(&nodes, 2).await;
    nodes[0].say("before").await;
    all_equal(&nodes, 1, SOON).await;
    nodes[1].say("we settled").await;
    all_equal(&nodes, 2, SOON).await;
    let everyone = nodes[0].everyone().await;

    let mut heard = nodes[1].handle().subscribe();
    files.tell(&nodes[0], 1, |ring| ring.set(key(1), key(1).network(), EPOCH_MS).unwrap()).await;
    until(SOON, "the first is alone", async || nodes[0].online().await == 0 && nodes[1].online().await == 1).await;
    nodes[0].say("alone with the key").await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!((nodes[0].online().await, nodes[1].online().await), (0, 1), "and stays so");
    assert_eq!(nodes[1].bodies().await.len(), 2);
    let mut told = 0;
    while let Ok(event) = heard.try_recv() {
        told += u32::from(matches!(event, Event::Notice { code, .. } if code == "network_key"));
    }
    assert!((1..=2).contains(&told), "its people are told, and not again and again: {told}");

    for (i, seed) in [(1, 2), (2, 3)] {
        files.tell(&nodes[i], seed, |ring| ring.set(key(1), key(1).network(), EPOCH_MS).unwrap()).await;
        let took =
            until(SOON, "who has the key is back", async || nodes[i].online().await == u32::from(seed) - 1).await;
        assert!(took < Duration::from_secs(1), "{took:?}");
    }
    all_online(&nodes, 2).await;
    all_equal(&nodes, 3, SOON).await;
    assert_eq!(nodes[2].everyone().await, everyone, "a network in which people talked stays what it is");
}

#[tokio::test(start_paused = true)]
async fn a_changed_key_loses_nobody_and_the_old_one_ends() {
    let (lan, files) = (Switch::new(42), Files::new());
    let mut nodes = Vec::new();
    for seed in 1..=3 {
        nodes.push(files.start(&lan, seed, Some(1)).await);
    }
    all_online(&nodes, 2).await;
    let mut heard: Vec<_> = nodes.iter().map(|n| n.handle().subscribe()).collect();
    let until_ms = EPOCH_MS + u64::try_from(NETWORK_KEY_OLD.as_millis()).unwrap();
    for (i, seed) in [(0, 1), (1, 2)] {
        files.tell(&nodes[i], seed, |ring| ring.change(key(2), EPOCH_MS, until_ms).unwrap()).await;
        nodes[i].say(&format!("changed here: {seed}")).await;
        all_equal(&nodes, i + 1, SOON).await;
        tokio::time::sleep(Duration::from_secs(20)).await;
    }
    // A newcomer with the new passphrase alone is in the same network; the third, who has the old key, meets it too, by
    // and by through nobody: they share no key.
    nodes.push(files.start(&lan, 4, Some(2)).await);
    until(SOON, "the newcomer is here", async || nodes[3].online().await == 2 && nodes[2].online().await == 2).await;
    assert_eq!(nodes[3].everyone().await, nodes[0].everyone().await, "a changed key keeps the network");
    all_equal(&nodes[..4], 2, SOON).await;
    for e in &mut heard {
        while let Ok(event) = e.try_recv() {
            assert!(!matches!(&event, Event::Peer(p) if p.state == PeerState::Offline), "{event:?}");
        }
    }
    let state = nodes[0].handle().status().await.unwrap().network_key.unwrap();
    assert_eq!((state.code, state.old[0].until, state.old.len()), (key(2).code(), until_ms, 1));

    // A restart changes nothing of it.
    let first = nodes.remove(0).crash_and_restart(&lan).await;
    nodes.insert(0, first);
    until(SOON, "back with the old and the new", async || nodes[0].online().await == 3).await;

    // The third changes it too; then the old one ends everywhere, and nobody is lost.
    files.tell(&nodes[2], 3, |ring| ring.change(key(2), EPOCH_MS, until_ms).unwrap()).await;
    all_online(&nodes, 3).await;
    nodes[3].say("all with the new key").await;
    all_equal(&nodes, 3, SOON).await;
}

#[tokio::test(start_paused = true)]
async fn who_has_only_the_old_key_is_out_when_it_ends() {
    let (lan, files) = (Switch::new(43), Files::new());
    let mut nodes = Vec::new();
    for seed in 1..=3 {
        nodes.push(files.start(&lan, seed, Some(1)).await);
    }
    all_online(&nodes, 2).await;
    let end = EPOCH_MS + 600_000;
    for (i, seed) in [(0, 1), (1, 2)] {
        files.tell(&nodes[i], seed, |ring| ring.change(key(2), EPOCH_MS, end).unwrap()).await;
    }
    tokio::time::sleep(Duration::from_secs(590)).await;
    all_online(&nodes, 2).await;
    let mut heard = nodes[0].handle().subscribe();
    tokio::time::sleep(Duration::from_secs(15)).await;
    until(SOON, "the third is out", async || nodes[0].online().await == 1 && nodes[2].online().await == 0).await;
    let second = nodes[1].id;
    while let Ok(event) = heard.try_recv() {
        let lost = matches!(&event, Event::Peer(p) if p.id == second && p.state == PeerState::Offline);
        assert!(!lost, "links of those who have the new key are made anew and nobody is shown offline");
    }
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!((nodes[0].online().await, nodes[1].online().await, nodes[2].online().await), (1, 1, 0));
    nodes[0].say("without the third").await;
    all_equal(&nodes[..2], 1, SOON).await;
    // It gets the new key: back at once.
    files.tell(&nodes[2], 3, |ring| ring.change(key(2), EPOCH_MS, end).unwrap()).await;
    let took = until(SOON, "the third is back", async || nodes[2].online().await == 2).await;
    assert!(took < Duration::from_secs(1), "{took:?}");
    all_equal(&nodes, 1, SOON).await;
}

#[tokio::test(start_paused = true)]
async fn groups_that_begin_apart_with_one_key_are_one_network() {
    let (lan, files) = (Switch::new(44), Files::new());
    let mut nodes = Vec::new();
    for seed in 1..=4 {
        nodes.push(files.start(&lan, seed, None).await);
        lan.unplug(nodes.last().unwrap().at.addr);
    }
    // Each was in a network of its own before anybody set the key.
    tokio::time::sleep(Duration::from_secs(5)).await;
    for (node, seed) in nodes.iter().zip(1..) {
        files.tell(node, seed, |ring| ring.set(key(1), key(1).network(), EPOCH_MS).unwrap()).await;
    }
    let addrs: Vec<_> = nodes.iter().map(|n| n.at.addr).collect();
    lan.partition(&[&addrs[..2], &addrs[2..]]);
    addrs.iter().for_each(|a| lan.plug(*a));
    all_online(&nodes, 1).await;
    nodes[0].say("west").await;
    nodes[1].say("west too").await;
    nodes[2].say("east").await;
    nodes[3].say("east too").await;
    all_equal(&nodes[..2], 2, SOON).await;
    all_equal(&nodes[2..], 2, SOON).await;
    lan.heal();
    all_online(&nodes, 3).await;
    all_equal(&nodes, 4, Duration::from_secs(10)).await;
    for n in &nodes {
        assert_eq!(n.handle().networks().await.unwrap().len(), 1, "nobody is asked anything");
    }
}

#[tokio::test(start_paused = true)]
async fn a_damaged_key_file_changes_nothing_in_a_running_node() {
    let (lan, files) = (Switch::new(45), Files::new());
    let nodes = [files.start(&lan, 1, Some(1)).await, files.start(&lan, 2, Some(1)).await];
    all_online(&nodes, 1).await;
    std::fs::write(files.of(1), "cairn network key 1\nnonsense\n").unwrap();
    let error = nodes[0].handle().settings_changed().await.unwrap_err();
    assert_eq!(error.code, "bad_network_key");
    assert!(error.message.contains("damaged"), "{}", error.message);
    nodes[0].say("as ever").await;
    all_equal(&nodes, 1, SOON).await;
    // Without the file the network is open: both are alone.
    std::fs::remove_file(files.of(1)).unwrap();
    nodes[0].handle().settings_changed().await.unwrap();
    until(SOON, "parted", async || nodes[0].online().await == 0 && nodes[1].online().await == 0).await;
}

/// As the window does it: the node itself writes the file, and tells the key in this process alone.
#[tokio::test(start_paused = true)]
async fn the_node_changes_its_key_and_tells_it_for_others_to_join_with() {
    let (lan, files) = (Switch::new(649), Files::new());
    let nodes = [files.start(&lan, 1, None).await, files.start(&lan, 2, None).await];
    all_online(&nodes, 1).await;
    let room = nodes[0].everyone().await;
    nodes[0].say("before").await;
    all_equal(&nodes, 1, SOON).await;
    let none = nodes[0].handle().network_key().await.unwrap_err();
    assert_eq!(none.code, "no_network_key");
    let mut events = nodes[0].handle().subscribe();
    let using = |n: u8| KeyChange::Use(key(n), key(n).network());
    nodes[0].handle().change_network_key(using(5)).await.unwrap();
    until(SOON, "they part", async || nodes[0].online().await == 0 && nodes[1].online().await == 0).await;
    let status = nodes[0].handle().status().await.unwrap().network_key.unwrap();
    assert_eq!((status.code, status.old.len()), (key(5).code(), 0));
    let told = std::iter::from_fn(|| events.try_recv().ok());
    assert!(told.into_iter().any(|e| matches!(e, Event::Status(s) if s.network_key.is_some())));
    assert_eq!(netkeys::load(&files.of(1), &Seal::NONE).unwrap().key(), Some(&key(5)));
    // The other one joins with what is shown.
    let shown = nodes[0].handle().network_key().await.unwrap().to_string();
    let invite: Invite = shown.parse().unwrap();
    assert_eq!(invite.key, key(5));
    nodes[1].handle().change_network_key(KeyChange::Use(invite.key, invite.network)).await.unwrap();
    all_online(&nodes, 1).await;
    assert_eq!(nodes[0].everyone().await, room, "where people talked before, they go on");
    // Changed, the old one is accepted for a time; not set twice, nor dropped where there is none.
    let same = nodes[0].handle().change_network_key(using(5)).await.unwrap_err();
    assert_eq!(same.code, "same_network_key");
    nodes[0].handle().change_network_key(using(6)).await.unwrap();
    let old = nodes[0].handle().status().await.unwrap().network_key.unwrap().old;
    assert_eq!(old.first().map(|o| o.code.clone()), Some(key(5).code()));
    all_online(&nodes, 1).await;
    nodes[0].handle().change_network_key(KeyChange::DropOld).await.unwrap();
    until(SOON, "who has only the old one is out", async || nodes[0].online().await == 0).await;
    nodes[0].handle().change_network_key(KeyChange::Remove).await.unwrap();
    assert!(!files.of(1).exists() && nodes[0].handle().status().await.unwrap().network_key.is_none());
    assert_eq!(nodes[0].handle().change_network_key(KeyChange::Remove).await.unwrap_err().code, "no_network_key");
}
