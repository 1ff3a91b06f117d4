//! What the window remembers between starts.

use super::ThemeChoice;

/// Smallest and largest scale in percent.
pub const SCALES: (u16, u16) = (75, 250);

/// What the window remembers between starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preferences {
    /// Which colours.
    pub theme: ThemeChoice,
    /// The size of everything, in percent.
    pub scale: u16,
    /// Whether the details column shows where there is room.
    pub details: bool,
    /// Minutes without input after which it locks, where there is a passphrase; 0: never.
    pub lock_after: u16,
}

impl Default for Preferences {
    fn default() -> Self {
        Self { theme: ThemeChoice::System, scale: 100, details: true, lock_after: 15 }
    }
}
