//! The main flows through the real views, asserted on the accessibility tree.

mod catch_up;
mod fate;
mod kept;
mod key;
mod lock;
mod messages;
mod verify;

use std::cell::RefCell;
use std::rc::Rc;

use cairn_actors::api::{Event, NetworkState, Page, PageAt};
use egui::accesskit::Role;
use egui::{Key, Modifiers};
use egui_kittest::Harness;
use egui_kittest::kittest::{NodeT, Queryable};

use super::intent::{Command, Intent, NameField};
use super::model::{Model, Preferences, ThemeChoice, Update, View};
use super::sample;
use super::window::Window;

struct Screen {
    harness: Harness<'static>,
    window: Rc<RefCell<Option<Window>>>,
    commands: Rc<RefCell<Vec<Command>>>,
}

impl Screen {
    fn of(model: Model, size: [f32; 2]) -> Self {
        let window: Rc<RefCell<Option<Window>>> = Rc::default();
        let commands: Rc<RefCell<Vec<Command>>> = Rc::default();
        let (w, c) = (window.clone(), commands.clone());
        let mut model = Some(model);
        let harness = Harness::builder().with_size(size).build_ui(move |ui| {
            let ctx = ui.ctx().clone();
            let mut slot = w.borrow_mut();
            match slot.as_mut() {
                Some(window) => c.borrow_mut().extend(window.frame(ui, &sample::clock())),
                None => {
                    *slot = model.take().map(|m| Window::of(&ctx, m));
                    ctx.request_repaint();
                }
            }
        });
        let mut this = Self { harness, window, commands };
        this.run();
        this
    }

    fn run(&mut self) {
        self.harness.run_steps(4);
    }

    fn with<R>(&self, f: impl FnOnce(&mut Model) -> R) -> R {
        f(&mut self.window.borrow_mut().as_mut().unwrap().model)
    }

    fn told(&self) -> Vec<Command> {
        std::mem::take(&mut *self.commands.borrow_mut())
    }

    fn sees(&self, words: &str) -> bool {
        self.harness.query_all_by_label_contains(words).next().is_some()
    }

    fn click(&mut self, label: &str) {
        self.harness.get_by_label(label).click();
        self.run();
    }

    fn key(&mut self, modifiers: Modifiers, key: Key) {
        self.harness.key_press_modifiers(modifiers, key);
        self.run();
    }

    fn type_into(&mut self, label: &str, text: &str) {
        self.type_as(Role::TextInput, label, text);
    }

    fn type_as(&mut self, role: Role, label: &str, text: &str) {
        self.harness.get_by_role_and_label(role, label).focus();
        self.run();
        self.harness.get_by_role_and_label(role, label).type_text(text);
        self.run();
    }
}

const FULL: [f32; 2] = [1280.0, 800.0];

#[test]
fn the_whole_window_is_named_for_screen_readers() {
    let s = Screen::of(sample::model(), FULL);
    for words in [
        "Conversations",
        "Maya Okafor, verified, here, 3 unread, Sent the new perimeter map, 14:02",
        "Everyone, 9 others · 6 here · North Ridge",
        "Who takes the evening brief?",
        "read 2 of 9",
        "Online · 6 others here",
        "All saved",
        "Today, 20 November",
    ] {
        assert!(s.sees(words), "{words}");
    }
    assert_eq!(s.harness.unnamed_widgets(), Vec::<String>::new());
}

#[test]
fn a_click_in_the_list_opens_and_reading_is_told() {
    let mut s = Screen::of(sample::model(), FULL);
    s.told();
    s.harness.get_by_label_contains("Maya Okafor, verified, here, 3 unread").click();
    s.run();
    let maya = sample::direct(1);
    let page = Command::Page(maya, PageAt::Newest, super::model::history::PAGE);
    assert_eq!(s.told(), [page, Command::Custody(maya), Command::Retention(maya)]);
    assert!(s.sees("One moment"), "until the page is here");
    let messages: Vec<_> = (0..3).map(sample::message).collect();
    let last = messages[2].key;
    s.with(|m| {
        m.apply(Update::Page(
            maya,
            PageAt::Newest,
            Ok(Page { messages, older: false, newer: false, total: 3, before: 0 }),
        ))
    });
    s.run();
    assert!(s.sees("New · 3 messages"));
    assert!(s.told().contains(&Command::MarkRead(maya, last)));
}

#[test]
fn messages_that_need_a_newer_cairn_have_one_counted_line_in_their_place() {
    let mut model = sample::model();
    let mut messages = sample::morning();
    let mut read = |n: u64, at: i64| {
        messages.retain(|m| !m.is_placeholder());
        messages.push(sample::placeholder(n, at));
        messages.sort_by_key(|m| m.key);
        let page = Page { messages: messages.clone(), older: false, newer: false, total: 15, before: 0 };
        model.apply(Update::Page(sample::everyone(), PageAt::Newest, Ok(page)));
        let history = model.history(&sample::everyone()).unwrap();
        history.messages().iter().filter(|m| m.is_placeholder()).map(|m| m.needs_newer).collect::<Vec<_>>()
    };
    assert_eq!(read(2, 3), [2]);
    assert_eq!(read(3, 2), [3], "an earlier one came: the line moves, it does not double");
    let s = Screen::of(model, FULL);
    assert!(s.sees("3 messages need a newer Cairn"));
    assert_eq!(s.harness.unnamed_widgets(), Vec::<String>::new());
}

#[test]
fn a_briefing_tells_who_is_back_and_leads_to_the_first_new_message() {
    let mut s = Screen::of(sample::model(), FULL);
    let mut growing = sample::briefing(4);
    growing.is_final = false;
    s.with(|m| m.apply(Update::Event(Box::new(Event::Briefing(Box::new(growing))))));
    s.with(|m| m.apply(Update::Event(Box::new(Event::Briefing(Box::new(sample::briefing(4)))))));
    s.run();
    for words in [
        "Together again with Maya Okafor, 张伟 and T. Rinaldi",
        "Apart from 12:59 to 14:02 · 1 h 3 min",
        "Everyone: 34 messages",
        "Maya Okafor 20 · 张伟 10 · T. Rinaldi 4",
        "Here, 12 messages meanwhile.",
        "Medic-3 is not back; wrote at 13:40",
    ] {
        assert!(s.sees(words), "{words}");
    }
    assert_eq!(s.harness.unnamed_widgets(), Vec::<String>::new());
    s.told();
    s.click("Go to the first new message");
    assert_eq!(s.told(), [Command::BriefingSeen(4)], "the message is in memory");
    assert!(!s.sees("Together again"), "it has done its work");
    assert!(s.sees("Jump to the newest") || s.sees("二号路口积水"), "the place is on screen");
    // It can be called up again, also after a restart: it is kept.
    s.with(|m| m.act(Intent::ShowBriefing));
    s.run();
    assert!(s.sees("Together again"));
    s.click("Close the briefing");
    assert!(!s.sees("Together again") && s.told().is_empty());
}

#[test]
fn a_message_that_is_not_in_memory_is_read_before_it_is_shown() {
    let mut s = Screen::of(sample::long_model(3_000), FULL);
    s.told();
    let key = sample::message(5).key;
    let at = cairn_actors::api::OrderKey { stamp: cairn_crdt::hlc::Hlc(7), ..key };
    s.with(|m| m.act(Intent::GoTo(sample::everyone(), at))).into_iter().for_each(|c| {
        assert_eq!(c, Command::Page(sample::everyone(), PageAt::After(at.earlier()), super::model::history::PAGE));
    });
    s.run();
    assert!(s.sees("One moment"), "until the page is here");
    let mut messages: Vec<_> = (0..50).map(sample::message).collect();
    (messages[0].key, messages[0].body) = (at, "here it is".into());
    let page = Page { messages, older: true, newer: true, total: 3_000, before: 900 };
    s.with(|m| m.apply(Update::Page(sample::everyone(), PageAt::After(at.earlier()), Ok(page))));
    s.run();
    assert!(s.sees("here it is"));
    assert!(s.with(|m| m.wants_message.is_none()));
}

#[test]
fn enter_sends_and_shift_enter_breaks_the_line() {
    let mut s = Screen::of(sample::model(), FULL);
    let field = "Message Everyone";
    s.harness.get_by_role_and_label(Role::MultilineTextInput, field).focus();
    s.run();
    s.harness.get_by_role_and_label(Role::MultilineTextInput, field).type_text("first");
    s.run();
    s.key(Modifiers::SHIFT, Key::Enter);
    s.harness.get_by_role_and_label(Role::MultilineTextInput, field).type_text("二 second");
    s.run();
    // Pressed and let go within one frame, so that the frame itself knows of no Shift.
    s.harness.event(egui::Event::Key {
        key: Key::Enter,
        physical_key: None,
        pressed: true,
        repeat: false,
        modifiers: Modifiers::SHIFT,
    });
    s.run();
    assert_eq!(s.with(|m| m.draft(&sample::everyone()).to_owned()), "first\n二 second\n");
    s.told();
    s.key(Modifiers::NONE, Key::Enter);
    let said = Command::Say { conversation: sample::everyone(), body: "first\n二 second".into(), reply_to: None };
    assert_eq!(s.told(), [said]);
    assert_eq!(s.with(|m| m.draft(&sample::everyone()).to_owned()), "");
    assert!(s.harness.get_by_role_and_label(Role::MultilineTextInput, field).is_focused(), "ready for the next one");
    assert!(s.sees("Saving"));
}

#[test]
fn the_keyboard_reaches_everything() {
    let mut s = Screen::of(sample::model(), FULL);
    s.key(Modifiers::COMMAND, Key::Num2);
    assert_eq!(s.with(|m| m.open), Some(sample::direct(1)));
    s.key(Modifiers::ALT, Key::ArrowDown);
    assert_eq!(s.with(|m| m.open), Some(sample::direct(2)));
    s.key(Modifiers::COMMAND, Key::K);
    s.type_into("Command palette", "rinaldi");
    s.key(Modifiers::NONE, Key::Enter);
    assert_eq!(s.with(|m| (m.open, m.palette.clone())), (Some(sample::direct(3)), None));
    s.key(Modifiers::COMMAND, Key::F);
    assert!(s.harness.get_by_role_and_label(Role::TextInput, "Search").is_focused());
    // Tab walks from the search field into the list; Enter opens.
    s.key(Modifiers::NONE, Key::Tab);
    let first = s.harness.get_by_label_contains("Everyone, You: Logged");
    assert!(first.is_focused(), "{:?}", first.accesskit_node());
    s.key(Modifiers::NONE, Key::ArrowDown);
    s.key(Modifiers::NONE, Key::Enter);
    assert_eq!(s.with(|m| m.open), Some(sample::direct(1)));
    s.key(Modifiers::COMMAND, Key::Plus);
    assert_eq!(s.with(|m| m.preferences.scale), 110);
}

#[test]
fn first_start_asks_for_a_name_and_shows_the_network() {
    let mut m = Model::new(Preferences::default());
    let mut status = sample::status();
    status.named = false;
    m.apply(Update::Status(Box::new(status)));
    let mut s = Screen::of(m, FULL);
    assert!(s.sees("Welcome to Cairn") && s.sees("6 others are here"));
    assert!(s.harness.get_by_role_and_label(Role::TextInput, "Your name").is_focused());
    s.type_into("Your name", "!");
    s.key(Modifiers::NONE, Key::Enter);
    assert_eq!(s.told(), [Command::SetName("Linh Wagner!".into())]);
    assert!(!s.sees("Welcome to Cairn"));
}

#[test]
fn the_first_page_says_where_it_looks_and_names_nothing_where_it_does_not() {
    let page = |interfaces: Vec<_>| {
        let mut m = Model::new(Preferences::default());
        let status = sample::status();
        let link = cairn_actors::api::LinkState::Alone;
        m.apply(Update::Status(Box::new(cairn_actors::api::Status { named: false, link, interfaces, ..status })));
        Screen::of(m, FULL)
    };
    assert!(page(sample::status().interfaces).sees("Looking for others on eth0"));
    let off = page(Vec::new());
    assert!(off.sees("Nobody else is here yet") && !off.sees("Looking for others"));
}

#[test]
fn a_network_that_was_met_is_asked_about_until_answered() {
    let mut s = Screen::of(sample::model(), FULL);
    s.with(|m| m.apply(Update::Event(Box::new(Event::Network(Box::new(sample::network(2, NetworkState::Asking)))))));
    s.run();
    assert!(s.sees("You met another network: Valley office"));
    s.told();
    s.click("Keep apart");
    assert_eq!(s.told(), [Command::KeepApart(sample::network_id(2))]);
    assert!(!s.sees("You met another network"));
    s.with(|m| m.act(Intent::Show(View::Network)));
    s.run();
    s.click("Join");
    assert_eq!(s.told(), [Command::JoinNetwork(sample::network_id(2))]);
}

#[test]
fn a_room_lists_its_own_people() {
    let mut s = Screen::of(sample::model(), FULL);
    let listed = |s: &Screen, n: u8| {
        // A line of the list of conversations says more.
        s.harness.query_by_label(&format!("{}, unknown, not here", sample::name(n))).is_some()
    };
    assert!(s.sees("People · 6 here") && listed(&s, 3));
    assert!(!listed(&s, 8), "met on another network");
    s.with(|m| m.members = None);
    s.run();
    assert!(!s.sees("People ·"), "not before the node has said who is in it");
}

#[test]
fn a_network_gets_a_name() {
    let mut m = sample::model();
    m.act(Intent::TogglePalette);
    m.act(Intent::PaletteQuery("name the network".into()));
    let mut s = Screen::of(m, FULL);
    s.key(Modifiers::NONE, Key::Enter);
    assert_eq!(s.with(|m| m.view), View::Network);
    s.told();
    let field = "Name of your network";
    s.type_into(field, &"x".repeat(60));
    s.key(Modifiers::NONE, Key::Enter);
    assert!(s.sees("That is too long: 64 bytes at most."));
    assert_eq!(s.told(), []);
    s.with(|m| m.act(Intent::EditName(NameField::Network(sample::network_id(1)), "North Ridge ".into())));
    s.type_into(field, "2");
    s.key(Modifiers::NONE, Key::Enter);
    assert_eq!(s.told(), [Command::NameNetwork(sample::network_id(1), "North Ridge 2".into())]);
    let mut named = sample::network(1, NetworkState::Joined);
    named.name = "North Ridge 2".into();
    s.with(|m| m.apply(Update::Event(Box::new(Event::Network(Box::new(named))))));
    s.run();
    assert!(s.sees("North Ridge 2 · 6 here: yours"));
    s.click("Name it");
    assert_eq!(s.told(), [], "it has that name already");
}

#[test]
fn narrow_windows_show_one_column_at_a_time() {
    let mut s = Screen::of(sample::model(), [600.0, 720.0]);
    assert!(s.sees("Who takes the evening brief?") && !s.sees("Maya Okafor, verified, here, 3 unread"));
    s.click("Back to the list");
    assert!(s.sees("Maya Okafor, verified, here, 3 unread") && !s.sees("Who takes the evening brief?"));
    s.harness.get_by_label_contains("Everyone, You: Logged").click();
    s.run();
    assert!(s.sees("Who takes the evening brief?") && !s.sees("Who has it"));
    s.click("Show or hide the details");
    assert!(s.sees("Who has it"));
    s.click("Close the details");
    assert!(!s.sees("Who has it"));
}

#[test]
fn details_name_a_person_and_change_the_petname() {
    let mut m = sample::model();
    m.act(Intent::Open(sample::direct(1)));
    let mut s = Screen::of(m, FULL);
    assert!(s.sees("Address: 10.77.0.11:27475") && s.sees("You compared safety numbers, or read its code."));
    s.told();
    s.type_into("Your name for this person", " (west)");
    s.click("Keep");
    assert_eq!(s.told(), [Command::SetPetname(sample::device(1), Some("Maya Okafor (west)".into()))]);
    assert!(!s.sees("Calls itself"), "only where it is called otherwise here");
    s.with(|m| {
        let mut maya = sample::peer(1);
        (maya.name, maya.petname) = ("Maya (west)".into(), Some("Maya (west)".into()));
        m.apply(Update::Event(Box::new(Event::Peer(Box::new(maya)))))
    });
    s.run();
    assert!(s.sees("Calls itself Maya Okafor"));
}

#[test]
fn only_where_there_is_room_the_choice_to_hide_the_details_is_kept() {
    let mut s = Screen::of(sample::model(), FULL);
    s.told();
    s.key(Modifiers::COMMAND, Key::I);
    assert!(!s.sees("Who has it"));
    assert!(matches!(s.told().as_slice(), [Command::Save(p)] if !p.details));
    s.key(Modifiers::COMMAND, Key::I);
    assert!(s.sees("Who has it"));
    assert!(matches!(s.told().as_slice(), [Command::Save(p)] if p.details));
    // Over the conversation they are a look, not a choice.
    let mut s = Screen::of(sample::model(), [1000.0, 720.0]);
    s.told();
    s.key(Modifiers::COMMAND, Key::I);
    assert!(s.sees("Who has it"));
    assert_eq!((s.told(), s.with(|m| m.preferences.details)), (Vec::new(), true));
}

#[test]
fn trouble_is_said_where_it_is_looked_for() {
    let mut m = sample::model();
    m.status.as_mut().unwrap().troubles.push("The disk is full".into());
    let mut s = Screen::of(m, FULL);
    assert!(s.sees("The disk is full") && !s.sees("All saved"));
    s.with(|m| m.notify("x", "Something happened".into(), true));
    s.run();
    s.click("Dismiss");
    assert!(!s.sees("Something happened"));
    s.with(|m| m.apply(Update::Stopped));
    s.run();
    assert!(s.sees("The node has stopped"));
}

#[test]
fn settings_change_colours_size_and_name() {
    let mut m = sample::model();
    m.act(Intent::Show(View::Settings));
    let mut s = Screen::of(m, FULL);
    s.told();
    s.click("Night");
    assert_eq!(s.with(|m| m.preferences.theme), ThemeChoice::Night);
    assert!(matches!(s.told().as_slice(), [Command::Save(p)] if p.theme == ThemeChoice::Night));
    s.click("130 %");
    assert_eq!(s.with(|m| m.preferences.scale), 130);
    s.key(Modifiers::NONE, Key::Escape);
    assert_eq!(s.with(|m| m.view), View::Chat);
}
