//! `verify`, over the socket and without a node.

use std::path::PathBuf;

use cairn_actors::api::{Badge, Event, PeerState, Warning};
use cairn_crdt::ids::DeviceId;
use cairn_crdt::safety::Code;

use super::{Captured, code};
use crate::cli::backend::node;
use crate::cli::offline::Offline;
use crate::cli::text::{Out, Style};
use crate::cli::verify::{VerifyArgs, verify};
use crate::cli::{human, json};
use crate::local::fake::{FakeNode, conversation, message, peer, status as a_status};
use crate::local::server::serve;
use crate::qr::Qr;

fn maya() -> VerifyArgs {
    VerifyArgs { who: Some("@maya".parse().unwrap()), ..VerifyArgs::default() }
}

/// What a device shows for another to read.
fn shown(by: DeviceId, to: DeviceId) -> Qr {
    Qr::of(&Code::new(by, to).to_string()).unwrap()
}

#[tokio::test]
async fn it_shows_confirms_takes_back_writes_and_reads_codes() {
    let dir = tempfile::tempdir().unwrap();
    let fake = FakeNode::start();
    let _server = serve(dir.path(), fake.handle()).unwrap();
    let mut client = node(dir.path()).await.unwrap();
    let captured = Captured::default();
    let mut out = Out::to(captured.clone(), true);
    let file = |name: &str| -> PathBuf { dir.path().join(name) };
    let (me, her) = (a_status().id, peer(1, "", PeerState::Online).id);
    shown(her, me).save(&file("hers.png")).unwrap();
    shown(her, her).save(&file("not-me.png")).unwrap();
    shown(DeviceId([2; 32]), me).save(&file("another.png")).unwrap();
    std::fs::write(file("text.png"), "no picture").unwrap();

    verify(&mut client, &mut out, &maya()).await.unwrap();
    verify(&mut client, &mut out, &VerifyArgs { confirm: true, ..maya() }).await.unwrap();
    verify(&mut client, &mut out, &VerifyArgs { forget: true, ..maya() }).await.unwrap();
    verify(&mut client, &mut out, &VerifyArgs { scan: Some(file("hers.png")), ..maya() }).await.unwrap();
    let anybody = VerifyArgs { scan: Some(file("hers.png")), ..VerifyArgs::default() };
    verify(&mut client, &mut out, &anybody).await.unwrap();
    verify(&mut client, &mut out, &VerifyArgs { qr: Some(file("mine.png")), ..maya() }).await.unwrap();
    let text = captured.text();
    let badges = ["contact", "verified", "contact", "verified", "verified", "verified"];
    for (line, badge) in text.lines().zip(badges) {
        assert!(line.contains(&format!(r#""badge":"{badge}","verified":{}"#, badge == "verified")), "{line}");
    }
    assert_eq!(text.lines().count(), badges.len());
    // What is written is what the other side is to read.
    assert_eq!(crate::qr::code_in_file(&file("mine.png")), Ok(Code::new(me, her)));

    for (args, error) in [
        (VerifyArgs { scan: Some(file("another.png")), ..maya() }, "other_device"),
        (VerifyArgs { scan: Some(file("not-me.png")), ..maya() }, "other_device"),
        (VerifyArgs { scan: Some(file("text.png")), ..maya() }, "not_a_picture"),
        (VerifyArgs { scan: Some(file("none.png")), ..maya() }, "picture_unreadable"),
        (VerifyArgs { qr: Some(file("mine.png")), ..maya() }, "file_exists"),
        (VerifyArgs { who: Some("everyone".parse().unwrap()), ..VerifyArgs::default() }, "not_a_person"),
        (VerifyArgs { who: Some("@sam".parse().unwrap()), confirm: true, ..VerifyArgs::default() }, "ambiguous"),
        (VerifyArgs { who: Some("@nobody".parse().unwrap()), ..VerifyArgs::default() }, "no_such_conversation"),
    ] {
        assert_eq!(code(verify(&mut client, &mut out, &args).await), error);
    }
}

#[tokio::test]
async fn its_line_is_a_contract_and_its_screen_is_plain() {
    let fake = FakeNode::start();
    let her = DeviceId([1; 32]);
    let mut safety = fake.handle().safety(her).await.unwrap();
    let line: serde_json::Value = serde_json::from_str(&json::safety(&safety)).unwrap();
    let fields: Vec<&str> = line.as_object().unwrap().keys().map(String::as_str).collect();
    let mut sorted = ["id", "name", "code", "badge", "verified", "digits", "words", "qr"];
    sorted.sort_unstable();
    assert_eq!(fields, sorted);
    assert_eq!(line["digits"].as_array().unwrap().len(), 12);
    assert_eq!(line["qr"], Code::new(a_status().id, her).to_string());
    let qr = Qr::of(&safety.code).unwrap();
    let screen = human::safety(&safety, &qr, Style(false)).join("\n");
    assert!(
        screen.contains(&safety.digits[..4].join(" ")) && screen.contains(&safety.words[6..].join(" ")),
        "{screen}"
    );
    assert!(screen.contains(&format!("cairn verify id:{her} --confirm")) && screen.contains('█'), "{screen}");
    safety.peer.badge = Badge::Verified;
    safety.peer.name = "Maya\u{1b}[2J".into();
    let screen = human::safety(&safety, &qr, Style(false)).join("\n");
    assert!(screen.contains("compared them before") && screen.contains("--forget") && !screen.contains('\u{1b}'));
}

#[test]
fn badges_and_warnings_stand_beside_names() {
    let mut p = peer(1, "Maya", PeerState::Online);
    p.badge = Badge::Warning;
    p.namesake = true;
    p.warning = Some(Warning { of: DeviceId([2; 32]), mine: false, sentence: "Look\u{7} here.".into() });
    let of = DeviceId([2; 32]);
    let line = json::peer(&p);
    let tail = format!(r#""namesake":true,"warning":{{"of":"{of}","mine":false,"message":"Look\u0007 here."}}}}"#);
    assert!(
        line.contains(r#""name":"Maya","#) && line.contains(r#""badge":"warning","#) && line.ends_with(&tail),
        "{line}"
    );
    assert!(json::event(&Event::Peer(Box::new(p.clone())), |_| None).ends_with(&tail));
    let lines = human::peers(&[p], 0, Style(false));
    assert!(lines[0].contains("WARNING") && lines[1] == "Look\u{fffd} here.", "{lines:?}");
    let room = conversation(9, cairn_actors::api::ConversationKind::Everyone, "Everyone");
    let shown = |badge: Badge, mine: bool| {
        let mut m = message(&room, 1, 1_795_161_600_007, "hi");
        (m.badge, m.mine) = (badge, mine);
        human::LogLines::new(jiff::tz::TimeZone::UTC, Style(false)).message(&m).remove(1)
    };
    assert_eq!(shown(Badge::Contact, false), "08:00  Maya  hi");
    assert_eq!(shown(Badge::Verified, false), "08:00  Maya ✓  hi");
    assert_eq!(shown(Badge::Unknown, false), "08:00  Maya ?  hi");
    assert_eq!(shown(Badge::Warning, false), "08:00  Maya ⚠  hi");
    assert!(shown(Badge::Verified, true).starts_with("08:00  Maya  hi"));
}

#[tokio::test]
async fn without_a_node_nothing_is_confirmed() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Offline::open(dir.path()).unwrap();
    let mut out = Out::to(Captured::default(), true);
    assert_eq!(code(verify(&mut store, &mut out, &maya()).await), "no_such_conversation");
    let picture = dir.path().join("code.png");
    shown(DeviceId([1; 32]), DeviceId([2; 32])).save(&picture).unwrap();
    let scan = VerifyArgs { scan: Some(picture), ..VerifyArgs::default() };
    assert_eq!(code(verify(&mut store, &mut out, &scan).await), "no_node");
}
