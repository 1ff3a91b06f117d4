//! Broken framing on real sockets: a QUIC peer with a valid key that writes what no link writes.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use cairn_actors::api::{Event, NodeOptions};
use cairn_actors::link::quic::tls::Tls;
use cairn_actors::start::start;
use cairn_crdt::identity::DeviceKey;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_larger_than_allowed_ends_the_link_before_it_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().to_path_buf();
    let options = NodeOptions {
        data,
        loopback_only: true,
        beacon_port: Some(28_476),
        name: Some("Maya".into()),
        ..NodeOptions::default()
    };
    let node = start(options).await.unwrap();
    let mut told = node.handle.subscribe();
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, node.handle.status().await.unwrap().port));
    let tls = Tls::new(&DeviceKey::from_seed(&[66; 32])).unwrap();
    let endpoint = quinn::Endpoint::client(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
    let config = || quinn::ClientConfig::new(Arc::new(tls.client(None).unwrap().0));
    for (lane, again) in [(0u8, false), (1, true)] {
        let why = match endpoint.connect_with(config(), to, "cairn").unwrap().await {
            Ok(connection) => {
                if let Ok(mut stream) = connection.open_uni().await {
                    let _ = stream.write_all(&[&[lane][..], &u32::MAX.to_be_bytes(), &[7; 100_000]].concat()).await;
                }
                tokio::time::timeout(Duration::from_secs(5), connection.closed()).await.expect("closed")
            }
            // Who is shut out may be told so before the handshake has ended on this side.
            Err(closed) if again => closed,
            Err(e) => panic!("{e}"),
        };
        let why = why.to_string();
        let expected = if again { "you broke the protocol" } else { "larger than allowed" };
        assert!(why.contains(expected), "{why}");
        if !again {
            let notice = async {
                loop {
                    if let Event::Notice { message, .. } = told.recv().await.unwrap() {
                        return message;
                    }
                }
            };
            let message = tokio::time::timeout(Duration::from_secs(5), notice).await.expect("a notice");
            let why = "sent something it may not send (the peer sent a frame of 4294967295 bytes, more than allowed) and was cut off";
            assert!(message.ends_with(why), "{message}");
        }
    }
    assert_eq!(node.handle.status().await.unwrap().peers_online, 0);
    node.handle.stop().await.unwrap();
    node.wait().await.unwrap();
}
