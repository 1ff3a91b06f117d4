//! `status` and `whoami`.

use super::backend::Backend;
use super::error::Failure;
use super::text::Out;
use super::{human, json};

/// The node at a glance.
///
/// # Errors
/// What the backend answers.
pub async fn status(backend: &mut impl Backend, out: &mut Out) -> Result<(), Failure> {
    let status = backend.status().await?;
    let running = backend.running();
    if out.json {
        out.line(&json::status(&status, running))
    } else {
        out.lines(human::status(&status, running, out.style))
    }
}

/// Who this device is; with a name, it is called so from now on.
///
/// # Errors
/// `bad_name` and what the backend answers.
pub async fn whoami(backend: &mut impl Backend, out: &mut Out, name: Option<&str>) -> Result<(), Failure> {
    let status = match name {
        Some(name) => backend.set_name(name).await?,
        None => backend.status().await?,
    };
    if out.json { out.line(&json::whoami(&status)) } else { out.lines(human::whoami(&status, out.style)) }
}
