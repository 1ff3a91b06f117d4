//! One frame of the window: shortcuts and views in, commands out. It needs an egui context, but neither a display nor
//! a node, so tests and benches drive it as the app does.

use std::sync::Arc;
use std::time::Duration;

use egui::layers::ShapeIdx;
use egui::{Context, LayerId, Shape, Ui};

use super::intent::{Command, Intent};
use super::model::{Clock, Model, Preferences};
use super::theme::{self, Scheme, Theme};
use super::views::{self, Scene};
use super::{fonts, shortcuts};

/// How often the window paints at least, so that times and "late" marks become true by themselves.
const IDLE: Duration = Duration::from_secs(15);

/// The model and how it looks.
pub struct Window {
    /// What is shown.
    pub model: Model,
    theme: Theme,
    applied: Option<(Scheme, u16)>,
}

impl Window {
    /// A window that knows nothing yet. Installs the fonts.
    #[must_use]
    pub fn new(ctx: &Context, preferences: Preferences) -> Self {
        Self::of(ctx, Model::new(preferences))
    }

    /// A window onto a model.
    #[must_use]
    pub fn of(ctx: &Context, model: Model) -> Self {
        ctx.set_fonts(fonts::definitions());
        ctx.options_mut(|o| o.zoom_with_keyboard = false);
        let mut this = Self { model, theme: Theme::of(Scheme::Light), applied: None };
        this.dress(ctx);
        this
    }

    /// Which tokens are in use.
    #[must_use]
    pub fn theme(&self) -> &Theme {
        &self.theme
    }

    /// Follows the preferences and the system's colours.
    fn dress(&mut self, ctx: &Context) {
        let p = &self.model.preferences;
        let want = (theme::scheme(p.theme, ctx.system_theme()), p.scale);
        if self.applied == Some(want) {
            return;
        }
        ctx.set_theme(theme::preference(p.theme));
        self.theme = Theme::of(want.0);
        self.theme.apply(ctx);
        ctx.set_zoom_factor(f32::from(p.scale) / 100.0);
        self.applied = Some(want);
    }

    /// Paints a frame and does what it asked for. Answers what the node must do.
    pub fn frame(&mut self, ui: &mut Ui, clock: &Clock) -> Vec<Command> {
        let ctx = ui.ctx().clone();
        self.model.focused = ctx.input(|i| i.focused);
        self.model.roomy = ctx.content_rect().width() >= views::shell::WITH_DETAILS;
        self.dress(&ctx);
        ui.set_style(ctx.style_of(ctx.theme()));
        // Before anything is painted: whoever comes back too late finds it locked.
        let mut commands: Vec<Command> = self.model.idle(clock.now).into_iter().collect();
        if ctx.input(|i| !i.raw.events.is_empty()) {
            self.model.active(clock.now);
        }
        for intent in shortcuts::read(&ctx, &self.model) {
            commands.extend(self.model.act(intent));
        }
        let next = self.model.tick(clock.now);
        let mut intents: Vec<Intent> = Vec::new();
        views::shell::show(ui, &Scene { model: &self.model, theme: &self.theme, clock }, &mut intents);
        if self.theme.scheme == Scheme::Night {
            redden(&ctx, ui.layer_id());
        }
        // Wishes of the frame before are fulfilled; what was just painted may wish anew.
        self.model.wants_focus = None;
        self.model.wants_newest = false;
        if self.model.wants_message.is_some_and(|(id, _)| self.model.wanted(&id).is_some()) {
            self.model.wants_message = None;
        }
        let acted = !intents.is_empty();
        for intent in intents {
            commands.extend(self.model.act(intent));
        }
        if acted {
            ctx.request_repaint();
        }
        let wait = next.map(|at| Duration::from_millis(at.saturating_sub(clock.now) + 20)).unwrap_or(IDLE);
        ctx.request_repaint_after(wait.min(IDLE));
        commands.retain(|c| match c {
            Command::Copy(text) => {
                ctx.copy_text(text.clone());
                false
            }
            Command::Paste => {
                ctx.send_viewport_cmd(egui::ViewportCommand::RequestPaste);
                false
            }
            Command::Quit => {
                ctx.send_viewport_cmd(egui::ViewportCommand::Close);
                false
            }
            _ => true,
        });
        commands
    }
}

/// Coloured emoji in the red of the text around them: their glyphs are no longer exempt from its colour.
fn redden(ctx: &Context, ground: LayerId) {
    let layers: Vec<LayerId> = ctx.memory(|m| m.layer_ids().chain([ground]).collect());
    ctx.graphics_mut(|graphics| {
        for layer in layers {
            let Some(list) = graphics.get_mut(layer) else { continue };
            for i in 0..list.next_idx().0 {
                list.mutate_shape(ShapeIdx(i), |clipped| {
                    let Shape::Text(text) = &mut clipped.shape else { return };
                    if !text.galley.rows.iter().any(|r| r.glyphs.iter().any(|g| g.is_color)) {
                        return;
                    }
                    for row in &mut Arc::make_mut(&mut text.galley).rows {
                        Arc::make_mut(&mut row.row).glyphs.iter_mut().for_each(|g| g.is_color = false);
                    }
                });
            }
        }
    });
}
