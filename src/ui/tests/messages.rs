//! Answers, mentions, edits, deletions and reactions, as they are seen and done in the window.

use cairn_actors::api::{Event, Mentioned, Message, Quote, Reacted, Version};
use egui::accesskit::Role;
use egui::{Key, Modifiers};
use egui_kittest::kittest::Queryable;

use super::{FULL, Screen};
use crate::ui::intent::Command;
use crate::ui::model::Update;
use crate::ui::sample;

fn changed(s: &mut Screen, m: Message) {
    s.with(|model| model.apply(Update::Event(Box::new(Event::Changed(Box::new(m))))));
    s.run();
}

/// The newest message of somebody else, and the newest of ours.
fn two() -> (Message, Message) {
    let all = sample::morning();
    let last = |mine| all.iter().rfind(|m| m.mine == mine && !m.is_placeholder()).unwrap().clone();
    (last(false), last(true))
}

/// Moves the pointer over a message's text.
fn point_at(s: &mut Screen, m: &Message) {
    s.harness.query_all_by_label_contains(&m.body).next().unwrap().hover();
    s.run();
}

#[test]
fn a_message_is_answered_and_reacted_to() {
    let mut s = Screen::of(sample::model(), FULL);
    let (theirs, _) = two();
    s.told();
    point_at(&mut s, &theirs);
    assert!(s.harness.query_by_label("Edit this message").is_none(), "it is not ours");
    s.click("React with ✅");
    let react =
        |emoji: &str, on| Command::React { conversation: theirs.conversation, id: theirs.id, emoji: emoji.into(), on };
    assert_eq!(s.told(), [react("✅", true)]);
    let mut m = theirs.clone();
    m.about.reactions =
        vec![Reacted { emoji: "✅".into(), count: 2, mine: true, by: vec!["You".into(), "Maya".into()] }];
    changed(&mut s, m.clone());
    s.click("✅ 2, You, Maya");
    assert_eq!(s.told(), [react("✅", false)]);

    point_at(&mut s, &theirs);
    s.click("Answer this message");
    assert!(s.sees(&format!("Answering {}", theirs.author_name)));
    let field = s.harness.get_by_role_and_label(Role::MultilineTextInput, "Message Everyone");
    field.type_text("At once");
    s.run();
    s.key(Modifiers::NONE, Key::Enter);
    let told = s.told();
    let said = Command::Say { conversation: theirs.conversation, body: "At once".into(), reply_to: Some(theirs.id) };
    assert!(told.contains(&said), "{told:?}");
    assert!(!s.sees("Answering "), "only that one");
}

#[test]
fn one_s_own_message_is_edited_and_deleted_and_its_history_shown() {
    let mut s = Screen::of(sample::model(), FULL);
    let (_, ours) = two();
    point_at(&mut s, &ours);
    s.click("Edit this message");
    assert!(s.sees("Editing your message"));
    s.key(Modifiers::NONE, Key::Escape);
    assert!(!s.sees("Editing your message"));
    assert_eq!(s.with(|m| m.draft(&ours.conversation).to_owned()), "");
    point_at(&mut s, &ours);
    s.click("Edit this message");
    s.told();
    s.key(Modifiers::NONE, Key::Enter);
    let edit = Command::Edit { conversation: ours.conversation, id: ours.id, body: ours.body.clone() };
    assert_eq!(s.told(), [edit]);
    point_at(&mut s, &ours);
    s.click("Delete this message");
    assert_eq!(s.told(), [Command::Delete(ours.conversation, ours.id)]);

    let mut m = ours.clone();
    (m.body, m.about.deleted) = (String::new(), true);
    changed(&mut s, m);
    s.harness.get_by_label("deleted").hover();
    s.run();
    assert!(s.harness.query_by_label("Edit this message").is_none());
    s.click("What it said before");
    assert_eq!(s.told(), [Command::Versions(ours.conversation, ours.id)]);
    let versions = vec![
        Version { at: ours.sent, body: Some("the first words".into()) },
        Version { at: ours.sent + 1, body: None },
    ];
    s.with(|m| m.apply(Update::Versions(ours.conversation, ours.id, Some(versions))));
    s.run();
    assert!(s.sees("the first words"));
    s.harness.get_by_label("deleted").hover();
    s.run();
    s.click("What it said before");
    assert!(!s.sees("the first words"), "and hidden again");
}

#[test]
fn what_is_answered_leads_there_and_mentions_stand_in_the_list() {
    let mut s = Screen::of(sample::model(), FULL);
    let (theirs, ours) = two();
    let mut m = theirs.clone();
    m.body = "@Linh Wagner see above".into();
    m.about.mentions =
        vec![Mentioned { id: sample::me(), said: "Linh Wagner".into(), name: "Linh Wagner".into(), me: true }];
    m.about.edited = Some(m.sent + 1);
    m.about.reply_to = Some(Quote {
        id: ours.id,
        key: None,
        author: None,
        author_name: String::new(),
        text: String::new(),
        deleted: false,
    });
    changed(&mut s, m.clone());
    assert!(s.sees("@Linh Wagner see above  edited"));
    s.told();
    s.click("Answers an earlier message");
    assert_eq!(s.told(), [Command::Find(ours.conversation, ours.id)]);
    m.about.reply_to = m.about.reply_to.map(|q| Quote { key: Some(ours.key), author_name: "You".into(), ..q });
    changed(&mut s, m);
    s.click("Answers You: ");
    assert_eq!(s.with(|m| m.wants_message), None, "it is in memory, and scrolled to");

    let mut list = sample::conversations();
    (list[1].unread, list[1].mentions) = (3, 1);
    let title = list[1].title.clone();
    // A chat of which nothing can be read yet is a conversation all the same.
    (list[2].last, list[2].needs_key, list[2].unread) = (None, 1, 1);
    let locked = list[2].title.clone();
    s.with(|m| m.apply(Update::Conversations(list)));
    s.run();
    assert!(s.sees("3 unread, 1 mentioning you"), "{title}");
    assert!(s.harness.query_all_by_label_contains("A message that can't be read yet").count() == 1, "{locked}");
}

#[test]
fn who_writes_is_shown_and_told_and_a_conversation_is_pinned_and_muted() {
    let mut s = Screen::of(sample::model(), [FULL[0], 1_400.0]);
    let (room, maya) = (sample::everyone(), sample::device(1));
    let typing = |name: &str, n: u8, typing| {
        let (conversation, device) = (sample::everyone(), sample::device(n));
        Update::Event(Box::new(Event::Typing { conversation, device, name: name.into(), typing }))
    };
    s.with(|m| m.apply(typing("Maya", 1, true)));
    s.run();
    assert!(s.sees("Maya is writing…"));
    s.with(|m| (m.apply(typing("Bo", 2, true)), m.apply(typing("Cy", 3, true))));
    assert_eq!(s.with(|m| m.writing(&room)), Some("Maya and 2 others are writing…".into()));
    s.with(|m| (m.apply(typing("Maya", 1, false)), m.apply(typing("Cy", 3, false)), m.apply(typing("Bo", 2, false))));
    s.run();
    assert!(!s.sees("writing…"), "{maya}");
    s.told();
    s.harness.get_by_role_and_label(Role::MultilineTextInput, "Message Everyone").focus();
    s.run();
    s.harness.get_by_role_and_label(Role::MultilineTextInput, "Message Everyone").type_text("x");
    s.run();
    assert!(s.told().contains(&Command::Typing(room, true)));

    s.click("Pin to the top");
    s.click("Mute until I say otherwise");
    let told = s.told();
    assert!(told.contains(&Command::SetPinned(room, true)) && told.contains(&Command::SetMuted(room, Some(u64::MAX))));
    let mut list = sample::conversations();
    let of = |list: &Vec<cairn_actors::api::Conversation>| list.iter().map(|c| c.unread).sum::<u64>();
    let all = of(&list);
    let at = list.iter().position(|c| c.unread > 0).unwrap();
    (list[at].muted_until, list[at].pinned) = (Some(u64::MAX), Some(5));
    let (muted, id) = (list[at].unread, list[at].id);
    s.with(|m| m.apply(Update::Conversations(list)));
    s.run();
    assert_eq!(s.with(|m| m.unread()), all - muted, "what is muted is left out of the sum");
    assert!(s.sees("PINNED") && s.sees("unread, muted"));
    // It keeps its place at the top when something is said elsewhere.
    let mut other = sample::conversations().pop().unwrap();
    if let Some(last) = &mut other.last {
        last.sent += 9_000_000;
    }
    s.with(|m| m.apply(Update::Event(Box::new(Event::Conversation(Box::new(other))))));
    assert!(s.with(|m| m.conversations.iter().position(|c| c.id == id)) < Some(2));
}
