//! The window: a pure model, a controller on tokio, and views that paint the model and return intents.
//!
//! Arrows: `views` read `model` and push [`intent::Intent`]s; [`model::Model::act`] turns an intent into changes of
//! the model and into [`intent::Command`]s; [`controller`] runs commands through the node's handle and sends
//! [`model::Update`]s back. Nothing here blocks the thread that paints, and nothing but `paint`, `views`, `theme`,
//! `fonts`, `shortcuts`, `window`, `bench` and `app` knows of egui.

pub mod app;
pub mod bench;
pub mod controller;
pub mod fonts;
pub mod intent;
pub mod model;
pub mod paint;
pub mod sample;
pub mod shortcuts;
pub mod theme;
pub mod views;
pub mod window;

#[cfg(test)]
#[cfg(feature = "pictures")]
mod pictures;
#[cfg(test)]
mod tests;

pub use app::{UiError, UiSettings, run};
pub use model::Preferences;
