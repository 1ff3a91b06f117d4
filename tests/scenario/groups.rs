//! A group of five in which two sides change who belongs to it while they cannot hear each other: one removes a member and
//! takes in another, the other removes an admin, makes a reader of somebody and talks. When the cable is back all five come
//! to the same, and soon. The one who was removed gets nothing that is said since, on the same LAN.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::Scale;
use crate::figures::report_ms;
use crate::lan::Lan;
use crate::node::{Node, Place, SOON, up_all, wait_mesh};

const GROUP: &str = "Night shift";
const HERE: &str = "said-here-while-apart";
const THERE: &str = "said-there-while-apart";
const AFTER: &str = "said-after-the-removal";
/// From the first session across to the same group on every node.
const AGREED: Duration = Duration::from_secs(3);

/// Waits until a question to a node has an answer that will do; events of the node tell when to ask again.
fn wait(lan: &Lan, node: &Node, what: &str, args: &[&str], ok: impl Fn(&[Value]) -> bool) {
    let deadline = Instant::now() + SOON;
    loop {
        let mark = node.events.mark();
        let answer = node.place.verb(lan, args);
        if ok(&answer.lines) {
            return;
        }
        assert!(Instant::now() < deadline, "{}: {what}: {answer:?}", node.place.name);
        node.events.wait_news(mark, Duration::from_millis(100));
    }
}

fn roles(lines: &[Value]) -> Vec<(String, String)> {
    let members = lines.first().and_then(|g| g["members"].as_array()).cloned().unwrap_or_default();
    let text = |m: &Value, field: &str| m[field].as_str().unwrap_or_default().to_owned();
    let mut all: Vec<_> = members.iter().map(|m| (text(m, "id"), text(m, "role"))).collect();
    all.sort();
    all
}

fn holds(folder: &Path, text: &str) -> bool {
    let Ok(entries) = std::fs::read_dir(folder) else { return false };
    entries.flatten().map(|e| e.path()).any(|path| {
        if path.is_dir() {
            return holds(&path, text);
        }
        // Sockets can't be read, and hold nothing.
        std::fs::read(&path).is_ok_and(|bytes| bytes.windows(text.len()).any(|w| w == text.as_bytes()))
    })
}

/// Runs it.
pub fn run(_: &Scale) {
    let mut lan = Lan::of(6);
    let names = ["anna", "ben", "cleo", "dora", "emil", "finn"];
    let places: Vec<Place> = names.iter().enumerate().map(|(i, name)| Place::new(&lan, i, name)).collect();
    let nodes = up_all(&lan, &places);
    wait_mesh(&nodes.iter().collect::<Vec<_>>(), SOON);
    let id = |i: usize| format!("id:{}", nodes[i].id);
    places[0].must(&lan, &["group", "create", GROUP]);
    // The first five; the sixth comes in while they are apart.
    for i in 1..5 {
        let role = if i < 3 { "admin" } else { "member" };
        places[0].must(&lan, &["group", "invite", GROUP, &id(i), "--role", role]);
        wait(&lan, &nodes[i], "the invitation", &["group", "invitations"], |l| !l.is_empty());
        places[i].must(&lan, &["group", "accept", GROUP]);
    }
    let inside = |l: &[Value]| {
        let members = l.first().and_then(|g| g["members"].as_array()).cloned().unwrap_or_default();
        members.iter().filter(|m| m["accepted"] == true).count() == 5
    };
    for node in &nodes[..5] {
        wait(&lan, node, "all are in", &["group", "show", GROUP], inside);
    }

    let marks: Vec<usize> = nodes.iter().map(|n| n.events.mark()).collect();
    // Most of them are on Anna's side: on Cleo's two cannot outvote her.
    let sides: [&[usize]; 2] = [&[0, 1, 3, 5], &[2, 4]];
    lan.part(&sides);
    for (here, there) in [(sides[0], sides[1]), (sides[1], sides[0])] {
        for (i, other) in here.iter().flat_map(|i| there.iter().map(move |other| (*i, *other))) {
            nodes[i].wait_gone(marks[i], &nodes[other].id, SOON);
        }
    }
    places[0].must(&lan, &["group", "remove", GROUP, &id(2)]);
    places[1].must(&lan, &["group", "invite", GROUP, &id(5)]);
    wait(&lan, &nodes[5], "the invitation", &["group", "invitations"], |l| !l.is_empty());
    places[5].must(&lan, &["group", "accept", GROUP]);
    let group = format!("#{GROUP}");
    places[1].say(&lan, &group, HERE);
    places[4].say(&lan, &group, THERE);
    places[2].must(&lan, &["group", "remove", GROUP, &id(1)]);
    places[2].must(&lan, &["group", "role", GROUP, &id(4), "reader"]);

    let marks: Vec<usize> = nodes.iter().map(|n| n.events.mark()).collect();
    lan.heal();
    let healed = Instant::now();
    let across = |e: &crate::events::Seen| e.is("peer") && e.text("state") != "offline";
    let first = nodes.iter().zip(&marks).filter_map(|(n, m)| n.events.wait(*m, healed + SOON, across));
    let first = first.map(|e| e.at).min().expect("somebody notices");
    // Anna began the group: her removal of Cleo counts, and so nothing that Cleo did without knowing it.
    let role = |i: usize, role: &str| (nodes[i].id.clone(), role.to_owned());
    let mut wanted = vec![role(0, "admin"), role(1, "admin"), role(3, "member"), role(4, "member"), role(5, "member")];
    wanted.sort();
    for i in [0, 1, 3, 4, 5] {
        wait(&lan, &nodes[i], "the same group", &["group", "show", GROUP], |l| roles(l) == wanted);
        nodes[i].wait_log(&lan, &group, SOON, "what both sides said", |l| {
            l.iter().any(|l| l.body == HERE) && l.iter().any(|l| l.body == THERE)
        });
    }
    let agreed = first.elapsed();
    report_ms("healed, noticed, to the same group and words on every node", agreed, Some(AGREED));
    assert!(agreed <= AGREED * 5, "agreed after {agreed:?}");
    wait(&lan, &nodes[2], "is told", &["group", "show", GROUP], |l| l.first().is_some_and(|g| g["state"] == "out"));
    let why = places[3].must(&lan, &["group", "log", GROUP]);
    let void = |l: &Value| l["counts"] == false && l["sentence"].as_str().is_some_and(|s| s.contains("did not count"));
    assert!(why.lines.iter().any(void), "{why:?}");

    places[4].say(&lan, &group, AFTER);
    for i in [0, 1, 3, 5] {
        nodes[i].wait_log(&lan, &group, SOON, "what is said since", |l| l.iter().any(|l| l.body == AFTER));
    }
    let refused = places[2].verb(&lan, &["say", &group, "let me in"]);
    assert_eq!(refused.error()["error"], "not_a_member", "{refused:?}");
    assert!(!places[2].log(&lan, &group).iter().any(|l| [HERE, AFTER].contains(&l.body.as_str())));
    for node in nodes {
        assert!(node.stop().success());
    }
    for place in &places {
        for text in [HERE, THERE, AFTER] {
            assert!(!holds(&place.data, text), "{text} lies open on the disk of {}", place.name);
        }
    }
}
