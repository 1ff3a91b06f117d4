//! The lock in the window: what is typed on the lock screen, when to lock, and that nothing of the content stays.

use cairn_actors::api::ApiError;
use cairn_crdt::ids::SpaceId;

use super::key::Secret;
use super::{Model, Update};
use crate::lock::State;
use crate::ui::intent::{Command, Intent};

/// Minutes without input after which the window may lock itself; 0: never.
pub const LOCK_AFTER: [u16; 4] = [0, 5, 15, 60];

/// What the lock screen shows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Locked {
    /// What was typed.
    pub typed: Secret,
    /// It is being tried.
    pub busy: bool,
    /// Why the last try came to nothing.
    pub problem: Option<String>,
    /// Whether a node runs behind it.
    pub started: bool,
}

impl Model {
    /// A model of a folder whose node is still to be started.
    #[must_use]
    pub fn waiting(self) -> Self {
        Self { locked: Some(Locked::default()), sealed: true, ..self }
    }

    /// Somebody was here: keys, a pointer.
    pub fn active(&mut self, now: u64) {
        self.last_active = Some(now);
    }

    /// Locks where nobody was here for as long as was set; before anything is painted.
    pub fn idle(&mut self, now: u64) -> Option<Command> {
        let since = *self.last_active.get_or_insert(now);
        if now < since {
            // The clock was set back.
            self.last_active = Some(now);
        }
        let after = u64::from(self.preferences.lock_after).saturating_mul(60_000);
        let due = self.sealed && self.locked.is_none() && after > 0 && now >= since.saturating_add(after);
        due.then(|| {
            self.lock(None);
            Command::Lock
        })
    }

    /// What is taken in of an update: while it is locked nothing that could be shown, since all is asked for again
    /// afterwards. What was typed is not lost.
    pub(super) fn behind_the_lock(&mut self, update: Update) -> Option<Update> {
        if self.locked.is_none() {
            return Some(update);
        }
        match update {
            Update::Lock { .. } | Update::NotUnlocked(_) | Update::Stopped => return Some(update),
            Update::Said(_) => self.saving = self.saving.saturating_sub(1),
            Update::NotSaid { conversation, body, .. } => self.not_said(conversation, body),
            _ => {}
        }
        None
    }

    /// What could not be said goes back into the composer.
    pub(super) fn not_said(&mut self, conversation: SpaceId, body: String) {
        self.saving = self.saving.saturating_sub(1);
        let draft = self.drafts.entry(conversation).or_default();
        *draft = if draft.is_empty() { body } else { format!("{body}\n{draft}") };
    }

    /// What the lock has become.
    pub(super) fn lock_state(&mut self, sealed: bool, state: State) -> Vec<Command> {
        self.sealed = sealed;
        match (state, &mut self.locked) {
            (State::Locked(problem), None) => self.lock(problem),
            (State::Locked(problem), Some(locked)) => {
                (locked.busy, locked.problem) = (false, problem.or(locked.problem.take()));
            }
            (State::Open, Some(_)) => {
                self.locked = None;
                // Typing the passphrase was being here.
                self.last_active = None;
                return vec![Command::Everything];
            }
            (State::Open, None) => {}
        }
        Vec::new()
    }

    /// Why the passphrase did not open it.
    pub(super) fn not_unlocked(&mut self, e: ApiError) {
        if let Some(locked) = &mut self.locked {
            let sentence =
                if e.code == "wrong_passphrase" { "That is not the passphrase.".to_owned() } else { e.message };
            *locked = Locked { problem: Some(sentence), started: locked.started, ..Locked::default() };
        }
    }

    pub(super) fn act_on_lock(&mut self, intent: Intent) -> Vec<Command> {
        match intent {
            Intent::LockNow if self.sealed => {
                self.lock(None);
                return vec![Command::Lock];
            }
            Intent::SetLockAfter(minutes) => {
                self.preferences.lock_after = minutes;
                return vec![Command::Save(self.preferences.clone())];
            }
            Intent::TypePassphrase(typed) => {
                if let Some(locked) = &mut self.locked {
                    (locked.typed, locked.problem) = (typed, None);
                }
            }
            Intent::Unlock(typed) => {
                if let Some(locked) = self.locked.as_mut().filter(|locked| !locked.busy) {
                    (locked.typed, locked.busy) = (Secret::default(), true);
                    return vec![Command::Unlock(typed)];
                }
            }
            _ => {}
        }
        Vec::new()
    }

    /// Drops all that was shown. What a person has typed and not sent is kept, out of sight.
    fn lock(&mut self, problem: Option<String>) {
        *self = Self {
            locked: Some(Locked { problem, started: self.status.is_some(), ..Locked::default() }),
            sealed: true,
            drafts: std::mem::take(&mut self.drafts),
            saving: self.saving,
            stopped: self.stopped,
            named_here: self.named_here,
            next_notice: self.next_notice,
            ..Self::new(self.preferences.clone())
        };
    }
}
