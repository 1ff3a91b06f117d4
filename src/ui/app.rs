//! The window on a desktop: eframe around [`Window`], the controller beside it.

use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use cairn_actors::handle::Handle;
use egui::{IconData, ViewportBuilder, ViewportCommand};
use jiff::tz::TimeZone;

use super::controller::{Controller, SavePreferences};
use super::model::{Clock, Model, Preferences};
use super::window::Window;
use crate::lock::ScreenLock;

/// How the window starts.
#[derive(Clone, Default)]
pub struct UiSettings {
    /// What it remembers from the last time.
    pub preferences: Preferences,
    /// Keeps what it should remember; called off the thread that paints.
    pub save: Option<SavePreferences>,
    /// A word behind the name in the title bar ("demo").
    pub title: Option<String>,
    /// The lock before what is shown; without one there is no passphrase.
    pub lock: Option<ScreenLock>,
}

/// Why there is no window.
#[derive(Debug, thiserror::Error)]
pub enum UiError {
    /// No display server is there, or it refuses us.
    #[error("there is no display to open a window on ({0})")]
    NoDisplay(String),
    /// The display is there, but no window can be drawn on it.
    #[error("the window could not be opened: {0}")]
    Window(String),
}

struct App {
    window: Window,
    controller: Controller,
    zone: TimeZone,
    title: String,
    shown: String,
}

impl App {
    fn clock(&self) -> Clock {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Clock { now: u64::try_from(now.as_millis()).unwrap_or(u64::MAX), zone: self.zone.clone() }
    }

    fn take_updates(&mut self) {
        while let Some(update) = self.controller.next() {
            for command in self.window.model.apply(update) {
                self.controller.send(command);
            }
        }
    }
}

impl eframe::App for App {
    fn logic(&mut self, ctx: &egui::Context, _frame: &mut eframe::Frame) {
        self.take_updates();
        // Also while it is hidden and nothing is painted.
        let now = self.clock().now;
        if let Some(command) = self.window.model.idle(now) {
            self.controller.send(command);
        }
        let title = match self.window.model.unread() {
            0 => self.title.clone(),
            n => format!("({n}) {}", self.title),
        };
        if title != self.shown {
            ctx.send_viewport_cmd(ViewportCommand::Title(title.clone()));
            self.shown = title;
        }
    }

    fn ui(&mut self, ui: &mut egui::Ui, _frame: &mut eframe::Frame) {
        let clock = self.clock();
        for command in self.window.frame(ui, &clock) {
            self.controller.send(command);
        }
    }

    fn clear_color(&self, _visuals: &egui::Visuals) -> [f32; 4] {
        self.window.theme().panel.to_normalized_gamma_f32()
    }
}

/// Opens the window and runs it until it is closed. Must be called on the main thread; `runtime` runs the node and
/// everything that waits.
///
/// # Errors
/// [`UiError::NoDisplay`] where there is no display, [`UiError::Window`] where nothing can be drawn on it.
pub fn run(handle: Handle, runtime: tokio::runtime::Handle, settings: UiSettings) -> Result<(), UiError> {
    display()?;
    let title = settings.title.as_ref().map_or_else(|| "Cairn".to_owned(), |t| format!("Cairn · {t}"));
    let viewport = ViewportBuilder::default()
        .with_title(&title)
        .with_app_id("cairn")
        .with_inner_size([1280.0, 800.0])
        .with_min_inner_size([420.0, 420.0])
        .with_icon(Arc::new(icon(128)));
    let options = eframe::NativeOptions { viewport, centered: true, ..eframe::NativeOptions::default() };
    let start = Box::new(move |cc: &eframe::CreationContext<'_>| {
        let ctx = cc.egui_ctx.clone();
        let lock = settings.lock.unwrap_or_else(|| ScreenLock::open(Path::new(""), None));
        let model = Model::new(settings.preferences);
        let window = Window::of(&ctx, if lock.is_locked() { model.waiting() } else { model });
        let wake = Arc::new(move || ctx.request_repaint());
        let controller = Controller::start(handle, lock, &runtime, settings.save, wake);
        let zone = TimeZone::system();
        let app = App { window, controller, zone, shown: title.clone(), title };
        Ok(Box::new(app) as Box<dyn eframe::App>)
    });
    eframe::run_native("cairn", options, start).map_err(|e| match e {
        eframe::Error::Winit(e) => UiError::NoDisplay(reason(&e.to_string())),
        eframe::Error::WinitEventLoop(e) => UiError::NoDisplay(reason(&e.to_string())),
        e => UiError::Window(e.to_string()),
    })
}

/// The last part of an error of the window system, which begins with the source file it comes from.
fn reason(error: &str) -> String {
    error.rsplit(": ").next().unwrap_or(error).trim().to_owned()
}

/// Where displays are named in the environment: whether one is.
fn display() -> Result<(), UiError> {
    if cfg!(all(unix, not(target_os = "macos"))) {
        let set = |name: &str| std::env::var_os(name).is_some_and(|v| !v.is_empty());
        if !["WAYLAND_DISPLAY", "WAYLAND_SOCKET", "DISPLAY"].into_iter().any(set) {
            return Err(UiError::NoDisplay("neither WAYLAND_DISPLAY nor DISPLAY is set".into()));
        }
    }
    Ok(())
}

/// The window's icon: the cairn on a rounded dark square, drawn here so that no picture has to be decoded.
#[must_use]
pub fn icon(side: u16) -> IconData {
    const STONES: [(f32, f32, f32, f32, [u8; 3]); 4] = [
        (16.0, 25.0, 11.0, 4.2, [0x8f, 0xa3, 0x9b]),
        (16.6, 18.0, 8.0, 3.6, [0xc3, 0xd1, 0xca]),
        (15.4, 11.8, 5.5, 3.0, [0xe8, 0xef, 0xeb]),
        (16.3, 6.9, 3.0, 2.2, [0xf2, 0xa6, 0x5a]),
    ];
    const GROUND: [u8; 3] = [0x22, 0x30, 0x2d];
    let color = |x: f32, y: f32| -> Option<[u8; 3]> {
        let stone = STONES.iter().find(|s| ((x - s.0) / s.2).powi(2) + ((y - s.1) / s.3).powi(2) <= 1.0);
        if let Some(s) = stone {
            return Some(s.4);
        }
        let (dx, dy) = ((x - 16.0).abs() - 9.0, (y - 16.0).abs() - 9.0);
        (dx.max(0.0).hypot(dy.max(0.0)) <= 7.0).then_some(GROUND)
    };
    let mut rgba = Vec::with_capacity(usize::from(side) * usize::from(side) * 4);
    let unit = 32.0 / f32::from(side);
    for py in 0..side {
        for px in 0..side {
            // Sixteen points a pixel.
            let mut sum = [0u32; 4];
            for i in 0..16u16 {
                let x = (f32::from(px) + (f32::from(i % 4) + 0.5) / 4.0) * unit;
                let y = (f32::from(py) + (f32::from(i / 4) + 0.5) / 4.0) * unit;
                if let Some(c) = color(x, y) {
                    sum.iter_mut().zip(c).for_each(|(s, c)| *s += u32::from(c));
                    sum[3] += 1;
                }
            }
            let n = sum[3].max(1);
            let part = |v: u32| u8::try_from(v / n).unwrap_or(u8::MAX);
            let alpha = u8::try_from(sum[3] * 255 / 16).unwrap_or(u8::MAX);
            rgba.extend([part(sum[0]), part(sum[1]), part(sum[2]), alpha]);
        }
    }
    IconData { rgba, width: u32::from(side), height: u32::from(side) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_told_without_source_files() {
        assert_eq!(reason("os error at /a/b.rs:7: Failed to open connection"), "Failed to open connection");
        assert_eq!(reason("plain"), "plain");
    }

    #[test]
    fn the_icon_is_a_cairn_with_clear_corners() {
        let i = icon(32);
        assert_eq!(i.rgba.len(), 32 * 32 * 4);
        let at = |x: usize, y: usize| i.rgba.get((y * 32 + x) * 4..(y * 32 + x) * 4 + 4).unwrap().to_vec();
        assert_eq!(at(0, 0)[3], 0);
        assert_eq!(at(16, 25), [0x8f, 0xa3, 0x9b, 255]);
        assert_eq!(at(3, 16), [0x22, 0x30, 0x2d, 255]);
    }
}
