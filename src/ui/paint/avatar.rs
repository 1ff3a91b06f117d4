//! Pictures of people and rooms: initials on a muted colour that comes from the key, the identicon of a key, the dot
//! that says whether somebody is here, and the badge that says how well they are known.

use cairn_actors::api::{Badge, PeerState};
use cairn_crdt::ids::domain_hash;
use egui::{Color32, Painter, Pos2, Rect, Stroke, StrokeKind, Ui, pos2, vec2};

use super::text::{self, Ink};
use crate::ui::model::format::initials;
use crate::ui::theme::{Size, Theme};

/// Initials on the colour of a key. `None` as a name draws the star of an Everyone room.
pub fn picture(ui: &Ui, theme: &Theme, rect: Rect, key: &[u8; 32], name: Option<&str>) {
    let painter = ui.painter();
    let radius = rect.width() * 0.29;
    let ground = if name.is_some() { theme.person(key) } else { theme.room() };
    painter.rect_filled(rect, radius, ground);
    match name {
        Some(name) => {
            let letters = initials(name);
            let size = if rect.width() > 50.0 { Size::Large } else { Size::Small };
            let galley = Ink::new(size, theme.on_person()).bold().line(ui, theme, &letters, rect.width());
            text::center(painter, rect.center(), &galley);
        }
        None => star(painter, rect.center(), rect.width() * 0.2, theme.on_person()),
    }
}

fn star(painter: &Painter, center: Pos2, radius: f32, color: Color32) {
    // Five kites around the middle: epaint fills convex shapes only.
    let at = |i: f32, r: f32| {
        let a = std::f32::consts::PI * (i / 5.0 - 0.5);
        center + vec2(a.cos(), a.sin()) * r
    };
    for i in 0..5u8 {
        let tip = f32::from(i) * 2.0;
        let kite = vec![center, at(tip - 1.0, radius * 0.5), at(tip, radius), at(tip + 1.0, radius * 0.5)];
        painter.add(egui::Shape::convex_polygon(kite, color, Stroke::new(0.5, color)));
    }
}

/// The identicon of a key: five by five squares, the same left and right.
pub fn identicon(painter: &Painter, theme: &Theme, rect: Rect, key: &[u8; 32]) {
    painter.rect_filled(rect, rect.width() * 0.2, theme.chip);
    let cell = rect.width() / 7.0;
    let color = theme.person(key);
    // A hash, so that keys that begin alike look nothing alike.
    let hash = domain_hash("cairn 2026 identicon", &[key]);
    for column in 0..3u8 {
        for row in 0..5u8 {
            let bit = usize::from(column) * 5 + usize::from(row);
            let byte = hash.get(bit).copied().unwrap_or(0);
            if byte >= 0x80 {
                for x in [column, 4 - column] {
                    let min = rect.min + vec2(cell * (f32::from(x) + 1.0), cell * (f32::from(row) + 1.0));
                    painter.rect_filled(Rect::from_min_size(min, vec2(cell + 0.3, cell + 0.3)), 0.0, color);
                }
            }
        }
    }
}

/// The dot at the lower right of a picture; `ground` is what lies around it.
pub fn presence(painter: &Painter, theme: &Theme, picture: Rect, state: PeerState, ground: Color32) {
    let at = picture.right_bottom() - vec2(3.0, 3.0);
    let color = match state {
        PeerState::Online => theme.here,
        PeerState::Away => theme.away,
        PeerState::Offline => theme.faint,
    };
    painter.circle_filled(at, 6.5, ground);
    if state == PeerState::Offline {
        // Told apart without colour, too: a ring.
        painter.circle_stroke(at, 3.5, Stroke::new(1.6, color));
    } else {
        painter.circle_filled(at, 4.2, color);
    }
}

/// The badge beside a name, with its left middle at a point; answers how wide it is.
pub fn badge(painter: &Painter, theme: &Theme, left: Pos2, badge: Badge) -> f32 {
    let center = pos2(left.x + 7.0, left.y);
    match badge {
        Badge::Verified => {
            painter.circle_filled(center, 7.0, theme.accent);
            let tick = vec![center + vec2(-3.0, 0.2), center + vec2(-0.9, 2.3), center + vec2(3.1, -2.2)];
            painter.line(tick, Stroke::new(1.6, theme.on_accent));
        }
        Badge::Warning => {
            let corners = [center + vec2(0.0, -7.0), center + vec2(7.5, 6.0), center + vec2(-7.5, 6.0)];
            painter.add(egui::Shape::convex_polygon(corners.to_vec(), theme.alert, Stroke::NONE));
            painter.line_segment([center + vec2(0.0, -3.0), center + vec2(0.0, 1.6)], Stroke::new(1.6, theme.panel));
            painter.circle_filled(center + vec2(0.0, 3.9), 1.0, theme.panel);
        }
        Badge::Contact => {
            painter.circle_filled(center, 7.0, theme.faint);
            painter.circle_filled(center + vec2(0.0, -1.8), 1.9, theme.panel);
            let shoulders = Rect::from_center_size(center + vec2(0.0, 2.9), vec2(6.2, 3.2));
            painter.rect_filled(shoulders, egui::CornerRadius { nw: 2, ne: 2, sw: 1, se: 1 }, theme.panel);
        }
        Badge::Unknown => {
            painter.rect_stroke(
                Rect::from_center_size(center, vec2(13.0, 13.0)),
                6.5,
                Stroke::new(1.4, theme.faint),
                StrokeKind::Inside,
            );
        }
    }
    14.0
}
