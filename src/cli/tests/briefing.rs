//! `briefing`, over the socket and without a node.

use cairn_actors::api::{Event, Missing};
use jiff::tz::TimeZone;

use super::Captured;
use crate::cli::backend::node;
use crate::cli::briefing::briefing;
use crate::cli::offline::Offline;
use crate::cli::text::{Out, Style};
use crate::cli::{human, json};
use crate::local::fake::FakeNode;
use crate::local::server::serve;
use crate::ui::sample;

#[tokio::test]
async fn the_last_one_or_all_are_printed_and_one_can_be_closed() {
    let dir = tempfile::tempdir().unwrap();
    let fake = FakeNode::start();
    let _server = serve(dir.path(), fake.handle()).unwrap();
    let mut client = node(dir.path()).await.unwrap();
    let captured = Captured::default();
    let mut out = Out::to(captured.clone(), true);
    briefing(&mut client, &mut out, false).await.unwrap();
    briefing(&mut client, &mut out, true).await.unwrap();
    let text = captured.text();
    let id = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["id"].as_u64().unwrap();
    assert_eq!(text.lines().map(id).collect::<Vec<_>>(), [4, 3, 4]);
    client.briefing_seen(4).await.unwrap();
    assert_eq!(client.briefing_seen(5).await.unwrap_err().code, "no_such_briefing");
    assert_eq!(client.briefings().await.unwrap().iter().map(|b| b.seen).collect::<Vec<_>>(), [false, true]);
}

#[test]
fn its_json_is_a_contract() {
    let b = sample::briefing(4);
    let line: serde_json::Value = serde_json::from_str(&json::briefing(&b)).unwrap();
    let keys = |v: &serde_json::Value| v.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ");
    assert_eq!(keys(&line), "began cause final id met missing not_back seen sides since updated");
    let theirs = &line["sides"][1];
    assert_eq!(keys(theirs), "changes conversations here members messages");
    assert_eq!(keys(&theirs["members"][0]), "back heard id name");
    let room = &theirs["conversations"][0];
    assert_eq!(keys(room), "authors changes conversation first first_message kind last lines messages title");
    assert_eq!(keys(&room["authors"][0]), "changes first id last messages name");
    assert_eq!(keys(&room["lines"][0]), "author author_name id sent text");
    assert_eq!(room["first_message"], room["lines"][0]["id"]);
    assert_eq!(keys(&line["not_back"][0]), "id last_seen last_wrote name");
    assert_eq!((&line["cause"], &line["since"]), (&"partition".into(), &"2026-11-20T10:59:00.000Z".into()));
    let event = json::event(&Event::Briefing(Box::new(b.clone())), |_| None);
    let mut event: serde_json::Value = serde_json::from_str(&event).unwrap();
    assert_eq!(event.as_object_mut().unwrap().remove("event"), Some("briefing".into()));
    assert_eq!(event, line, "the event is the line and its name");
}

#[test]
fn people_read_who_is_back_what_was_written_and_what_is_missing() {
    let mut b = sample::briefing(4);
    b.sides[1].members[0].name = "Maya\u{1b}[2J".into();
    let missing = |entries, owed| Missing {
        conversation: sample::everyone(),
        title: "Everyone".into(),
        from: sample::device(1),
        from_name: "Maya".into(),
        entries,
        owed,
    };
    b.missing = vec![missing(Some(18), Some(7)), missing(None, None), missing(Some(0), Some(0))];
    let text = human::briefing(&b, &TimeZone::UTC, Style(false)).join("\n");
    assert!(!text.contains('\u{1b}'), "{text}");
    for line in [
        "after 1 h 3 min: 34 messages were written there.",
        "    Everyone  34 messages (Maya Okafor 20, 张伟 10, T. Rinaldi 4), 11:05 to 11:56",
        "  Missing still: Everyone, from Maya (18 to come)",
        "  On its way to Maya: Everyone (7)",
        "  Missing still: Everyone, from Maya\n",
        "  Not back: Medic-3, last heard 11:00, wrote at 11:40",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    assert_eq!(text.matches("Missing still").count(), 2, "what is equal by now is not named");
    assert!(human::event(&Event::Briefing(Box::new(b.clone()))).is_some());
    b.is_final = false;
    assert!(human::event(&Event::Briefing(Box::new(b))).is_none(), "one line, once it is final");
}

#[tokio::test]
async fn without_a_node_it_is_read_from_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Offline::open(dir.path()).unwrap();
    let captured = Captured::default();
    briefing(&mut store, &mut Out::to(captured.clone(), true), false).await.unwrap();
    assert_eq!(captured.text(), "", "no line where there is none");
    briefing(&mut store, &mut Out::to(captured.clone(), false), false).await.unwrap();
    assert_eq!(captured.text(), "Nobody has come back from an absence yet.\n");
}
