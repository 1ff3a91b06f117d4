//! Two nodes on real sockets and a real store, on loopback.

use std::time::Duration;

use cairn_actors::api::{Event, NodeOptions, PageAt};
use cairn_actors::handle::Handle;
use cairn_actors::start::start;

pub fn options(dir: &std::path::Path, name: &str, beacon_port: u16) -> NodeOptions {
    NodeOptions {
        data: dir.to_path_buf(),
        name: Some(name.into()),
        loopback_only: true,
        beacon_port: Some(beacon_port),
        ..NodeOptions::default()
    }
}

pub async fn event(handle: &Handle, limit: Duration, ok: impl Fn(&Event) -> bool) {
    let mut events = handle.subscribe();
    let wait = async {
        loop {
            if let Ok(e) = events.recv().await
                && ok(&e)
            {
                return;
            }
        }
    };
    tokio::time::timeout(limit, wait).await.expect("an event in time");
}

/// Waits until a node has a peer. Listens before it looks: what changes in between is not missed.
async fn online(handle: &Handle) {
    let mut events = handle.subscribe();
    let wait = async {
        while handle.status().await.unwrap().peers_online == 0 {
            events.recv().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(10), wait).await.expect("a peer in time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_real_nodes_meet_on_loopback_and_talk_and_a_restart_keeps_everything() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let a = start(options(dirs[0].path(), "Maya", 28_474)).await.unwrap();
    let b = start(options(dirs[1].path(), "张伟", 28_474)).await.unwrap();
    for node in [&a, &b] {
        online(&node.handle).await;
    }
    let everyone = a.handle.conversations().await.unwrap()[0].id;
    let heard = event(&b.handle, Duration::from_secs(10), |e| matches!(e, Event::Message(m) if m.body == "你好 👋"));
    let ((), said) = tokio::join!(heard, a.handle.say(everyone, "你好 👋", None));
    let said = said.unwrap();
    b.handle.stop().await.unwrap();
    b.wait().await.unwrap();
    let b = start(options(dirs[1].path(), "张伟", 28_474)).await.unwrap();
    let page = b.handle.page(everyone, PageAt::Newest, 10).await.unwrap();
    assert_eq!(page.messages.iter().map(|m| m.id).collect::<Vec<_>>(), [said.id]);
    assert_eq!(page.messages[0].author_name, "Maya");
    a.handle.stop().await.unwrap();
    b.handle.stop().await.unwrap();
}
