//! What sheets that lie over the window have in common: the sheet itself, QR codes on it, and what is dropped onto it.

use egui::{
    Area, Color32, Event, Frame, Id, Margin, Order, Rect, Role, ScrollArea, Sense, Shadow, StrokeKind, Ui, WidgetInfo,
    pos2, vec2,
};

use crate::qr::Qr;
use crate::ui::model::verify::CodeFrom;
use crate::ui::paint::icons::{self, Icon};
use crate::ui::paint::text::{self, Ink};
use crate::ui::paint::widgets::icon_button;
use crate::ui::theme::{Scheme, Size, Theme};

/// Paints a sheet: its name among the sheets, its width where there is room, its title. Answers whether the person closed
/// it, with its button or beside it.
pub fn show(
    ui: &mut Ui,
    theme: &Theme,
    all: Rect,
    (name, width, title): (&str, f32, &str),
    add: impl FnOnce(&mut Ui),
) -> bool {
    let veil = Area::new(Id::unique((name, "veil"))).order(Order::Foreground).fixed_pos(all.min).fade_in(false);
    let behind = veil.show(ui.ctx(), |ui| {
        let (rect, response) = ui.allocate_exact_size(all.size(), Sense::click() - Sense::FOCUSABLE);
        ui.painter().rect_filled(rect, 0.0, Color32::from_black_alpha(90));
        response.clicked()
    });
    let width = width.min(all.width() - 24.0);
    let top = (all.height() * 0.06).clamp(12.0, 60.0);
    let at = pos2(all.center().x - width / 2.0, all.top() + top);
    let sheet = Area::new(Id::unique(name)).order(Order::Tooltip).fixed_pos(at).fade_in(false);
    let closed = sheet.show(ui.ctx(), |ui| {
        let frame = Frame::new()
            .fill(theme.panel)
            .stroke(theme.hairline())
            .corner_radius(14)
            .shadow(Shadow { offset: [0, 12], blur: 40, spread: 0, color: Color32::from_black_alpha(70) })
            .inner_margin(Margin::symmetric(20, 16));
        frame.show(ui, |ui| {
            ui.set_width(width - 40.0);
            let closed = head(ui, theme, title);
            // As high as its content at once, though the sheet was lower in the frame before.
            let height = all.height() - 2.0 * top - 90.0;
            ScrollArea::vertical().max_height(height).min_scrolled_height(height).show(ui, |ui| {
                ui.spacing_mut().item_spacing.y = 6.0;
                add(ui);
            });
            closed
        })
    });
    behind.inner || closed.inner.inner
}

fn head(ui: &mut Ui, theme: &Theme, title: &str) -> bool {
    let (row, response) = ui.allocate_exact_size(vec2(ui.available_width(), 34.0), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Heading, true, title));
    let galley = Ink::new(Size::Large, theme.text).bold().line(ui, theme, title, row.width() - 44.0);
    text::left(ui.painter(), row.left_center(), &galley);
    let at = Rect::from_min_size(pos2(row.right() - 34.0, row.top()), vec2(34.0, 34.0));
    icon_button(ui, theme, at, Icon::Close, "Close", theme.muted).clicked()
}

/// A QR code, `label` for those who can't see it. Dark on light in every scheme, since readers need it so; at night in its
/// red.
pub fn qr(ui: &mut Ui, theme: &Theme, code: &Qr, label: &str) {
    let side = 190.0_f32;
    let (rect, response) = ui.allocate_exact_size(vec2(side, side), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, label));
    let (light, dark) = match theme.scheme {
        Scheme::Night => (theme.text, theme.panel),
        _ => (Color32::WHITE, Color32::BLACK),
    };
    ui.painter().rect_filled(rect, 6.0, light);
    let cell = side / code.side() as f32;
    let edge = |v: u32, from: f32| from + (v as f32 * cell).round();
    for y in 0..code.side() {
        for x in (0..code.side()).filter(|x| code.is_dark(*x, y)) {
            let min = pos2(edge(x, rect.left()), edge(y, rect.top()));
            let max = pos2(edge(x + 1, rect.left()), edge(y + 1, rect.top()));
            ui.painter().rect_filled(Rect::from_min_max(min, max), 0.0, dark);
        }
    }
    ui.painter().rect_stroke(rect, 6.0, theme.hairline(), StrokeKind::Inside);
}

/// A sentence on a ground of its own.
pub fn said(ui: &mut Ui, theme: &Theme, sentence: &str, fill: Color32, ink: Color32, icon: Icon) {
    Frame::new().fill(fill).corner_radius(10).inner_margin(Margin::symmetric(12, 9)).show(ui, |ui| {
        let width = ui.available_width();
        let galley = Ink::new(Size::Small, ink).medium().wrapped(ui, theme, sentence, width - 28.0);
        let (rect, response) = ui.allocate_exact_size(vec2(width, galley.size().y.max(18.0)), Sense::hover());
        response.widget_info(|| WidgetInfo::labeled(Role::Label, true, sentence));
        let at = Rect::from_center_size(pos2(rect.left() + 9.0, rect.top() + 9.0), vec2(17.0, 17.0));
        icons::icon(ui.painter(), at, icon, ink);
        text::put(ui.painter(), rect.min + vec2(28.0, 0.0), &galley);
    });
}

/// What was pasted or dropped in this frame: text, and pictures.
pub fn brought(ui: &Ui) -> (Option<String>, Vec<CodeFrom>) {
    ui.input(|input| {
        let (mut text, mut rest) = (None, Vec::new());
        for event in &input.events {
            match event {
                Event::Paste(pasted) => text = Some(pasted.clone()),
                Event::PasteImage(image) => {
                    let side = |v: usize| u32::try_from(v).unwrap_or(u32::MAX);
                    let [width, height] = image.size.map(side);
                    let pixels = image.pixels.iter().flat_map(|p| p.to_srgba_unmultiplied()).collect();
                    rest.push(CodeFrom::Pixels(width, height, pixels));
                }
                _ => {}
            }
        }
        rest.extend(input.raw.dropped_files.iter().map(|file| CodeFrom::File(file.path().to_owned())));
        (text, rest)
    })
}
