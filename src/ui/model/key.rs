//! The network's key: what its sheet shows, and what came of it.

use cairn_actors::api::ApiError;
use zeroize::Zeroizing;

use super::Model;
use super::verify::CodeFrom;
use crate::ui::intent::{Command, Intent};

/// Text that nobody prints and nothing leaves behind in memory.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(pub Zeroizing<String>);

impl Secret {
    /// The secret of a text.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(Zeroizing::new(text.to_owned()))
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// Where a key comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyFrom {
    /// A passphrase, or the text of a key.
    Typed(Secret),
    /// The system's randomness.
    Random,
    /// A QR code.
    Code(CodeFrom),
}

/// The sheet while it is open.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeySheet {
    /// What is typed.
    pub typed: Secret,
    /// Whether that can be read.
    pub legible: bool,
    /// The text in the field for a picture's place.
    pub path: String,
    /// The key as text, while it is shown to others.
    pub shown: Option<Secret>,
    /// Something is under way.
    pub working: bool,
    /// Whether it asks if the key should go.
    pub asks_to_remove: bool,
    /// Why nothing came of it.
    pub refused: Option<String>,
}

impl Model {
    /// Does what a person wants on the sheet.
    pub(super) fn key(&mut self, intent: Intent) -> Vec<Command> {
        if let Intent::KeySheet(open) = intent {
            self.palette = None;
            self.key_sheet = open.then(KeySheet::default);
            return Vec::new();
        }
        let Some(sheet) = self.key_sheet.as_mut() else { return Vec::new() };
        let command = match intent {
            Intent::EditPassphrase(text) => {
                sheet.typed = text;
                return Vec::new();
            }
            Intent::ShowPassphrase(legible) => {
                sheet.legible = legible;
                return Vec::new();
            }
            Intent::EditKeyPicture(path) => {
                sheet.path = path;
                return Vec::new();
            }
            Intent::AskToRemoveKey(ask) => {
                sheet.asks_to_remove = ask;
                return Vec::new();
            }
            Intent::ShowKey(false) => {
                sheet.shown = None;
                return Vec::new();
            }
            Intent::ShowKey(true) => Command::Key,
            Intent::UseKey(from) => Command::UseKey(from),
            Intent::DropOldKeys => Command::DropOldKeys,
            Intent::RemoveKey => Command::RemoveKey,
            _ => return Vec::new(),
        };
        // One thing at a time: a passphrase takes a moment.
        if sheet.working {
            return Vec::new();
        }
        (sheet.working, sheet.refused, sheet.asks_to_remove) = (true, None, false);
        vec![command]
    }

    /// The key was set, changed or removed, or was not.
    pub(super) fn key_changed(&mut self, result: Result<(), ApiError>) {
        let Some(sheet) = self.key_sheet.as_mut() else { return };
        match result {
            Ok(()) => *sheet = KeySheet { legible: sheet.legible, ..KeySheet::default() },
            Err(e) => (sheet.working, sheet.refused) = (false, Some(e.message)),
        }
    }

    /// The key came as text, or did not.
    pub(super) fn key_told(&mut self, result: Result<Secret, ApiError>) {
        let Some(sheet) = self.key_sheet.as_mut() else { return };
        sheet.working = false;
        match result {
            Ok(text) => sheet.shown = Some(text),
            Err(e) => sheet.refused = Some(e.message),
        }
    }
}
