//! `custody`: who holds a conversation up to where, and who was last seen when.

use cairn_crdt::ids::DocumentId;
use jiff::tz::TimeZone;

use super::backend::Backend;
use super::error::Failure;
use super::text::Out;
use super::time::now_ms;
use super::{human, json};
use crate::local::resolve::{ConvRef, Resolved};

/// Prints a line a conversation, or of one a line a device, or with `documents` a line a document.
///
/// # Errors
/// `no_such_conversation`, `ambiguous`, `no_such_document`, and what the backend answers.
pub async fn custody(
    backend: &mut impl Backend,
    out: &mut Out,
    what: Option<&ConvRef>,
    document: Option<DocumentId>,
    documents: bool,
) -> Result<(), Failure> {
    let zone = TimeZone::system();
    let Some(what) = what else {
        let all = backend.conversations().await?;
        if all.is_empty() && !out.json {
            return out.line("There is no conversation yet.");
        }
        for c in all {
            let place = Resolved::from(&c);
            let c = backend.custody(place.id, None).await?;
            out.line(&if out.json {
                json::custody(&c, &place)
            } else {
                human::custody_line(&c, &place.title, &zone, now_ms())
            })?;
        }
        return Ok(());
    };
    let place = backend.resolve(what).await?;
    let c = backend.custody(place.id, document).await?;
    if document.is_some() && c.entries == 0 {
        return Err(Failure::failed("no_such_document", "there is no such document in this conversation"));
    }
    match (documents, out.json) {
        (true, true) => out.lines(c.documents.iter().map(|d| json::document(&c, d))),
        (true, false) => out.lines(human::custody_documents(&c, &zone)),
        (false, true) => out.lines(c.devices.iter().map(|h| json::holder(&c, h))),
        (false, false) => out.lines(human::custody(&c, &place.title, &zone, now_ms(), out.style)),
    }
}
