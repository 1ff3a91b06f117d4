//! A hostile neighbour floods the beacon port and the QUIC port with garbage, and with the LAN's own beacons replayed,
//! cut, lengthened and spoilt: nobody goes offline, nobody grows, a newcomer still joins and messages still cross.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use super::{Scale, discovery::crosses};
use crate::figures::{report, report_ms};
use crate::lan::Lan;
use crate::node::{Node, Place, SOON, up_all, wait_mesh};

/// The most that a node may grow under a flood, in MiB.
const GROWTH: f64 = 32.0;

/// Runs it.
pub fn run(scale: &Scale) {
    let lan = Lan::of(4);
    let me = std::env::current_exe().expect("this program has a path");
    let mut ear = lan.on(3, &me).args(["--udp", "hear"]).stdout(Stdio::piped()).spawn().expect("it starts");
    let mut heard = BufReader::new(ear.stdout.take().expect("it was piped")).lines().map_while(Result::ok);
    assert_eq!(heard.next().as_deref(), Some("ready"));

    let places: Vec<Place> = ["anna", "ben"].iter().enumerate().map(|(i, n)| Place::new(&lan, i, n)).collect();
    let nodes = up_all(&lan, &places);
    let (anna, ben) = (&nodes[0], &nodes[1]);
    wait_mesh(&[anna, ben], SOON);
    let beacons: Vec<String> = heard.by_ref().take(4).collect();
    let longest = beacons.iter().map(|b| b.len() / 2).max().unwrap_or_default();
    report("longest beacon", longest as f64, "bytes", Some(300.0));
    let _ = ear.kill();
    let _ = ear.wait();

    let marks: Vec<usize> = nodes.iter().map(|n| n.events.mark()).collect();
    let before: Vec<u64> = nodes.iter().map(Node::resident_kib).collect();
    let seconds = scale.pick(30, 4);
    let mut flood = lan.on(3, &me);
    flood.args(["--udp", "flood", &lan.v4(0).to_string(), &anna.port().to_string(), &seconds.to_string()]);
    let flood = flood.args(&beacons).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts");

    // In the middle of it life goes on.
    let cleo = Place::new(&lan, 2, "cleo").up(&lan);
    let met = wait_mesh(&[anna, ben, &cleo], SOON);
    report_ms("a newcomer joins under a flood", met - cleo.started, None);
    crosses(&lan, anna, &cleo);
    crosses(&lan, &cleo, ben);
    let sent = flood.wait_with_output().expect("the flood ends");
    let sent: f64 = String::from_utf8_lossy(&sent.stdout).trim().parse().expect("it counts what it sent");
    report("datagrams of the flood a second", (sent / seconds as f64).round(), "datagrams", None);
    crosses(&lan, ben, anna);

    for ((node, mark), before) in nodes.iter().zip(marks).zip(before) {
        let offline = node.events.since(mark).into_iter().find(|e| e.is("peer") && e.text("state") == "offline");
        assert!(offline.is_none(), "{} shows a peer offline under noise: {offline:?}", node.place.name);
        let growth = node.resident_kib().saturating_sub(before) as f64 / 1024.0;
        report(&format!("growth of {} under the flood", node.place.name), growth.round(), "MiB", Some(GROWTH));
        assert!(growth <= GROWTH, "{} grew by {growth} MiB", node.place.name);
        let peers = node.place.must(&lan, &["peers"]).lines.len();
        assert_eq!(peers, 2, "garbage makes no peers");
    }
    // Replayed beacons of ours told nobody that we run elsewhere.
    let alarm = anna.events.since(0).into_iter().find(|e| e.json.to_string().contains("elsewhere"));
    assert!(alarm.is_none(), "replays raise no alarm: {alarm:?}");
}
