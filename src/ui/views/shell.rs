//! The window: rail, list, main part, details, status line, and what lies over them. Columns fold away in narrow
//! windows.

use egui::{Rect, Ui, pos2};

use super::{
    Intents, Scene, conversation, details, first_start, key, list, lock, network, notice, palette, rail, settings,
    status, verify,
};
use crate::ui::model::View;
use crate::ui::paint::widgets::within;

/// Width of the rail.
pub const RAIL: f32 = 56.0;
/// Width of the list.
pub const LIST: f32 = 288.0;
/// Width of the details.
pub const DETAILS: f32 = 280.0;
/// Height of the status line.
pub const STATUS: f32 = 28.0;
/// Below this width the details fold away.
pub const WITH_DETAILS: f32 = 1_100.0;
/// Details stand beside a conversation that is at least this wide, else over it.
const BESIDE: f32 = 340.0;
/// Below this width the list and the conversation take turns.
pub const WITH_LIST: f32 = 760.0;

/// Paints the whole window.
pub fn show(ui: &mut Ui, scene: &Scene<'_>, out: &mut Intents) {
    let all = ui.ctx().content_rect();
    ui.set_clip_rect(all);
    ui.painter().rect_filled(all, 0.0, scene.theme.panel);
    if let Some(locked) = &scene.model.locked {
        lock::show(ui, scene, locked, all, out);
        return;
    }
    if scene.model.first_start() {
        first_start::show(ui, scene, all, out);
        notice::show(ui, scene, all, false, out);
        return;
    }
    let wide = all.width();
    let rail_rect = Rect::from_min_max(all.min, pos2(all.left() + RAIL, all.bottom()));
    let status_rect = Rect::from_min_max(pos2(rail_rect.right(), all.bottom() - STATUS), all.max);
    let body = Rect::from_min_max(pos2(rail_rect.right(), all.top()), pos2(all.right(), status_rect.top()));
    within(ui, "rail", rail_rect, |ui| rail::show(ui, scene, out));

    let view = scene.model.view;
    let has_list = matches!(view, View::Chat | View::People);
    let narrow = wide < WITH_LIST;
    let show_list = has_list && (!narrow || scene.model.list_on_top || scene.model.open.is_none());
    let (mut main, mut has_details) = (body, false);
    if show_list {
        let right = if narrow { body.right() } else { body.left() + LIST };
        let rect = Rect::from_min_max(body.min, pos2(right, body.bottom()));
        within(ui, "list", rect, |ui| list::show(ui, scene, out));
        main.min.x = right;
    }
    if main.width() > 1.0 {
        let wants = if scene.model.roomy { scene.model.preferences.details } else { scene.model.details_on_top };
        has_details = has_list && scene.model.open.is_some() && wants;
        let side = Rect::from_min_max(pos2((body.right() - DETAILS).max(main.left()), body.top()), body.max);
        let beside = main.width() - DETAILS >= BESIDE;
        if has_details && beside {
            main.max.x = side.left();
        }
        within(ui, "main", main, |ui| match view {
            View::Chat | View::People => conversation::show(ui, scene, narrow, out),
            View::Network => network::show(ui, scene, out),
            View::Settings => settings::show(ui, scene, out),
        });
        if has_details {
            within(ui, "details", side, |ui| details::show(ui, scene, !beside, out));
        }
    }
    within(ui, "status", status_rect, |ui| status::show(ui, scene, out));
    notice::show(ui, scene, body, has_details, out);
    verify::show(ui, scene, all, out);
    key::show(ui, scene, all, out);
    palette::show(ui, scene, all, out);
}
