//! Laying out and drawing text with the theme's sizes.

use std::sync::Arc;

use egui::text::{LayoutJob, TextFormat, TextWrapping};
use egui::{Align, Color32, FontFamily, FontId, Galley, Painter, Pos2, Rect, Ui, pos2};

use crate::ui::fonts::Weight;
use crate::ui::theme::{Size, Theme};

/// A style of text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ink {
    /// How large.
    pub size: Size,
    /// How heavy.
    pub weight: Weight,
    /// Which colour.
    pub color: Color32,
}

impl Ink {
    /// Regular text.
    #[must_use]
    pub fn new(size: Size, color: Color32) -> Self {
        Self { size, weight: Weight::Regular, color }
    }

    /// Medium.
    #[must_use]
    pub fn medium(self) -> Self {
        Self { weight: Weight::Medium, ..self }
    }

    /// Semibold.
    #[must_use]
    pub fn bold(self) -> Self {
        Self { weight: Weight::Semibold, ..self }
    }

    /// For a layout job.
    #[must_use]
    pub fn format(self, theme: &Theme) -> TextFormat {
        TextFormat {
            font_id: theme.font(self.size, self.weight),
            line_height: Some(theme.size(self.size).1),
            color: self.color,
            valign: Align::Center,
            ..TextFormat::default()
        }
    }

    /// A layout job that wraps at a width.
    #[must_use]
    pub fn job(self, theme: &Theme, text: &str, width: f32) -> LayoutJob {
        let mut job = LayoutJob::single_section(text.to_owned(), self.format(theme));
        job.wrap = TextWrapping { max_width: width, ..TextWrapping::default() };
        job
    }

    /// Text that wraps at a width.
    #[must_use]
    pub fn wrapped(self, ui: &Ui, theme: &Theme, text: &str, width: f32) -> Arc<Galley> {
        let job = self.job(theme, text, width);
        ui.fonts_mut(|f| f.layout_job(job))
    }

    /// One line, cut with an ellipsis at a width.
    #[must_use]
    pub fn line(self, ui: &Ui, theme: &Theme, text: &str, width: f32) -> Arc<Galley> {
        let mut job = self.job(theme, text, width.max(0.0));
        job.wrap.max_rows = 1;
        job.wrap.break_anywhere = true;
        job.break_on_newline = true;
        ui.fonts_mut(|f| f.layout_job(job))
    }
}

/// Small capitals above a section: wide apart.
#[must_use]
pub fn caption(ui: &Ui, theme: &Theme, text: &str) -> Arc<Galley> {
    let mut format = Ink::new(Size::Tiny, theme.muted).bold().format(theme);
    format.extra_letter_spacing = 0.6;
    let job = LayoutJob::single_section(text.to_owned(), format);
    ui.fonts_mut(|f| f.layout_job(job))
}

/// Code, in the typewriter font.
#[must_use]
pub fn mono(ui: &Ui, theme: &Theme, text: &str, color: Color32) -> Arc<Galley> {
    let (size, line) = theme.size(Size::Small);
    let format = TextFormat {
        font_id: FontId::new(size, FontFamily::Monospace),
        line_height: Some(line),
        color,
        ..TextFormat::default()
    };
    let job = LayoutJob::single_section(text.to_owned(), format);
    ui.fonts_mut(|f| f.layout_job(job))
}

/// Digits to be compared, in the typewriter font, large.
#[must_use]
pub fn figures(ui: &Ui, theme: &Theme, text: &str, color: Color32) -> Arc<Galley> {
    let (size, line) = theme.size(Size::Title);
    let font_id = FontId::new(size, FontFamily::Monospace);
    let format = TextFormat { font_id, line_height: Some(line), color, ..TextFormat::default() };
    let job = LayoutJob::single_section(text.to_owned(), format);
    ui.fonts_mut(|f| f.layout_job(job))
}

/// Draws a galley with its left middle at a point; answers its rectangle.
pub fn left(painter: &Painter, at: Pos2, galley: &Arc<Galley>) -> Rect {
    put(painter, pos2(at.x, at.y - galley.size().y / 2.0), galley)
}

/// Draws a galley with its right middle at a point; answers its rectangle.
pub fn right(painter: &Painter, at: Pos2, galley: &Arc<Galley>) -> Rect {
    put(painter, pos2(at.x - galley.size().x, at.y - galley.size().y / 2.0), galley)
}

/// Draws a galley around a point; answers its rectangle.
pub fn center(painter: &Painter, at: Pos2, galley: &Arc<Galley>) -> Rect {
    put(painter, at - galley.size() / 2.0, galley)
}

/// Draws a galley with its left top at a point; answers its rectangle.
pub fn put(painter: &Painter, at: Pos2, galley: &Arc<Galley>) -> Rect {
    let rect = Rect::from_min_size(at, galley.size());
    painter.galley(at, galley.clone(), Color32::PLACEHOLDER);
    rect
}
