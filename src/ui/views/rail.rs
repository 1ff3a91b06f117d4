//! The rail at the left: the cairn, the main views, settings, oneself.

use egui::{Color32, CursorIcon, Rect, Role, Sense, Ui, WidgetInfo, pos2, vec2};

use super::{Intents, Scene};
use crate::ui::intent::Intent;
use crate::ui::model::View;
use crate::ui::paint::icons::{self, Icon};
use crate::ui::paint::widgets::focus_ring;
use crate::ui::paint::{avatar, text, text::Ink};
use crate::ui::theme::{Scheme, Size};

/// Paints the rail.
pub fn show(ui: &mut Ui, scene: &Scene<'_>, out: &mut Intents) {
    let (theme, rect) = (scene.theme, ui.max_rect());
    ui.painter().rect_filled(rect, 0.0, theme.rail);
    let x = rect.center().x;
    let logo = Rect::from_center_size(pos2(x, rect.top() + 29.0), vec2(30.0, 30.0));
    icons::logo(ui.painter(), logo, theme.scheme == Scheme::Night);
    let entries = [
        (Icon::Chat, View::Chat, "Conversations"),
        (Icon::People, View::People, "People"),
        (Icon::Network, View::Network, "Network"),
    ];
    let mut y = rect.top() + 82.0;
    for (icon, view, label) in entries {
        let badge = if view == View::Chat { scene.model.unread() } else { 0 };
        let asks = view == View::Network && scene.model.ask().is_some();
        item(ui, scene, pos2(x, y), icon, view, label, badge, asks, out);
        y += 46.0;
    }
    let bottom = rect.bottom() - 31.0;
    item(ui, scene, pos2(x, bottom - 44.0), Icon::Settings, View::Settings, "Settings", 0, false, out);
    if let Some(status) = &scene.model.status {
        let picture = Rect::from_center_size(pos2(x, bottom), vec2(34.0, 34.0));
        let label = format!("You: {}", status.name);
        let response = ui.interact(picture, ui.scope_id().with("me"), Sense::click());
        response.widget_info(|| WidgetInfo::labeled(Role::Button, true, &label));
        avatar::picture(ui, theme, picture, &status.id.0, Some(&status.name));
        focus_ring(ui, theme, &response, picture.expand(3.0), 12.0);
        if response.on_hover_cursor(CursorIcon::PointingHand).on_hover_text(&label).clicked() {
            out.push(Intent::Show(View::Settings));
        }
    }
}

#[expect(clippy::too_many_arguments, reason = "one call a line above; a struct would only rename them")]
fn item(
    ui: &Ui,
    scene: &Scene<'_>,
    at: egui::Pos2,
    which: Icon,
    view: View,
    label: &str,
    badge: u64,
    asks: bool,
    out: &mut Intents,
) {
    let theme = scene.theme;
    let rect = Rect::from_center_size(at, vec2(40.0, 40.0));
    let on = scene.model.view == view;
    let response = ui.interact(rect, ui.scope_id().with(label), Sense::click());
    let spoken = if badge > 0 { format!("{label}, {badge} unread") } else { label.to_owned() };
    response.widget_info(|| WidgetInfo::selected(Role::Button, true, on, &spoken));
    if on || response.hovered() {
        let fill = if on { theme.rail_mark } else { theme.rail_mark.gamma_multiply(0.5) };
        ui.painter().rect_filled(rect, 10.0, fill);
    }
    let color = match (on, theme.scheme) {
        (true, Scheme::Night) => theme.text,
        (true, _) => Color32::WHITE,
        (false, _) => theme.rail_text,
    };
    icons::icon(ui.painter(), Rect::from_center_size(at, vec2(21.0, 21.0)), which, color);
    if badge > 0 && !on {
        let count = if badge > 99 { "99+".to_owned() } else { badge.to_string() };
        let galley = Ink::new(Size::Tiny, theme.on_accent).bold().line(ui, theme, &count, 40.0);
        let pill = Rect::from_center_size(at + vec2(12.0, -12.0), vec2(galley.size().x.max(7.0) + 9.0, 16.0));
        ui.painter().rect_filled(pill.expand(1.5), 9.5, theme.rail);
        ui.painter().rect_filled(pill, 8.0, theme.accent);
        text::center(ui.painter(), pill.center(), &galley);
    }
    if asks {
        ui.painter().circle_filled(at + vec2(13.0, -13.0), 6.0, theme.rail);
        ui.painter().circle_filled(at + vec2(13.0, -13.0), 4.2, theme.away);
    }
    focus_ring(ui, theme, &response, rect, 10.0);
    if response.on_hover_cursor(CursorIcon::PointingHand).on_hover_text(label).clicked() {
        out.push(Intent::Show(view));
    }
}
