//! The network page: the question about a network that was met, networks, interfaces, and who is reached where.

use cairn_actors::api::{LinkState, Network, NetworkState, Peer, PeerState};
use egui::{Frame, Id, Margin, Rect, Role, ScrollArea, Sense, Ui, UiBuilder, WidgetInfo, pos2, vec2};

use super::{Intents, Scene, first_start};
use crate::ui::intent::{Intent, NameField};
use crate::ui::model::format;
use crate::ui::paint::avatar;
use crate::ui::paint::text::{self, Ink};
use crate::ui::paint::widgets::{Kind, button, button_enabled, card, field, focus_ring, pair, paragraph, within};
use crate::ui::theme::Size;

/// Width of the second column.
const ASIDE: f32 = 380.0;
/// Two columns from this width on.
const TWO: f32 = 820.0;

/// Paints the page.
pub fn show(ui: &mut Ui, scene: &Scene<'_>, out: &mut Intents) {
    let (theme, rect) = (scene.theme, ui.max_rect());
    let two = rect.width() >= TWO;
    let mut left = rect;
    if two {
        let right = Rect::from_min_max(pos2(rect.right() - ASIDE, rect.top()), rect.max);
        left.max.x = right.left();
        ui.painter().rect_filled(left, 0.0, theme.panel);
        ui.painter().rect_filled(right, 0.0, theme.background);
        ui.painter().vline(right.left() + 0.5, right.y_range(), theme.hairline());
        column(ui, "network aside", right.shrink2(vec2(20.0, 0.0)), |ui| {
            networks(ui, scene, out);
            names(ui, scene, out);
            key(ui, scene, out);
            interfaces(ui, scene);
        });
    } else {
        ui.painter().rect_filled(left, 0.0, theme.background);
    }
    column(ui, "network page", left.shrink2(vec2(26.0, 0.0)), |ui| {
        paragraph(ui, theme, "Network", Ink::new(Size::Large, theme.text).bold());
        paragraph(ui, theme, &summary(scene), Ink::new(Size::Small, theme.muted));
        ui.add_space(12.0);
        for n in scene.model.networks.iter().filter(|n| n.state == NetworkState::Asking) {
            ask(ui, scene, n, out);
            ui.add_space(12.0);
        }
        for trouble in scene.model.status.iter().flat_map(|s| &s.troubles) {
            card(ui, theme, "", |ui| {
                paragraph(ui, theme, trouble, Ink::new(Size::Body, theme.alert));
            });
        }
        if !two {
            networks(ui, scene, out);
            names(ui, scene, out);
            key(ui, scene, out);
            interfaces(ui, scene);
        }
        people(ui, scene, out);
    });
}

fn column(ui: &mut Ui, name: &str, rect: Rect, add: impl FnOnce(&mut Ui)) {
    within(ui, name, rect, |ui| {
        ScrollArea::vertical().id_salt(name).auto_shrink([false, false]).show(ui, |ui| {
            ui.add_space(20.0);
            add(ui);
            ui.add_space(16.0);
        });
    });
}

fn summary(scene: &Scene<'_>) -> String {
    let here = scene.model.peers.values().filter(|p| p.state != PeerState::Offline).count() as u64;
    match scene.model.status.as_ref().map(|s| &s.link) {
        None => "Starting".into(),
        Some(LinkState::NoNetwork) => "No network: plug in a cable or join a Wi-Fi".into(),
        Some(LinkState::Alone) => "Nobody else is in reach. Looking all the time.".into(),
        Some(LinkState::Online) => {
            format!("{} in reach · nothing leaves this network", format::count(here, "laptop", "laptops"))
        }
    }
}

/// What to call a network that has no name.
fn title(n: &Network) -> String {
    if n.name.is_empty() { format!("Network {}", n.id.short()) } else { n.name.clone() }
}

/// The card that asks whether to join a network that was met. Also shown over the conversation.
pub fn ask(ui: &mut Ui, scene: &Scene<'_>, n: &Network, out: &mut Intents) {
    let theme = scene.theme;
    Frame::new()
        .fill(theme.warning_weak)
        .stroke(egui::Stroke::new(1.0, theme.warning.gamma_multiply(0.6)))
        .corner_radius(12)
        .inner_margin(Margin::symmetric(16, 14))
        .show(ui, |ui| {
            ui.set_width(ui.available_width());
            ui.spacing_mut().item_spacing.y = 4.0;
            let head = format!("You met another network: {}", title(n));
            paragraph(ui, theme, &head, Ink::new(Size::Body, theme.text).bold());
            let words = format!(
                "{} of it here. If you join, its Everyone room and its people appear beside yours, and they can read \
                 what you say there. Direct messages work either way.",
                format::count(u64::from(n.here), "laptop", "laptops")
            );
            paragraph(ui, theme, &words, Ink::new(Size::Small, theme.text));
            ui.add_space(6.0);
            ui.horizontal(|ui| {
                if button(ui, theme, "Join theirs too", Kind::Primary).clicked() {
                    out.push(Intent::JoinNetwork(n.id));
                }
                if button(ui, theme, "Keep apart", Kind::Plain).clicked() {
                    out.push(Intent::KeepApart(n.id));
                }
            });
        });
}

fn networks(ui: &mut Ui, scene: &Scene<'_>, out: &mut Intents) {
    let theme = scene.theme;
    card(ui, theme, "Networks", |ui| {
        let known: Vec<&Network> = scene.model.networks.iter().filter(|n| n.state != NetworkState::Asking).collect();
        if known.is_empty() {
            paragraph(ui, theme, "None yet. One begins by itself in a moment.", Ink::new(Size::Small, theme.muted));
        }
        for n in known {
            let what = match (n.state, n.primary) {
                (NetworkState::Joined, true) => "yours",
                (NetworkState::Joined, false) => "joined",
                _ => "kept apart",
            };
            let here = format!("{} · {} here", title(n), n.here);
            if n.state == NetworkState::Apart {
                let (row, response) = ui.allocate_exact_size(vec2(ui.available_width(), 32.0), Sense::hover());
                let words = format!("{here} · {what}");
                let galley = Ink::new(Size::Small, theme.muted).line(ui, theme, &words, row.width() - 70.0);
                text::left(ui.painter(), row.left_center(), &galley);
                response.widget_info(|| WidgetInfo::labeled(Role::Label, true, &words));
                let layout = egui::Layout::right_to_left(egui::Align::Center);
                let mut child = ui.new_child(UiBuilder::new().id_salt(n.id.0).max_rect(row).layout(layout));
                if button(&mut child, theme, "Join", Kind::Plain).clicked() {
                    out.push(Intent::JoinNetwork(n.id));
                }
            } else {
                pair(ui, theme, &here, what, if n.primary { theme.accent } else { theme.text });
            }
        }
    });
}

/// A card for each network that one is in, to name it.
fn names(ui: &mut Ui, scene: &Scene<'_>, out: &mut Intents) {
    let theme = scene.theme;
    for n in scene.model.networks.iter().filter(|n| n.state == NetworkState::Joined) {
        let head = if n.primary { "Name of your network".to_owned() } else { format!("Name of {}", title(n)) };
        card(ui, theme, &head, |ui| {
            let what = NameField::Network(n.id);
            let mut value = scene.model.name_field(what);
            let hint = format!("Network {}", n.id.short());
            let (response, entered) = field(ui, theme, Id::unique(("network name", n.id.0)), &head, &hint, &mut value);
            if response.changed() {
                out.push(Intent::EditName(what, value.clone()));
            }
            let changed = value.trim() != n.name;
            let problem = first_start::problem(&value).filter(|_| changed);
            let words = problem.unwrap_or("Everybody in it sees this name and may change it.");
            let color = if problem.is_some() { theme.alert } else { theme.muted };
            paragraph(ui, theme, words, Ink::new(Size::Small, color));
            ui.add_space(2.0);
            let ready = changed && problem.is_none();
            let pressed = button_enabled(ui, theme, "Name it", Kind::Plain, ready).clicked();
            if (pressed || entered) && ready {
                out.push(Intent::NameNetwork(n.id, value));
            }
        });
    }
}

/// The network's key at a glance.
fn key(ui: &mut Ui, scene: &Scene<'_>, out: &mut Intents) {
    let theme = scene.theme;
    let Some(status) = &scene.model.status else { return };
    card(ui, theme, "Network key", |ui| {
        let (words, what) = match &status.network_key {
            None => ("None: everybody on this LAN finds you.", "Set a key…"),
            Some(_) => ("Only laptops that have it find you.", "Show or change it…"),
        };
        if let Some(key) = &status.network_key {
            pair(ui, theme, "Code", &key.code, theme.text);
        }
        paragraph(ui, theme, words, Ink::new(Size::Small, theme.muted));
        ui.add_space(2.0);
        if button(ui, theme, what, Kind::Plain).clicked() {
            out.push(Intent::KeySheet(true));
        }
    });
}

fn interfaces(ui: &mut Ui, scene: &Scene<'_>) {
    let theme = scene.theme;
    card(ui, theme, "This laptop", |ui| {
        let Some(status) = &scene.model.status else { return };
        for i in &status.interfaces {
            let addresses: Vec<String> = i.addresses.iter().map(ToString::to_string).collect();
            pair(ui, theme, &i.name, &addresses.join(", "), theme.text);
        }
        if status.interfaces.is_empty() {
            paragraph(ui, theme, "No interface is up.", Ink::new(Size::Small, theme.alert));
        }
        pair(
            ui,
            theme,
            "Ports",
            &format!("{}/udp and {}/udp", cairn_actors::limits::BEACON_PORT, status.port),
            theme.text,
        );
        pair(ui, theme, "Your code", &status.code, theme.text);
    });
}

fn people(ui: &mut Ui, scene: &Scene<'_>, out: &mut Intents) {
    let theme = scene.theme;
    let people = scene.model.people();
    card(ui, theme, "Who is reached where", |ui| {
        ui.spacing_mut().item_spacing.y = 0.0;
        if people.is_empty() {
            let words =
                "Nobody yet. If others are on this network and do not appear, a firewall may stop Cairn's ports.";
            paragraph(ui, theme, words, Ink::new(Size::Small, theme.muted));
        }
        for p in people.iter().take(200) {
            if line(ui, scene, p) {
                out.push(Intent::Open(p.conversation));
            }
        }
    });
}

fn line(ui: &mut Ui, scene: &Scene<'_>, p: &Peer) -> bool {
    let theme = scene.theme;
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), 34.0), Sense::click());
    let address = p.address.map(|a| a.to_string()).unwrap_or_default();
    let state = match (p.state, p.rtt_ms) {
        (PeerState::Online, Some(ms)) => format::round_trip(ms),
        (PeerState::Offline, _) => p.last_seen.map_or_else(|| "not here".into(), |t| scene.clock.full(t)),
        (state, _) => format::presence(state).to_owned(),
    };
    response.widget_info(|| {
        WidgetInfo::labeled(
            Role::Button,
            true,
            format!("{}, {}, {address}, {state}", p.label(), format::badge(p.badge)),
        )
    });
    if response.hovered() {
        ui.painter().rect_filled(rect.expand2(vec2(6.0, 0.0)), 7.0, theme.chip);
    }
    ui.painter().hline(rect.x_range(), rect.top(), theme.hairline());
    let dot = match p.state {
        PeerState::Online => theme.here,
        PeerState::Away => theme.away,
        PeerState::Offline => theme.faint,
    };
    ui.painter().circle_filled(pos2(rect.left() + 5.0, rect.center().y), 4.5, dot);
    let x = rect.left() + 20.0;
    let name = Ink::new(Size::Small, theme.text).medium().line(ui, theme, &p.label(), rect.width() * 0.4);
    let r = text::left(ui.painter(), pos2(x, rect.center().y), &name);
    avatar::badge(ui.painter(), theme, pos2(r.right() + 6.0, rect.center().y), p.badge);
    let galley = Ink::new(Size::Small, theme.text).line(ui, theme, &state, rect.width() * 0.25);
    let right = text::right(ui.painter(), rect.right_center(), &galley);
    let middle = rect.left() + rect.width() * 0.5;
    let galley = Ink::new(Size::Small, theme.muted).line(ui, theme, &address, right.left() - middle - 10.0);
    if right.left() - middle > 60.0 {
        text::left(ui.painter(), pos2(middle, rect.center().y), &galley);
    }
    focus_ring(ui, theme, &response, rect.expand2(vec2(6.0, 0.0)), 7.0);
    response.clicked()
}
