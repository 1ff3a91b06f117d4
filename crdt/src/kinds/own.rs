//! What the small single-writer kinds share: each incarnation writes one map at the root, keyed by its text form, and
//! may overwrite what it wrote there itself.
//!
//! Overwriting is safe here, because a change of such a document knows nothing but its author's own chain: it can
//! only name its own earlier operations as predecessors.

use automerge::transaction::{Transactable, Transaction};
use automerge::{ObjId, ObjType, ROOT, ReadDoc, ScalarValue, Value};

use super::order::OrderKey;
use super::{Rule, Writing};
use crate::author::AuthorError;
use crate::document::{Document, Outcome};
use crate::entry::{Entry, Header};
use crate::guard::{Action, Key, OpView};
use crate::ids::{DeviceId, DocumentId, SpaceId};

/// Longest name or petname in bytes.
pub(crate) const MAX_NAME: usize = 64;
/// Longest text of a field that this build does not know, in bytes.
const MAX_TEXT: usize = 4096;
/// Longest key in bytes.
const MAX_KEY: usize = 64;
/// Operations of one change.
const MAX_OPS: u32 = 2048;
/// Longest safety digest in bytes of its text.
const MAX_DIGEST: usize = 128;

/// Which of the small kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Schema {
    /// `{incarnation} -> {name, since}`, by the device itself.
    Profile(DocumentId),
    /// `{incarnation} -> {device -> {petname, verified, at}}`.
    Contacts,
    /// `{incarnation} -> {space -> order key}`.
    ReadMarks,
}

/// Their rule.
#[derive(Debug)]
pub(crate) struct OwnRule {
    schema: Schema,
    change: Option<(Writing, String, u32)>,
}

impl OwnRule {
    pub(crate) fn new(schema: Schema) -> Self {
        Self { schema, change: None }
    }
}

impl Rule for OwnRule {
    fn begin(&mut self, by: &Writing) {
        self.change = Some((*by, by.incarnation.to_string(), 0));
    }

    fn op(&mut self, op: &OpView) -> Result<(), &'static str> {
        let (by, own, ops) = self.change.as_mut().ok_or("no change was begun")?;
        *ops = ops.saturating_add(1);
        if *ops > MAX_OPS {
            return Err("too many operations");
        }
        if let Schema::Profile(id) = self.schema
            && DocumentId::profile(&by.device) != id
        {
            return Err("a profile is written by its own device");
        }
        let Some((Key::Map(root), rest)) = op.path.split_first() else { return Err("not at a key") };
        if root != own {
            return Err("the key belongs to another incarnation");
        }
        let stamp = i64::try_from(by.hlc.0).map_err(|_| "the stamp is too large")?;
        match (rest, self.schema) {
            ([], _) => only(op.action == Action::MakeMap && !op.overwrites, "an incarnation makes its map once"),
            ([Key::Map(field)], Schema::Profile(_)) => match (field.as_str(), &op.action) {
                ("name", action) => only(text(action).is_some_and(is_name), "not a name of 1 to 64 bytes"),
                ("since", action) => only(is_stamp(action, stamp), "since is not the entry's stamp"),
                (field, action) => other(field, action),
            },
            ([Key::Map(device)], Schema::Contacts) => {
                let canonical = device.parse::<DeviceId>().is_ok_and(|d| d.to_string() == *device);
                only(
                    canonical && op.action == Action::MakeMap && !op.overwrites,
                    "a contact is a map at its device's id, made once",
                )
            }
            ([Key::Map(_), Key::Map(field)], Schema::Contacts) => match (field.as_str(), &op.action) {
                ("petname" | "verified", Action::Delete) => Ok(()),
                ("petname", action) => only(text(action).is_some_and(is_name), "not a name of 1 to 64 bytes"),
                ("verified", action) => {
                    only(text(action).is_some_and(|t| t.len() <= MAX_DIGEST), "not a safety digest")
                }
                ("at", action) => only(is_stamp(action, stamp), "at is not the entry's stamp"),
                (field, action) => other(field, action),
            },
            ([Key::Map(space)], Schema::ReadMarks) => only(
                space.parse::<SpaceId>().is_ok_and(|s| s.to_string() == *space)
                    && text(&op.action).is_some_and(|t| t.parse::<OrderKey>().is_ok()),
                "not the place of a message in a conversation",
            ),
            _ => Err("nothing belongs there"),
        }
    }

    fn end(&mut self) -> Result<(), &'static str> {
        self.change.take().map(|_| ()).ok_or("no change was begun")
    }
}

fn only(allowed: bool, why: &'static str) -> Result<(), &'static str> {
    if allowed { Ok(()) } else { Err(why) }
}

/// A field that this build does not know: a small scalar, or its deletion.
fn other(field: &str, action: &Action) -> Result<(), &'static str> {
    let small = match action {
        Action::Put(v) => scalar_len(v).is_some_and(|n| n <= MAX_TEXT),
        Action::Delete => true,
        _ => false,
    };
    only(small && field.len() <= MAX_KEY, "not a small value")
}

/// The size of a scalar in bytes; `None` for those that have no place in these kinds.
pub(crate) fn scalar_len(value: &ScalarValue) -> Option<usize> {
    match value {
        ScalarValue::Str(s) => Some(s.len()),
        ScalarValue::Bytes(b) => Some(b.len()),
        ScalarValue::Int(_)
        | ScalarValue::Uint(_)
        | ScalarValue::F64(_)
        | ScalarValue::Timestamp(_)
        | ScalarValue::Boolean(_)
        | ScalarValue::Null => Some(8),
        ScalarValue::Counter(_) | ScalarValue::Unknown { .. } => None,
    }
}

/// The text that an action puts.
pub(crate) fn text(action: &Action) -> Option<&str> {
    match action {
        Action::Put(ScalarValue::Str(s)) => Some(s.as_str()),
        _ => None,
    }
}

fn is_stamp(action: &Action, stamp: i64) -> bool {
    *action == Action::Put(ScalarValue::Int(stamp))
}

/// Judges and applies entries, and shows every operation of the valid ones to a read model, in order.
pub(crate) fn apply_ops<E: AsRef<Entry>>(
    document: &mut Document,
    entries: &[E],
    mut read: impl FnMut(&Header, &OpView),
) -> Vec<Outcome> {
    let outcomes = document.apply(entries);
    for (entry, outcome) in entries.iter().zip(&outcomes) {
        if let Outcome::Valid { ops } = outcome {
            ops.iter().for_each(|op| read(entry.as_ref().header(), op));
        }
    }
    outcomes
}

/// Whether a name can stand: 1 to 64 bytes, not blank, no control characters.
#[must_use]
pub fn is_name(name: &str) -> bool {
    !name.trim().is_empty() && name.len() <= MAX_NAME && !name.chars().any(char::is_control)
}

/// The map at a key, made if it is not there.
pub(crate) fn map_at(tx: &mut Transaction<'_>, parent: &ObjId, key: &str) -> Result<ObjId, AuthorError> {
    if let Some((Value::Object(ObjType::Map), id)) = tx.get(parent, key)? {
        return Ok(id);
    }
    Ok(tx.put_object(parent, key, ObjType::Map)?)
}

/// The author's own map at the root.
pub(crate) fn own_map(tx: &mut Transaction<'_>, incarnation: &str) -> Result<ObjId, AuthorError> {
    map_at(tx, &ROOT, incarnation)
}
