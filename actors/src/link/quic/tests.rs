//! QUIC links over real sockets on loopback.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::*;
use crate::limits::FRAME_MAX;
use crate::link::Lane;

fn key(n: u8) -> DeviceKey {
    DeviceKey::from_seed(&[n; 32])
}

fn node(n: u8) -> QuicTransport {
    // Port 0 stands for any, so that tests don't meet on the usual ones.
    QuicTransport::bind(&key(n), &QuicOptions { port: Some(0), remembered: None, loopback_only: true }).unwrap()
}

fn at(t: &QuicTransport) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, t.port()))
}

async fn pair() -> (QuicTransport, QuicTransport, Arc<dyn Link>, Arc<dyn Link>) {
    let (a, b) = (node(1), node(2));
    let (ab, ba) = tokio::join!(a.dial(at(&b), Some(key(2).id())), b.accept());
    (a, b, ab.unwrap(), ba.unwrap())
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), what).await.expect("nothing happened for ten seconds")
}

#[tokio::test]
async fn a_handshake_pins_both_keys_and_shares_a_secret() {
    let (a, b, ab, ba) = pair().await;
    assert_eq!((ab.peer(), ba.peer()), (key(2).id(), key(1).id()));
    assert!(ab.dialled() && !ba.dialled());
    assert_eq!((ab.remote(), ba.remote()), (at(&b), at(&a)), "one port for both ways");
    assert_eq!(ab.exporter(), ba.exporter());
    assert_ne!(ab.exporter(), [0; 32]);
    let again = a.dial(at(&b), None).await.unwrap();
    assert_ne!(again.exporter(), ab.exporter());
}

#[tokio::test]
async fn another_key_than_expected_and_our_own_are_refused() {
    let (a, b) = (node(1), node(2));
    let wrong = a.dial(at(&b), Some(key(3).id())).await.map(|l| l.peer());
    assert_eq!(wrong, Err(LinkError::WrongPeer));
    assert_eq!(a.dial(at(&a), None).await.map(|l| l.peer()), Err(LinkError::Oneself));
    assert_eq!(a.dial(at(&b), Some(key(1).id())).await.map(|l| l.peer()), Err(LinkError::Oneself));
    let twin = node(1);
    assert_eq!(twin.dial(at(&a), None).await.map(|l| l.peer()), Err(LinkError::Oneself));
}

#[tokio::test]
async fn a_dial_gives_way_to_a_handshake_from_where_it_would_go() {
    let (a, b) = (node(1), node(2));
    let arrival = b.arriving.begin(at(&a));
    let (dialled, ()) = tokio::join!(b.dial(at(&a), Some(key(1).id())), async { arrival.ended(key(1).id()) });
    assert_eq!(dialled.map(|l| l.peer()), Err(LinkError::CameFirst));
    drop(arrival);
    // Somebody else came from there, or nobody after all.
    let arrival = b.arriving.begin(at(&a));
    let (dialled, ()) = tokio::join!(b.dial(at(&a), Some(key(1).id())), async { arrival.ended(key(3).id()) });
    assert_eq!(dialled.map(|l| l.peer()), Ok(key(1).id()));
    drop((arrival, a.accept().await));
    let arrival = b.arriving.begin(at(&a));
    let (dialled, ()) = tokio::join!(b.dial(at(&a), Some(key(1).id())), async { drop(arrival) });
    assert_eq!(dialled.map(|l| l.peer()), Ok(key(1).id()));
    // Once a link is handed on, nobody waits for it.
    drop(a.accept().await);
    // The acceptor notes what comes, and forgets what has ended.
    drop((a.dial(at(&b), None).await.unwrap(), b.accept().await));
    assert_eq!(b.arriving.from(at(&a)).await, None);
}

#[tokio::test]
async fn frames_arrive_in_order_on_independent_lanes() {
    let (_a, _b, ab, ba) = pair().await;
    let send = async {
        for n in 0..1000u32 {
            ab.send(Lane::Sync, Bytes::copy_from_slice(&n.to_be_bytes())).await.unwrap();
        }
        ab.send(Lane::Control, Bytes::new()).await.unwrap();
    };
    let recv = async {
        // The other lane is not held up by frames that nobody reads.
        assert_eq!(ba.recv(Lane::Control).await.unwrap(), Bytes::new());
        for n in 0..1000u32 {
            assert_eq!(ba.recv(Lane::Sync).await.unwrap(), n.to_be_bytes()[..]);
        }
        ba.send(Lane::Sync, Bytes::from(vec![7; FRAME_MAX])).await.unwrap();
    };
    let back = async { ab.recv(Lane::Sync).await.unwrap() };
    let ((), (), big) = soon(async { tokio::join!(send, recv, back) }).await;
    assert_eq!(big.len(), FRAME_MAX);
    assert!(big.iter().all(|b| *b == 7));
}

#[tokio::test]
async fn a_full_window_holds_the_sender_and_a_dropped_call_breaks_no_frame() {
    let (_a, _b, ab, ba) = pair().await;
    let frame = Bytes::from(vec![1; 100_000]);
    let mut sent = 0u32;
    while tokio::time::timeout(Duration::from_millis(300), ab.send(Lane::Sync, frame.clone())).await.is_ok() {
        sent += 1;
        assert!(sent < 100, "the window has no end");
    }
    // The call that timed out had written a part of its frame: it goes out whole before the next one.
    let next = tokio::spawn({
        let ab = ab.clone();
        async move { ab.send(Lane::Sync, Bytes::from_static(b"next")).await }
    });
    for _ in 0..=sent {
        assert_eq!(soon(ba.recv(Lane::Sync)).await.unwrap(), frame);
    }
    assert_eq!(soon(ba.recv(Lane::Sync)).await.unwrap(), b"next"[..]);
    soon(next).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_dropped_recv_loses_nothing() {
    let (_a, _b, ab, ba) = pair().await;
    let want = Bytes::from((0..60_000u32).flat_map(u32::to_be_bytes).collect::<Vec<u8>>());
    let send = tokio::spawn({
        let (ab, want) = (ab.clone(), want.clone());
        async move { ab.send(Lane::Sync, want).await }
    });
    let got = loop {
        if let Ok(got) = tokio::time::timeout(Duration::from_micros(50), ba.recv(Lane::Sync)).await {
            break got.unwrap();
        }
    };
    assert!(got == want);
    soon(send).await.unwrap().unwrap();
}

#[tokio::test]
async fn an_oversized_frame_is_refused_on_both_sides() {
    let (a, b, ab, ba) = pair().await;
    let size = FRAME_MAX + 1;
    assert_eq!(ab.send(Lane::Sync, vec![0; size].into()).await, Err(LinkError::FrameTooLarge(size)));
    drop((ab, ba));
    // A peer that claims four gigabytes.
    let (crypto, _) = a.tls.client(None).unwrap();
    let connecting = a.endpoint.connect_with(ClientConfig::new(Arc::new(crypto)), at(&b), "cairn").unwrap();
    let (raw, link) = soon(async { tokio::join!(connecting, b.accept()) }).await;
    let (raw, link) = (raw.unwrap(), link.unwrap());
    let mut stream = raw.open_uni().await.unwrap();
    stream.write_all(&[1, 0xff, 0xff, 0xff, 0xff]).await.unwrap();
    assert_eq!(soon(link.recv(Lane::Sync)).await, Err(LinkError::FrameTooLarge(0xffff_ffff)));
    let ended = soon(raw.closed()).await.to_string();
    assert!(ended.contains("larger than allowed"), "{ended}");
    assert!(matches!(link.recv(Lane::Sync).await, Err(LinkError::FrameTooLarge(_))), "it stays broken");
}

#[tokio::test]
async fn an_unknown_or_repeated_lane_ends_the_link() {
    let (a, b) = (node(1), node(2));
    for lanes in [&[9u8][..], &[0, 0]] {
        let (crypto, _) = a.tls.client(None).unwrap();
        let connecting = a.endpoint.connect_with(ClientConfig::new(Arc::new(crypto)), at(&b), "cairn").unwrap();
        let (raw, link) = soon(async { tokio::join!(connecting, b.accept()) }).await;
        let raw = raw.unwrap();
        for lane in lanes {
            raw.open_uni().await.unwrap().write_all(&[*lane]).await.unwrap();
        }
        let ended = soon(raw.closed()).await.to_string();
        assert!(ended.contains("lane"), "{ended}");
        drop(link);
    }
}

#[tokio::test]
async fn the_reason_of_a_close_arrives_and_is_fit_to_show() {
    let (_a, b, ab, ba) = pair().await;
    ab.close("not a\u{7} member");
    assert_eq!(soon(ba.closed()).await, LinkError::Closed("not a  member".into()));
    assert_eq!(soon(ba.recv(Lane::Control)).await, Err(LinkError::Closed("not a  member".into())));
    assert_eq!(ab.closed().await, LinkError::Closed("not a\u{7} member".into()));
    let (c, reason) = (node(3), "é".repeat(300));
    let (cb, bc) = tokio::join!(c.dial(at(&b), None), b.accept());
    let started = Instant::now();
    b.shutdown(&reason).await;
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    assert_eq!(soon(cb.unwrap().closed()).await, LinkError::Closed("é".repeat(100)));
    drop(bc);
    assert!(b.accept().await.is_none());
}

#[tokio::test]
async fn garbage_on_the_port_is_ignored() {
    let (_a, b, ab, ba) = pair().await;
    let noise = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    for n in 0..2000usize {
        let size = n % 1400;
        let bytes: Vec<u8> = (0..size).map(|i| (i.wrapping_mul(n).wrapping_add(n >> 3)) as u8).collect();
        let _ = noise.send_to(&bytes, at(&b));
    }
    ab.send(Lane::Control, Bytes::from_static(b"still here")).await.unwrap();
    assert_eq!(soon(ba.recv(Lane::Control)).await.unwrap(), b"still here"[..]);
    assert!(b.connections() <= 2, "{}", b.connections());
}

#[tokio::test]
async fn silence_at_the_address_is_a_timeout_or_nothing_worse() {
    let silent = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let a = node(1);
    let started = Instant::now();
    let dialled = a.dial(silent.local_addr().unwrap(), None).await.map(|l| l.peer());
    assert_eq!(dialled, Err(LinkError::TimedOut));
    assert!(started.elapsed() < HANDSHAKE_TIMEOUT + Duration::from_secs(1));
}

#[tokio::test]
async fn a_crowd_of_handshakes_is_validated_and_all_get_in() {
    let b = Arc::new(node(2));
    let dialler = Arc::new(node(1));
    let crowd = HANDSHAKES_BEFORE_RETRY * 3;
    let dials: Vec<_> = (0..crowd)
        .map(|_| {
            let (dialler, to) = (dialler.clone(), at(&b));
            tokio::spawn(async move { dialler.dial(to, None).await.map(|l| (l.peer(), l)) })
        })
        .collect();
    let mut got = Vec::new();
    while got.len() < crowd {
        got.push(soon(b.accept()).await.unwrap());
    }
    for dial in dials {
        assert_eq!(soon(dial).await.unwrap().unwrap().0, key(2).id());
    }
}

#[tokio::test]
async fn a_port_asked_for_is_bound_or_named_in_the_error() {
    let a = node(1);
    let taken = QuicOptions { port: Some(a.port()), remembered: None, loopback_only: true };
    let error = QuicTransport::bind(&key(2), &taken).unwrap_err().to_string();
    assert!(error.contains(&a.port().to_string()), "{error}");
    let remembered = QuicOptions { port: None, remembered: Some(a.port()), loopback_only: true };
    let b = QuicTransport::bind(&key(2), &remembered).unwrap();
    assert_ne!(b.port(), a.port());
    let port = b.port();
    drop(b);
    // The endpoint lets go of its socket once its driver has seen the end.
    let again = loop {
        let want = QuicOptions { port: Some(port), remembered: None, loopback_only: true };
        match QuicTransport::bind(&key(2), &want) {
            Ok(t) => break t,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    assert_eq!(again.port(), port);
}

#[test]
fn a_killed_node_that_starts_again_ends_its_old_links_at_once() {
    let rt = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (ours, theirs) = (rt(), rt());
    let a = ours.block_on(async { node(1) });
    let b = theirs.block_on(async { node(2) });
    let (port, to) = (b.port(), at(&b));
    let serving = std::thread::spawn(move || {
        let link = theirs.block_on(b.accept()).unwrap();
        // Keep the runtime alive until the handshake is confirmed at both ends, then end it with everything in it, as a
        // kill does: no close is sent.
        theirs.block_on(link.recv(Lane::Control)).unwrap();
        theirs.shutdown_background();
        drop((b, link));
    });
    let ab = ours.block_on(async {
        let ab = a.dial(to, None).await.unwrap();
        ab.send(Lane::Control, Bytes::from_static(b"hello")).await.unwrap();
        ab
    });
    ours.block_on(async { tokio::task::spawn_blocking(|| serving.join().unwrap()).await.unwrap() });
    ours.block_on(async {
        let options = QuicOptions { port: Some(port), remembered: None, loopback_only: true };
        let again = QuicTransport::bind(&key(2), &options).unwrap();
        let started = Instant::now();
        ab.send(Lane::Control, Bytes::from(vec![0; 100])).await.unwrap();
        assert_eq!(soon(ab.closed()).await, LinkError::Closed("the peer started anew".into()));
        assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
        drop(again);
    });
}
