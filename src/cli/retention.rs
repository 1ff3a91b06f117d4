//! `retention` and `forget`: how long a conversation is kept, and deleting one's own copy of it.

use std::str::FromStr;
use std::time::Duration;

use super::backend::Backend;
use super::error::Failure;
use super::text::Out;
use super::time::{Since, now_ms};
use super::{human, json};
use crate::local::resolve::ConvRef;

/// How long messages are kept, as said on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// For so long.
    For(Duration),
    /// For ever.
    Off,
}

/// Text that is no time to keep messages for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a time like 1d, 4w or 26w, or `off` to keep messages for ever")]
pub struct BadKeep;

impl FromStr for Keep {
    type Err = BadKeep;

    fn from_str(text: &str) -> Result<Self, BadKeep> {
        if matches!(text, "off" | "forever") {
            return Ok(Self::Off);
        }
        match text.parse::<Since>() {
            Ok(Since::Ago(time)) => Ok(Self::For(time)),
            _ => Err(BadKeep),
        }
    }
}

/// Shows how long a conversation is kept, or sets it.
///
/// # Errors
/// What naming the conversation and the backend answer.
pub async fn retention(
    backend: &mut impl Backend,
    out: &mut Out,
    conversation: &ConvRef,
    keep: Option<Keep>,
) -> Result<(), Failure> {
    let place = backend.resolve(conversation).await?;
    let r = match keep {
        None => backend.retention(place.id).await?,
        Some(Keep::Off) => backend.set_retention(place.id, None).await?,
        Some(Keep::For(time)) => backend.set_retention(place.id, Some(time.as_secs())).await?,
    };
    if out.json { out.line(&json::retention(&r)) } else { out.lines(human::retention(&r, &place.title, out.style)) }
}

/// Deletes this device's copy of a conversation, or of what was said before a time.
///
/// # Errors
/// What naming the conversation and the backend answer.
pub async fn forget(
    backend: &mut impl Backend,
    out: &mut Out,
    conversation: &ConvRef,
    before: Option<Since>,
) -> Result<(), Failure> {
    let place = backend.resolve(conversation).await?;
    let r = backend.forget(place.id, before.map(|b| b.ms(now_ms()))).await?;
    if out.json { out.line(&json::retention(&r)) } else { out.line(&human::forgotten(&r, &place.title)) }
}
