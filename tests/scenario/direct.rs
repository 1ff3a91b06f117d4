//! Direct messages stay between the two: the third device shows nothing of them, says it knows no such conversation,
//! and has not a byte of them on its disk. On the disks of the two they lie sealed: not one of the words that were said
//! can be found there, while what was said in the room can. Both read them again after a restart.

use std::path::Path;
use std::time::{Duration, Instant};

use super::Scale;
use crate::lan::Lan;
use crate::node::{Place, SOON, up_all, wait_mesh};

const SECRET: &str = "the-key-is-under-the-third-stone";
const ANSWER: &str = "found-it-behind-the-tree";
const OPEN: &str = "lunch-is-served-for-everyone";

/// Runs it.
pub fn run(_: &Scale) {
    let lan = Lan::of(3);
    let places = [Place::new(&lan, 0, "anna"), Place::new(&lan, 1, "ben"), Place::new(&lan, 2, "cleo")];
    let nodes = up_all(&lan, &places);
    wait_mesh(&nodes.iter().collect::<Vec<_>>(), SOON);
    // Names travel with profiles: wait until anna knows which device is called ben.
    let deadline = Instant::now() + SOON;
    loop {
        let mark = nodes[0].events.mark();
        let peers = places[0].must(&lan, &["peers"]);
        if peers.lines.iter().any(|p| p["name"] == "ben" && p["id"] == nodes[1].id.as_str()) {
            break;
        }
        assert!(Instant::now() < deadline, "no name arrives: {peers:?}");
        nodes[0].events.wait_news(mark, Duration::from_millis(200));
    }

    let said = places[0].must(&lan, &["say", "@ben", SECRET]);
    let field = |name: &str| said.first()[name].as_str().unwrap_or_else(|| panic!("{name} in {said:?}")).to_owned();
    let (id, conversation) = (field("id"), format!("id:{}", field("conversation")));
    let there = nodes[1].wait_log(&lan, &conversation, SOON, "direct message", |l| l.iter().any(|l| l.body == SECRET));
    assert_eq!((there.len(), there[0].id.as_str(), there[0].body.as_str()), (1, id.as_str(), SECRET));
    let answer = places[1].say(&lan, &format!("id:{}", nodes[0].id), ANSWER);
    nodes[0].wait_log(&lan, "@ben", SOON, "answer", |l| l.iter().any(|l| l.id == answer));

    // Something later in the room has reached cleo, so what came before would have too.
    let later = places[0].say(&lan, "everyone", OPEN);
    nodes[2].wait_log(&lan, "everyone", SOON, "later message", |l| l.iter().any(|l| l.id == later));
    for event in nodes[2].events.since(0) {
        assert!(!event.json.to_string().contains(SECRET), "cleo is told: {:?}", event.json);
    }
    assert_eq!(places[2].log(&lan, &conversation), [], "cleo has no such conversation");
    let nobody_can_read = || {
        assert!(places.iter().all(|p| holds(&p.data, OPEN)), "the search can find what is open");
        for (place, secret) in places.iter().flat_map(|p| [(p, SECRET), (p, ANSWER)]) {
            assert!(!holds(&place.data, secret), "{secret} lies open on the disk of {}", place.name);
        }
    };
    nobody_can_read();
    let bodies = |node: usize, what: &str| places[node].log(&lan, what).into_iter().map(|l| l.body).collect::<Vec<_>>();
    for node in nodes {
        assert!(node.stop().success());
    }
    // Without a node the store itself is read.
    assert_eq!(bodies(0, &conversation), [SECRET, ANSWER]);
    assert_eq!(bodies(1, &conversation), [SECRET, ANSWER]);
    let nodes = up_all(&lan, &places);
    wait_mesh(&nodes.iter().collect::<Vec<_>>(), SOON);
    assert_eq!(
        (bodies(0, &conversation), bodies(1, &conversation)),
        (vec![SECRET.into(), ANSWER.into()], vec![SECRET.into(), ANSWER.into()])
    );
    nobody_can_read();
}

/// Whether any file below a folder holds a text.
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
