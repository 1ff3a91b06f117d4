//! Saying without a running node, and saying twice.

use super::Scale;
use crate::lan::Lan;
use crate::node::{Place, SOON, up_all, wait_mesh};

/// What is said while no node runs is delivered by the next one, once, in its order.
pub fn offline(scale: &Scale) {
    let lan = Lan::of(2);
    let (anna, ben) = (Place::new(&lan, 0, "anna"), Place::new(&lan, 1, "ben"));
    let count = scale.pick(100, 5);
    let mut ids = Vec::new();
    for n in 0..count {
        let answer = anna.must(&lan, &["say", "everyone", &format!("note {n}")]);
        assert_eq!(answer.first()["state"], "queued", "it says where the message stands: {answer:?}");
        assert!(!answer.stderr.trim().is_empty(), "it says that no node runs");
        ids.push(answer.first()["id"].as_str().expect("say answers an id").to_owned());
    }
    let nodes = up_all(&lan, &[anna.clone(), ben]);
    wait_mesh(&[&nodes[0], &nodes[1]], SOON);
    for node in &nodes {
        let lines = node.wait_log(&lan, "everyone", SOON, "queued messages", |l| l.len() >= count);
        assert_eq!(lines.iter().map(|l| &l.id).collect::<Vec<_>>(), ids.iter().collect::<Vec<_>>(), "once, in order");
    }
    // The same history without a node again, and after another start nothing is said twice.
    let mut nodes = nodes.into_iter();
    let (first, second) = (nodes.next().expect("anna runs"), nodes.next().expect("ben runs"));
    first.stop();
    assert_eq!(anna.log(&lan, "everyone").len(), count, "the history is readable without a node");
    let again = anna.up(&lan);
    wait_mesh(&[&again, &second], SOON);
    let last = anna.say(&lan, "everyone", "and one more");
    let lines = second.wait_log(&lan, "everyone", SOON, "later message", |l| l.iter().any(|l| l.id == last));
    assert_eq!(lines.len(), count + 1, "nothing twice");
}

/// Saying one id twice is one message: with a node, without one, and across both.
pub fn twice(_: &Scale) {
    let lan = Lan::of(2);
    let (anna, ben) = (Place::new(&lan, 0, "anna"), Place::new(&lan, 1, "ben"));
    let say = |token: &str, text: &str| {
        let answer = anna.must(&lan, &["say", "--id", token, "everyone", text]);
        answer.first()["id"].as_str().expect("say answers an id").to_owned()
    };
    let before = say("job-1", "backup done");
    assert_eq!(say("job-1", "backup done"), before, "without a node");
    let nodes = up_all(&lan, &[anna.clone(), ben]);
    wait_mesh(&[&nodes[0], &nodes[1]], SOON);
    assert_eq!(say("job-1", "backup done"), before, "a node knows what was said before it started");
    let during = say("job-2", "disk swapped");
    assert_eq!(say("job-2", "disk swapped"), during, "with a node");
    assert_ne!(before, during, "another id is another message");
    let marker = anna.say(&lan, "everyone", "end");
    for node in &nodes {
        let lines = node.wait_log(&lan, "everyone", SOON, "marker", |l| l.iter().any(|l| l.id == marker));
        let ids: Vec<&String> = lines.iter().map(|l| &l.id).collect();
        assert_eq!(ids, [&before, &during, &marker], "each once");
    }
}
