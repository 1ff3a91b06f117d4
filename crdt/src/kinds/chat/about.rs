//! What records say of messages, read: what a message says now and said before, and who reacted to it how.

use std::collections::BTreeMap;

use super::mention::{Mention, seen};
use super::record::{DELETE, EDIT, REACT, Recorded};
use super::{MAX_REACTIONS, Record};
use crate::entry::Header;
use crate::hlc::Hlc;
use crate::ids::{EntryHash, LogId, MessageId, PrincipalId};

/// What decides which of two records about one thing counts: the higher.
type Rank = (Hlc, EntryHash);

/// A later version of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    rank: Rank,
    /// The log and the place in it of its entry.
    pub entry: (LogId, u64),
    /// What it says; `None`: the message is deleted.
    pub body: Option<Box<str>>,
    /// Whom that mentions.
    pub mentions: Box<[Mention]>,
}

impl Version {
    /// When it was written, by its author's stamp.
    #[must_use]
    pub fn at(&self) -> Hlc {
        self.rank.0
    }
}

/// One person's one reaction to a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reaction {
    /// The reaction.
    pub emoji: Box<str>,
    /// Whether it is there, or was taken back.
    pub on: bool,
    /// The log and the place in it of its entry.
    pub entry: (LogId, u64),
    rank: Rank,
}

/// What records say of one message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct About {
    /// Later versions, the one that counts last.
    versions: Vec<Version>,
    /// Reactions of each person, in the order of their bytes.
    reactions: BTreeMap<PrincipalId, Vec<Reaction>>,
}

impl About {
    /// Its later versions, the one that counts last.
    #[must_use]
    pub fn versions(&self) -> &[Version] {
        &self.versions
    }

    /// The version that counts, if there is a later one.
    #[must_use]
    pub fn current(&self) -> Option<&Version> {
        self.versions.last()
    }

    /// All reactions that are there: who, and which.
    pub fn reactions(&self) -> impl Iterator<Item = (&PrincipalId, &str)> {
        self.reactions.iter().flat_map(|(who, all)| all.iter().filter(|r| r.on).map(move |r| (who, &*r.emoji)))
    }

    /// A person's reactions, those taken back among them.
    #[must_use]
    pub fn reactions_of(&self, who: &PrincipalId) -> &[Reaction] {
        self.reactions.get(who).map_or(&[], Vec::as_slice)
    }

    /// The stamp that a record about the same thing must be past to count: that of a person's one reaction.
    #[must_use]
    pub fn reacted(&self, who: &PrincipalId, emoji: &str) -> Option<(Hlc, bool)> {
        self.reactions_of(who).iter().find(|r| &*r.emoji == emoji).map(|r| (r.rank.0, r.on))
    }

    /// Takes in a version. Whether another one counts now.
    fn version(&mut self, version: Version) -> bool {
        match self.versions.binary_search_by_key(&version.rank, |v| v.rank) {
            Ok(_) => false,
            Err(at) => {
                self.versions.insert(at, version);
                at.saturating_add(1) == self.versions.len()
            }
        }
    }

    /// Takes in a reaction. Whether something else is shown now.
    fn reaction(&mut self, who: PrincipalId, reaction: Reaction) -> bool {
        let all = self.reactions.entry(who).or_default();
        match all.binary_search_by(|r| r.emoji.cmp(&reaction.emoji)) {
            Ok(at) => match all.get_mut(at) {
                Some(old) if old.rank < reaction.rank => std::mem::replace(old, reaction.clone()).on != reaction.on,
                _ => false,
            },
            Err(at) if at >= MAX_REACTIONS => false,
            Err(at) => {
                let mut shown = reaction.on;
                all.insert(at, reaction);
                if all.len() > MAX_REACTIONS {
                    shown |= all.pop().is_some_and(|r| r.on);
                }
                shown
            }
        }
    }

    /// What entries that `theirs` picks say of it and `now` does not say, nor anything later, as records to write again,
    /// with the stamps that they must be past.
    pub(super) fn again<'a>(
        &'a self,
        message: MessageId,
        author: PrincipalId,
        now: Option<&'a About>,
        theirs: &'a dyn Fn(&(LogId, u64)) -> bool,
    ) -> Vec<(Record<'a>, Hlc)> {
        let mut out = Vec::new();
        let shown = now.and_then(About::current).map(Version::at);
        if let Some(v) =
            self.versions.iter().rev().find(|v| theirs(&v.entry)).filter(|v| shown.is_none_or(|s| s < v.at()))
        {
            let record = match &v.body {
                Some(body) => Record::Edit { message, body, mentions: &v.mentions },
                None => Record::Delete { message },
            };
            out.push((record, v.at()));
        }
        for (who, all) in &self.reactions {
            let later = |r: &&Reaction| now.and_then(|n| n.reacted(who, &r.emoji)).is_none_or(|(at, _)| at < r.rank.0);
            let lost = all.iter().filter(|r| theirs(&r.entry)).filter(later);
            out.extend(lost.map(|r| (Record::React { message, author, emoji: &r.emoji, on: r.on }, r.rank.0)));
        }
        out
    }
}

/// What records say of all messages of a segment, those that have not come among them.
#[derive(Debug, Default)]
pub(super) struct Abouts(BTreeMap<(MessageId, PrincipalId), About>);

impl Abouts {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn get(&self, message: &MessageId, author: &PrincipalId) -> Option<&About> {
        if self.0.is_empty() { None } else { self.0.get(&(*message, *author)) }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&(MessageId, PrincipalId), &About)> {
        self.0.iter()
    }

    pub(super) fn remove(&mut self, message: &MessageId, author: &PrincipalId) {
        self.0.remove(&(*message, *author));
    }

    /// Takes in a record of an entry. Answers the message of which something else is shown now.
    pub(super) fn take(&mut self, header: &Header, hash: EntryHash, r: Recorded) -> Option<(MessageId, PrincipalId)> {
        let (message, by) = (r.message?, header.log.device.principal());
        let (rank, entry) = ((header.hlc, hash), (header.log, header.seq));
        match r.kind.as_str() {
            EDIT => {
                let mentions = seen(&r.body, r.mentions);
                let about = self.0.entry((message, by)).or_default();
                about.version(Version { rank, entry, body: Some(r.body), mentions }).then_some((message, by))
            }
            DELETE => {
                let about = self.0.entry((message, by)).or_default();
                about.version(Version { rank, entry, body: None, mentions: Box::default() }).then_some((message, by))
            }
            REACT => {
                let author = r.author?;
                let about = self.0.entry((message, author)).or_default();
                about.reaction(by, Reaction { emoji: r.emoji, on: r.on, entry, rank }).then_some((message, author))
            }
            _ => None,
        }
    }
}
