//! `group`, over the socket and without a node.

use cairn_actors::api::{Badge, Event, Group, GroupInvitation, GroupLine, GroupMember, GroupState, PeerState, Role};
use cairn_crdt::ids::{DeviceId, EpochId, SpaceId};

use super::{Captured, code};
use crate::cli::args::{GroupVerb, HistoryFor, RoleArg};
use crate::cli::backend::node;
use crate::cli::group::group;
use crate::cli::offline::Offline;
use crate::cli::text::{Out, Style};
use crate::cli::{human, json};
use crate::local::fake::FakeNode;
use crate::local::server::serve;

fn sample() -> Group {
    let member = |n: u8, name: &str, role, accepted| GroupMember {
        id: DeviceId([n; 32]),
        name: name.into(),
        role,
        accepted,
        badge: Badge::Contact,
        state: PeerState::Online,
    };
    Group {
        id: SpaceId([50; 32]),
        name: "Night shift".into(),
        topic: "who\u{7} wakes whom".into(),
        epoch: Some(EpochId([7; 32])),
        history: true,
        state: GroupState::Joined,
        role: Some(Role::Admin),
        members: vec![member(1, "Ada", Role::Admin, true), member(2, "Bo", Role::Reader, false)],
    }
}

#[test]
fn its_lines_are_a_contract_and_its_screens_are_plain() {
    let g = sample();
    let line: serde_json::Value = serde_json::from_str(&json::group(&g)).unwrap();
    let (ada, epoch) = (DeviceId([1; 32]).to_string(), EpochId([7; 32]).to_string());
    assert_eq!((&line["id"], &line["name"]), (&SpaceId([50; 32]).to_string().into(), &"Night shift".into()));
    assert_eq!((&line["epoch"], &line["history"]), (&epoch.into(), &true.into()));
    assert_eq!((&line["state"], &line["role"]), (&"joined".into(), &"admin".into()));
    assert_eq!((&line["members"][0]["id"], &line["members"][0]["role"]), (&ada.into(), &"admin".into()));
    assert_eq!((&line["members"][1]["accepted"], &line["members"][1]["name"]), (&false.into(), &"Bo".into()));
    let event: serde_json::Value =
        serde_json::from_str(&json::event(&Event::Group(Box::new(g.clone())), |_| None)).unwrap();
    assert_eq!((&event["event"], &event["id"]), (&"group".into(), &line["id"]));
    let screen = human::group(&g, Style(false)).join("\n");
    assert!(screen.contains("reader  Bo  invited") && screen.contains("who\u{fffd} wakes"), "{screen}");

    let invited = GroupInvitation {
        group: g.id,
        name: g.name.clone(),
        role: Role::Member,
        from: DeviceId([1; 32]),
        from_name: "Ada".into(),
        badge: Badge::Unknown,
        sent: 0,
    };
    let line = json::invitation(&invited);
    assert!(line.contains(r#""from_name":"Ada","badge":"unknown","sent":"1970-01-01T00:00:00.000Z""#), "{line}");
    assert!(human::invitation(&invited, Style(false)).starts_with("Ada invites you into Night shift as member"));
    let (at, by, by_name) = (0, DeviceId([1; 32]), "Ada".to_owned());
    let one = GroupLine { at, by, by_name, counts: false, sentence: "Ada's leaving did not count.".into() };
    assert!(json::group_line(&one).ends_with(r#""counts":false,"sentence":"Ada's leaving did not count."}"#));
    assert!(human::group_log(&one, Style(false)).ends_with("Ada's leaving did not count."));
}

#[tokio::test]
async fn it_asks_the_node_and_finds_groups_by_name_and_id() {
    let dir = tempfile::tempdir().unwrap();
    let fake = FakeNode::start();
    let _server = serve(dir.path(), fake.handle()).unwrap();
    let mut client = node(dir.path()).await.unwrap();
    let captured = Captured::default();
    let mut out = Out::to(captured.clone(), true);
    let create = GroupVerb::Create { name: "Water".into(), history: HistoryFor::Joining };
    group(&mut client, &mut out, &create).await.unwrap();
    for name in ["Water", "#water", "group:WATER", &format!("id:{}", SpaceId([50; 32]))] {
        group(&mut client, &mut out, &GroupVerb::Show { name: name.into() }).await.unwrap();
    }
    group(&mut client, &mut out, &GroupVerb::List).await.unwrap();
    let text = captured.text();
    assert_eq!(text.lines().filter(|l| l.contains(r#""name":"Water""#) && l.contains(r#""history":false"#)).count(), 6);
    let none = GroupVerb::Show { name: "Fire".into() };
    assert_eq!(code(group(&mut client, &mut out, &none).await), "no_such_group");
    let accept = GroupVerb::Accept { name: "Fire".into() };
    assert_eq!(code(group(&mut client, &mut out, &accept).await), "no_such_invitation");
    let who = |who: &str| who.parse().unwrap();
    let invite = |name| GroupVerb::Invite { name: "Water".into(), who: who(name), role: RoleArg::Admin };
    assert_eq!(code(group(&mut client, &mut out, &invite("everyone")).await), "not_a_person");
    // Another of that name makes it ambiguous.
    group(&mut client, &mut out, &GroupVerb::Create { name: "water".into(), history: HistoryFor::All }).await.unwrap();
    let shouted = GroupVerb::Show { name: "WATER".into() };
    assert_eq!(code(group(&mut client, &mut out, &shouted).await), "ambiguous");
}

#[tokio::test]
async fn without_a_node_groups_are_read_and_not_changed() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Offline::open(dir.path()).unwrap();
    let captured = Captured::default();
    let mut out = Out::to(captured.clone(), true);
    group(&mut store, &mut out, &GroupVerb::List).await.unwrap();
    group(&mut store, &mut out, &GroupVerb::Invitations).await.unwrap();
    assert!(captured.text().is_empty());
    let create = GroupVerb::Create { name: "Water".into(), history: HistoryFor::All };
    assert_eq!(code(group(&mut store, &mut out, &create).await), "no_node");
}
