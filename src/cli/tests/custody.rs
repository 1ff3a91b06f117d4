//! `custody`, over the socket and without a node; late messages and clocks that are wrong.

use cairn_actors::api::{Message, PeerState};
use jiff::tz::TimeZone;

use super::{Captured, code};
use crate::cli::backend::{Backend, node};
use crate::cli::custody::custody;
use crate::cli::human;
use crate::cli::offline::Offline;
use crate::cli::text::{Out, Style};
use crate::local::fake::{FakeNode, conversation, message, peer};
use crate::local::resolve::ConvRef;
use crate::local::server::serve;
use cairn_actors::api::ConversationKind;
use cairn_crdt::ids::DocumentId;

#[tokio::test]
async fn a_line_a_device_a_document_or_a_conversation() {
    let dir = tempfile::tempdir().unwrap();
    let fake = FakeNode::start();
    let _server = serve(dir.path(), fake.handle()).unwrap();
    let mut client = node(dir.path()).await.unwrap();
    let everyone: ConvRef = "everyone".parse().unwrap();
    let mut run = async |what: Option<&ConvRef>, documents: bool, json: bool| {
        let captured = Captured::default();
        custody(&mut client, &mut Out::to(captured.clone(), json), what, None, documents).await.unwrap();
        captured.text()
    };
    let text = run(Some(&everyone), false, true).await;
    let first = text.lines().next().unwrap();
    assert!(
        first.contains(r#""me":true,"member":true,"state":"offline","holds":10,"of":10,"complete":true,"up_to":null"#)
    );
    assert!(text.contains(r#""last_seen":"2026-11-20T08:02:00.000Z""#), "{text}");
    let documents = run(Some(&everyone), true, true).await;
    assert!(
        documents.contains(r#""kind":"chat","from":"2026-11-"#) && documents.contains(r#""entries":10,"#),
        "{documents}"
    );
    let all = run(None, false, true).await;
    assert!(all.lines().all(|l| l.contains(r#""holders":"#) && l.contains(r#""title":"#)), "{all}");
    let human = run(Some(&everyone), false, false).await;
    assert!(human.contains("hold it") && human.contains("this device"), "{human}");
    // Without a node, from the store: a fresh one holds nothing and knows nobody.
    let empty = tempfile::tempdir().unwrap();
    let mut store = Offline::open(empty.path()).unwrap();
    assert!(!store.running());
    let captured = Captured::default();
    custody(&mut store, &mut Out::to(captured.clone(), true), None, None, false).await.unwrap();
    assert_eq!(captured.text(), "");
    custody(&mut store, &mut Out::to(captured.clone(), false), None, None, false).await.unwrap();
    assert_eq!(captured.text(), "There is no conversation yet.\n");
    let nobody = "@nobody".parse().unwrap();
    let mut out = Out::to(captured, true);
    assert_eq!(code(custody(&mut store, &mut out, Some(&nobody), None, false).await), "no_such_conversation");
}

#[tokio::test]
async fn people_read_who_lacks_what_and_was_seen_when() {
    let fake = FakeNode::start();
    let room = conversation(9, ConversationKind::Everyone, "Everyone");
    let c = fake.handle().custody(room.id, Some(DocumentId::chat(1, 0))).await.unwrap();
    let now = 1_795_161_900_000;
    let lines = human::custody(&c, "Every\u{1b}one", &TimeZone::UTC, now, Style(false));
    assert!(lines[0].starts_with("Every\u{fffd}one: 2 of "), "{lines:?}");
    let lacking = c.devices.iter().filter(|h| !h.complete).count();
    assert_eq!(lines.iter().filter(|l| l.contains("all before 08:00")).count(), lacking, "{lines:?}");
    assert!(lines.iter().filter(|l| l.contains("last seen 08:02")).count() >= lacking, "{lines:?}");
}

#[test]
fn late_messages_and_wrong_clocks_are_told_in_words() {
    let now = 1_795_161_600_000;
    let room = conversation(9, ConversationKind::Direct, "Maya");
    let mut log = human::LogLines::new(TimeZone::UTC, Style(false));
    let late = Message { late: true, ..message(&room, 1, now, "from the backup") };
    assert!(log.message(&late)[1].ends_with("from the backup  · late"));
    let mut wrong = peer(1, "Maya", PeerState::Online);
    wrong.clock_offset_ms = Some(-3 * 3_600_000);
    assert!(human::peers(&[wrong], now, Style(false))[0].ends_with("clock 3 hours behind"));
}
