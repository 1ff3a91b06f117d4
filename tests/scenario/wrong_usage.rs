//! Wrong arguments end with exit code 2, failures with 1 and one line `{error, message}`; nothing prints on standard
//! output then.

use std::time::{Duration, Instant};

use super::Scale;
use crate::lan::Lan;
use crate::node::Place;

/// Runs it.
pub fn run(_: &Scale) {
    let lan = Lan::of(1);
    let place = Place::new(&lan, 0, "anna");
    let node = place.up(&lan);
    for wrong in [
        &["frobnicate"][..],
        &["say"],
        &["say", "everyone"],
        &["say", "everyone", "a", "b"],
        &["status", "--nonsense"],
        &["log", "everyone", "--limit", "many"],
        &["node", "--port", "99999999"],
        &["node", "--peer", "not an address"],
        &["peers", "--wait", "-1"],
    ] {
        let answer = place.verb(&lan, wrong);
        assert_eq!(answer.code, 2, "{wrong:?} is wrong usage: {answer:?}");
        assert!(answer.lines.is_empty() && !answer.stderr.trim().is_empty(), "{wrong:?}: {answer:?}");
    }

    let nobody = "@nobody-of-this-name";
    for failing in [
        &["say", nobody, "hello"][..],
        &["log", nobody],
        &["say", "everyone", ""],
        &["receipts", "everyone", "00000000000000000000000000"],
        &["network", "join", "00000000000000000000000000"],
    ] {
        let answer = place.verb(&lan, failing);
        answer.error();
        assert!(answer.lines.is_empty(), "{failing:?} prints nothing on standard output: {answer:?}");
    }
    let long = "x".repeat(70_000);
    let answer = place.verb_with(&lan, &["say", "everyone", "-"], &long);
    assert_eq!(answer.error()["error"], "too_long");

    let start = Instant::now();
    let answer = place.verb(&lan, &["peers", "--wait", "3", "--timeout", "1"]);
    assert_eq!(answer.code, 1, "a wait that times out exits 1: {answer:?}");
    assert!((1..10).contains(&start.elapsed().as_secs()), "after its time: {:?}", start.elapsed());

    // `--` ends options, `-` reads standard input, and nothing above has disturbed the node.
    place.must(&lan, &["say", "--", "everyone", "--not-an-option"]);
    assert_eq!(place.verb_with(&lan, &["say", "everyone", "-"], "two\nlines").code, 0);
    let bodies: Vec<String> = place.log(&lan, "everyone").into_iter().map(|l| l.body).collect();
    assert_eq!(bodies, ["--not-an-option", "two\nlines"]);
    let status = place.must(&lan, &["status"]);
    for field in ["id", "name", "code", "incarnation", "port", "peers_online", "data", "version"] {
        assert!(!status.first()[field].is_null(), "status has {field}: {status:?}");
    }
    assert!(node.events.wait(node.events.mark(), Instant::now() + Duration::from_millis(1), |_| false).is_none());
}
