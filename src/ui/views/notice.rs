//! What lies over the main part for a while: notices, the question about a network that was met, the last briefing.

use egui::{Align2, Area, Frame, Id, Margin, Order, Rect, Role, Sense, Shadow, Ui, UiBuilder, WidgetInfo, pos2, vec2};

use super::{Intents, Scene, briefing, network};
use crate::ui::intent::Intent;
use crate::ui::model::{Notice, View};
use crate::ui::paint::icons::{self, Icon};
use crate::ui::paint::text::{self, Ink};
use crate::ui::paint::widgets::icon_button;
use crate::ui::theme::Size;

/// Paints notices at the upper right of a rectangle; `details`: the details are on screen, and the briefing among them.
pub fn show(ui: &mut Ui, scene: &Scene<'_>, body: Rect, details: bool, out: &mut Intents) {
    let asks = scene.model.ask().filter(|_| scene.model.view != View::Network && !scene.model.first_start());
    let chats = matches!(scene.model.view, View::Chat | View::People) && !scene.model.first_start();
    let card = scene.model.briefing().filter(|_| chats && !details);
    if scene.model.notices().next().is_none() && asks.is_none() && card.is_none() {
        return;
    }
    let width = 360.0_f32.min(body.width() - 24.0);
    Area::new(Id::unique("notices"))
        .order(Order::Foreground)
        .pivot(Align2::RIGHT_TOP)
        .fixed_pos(pos2(body.right() - 16.0, body.top() + 66.0))
        .fade_in(false)
        .show(ui.ctx(), |ui| {
            ui.set_width(width);
            ui.spacing_mut().item_spacing.y = 8.0;
            if let Some(n) = asks {
                network::ask(ui, scene, n, out);
            }
            if let Some(b) = card {
                briefing::floating(ui, scene, b, out);
            }
            for n in scene.model.notices() {
                notice(ui, scene, n, out);
            }
        });
}

fn notice(ui: &mut Ui, scene: &Scene<'_>, n: &Notice, out: &mut Intents) {
    let theme = scene.theme;
    let (fill, ink) = if n.bad { (theme.alert_weak, theme.alert) } else { (theme.panel, theme.text) };
    Frame::new()
        .fill(fill)
        .stroke(theme.hairline())
        .corner_radius(12)
        .shadow(Shadow { offset: [0, 4], blur: 14, spread: 0, color: egui::Color32::from_black_alpha(28) })
        .inner_margin(Margin { left: 14, right: 8, top: 10, bottom: 10 })
        .show(ui, |ui| {
            let width = ui.available_width();
            let left = if n.bad { 26.0 } else { 0.0 };
            let galley = Ink::new(Size::Small, ink).medium().wrapped(ui, theme, &n.text, width - left - 34.0);
            let size = vec2(width, galley.size().y.max(24.0));
            let (rect, response) = ui.allocate_exact_size(size, Sense::hover());
            response.widget_info(|| WidgetInfo::labeled(Role::Label, true, &n.text));
            if n.bad {
                let at = Rect::from_center_size(pos2(rect.left() + 8.0, rect.center().y), vec2(17.0, 17.0));
                icons::icon(ui.painter(), at, Icon::Warning, theme.alert);
            }
            text::left(ui.painter(), rect.left_center() + vec2(left, 0.0), &galley);
            let at = Rect::from_center_size(pos2(rect.right() - 12.0, rect.center().y), vec2(24.0, 24.0));
            let child = ui.new_child(UiBuilder::new().id_salt(n.id).max_rect(at));
            if icon_button(&child, theme, at, Icon::Close, "Dismiss", theme.muted).clicked() {
                out.push(Intent::DismissNotice(n.id));
            }
        });
}
