//! The fonts that come with Cairn, so that it looks the same on a machine without any: Inter (OFL) for Latin, Greek
//! and Cyrillic, Droid Sans Fallback (Apache-2.0) for Chinese, Japanese and Korean, Noto Color Emoji (OFL), JetBrains
//! Mono (OFL) for code, DejaVu Sans (free) for symbols that no other has. Their licences stand beside them in `assets/fonts`.

use std::sync::Arc;

use egui::{FontData, FontDefinitions, FontFamily, FontTweak};

/// How heavy text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// 400.
    Regular,
    /// 500.
    Medium,
    /// 600.
    Semibold,
}

impl Weight {
    /// The family of a weight.
    #[must_use]
    pub fn family(self) -> FontFamily {
        match self {
            Self::Regular => FontFamily::Proportional,
            Self::Medium => FontFamily::Name("medium".into()),
            Self::Semibold => FontFamily::Name("semibold".into()),
        }
    }
}

macro_rules! font {
    ($file:literal) => {
        FontData::from_static(include_bytes!(concat!("../../assets/fonts/", $file)))
    };
}

/// All fonts and families.
#[must_use]
pub fn definitions() -> FontDefinitions {
    let mut d = FontDefinitions::empty();
    let fonts = [
        ("regular", font!("Inter-Regular.otf")),
        ("medium", font!("Inter-Medium.otf")),
        ("semibold", font!("Inter-SemiBold.otf")),
        ("mono", font!("JetBrainsMono-Regular.ttf")),
        ("cjk", font!("DroidSansFallback.ttf")),
        ("symbols", font!("DejaVuSans.ttf")),
        ("cjk rare", font!("DroidSansFallback-ExtA.ttf")),
        ("emoji", font!("NotoColorEmoji.ttf").tweak(FontTweak { scale: 0.95, ..FontTweak::default() })),
    ];
    for (name, data) in fonts {
        d.font_data.insert(name.to_owned(), Arc::new(data));
    }
    let mut family = |family: FontFamily, first: &str| {
        let chain = [first, "emoji", "cjk", "cjk rare", "symbols"].map(str::to_owned).to_vec();
        d.families.insert(family, chain);
    };
    family(FontFamily::Proportional, "regular");
    family(Weight::Medium.family(), "medium");
    family(Weight::Semibold.family(), "semibold");
    family(FontFamily::Monospace, "mono");
    d
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_and_emoji_are_covered() {
        let ctx = egui::Context::default();
        ctx.set_fonts(definitions());
        let output = ctx.run_ui(egui::RawInput::default(), |ui| {
            for family in [Weight::Regular.family(), Weight::Semibold.family(), FontFamily::Monospace] {
                let font = egui::FontId::new(14.0, family);
                for text in [
                    "Grüße Łódź Ελλάδα Привет",
                    "二号路口积水，车辆绕行。㐀䶮",
                    "ひらがな カタカナ 한국어",
                    "🙂🗺👍⛽✓★→≤…·",
                ] {
                    for c in text.chars().filter(|c| !c.is_whitespace()) {
                        assert!(ui.fonts_mut(|f| f.has_glyph(&font, c)), "{c}");
                    }
                }
            }
        });
        output.drop_without_applying_deltas();
    }
}
