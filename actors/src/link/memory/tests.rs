//! The switch on a paused clock.

use bytes::Bytes;

use super::*;
use crate::limits::{HANDSHAKE_TIMEOUT, IDLE_TIMEOUT, STREAM_WINDOW};
use crate::link::{Lane, LinkError, Transport};
use crate::net::{BeaconEvent, BeaconIo};

fn id(n: u8) -> DeviceId {
    DeviceId([n; 32])
}

async fn linked(a: &Attached, b: &Attached) -> (Arc<dyn Link>, Arc<dyn Link>) {
    let (ab, ba) = tokio::join!(a.transport.dial(b.addr, None), b.transport.accept());
    (ab.unwrap(), ba.unwrap())
}

async fn say(link: &Arc<dyn Link>, what: &'static str) -> Result<(), LinkError> {
    link.send(Lane::Control, Bytes::from_static(what.as_bytes())).await
}

#[tokio::test(start_paused = true)]
async fn dials_pin_keys_and_fail_as_quic_does() {
    let lan = Switch::new(1);
    let (a, b) = (lan.attach(id(1)), lan.attach(id(2)));
    let (ab, ba) = linked(&a, &b).await;
    assert_eq!((ab.peer(), ba.peer(), ab.remote(), ba.remote()), (id(2), id(1), b.addr, a.addr));
    assert_eq!(ab.exporter(), ba.exporter());
    let err = |r: Result<Arc<dyn Link>, LinkError>| r.err();
    assert_eq!(err(a.transport.dial(b.addr, Some(id(3))).await), Some(LinkError::WrongPeer));
    assert_eq!(err(a.transport.dial(a.addr, None).await), Some(LinkError::Oneself));
    let start = Instant::now();
    lan.set_firewall(b.addr, true);
    assert_eq!(err(a.transport.dial(b.addr, None).await), Some(LinkError::TimedOut));
    assert_eq!(start.elapsed(), HANDSHAKE_TIMEOUT);
    assert!(b.transport.dial(a.addr, None).await.is_ok(), "a firewall lets dials out");
}

#[tokio::test(start_paused = true)]
async fn frames_take_their_time_and_keep_their_order() {
    let lan = Switch::new(2);
    lan.set_latency(Duration::from_millis(3), Duration::from_millis(10));
    let (a, b) = (lan.attach(id(1)), lan.attach(id(2)));
    let (ab, ba) = linked(&a, &b).await;
    let start = Instant::now();
    for n in 0..100u8 {
        ab.send(Lane::Sync, Bytes::from(vec![n])).await.unwrap();
    }
    for n in 0..100u8 {
        assert_eq!(ba.recv(Lane::Sync).await.unwrap(), vec![n]);
    }
    let took = start.elapsed();
    assert!(took >= Duration::from_millis(3) && took <= Duration::from_millis(14), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_full_window_holds_the_sender() {
    let lan = Switch::new(3);
    let (a, b) = (lan.attach(id(1)), lan.attach(id(2)));
    let (ab, ba) = linked(&a, &b).await;
    let half = Bytes::from(vec![0; usize::try_from(STREAM_WINDOW / 2).unwrap()]);
    for _ in 0..2 {
        ab.send(Lane::Sync, half.clone()).await.unwrap();
    }
    let held = tokio::time::timeout(Duration::from_secs(1), ab.send(Lane::Sync, half.clone())).await;
    assert!(held.is_err());
    say(&ab, "the other lane has room").await.unwrap();
    let (got, sent) = tokio::join!(ba.recv(Lane::Sync), ab.send(Lane::Sync, half.clone()));
    assert_eq!(got.unwrap().len(), half.len());
    sent.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_partition_is_silence_and_a_short_one_loses_nothing() {
    let lan = Switch::new(4);
    let (a, b) = (lan.attach(id(1)), lan.attach(id(2)));
    let (ab, ba) = linked(&a, &b).await;
    say(&ab, "before").await.unwrap();
    assert_eq!(ba.recv(Lane::Control).await.unwrap(), "before");
    lan.partition(&[&[a.addr]]);
    say(&ab, "during").await.unwrap();
    let quiet = tokio::time::timeout(Duration::from_secs(10), ba.recv(Lane::Control)).await;
    assert!(quiet.is_err());
    lan.heal();
    let start = Instant::now();
    assert_eq!(ba.recv(Lane::Control).await.unwrap(), "during");
    assert!(start.elapsed() <= Duration::from_secs(1), "{:?}", start.elapsed());

    lan.cut(a.addr, b.addr);
    let start = Instant::now();
    assert_eq!(ba.closed().await, LinkError::TimedOut);
    let took = start.elapsed();
    assert!(took >= IDLE_TIMEOUT - Duration::from_secs(1) && took <= IDLE_TIMEOUT, "{took:?}");
    lan.mend(a.addr, b.addr);
    tokio::time::sleep(IDLE_TIMEOUT).await;
    assert_eq!(ab.recv(Lane::Control).await, Err(LinkError::TimedOut));
    linked(&a, &b).await;
}

#[tokio::test(start_paused = true)]
async fn a_kill_tells_nobody_and_the_address_can_be_used_again() {
    let lan = Switch::new(5);
    let (a, b) = (lan.attach(id(1)), lan.attach(id(2)));
    let (ab, ba) = linked(&a, &b).await;
    lan.kill(b.addr);
    drop(ba);
    let b2 = lan.attach_at(id(2), b.addr);
    say(&ab, "into the void").await.unwrap();
    assert_eq!(ab.closed().await, LinkError::TimedOut, "the new node knows nothing of the old link");
    assert!(b.transport.accept().await.is_none());
    let (ab2, _) = linked(&a, &b2).await;
    assert_eq!(ab2.peer(), id(2));
}

#[tokio::test(start_paused = true)]
async fn a_close_arrives_after_what_was_sent_before_it() {
    let lan = Switch::new(6);
    let (a, b) = (lan.attach(id(1)), lan.attach(id(2)));
    let (ab, ba) = linked(&a, &b).await;
    say(&ab, "last words").await.unwrap();
    ab.close("gone home");
    assert_eq!(ba.recv(Lane::Control).await.unwrap(), "last words");
    assert_eq!(ba.recv(Lane::Control).await, Err(LinkError::Closed("gone home".into())));
    assert_eq!(say(&ab, "more").await, Err(LinkError::Closed("gone home".into())));
    let (ab, ba) = linked(&a, &b).await;
    b.transport.shutdown("stopping").await;
    assert_eq!(ab.closed().await, LinkError::Closed("stopping".into()));
    assert_eq!(ba.closed().await, LinkError::Closed("stopping".into()));
}

async fn heard(io: &MemoryBeacons) -> Option<(std::net::IpAddr, Bytes)> {
    loop {
        match tokio::time::timeout(Duration::from_secs(1), io.recv()).await {
            Ok(BeaconEvent::Heard { from, bytes }) => return Some((from.ip(), bytes)),
            Ok(_) => {}
            Err(_) => return None,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn beacons_reach_those_whom_links_would() {
    let lan = Switch::new(7);
    let (a, b, c) = (lan.attach(id(1)), lan.attach(id(2)), lan.attach(id(3)));
    lan.partition(&[&[a.addr, b.addr]]);
    a.beacons.announce(b"hello");
    assert_eq!(heard(&b.beacons).await, Some((a.addr.ip(), Bytes::from_static(b"hello"))));
    assert!(heard(&a.beacons).await.is_some(), "one hears oneself");
    assert_eq!(heard(&c.beacons).await, None);
    lan.heal();
    lan.set_beacon_loss(1.0);
    a.beacons.announce(b"lost");
    assert_eq!(heard(&b.beacons).await, None);
    a.beacons.answer(b.addr, b"answer");
    assert!(heard(&b.beacons).await.is_some());
    assert_eq!(heard(&c.beacons).await, None);
    lan.unplug(b.addr);
    assert_eq!(b.beacons.recv().await, BeaconEvent::Changed(vec![]));
    assert!(b.beacons.interfaces().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_runs_the_same() {
    async fn run(seed: u64) -> Vec<Duration> {
        let lan = Switch::new(seed);
        lan.set_latency(Duration::from_millis(1), Duration::from_millis(20));
        let (a, b) = (lan.attach(id(1)), lan.attach(id(2)));
        let (ab, ba) = linked(&a, &b).await;
        let start = Instant::now();
        let mut times = Vec::new();
        for _ in 0..20 {
            say(&ab, "x").await.unwrap();
            ba.recv(Lane::Control).await.unwrap();
            times.push(start.elapsed());
        }
        times
    }
    assert_eq!(run(8).await, run(8).await);
    assert_ne!(run(8).await, run(9).await);
}
