//! `say`: from the arguments or standard input into a conversation, or into the outbox where no node runs. `edit`,
//! `delete` and `react`: what is said of a message afterwards.

use std::io::Read;

use cairn_actors::api::ApiError;
use cairn_actors::limits::MESSAGE_MAX;
use cairn_crdt::ids::MessageId;

use super::backend::Backend;
use super::error::Failure;
use super::text::{Out, note, plain};
use super::{human, json};
use crate::local::resolve::ConvRef;

/// How something is said.
#[derive(Debug, Clone, Copy, Default)]
pub struct As<'a> {
    /// Under this id, or the one that this token stands for.
    pub id: Option<&'a str>,
    /// As an answer to this message.
    pub reply: Option<&'a str>,
}

/// Says `text` in a conversation; answers once it is durable here.
///
/// # Errors
/// `no_such_conversation`, `ambiguous`, and what the backend answers.
pub async fn say(
    backend: &mut impl Backend,
    out: &mut Out,
    conversation: &ConvRef,
    how: As<'_>,
    text: &str,
) -> Result<(), Failure> {
    let place = backend.resolve(conversation).await?;
    let mut ids = [None; 2];
    for (slot, token) in ids.iter_mut().zip([how.id, how.reply]) {
        if let Some(token) = token {
            *slot = Some(message_id(backend, token).await?);
        }
    }
    let [id, reply_to] = ids;
    let said = backend.say(place.id, text, id, reply_to).await?;
    for name in &said.ambiguous {
        note(&format!(
            "cairn: @{} could be several people, so it mentions nobody: see `cairn say --help`",
            plain(name)
        ));
    }
    if !backend.running() {
        note("cairn: no node runs here: the message waits in the outbox until the next one starts");
    }
    out.line(&if out.json { json::said(&said) } else { human::said(&said, &place.title, out.style) })
}

/// What is said of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of<'a> {
    /// It says this now.
    Edit(&'a str),
    /// It is deleted.
    Delete,
    /// It gets this reaction, or loses it.
    React(&'a str, bool),
}

/// Says something of a message; answers once it is durable here.
///
/// # Errors
/// `no_such_conversation`, `ambiguous`, and what the backend answers.
pub async fn amend(
    backend: &mut impl Backend,
    out: &mut Out,
    conversation: &ConvRef,
    message: &str,
    what: Of<'_>,
) -> Result<(), Failure> {
    let place = backend.resolve(conversation).await?;
    let id = message_id(backend, message).await?;
    let (m, did) = match what {
        Of::Edit(text) => (backend.edit(place.id, id, text).await?, "edited"),
        Of::Delete => (backend.delete(place.id, id).await?, "deleted"),
        Of::React(emoji, on) => {
            (backend.react(place.id, id, emoji, on).await?, if on { "reacted" } else { "reaction taken back" })
        }
    };
    let line = if out.json {
        json::message(&m, Some(place.kind))
    } else {
        format!("{did} in {}  {}", plain(&place.title), out.style.dim(&m.id.to_string()))
    };
    out.line(&line)
}

/// The message that a person names: an id as it is, else the token that it was said with.
///
/// # Errors
/// What the backend answers.
pub async fn message_id(backend: &mut impl Backend, text: &str) -> Result<MessageId, ApiError> {
    match text.parse() {
        Ok(id) => Ok(id),
        Err(_) => Ok(MessageId::from_token(&backend.status().await?.id, text)),
    }
}

/// Whether a text can be said, before anybody is asked.
///
/// # Errors
/// `empty`, `too_long`.
pub fn check(text: &str) -> Result<(), ApiError> {
    if text.len() > MESSAGE_MAX {
        let message = format!("the text is {} bytes long, at most {MESSAGE_MAX} fit in a message", text.len());
        return Err(ApiError::new("too_long", message));
    }
    if text.trim().is_empty() {
        return Err(ApiError::new("empty", "there is nothing to say: the text is empty"));
    }
    Ok(())
}

/// Reads a text to its end, without its last line end.
///
/// # Errors
/// `too_long`, `not_utf8`, or `io` where reading fails.
pub fn read_text(input: impl Read) -> Result<String, ApiError> {
    let most = MESSAGE_MAX.saturating_add(2) as u64;
    let mut bytes = Vec::new();
    input
        .take(most.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|e| ApiError::new("io", format!("standard input can't be read: {e}")))?;
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    if bytes.len() > MESSAGE_MAX {
        let message = format!("standard input holds more than the {MESSAGE_MAX} bytes that fit in a message");
        return Err(ApiError::new("too_long", message));
    }
    String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        ApiError::new("not_utf8", format!("standard input is not UTF-8 text: the byte at {at} does not belong there"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standard_input_loses_its_last_line_end_only() {
        assert_eq!(read_text(&b"a\nb\n\n"[..]).unwrap(), "a\nb\n");
        assert_eq!(read_text(&b"a\r\n"[..]).unwrap(), "a");
        assert_eq!(read_text(&b"a"[..]).unwrap(), "a");
    }

    #[test]
    fn what_is_too_long_or_no_text_is_said_clearly() {
        let full = "x".repeat(MESSAGE_MAX);
        assert_eq!(read_text(format!("{full}\r\n").as_bytes()).unwrap().len(), MESSAGE_MAX);
        assert_eq!(read_text(format!("{full}x").as_bytes()).unwrap_err().code, "too_long");
        assert_eq!(read_text(std::io::repeat(b'x')).unwrap_err().code, "too_long");
        let e = read_text(&b"ab\xff"[..]).unwrap_err();
        assert_eq!(e.code, "not_utf8");
        assert!(e.message.contains("byte at 2"));
        assert_eq!(check(&format!("{full}x")).unwrap_err().code, "too_long");
        assert_eq!(check(" \n").unwrap_err().code, "empty");
    }
}
