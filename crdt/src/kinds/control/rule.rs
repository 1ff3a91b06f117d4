//! Who may write what in a control log. Whether an operation counts is another question, and another file's: what is
//! written by somebody who may not stays in the log and does nothing.

use std::collections::{BTreeMap, BTreeSet};

use automerge::ScalarValue;

use super::group::{self, CutFields, GroupOperation, INFO, INVITE, Invitation, MAX_CUT};
use super::{EPOCH, MAX_SHARES, MIN_KEEP_MS, PREKEY, RETENTION, RETIRE, is_keep};
use crate::entry::MAX_CONTROL_HEADS;
use crate::guard::{Action, Key, OpView};
use crate::hlc::Hlc;
use crate::ids::{DeviceId, DocumentId, EntryHash, EpochId, Incarnation};
use crate::kinds::chat::block_key;
use crate::kinds::own::scalar_len;
use crate::kinds::{Rule, Writing};
use crate::period::HOUR_MS;
use crate::seal::{Prekey, Share};

/// Operations of one change: room for what a removal from a large group has to list.
const MAX_OPS: u32 = 4096;
/// Bytes of keys and values of one change.
const MAX_BYTES: usize = 128 * 1024;
/// Longest key in bytes: an id in its text form and some more.
const MAX_KEY: usize = 160;
/// Longest name of an operation in bytes.
const MAX_NAME: usize = 32;
/// Deepest path.
const MAX_DEPTH: usize = 8;
/// Largest number of an operation, the most that six digits can say.
const MAX_NUMBER: u32 = 999_999;
/// Why nothing more can be written.
pub(crate) const FULL: &str = "this start of the device has written all the control entries that it can";

/// How far an incarnation has come.
#[derive(Debug, Clone, Copy, Default)]
struct Progress {
    written: u32,
    stamp: Hlc,
}

/// Fields of the operation being judged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Fields {
    pub name: String,
    pub numbers: BTreeMap<String, i64>,
    pub over: BTreeSet<EntryHash>,
    pub prekey: Option<Prekey>,
    pub epoch: Option<EpochId>,
    pub shares: BTreeMap<DeviceId, Share>,
    pub texts: BTreeMap<String, String>,
    pub bytes: BTreeMap<String, Vec<u8>>,
    pub cut: CutFields,
}

/// The change being judged.
#[derive(Debug)]
struct Change {
    by: Writing,
    key: String,
    progress: Progress,
    made: bool,
    at: bool,
    ops: u32,
    bytes: usize,
    fields: Fields,
}

/// The rule of a control log.
#[derive(Debug, Default)]
pub(crate) struct ControlRule {
    authors: BTreeMap<(DeviceId, Incarnation), Progress>,
    change: Option<Change>,
}

impl Rule for ControlRule {
    fn begin(&mut self, by: &Writing) {
        let progress = self.authors.get(&(by.device, by.incarnation)).copied().unwrap_or_default();
        self.change = Some(Change {
            by: *by,
            key: block_key(&by.incarnation, progress.written),
            progress,
            made: false,
            at: false,
            ops: 0,
            bytes: 0,
            fields: Fields::default(),
        });
    }

    fn op(&mut self, op: &OpView) -> Result<(), &'static str> {
        self.change.as_mut().ok_or("no change was begun")?.op(op)
    }

    fn end(&mut self) -> Result<(), &'static str> {
        let change = self.change.take().ok_or("no change was begun")?;
        let Change { by, progress, made, at, fields, .. } = change;
        if !made || fields.name.is_empty() || !at {
            return Err("a control entry is one operation with op and at");
        }
        if by.hlc <= progress.stamp {
            return Err("the stamp is not past the author's previous one");
        }
        judge(&fields, &by)?;
        let written = progress.written.saturating_add(1);
        self.authors.insert((by.device, by.incarnation), Progress { written, stamp: by.hlc });
        Ok(())
    }
}

/// The fields of the operations that this build knows.
fn judge(fields: &Fields, by: &Writing) -> Result<(), &'static str> {
    let number = |field: &str| fields.numbers.get(field).and_then(|n| u64::try_from(*n).ok());
    match fields.name.as_str() {
        RETENTION => match number("keep") {
            Some(0) => Ok(()),
            Some(ms) if is_keep(ms) => Ok(()),
            _ => Err("keep is not a time within the bounds"),
        },
        RETIRE => match number("from").zip(number("upto")) {
            Some((from, upto)) if !from.is_multiple_of(HOUR_MS) || !upto.is_multiple_of(HOUR_MS) || from >= upto => {
                Err("from and upto are not a stretch of whole hours")
            }
            Some((_, upto)) if upto.saturating_add(MIN_KEEP_MS) > by.hlc.ms() => {
                Err("what is retired is not a day old by the author's own clock")
            }
            Some(_) => Ok(()),
            None => Err("a retire has from and upto"),
        },
        PREKEY => match &fields.prekey {
            Some(prekey) if prekey.device == by.device && prekey.verify() => Ok(()),
            _ => Err("a prekey is one that the author's device signed"),
        },
        EPOCH if fields.epoch.is_none_or(|id| id == EpochId::NONE) => Err("an epoch has an id"),
        EPOCH if fields.shares.is_empty() => Err("an epoch goes to somebody"),
        INVITE if Invitation::of(fields).is_none() => Err("an invitation names a group and a role"),
        group::DECLINE | group::WITHDRAW if group::group_of(fields).is_none() => Err("it names no group"),
        name if GroupOperation::is(name) && GroupOperation::of(fields).is_none() => {
            Err("an operation of a group lacks what it needs")
        }
        _ => Ok(()),
    }
}

impl Change {
    fn op(&mut self, op: &OpView) -> Result<(), &'static str> {
        self.ops = self.ops.saturating_add(1);
        if self.ops > MAX_OPS || op.path.len() > MAX_DEPTH {
            return Err("too many operations or too deep");
        }
        if op.overwrites {
            return Err("nothing in a control log is overwritten or deleted");
        }
        let Some((Key::Map(root), rest)) = op.path.split_first() else { return Err("not at a key") };
        if *root != self.key || self.progress.written > MAX_NUMBER {
            return Err("not the author's next key");
        }
        self.bound(op)?;
        match rest {
            [] if op.action == Action::MakeMap && !self.made => {
                self.made = true;
                Ok(())
            }
            [] => Err("an operation is one map"),
            [Key::Map(field)] => self.field(field, &op.action),
            [Key::Map(field), Key::Map(hash)] if field == "over" && has_over(&self.fields.name) => {
                let known = hash.parse().ok().filter(|h: &EntryHash| h.to_string() == *hash);
                self.fields.over.insert(known.ok_or("over names what is no entry")?);
                if self.fields.over.len() > MAX_CONTROL_HEADS { Err("over names too many") } else { Ok(()) }
            }
            [Key::Map(field), Key::Map(device)] if field == "shares" && self.fields.name == EPOCH => {
                let (device, share) = share(device, &op.action).ok_or("shares holds what is no share")?;
                self.fields.shares.insert(device, share);
                if self.fields.shares.len() > MAX_SHARES { Err("shares are too many for one entry") } else { Ok(()) }
            }
            [Key::Map(field), Key::Map(log)] if field == "cut" && GroupOperation::is(&self.fields.name) => {
                let (at, seq) = cut(log, &op.action).ok_or("cut names what is no log")?;
                self.fields.cut.insert(at, seq);
                if self.fields.cut.len() > MAX_CUT { Err("cut names too many logs") } else { Ok(()) }
            }
            _ => Ok(()),
        }
    }

    fn field(&mut self, field: &str, action: &Action) -> Result<(), &'static str> {
        match (field, action) {
            ("op", Action::Put(ScalarValue::Str(name))) if self.ops == 2 && (1..=MAX_NAME).contains(&name.len()) => {
                self.fields.name = name.to_string();
                Ok(())
            }
            ("op", _) => Err("op is not a short text in front of all else"),
            ("at", Action::Put(ScalarValue::Int(at))) if self.ops == 3 && u64::try_from(*at) == Ok(self.by.hlc.0) => {
                self.at = true;
                Ok(())
            }
            ("at", _) => Err("at is not the entry's stamp, after op"),
            ("prekey", Action::Put(ScalarValue::Bytes(bytes))) if self.fields.name == PREKEY => {
                self.fields.prekey = Prekey::decode(bytes).ok();
                Ok(())
            }
            ("epoch", Action::Put(ScalarValue::Bytes(bytes))) if self.fields.name == EPOCH => {
                self.fields.epoch = <[u8; 32]>::try_from(bytes.as_slice()).ok().map(EpochId);
                Ok(())
            }
            ("shares", action) if self.fields.name == EPOCH && *action != Action::MakeMap => Err("shares is not a map"),
            ("cut", action) if GroupOperation::is(&self.fields.name) && *action != Action::MakeMap => {
                Err("cut is not a map")
            }
            (field, action) => {
                self.fields.put(field, action);
                Ok(())
            }
        }
    }

    /// Whatever it is: maps, lists and scalars, within bounds.
    fn bound(&mut self, op: &OpView) -> Result<(), &'static str> {
        let value = match &op.action {
            Action::MakeMap | Action::MakeList => 0,
            Action::Put(v) => scalar_len(v).ok_or("a value of this type has no place here")?,
            Action::MakeText | Action::Delete | Action::Increment(_) | Action::Mark => {
                return Err("texts, counters and marks have no place here");
            }
        };
        let key = match op.path.last() {
            Some(Key::Map(k)) => k.len(),
            _ => 0,
        };
        self.bytes = self.bytes.saturating_add(value).saturating_add(key);
        if key > MAX_KEY || self.bytes > MAX_BYTES { Err("too large") } else { Ok(()) }
    }
}

impl Fields {
    /// Takes a field that is a number, a text or bytes.
    fn put(&mut self, field: &str, action: &Action) {
        match action {
            Action::Put(ScalarValue::Int(n)) => drop(self.numbers.insert(field.to_owned(), *n)),
            Action::Put(ScalarValue::Str(text)) => drop(self.texts.insert(field.to_owned(), text.to_string())),
            Action::Put(ScalarValue::Bytes(bytes)) => drop(self.bytes.insert(field.to_owned(), bytes.clone())),
            _ => {}
        }
    }
}

/// Whether an operation names those that it takes the place of.
fn has_over(name: &str) -> bool {
    name == RETENTION || name == INFO
}

/// A log that a cut names, and its last entry that counts.
fn cut(log: &str, action: &Action) -> Option<((DocumentId, Incarnation), u64)> {
    let Action::Put(ScalarValue::Int(seq)) = action else { return None };
    Some((group::cut_key(log)?, u64::try_from(*seq).ok()?))
}

/// A device in its canonical text form, and its share.
fn share(device: &str, action: &Action) -> Option<(DeviceId, Share)> {
    let Action::Put(ScalarValue::Bytes(bytes)) = action else { return None };
    let id: DeviceId = device.parse().ok()?;
    Some((id, Share::decode(bytes).ok()?)).filter(|_| id.to_string() == device)
}

/// What an operation says, read from a change that passed guard and rule.
pub(crate) fn read(ops: &[OpView]) -> Fields {
    let mut fields = Fields::default();
    for op in ops {
        match (op.path.as_slice(), &op.action) {
            ([_, Key::Map(field)], Action::Put(ScalarValue::Str(name))) if field == "op" => {
                fields.name = name.to_string();
            }
            ([_, Key::Map(field), Key::Map(hash)], _) if field == "over" => {
                fields.over.extend(hash.parse::<EntryHash>())
            }
            ([_, Key::Map(field)], Action::Put(ScalarValue::Bytes(bytes))) if field == "prekey" => {
                fields.prekey = Prekey::decode(bytes).ok();
            }
            ([_, Key::Map(field)], Action::Put(ScalarValue::Bytes(bytes))) if field == "epoch" => {
                fields.epoch = <[u8; 32]>::try_from(bytes.as_slice()).ok().map(EpochId);
            }
            ([_, Key::Map(field), Key::Map(device)], action) if field == "shares" => {
                fields.shares.extend(share(device, action));
            }
            ([_, Key::Map(field), Key::Map(log)], action) if field == "cut" => fields.cut.extend(cut(log, action)),
            ([_, Key::Map(field)], action) => fields.put(field, action),
            _ => {}
        }
    }
    fields
}
