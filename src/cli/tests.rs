//! Verbs over a real local socket, against a node that answers from a list.

mod briefing;
mod catch_up;
mod custody;
mod group;
mod messages;
mod retention;
mod verify;

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cairn_actors::api::{Compacted, Compaction, ConversationKind, DeliveryState, Event, Message, PeerState};
use cairn_crdt::ids::MessageId;

use super::args::NetworkVerb;
use super::backend::node;
use super::error::Failure;
use super::log::Range;
use super::text::{Out, Style};
use super::{human, json, log, network, peers, say, status};
use crate::local::fake::{FakeNode, conversation, message, network as a_network, peer, status as a_status};
use crate::local::server::serve;

/// What a command printed.
#[derive(Clone, Default)]
pub struct Captured(Arc<Mutex<Vec<u8>>>);

impl Captured {
    /// All of it.
    pub fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Captured {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(buf);
        Ok(buf.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn code(result: Result<(), Failure>) -> String {
    match result {
        Err(Failure::Failed(e)) => e.code,
        other => panic!("{other:?}"),
    }
}

const ID1: &str = "04104104104104104104104104104104104104104104104104g0";

#[test]
fn json_lines_are_exactly_these() {
    let mut s = a_status();
    let (id, code) = (s.id.to_string(), s.code.clone());
    let room = Compacted { before: 90_000_000, after: 30_000_000 };
    s.compacted = Some(Compaction { at: 1_795_224_667_000, room });
    let given = r#""compacted":{"at":"2026-11-21T01:31:07.000Z","before":90000000,"after":30000000},"#;
    assert!(json::status(&s, true).contains(given), "{}", json::status(&s, true));
    let line = "2026-11-21T01:31:07.000Z: the store went from 90.0 MB to 30.0 MB";
    assert!(human::status(&s, true, Style(false)).iter().any(|l| l.starts_with("store") && l.ends_with(line)));
    s.compacted = None;
    assert_eq!(s.id.to_string().len(), ID1.len());
    let incarnation = s.incarnation.to_string();
    assert_eq!(
        json::status(&s, true),
        format!(
            r#"{{"id":"{id}","name":"Post","code":"{code}","incarnation":"{incarnation}","port":27475,"peers_online":1,"data":"/data","version":"0.1.0","clock_offset_ms":0,"needs_newer":0,"catching_up":[],"compacted":null,"held_back":[],"held_back_entries":0,"network_key":null}}"#
        )
    );
    assert_eq!(
        json::status(&s, false),
        format!(
            r#"{{"id":"{id}","name":"Post","code":"{code}","incarnation":null,"port":null,"peers_online":1,"data":"/data","version":"0.1.0","clock_offset_ms":null,"needs_newer":0,"catching_up":[],"compacted":null,"held_back":[],"held_back_entries":0,"network_key":null}}"#
        )
    );
    assert!(json::ready(&s).starts_with(&format!(r#"{{"event":"ready","id":"{id}","name":"Post","#)));
    s.name = "a \"b\"".into();
    assert_eq!(json::whoami(&s), format!(r#"{{"id":"{id}","name":"a \"b\"","code":"{code}"}}"#));

    let mut p = peer(1, "Maya", PeerState::Online);
    p.address = Some("[fe80::1%2]:27475".parse().unwrap());
    p.rtt_ms = Some(0.123_456);
    assert_eq!(
        json::peer(&p),
        format!(
            r#"{{"id":"{}","name":"Maya","code":"{}","state":"online","address":"[fe80::1%2]:27475","rtt_ms":0.123,"badge":"contact","petname":null,"own_name":"Maya","clock_offset_ms":null,"namesake":false,"warning":null}}"#,
            p.id, p.code
        )
    );
    p.rtt_ms = Some(f64::NAN);
    p.address = None;
    assert!(json::peer(&p).contains(r#""address":null,"rtt_ms":null"#));

    let room = conversation(9, ConversationKind::Everyone, "Everyone");
    let m = message(&room, 1, 1_795_161_600_007, "hi\n张伟");
    let expected = |is_final: &str| {
        format!(
            r#"{{"id":"{}","conversation":"{}","author":"{}","author_name":"Maya","sent":"2026-11-20T08:00:00.007Z","received":"2026-11-20T08:00:00.008Z","body":"hi\n张伟","state":"delivered","delivered_to":1,"members":2,"final":{is_final},"final_waits_for":[],"needs_newer":0,"read_by":0,"carried_by":0,"late":false,"badge":"contact","needs_key":0,"reply_to":null,"mentions":[],"mentions_me":false,"edited":null,"deleted":false,"reactions":[]}}"#,
            m.id, m.conversation, m.author
        )
    };
    assert_eq!(json::message(&m, Some(ConversationKind::Everyone)), expected("null"));
    assert_eq!(json::message(&m, Some(ConversationKind::Direct)), expected("false"));
    let mut place = message(&room, 1, 1_795_161_600_007, "");
    (place.id, place.needs_newer) = (MessageId([0; 16]), 3);
    let line = json::message(&place, None);
    assert!(line.starts_with(r#"{"id":null,"#) && line.contains(r#","needs_newer":3,"#), "{line}");
    let event = json::event(&Event::Message(Box::new(m.clone())), |_| Some(ConversationKind::Everyone));
    assert_eq!(event, format!(r#"{{"event":"message",{}"#, expected("null").strip_prefix('{').unwrap()));
    assert_eq!(json::event(&Event::Stopping, |_| None), r#"{"event":"stopping"}"#);
    assert_eq!(json::lagged(), r#"{"event":"lagged"}"#);
    let n = a_network(3);
    assert_eq!(
        json::network(&n),
        format!(
            r#"{{"id":"{}","name":"Post 3","state":"asking","primary":false,"settled":true,"here":2,"conversation":"{}"}}"#,
            n.id, n.conversation
        )
    );
}

#[test]
fn people_read_short_aligned_lines() {
    let now = 1_795_161_600_000;
    let mut gone = peer(2, "Li\x1b[2J", PeerState::Offline);
    gone.last_seen = Some(now - 300_000);
    let lines = human::peers(&[peer(1, "张伟", PeerState::Online), gone.clone()], now, Style(false));
    assert_eq!(lines[0], format!("● 张伟    {}  online          contact", peer(1, "", PeerState::Online).code));
    assert_eq!(lines[1], format!("○ Li\u{fffd}[2J  {}  seen 5 min ago  contact", gone.code));
    let room = conversation(9, ConversationKind::Everyone, "Everyone");
    let mut log = human::LogLines::new(jiff::tz::TimeZone::UTC, Style(false));
    let mut mine = message(&room, 1, now, "one\ntwo");
    mine.mine = true;
    assert_eq!(
        log.message(&mine),
        ["— Friday 20 November 2026 —", "08:00  Maya  one", "       two  · delivered to 1 of 2"]
    );
    assert_eq!(log.message(&message(&room, 2, now + 60_000, "three")), ["08:01  Maya  three"]);
    let mut place = message(&room, 0, now + 61_000, "");
    (place.id, place.needs_newer) = (MessageId([0; 16]), 3);
    assert_eq!(log.message(&place), ["— 3 messages need a newer Cairn —"]);
    (place.needs_newer, place.needs_key) = (0, 2);
    assert_eq!(log.message(&place), ["— 2 messages cannot be read yet: their key has not come —"]);
    let lines = human::networks(&[a_network(3)], Style(false));
    assert!(lines.last().unwrap().starts_with("Join Post 3? `cairn network join "), "{lines:?}");
}

#[tokio::test]
async fn verbs_work_over_the_socket() {
    let dir = tempfile::tempdir().unwrap();
    let fake = FakeNode::start();
    let _server = serve(dir.path(), fake.handle()).unwrap();
    let mut client = node(dir.path()).await.unwrap();
    let captured = Captured::default();
    let mut out = Out::to(captured.clone(), true);

    status::status(&mut client, &mut out).await.unwrap();
    status::whoami(&mut client, &mut out, Some("New")).await.unwrap();
    peers::peers(&mut client, &mut out).await.unwrap();
    let text = captured.text();
    assert_eq!(text.lines().count(), 1 + 1 + 4);
    assert!(text.contains("\"name\":\"New\""));

    assert_eq!(
        code(say::say(&mut client, &mut out, &"@sam".parse().unwrap(), say::As::default(), "x").await),
        "ambiguous"
    );
    assert_eq!(
        code(say::say(&mut client, &mut out, &"@no".parse().unwrap(), say::As::default(), "x").await),
        "no_such_conversation"
    );
    let under = |id| say::As { id: Some(id), reply: None };
    // One token, however often, is one message; a message id is taken as it is.
    for _ in 0..2 {
        say::say(&mut client, &mut out, &"everyone".parse().unwrap(), under("report-17"), "x").await.unwrap();
    }
    let id = MessageId([7; 16]);
    say::say(&mut client, &mut out, &"@maya".parse().unwrap(), under(&id.to_string()), "y").await.unwrap();
    let said = fake.said();
    assert_eq!(said[0].1, Some(MessageId::from_token(&a_status().id, "report-17")));
    assert_eq!(said[0], said[1]);
    assert_eq!((said[2].0, said[2].1), (peer(1, "", PeerState::Online).conversation, Some(id)));

    let captured = Captured::default();
    let mut out = Out::to(captured.clone(), true);
    log::receipts(&mut client, &mut out, &"everyone".parse().unwrap(), "report-17").await.unwrap();
    assert!(captured.text().contains("\"state\":\"delivered\""));
    assert_eq!(
        code(log::receipts(&mut client, &mut out, &"everyone".parse().unwrap(), "unknown").await),
        "no_such_message"
    );
    let verb = NetworkVerb::Join { id: a_network(3).id };
    network::network(&mut client, &mut out, &verb).await.unwrap();
    assert!(captured.text().lines().last().unwrap().contains("\"state\":\"joined\""));
    assert_eq!(code(client.kill("nobody").await.map_err(Failure::from)), "no_such_actor");
    client.kill("storage").await.unwrap();
}

#[tokio::test]
async fn a_log_is_read_in_pages_and_followed_without_gaps_or_repetition() {
    let dir = tempfile::tempdir().unwrap();
    let fake = FakeNode::start();
    let room = conversation(40, ConversationKind::Everyone, "Everyone");
    let day = 86_400_000;
    for n in 0..2_500u64 {
        fake.add(message(&room, n, n * day / 1000, &format!("m{n}")));
    }
    let server = serve(dir.path(), fake.handle()).unwrap();
    let mut client = node(dir.path()).await.unwrap();
    let bodies = |captured: &Captured| -> Vec<String> {
        let lines = captured.text();
        let body = |l: &str| serde_json::from_str::<serde_json::Value>(l).unwrap()["body"].as_str().unwrap().to_owned();
        lines.lines().map(body).collect()
    };
    let everyone = "everyone".parse().unwrap();
    for (limit, since, first, count) in [
        (None, None, 2450, 50),
        (Some(2100), None, 400, 2100),
        (Some(9000), None, 0, 2500),
        (None, Some(super::time::Since::At(day / 10)), 100, 2400),
        (Some(3), Some(super::time::Since::At(day)), 2497, 3),
        (Some(3), Some(super::time::Since::At(2499 * day / 1000)), 2499, 1),
    ] {
        let captured = Captured::default();
        log::log(&mut client, &mut Out::to(captured.clone(), true), &everyone, Range { limit, since, history: false })
            .await
            .unwrap();
        let bodies = bodies(&captured);
        assert_eq!(bodies.len(), count, "{limit:?} {since:?}");
        assert!(bodies.iter().enumerate().all(|(i, b)| *b == format!("m{}", first + i)), "{limit:?} {since:?}");
    }

    let captured = Captured::default();
    let data = dir.path().to_owned();
    let mut out = Out::to(captured.clone(), true);
    let range = Range { limit: Some(2), since: None, history: false };
    let follow = tokio::spawn(async move { log::follow(&data, &mut out, &"everyone".parse().unwrap(), range).await });
    let lines = async |n: usize| {
        while captured.text().lines().count() < n {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), lines(2)).await.unwrap();
    // One that is told of, again as part of a lot, and one in between that only the lot tells of.
    let told = message(&room, 6_000, 6_000 * day / 1000, "told");
    fake.add(told.clone());
    fake.event(Event::Message(Box::new(told)));
    fake.add(message(&room, 5_500, 5_500 * day / 1000, "late"));
    fake.event(Event::Messages { conversation: room.id, count: 2 });
    fake.event(Event::Lagged);
    tokio::time::timeout(Duration::from_secs(10), lines(4)).await.unwrap();
    fake.event(Event::Stopping);
    tokio::time::timeout(Duration::from_secs(10), follow).await.unwrap().unwrap().unwrap();
    assert_eq!(bodies(&captured), ["m2498", "m2499", "told", "late"]);
    server.close().await;
}

#[tokio::test]
async fn waiting_for_peers_ends_with_the_event_or_the_time() {
    let dir = tempfile::tempdir().unwrap();
    let captured = Captured::default();
    let mut out = Out::to(captured.clone(), true);
    let short = Duration::from_millis(50);
    assert_eq!(code(peers::wait(dir.path(), &mut out, 1, short).await), "no_node");

    // The node comes up while it is waited for, and a second peer after it.
    let data = dir.path().to_owned();
    let waiting = tokio::spawn(async move {
        let mut out = Out::to(Captured::default(), true);
        peers::wait(&data, &mut out, 3, Duration::from_secs(10)).await
    });
    let fake = FakeNode::start();
    let _server = serve(dir.path(), fake.handle()).unwrap();
    fake.subscribed().await;
    assert!(!waiting.is_finished());
    fake.set_online();
    tokio::time::timeout(Duration::from_secs(10), waiting).await.unwrap().unwrap().unwrap();
    assert_eq!(code(peers::wait(dir.path(), &mut out, 9, short).await), "timeout");
    assert_eq!(captured.text().lines().count(), 4);
}

#[tokio::test]
async fn a_node_says_ready_first_and_stops_when_told() {
    let dir = tempfile::tempdir().unwrap();
    let fake = FakeNode::start();
    let server = serve(dir.path(), fake.handle()).unwrap();
    let captured = Captured::default();
    let (tell, told) = tokio::sync::oneshot::channel::<()>();
    let running = super::node::attend(fake.running(), server, Out::to(captured.clone(), true), async {
        told.await.unwrap();
    });
    let events = async {
        fake.subscribed().await;
        let room = conversation(40, ConversationKind::Everyone, "Everyone");
        fake.event(Event::Message(Box::new(message(&room, 1, 5, "hi"))));
        while captured.text().lines().count() < 3 {
            tokio::task::yield_now().await;
        }
        tell.send(()).unwrap();
    };
    let (result, ()) = tokio::join!(running, events);
    result.unwrap();
    let text = captured.text();
    let events: Vec<_> = text.lines().map(|l| l.split_once(',').map_or(l, |(e, _)| e)).collect();
    // Whoever was here before anybody listened comes right after `ready`.
    let expected = ["ready\"", "peer\"", "message\"", "stopping\"}"].map(|e| format!("{{\"event\":\"{e}"));
    assert_eq!(events, expected);
    assert!(text.contains("\"final\":null"));
    assert!(crate::local::client::Client::connect(dir.path()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_node_that_ends_unasked_is_a_failure_and_one_that_was_asked_is_none() {
    for asked in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let fake = FakeNode::start();
        let server = serve(dir.path(), fake.handle()).unwrap();
        let out = Out::to(Captured::default(), false);
        let end = async {
            fake.subscribed().await;
            if asked {
                fake.event(Event::Stopping);
            }
            fake.handle().stop().await.unwrap();
        };
        let (result, ()) = tokio::join!(super::node::attend(fake.running(), server, out, std::future::pending()), end);
        assert_eq!(result.is_ok(), asked);
    }
}

#[test]
fn what_became_of_a_message_in_words() {
    let room = conversation(9, ConversationKind::Everyone, "Everyone");
    let words = |state, delivered_to, read_by, members| {
        let m = message(&room, 1, 0, "x");
        human::delivery(&Message { state, delivered_to, read_by, members, carried_by: 2, ..m })
    };
    assert_eq!(words(DeliveryState::Queued, 0, 0, 3), "queued");
    assert_eq!(words(DeliveryState::Carried, 0, 0, 3), "carried by 2");
    assert_eq!(words(DeliveryState::Delivered, 2, 0, 3), "delivered to 2 of 3");
    assert_eq!(words(DeliveryState::Read, 2, 1, 3), "delivered to 2 of 3, read by 1");
    assert_eq!(words(DeliveryState::Delivered, 1, 0, 1), "delivered");
    assert_eq!(words(DeliveryState::Read, 1, 1, 1), "read");
}
