//! Who somebody is: petnames, safety numbers that were compared, codes that were read, and names that were taken.

use std::sync::Arc;

use cairn_crdt::entry::Entry;
use cairn_crdt::ids::DeviceId;
use cairn_crdt::kinds::contacts::Contact;
use cairn_crdt::safety::{self, Code, CodeError, Mismatch};
use tokio::sync::OwnedSemaphorePermit;

use super::DocumentsState;
use super::commits::{After, Ticket};
use super::requests::bad_name;
use crate::api::{ApiError, Event, Peer, Safety, told_apart};
use crate::handle::Reply;
use crate::proto::session::clean_name;
use crate::space::SpaceKind;
use crate::store::Write;

pub(crate) fn no_peer() -> ApiError {
    ApiError::new("no_such_peer", "no such device is known here")
}

impl DocumentsState {
    /// Names a device; answers once that is kept.
    pub(super) fn set_petname(&mut self, device: DeviceId, name: Option<String>, reply: Reply<Peer>) {
        match self.petname(device, name.as_deref()) {
            Err(e) => drop(reply.send(Err(e))),
            Ok((entry, peer)) => {
                let writes = vec![Write::Append { entry: entry.clone(), received: self.wiring.env.now_ms() }];
                self.wiring.emit(Event::Peer(Box::new(peer.clone())));
                self.commit(writes, Ticket::Own(entry, Some(After::reply(reply, peer))));
            }
        }
    }

    fn petname(&mut self, device: DeviceId, name: Option<&str>) -> Result<(Arc<Entry>, Peer), ApiError> {
        self.wiring.people.peer(&device).ok_or_else(no_peer)?;
        let petname = name.map(|n| clean_name(n).ok_or_else(bad_name)).transpose()?;
        let verified = self.own.contacts().get(&device).and_then(|c| c.verified.clone());
        let entry = self.write_contact(device, &Contact { petname: petname.clone(), verified })?;
        self.wiring.people.update(device, |r| r.petname = petname);
        self.retitle(&device);
        Ok((entry, self.wiring.people.peer(&device).ok_or_else(no_peer)?))
    }

    fn write_contact(&mut self, device: DeviceId, contact: &Contact) -> Result<Arc<Entry>, ApiError> {
        let (hlc, wiring) = (self.stamp(), self.wiring.clone());
        self.own
            .write_contact(&wiring.key, wiring.store.as_ref(), hlc, &device, contact)
            .map_err(|e| ApiError::new("not_written", e.to_string()))
    }

    /// The chat with a device may be called otherwise.
    fn retitle(&mut self, device: &DeviceId) {
        for sp in self.spaces.values_mut() {
            sp.dirty |= sp.kind == SpaceKind::Direct(*device);
        }
    }

    /// Tells of names that were taken, and of those who are shown otherwise because of others' names.
    pub(super) fn tell_names(&mut self) {
        let news = self.wiring.people.news();
        for device in news.took {
            if let Some(warning) = self.wiring.people.peer(&device).and_then(|p| p.warning) {
                self.wiring.notice_about(&device, "name_taken", warning.sentence);
            }
        }
        for device in news.touched {
            self.retitle(&device);
            if let Some(p) = self.wiring.people.peer(&device) {
                self.wiring.emit(Event::Peer(Box::new(p)));
            }
        }
    }

    /// Computes a safety number beside other work.
    pub(super) fn safety(&self, device: DeviceId, reply: Reply<Safety>, place: OwnedSemaphorePermit) {
        let Some(peer) = self.wiring.people.peer(&device) else { return drop(reply.send(Err(no_peer()))) };
        let me = self.wiring.me;
        tokio::task::spawn_blocking(move || {
            let _ = reply.send(Ok(Safety::between(&me, peer)));
            drop(place);
        });
    }

    /// The person has compared, or takes that back; answers once it is kept, and nothing shows it before.
    pub(super) fn set_verified(&mut self, device: DeviceId, verified: bool, reply: Reply<Peer>) {
        let wiring = self.wiring.clone();
        let written = wiring.people.peer(&device).ok_or_else(no_peer).and_then(|_| {
            let petname = self.own.contacts().get(&device).and_then(|c| c.petname.clone());
            let compared = verified.then(|| safety::record(&wiring.me.principal(), &device.principal()));
            self.write_contact(device, &Contact { petname, verified: compared })
        });
        let entry = match written {
            Ok(entry) => entry,
            Err(e) => return drop(reply.send(Err(e))),
        };
        let after = After::then({
            let wiring = wiring.clone();
            move |result| {
                let answer = result.and_then(|()| {
                    wiring.people.update(device, |r| r.verified = verified);
                    let peer = wiring.people.peer(&device).ok_or_else(no_peer)?;
                    wiring.emit(Event::Peer(Box::new(peer.clone())));
                    Ok(peer)
                });
                let _ = reply.send(answer);
            }
        });
        let writes = vec![Write::Append { entry: entry.clone(), received: wiring.env.now_ms() }];
        self.commit(writes, Ticket::Own(entry, Some(after)));
    }

    /// A code was read: verifies the device that shows it, or says aloud what is wrong.
    pub(super) fn scan(&mut self, code: &str, meant: Option<DeviceId>, reply: Reply<Peer>) {
        let judged = match code.parse::<Code>() {
            Ok(code) => self.judge(&code, meant),
            Err(e) => {
                let name = if e == CodeError::Newer { "newer_code" } else { "bad_code" };
                Err(ApiError::new(name, e.to_string()))
            }
        };
        match judged {
            Ok(device) => self.set_verified(device, true, reply),
            Err(e) => {
                if matches!(e.code.as_str(), "other_device" | "not_you") {
                    self.wiring.notice(&e.code, e.message.clone());
                }
                let _ = reply.send(Err(e));
            }
        }
    }

    fn judge(&self, code: &Code, meant: Option<DeviceId>) -> Result<DeviceId, ApiError> {
        let people = &self.wiring.people;
        let called = |d: &DeviceId| people.peer(d).map(|p| told_apart(&p.name, d));
        let shown_by = called(&code.shown_by);
        let unknown = || format!("a device that was never met here ({})", code.shown_by.code());
        match code.judge(&self.wiring.me, meant.as_ref()) {
            Ok(device) if shown_by.is_some() => Ok(device),
            Ok(_) => Err(ApiError::new("no_such_peer", format!("this is the code of {}", unknown()))),
            Err(Mismatch::Own) => {
                let sentence = "this is the code of this device itself: read the one that the other side shows";
                Err(ApiError::new("own_code", sentence))
            }
            Err(Mismatch::Another) => {
                let meant = meant.and_then(|d| called(&d)).unwrap_or_else(|| "who was meant".into());
                let sentence = format!(
                    "NOT VERIFIED: this is not the code of {meant}, but of {}. If it is shown by the person whom you know \
                     as {meant}, somebody else writes to you under that name: do not trust it",
                    shown_by.unwrap_or_else(unknown)
                );
                Err(ApiError::new("other_device", sentence))
            }
            Err(Mismatch::NotMe) => {
                let sentence = format!(
                    "NOT VERIFIED: the device that shows this code ({}) takes another device ({}) for yours. Either the \
                     code was meant for somebody else, or somebody stands between the two of you: do not trust what you read",
                    shown_by.unwrap_or_else(unknown),
                    code.shown_to.code()
                );
                Err(ApiError::new("not_you", sentence))
            }
        }
    }
}
