//! Icons, drawn with lines of one width on a grid of 24.

use egui::epaint::{CubicBezierShape, PathStroke};
use egui::{Color32, Painter, Pos2, Rect, Stroke, StrokeKind, pos2, vec2};

/// What an icon shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Icon {
    /// Conversations.
    Chat,
    /// People.
    People,
    /// Networks.
    Network,
    /// Settings.
    Settings,
    /// Search.
    Search,
    /// Back.
    Back,
    /// Down to the newest.
    Down,
    /// Close.
    Close,
    /// The details column.
    Details,
    /// Look here.
    Warning,
}

/// Draws an icon into a square.
pub fn icon(painter: &Painter, rect: Rect, which: Icon, color: Color32) {
    let k = rect.width() / 24.0;
    let at = |x: f32, y: f32| rect.min + vec2(x, y) * k;
    let stroke = Stroke::new(1.7 * k.max(0.8), color);
    let lines = |points: &[(f32, f32)]| {
        painter.line(points.iter().map(|p| at(p.0, p.1)).collect(), PathStroke::from(stroke));
    };
    let circle = |x: f32, y: f32, r: f32| {
        painter.circle_stroke(at(x, y), r * k, stroke);
    };
    match which {
        Icon::Chat => {
            let outline = [(4.0, 5.0), (20.0, 5.0), (20.0, 16.0), (9.0, 16.0), (4.0, 20.0)];
            painter.add(egui::Shape::closed_line(outline.iter().map(|p| at(p.0, p.1)).collect(), stroke));
        }
        Icon::People => {
            circle(9.0, 8.0, 3.4);
            curve(painter, stroke, [at(3.0, 19.0), at(3.6, 12.8), at(14.4, 12.8), at(15.0, 19.0)]);
            curve(painter, stroke, [at(15.6, 5.0), at(19.2, 5.8), at(19.2, 10.6), at(15.6, 11.4)]);
            curve(painter, stroke, [at(17.2, 14.4), at(19.4, 14.9), at(20.7, 16.4), at(21.0, 19.0)]);
        }
        Icon::Network => {
            circle(12.0, 5.0, 2.3);
            circle(5.0, 18.0, 2.3);
            circle(19.0, 18.0, 2.3);
            lines(&[(10.9, 7.1), (6.1, 15.9)]);
            lines(&[(13.1, 7.1), (17.9, 15.9)]);
            lines(&[(7.3, 18.0), (16.7, 18.0)]);
        }
        Icon::Settings => {
            circle(12.0, 12.0, 3.2);
            for i in 0..8u8 {
                let a = f32::from(i) * std::f32::consts::TAU / 8.0;
                let (s, c) = a.sin_cos();
                lines(&[(12.0 + c * 6.2, 12.0 + s * 6.2), (12.0 + c * 9.0, 12.0 + s * 9.0)]);
            }
        }
        Icon::Search => {
            circle(10.5, 10.5, 5.5);
            lines(&[(14.7, 14.7), (19.5, 19.5)]);
        }
        Icon::Back => lines(&[(14.5, 5.0), (7.5, 12.0), (14.5, 19.0)]),
        Icon::Down => {
            lines(&[(12.0, 5.0), (12.0, 18.0)]);
            lines(&[(6.5, 12.8), (12.0, 18.3), (17.5, 12.8)]);
        }
        Icon::Close => {
            lines(&[(6.5, 6.5), (17.5, 17.5)]);
            lines(&[(17.5, 6.5), (6.5, 17.5)]);
        }
        Icon::Details => {
            let frame = Rect::from_min_max(at(3.5, 5.0), at(20.5, 19.0));
            painter.rect_stroke(frame, 3.0 * k, stroke, StrokeKind::Middle);
            lines(&[(14.5, 5.0), (14.5, 19.0)]);
        }
        Icon::Warning => {
            let outline = [(12.0, 4.0), (21.0, 19.5), (3.0, 19.5)];
            painter.add(egui::Shape::closed_line(outline.iter().map(|p| at(p.0, p.1)).collect(), stroke));
            lines(&[(12.0, 10.0), (12.0, 14.2)]);
            painter.circle_filled(at(12.0, 16.8), 1.1 * k, color);
        }
    }
}

fn curve(painter: &Painter, stroke: Stroke, points: [Pos2; 4]) {
    painter.add(CubicBezierShape::from_points_stroke(points, false, Color32::TRANSPARENT, stroke));
}

/// The cairn: four stones, the top one lit.
pub fn logo(painter: &Painter, rect: Rect, night: bool) {
    let k = rect.width() / 32.0;
    let stones = [
        (16.0, 26.0, 12.0, 4.4, 0x8f_a39b),
        (16.6, 18.4, 8.6, 3.8, 0xc3_d1ca),
        (15.4, 11.6, 5.8, 3.2, 0xe8_efeb),
        (16.3, 6.2, 3.2, 2.3, 0xf2_a65a),
    ];
    for (i, (x, y, rx, ry, hex)) in stones.into_iter().enumerate() {
        let hex: u32 = hex;
        let color = if night {
            Color32::from_rgb(70 + u8::try_from(i).unwrap_or(0) * 40, 14, 9)
        } else {
            Color32::from_rgb((hex >> 16) as u8, (hex >> 8) as u8, hex as u8)
        };
        let center = rect.min + vec2(x, y) * k;
        painter.add(egui::Shape::ellipse_filled(pos2(center.x, center.y), vec2(rx, ry) * k, color));
    }
}
