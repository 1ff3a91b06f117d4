//! The views: each paints a part of the model and pushes intents. They hold no state of their own but what egui
//! remembers (focus, cursor, where a history is scrolled to).

pub mod briefing;
pub mod composer;
pub mod conversation;
mod custody;
pub mod details;
pub mod first_start;
pub mod history;
pub mod kept;
pub mod key;
pub mod list;
pub mod lock;
pub mod network;
pub mod notice;
pub mod palette;
pub mod rail;
pub mod settings;
mod sheet;
pub mod shell;
pub mod status;
pub mod verify;

use super::intent::Intent;
use super::model::{Clock, Model};
use super::theme::Theme;

/// What a view is given.
pub struct Scene<'a> {
    /// What to show.
    pub model: &'a Model,
    /// How it looks.
    pub theme: &'a Theme,
    /// When and where "now" is.
    pub clock: &'a Clock,
}

/// What views answer.
pub type Intents = Vec<Intent>;
