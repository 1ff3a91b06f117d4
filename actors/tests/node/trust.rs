//! Who somebody is: safety numbers compared, codes read, names that are another's.

use std::time::Duration;

use cairn_actors::api::{Badge, Event, Message, Peer};
use cairn_actors::link::memory::Switch;
use cairn_crdt::ids::DeviceId;
use tokio::sync::broadcast::Receiver;

use crate::world::{Sim, all_online, until};

const SOON: Duration = Duration::from_secs(10);
/// By then who was seen is on the disk, and a person may be told of the same device again.
const KEPT: Duration = Duration::from_secs(90);

async fn peer(at: &Sim, who: DeviceId) -> Peer {
    at.handle().peers().await.unwrap().into_iter().find(|p| p.id == who).unwrap()
}

async fn badge(at: &Sim, who: DeviceId) -> Badge {
    peer(at, who).await.badge
}

/// Calls a node something, and waits until another has heard.
async fn call(node: &Sim, name: &str, hears: &Sim) {
    node.handle().set_name(name).await.unwrap();
    until(SOON, "the name is heard", async || peer(hears, node.id).await.own_name.as_deref() == Some(name)).await;
}

/// The notices of a kind since the last call.
fn notices(events: &mut Receiver<Event>, kind: &str) -> Vec<String> {
    let mut found = Vec::new();
    while let Ok(event) = events.try_recv() {
        if let Event::Notice { code, message } = event
            && code == kind
        {
            found.push(message);
        }
    }
    found
}

/// Past the moment at which names are told of.
async fn a_moment() {
    tokio::time::sleep(Duration::from_millis(300)).await;
}

#[tokio::test(start_paused = true)]
async fn two_compare_and_both_remember() {
    let lan = Switch::new(700);
    let mut nodes = vec![Sim::start(&lan, 1).await, Sim::start(&lan, 2).await, Sim::start(&lan, 3).await];
    all_online(&nodes, 2).await;
    let [a, b, c] = [0, 1, 2].map(|i: usize| nodes[i].id);
    let (of_a, of_b) = (nodes[0].handle().safety(b).await.unwrap(), nodes[1].handle().safety(a).await.unwrap());
    assert_eq!((&of_a.digits, &of_a.words), (&of_b.digits, &of_b.words));
    assert_eq!((of_a.digits.len(), of_a.words.len()), (12, 12));
    assert_ne!(of_a.code, of_b.code);
    assert_ne!(nodes[0].handle().safety(c).await.unwrap().digits, of_a.digits);

    // One says that they match, the other reads the code; each answers what it is now, and others hear of it.
    let mut events = nodes[0].handle().subscribe();
    assert_eq!(nodes[0].handle().set_verified(b, true).await.unwrap().badge, Badge::Verified);
    let told = |e: Event| matches!(e, Event::Peer(p) if p.id == b && p.badge == Badge::Verified);
    assert!(std::iter::from_fn(|| events.try_recv().ok()).any(told));
    assert_eq!(nodes[1].handle().scan(&of_a.code, Some(a)).await.unwrap().badge, Badge::Verified);
    nodes[0].handle().set_petname(b, Some("Bee")).await.unwrap();

    // What was acknowledged is there after a crash; who was seen is kept a little later.
    tokio::time::sleep(KEPT).await;
    for i in 0..2 {
        let again = nodes.remove(i).crash_and_restart(&lan).await;
        nodes.insert(i, again);
    }
    all_online(&nodes, 2).await;
    assert_eq!((badge(&nodes[0], b).await, badge(&nodes[1], a).await), (Badge::Verified, Badge::Verified));
    assert_eq!(badge(&nodes[0], c).await, Badge::Contact);
    assert_eq!(peer(&nodes[0], b).await.name, "Bee");
    nodes[1].say("it is me").await;
    let room = nodes[0].everyone().await;
    until(SOON, "it is read", async || !nodes[0].messages(room).await.is_empty()).await;
    assert_eq!(nodes[0].messages(room).await[0].badge, Badge::Verified);

    // Taken back, it stays so, and the name that was given stays.
    assert_eq!(nodes[0].handle().set_verified(b, false).await.unwrap().badge, Badge::Contact);
    let again = nodes.remove(0).crash_and_restart(&lan).await;
    nodes.insert(0, again);
    assert_eq!((badge(&nodes[0], b).await, peer(&nodes[0], b).await.name.as_str()), (Badge::Contact, "Bee"));
}

#[tokio::test(start_paused = true)]
async fn a_code_that_does_not_match_verifies_nobody_and_is_shouted() {
    let lan = Switch::new(701);
    let nodes = [Sim::start(&lan, 1).await, Sim::start(&lan, 2).await, Sim::start(&lan, 3).await];
    all_online(&nodes, 2).await;
    let [a, b, c] = [0, 1, 2].map(|i: usize| nodes[i].id);
    let (h, mut events) = (nodes[0].handle(), nodes[0].handle().subscribe());
    let shown = async |by: usize, to: DeviceId| nodes[by].handle().safety(to).await.unwrap().code;
    let refused = async |code: &str, meant| h.scan(code, meant).await.unwrap_err();

    let other = refused(&shown(2, a).await, Some(b)).await;
    assert_eq!(other.code, "other_device");
    assert!(other.message.contains("NOT VERIFIED") && other.message.contains("node 3"), "{}", other.message);
    assert_eq!(notices(&mut events, "other_device"), [other.message]);
    let not_you = refused(&shown(1, c).await, Some(b)).await;
    assert_eq!(not_you.code, "not_you");
    assert_eq!(notices(&mut events, "not_you"), [not_you.message]);
    assert_eq!(refused(&shown(1, c).await, None).await.code, "not_you");
    assert_eq!(refused(&shown(0, b).await, Some(b)).await.code, "own_code");
    let stranger = cairn_crdt::safety::Code::new(DeviceId([9; 32]), a).to_string();
    assert_eq!(refused(&stranger, None).await.code, "no_such_peer");
    assert_eq!(refused(&stranger, Some(b)).await.code, "other_device");
    for bad in ["", "CAIRN:ID:1:x:y", &"x".repeat(100_000)] {
        assert_eq!(refused(bad, Some(b)).await.code, "bad_code");
    }
    assert_eq!(refused("cairn:id:9:", None).await.code, "newer_code");
    assert_eq!(h.safety(DeviceId([9; 32])).await.unwrap_err().code, "no_such_peer");
    assert_eq!(h.set_verified(DeviceId([9; 32]), true).await.unwrap_err().code, "no_such_peer");
    for p in h.peers().await.unwrap() {
        assert_eq!(p.badge, Badge::Unknown);
    }
    // Whoever's code it is.
    assert_eq!(h.scan(&shown(2, a).await, None).await.unwrap().id, c);
    assert_eq!(badge(&nodes[0], c).await, Badge::Verified);
}

#[tokio::test(start_paused = true)]
async fn an_impostor_is_flagged_wherever_the_name_is_known() {
    let lan = Switch::new(702);
    let mut nodes = vec![Sim::start(&lan, 1).await, Sim::start(&lan, 2).await, Sim::start(&lan, 3).await];
    all_online(&nodes, 2).await;
    let ana = nodes[1].id;
    call(&nodes[1], "Ana", &nodes[0]).await;
    call(&nodes[1], "Ana", &nodes[2]).await;
    // One has compared with her, the other has seen her before.
    nodes[0].handle().set_verified(ana, true).await.unwrap();
    tokio::time::sleep(KEPT).await;
    let again = nodes.remove(2).crash_and_restart(&lan).await;
    nodes.push(again);
    all_online(&nodes, 2).await;
    let mut heard = [nodes[0].handle().subscribe(), nodes[2].handle().subscribe()];

    // "Ana" in Cyrillic but for the n, in other case, with a blank.
    let impostor = Sim::start(&lan, 4).await;
    nodes.push(impostor);
    all_online(&nodes, 3).await;
    let liar = nodes[3].id;
    assert_eq!(badge(&nodes[0], liar).await, Badge::Unknown);
    call(&nodes[3], "аNа .", &nodes[0]).await;
    call(&nodes[3], "аNа .", &nodes[2]).await;
    a_moment().await;
    for (i, events) in [0usize, 2].into_iter().zip(&mut heard) {
        let shouts = notices(events, "name_taken");
        assert_eq!(shouts.len(), 1, "once: {shouts:?}");
        let p = peer(&nodes[i], liar).await;
        let warning = p.warning.unwrap();
        assert_eq!((p.badge, warning.of, warning.mine), (Badge::Warning, ana, false));
        assert_eq!(warning.sentence, shouts[0]);
        assert!(warning.sentence.contains("is another device") && warning.sentence.contains(&ana.code()));
        assert_eq!(warning.sentence.contains("whom you verified"), i == 0);
        assert!(badge(&nodes[i], ana).await >= Badge::Contact, "she is not blamed");
    }
    // What it writes says so, and both names come with their codes.
    nodes[3].say("the code of the door, quick").await;
    nodes[1].say("which door?").await;
    let room = nodes[0].everyone().await;
    until(SOON, "both are read", async || nodes[0].messages(room).await.len() == 2).await;
    let shown: Vec<Message> = nodes[0].messages(room).await;
    let of = |who: DeviceId| shown.iter().find(|m| m.author == who).unwrap();
    assert_eq!((of(liar).badge, of(ana).badge), (Badge::Warning, Badge::Verified));
    assert_eq!(of(liar).author_name, format!("аNа . ({})", liar.code()));
    assert_eq!(of(ana).author_name, format!("Ana ({})", ana.code()));

    // It stays after a crash, and is not shouted again.
    tokio::time::sleep(KEPT).await;
    let again = nodes.remove(0).crash_and_restart(&lan).await;
    let mut events = again.handle().subscribe();
    nodes.insert(0, again);
    all_online(&nodes, 3).await;
    a_moment().await;
    assert_eq!(badge(&nodes[0], liar).await, Badge::Warning);
    assert_eq!(notices(&mut events, "name_taken"), Vec::<String>::new());

    // Under another name it takes nobody's; a name given here, or a comparison, settles it too.
    call(&nodes[3], "Bo", &nodes[0]).await;
    assert_eq!(badge(&nodes[0], liar).await, Badge::Contact);
    call(&nodes[3], "ANA", &nodes[0]).await;
    assert_eq!(badge(&nodes[0], liar).await, Badge::Warning);
    let named = nodes[0].handle().set_petname(liar, Some("Ana's old laptop")).await.unwrap();
    assert_eq!((named.badge, named.warning, named.namesake), (Badge::Contact, None, false));
    assert!(!peer(&nodes[0], ana).await.namesake, "she alone is shown as Ana");
    nodes[0].handle().set_petname(liar, None).await.unwrap();
    assert_eq!(badge(&nodes[0], liar).await, Badge::Warning);
    assert_eq!(nodes[0].handle().set_verified(liar, true).await.unwrap().badge, Badge::Verified);
    assert_eq!(nodes[0].handle().set_verified(liar, false).await.unwrap().badge, Badge::Warning);
}

#[tokio::test(start_paused = true)]
async fn a_name_given_here_is_not_for_others_to_take() {
    let lan = Switch::new(703);
    let nodes = [Sim::start(&lan, 1).await, Sim::start(&lan, 2).await, Sim::start(&lan, 3).await];
    all_online(&nodes, 2).await;
    let (boss, liar) = (nodes[1].id, nodes[2].id);
    nodes[0].handle().set_petname(boss, Some("Boss")).await.unwrap();
    let mut events = nodes[0].handle().subscribe();
    call(&nodes[2], "B0SS", &nodes[0]).await;
    a_moment().await;
    assert_eq!(notices(&mut events, "name_taken").len(), 1);
    let p = peer(&nodes[0], liar).await;
    assert_eq!((p.badge, p.namesake, p.warning.unwrap().of), (Badge::Warning, true, boss));
    let b = peer(&nodes[0], boss).await;
    assert_eq!((b.badge, b.namesake, b.label().as_str()), (Badge::Contact, false, "Boss"));
    // The name by which she calls herself is hers too.
    call(&nodes[2], "Node-2", &nodes[0]).await;
    a_moment().await;
    assert_eq!(peer(&nodes[0], liar).await.warning.unwrap().of, boss);
    // Who was never here before has no name to lose: all are told apart, and nobody is blamed.
    assert_eq!(nodes[1].handle().peers().await.unwrap().iter().filter(|p| p.badge == Badge::Warning).count(), 0);
}

#[tokio::test(start_paused = true)]
async fn ones_own_name_counts_once_it_was_chosen() {
    let lan = Switch::new(704);
    let nodes = [Sim::start(&lan, 1).await, Sim::start(&lan, 2).await, Sim::start(&lan, 3).await];
    all_online(&nodes, 2).await;
    let mut events = nodes[0].handle().subscribe();
    // A name that nobody chose is anybody's: it only comes with its code.
    call(&nodes[1], "node 1", &nodes[0]).await;
    a_moment().await;
    let p = peer(&nodes[0], nodes[1].id).await;
    assert_eq!((p.badge, p.namesake), (Badge::Unknown, true));
    assert_eq!(notices(&mut events, "name_taken"), Vec::<String>::new());
    nodes[0].handle().set_name("Maya").await.unwrap();
    call(&nodes[2], "maya", &nodes[0]).await;
    a_moment().await;
    let warning = peer(&nodes[0], nodes[2].id).await.warning.unwrap();
    assert!(warning.mine && warning.of == nodes[0].id && warning.sentence.contains("uses your name"));
    assert_eq!(notices(&mut events, "name_taken"), [warning.sentence]);
}

#[tokio::test(start_paused = true)]
async fn two_of_one_name_are_told_apart_everywhere_and_neither_is_blamed() {
    let lan = Switch::new(705);
    let nodes = [Sim::start(&lan, 1).await, Sim::start(&lan, 2).await, Sim::start(&lan, 3).await];
    all_online(&nodes, 2).await;
    let mut events = nodes[0].handle().subscribe();
    call(&nodes[1], "desk", &nodes[0]).await;
    let direct = peer(&nodes[0], nodes[1].id).await.conversation;
    nodes[0].handle().say(direct, "hello", None).await.unwrap();
    let title = async || {
        let all = nodes[0].handle().conversations().await.unwrap();
        all.into_iter().find(|c| c.id == direct).unwrap().title
    };
    assert_eq!(title().await, "desk");
    call(&nodes[2], "Desk", &nodes[0]).await;
    let [one, two] = [1, 2].map(|i: usize| nodes[i].id.code());
    assert_eq!(title().await, format!("desk ({one})"));
    // Whoever was called so before is told anew too.
    a_moment().await;
    let mut told = Vec::new();
    while let Ok(event) = events.try_recv() {
        match event {
            Event::Conversation(c) if c.id == direct => told.push(c.title.clone()),
            Event::Peer(p) if p.id == nodes[1].id => told.push(p.label()),
            Event::Notice { code, .. } => assert_ne!(code, "name_taken"),
            _ => {}
        }
    }
    assert!(told.iter().filter(|t| **t == format!("desk ({one})")).count() >= 2, "{told:?}");
    let room = nodes[0].everyone().await;
    let members: Vec<String> = nodes[0].handle().members(room).await.unwrap().into_iter().map(|m| m.name).collect();
    assert_eq!(members.iter().filter(|n| **n == format!("Desk ({two})") || **n == format!("desk ({one})")).count(), 2);
    // The name by itself is as it was said; and when one goes, the other needs no code.
    assert_eq!(peer(&nodes[0], nodes[2].id).await.name, "Desk");
    call(&nodes[2], "tent", &nodes[0]).await;
    assert_eq!(title().await, "desk");
}
