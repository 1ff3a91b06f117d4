//! Keys and the intents they mean.

use egui::{Context, Key, KeyboardShortcut, Modifiers};

use super::intent::Intent;
use super::model::{Model, SCALES, View};

/// The intents of the keys pressed in this frame. Called before the views, so that a field does not eat them.
pub fn read(ctx: &Context, model: &Model) -> Vec<Intent> {
    let mut out = Vec::new();
    let scale = model.preferences.scale;
    let larger = Intent::SetScale(scale.saturating_add(10).min(SCALES.1));
    let smaller = Intent::SetScale(scale.saturating_sub(10).max(SCALES.0));
    let mut keys = vec![
        (Modifiers::COMMAND, Key::K, Intent::TogglePalette),
        (Modifiers::COMMAND, Key::F, Intent::FocusSearch),
        (Modifiers::COMMAND, Key::Comma, Intent::Show(View::Settings)),
        (Modifiers::COMMAND, Key::I, Intent::ToggleDetails),
        (Modifiers::COMMAND, Key::L, Intent::LockNow),
        (Modifiers::COMMAND, Key::Q, Intent::Quit),
        (Modifiers::COMMAND, Key::Plus, larger.clone()),
        (Modifiers::COMMAND, Key::Equals, larger),
        (Modifiers::COMMAND, Key::Minus, smaller),
        (Modifiers::COMMAND, Key::Num0, Intent::SetScale(100)),
        (Modifiers::ALT, Key::ArrowDown, Intent::Step(1)),
        (Modifiers::ALT, Key::ArrowUp, Intent::Step(-1)),
        (Modifiers::NONE, Key::Escape, Intent::Escape),
    ];
    let numbers = [Key::Num1, Key::Num2, Key::Num3, Key::Num4, Key::Num5, Key::Num6, Key::Num7, Key::Num8, Key::Num9];
    for (key, id) in numbers.into_iter().zip(model.order()) {
        keys.push((Modifiers::COMMAND, key, Intent::Open(id)));
    }
    if model.palette.is_some() {
        keys.push((Modifiers::NONE, Key::ArrowDown, Intent::PaletteMove(1)));
        keys.push((Modifiers::NONE, Key::ArrowUp, Intent::PaletteMove(-1)));
    }
    if model.first_start() || model.locked.is_some() {
        keys.retain(|(_, _, intent)| matches!(intent, Intent::SetScale(_) | Intent::Quit));
    }
    ctx.input_mut(|input| {
        for (modifiers, key, intent) in keys {
            if input.consume_shortcut(&KeyboardShortcut::new(modifiers, key)) {
                out.push(intent);
            }
        }
    });
    out
}
