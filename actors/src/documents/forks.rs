//! Forks in the running node: what shows one is looked at, what is decided is stored and told, and what this device
//! lost by one it says again. And starts that contradict themselves in what they state.

use std::collections::BTreeMap;
use std::sync::Arc;

use cairn_crdt::entry::Entry;
use cairn_crdt::ids::{DeviceId, EntryHash, Incarnation, LogId, SpaceId};
use cairn_crdt::ledger::contradiction::Contradiction;
use cairn_crdt::sync::Suspect;
use cairn_crdt::sync::frame::Frame;

use super::DocumentsState;
use super::commits::Ticket;
use crate::api::Event;
use crate::limits::{CONTRADICTION_TOLD, OFFENDERS_TOLD};
use crate::sessions::SessionsMsg;

/// Starts that contradict themselves and of which people are not told yet: where, and in how many seconds they are.
pub(super) type Accused = BTreeMap<(DeviceId, Incarnation), (SpaceId, u32)>;

/// A decision about a log that forked, on its way to the disk.
#[derive(Debug)]
pub(super) struct Decision {
    pub space: SpaceId,
    pub log: LogId,
    /// Who sent the proof; `None`: it was found here.
    pub from: Option<DeviceId>,
    /// Whether our log was cut.
    pub cut: bool,
}

impl DocumentsState {
    /// Looks at what may show a fork. After a failed commit that waits until all has ended that was on its way: a cut
    /// must not lie behind entries of the same log that nobody here remembers.
    pub(super) fn examine(&mut self, space: SpaceId, from: DeviceId, suspect: Suspect) {
        let wiring = self.wiring.clone();
        let waits = self.is_unsure(space);
        let Some(sp) = self.spaces.get_mut(&space) else { return };
        if waits {
            sp.sync.later(from, suspect);
        } else {
            sp.examine(from, suspect, wiring.store.as_ref());
        }
    }

    /// A fork was decided: stores that, and cuts the log with it.
    pub(super) fn forked(&mut self, space: SpaceId, from: Option<DeviceId>, log: LogId, cut: Option<u64>) {
        let wiring = self.wiring.clone();
        if log.device == wiring.me && log.incarnation == wiring.pen() {
            self.go_on_elsewhere();
        }
        let Some(sp) = self.spaces.get_mut(&space) else { return };
        match sp.fork_writes(&log, cut, wiring.store.as_ref()) {
            Ok(writes) => {
                let decision = Decision { space, log, from, cut: cut.is_some() };
                self.commit(writes, Ticket::Forked(decision));
            }
            Err(e) => {
                wiring.trouble("store_read", Some(e.to_string()));
                self.space_failed(space);
            }
        }
    }

    /// The decision is durable: what was read is read anew, everybody is told, and the author gets what it lost.
    pub(super) fn decided(&mut self, decision: Decision) {
        let Decision { space, log, from, cut } = decision;
        let wiring = self.wiring.clone();
        let Some(sp) = self.spaces.get_mut(&space) else { return };
        let kept = sp.keep();
        let read = sp.agree_with_store(&log, wiring.store.as_ref());
        if let Err(e) = read.and_then(|()| if cut { sp.read_anew(&log, &wiring) } else { Ok(()) }) {
            wiring.trouble("store_read", Some(e.to_string()));
        }
        sp.sync.settled(from, &log);
        let lost = sp.keep() != kept;
        self.know_forks(space);
        self.rostered(space, false);
        self.carry_out(space, None);
        self.refresh_gone(space);
        if lost {
            self.setting_lost(space, &log.device);
        }
        self.recount(space);
        // A key that the log shows no more goes to the others again.
        self.save_keys(space);
        self.seal_again(space, None);
        self.give_back(space, log.device);
        self.tell_fork(space, &log);
        self.say_again(space);
    }

    fn tell_fork(&mut self, space: SpaceId, log: &LogId) {
        let mine = log.device == self.wiring.me;
        let sentence = if mine {
            "This device went on from an older state of itself, as a virtual machine does after a snapshot, and wrote \
             twice at one place. Nothing of it is lost: what others could not keep is said again. If two copies of \
             this device run, shut one of them down for good."
                .to_owned()
        } else {
            let name = self.wiring.name_of(&log.device);
            let slowly = self.slowly(&log.device);
            format!(
                "{name} wrote two different things at one place, as a device does that was set back to a snapshot or \
                 runs twice. Everybody keeps the same one, and {name} says the other again. If {name} restored or \
                 copied nothing, do not trust that device.{slowly}"
            )
        };
        if mine {
            self.wiring.trouble("forked", Some(sentence.clone()));
            self.wiring.notice("forked", sentence.clone());
        } else {
            self.wiring.notice_about(&log.device, "forked", sentence.clone());
        }
        self.wiring.emit(Event::Forked { conversation: space, device: log.device, mine, sentence });
    }

    /// What is said of a device that forked again and again.
    fn slowly(&self, device: &DeviceId) -> &'static str {
        if self.freezer.is_whole(device) {
            " It has done so again and again, so whatever it writes is taken slowly from now on."
        } else {
            ""
        }
    }

    /// Whoever forked in a space, or contradicted itself there, is taken slowly from now on.
    pub(super) fn know_forks(&mut self, space: SpaceId) {
        let Some(sp) = self.spaces.get(&space) else { return };
        let logs = sp.sync.replica().forks().map(|(log, _)| (log.device, log.incarnation));
        for (device, start) in logs.chain(sp.ledger.contradictions().map(|p| (p.device(), p.start()))) {
            if device != self.wiring.me {
                self.freezer.prove(device, start);
            }
        }
    }

    /// A start of a device contradicts itself in what it states: keeps that. People are told of one of another device a
    /// little later, since mostly a log of that start forked too, which says it better.
    pub(super) fn contradicted(&mut self, space: SpaceId, pair: Contradiction) {
        let (device, start) = (pair.device(), pair.start());
        let write = self.spaces.get(&space).map(|sp| sp.contradiction_write(&pair));
        self.commit_small(write.into_iter().collect());
        if device == self.wiring.me {
            if start == self.wiring.pen() {
                self.go_on_elsewhere();
            }
            return;
        }
        self.freezer.prove(device, start);
        let elsewhere = |(id, sp): (&SpaceId, &crate::space::Space)| {
            *id != space && sp.ledger.contradictions().any(|p| (p.device(), p.start()) == (device, start))
        };
        if self.accused.len() < OFFENDERS_TOLD && !self.spaces.iter().any(elsewhere) {
            self.accused.insert((device, start), (space, CONTRADICTION_TOLD));
        }
    }

    /// A second has passed: tells of starts that contradict themselves where nothing tells more.
    pub(super) fn tell_accused(&mut self) {
        for (_, seconds) in self.accused.values_mut() {
            *seconds = seconds.saturating_sub(1);
        }
        let due: Vec<_> = self.accused.extract_if(.., |_, (_, seconds)| *seconds == 0).collect();
        for ((device, start), (conversation, _)) in due {
            let of_it = |log: &LogId| (log.device, log.incarnation) == (device, start);
            if self.spaces.values().any(|sp| sp.sync.replica().forks().any(|(log, _)| of_it(log))) {
                continue;
            }
            let (name, slowly) = (self.wiring.name_of(&device), self.slowly(&device));
            let sentence = format!(
                "{name} stated two things that cannot both be true, as a device does that was set back to a snapshot or \
                 runs twice. Everybody goes by the same one. If {name} restored or copied nothing, do not trust what it \
                 says to hold or to have read.{slowly}"
            );
            self.wiring.notice_about(&device, "forked", sentence.clone());
            self.wiring.emit(Event::Forked { conversation, device, mine: false, sentence });
        }
    }

    /// This device ran elsewhere under the start that it writes as: it goes on in logs of a new one, which nobody
    /// else can write.
    pub(super) fn go_on_elsewhere(&mut self) {
        let write = self.wiring.renew_pen();
        self.commit_small(vec![write]);
        self.own.renew(self.wiring.pen());
        self.spaces.values_mut().for_each(crate::space::Space::drop_pens);
        let sentence = "Others have what this device wrote and does not know: it was set back to an older state while it \
                        ran, as by a snapshot of a virtual machine, or runs twice. It goes on without loss. If two \
                        copies of it run, shut one of them down for good.";
        self.wiring.trouble("set_back", Some(sentence.into()));
        self.wiring.notice("set_back", sentence);
        self.wiring.emit(Event::Status(Box::new(self.wiring.status())));
    }

    /// Entries came in that a peer says we wrote: under the start that we write as, they show that it ran elsewhere.
    pub(super) fn look_for_ourselves(&mut self, entries: &[Arc<Entry>]) {
        let (me, pen) = (self.wiring.me, self.wiring.pen());
        if entries.iter().any(|e| e.header().log.device == me && e.header().log.incarnation == pen) {
            self.go_on_elsewhere();
        }
    }

    /// Gives a device that is connected the branches that it lost.
    pub(super) fn give_back(&mut self, space: SpaceId, device: DeviceId) {
        if !self.peers.get(&device).is_some_and(|p| p.spaces.contains(&space)) {
            return;
        }
        let kept = match self.spaces.get(&space).map(|sp| sp.kept_for(&device, self.wiring.store.as_ref())) {
            Some(Ok(kept)) => kept,
            Some(Err(e)) => return self.wiring.trouble("store_read", Some(e.to_string())),
            None => return,
        };
        for log in kept.iter().filter_map(|part| part.first()).map(|e| e.header().log) {
            if let Some(sp) = self.spaces.get_mut(&space) {
                sp.sync.show_fork(device, log);
            }
        }
        self.carry_out(space, None);
        for part in kept {
            self.send(space, device, &Frame::Lost(part), false);
        }
    }

    /// A peer brings a branch that this device lost.
    pub(super) fn given_back(&mut self, space: SpaceId, peer: DeviceId, entries: &[Arc<Entry>]) {
        let Some(sp) = self.spaces.get_mut(&space) else { return };
        match sp.take_lost(entries) {
            Err(why) => drop(self.wiring.sessions.cast(SessionsMsg::Misbehaved { peer, why: why.into() })),
            Ok(writes) if writes.is_empty() => {}
            Ok(writes) => self.commit(writes, Ticket::Lost(space)),
        }
    }

    /// The author says that a lost branch is said again.
    pub(super) fn said_again(&mut self, space: SpaceId, peer: DeviceId, log: &LogId, first: &EntryHash) {
        if peer == log.device
            && let Some(write) = self.spaces.get_mut(&space).and_then(|sp| sp.said_again(log, first))
        {
            self.commit_small(vec![write]);
        }
    }

    /// Says again what this device lost by a fork, under the old ids; what is said already is looked for each time, so
    /// that nothing doubles and a crash at any moment loses nothing.
    pub(super) fn say_again(&mut self, space: SpaceId) {
        let wiring = self.wiring.clone();
        let Some(sp) = self.spaces.get_mut(&space).filter(|sp| sp.has_lost()) else { return };
        let saying = &self.saying;
        let left = match sp.left_to_say(|id| saying.contains_key(&(space, *id)), &wiring) {
            Ok(left) => left,
            Err(e) => return wiring.trouble("store_read", Some(e.to_string())),
        };
        for message in left.messages {
            if let Err(e) = self.write_message(space, message.id, message.words, Vec::new()) {
                wiring.trouble("forked_say", Some(format!("A message could not be said again: {e}")));
            }
        }
        for lost in left.records {
            match self.sign_record(space, lost.author, &lost.record(), lost.at) {
                Ok((writes, entry)) => {
                    let entries = vec![entry];
                    self.commit(writes, Ticket::Entries { space, from: None, live: true, entries, _permit: None });
                }
                Err(e) => wiring.trouble("forked_say", Some(format!("A change could not be said again: {e}"))),
            }
        }
        let peers: Vec<_> = self.peers.iter().filter(|(_, p)| p.spaces.contains(&space)).map(|(id, _)| *id).collect();
        for (log, first, _) in &left.done {
            for peer in &peers {
                self.send(space, *peer, &Frame::Said { log: *log, first: *first }, false);
            }
        }
        self.commit_small(left.done.into_iter().map(|(_, _, write)| write).collect());
    }
}
