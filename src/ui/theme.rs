//! Colours, sizes and spacing: the tokens of the look, for light, dark, sunlight and night.
//!
//! Light and dark follow the system unless a person chose otherwise. Sunlight is larger, heavier and black on white;
//! night is the dark scheme in one dim red.

use egui::{Color32, Context, CornerRadius, FontFamily, FontId, Margin, Stroke, TextStyle, ThemePreference, Visuals};

use super::fonts::Weight;
use super::model::ThemeChoice;

/// Which set of tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Warm light greys.
    Light,
    /// Dark greys.
    Dark,
    /// Black on white.
    Sunlight,
    /// Dim red on black.
    Night,
}

/// A place on the ramp of text sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// 11: times, hints, headings of sections.
    Tiny,
    /// 12.5/17: second lines, buttons, details.
    Small,
    /// 14/20 (17/25 in sunlight): everything that is read.
    Body,
    /// 16/20: the title of a conversation.
    Title,
    /// 19/26: the title of a page.
    Large,
}

/// The tokens of a scheme.
#[derive(Debug, Clone, PartialEq)]
pub struct Theme {
    /// Which one.
    pub scheme: Scheme,
    /// Behind cards.
    pub background: Color32,
    /// The list column and the status line.
    pub side: Color32,
    /// The rail.
    pub rail: Color32,
    /// Icons on the rail.
    pub rail_text: Color32,
    /// The mark behind the chosen icon on the rail.
    pub rail_mark: Color32,
    /// The conversation, cards, fields.
    pub panel: Color32,
    /// Text.
    pub text: Color32,
    /// Second lines.
    pub muted: Color32,
    /// Times and hints.
    pub faint: Color32,
    /// Lines of one pixel.
    pub line: Color32,
    /// Ours, sealed, verified.
    pub accent: Color32,
    /// Behind what is ours.
    pub accent_weak: Color32,
    /// Text on the accent.
    pub on_accent: Color32,
    /// The chosen row.
    pub selection: Color32,
    /// A row under the pointer.
    pub hover: Color32,
    /// Small surfaces: chips, code.
    pub chip: Color32,
    /// Carried, late, look here.
    pub warning: Color32,
    /// Behind a warning.
    pub warning_weak: Color32,
    /// Alert, broken.
    pub alert: Color32,
    /// Behind an alert.
    pub alert_weak: Color32,
    /// Here.
    pub here: Color32,
    /// Away.
    pub away: Color32,
}

const fn rgb(hex: u32) -> Color32 {
    Color32::from_rgb((hex >> 16) as u8, (hex >> 8) as u8, hex as u8)
}

impl Theme {
    /// The tokens of a scheme.
    #[must_use]
    pub fn of(scheme: Scheme) -> Self {
        match scheme {
            Scheme::Light => Self::light(),
            Scheme::Dark => Self::dark(),
            Scheme::Sunlight => Self::sunlight(),
            Scheme::Night => Self::night(),
        }
    }

    fn light() -> Self {
        Self {
            scheme: Scheme::Light,
            background: rgb(0xf4f2ed),
            side: rgb(0xe9e6df),
            rail: rgb(0x22302d),
            rail_text: rgb(0xa9bab4),
            rail_mark: rgb(0x3a4744),
            panel: rgb(0xfffdf9),
            text: rgb(0x1d2426),
            muted: rgb(0x626a6d),
            faint: rgb(0x9aa09f),
            line: rgb(0xdcd8cf),
            accent: rgb(0x0b7a63),
            accent_weak: rgb(0xdcefe8),
            on_accent: rgb(0xffffff),
            selection: rgb(0xdfe9e3),
            hover: rgb(0xe1ddd4),
            chip: rgb(0xefece5),
            warning: rgb(0xa8690a),
            warning_weak: rgb(0xfbeed5),
            alert: rgb(0xbf3b24),
            alert_weak: rgb(0xfbe3dc),
            here: rgb(0x2fa36b),
            away: rgb(0xd99a2b),
        }
    }

    fn dark() -> Self {
        Self {
            scheme: Scheme::Dark,
            background: rgb(0x14181a),
            side: rgb(0x101315),
            rail: rgb(0x0b0e0f),
            rail_text: rgb(0x75857f),
            rail_mark: rgb(0x262929),
            panel: rgb(0x1a1f21),
            text: rgb(0xe4e8e6),
            muted: rgb(0x909b9b),
            faint: rgb(0x677172),
            line: rgb(0x293033),
            accent: rgb(0x43bd9d),
            accent_weak: rgb(0x163a32),
            on_accent: rgb(0x08201a),
            selection: rgb(0x1e2b28),
            hover: rgb(0x181c1e),
            chip: rgb(0x232a2d),
            warning: rgb(0xe0a544),
            warning_weak: rgb(0x3a2d14),
            alert: rgb(0xee7a63),
            alert_weak: rgb(0x3f1d16),
            here: rgb(0x2fa36b),
            away: rgb(0xd99a2b),
        }
    }

    fn sunlight() -> Self {
        Self {
            scheme: Scheme::Sunlight,
            background: rgb(0xffffff),
            side: rgb(0xffffff),
            rail: rgb(0x000000),
            rail_text: rgb(0xffffff),
            rail_mark: rgb(0x333333),
            panel: rgb(0xffffff),
            text: rgb(0x000000),
            muted: rgb(0x222222),
            faint: rgb(0x444444),
            line: rgb(0x000000),
            accent: rgb(0x004b3a),
            accent_weak: rgb(0xd5f0e6),
            on_accent: rgb(0xffffff),
            selection: rgb(0xd5f0e6),
            hover: rgb(0xeeeeee),
            chip: rgb(0xeeeeee),
            warning: rgb(0x6b3f00),
            warning_weak: rgb(0xffe9b8),
            alert: rgb(0xa31500),
            alert_weak: rgb(0xffd9cf),
            here: rgb(0x006b3f),
            away: rgb(0x8a5200),
        }
    }

    /// Red alone: no green and hardly any blue reaches the eye, so it stays used to the dark.
    fn night() -> Self {
        Self {
            scheme: Scheme::Night,
            background: rgb(0x0a0201),
            side: rgb(0x070100),
            rail: rgb(0x040000),
            rail_text: rgb(0x7a1d12),
            rail_mark: rgb(0x2a0904),
            panel: rgb(0x0e0302),
            text: rgb(0xd2402c),
            muted: rgb(0xa83222),
            faint: rgb(0x7d2418),
            line: rgb(0x2e0b06),
            accent: rgb(0xe04a34),
            accent_weak: rgb(0x2d0a05),
            on_accent: rgb(0x120302),
            selection: rgb(0x230804),
            hover: rgb(0x170503),
            chip: rgb(0x1c0603),
            warning: rgb(0xe04a34),
            warning_weak: rgb(0x2d0a05),
            alert: rgb(0xff5a42),
            alert_weak: rgb(0x3a0d07),
            here: rgb(0xe04a34),
            away: rgb(0x7d2418),
        }
    }

    /// Whether the ground is dark.
    #[must_use]
    pub fn is_dark(&self) -> bool {
        matches!(self.scheme, Scheme::Dark | Scheme::Night)
    }

    /// Size and line height in points.
    #[must_use]
    pub fn size(&self, size: Size) -> (f32, f32) {
        let sun = self.scheme == Scheme::Sunlight;
        match size {
            Size::Tiny if sun => (12.5, 17.0),
            Size::Tiny => (11.0, 15.0),
            Size::Small if sun => (14.0, 19.0),
            Size::Small => (12.5, 17.0),
            Size::Body if sun => (17.0, 25.0),
            Size::Body => (14.0, 20.0),
            Size::Title if sun => (18.0, 24.0),
            Size::Title => (16.0, 20.0),
            Size::Large if sun => (22.0, 29.0),
            Size::Large => (19.0, 26.0),
        }
    }

    /// The font of a size and weight; sunlight is a step heavier.
    #[must_use]
    pub fn font(&self, size: Size, weight: Weight) -> FontId {
        let weight = match (self.scheme, weight) {
            (Scheme::Sunlight, Weight::Regular) => Weight::Medium,
            (_, w) => w,
        };
        FontId::new(self.size(size).0, weight.family())
    }

    /// A line of one pixel.
    #[must_use]
    pub fn hairline(&self) -> Stroke {
        Stroke::new(1.0, self.line)
    }

    /// The muted colour of a person or room, from the first bytes of its id. White on it keeps 4.5 to 1.
    #[must_use]
    pub fn person(&self, id: &[u8; 32]) -> Color32 {
        const COLOURS: [u32; 12] = [
            0xa85a34, 0x3d6fa5, 0x866927, 0x7b4b6a, 0x456b4d, 0x5a5f9b, 0x7a5c9e, 0x4a6585, 0x2b7070, 0x9a4a4f,
            0x4f6a2e, 0x6b5a48,
        ];
        let mix = id.iter().fold(7u32, |a, b| a.wrapping_mul(31).wrapping_add(u32::from(*b)));
        let at = usize::try_from(mix >> 8).unwrap_or(0) % COLOURS.len();
        let colour = rgb(COLOURS.get(at).copied().unwrap_or(0x0054_656b));
        if self.scheme == Scheme::Night {
            // The same difference between people, in red alone.
            let light = (u32::from(colour.r()) + u32::from(colour.g()) + u32::from(colour.b())) / 3;
            let red = u8::try_from(48 + light / 3).unwrap_or(96);
            return Color32::from_rgb(red, red / 7, red / 10);
        }
        colour
    }

    /// The colour of an Everyone room: slate, like nobody's.
    #[must_use]
    pub fn room(&self) -> Color32 {
        if self.scheme == Scheme::Night { rgb(0x400c07) } else { rgb(0x54656b) }
    }

    /// Text on [`Self::person`].
    #[must_use]
    pub fn on_person(&self) -> Color32 {
        if self.scheme == Scheme::Night { rgb(0xff6a52) } else { Color32::WHITE }
    }

    /// Makes egui's own widgets (fields, tooltips, scroll bars) look the same.
    pub fn apply(&self, ctx: &Context) {
        let mut v = if self.is_dark() { Visuals::dark() } else { Visuals::light() };
        v.override_text_color = Some(self.text);
        v.panel_fill = self.panel;
        v.window_fill = self.panel;
        v.window_stroke = self.hairline();
        v.window_corner_radius = CornerRadius::same(12);
        v.menu_corner_radius = CornerRadius::same(8);
        v.extreme_bg_color = self.panel;
        v.text_edit_bg_color = Some(Color32::TRANSPARENT);
        v.faint_bg_color = self.chip;
        v.code_bg_color = self.chip;
        v.hyperlink_color = self.accent;
        v.warn_fg_color = self.warning;
        v.error_fg_color = self.alert;
        v.weak_text_color = Some(self.faint);
        v.selection.bg_fill = self.accent.gamma_multiply(if self.is_dark() { 0.45 } else { 0.28 });
        v.selection.stroke = Stroke::new(1.0, self.text);
        v.text_cursor.stroke = Stroke::new(1.5, self.accent);
        v.ime_composition.active_underline_stroke = Stroke::new(1.5, self.accent);
        v.ime_composition.inactive_underline_stroke = Stroke::new(1.0, self.muted);
        v.popup_shadow = egui::Shadow { offset: [0, 6], blur: 20, spread: 0, color: Color32::from_black_alpha(40) };
        v.window_shadow = v.popup_shadow;
        v.widgets.noninteractive.fg_stroke.color = self.text;
        v.widgets.noninteractive.bg_stroke = self.hairline();
        for w in [&mut v.widgets.inactive, &mut v.widgets.hovered, &mut v.widgets.active, &mut v.widgets.open] {
            w.corner_radius = CornerRadius::same(8);
            w.bg_stroke = self.hairline();
            w.fg_stroke = Stroke::new(1.0, self.text);
            w.bg_fill = self.chip;
            w.weak_bg_fill = self.panel;
            w.expansion = 0.0;
        }
        let (body, tiny) = (self.font(Size::Body, Weight::Regular), self.font(Size::Small, Weight::Regular));
        let (mono, title) =
            (FontId::new(body.size - 1.0, FontFamily::Monospace), self.font(Size::Title, Weight::Semibold));
        ctx.all_styles_mut(|s| {
            s.visuals = v.clone();
            s.visuals.text_options.font_hinting = false;
            s.text_styles = [
                (TextStyle::Small, tiny.clone()),
                (TextStyle::Body, body.clone()),
                (TextStyle::Button, tiny.clone()),
                (TextStyle::Monospace, mono.clone()),
                (TextStyle::Heading, title.clone()),
            ]
            .into();
            s.spacing.item_spacing = egui::vec2(8.0, 4.0);
            s.spacing.button_padding = egui::vec2(10.0, 4.0);
            s.spacing.menu_margin = Margin::same(8);
            s.spacing.scroll = egui::style::ScrollStyle::floating();
            s.interaction.selectable_labels = false;
            s.interaction.tooltip_delay = 0.4;
        });
    }
}

/// Which tokens a choice means, given what the system says.
#[must_use]
pub fn scheme(choice: ThemeChoice, system: Option<egui::Theme>) -> Scheme {
    match choice {
        ThemeChoice::System if system == Some(egui::Theme::Dark) => Scheme::Dark,
        ThemeChoice::System | ThemeChoice::Light => Scheme::Light,
        ThemeChoice::Dark => Scheme::Dark,
        ThemeChoice::Sunlight => Scheme::Sunlight,
        ThemeChoice::Night => Scheme::Night,
    }
}

/// What the window's frame should look like for a choice.
#[must_use]
pub fn preference(choice: ThemeChoice) -> ThemePreference {
    match choice {
        ThemeChoice::System => ThemePreference::System,
        ThemeChoice::Light | ThemeChoice::Sunlight => ThemePreference::Light,
        ThemeChoice::Dark | ThemeChoice::Night => ThemePreference::Dark,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn luminance(c: Color32) -> f32 {
        let lin = |v: u8| {
            let v = f32::from(v) / 255.0;
            if v <= 0.04045 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * lin(c.r()) + 0.7152 * lin(c.g()) + 0.0722 * lin(c.b())
    }

    fn contrast(a: Color32, b: Color32) -> f32 {
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    #[test]
    fn text_keeps_its_contrast() {
        for scheme in [Scheme::Light, Scheme::Dark, Scheme::Sunlight, Scheme::Night] {
            let t = Theme::of(scheme);
            // Night is dim on purpose: it is read by eyes that are used to the dark.
            let (least, muted) = match scheme {
                Scheme::Sunlight => (7.0, 7.0),
                Scheme::Night => (3.5, 2.5),
                _ => (4.5, 4.5),
            };
            for ground in [t.background, t.side, t.panel, t.selection] {
                assert!(contrast(t.text, ground) >= least, "{scheme:?} text on {ground:?}");
                let c = contrast(t.muted, ground);
                assert!(c >= muted - 0.1, "{scheme:?} muted on {ground:?}: {c}");
            }
            assert!(contrast(t.accent, t.panel) >= muted, "{scheme:?} accent");
            assert!(contrast(t.alert, t.panel) >= muted, "{scheme:?} alert");
            assert!(contrast(t.on_accent, t.accent) >= least, "{scheme:?} on accent");
            for n in 0..=255 {
                let c = contrast(t.on_person(), t.person(&[n; 32]));
                assert!(c >= least.min(4.5) - 0.3, "{scheme:?} person {n}: {c}");
            }
        }
    }

    #[test]
    fn night_is_red_alone() {
        let t = Theme::of(Scheme::Night);
        for c in [t.text, t.muted, t.faint, t.accent, t.warning, t.alert, t.panel, t.here, t.away, t.person(&[3; 32])] {
            assert!(u16::from(c.g()) * 2 <= u16::from(c.r()) && u16::from(c.b()) * 2 <= u16::from(c.r()), "{c:?}");
        }
    }

    #[test]
    fn a_choice_wins_over_the_system() {
        assert_eq!(scheme(ThemeChoice::System, Some(egui::Theme::Dark)), Scheme::Dark);
        assert_eq!(scheme(ThemeChoice::System, None), Scheme::Light);
        assert_eq!(scheme(ThemeChoice::Sunlight, Some(egui::Theme::Dark)), Scheme::Sunlight);
    }
}
