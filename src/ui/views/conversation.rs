//! The conversation: heading, history, composer; or why there is none to show.

use cairn_actors::api::{Badge, LinkState, PeerState};
use egui::{Rect, Role, Sense, Ui, WidgetInfo, pos2, vec2};

use super::{Intents, Scene, composer, history};
use crate::ui::intent::Intent;
use crate::ui::model::{Model, View, format};
use crate::ui::paint::avatar;
use crate::ui::paint::icons::Icon;
use crate::ui::paint::text::{self, Ink};
use crate::ui::paint::widgets::{Kind, button, empty, icon_button, within};
use crate::ui::theme::Size;

/// Height of the heading.
const HEAD: f32 = 58.0;

/// Paints the main part of the chat and people views.
pub fn show(ui: &mut Ui, scene: &Scene<'_>, narrow: bool, out: &mut Intents) {
    let (theme, rect, model) = (scene.theme, ui.max_rect(), scene.model);
    ui.painter().rect_filled(rect, 0.0, theme.panel);
    let Some(id) = model.open else {
        let (title, sentence) = nothing_open(model);
        empty(ui, theme, rect, title, &sentence);
        return;
    };
    let head = Rect::from_min_size(rect.min, vec2(rect.width(), HEAD));
    heading(ui, scene, head, narrow, out);
    let bottom = composer::height(ui, scene, id, rect.width());
    let foot = Rect::from_min_max(pos2(rect.left(), rect.bottom() - bottom), rect.max);
    let middle = Rect::from_min_max(pos2(rect.left(), head.bottom()), pos2(rect.right(), foot.top()));
    match model.history(&id) {
        Some(h) if !h.messages().is_empty() => history::show(ui, scene, id, h, middle, out),
        Some(h) if h.failed().is_some() => {
            empty(ui, theme, middle, "These messages could not be read", h.failed().unwrap_or_default());
            let at = Rect::from_center_size(pos2(middle.center().x, middle.center().y + 64.0), vec2(96.0, 34.0));
            within(ui, "retry", at, |ui| {
                if button(ui, theme, "Try again", Kind::Plain).clicked() {
                    out.push(Intent::Retry);
                }
            });
        }
        Some(h) if h.loaded() => {
            let (title, sentence) = nothing_said(model);
            empty(ui, theme, middle, &title, &sentence);
        }
        _ => empty(ui, theme, middle, "One moment", "Reading what is stored on this device."),
    }
    within(ui, "composer", foot, |ui| composer::show(ui, scene, id, out));
}

fn nothing_open(model: &Model) -> (&'static str, String) {
    let link = model.status.as_ref().map(|s| &s.link);
    match link {
        None => ("One moment", "Cairn is starting.".into()),
        Some(_) if model.view == View::People => ("People", "Choose somebody to talk to.".into()),
        Some(LinkState::Online) => ("Nothing open", "Choose a conversation at the left, or press Ctrl K.".into()),
        Some(LinkState::Alone) => {
            ("Alone for now", "Others on this network appear by themselves. What you write waits for them.".into())
        }
        Some(LinkState::NoNetwork) => {
            ("No network", "Plug in a cable or join a Wi-Fi. What you write waits until then.".into())
        }
    }
}

fn nothing_said(model: &Model) -> (String, String) {
    match model.open_peer() {
        Some(p) if p.state == PeerState::Offline => {
            (format!("No messages with {} yet", p.label()), "Not here now: what you write waits for them.".into())
        }
        Some(p) => (format!("No messages with {} yet", p.label()), "Only the two of you get what is said here.".into()),
        None if model.status.as_ref().is_some_and(|s| s.link != LinkState::Online) => (
            "Nothing said yet".into(),
            "Nobody else is here. What you write waits, and goes out by itself when somebody comes.".into(),
        ),
        None => ("Nothing said yet".into(), "Everybody on this network reads what is said here.".into()),
    }
}

/// The line below the title.
#[must_use]
pub fn subtitle(scene: &Scene<'_>) -> String {
    let model = scene.model;
    if let Some(p) = model.open_peer() {
        return match (p.state, p.rtt_ms) {
            (PeerState::Online, Some(ms)) => format!("Here now · {}", format::round_trip(ms)),
            _ => format::presence_line(p, scene.clock),
        };
    }
    let Some(c) = model.open.and_then(|id| model.conversation(&id)) else { return String::new() };
    let network = c.network.and_then(|n| model.networks.iter().find(|o| o.id == n)).filter(|n| !n.name.is_empty());
    let people = match c.members {
        0 => "Nobody else yet".to_owned(),
        n => format!("{} · {} here", format::count(u64::from(n), "other", "others"), c.here),
    };
    let network = network.filter(|_| model.title(c) == c.title).map(|n| n.name.clone());
    let newer = match c.needs_newer {
        0 => None,
        1 => Some("1 entry needs a newer Cairn".to_owned()),
        n => Some(format!("{} entries need a newer Cairn", format::thousands(n))),
    };
    let locked =
        (c.needs_key > 0).then(|| format!("{} without a key yet", format::count(c.needs_key, "message", "messages")));
    [Some(people), network, newer, locked].into_iter().flatten().collect::<Vec<_>>().join(" · ")
}

fn heading(ui: &mut Ui, scene: &Scene<'_>, rect: Rect, narrow: bool, out: &mut Intents) {
    let (theme, model) = (scene.theme, scene.model);
    ui.painter().hline(rect.x_range(), rect.bottom() - 0.5, theme.hairline());
    let mut left = rect.left() + 20.0;
    if narrow {
        let at = Rect::from_center_size(pos2(rect.left() + 26.0, rect.center().y), vec2(34.0, 34.0));
        if icon_button(ui, theme, at, Icon::Back, "Back to the list", theme.muted).clicked() {
            out.push(Intent::Back);
        }
        left = at.right() + 6.0;
    }
    let peer = model.open_peer();
    let line = model.open.and_then(|id| model.conversation(&id));
    let title = line.map(|c| model.title(c)).or_else(|| peer.map(cairn_actors::api::Peer::label)).unwrap_or_default();
    let picture = Rect::from_min_size(pos2(left, rect.center().y - 19.0), vec2(38.0, 38.0));
    match peer {
        Some(p) => {
            avatar::picture(ui, theme, picture, &p.id.0, Some(&p.name));
            avatar::presence(ui.painter(), theme, picture, p.state, theme.panel);
        }
        None => avatar::picture(ui, theme, picture, &[0; 32], None),
    }
    let details = Rect::from_center_size(pos2(rect.right() - 34.0, rect.center().y), vec2(34.0, 34.0));
    if icon_button(ui, theme, details, Icon::Details, "Show or hide the details", theme.muted).clicked() {
        out.push(Intent::ToggleDetails);
    }
    let x = picture.right() + 12.0;
    let room = details.left() - x - 32.0;
    let galley = Ink::new(Size::Title, theme.text).bold().line(ui, theme, &title, room);
    let name = text::left(ui.painter(), pos2(x, rect.center().y - 9.5), &galley);
    if let Some(p) = peer {
        avatar::badge(ui.painter(), theme, pos2(name.right() + 6.0, name.center().y), p.badge);
    }
    let warned = peer.is_some_and(|p| p.warning.is_some());
    let writing = model.open.and_then(|id| model.writing(&id));
    let below = match writing {
        _ if warned => format::badge_sentence(Badge::Warning).to_owned(),
        Some(words) => words,
        None => subtitle(scene),
    };
    let ink = if warned { theme.alert } else { theme.muted };
    let galley = Ink::new(Size::Small, ink).line(ui, theme, &below, room);
    let sub = text::left(ui.painter(), pos2(x, rect.center().y + 11.0), &galley);
    let response = ui.interact(name.union(sub), ui.scope_id().with("title"), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Heading, true, format!("{title}, {below}")));
}
