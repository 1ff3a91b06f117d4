//! Comparing safety numbers with somebody: what the sheet shows, and what came of it.

use std::path::PathBuf;

use cairn_actors::api::{ApiError, Badge, Peer, Safety};
use cairn_crdt::ids::DeviceId;

use super::Model;
use crate::ui::intent::{Command, Intent};

/// Where a code is read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CodeFrom {
    /// A picture on the disk.
    File(PathBuf),
    /// Text from the clipboard.
    Text(String),
    /// A picture from the clipboard: width, height, and red, green, blue and opacity of each pixel.
    Pixels(u32, u32, Vec<u8>),
}

/// The sheet while it is open.
#[derive(Debug, Clone, PartialEq)]
pub struct Verifying {
    /// With whom.
    pub device: DeviceId,
    /// What to compare, once it is computed.
    pub safety: Option<Box<Safety>>,
    /// The text in the field for a picture's place.
    pub path: String,
    /// A code is being read.
    pub reading: bool,
    /// What does not match, or why nothing could be read.
    pub refused: Option<Refused>,
}

/// Why somebody is not verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The sentence.
    pub sentence: String,
    /// Whether somebody may stand between the two; else the code was only not read.
    pub alarming: bool,
}

impl Model {
    /// How well somebody is known; oneself best.
    #[must_use]
    pub fn badge(&self, device: &DeviceId) -> Badge {
        match &self.status {
            Some(s) if s.id == *device => Badge::Verified,
            _ => self.peers.get(device).map_or(Badge::Unknown, |p| p.badge),
        }
    }

    /// The person of the sheet, while it is open.
    #[must_use]
    pub fn verifying(&self) -> Option<(&Verifying, &Peer)> {
        let v = self.verifying.as_ref()?;
        Some((v, self.peers.get(&v.device)?))
    }

    /// Does what a person wants on the sheet.
    pub(super) fn verify(&mut self, intent: Intent) -> Vec<Command> {
        match intent {
            Intent::Verify(device) => {
                self.palette = None;
                let (path, safety) = (String::new(), None);
                self.verifying = Some(Verifying { device, safety, path, reading: false, refused: None });
                return vec![Command::Safety(device)];
            }
            Intent::TheyMatch(device) => {
                self.refuse(device, None);
                return vec![Command::SetVerified(device, true)];
            }
            Intent::TheyDiffer(device) => {
                let name = self.peers.get(&device).map(Peer::label).unwrap_or_default();
                let sentence = format!(
                    "Somebody may stand between you and {name}. Do not trust what you read here or tell secrets. Try again \
                     side by side, on the same network; if the numbers still differ, this is not that person's device."
                );
                self.refuse(device, Some(Refused { sentence, alarming: true }));
                let known = self.peers.get(&device).is_some_and(|p| p.badge == Badge::Verified);
                return if known { vec![Command::SetVerified(device, false)] } else { Vec::new() };
            }
            Intent::Unverify(device) => return vec![Command::SetVerified(device, false)],
            Intent::EditPicturePath(path) => {
                if let Some(v) = &mut self.verifying {
                    v.path = path;
                }
            }
            Intent::ReadCode(device, from) => {
                if let Some(v) = self.verifying.as_mut().filter(|v| v.device == device && !v.reading) {
                    (v.reading, v.refused) = (true, None);
                    return vec![Command::ReadCode(device, from)];
                }
            }
            _ => {}
        }
        Vec::new()
    }

    /// A safety number came.
    pub(super) fn safety(&mut self, safety: Box<Safety>) {
        if let Some(v) = self.verifying.as_mut().filter(|v| v.device == safety.peer.id) {
            v.safety = Some(safety);
        }
    }

    /// A code was read, or was not.
    pub(super) fn read_code(&mut self, device: DeviceId, result: Result<(), ApiError>) {
        let refused = result
            .err()
            .map(|e| Refused { alarming: matches!(e.code.as_str(), "other_device" | "not_you"), sentence: e.message });
        self.refuse(device, refused);
    }

    fn refuse(&mut self, device: DeviceId, refused: Option<Refused>) {
        if let Some(v) = self.verifying.as_mut().filter(|v| v.device == device) {
            (v.reading, v.refused) = (false, refused);
        }
    }

    /// A device is known or shown in another way: so are its messages on screen.
    pub(super) fn peer_changed(&mut self, p: Peer) {
        let same = |o: &Peer| (&o.name, o.namesake, o.badge) == (&p.name, p.namesake, p.badge);
        if !self.peers.get(&p.id).is_some_and(same) {
            let (label, badge) = (p.label(), p.badge);
            for h in self.histories.values_mut() {
                h.shown_as(&p.id, &label, badge);
            }
            let lasts = self.conversations.iter_mut().filter_map(|c| c.last.as_mut());
            lasts.filter(|l| l.author == p.id).for_each(|l| label.clone_into(&mut l.author_name));
        }
        self.peers.insert(p.id, p);
    }
}
