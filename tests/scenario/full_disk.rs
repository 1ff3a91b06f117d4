//! A full disk is reported in one sentence and loses nothing that was acknowledged; with room again all goes on.

use std::collections::BTreeSet;
use std::process::Command;

use super::Scale;
use crate::lan::Lan;
use crate::node::{Place, SOON, wait_mesh};

/// Runs it.
pub fn run(_: &Scale) {
    let lan = Lan::of(2);
    let place = Place::new(&lan, 0, "anna");
    std::fs::create_dir_all(&place.data).expect("the sandbox has a /run of its own");
    mount(&place, "size=12m,mode=700");
    let (anna, ben) = (place.up(&lan), Place::new(&lan, 1, "ben").up(&lan));
    wait_mesh(&[&anna, &ben], SOON);

    let mut said = BTreeSet::new();
    let refused = loop {
        assert!(said.len() < 1000, "the disk never gets full");
        let body = format!("{} {}", said.len(), "x".repeat(48 * 1024));
        let answer = place.verb_with(&lan, &["say", "everyone", "-"], &body);
        if answer.code != 0 {
            break answer;
        }
        said.insert(answer.first()["id"].as_str().expect("say answers an id").to_owned());
    };
    let message = refused.error()["message"].as_str().unwrap_or_default().to_lowercase();
    assert!(message.contains("full"), "it says that the disk is full: {message}");
    assert!(said.len() > 3, "some messages fit: {}", said.len());

    // The node lives, and shows all that it acknowledged; so does the other one.
    place.must(&lan, &["status"]);
    let whole = |l: &[crate::node::Line]| {
        let ids: BTreeSet<&String> = l.iter().map(|l| &l.id).collect();
        said.iter().all(|id| ids.contains(id))
    };
    assert!(whole(&place.log(&lan, "everyone")), "all acknowledged messages show");
    ben.wait_log(&lan, "everyone", SOON, "acknowledged messages", whole);

    // Room again: it goes on without a restart, and nothing is gone after one.
    mount(&place, "remount,size=64m");
    let more = place.say(&lan, "everyone", "room again");
    ben.wait_log(&lan, "everyone", SOON, "later message", |l| l.iter().any(|l| l.id == more));
    anna.kill();
    let anna = place.up(&lan);
    let lines = anna.wait_log(&lan, "everyone", SOON, "acknowledged messages", whole);
    assert!(lines.iter().any(|l| l.id == more), "what was said with room again is kept too");
}

fn mount(place: &Place, options: &str) {
    let status = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(&place.data).status();
    assert!(status.is_ok_and(|s| s.success()), "the sandbox can mount");
}
