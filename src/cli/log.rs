//! `log` and `receipts`: reading what was said, and what became of it.

use std::collections::{BTreeSet, VecDeque};
use std::path::Path;

use cairn_actors::api::{ApiError, Event, Message, OrderKey, PageAt, Version};
use cairn_actors::limits::PAGE_MAX;
use cairn_crdt::hlc::Hlc;
use cairn_crdt::ids::{MessageId, SpaceId};
use jiff::tz::TimeZone;

use super::backend::{Backend, node};
use super::error::Failure;
use super::human::LogLines;
use super::say::message_id;
use super::text::Out;
use super::time::{Since, now_ms};
use super::{human, json};
use crate::local::client::Client;
use crate::local::resolve::{ConvRef, Resolved};

/// Messages shown where neither a number nor a time is given.
const DEFAULT_LIMIT: usize = 50;
/// Keys remembered by `--follow`, so that nothing is shown twice.
const REMEMBERED: usize = 200_000;

/// Which messages to show.
#[derive(Debug, Clone, Copy)]
pub struct Range {
    /// The newest of them.
    pub limit: Option<u32>,
    /// From this place on.
    pub since: Option<Since>,
    /// With what edited and deleted messages said before.
    pub history: bool,
}

/// Prints messages, each once.
struct Printer<'a> {
    out: &'a mut Out,
    place: Resolved,
    lines: LogLines,
    /// Where the history shown begins.
    start: OrderKey,
    /// What was shown, remembered only where it may come again.
    shown: Option<BTreeSet<OrderKey>>,
    history: bool,
}

impl Printer<'_> {
    /// Prints a message, with what it said before where that is wanted.
    async fn show(&mut self, backend: &mut impl Backend, m: &Message) -> Result<(), Failure> {
        let changed = m.about.edited.is_some() || m.about.deleted;
        let versions = if self.history && changed { Some(backend.versions(self.place.id, m.id).await?) } else { None };
        self.print(m, versions.as_deref())
    }

    fn print(&mut self, m: &Message, versions: Option<&[Version]>) -> Result<(), Failure> {
        if let Some(shown) = &mut self.shown {
            // A place of messages that cannot be read is shown again when there are more of them.
            let count = m.needs_newer.max(m.needs_key);
            let id = if m.is_placeholder() { MessageId(u128::from(count).to_be_bytes()) } else { m.key.id };
            if !shown.insert(OrderKey { id, ..m.key }) {
                return Ok(());
            }
            if shown.len() > REMEMBERED
                && let Some(first) = shown.pop_first()
            {
                self.start = self.start.max(first);
            }
        }
        if self.out.json {
            self.out.line(&json::message_with(m, Some(self.place.kind), versions))
        } else {
            self.out.lines(self.lines.message(m))?;
            self.out.lines(self.lines.versions(versions.unwrap_or_default()))
        }
    }
}

/// Prints part of a conversation, oldest first.
///
/// # Errors
/// `no_such_conversation`, `ambiguous`, and what the backend answers.
pub async fn log(backend: &mut impl Backend, out: &mut Out, what: &ConvRef, range: Range) -> Result<(), Failure> {
    let place = backend.resolve(what).await?;
    let lines = LogLines::new(TimeZone::system(), out.style);
    let mut printer = Printer { out, place, lines, start: OrderKey::MIN, shown: None, history: range.history };
    history(backend, &mut printer, range).await
}

/// Prints part of a conversation, then what comes, until the node stops.
///
/// # Errors
/// `no_node`, and as [`log`].
pub async fn follow(data: &Path, out: &mut Out, what: &ConvRef, range: Range) -> Result<(), Failure> {
    let mut client = node(data).await?;
    // Events first, then the history, so that nothing comes between the two unseen.
    let mut events = node(data).await?.subscribe().await?;
    let place = client.resolve(what).await?;
    let lines = LogLines::new(TimeZone::system(), out.style);
    let shown = Some(BTreeSet::new());
    let mut printer = Printer { out, place, lines, start: OrderKey::MIN, shown, history: range.history };
    history(&mut client, &mut printer, range).await?;
    loop {
        match events.next().await? {
            Event::Message(m) if m.conversation == printer.place.id => printer.show(&mut client, &m).await?,
            Event::Messages { conversation, .. } if conversation == printer.place.id => {
                again(&mut client, &mut printer).await?;
            }
            Event::Lagged => again(&mut client, &mut printer).await?,
            Event::Stopping => return Ok(()),
            _ => {}
        }
    }
}

/// Reads again from where the history shown begins, and prints what is new in it.
async fn again(client: &mut Client, printer: &mut Printer<'_>) -> Result<(), Failure> {
    let start = printer.start;
    forward(client, printer, start).await
}

async fn history(backend: &mut impl Backend, printer: &mut Printer<'_>, range: Range) -> Result<(), Failure> {
    let since = range.since.map(|s| OrderKey { stamp: Hlc::from_ms(s.ms(now_ms())), ..OrderKey::MIN });
    let limit = range.limit.map(|n| usize::try_from(n).unwrap_or(usize::MAX));
    match (limit, since) {
        (None, Some(since)) => {
            printer.start = since;
            forward(backend, printer, since).await
        }
        (limit, since) => {
            let limit = limit.unwrap_or(DEFAULT_LIMIT);
            let messages = newest(backend, &printer.place.id, limit, since).await?;
            // What is older than the oldest shown stays unshown, unless there is nothing yet.
            printer.start = match messages.front() {
                Some(first) if first.is_placeholder() => first.key.earlier(),
                Some(first) => OrderKey { id: MessageId([0; 16]), ..first.key },
                None => since.unwrap_or_default(),
            };
            for m in &messages {
                printer.show(backend, m).await?;
            }
            Ok(())
        }
    }
}

/// Prints everything after a key, page by page.
async fn forward(backend: &mut impl Backend, printer: &mut Printer<'_>, from: OrderKey) -> Result<(), Failure> {
    let mut at = from;
    loop {
        let page = backend.page(printer.place.id, PageAt::After(at), PAGE_MAX).await?;
        for m in &page.messages {
            printer.show(backend, m).await?;
        }
        match page.messages.last() {
            // A key that does not grow would never end.
            Some(last) if page.newer && last.key > at => at = last.key,
            _ => return Ok(()),
        }
    }
}

/// The newest `limit` messages, none before `since`, oldest first.
async fn newest(
    backend: &mut impl Backend,
    conversation: &SpaceId,
    limit: usize,
    since: Option<OrderKey>,
) -> Result<VecDeque<Message>, ApiError> {
    let mut found: VecDeque<Message> = VecDeque::new();
    let mut at = PageAt::Newest;
    while found.len() < limit {
        let wanted = limit.saturating_sub(found.len()).min(PAGE_MAX);
        let page = backend.page(*conversation, at, wanted).await?;
        let Some(first) = page.messages.first().map(|m| m.key) else { break };
        for m in page.messages.into_iter().rev() {
            if since.is_some_and(|s| m.key < s) {
                return Ok(found);
            }
            found.push_front(m);
        }
        if !page.older || matches!(at, PageAt::Before(k) if k <= first) {
            break;
        }
        at = PageAt::Before(first);
    }
    Ok(found)
}

/// Prints what became of a message.
///
/// # Errors
/// `no_such_conversation`, `no_such_message`, `ambiguous`, and what the backend answers.
pub async fn receipts(backend: &mut impl Backend, out: &mut Out, what: &ConvRef, message: &str) -> Result<(), Failure> {
    let place = backend.resolve(what).await?;
    let id = message_id(backend, message).await?;
    let receipts = backend.receipts(place.id, id).await?;
    if out.json {
        out.lines(receipts.iter().map(json::receipt))
    } else {
        out.lines(human::receipts(&receipts, now_ms()))
    }
}
