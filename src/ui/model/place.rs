//! Which main view shows, and where the keyboard goes.

/// The main views.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum View {
    /// Conversations.
    #[default]
    Chat,
    /// Everybody known.
    People,
    /// Networks, interfaces, addresses.
    Network,
    /// Name, colours, size.
    Settings,
}

/// Where the keyboard should go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Focus {
    /// The search field.
    Search,
    /// The composer.
    Composer,
}
