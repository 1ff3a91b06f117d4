//! What intents do to the model, and what they ask of the node.

use cairn_actors::api::{NetworkState, OrderKey, PageAt};
use cairn_actors::limits;
use cairn_crdt::ids::{NetworkId, SpaceId};

use super::{Focus, Model, Palette, SCALES, View, palette};
use crate::ui::intent::{Command, Intent, NameField};

impl Model {
    /// Does what a person wants. Answers what the node must do for it.
    pub fn act(&mut self, intent: Intent) -> Vec<Command> {
        match intent {
            Intent::Show(view) => {
                self.view = view;
                (self.verifying, self.key_sheet) = (None, None);
                self.list_on_top = matches!(view, View::Chat | View::People);
                self.palette = None;
                self.names.clear();
            }
            Intent::LockNow | Intent::SetLockAfter(_) | Intent::TypePassphrase(_) | Intent::Unlock(_) => {
                return self.act_on_lock(intent);
            }
            Intent::Open(id) => return self.open(id),
            Intent::Step(by) => return self.step(by),
            Intent::Back => self.list_on_top = true,
            Intent::ToggleDetails if !self.roomy => self.details_on_top = !self.details_on_top,
            Intent::ToggleDetails => {
                self.preferences.details = !self.preferences.details;
                return vec![Command::Save(self.preferences.clone())];
            }
            Intent::Search(text) => self.search = text,
            Intent::FocusSearch => {
                if !matches!(self.view, View::Chat | View::People) {
                    self.view = View::Chat;
                }
                self.list_on_top = true;
                self.wants_focus = Some(Focus::Search);
            }
            Intent::FocusComposer => self.wants_focus = Some(Focus::Composer),
            Intent::EditDraft(id, text) => {
                let on = !text.is_empty();
                if on {
                    self.drafts.insert(id, text);
                } else {
                    self.drafts.remove(&id);
                }
                if self.status.as_ref().is_some_and(|s| s.read_receipts) {
                    return vec![Command::Typing(id, on)];
                }
            }
            Intent::Say(id) => return self.say(id),
            Intent::Answer(..)
            | Intent::EditMessage(..)
            | Intent::StopComposing(_)
            | Intent::DeleteMessage(..)
            | Intent::React { .. }
            | Intent::ShowPast(..)
            | Intent::Find(..) => return self.amend(intent),
            Intent::LoadOlder(id) => return self.page(id, PageAt::Before(OrderKey::MAX)).into_iter().collect(),
            Intent::LoadNewer(id) => return self.page(id, PageAt::After(OrderKey::MIN)).into_iter().collect(),
            Intent::LoadNumber(id, number) => return self.page(id, PageAt::Number(number)).into_iter().collect(),
            Intent::JumpToNewest(id) => {
                self.wants_newest = true;
                return self.page(id, PageAt::Newest).into_iter().collect();
            }
            Intent::Read(id, key) => {
                let h = self.histories.entry(id).or_default();
                if key > h.read_to {
                    h.read_to = key;
                    if let Some(c) = self.conversations.iter_mut().find(|c| c.id == id) {
                        (c.unread, c.mentions) = (0, 0);
                        c.read_to = c.read_to.max(key);
                    }
                    return vec![Command::MarkRead(id, key)];
                }
            }
            Intent::CloseVerify => self.verifying = None,
            Intent::Paste => return vec![Command::Paste],
            Intent::Verify(_)
            | Intent::TheyMatch(_)
            | Intent::TheyDiffer(_)
            | Intent::Unverify(_)
            | Intent::EditPicturePath(_)
            | Intent::ReadCode(..) => return self.verify(intent),
            Intent::KeySheet(_)
            | Intent::EditPassphrase(_)
            | Intent::ShowPassphrase(_)
            | Intent::EditKeyPicture(_)
            | Intent::UseKey(_)
            | Intent::ShowKey(_)
            | Intent::DropOldKeys
            | Intent::AskToRemoveKey(_)
            | Intent::RemoveKey => return self.key(intent),
            Intent::SetRetention(id, keep) => return vec![Command::SetRetention(id, keep)],
            Intent::SetPinned(id, pinned) => return vec![Command::SetPinned(id, pinned)],
            Intent::SetMuted(id, until) => return vec![Command::SetMuted(id, until)],
            Intent::AskToForget(ask) => self.asks_to_forget = ask,
            Intent::Forget(id) => {
                self.asks_to_forget = false;
                return vec![Command::Forget(id)];
            }
            Intent::EditName(field, text) => {
                self.names.insert(field, text);
            }
            Intent::SetName(name) => {
                self.names.remove(&NameField::Own);
                self.named_here = true;
                return vec![Command::SetName(name.trim().to_owned())];
            }
            Intent::SetPetname(device, name) => {
                self.names.remove(&NameField::Petname(device));
                return vec![Command::SetPetname(device, name.map(|n| n.trim().to_owned()).filter(|n| !n.is_empty()))];
            }
            Intent::JoinNetwork(id) => return self.answer(id, NetworkState::Joined, Command::JoinNetwork(id)),
            Intent::KeepApart(id) => return self.answer(id, NetworkState::Apart, Command::KeepApart(id)),
            Intent::NameNetwork(id, name) => {
                self.names.remove(&NameField::Network(id));
                return vec![Command::NameNetwork(id, name.trim().to_owned())];
            }
            Intent::SetAway(away) => return vec![Command::SetAway(away)],
            Intent::SetReadReceipts(told) => return vec![Command::SetReadReceipts(told)],
            Intent::SetTheme(theme) => {
                self.preferences.theme = theme;
                return vec![Command::Save(self.preferences.clone())];
            }
            Intent::SetScale(percent) => {
                self.preferences.scale = percent.clamp(SCALES.0, SCALES.1);
                return vec![Command::Save(self.preferences.clone())];
            }
            Intent::ShowBriefing => {
                self.briefing_asked = true;
                self.palette = None;
                if !matches!(self.view, View::Chat | View::People) {
                    self.view = View::Chat;
                }
            }
            Intent::DismissBriefing(id) => return self.dismiss_briefing(id),
            Intent::GoTo(id, key) => return self.go_to(id, key),
            Intent::DismissNotice(id) => self.notices.retain(|n| n.id != id),
            Intent::TogglePalette => {
                self.palette = if self.palette.is_some() { None } else { Some(Palette::default()) };
                self.wants_focus = Some(Focus::Composer).filter(|_| self.palette.is_none());
            }
            Intent::PaletteQuery(query) => self.palette = Some(Palette { query, mark: 0 }),
            Intent::PaletteMove(by) => {
                let n = palette::entries(self).len();
                if let Some(p) = &mut self.palette {
                    p.step(by, n);
                }
            }
            Intent::Copy(text) => return vec![Command::Copy(text)],
            Intent::Escape => self.escape(),
            Intent::Retry => return self.retry(),
            Intent::Quit => return vec![Command::Quit],
        }
        Vec::new()
    }

    pub(super) fn open(&mut self, id: SpaceId) -> Vec<Command> {
        self.palette = None;
        (self.verifying, self.key_sheet) = (None, None);
        if !matches!(self.view, View::Chat | View::People) {
            self.view = View::Chat;
        }
        self.list_on_top = false;
        self.details_on_top = false;
        self.wants_focus = Some(Focus::Composer);
        self.names.clear();
        if self.open == Some(id) {
            return Vec::new();
        }
        // The line above new messages has done its work in the conversation that is left.
        if let Some(left) = self.open.and_then(|old| self.histories.get_mut(&old)) {
            left.new_after = None;
            if left.messages().len() > limits::PAGE_MAX {
                left.forget();
            }
        }
        self.open = Some(id);
        self.receipts = None;
        self.members = None;
        self.custody = None;
        self.asks_to_forget = false;
        let unread = self.conversation(&id).filter(|c| c.unread > 0).map(|c| c.read_to);
        let h = self.histories.entry(id).or_default();
        h.new_after = h.new_after.or(unread);
        let mut out: Vec<Command> = self.page(id, PageAt::Newest).into_iter().collect();
        out.extend(self.ask_receipts(id));
        out.extend(self.ask_members());
        out.extend(self.ask_custody());
        out.push(Command::Retention(id));
        out
    }

    fn step(&mut self, by: i8) -> Vec<Command> {
        let order = self.order();
        let at = self.open.and_then(|id| order.iter().position(|o| *o == id));
        let next = match at {
            Some(i) => i.saturating_add_signed(isize::from(by)).min(order.len().saturating_sub(1)),
            None => 0,
        };
        order.get(next).copied().map(|id| self.open(id)).unwrap_or_default()
    }

    fn say(&mut self, id: SpaceId) -> Vec<Command> {
        let body = self.draft(&id).trim().to_owned();
        if body.is_empty() || body.len() > limits::MESSAGE_MAX {
            return Vec::new();
        }
        if let Some(edit) = self.say_composed(id, &body) {
            return vec![edit];
        }
        let reply_to = self.take_answer(&id);
        self.drafts.remove(&id);
        self.saving += 1;
        self.wants_newest = true;
        if let Some(h) = self.histories.get_mut(&id) {
            h.new_after = None;
        }
        let mut out = vec![Command::Say { conversation: id, body, reply_to }];
        out.extend(self.page(id, PageAt::Newest));
        out
    }

    fn answer(&mut self, id: NetworkId, state: NetworkState, command: Command) -> Vec<Command> {
        if let Some(n) = self.networks.iter_mut().find(|n| n.id == id) {
            n.state = state;
        }
        vec![command]
    }

    fn escape(&mut self) {
        if self.verifying.take().is_some() || self.key_sheet.take().is_some() {
            return;
        }
        if self.palette.take().is_some() {
            self.wants_focus = Some(Focus::Composer);
            return;
        }
        if !self.search.is_empty() {
            self.search.clear();
        } else if self.open.is_some_and(|id| self.stop_composing(&id)) {
            self.wants_focus = Some(Focus::Composer);
        } else if self.details_on_top {
            self.details_on_top = false;
        } else if matches!(self.view, View::Network | View::Settings) {
            self.view = View::Chat;
        } else {
            self.wants_newest = true;
            self.list_on_top = true;
        }
    }

    fn retry(&mut self) -> Vec<Command> {
        let mut out = vec![Command::Everything];
        out.extend(self.open.and_then(|id| self.page(id, PageAt::Newest)));
        out
    }
}
