//! How long conversations are kept: settings, what is retired when it is due, what is erased, and one's own copy.

use std::sync::Arc;

use cairn_crdt::entry::Entry;
use cairn_crdt::ids::{DeviceId, SpaceId};
use cairn_crdt::kinds::control::{Operation, Setting, is_keep};
use cairn_crdt::spans::Spans;

use super::DocumentsState;
use super::commits::{Asked, Ticket, store_error};
use super::requests::no_conversation;
use crate::api::{ApiError, Event, Retention, What};
use crate::handle::Reply;
use crate::limits::FORGOTTEN_MAX;
use crate::retention::{self, GRACE_MS, Record, too_old};
use crate::space::{Space, SpaceKind};
use crate::store::StoreError;
use crate::wiring::Wiring;

/// A change of a space's record on its way to the disk.
#[derive(Debug)]
pub(super) struct RecordChange {
    pub space: SpaceId,
    /// What to tell of it, and up to which time it reaches.
    pub told: Option<(What, u64)>,
    pub reply: Option<Reply<Retention>>,
}

/// How long messages of a space are kept, as shown.
pub(crate) fn shown(sp: &Space, wiring: &Wiring) -> Retention {
    let shared = !matches!(sp.kind, SpaceKind::Commons(_));
    let setting = sp.setting().filter(|_| shared);
    let first = |spans: &Spans| spans.iter().next().filter(|(from, _)| *from == 0).map(|(_, upto)| upto);
    let gone = sp.record().gone(&sp.hidden());
    let keep = sp.keep();
    let agreed = wiring.agreed_ms(sp.quorum()).is_some();
    Retention {
        conversation: sp.id,
        keep: keep.map(|ms| ms / 1_000),
        shared,
        set_by: setting.map(|s| s.by),
        set_by_name: setting.map(|s| wiring.name_of(&s.by)),
        set_at: setting.map(|s| s.at.ms()),
        gone_before: first(&gone),
        erased_before: first(&sp.record().erased.union(&sp.record().forgotten)),
        erases_at: sp.record().next_erasure().filter(|_| keep.is_some()),
        agreed,
        sentence: retention::sentence(keep, shared),
    }
}

impl DocumentsState {
    /// Looks at every space: what is too old by now is retired, hidden or erased, as far as other clocks agree.
    pub(super) fn retention_tick(&mut self) {
        for id in self.spaces.keys().copied().collect::<Vec<_>>() {
            if let Err(e) = self.look(id) {
                self.wiring.trouble("retention", Some(format!("Old messages could not be looked through: {e}")));
            }
            self.drop_keys(id);
        }
    }

    fn look(&mut self, id: SpaceId) -> Result<(), StoreError> {
        let wiring = self.wiring.clone();
        let Some(sp) = self.spaces.get_mut(&id) else { return Ok(()) };
        let agreed = wiring.agreed_ms(sp.quorum());
        let before = sp.record().clone();
        if let (SpaceKind::Commons(_), Some(keep), Some(agreed)) = (sp.kind, sp.keep(), agreed)
            && too_old(agreed, keep) != too_old(before.looked, keep)
        {
            sp.record_mut().looked = agreed;
        }
        self.refresh_gone(id);
        let Some(agreed) = agreed else { return Ok(()) };
        self.expire_prekeys(id, agreed);
        let Some(sp) = self.spaces.get_mut(&id) else { return Ok(()) };
        let hidden = sp.hidden();
        sp.record_mut().note(&hidden, agreed);
        let erasable = sp.record().erasable(agreed, sp.keep());
        if erasable.is_empty() {
            if *sp.record() != before {
                self.write_record(RecordChange { space: id, told: None, reply: None });
            }
        } else {
            self.erase(id, &erasable)?;
        }
        self.retire_due(id, agreed)
    }

    fn retire_due(&mut self, id: SpaceId, agreed: u64) -> Result<(), StoreError> {
        let wiring = self.wiring.clone();
        let Some(sp) = self.spaces.get(&id) else { return Ok(()) };
        for operation in sp.due(agreed, &wiring)? {
            if let Err(e) = self.write_control(id, &operation, Asked::Nobody) {
                tracing::error!("what is too old could not be retired: {e}");
            }
        }
        Ok(())
    }

    /// Erases what lies wholly in `what`; the record says so already when it is written with the last batch.
    fn erase(&mut self, id: SpaceId, what: &Spans) -> Result<(), StoreError> {
        let wiring = self.wiring.clone();
        let Some(sp) = self.spaces.get_mut(&id) else { return Ok(()) };
        sp.record_mut().erased(what);
        let mut parts = sp.erase(what, wiring.store.as_ref())?;
        let last = parts.pop().unwrap_or_default();
        for part in parts {
            self.commit_small(part);
        }
        let told = Some((What::Erased, what.end()));
        self.commit(last, Ticket::Record(RecordChange { space: id, told, reply: None }));
        Ok(())
    }

    fn write_record(&mut self, change: RecordChange) {
        let Some(sp) = self.spaces.get(&change.space) else { return };
        let mut writes = vec![sp.record().write(&change.space)];
        writes.extend(self.register(change.space));
        self.commit(writes, Ticket::Record(change));
    }

    /// A change of a record is durable, or not: then what is durable counts.
    pub(super) fn record_written(&mut self, change: RecordChange, result: Result<(), StoreError>) {
        let RecordChange { space, told, reply } = change;
        let wiring = self.wiring.clone();
        if let Err(e) = &result {
            if let (Some(sp), Ok(record)) = (self.spaces.get_mut(&space), Record::read(wiring.store.as_ref(), &space)) {
                *sp.record_mut() = record;
            }
            self.refresh_gone(space);
            if let Some(reply) = reply {
                let _ = reply.send(Err(store_error(e)));
            }
            return;
        }
        if let Some((what, before)) = told {
            self.recount(space);
            self.drop_keys(space);
            self.tell_gone(space, what, before);
        }
        if let Some(reply) = reply {
            if told.is_none() {
                self.tell_retention(space);
            }
            let _ = reply.send(self.spaces.get(&space).map(|sp| shown(sp, &wiring)).ok_or_else(no_conversation));
        }
    }

    /// Hides what is to be hidden by now, does what that asks for, and tells of it.
    pub(super) fn refresh_gone(&mut self, id: SpaceId) {
        let wiring = self.wiring.clone();
        let Some(sp) = self.spaces.get_mut(&id) else { return };
        let moved = match sp.refresh_gone(&wiring) {
            Ok(moved) => moved,
            Err(e) => return wiring.trouble("store_read", Some(e.to_string())),
        };
        self.carry_out(id, None);
        let Some(moved) = moved else { return };
        // Logs of what is gone count no more.
        self.recount(id);
        if let Some(fresh) = self.fresh.get_mut(&id) {
            // Said just now into what has just gone: it is answered for, and not shown.
            let Some(sp) = self.spaces.get(&id) else { return };
            fresh.retain(|(entry, _)| !sp.sync.replica().is_gone(&entry.header().log.document));
        }
        for (spans, what) in [(moved.went, What::Hidden), (moved.back, What::Back)] {
            if !spans.is_empty() {
                self.tell_gone(id, what, spans.end());
            }
        }
    }

    fn tell_gone(&mut self, id: SpaceId, what: What, before: u64) {
        let Some(sp) = self.spaces.get_mut(&id) else { return };
        sp.dirty = true;
        // What a person did themselves needs no notice, and what they deleted is hidden by that.
        let forgotten = sp.record().forgotten.covers(before.saturating_sub(1), before);
        let what = if what == What::Hidden && forgotten { What::Forgotten } else { what };
        let place = match sp.kind {
            SpaceKind::Commons(_) => "the Everyone room".to_owned(),
            SpaceKind::Direct(peer) => format!("the chat with {}", self.wiring.name_of(&peer)),
            SpaceKind::Group(_) => format!("the group {}", sp.group_name()),
        };
        self.wiring.emit(Event::Gone { conversation: id, what, before });
        self.tell_retention(id);
        if let Some((code, sentence)) = retention::notice(what, &place) {
            self.wiring.notice(code, sentence);
        }
    }

    fn tell_retention(&self, id: SpaceId) {
        if let Some(sp) = self.spaces.get(&id) {
            self.wiring.emit(Event::Retention(Box::new(shown(sp, &self.wiring))));
        }
    }

    /// The other side of a direct space set how long messages are kept: a person should know.
    pub(super) fn setting_changed(&mut self, id: SpaceId, setting: &Setting) {
        let Some(sp) = self.spaces.get_mut(&id) else { return };
        sp.dirty = true;
        let group = matches!(sp.kind, SpaceKind::Group(_)).then(|| sp.group_name().to_owned());
        self.tell_retention(id);
        if setting.by != self.wiring.me {
            let name = self.wiring.name_of(&setting.by);
            let kept = retention::words(setting.keep);
            let (which, sides) = match group {
                Some(group) => (format!("messages in {group}"), "everywhere"),
                None => ("messages between you".to_owned(), "on both sides"),
            };
            let sentence = match setting.keep {
                Some(_) => format!(
                    "{name} set that {which} are kept for {kept}: older ones are hidden {sides} and removed a week later."
                ),
                None => format!("{name} set that {which} are kept for ever."),
            };
            self.wiring.notice_about(&setting.by, "retention_set", sentence);
        }
    }

    /// How long messages are kept was set on a branch that does not count. It is not said again: whoever set it may not
    /// want it any more, and what counts by now may be younger. So the setting before it counts again, on both sides, and
    /// people are told.
    pub(super) fn setting_lost(&mut self, id: SpaceId, by: &DeviceId) {
        let wiring = self.wiring.clone();
        let Some(sp) = self.spaces.get_mut(&id) else { return };
        sp.dirty = true;
        let kept = retention::words(sp.keep());
        self.tell_retention(id);
        let who = if *by == wiring.me { "This device".into() } else { wiring.name_of(by) };
        let sentence = format!(
            "{who} wrote twice at one place, and what does not count of that said how long messages between you are \
             kept. They are kept for {kept} now, on both sides. If that is not right, set it again: nothing is removed \
             within a week."
        );
        self.wiring.notice("retention_lost", sentence);
    }

    /// Writes a control entry and sends it to the disk.
    pub(super) fn write_control(&mut self, id: SpaceId, operation: &Operation, reply: Asked) -> Result<(), ApiError> {
        let (wiring, hlc) = (self.wiring.clone(), self.stamp());
        let written = match self.spaces.get_mut(&id) {
            Some(sp) => sp.write_control(operation, hlc, &wiring),
            None => {
                reply.refuse(no_conversation());
                return Err(no_conversation());
            }
        };
        let entry: Arc<Entry> = match written {
            Ok(entry) => entry,
            Err(e) => {
                let e = ApiError::new("not_written", e.to_string());
                reply.refuse(e.clone());
                return Err(e);
            }
        };
        let received = wiring.env.now_ms();
        let mut writes = self.spaces.get(&id).map(|sp| sp.before_operation(operation, &wiring)).unwrap_or_default();
        writes.push(crate::store::Write::Append { entry: entry.clone(), received });
        writes.extend(self.register(id));
        self.commit(writes, Ticket::Control { space: id, entry, reply });
        Ok(())
    }

    /// A control entry of ours is durable: it counts from now on.
    pub(super) fn control_written(&mut self, space: SpaceId, entry: &Arc<Entry>, reply: Asked) {
        self.durable(space, None, true, std::slice::from_ref(entry));
        match reply {
            Asked::Nobody => {}
            Asked::Retention(reply) => {
                let shown = self.spaces.get(&space).map(|sp| shown(sp, &self.wiring));
                let _ = reply.send(shown.ok_or_else(no_conversation));
            }
            Asked::Group(group, reply) => drop(reply.send(self.group_shown(group))),
        }
    }

    /// How long messages of a conversation are kept.
    pub(super) fn retention(&mut self, conversation: SpaceId) -> Result<Retention, ApiError> {
        let wiring = self.wiring.clone();
        self.space_of(conversation).map(|sp| shown(sp, &wiring))
    }

    /// Sets it. In a direct space it is signed, and both sides follow it; in the room of a network it is for here alone.
    pub(super) fn set_retention(&mut self, conversation: SpaceId, keep: Option<u64>, reply: Reply<Retention>) {
        let keep = keep.map(|seconds| seconds.saturating_mul(1_000));
        let checked = match keep {
            Some(ms) if !is_keep(ms) => Err(bad_keep()),
            _ => self.space_of(conversation).map(|sp| (sp.id, sp.kind)),
        };
        match checked {
            Err(e) => drop(reply.send(Err(e))),
            Ok((id, SpaceKind::Direct(_) | SpaceKind::Group(_))) => {
                if let Err(e) = self.check_admin(id) {
                    return drop(reply.send(Err(e)));
                }
                // The error was answered.
                let _ = self.write_control(id, &Operation::Retention { keep }, Asked::Retention(reply));
            }
            Ok((id, SpaceKind::Commons(_))) => {
                let agreed = self.wiring.agreed_ms(crate::proto::agreed::Quorum::Others(2));
                if let Some(sp) = self.spaces.get_mut(&id) {
                    let record = sp.record_mut();
                    record.keep = keep;
                    record.looked = agreed.unwrap_or(record.looked);
                    sp.dirty = true;
                }
                self.refresh_gone(id);
                self.write_record(RecordChange { space: id, told: None, reply: Some(reply) });
            }
        }
    }

    /// Deletes the copy here of what was said before a time (milliseconds since 1970), or of everything said so far.
    pub(super) fn forget(&mut self, conversation: SpaceId, before: Option<u64>, reply: Reply<Retention>) {
        self.flush();
        let wiring = self.wiring.clone();
        let now = wiring.mesh_ms();
        let done = self.space_of(conversation).and_then(|sp| {
            if before.is_some_and(|ms| ms > now) {
                return Err(ApiError::new("bad_time", "what has not been said yet cannot be deleted"));
            }
            // Never past what is held: a clock of 2036 must not make this device deaf for ten years.
            let replica = sp.sync.replica();
            let newest = replica.documents().flat_map(|d| replica.frontier(&d).map(|(_, t)| t.hlc.ms()).max()).max();
            let upto = before.unwrap_or(now).min(newest.map_or(0, |ms| ms.saturating_add(1)));
            let forgotten = sp.record().forgotten.union(&Spans::one(0, upto));
            if forgotten.len() > FORGOTTEN_MAX {
                return Err(ApiError::new("too_many", "too many separate stretches were deleted here already"));
            }
            sp.record_mut().forgotten = forgotten.clone();
            Ok((sp.id, forgotten))
        });
        let (id, forgotten) = match done {
            Ok(done) => done,
            Err(e) => return drop(reply.send(Err(e))),
        };
        self.refresh_gone(id);
        let Some(sp) = self.spaces.get(&id) else { return };
        match sp.erase(&forgotten, wiring.store.as_ref()) {
            Err(e) => drop(reply.send(Err(store_error(&e)))),
            Ok(mut parts) => {
                let mut last = parts.pop().unwrap_or_default();
                last.extend(self.register(id));
                for part in parts {
                    self.commit_small(part);
                }
                let told = Some((What::Forgotten, forgotten.end()));
                self.commit(last, Ticket::Record(RecordChange { space: id, told, reply: Some(reply) }));
            }
        }
    }
}

fn bad_keep() -> ApiError {
    let sentence = "messages can be kept for a day up to ten years, in whole hours, or for ever";
    ApiError::new("bad_duration", sentence)
}

// The sentences say so.
const _: () = assert!(GRACE_MS == 7 * 86_400_000, "the sentences say a week");
