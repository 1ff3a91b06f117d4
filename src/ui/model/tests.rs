//! What the model makes of events and intents.

use super::notice::{NOTICE_FOR, NOTICES};
use super::*;
use crate::ui::intent::Intent;
use crate::ui::sample;
use cairn_actors::api::OrderKey;
use cairn_actors::api::{DeliveryState, PeerState};

fn sections(m: &Model) -> Vec<(&'static str, Vec<String>)> {
    m.sections(&sample::clock()).into_iter().map(|s| (s.title, s.rows.into_iter().map(|r| r.title).collect())).collect()
}

#[test]
fn list_has_rooms_conversations_and_people_here() {
    let mut m = sample::model();
    let all = sections(&m);
    assert_eq!(all[0], ("EVERYONE", vec!["Everyone".to_owned()]));
    assert_eq!(all[1].0, "CONVERSATIONS");
    assert_eq!(all[1].1[0], "Maya Okafor");
    assert_eq!(all[2], ("PEOPLE HERE", vec!["J. Pelletier".into(), "Medic-3".into(), "Post 2".into()]));
    m.act(Intent::Search("伟".into()));
    assert_eq!(sections(&m), [("CONVERSATIONS", vec!["张伟".to_owned()])]);
    m.act(Intent::Search("nobody at all".into()));
    assert_eq!(sections(&m), []);
    m.act(Intent::Escape);
    assert_eq!(sections(&m), all);
    m.act(Intent::Show(View::People));
    assert_eq!(sections(&m)[1].1, ["T. Rinaldi", sample::name(8)]);
}

#[test]
fn a_draft_stays_with_its_conversation() {
    let mut m = sample::model();
    let maya = sample::direct(1);
    m.act(Intent::Open(maya));
    m.act(Intent::EditDraft(maya, "half a sent".into()));
    m.act(Intent::Open(sample::everyone()));
    assert_eq!(m.draft(&sample::everyone()), "");
    assert_eq!(m.draft(&maya), "half a sent");
    let row = m.sections(&sample::clock())[1].rows[0].clone();
    assert_eq!((row.preview.as_str(), row.draft), ("Draft: half a sent", true));
}

#[test]
fn saying_clears_the_draft_and_a_failure_gives_it_back() {
    let mut m = sample::model();
    let id = sample::everyone();
    m.act(Intent::EditDraft(id, "  hello \n".into()));
    let said = m.act(Intent::Say(id));
    assert_eq!(said, [Command::Say { conversation: id, body: "hello".into(), reply_to: None }]);
    assert_eq!((m.draft(&id), m.saving), ("", 1));
    assert_eq!(m.act(Intent::Say(id)), [], "nothing to say");
    m.act(Intent::EditDraft(id, "more".into()));
    m.apply(Update::NotSaid {
        conversation: id,
        body: "hello".into(),
        error: ApiError::new("disk_full", "the disk is full"),
    });
    assert_eq!((m.draft(&id), m.saving), ("hello\nmore", 0));
    assert_eq!(m.notices().next().map(|n| n.text.as_str()), Some("Not saved: the disk is full"));
    m.act(Intent::EditDraft(id, "x".repeat(limits::MESSAGE_MAX + 1)));
    assert_eq!(m.act(Intent::Say(id)), [], "too long stays in the composer");
}

#[test]
fn opening_marks_where_new_messages_begin_and_reading_marks_them_read() {
    let mut m = sample::model();
    let maya = sample::direct(1);
    assert_eq!(m.unread(), 131);
    let asked = m.act(Intent::Open(maya));
    assert_eq!(
        asked,
        [Command::Page(maya, PageAt::Newest, history::PAGE), Command::Custody(maya), Command::Retention(maya)]
    );
    assert_eq!(m.history(&maya).unwrap().new_after, Some(OrderKey::MIN));
    let key = sample::message(3).key;
    assert_eq!(m.act(Intent::Read(maya, key)), [Command::MarkRead(maya, key)]);
    assert_eq!(m.act(Intent::Read(maya, key)), [], "told once");
    assert_eq!(m.unread(), 128);
}

#[test]
fn events_move_conversations_and_people() {
    let mut m = sample::model();
    let mut c = m.conversation(&sample::direct(4)).unwrap().clone();
    c.last.as_mut().unwrap().sent = sample::NOON + 700_000;
    m.apply(Update::Event(Box::new(Event::Conversation(Box::new(c)))));
    assert_eq!(m.conversations[1].id, sample::direct(4), "the newest below Everyone");
    assert_eq!(m.conversations.len(), 6);
    let mut p = sample::peer(1);
    p.state = PeerState::Offline;
    m.apply(Update::Event(Box::new(Event::Peer(Box::new(p)))));
    assert_eq!(m.peers[&sample::device(1)].state, PeerState::Offline);
    assert_eq!(m.apply(Update::Event(Box::new(Event::Lagged))), [Command::Everything]);
}

#[test]
fn a_message_of_ours_asks_who_has_it() {
    let mut m = sample::model();
    let mut own = sample::message(0);
    own.mine = true;
    own.key.stamp = cairn_crdt::hlc::Hlc::from_ms(sample::NOON + 900_000);
    own.id = MessageId([9; 16]);
    own.key.id = own.id;
    let asked = m.apply(Update::Event(Box::new(Event::Message(Box::new(own.clone())))));
    assert_eq!(asked, [Command::Receipts(sample::everyone(), own.id)]);
    let told = m.apply(Update::Event(Box::new(Event::Delivery {
        conversation: sample::everyone(),
        message: Some(own.id),
        delivered_to: 9,
        members: 9,
        read_by: 2,
        carried_by: 0,
        state: DeliveryState::Read,
    })));
    let tail = Command::Page(sample::everyone(), PageAt::Newest, history::PAGE);
    assert_eq!(told, [tail, Command::Custody(sample::everyone())], "older ones are behind");
    let h = m.history(&sample::everyone()).unwrap();
    assert_eq!(h.last_own().map(|m| m.state), Some(DeliveryState::Read));
}

#[test]
fn a_network_asks_once() {
    let mut m = sample::model();
    assert!(m.ask().is_none());
    m.apply(Update::Event(Box::new(Event::Network(Box::new(sample::network(2, NetworkState::Asking))))));
    let id = m.ask().unwrap().id;
    assert_eq!(m.act(Intent::JoinNetwork(id)), [Command::JoinNetwork(id)]);
    assert!(m.ask().is_none(), "answered at once, before the node says so");
}

#[test]
fn the_first_room_opens_by_itself() {
    let mut m = Model::new(Preferences::default());
    assert_eq!(m.apply(Update::Conversations(Vec::new())), []);
    let room = sample::conversations().remove(0);
    let asked = m.apply(Update::Event(Box::new(Event::Conversation(Box::new(room.clone())))));
    assert_eq!((m.open, m.list_on_top), (Some(room.id), true));
    let page = Command::Page(room.id, PageAt::Newest, history::PAGE);
    assert_eq!(asked, [page, Command::Members(room.id), Command::Custody(room.id), Command::Retention(room.id)]);
    let other = sample::conversations().remove(1);
    assert_eq!(m.apply(Update::Event(Box::new(Event::Conversation(Box::new(other))))), []);
    assert_eq!(m.open, Some(room.id), "once");
}

#[test]
fn several_rooms_say_whose_they_are() {
    let mut m = sample::model();
    assert_eq!(m.title(&m.conversations[0]), "Everyone");
    m.conversations[0].title = "Everyone · North Ridge".into();
    m.apply(Update::Networks(vec![sample::network(1, NetworkState::Joined), sample::network(2, NetworkState::Joined)]));
    let mut other = m.conversations[0].clone();
    (other.id, other.network) = (cairn_crdt::ids::SpaceId([7; 32]), Some(sample::network_id(2)));
    other.title = "Everyone · Valley office".into();
    m.apply(Update::Event(Box::new(Event::Conversation(Box::new(other)))));
    assert_eq!(sections(&m)[0].1, ["Everyone · North Ridge", "Everyone · Valley office"]);
    // Without a name the id tells them apart.
    m.networks[1].name.clear();
    m.conversations[1].title = "Everyone".into();
    assert_eq!(sections(&m)[0].1[1], format!("Everyone · {}", sample::network_id(2).short()));
}

#[test]
fn who_is_in_the_room_is_asked_when_it_opens_and_when_it_changes() {
    let mut m = sample::model();
    let room = sample::everyone();
    let names = |m: &Model| m.room_people().map(|all| all.iter().map(|p| p.name.clone()).collect::<Vec<_>>());
    let shown = names(&m).unwrap();
    assert_eq!(shown.len(), 7);
    assert!(!shown.contains(&sample::name(8).to_owned()), "known, but not of this room");
    assert_eq!(shown.last().map(String::as_str), Some("T. Rinaldi"), "who is not here comes last");
    let changed = |m: &mut Model, members: u32| {
        let mut c = m.conversation(&room).unwrap().clone();
        c.members = members;
        m.apply(Update::Event(Box::new(Event::Conversation(Box::new(c)))))
    };
    assert_eq!(changed(&mut m, 9), [], "as many as before");
    assert_eq!(changed(&mut m, 10), [Command::Members(room), Command::Custody(room)]);
    assert_eq!(changed(&mut m, 11), [], "one question at a time");
    assert_eq!(m.apply(Update::Members(room, None)), [Command::Members(room)], "what came meanwhile is asked now");
    assert_eq!(names(&m).unwrap().len(), 7, "an answer that fails changes nothing");
    assert_eq!(m.apply(Update::Members(room, Some(Vec::new()))), []);
    assert_eq!(names(&m), Some(Vec::new()));
    // An answer for the room that was left is of no use.
    m.act(Intent::Open(sample::direct(1)));
    assert!(m.act(Intent::Open(room)).contains(&Command::Members(room)));
    assert_eq!(names(&m), None);
    m.act(Intent::Open(sample::direct(1)));
    assert_eq!(m.apply(Update::Members(room, Some(Vec::new()))), []);
    assert_eq!(m.members, None);
}

#[test]
fn first_start_ends_with_a_name() {
    let mut m = Model::new(Preferences::default());
    assert!(!m.first_start(), "not before the node is up");
    let mut s = sample::status();
    s.named = false;
    m.apply(Update::Status(Box::new(s)));
    assert!(m.first_start());
    assert_eq!(m.name_field(NameField::Own), "Linh Wagner");
    assert_eq!(m.act(Intent::SetName(" Linh ".into())), [Command::SetName("Linh".into())]);
    assert!(!m.first_start());
}

#[test]
fn notices_go_by_themselves_and_do_not_pile_up() {
    let mut m = sample::model();
    for i in 0..9 {
        m.notify("x", format!("{i}"), false);
        m.notify("x", format!("{i}"), false);
    }
    assert_eq!(m.notices().count(), NOTICES);
    assert_eq!(m.tick(1_000), Some(1_000 + NOTICE_FOR));
    assert_eq!(m.tick(1_000 + NOTICE_FOR), None);
    assert_eq!(m.notices().count(), 0);
}

#[test]
fn the_palette_finds_people_and_commands() {
    let mut m = sample::model();
    m.act(Intent::TogglePalette);
    m.act(Intent::PaletteQuery("maya".into()));
    let found = palette::entries(&m);
    assert_eq!(found[0].intent, Intent::Open(sample::direct(1)));
    m.act(Intent::PaletteQuery("colours".into()));
    assert_eq!(palette::entries(&m).len(), 5);
    m.act(Intent::PaletteMove(-1));
    assert_eq!(m.palette.as_ref().unwrap().mark, 4, "round and round");
    m.act(Intent::PaletteMove(1));
    assert_eq!(m.palette.as_ref().unwrap().mark, 0);
}

#[test]
fn a_network_that_became_part_of_another_is_read_anew() {
    let mut m = sample::model();
    let ours = m.networks.iter().find(|n| n.primary).unwrap().clone();
    // What is told of the one that it is in, and of others, is no such thing.
    assert_eq!(m.apply(told(Network { here: 7, ..ours.clone() })), []);
    assert_eq!(m.apply(told(Network { primary: false, ..sample::network(8, NetworkState::Joined) })), []);
    let into = Network { primary: true, ..sample::network(9, NetworkState::Joined) };
    assert_eq!(m.apply(told(into.clone())), [Command::Everything]);
    m.apply(Update::Networks(vec![into.clone()]));
    assert_eq!(m.networks, [into]);

    fn told(n: Network) -> Update {
        Update::Event(Box::new(Event::Network(Box::new(n))))
    }
}
