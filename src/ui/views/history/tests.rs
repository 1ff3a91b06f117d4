//! The place in a history holds still, whatever is put before or after it.

use cairn_actors::api::{Message, Page, PageAt};
use egui::{Event, Modifiers, MouseWheelUnit, RawInput, Rect, TouchPhase, pos2, vec2};

use crate::ui::intent::Command;
use crate::ui::model::{Model, Update};
use crate::ui::sample;
use crate::ui::window::Window;

/// A place in the history.
const MIDDLE: egui::Pos2 = pos2(650.0, 400.0);

struct View {
    ctx: egui::Context,
    window: Window,
    time: f64,
    commands: Vec<Command>,
}

impl View {
    fn new(model: Model) -> Self {
        let ctx = egui::Context::default();
        let window = Window::of(&ctx, model);
        let mut this = Self { ctx, window, time: 0.0, commands: Vec::new() };
        this.frame(0.0);
        this.frame(0.0);
        this
    }

    /// Paints a frame and answers where each text stands.
    fn frame(&mut self, wheel: f32) -> Vec<(String, f32)> {
        let mut events = vec![Event::PointerMoved(MIDDLE)];
        if wheel != 0.0 {
            events.push(Event::MouseWheel {
                unit: MouseWheelUnit::Point,
                delta: vec2(0.0, wheel),
                phase: TouchPhase::Move,
                source: egui::MouseWheelSource::Wheel,
                modifiers: Modifiers::NONE,
            });
        }
        self.frame_with(events)
    }

    fn frame_with(&mut self, events: Vec<Event>) -> Vec<(String, f32)> {
        self.time += 1.0 / 60.0;
        let input = RawInput {
            screen_rect: Some(Rect::from_min_size(pos2(0.0, 0.0), vec2(1280.0, 800.0))),
            time: Some(self.time),
            focused: true,
            events,
            ..RawInput::default()
        };
        let clock = sample::clock();
        let output = self.ctx.run_ui(input, |ui| {
            self.commands.extend(self.window.frame(ui, &clock));
        });
        let texts = output
            .shapes
            .iter()
            .filter_map(|s| match &s.shape {
                egui::Shape::Text(t) if s.clip_rect.left() > 340.0 && s.clip_rect.right() < 1010.0 => {
                    Some((t.galley.text().to_owned(), t.pos.y))
                }
                _ => None,
            })
            .filter(|(t, _)| t.starts_with("message "))
            .collect();
        output.drop_without_applying_deltas();
        texts
    }

    /// Lets a scroll come to rest.
    fn settle(&mut self) -> Vec<(String, f32)> {
        for _ in 0..60 {
            self.frame(0.0);
        }
        self.frame(0.0)
    }
}

/// When message 0 was sent; each is a minute after the one before.
const FIRST_SENT: u64 = sample::NOON - 90_000_000;

fn number_of(sent: u64) -> u64 {
    (sent - FIRST_SENT) / 60_000
}

fn messages(range: std::ops::Range<u64>) -> Vec<Message> {
    range
        .map(|n| {
            let mut m = sample::message(n);
            m.sent = FIRST_SENT + n * 60_000;
            m.key.stamp = cairn_crdt::hlc::Hlc::from_ms(m.sent);
            let words = if n % 7 == 0 { "and much more to say, ".repeat(12) } else { String::new() };
            m.body = format!("message {n} {words}");
            m
        })
        .collect()
}

fn model(range: std::ops::Range<u64>, total: u64) -> Model {
    let mut m = sample::model();
    let id = sample::everyone();
    m.act(crate::ui::intent::Intent::Open(sample::direct(1)));
    m.apply(Update::Event(Box::new(cairn_actors::api::Event::Messages { conversation: id, count: 1 })));
    m.act(crate::ui::intent::Intent::Open(id));
    let before = range.start;
    let page = Page { older: before > 0, newer: range.end < total, total, before, messages: messages(range) };
    m.apply(Update::Page(id, PageAt::Newest, Ok(page)));
    m
}

fn y_of(texts: &[(String, f32)], n: u64) -> Option<f32> {
    texts.iter().find(|(t, _)| t.starts_with(&format!("message {n} "))).map(|(_, y)| *y)
}

#[test]
fn it_begins_and_stays_at_the_newest() {
    let mut v = View::new(model(0..500, 500));
    let before = v.frame(0.0);
    let y = y_of(&before, 499).expect("the newest is on screen");
    let next = messages(500..501).remove(0);
    v.window.model.apply(Update::Event(Box::new(cairn_actors::api::Event::Message(Box::new(next)))));
    let after = v.frame(0.0);
    assert_eq!(y_of(&after, 500), Some(y), "the newer one took its place");
    assert!(before.len() < 40, "only what is on screen is laid out: {}", before.len());
}

#[test]
fn nothing_moves_when_older_and_newer_messages_come() {
    let mut v = View::new(model(1_000..1_200, 1_200));
    for _ in 0..30 {
        v.frame(300.0);
    }
    let before = v.settle();
    let asked = v.commands.iter().any(|c| matches!(c, Command::Page(_, PageAt::Before(_), _)));
    assert!(asked, "older ones are asked for before the end is reached");
    let first = sample::everyone();
    let older = Page { messages: messages(800..1_000), older: true, newer: true, total: 1_200, before: 800 };
    v.window.model.apply(Update::Page(first, PageAt::Before(messages(1_000..1_001)[0].key), Ok(older)));
    for m in messages(1_200..1_230) {
        v.window.model.apply(Update::Event(Box::new(cairn_actors::api::Event::Message(Box::new(m)))));
    }
    let after = v.frame(0.0);
    assert!(!before.is_empty());
    let stayed: Vec<_> = after.iter().filter(|t| before.contains(t)).cloned().collect();
    assert_eq!(before, stayed, "each text stands where it stood");
}

/// Answers the pages that were asked for, as the node of a room of `total` messages does.
fn serve(v: &mut View, total: u64) {
    for command in std::mem::take(&mut v.commands) {
        let Command::Page(room, at, limit) = command else { continue };
        let from = match at {
            PageAt::Number(from) => from,
            PageAt::Before(key) => number_of(key.stamp.ms()).saturating_sub(limit as u64),
            PageAt::After(key) => number_of(key.stamp.ms()) + 1,
            PageAt::Newest => total - limit as u64,
        };
        let to = (from + limit as u64).min(total);
        let page = Page { messages: messages(from..to), older: from > 0, newer: to < total, total, before: from };
        v.window.model.apply(Update::Page(room, at, Ok(page)));
    }
}

#[test]
fn the_bar_leads_to_messages_that_are_not_in_memory() {
    let total = 50_000;
    let mut v = View::new(model(total - 200..total, total));
    let bar = |y: f32| pos2(994.0, y);
    let button = |y: f32, pressed| Event::PointerButton {
        pos: bar(y),
        button: egui::PointerButton::Primary,
        pressed,
        modifiers: Modifiers::NONE,
    };
    v.frame_with(vec![Event::PointerMoved(bar(400.0))]);
    v.commands.clear();
    v.frame_with(vec![button(400.0, true)]);
    let before = v.frame_with(vec![Event::PointerMoved(bar(400.0))]);
    v.frame_with(vec![Event::PointerMoved(bar(400.0)), button(400.0, false)]);
    let asked: Vec<_> = v.commands.iter().filter(|c| matches!(c, Command::Page(..))).cloned().collect();
    let [Command::Page(_, PageAt::Number(from), _)] = *asked else { panic!("one page: {asked:?}") };
    assert!((15_000..35_000).contains(&from), "about the middle: {from}");
    assert!(before.iter().all(|(t, _)| t.starts_with("message 49")), "what was there stays until the page comes");
    serve(&mut v, total);
    v.frame(0.0);
    let texts = v.frame(0.0);
    assert!(y_of(&texts, from + 100).is_some_and(|y| y < 160.0), "the message of that number is at the top: {texts:?}");
    serve(&mut v, total);
    assert_eq!(v.settle(), texts, "and stays, whatever comes above and below");
    // The first message of all is a drag away, whatever else is asked for on the way there.
    v.frame_with(vec![Event::PointerMoved(bar(400.0))]);
    v.frame_with(vec![button(400.0, true)]);
    for _ in 0..4 {
        v.frame_with(vec![Event::PointerMoved(bar(0.0))]);
        serve(&mut v, total);
    }
    v.frame_with(vec![Event::PointerMoved(bar(0.0)), button(0.0, false)]);
    let top = v.settle();
    assert!(y_of(&top, 0).is_some(), "{top:?}");
}

#[test]
fn it_scrolls_by_what_the_wheel_says_and_stops_at_both_ends() {
    let mut v = View::new(model(0..60, 60));
    let before = v.frame(0.0);
    v.frame(100.0);
    let after = v.settle();
    let (n, moved) = (30..60)
        .find_map(|n| Some((n, y_of(&after, n)? - y_of(&before, n)?)))
        .expect("one is on screen before and after");
    assert!((moved - 100.0).abs() < 1.0, "message {n} moved by {moved}");
    for _ in 0..80 {
        v.frame(900.0);
    }
    let top = v.settle();
    assert!(y_of(&top, 0).is_some_and(|y| y > 58.0 && y < 160.0), "{top:?}");
    for _ in 0..80 {
        v.frame(-900.0);
    }
    assert_eq!(y_of(&v.settle(), 59), y_of(&before, 59), "at the newest again");
}

#[test]
fn a_hundred_thousand_messages_cost_no_more_than_a_screen() {
    let mut v = View::new(model(0..20_000, 20_000));
    let texts = v.frame(0.0);
    assert!(texts.len() < 40, "{}", texts.len());
    let times = crate::ui::bench::scroll(5_000, 60);
    assert!(times.primitives > 10);
    println!("5,000 messages, this build: median {:?}, p99 {:?}", times.median, times.p99);
}
