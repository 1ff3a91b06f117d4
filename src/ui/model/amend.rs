//! What a person says of messages: answers, edits, deletions, reactions, and looking at what a message said before.

use cairn_actors::api::{Message, OrderKey, Version};
use cairn_actors::limits::MESSAGE_MAX;
use cairn_crdt::ids::{DeviceId, MessageId, SpaceId};

use super::{Focus, Model};
use crate::ui::intent::{Command, Intent};

/// What the composer of a conversation writes instead of a new message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Composing {
    /// An answer.
    Answer {
        /// To which message.
        id: MessageId,
        /// Who wrote it, as shown.
        author: String,
        /// One line of it.
        text: String,
    },
    /// Another text for one's own message.
    Edit {
        /// Which message.
        id: MessageId,
        /// What stood in the composer before.
        before: String,
    },
}

/// What a message said before, as somebody asked to see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Past {
    /// Where.
    pub conversation: SpaceId,
    /// Which message.
    pub id: MessageId,
    /// All that it said, oldest first; `None`: on its way.
    pub versions: Option<Vec<Version>>,
}

impl Model {
    /// What the composer of a conversation writes, if not a new message.
    #[must_use]
    pub fn composing(&self, id: &SpaceId) -> Option<&Composing> {
        self.composing.get(id)
    }

    /// What a message said before, if that is to be seen.
    #[must_use]
    pub fn past(&self, m: &Message) -> Option<&Past> {
        self.past.as_ref().filter(|p| (p.conversation, p.id) == (m.conversation, m.id))
    }

    /// Who is writing in a conversation, in words.
    #[must_use]
    pub fn writing(&self, id: &SpaceId) -> Option<String> {
        let from = (*id, DeviceId([0; 32]));
        let mut names = self.typing.range(from..).take_while(|((at, _), _)| at == id).map(|(_, name)| name.as_str());
        let (first, second) = (names.next()?, names.next());
        Some(match (second, names.count()) {
            (None, _) => format!("{first} is writing…"),
            (Some(second), 0) => format!("{first} and {second} are writing…"),
            (Some(_), more) => format!("{first} and {} others are writing…", more.saturating_add(1)),
        })
    }

    pub(super) fn amend(&mut self, intent: Intent) -> Vec<Command> {
        match intent {
            Intent::Answer(at, key) => {
                let Some(m) = self.message_of(&at, &key) else { return Vec::new() };
                let text = m.body.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(200).collect();
                let answer = Composing::Answer { id: m.id, author: m.author_name.clone(), text };
                self.stop_composing(&at);
                self.composing.insert(at, answer);
                self.wants_focus = Some(Focus::Composer);
            }
            Intent::EditMessage(at, key) => {
                let Some(m) = self.message_of(&at, &key).filter(|m| m.mine && !m.about.deleted) else {
                    return Vec::new();
                };
                let (id, body) = (m.id, m.body.clone());
                self.stop_composing(&at);
                let before = self.drafts.insert(at, body).unwrap_or_default();
                self.composing.insert(at, Composing::Edit { id, before });
                self.wants_focus = Some(Focus::Composer);
            }
            Intent::StopComposing(at) => {
                self.stop_composing(&at);
                self.wants_focus = Some(Focus::Composer);
            }
            Intent::DeleteMessage(at, id) => return vec![Command::Delete(at, id)],
            Intent::React { conversation, id, emoji, on } => {
                return vec![Command::React { conversation, id, emoji, on }];
            }
            Intent::ShowPast(conversation, id) => {
                let same = self.past.take().is_some_and(|p| (p.conversation, p.id) == (conversation, id));
                if !same {
                    self.past = Some(Past { conversation, id, versions: None });
                    return vec![Command::Versions(conversation, id)];
                }
            }
            Intent::Find(at, id) => return vec![Command::Find(at, id)],
            _ => {}
        }
        Vec::new()
    }

    fn message_of(&self, at: &SpaceId, key: &OrderKey) -> Option<&Message> {
        let h = self.history(at)?;
        h.messages().get(h.index_of(key)).filter(|m| m.key == *key)
    }

    /// The composer goes back to writing new messages, with what stood in it before an edit.
    pub(super) fn stop_composing(&mut self, at: &SpaceId) -> bool {
        let was = self.composing.remove(at);
        if let Some(Composing::Edit { before, .. }) = &was {
            if before.is_empty() {
                self.drafts.remove(at);
            } else {
                self.drafts.insert(*at, before.clone());
            }
        }
        was.is_some()
    }

    /// What saying the text in the composer is, where it is no new message; takes the text.
    pub(super) fn say_composed(&mut self, at: SpaceId, body: &str) -> Option<Command> {
        let Some(Composing::Edit { id, .. }) = self.composing.get(&at) else { return None };
        let id = *id;
        if body.is_empty() || body.len() > MESSAGE_MAX {
            return None;
        }
        self.stop_composing(&at);
        Some(Command::Edit { conversation: at, id, body: body.to_owned() })
    }

    /// The message that the next one answers; the composer forgets it.
    pub(super) fn take_answer(&mut self, at: &SpaceId) -> Option<MessageId> {
        match self.composing.remove(at) {
            Some(Composing::Answer { id, .. }) => Some(id),
            _ => None,
        }
    }

    /// What a message said before has come.
    pub(super) fn versions_came(&mut self, at: SpaceId, id: MessageId, versions: Option<Vec<Version>>) {
        match versions {
            Some(all) => {
                if let Some(p) = self.past.as_mut().filter(|p| (p.conversation, p.id) == (at, id)) {
                    p.versions = Some(all);
                }
            }
            None => self.past = None,
        }
    }
}
