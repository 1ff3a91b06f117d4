//! Answers, mentions, edits, deletions and reactions, over the socket.

use cairn_actors::api::{Event, Mentioned, Quote, Reacted, Version};
use cairn_crdt::ids::{DeviceId, MessageId};
use jiff::tz::TimeZone;

use super::{Captured, code};
use crate::cli::backend::node;
use crate::cli::liking;
use crate::cli::log::{self, Range};
use crate::cli::offline::Offline;
use crate::cli::say::{self, As, Of, amend};
use crate::cli::text::{Out, Style};
use crate::cli::{human, json};
use crate::local::fake::{FakeNode, conversation, message};
use crate::local::resolve::ConvRef;
use crate::local::server::serve;
use cairn_actors::api::ConversationKind;

#[test]
fn what_belongs_to_a_message_is_in_its_line() {
    let room = conversation(9, ConversationKind::Everyone, "Everyone");
    let mut m = message(&room, 2, 1_795_161_600_007, "look, @Bob\nthere");
    let (id, bob) = (MessageId([7; 16]), DeviceId([8; 32]));
    m.about.reply_to = Some(Quote {
        id,
        key: Some(m.key),
        author: Some(bob),
        author_name: "Bob".into(),
        text: "where?".into(),
        deleted: false,
    });
    m.about.mentions = vec![Mentioned { id: bob, said: "Bob".into(), name: "Bobby".into(), me: true }];
    m.about.edited = Some(m.sent + 1);
    m.about.reactions =
        vec![Reacted { emoji: "👍".into(), count: 2, mine: true, by: vec!["Post".into(), "Bob".into()] }];
    let versions = [Version { at: m.sent, body: Some("luk".into()) }, Version { at: m.sent + 1, body: None }];
    let end = format!(
        r#""reply_to":"{id}","mentions":[{{"id":"{bob}","said":"Bob","name":"Bobby","me":true}}],"mentions_me":true,"edited":"2026-11-20T08:00:00.008Z","deleted":false,"reactions":[{{"emoji":"👍","count":2,"mine":true,"by":["Post","Bob"]}}]"#
    );
    assert!(json::message(&m, None).ends_with(&format!("{end}}}")), "{}", json::message(&m, None));
    let more = r#","versions":[{"at":"2026-11-20T08:00:00.007Z","body":"luk"},{"at":"2026-11-20T08:00:00.008Z","body":null}]}"#;
    assert!(json::message_with(&m, None, Some(&versions)).ends_with(&format!("{end}{more}")));
    let line = json::event(&Event::Changed(Box::new(m.clone())), |_| None);
    assert!(line.starts_with(r#"{"event":"message_changed","id":""#), "{line}");

    let mut lines = human::LogLines::new(TimeZone::UTC, Style(false));
    let shown = lines.message(&m);
    assert_eq!(
        shown[1..],
        ["       ↳ Bob: where?", "08:00  Maya  look, @Bob", "       there  · edited", "       👍 2"]
    );
    let before: Vec<_> = lines.versions(&versions).collect();
    assert_eq!(before.len(), 1);
    assert!(before[0].ends_with("08:00: luk"), "{before:?}");
    (m.body, m.about.deleted, m.about.edited) = (String::new(), true, None);
    m.about.reactions.clear();
    m.about.reply_to.as_mut().unwrap().key = None;
    assert_eq!(
        lines.message(&m),
        [format!("       ↳ a message that is not at hand ({id})"), "08:00  Maya  (deleted)".into()]
    );
}

#[tokio::test]
async fn a_message_is_answered_edited_reacted_to_and_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let fake = FakeNode::start();
    let _server = serve(dir.path(), fake.handle()).unwrap();
    let mut client = node(dir.path()).await.unwrap();
    let captured = Captured::default();
    let mut out = Out::to(captured.clone(), true);
    let everyone = ConvRef::Everyone;
    let place = client.resolve(&everyone).await.unwrap();
    let room = conversation(40, ConversationKind::Everyone, "Everyone");
    assert_eq!(place.id, room.id);
    let first = message(&room, 1, 1_795_161_600_007, "first");
    let id = first.id.to_string();
    fake.add(first);
    let how = As { id: None, reply: Some(&id) };
    say::say(&mut client, &mut out, &everyone, how, "answer").await.unwrap();
    assert_eq!(fake.answered(), [id.parse::<MessageId>().unwrap()]);
    for what in [Of::Edit("new"), Of::React("👍", true), Of::React("👍", false), Of::Delete] {
        amend(&mut client, &mut out, &everyone, &id, what).await.unwrap();
    }
    let text = captured.text();
    let lines: Vec<_> = text.lines().skip(1).collect();
    assert!(lines[0].contains(r#""body":"new""#) && lines[0].contains(r#""edited":""#), "{text}");
    assert!(lines[1].contains(r#""reactions":[{"emoji":"👍","count":1"#) && lines[2].contains(r#""reactions":[]"#));
    assert!(lines[3].contains(r#""body":"","#) && lines[3].contains(r#""deleted":true"#), "{text}");
    assert_eq!(code(amend(&mut client, &mut out, &everyone, "nothing", Of::Delete).await), "no_such_message");

    let captured = Captured::default();
    let mut out = Out::to(captured.clone(), true);
    for history in [false, true] {
        let range = Range { limit: Some(1), since: None, history };
        log::log(&mut client, &mut out, &everyone, range).await.unwrap();
    }
    let text = captured.text();
    assert_eq!(text.lines().map(|l| l.contains(r#""versions":[{"at":"#)).collect::<Vec<_>>(), [false, true], "{text}");

    let captured = Captured::default();
    let mut out = Out::to(captured.clone(), true);
    liking::pin(&mut client, &mut out, &everyone, true).await.unwrap();
    client.set_muted(place.id, Some(1_795_161_600_000)).await.unwrap();
    liking::pin(&mut client, &mut out, &everyone, false).await.unwrap();
    client.typing(place.id, true).await.unwrap();
    let text = captured.text();
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0].ends_with(r#""pinned":true,"muted":false,"muted_until":null}"#), "{text}");
    assert!(lines[1].ends_with(r#""pinned":false,"muted":true,"muted_until":"2026-11-20T08:00:00.000Z"}"#), "{text}");
    let typing = Event::Typing { conversation: place.id, device: DeviceId([8; 32]), name: "Bob".into(), typing: true };
    let line = json::event(&typing, |_| None);
    assert!(
        line.starts_with(r#"{"event":"typing","conversation":""#) && line.ends_with(r#""name":"Bob","typing":true}"#)
    );

    // Without a node nothing is written but messages.
    let dir = tempfile::tempdir().unwrap();
    let mut store = Offline::open(dir.path()).unwrap();
    assert_eq!(code(amend(&mut store, &mut out, &everyone, "x", Of::Edit("y")).await), "no_node");
}
