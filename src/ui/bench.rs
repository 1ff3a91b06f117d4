//! How long a frame takes on the processor while a long history is scrolled: model, layout, paint and tessellation,
//! without the graphics card.

use std::time::{Duration, Instant};

use egui::{Event, Modifiers, MouseWheelUnit, RawInput, Rect, TouchPhase, pos2, vec2};

use super::sample;
use super::window::Window;

/// What [`bench_scroll`] measured.
#[derive(Debug, Clone)]
pub struct FrameTimes {
    /// Messages in the history.
    pub messages: u64,
    /// Frames measured.
    pub frames: usize,
    /// Half of the frames took at most this.
    pub median: Duration,
    /// 99 of 100 frames took at most this.
    pub p99: Duration,
    /// The slowest frame.
    pub max: Duration,
    /// The first frame, which fills the font atlas.
    pub first: Duration,
    /// Primitives of the last frame: proof that something was painted.
    pub primitives: usize,
}

/// Scrolls a history of `n` messages up with the wheel, then from end to end with the scroll bar, in a window of
/// 1280 by 800 points, and measures every frame.
#[must_use]
pub fn bench_scroll(n: u64) -> FrameTimes {
    scroll(n, 600)
}

/// [`bench_scroll`] with a number of frames.
#[must_use]
pub fn scroll(n: u64, frames: usize) -> FrameTimes {
    let ctx = egui::Context::default();
    let mut window = Window::of(&ctx, sample::long_model(n));
    let clock = sample::clock();
    let screen = Rect::from_min_size(pos2(0.0, 0.0), vec2(1280.0, 800.0));
    let mut times = Vec::with_capacity(frames);
    let (mut first, mut primitives) = (Duration::ZERO, 0);
    let bar = pos2(994.0, 690.0);
    for frame in 0..frames {
        let mut events = vec![Event::PointerMoved(pos2(650.0, 400.0))];
        if frame < frames / 2 {
            events.push(Event::MouseWheel {
                unit: MouseWheelUnit::Point,
                delta: vec2(0.0, 240.0),
                phase: TouchPhase::Move,
                source: egui::MouseWheelSource::Wheel,
                modifiers: Modifiers::NONE,
            });
        } else {
            // Drag the thumb up and down the whole bar.
            let share = (frame - frames / 2) as f32 / (frames / 2) as f32;
            let y = 70.0 + 600.0 * (1.0 - (share * 2.0 - 1.0).abs());
            events = vec![Event::PointerMoved(if frame == frames / 2 { bar } else { pos2(bar.x, y) })];
            if frame == frames / 2 {
                events.push(Event::PointerButton {
                    pos: bar,
                    button: egui::PointerButton::Primary,
                    pressed: true,
                    modifiers: Modifiers::NONE,
                });
            }
        }
        let input = RawInput {
            screen_rect: Some(screen),
            time: Some(frame as f64 / 60.0),
            focused: true,
            events,
            ..RawInput::default()
        };
        let start = Instant::now();
        let output = ctx.run_ui(input, |ui| {
            let _ = window.frame(ui, &clock);
        });
        let shapes = ctx.tessellate(output.shapes.clone(), output.pixels_per_point);
        let took = start.elapsed();
        primitives = shapes.len();
        output.drop_without_applying_deltas();
        if frame == 0 {
            first = took;
        } else {
            times.push(took);
        }
    }
    times.sort();
    let at = |share: f64| {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a length")]
        let i = (times.len() as f64 * share) as usize;
        times.get(i.min(times.len().saturating_sub(1))).copied().unwrap_or_default()
    };
    FrameTimes {
        messages: n,
        frames: times.len(),
        median: at(0.5),
        p99: at(0.99),
        max: times.last().copied().unwrap_or_default(),
        first,
        primitives,
    }
}
