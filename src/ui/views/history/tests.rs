//! The place in a history holds still, whatever is put before or after it.

use cairn_actors::api::{Message, Page, PageAt};
use egui::{Event, Modifiers, MouseWheelUnit, RawInput, Rect, TouchPhase, pos2, vec2};

use crate::ui::intent::Command;
use crate::ui::model::{Model, Update};
use crate::ui::sample;
use crate::ui::window::Window;

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
        let mut events = vec![Event::PointerMoved(pos2(650.0, 400.0))];
        if wheel != 0.0 {
            events.push(Event::MouseWheel {
                unit: MouseWheelUnit::Point,
                delta: vec2(0.0, wheel),
                phase: TouchPhase::Move,
                source: egui::MouseWheelSource::Wheel,
                modifiers: Modifiers::NONE,
            });
        }
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

fn messages(range: std::ops::Range<u64>) -> Vec<Message> {
    range
        .map(|n| {
            let mut m = sample::message(n);
            m.sent = sample::NOON - 90_000_000 + n * 60_000;
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
    let page = Page { older: range.start > 0, newer: range.end < total, total, messages: messages(range) };
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
    let older = Page { messages: messages(800..1_000), older: true, newer: true, total: 1_200 };
    v.window.model.apply(Update::Page(first, PageAt::Before(messages(1_000..1_001)[0].key), Ok(older)));
    for m in messages(1_200..1_230) {
        v.window.model.apply(Update::Event(Box::new(cairn_actors::api::Event::Message(Box::new(m)))));
    }
    let after = v.frame(0.0);
    assert!(!before.is_empty());
    let stayed: Vec<_> = after.iter().filter(|t| before.contains(t)).cloned().collect();
    assert_eq!(before, stayed, "each text stands where it stood");
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
