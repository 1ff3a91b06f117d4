//! What a person wants ([`Intent`]) and what the node must do for it ([`Command`]). Menus, shortcuts, buttons and the
//! palette all speak intents, so that each thing is done in one place.

use cairn_actors::api::{OrderKey, PageAt};
use cairn_crdt::ids::{DeviceId, MessageId, NetworkId, SpaceId};

use super::model::key::{KeyFrom, Secret};
use super::model::verify::CodeFrom;
use super::model::{Preferences, ThemeChoice, View};

/// What a person wants.
#[derive(Debug, Clone, PartialEq)]
pub enum Intent {
    /// Show one of the main views.
    Show(View),
    /// Lock, until the passphrase is typed.
    LockNow,
    /// Lock after so many minutes without input; 0: never.
    SetLockAfter(u16),
    /// The text on the lock screen changed.
    TypePassphrase(Secret),
    /// Try it.
    Unlock(Secret),
    /// Open a conversation.
    Open(SpaceId),
    /// Open the conversation this many places further down the list (negative: up).
    Step(i8),
    /// In a narrow window: back from the conversation to the list.
    Back,
    /// Show or hide the details column.
    ToggleDetails,
    /// Filter the list.
    Search(String),
    /// Put the cursor into the search field.
    FocusSearch,
    /// Put the cursor into the composer.
    FocusComposer,
    /// The text in the composer changed.
    EditDraft(SpaceId, String),
    /// Say what stands in the composer.
    Say(SpaceId),
    /// Answer a message: the next one said is its answer.
    Answer(SpaceId, OrderKey),
    /// Change what a message of one's own says, in the composer.
    EditMessage(SpaceId, OrderKey),
    /// The composer goes back to new messages.
    StopComposing(SpaceId),
    /// Delete a message of one's own.
    DeleteMessage(SpaceId, MessageId),
    /// React to a message, or take that back.
    React {
        /// Where.
        conversation: SpaceId,
        /// Which.
        id: MessageId,
        /// The reaction.
        emoji: String,
        /// Whether it is there.
        on: bool,
    },
    /// Show what a message said before, or hide it again.
    ShowPast(SpaceId, MessageId),
    /// Go to a message of which only the id is known.
    Find(SpaceId, MessageId),
    /// The person scrolled near the oldest message in memory.
    LoadOlder(SpaceId),
    /// The person scrolled near the newest message in memory, and there are newer ones.
    LoadNewer(SpaceId),
    /// The person dragged the scroll bar to the message of a number, which is not in memory.
    LoadNumber(SpaceId, u64),
    /// Go to the newest message.
    JumpToNewest(SpaceId),
    /// Everything up to a key was on screen.
    Read(SpaceId, OrderKey),
    /// Give a person a name of one's own, or take it back.
    SetPetname(DeviceId, Option<String>),
    /// Open the sheet on which one compares safety numbers with somebody.
    Verify(DeviceId),
    /// Close it.
    CloseVerify,
    /// The safety numbers are the same.
    TheyMatch(DeviceId),
    /// They are not.
    TheyDiffer(DeviceId),
    /// Take back that they were.
    Unverify(DeviceId),
    /// The text in the field for a picture's place changed.
    EditPicturePath(String),
    /// Read the code that somebody shows.
    ReadCode(DeviceId, CodeFrom),
    /// Ask for what is on the clipboard.
    Paste,
    /// Open the sheet about the network's key, or close it.
    KeySheet(bool),
    /// The text in its field for a passphrase changed.
    EditPassphrase(Secret),
    /// Whether what is typed there can be read.
    ShowPassphrase(bool),
    /// The text in its field for a picture's place changed.
    EditKeyPicture(String),
    /// Set the network's key, or change it for this one.
    UseKey(KeyFrom),
    /// Show the key to others, or hide it again.
    ShowKey(bool),
    /// Accept old keys no longer.
    DropOldKeys,
    /// Ask whether the key should go, or ask no more.
    AskToRemoveKey(bool),
    /// Have no key.
    RemoveKey,
    /// Keep the messages of a conversation for so many seconds, or for ever.
    SetRetention(SpaceId, Option<u64>),
    /// Pin a conversation to the top of the list, or take it from there.
    SetPinned(SpaceId, bool),
    /// Mute a conversation until a time in milliseconds since 1970, or no longer.
    SetMuted(SpaceId, Option<u64>),
    /// Ask whether one's own copy should be deleted, or ask no more.
    AskToForget(bool),
    /// Delete one's own copy of all that was said so far.
    Forget(SpaceId),
    /// Change one's own name.
    SetName(String),
    /// The text in a name field changed.
    EditName(NameField, String),
    /// Join a network that was met.
    JoinNetwork(NetworkId),
    /// Keep apart from a network that was met.
    KeepApart(NetworkId),
    /// Name a network for everybody in it.
    NameNetwork(NetworkId, String),
    /// Show this device as away, or as here again.
    SetAway(bool),
    /// Whether others are told how far one has read.
    SetReadReceipts(bool),
    /// Choose colours.
    SetTheme(ThemeChoice),
    /// Choose the size of everything, in percent.
    SetScale(u16),
    /// Show the last briefing.
    ShowBriefing,
    /// Close a briefing.
    DismissBriefing(u64),
    /// Open a conversation at a message.
    GoTo(SpaceId, OrderKey),
    /// Close a notice.
    DismissNotice(u64),
    /// Open or close the command palette.
    TogglePalette,
    /// Filter the command palette.
    PaletteQuery(String),
    /// Move the mark in the command palette.
    PaletteMove(i8),
    /// Put text on the clipboard.
    Copy(String),
    /// Whatever Esc undoes here: palette, search, scrolled-up history, narrow conversation.
    Escape,
    /// Ask the node for everything again.
    Retry,
    /// Close the window.
    Quit,
}

/// Which name is being edited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NameField {
    /// One's own.
    Own,
    /// The name one gives a person.
    Petname(DeviceId),
    /// A network's.
    Network(NetworkId),
}

/// What the node must do; each is one call of its handle.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Status, peers, conversations and networks, all again.
    Everything,
    /// Say something.
    Say {
        /// Where.
        conversation: SpaceId,
        /// What.
        body: String,
        /// The message that it answers.
        reply_to: Option<MessageId>,
    },
    /// Change what a message of one's own says.
    Edit {
        /// Where.
        conversation: SpaceId,
        /// Which.
        id: MessageId,
        /// What it says.
        body: String,
    },
    /// Delete a message of one's own.
    Delete(SpaceId, MessageId),
    /// React to a message, or take that back.
    React {
        /// Where.
        conversation: SpaceId,
        /// Which.
        id: MessageId,
        /// The reaction.
        emoji: String,
        /// Whether it is there.
        on: bool,
    },
    /// All that a message said.
    Versions(SpaceId, MessageId),
    /// The person writes something, or has stopped.
    Typing(SpaceId, bool),
    /// Pin a conversation, or take that back.
    SetPinned(SpaceId, bool),
    /// Mute a conversation, or no longer.
    SetMuted(SpaceId, Option<u64>),
    /// Where a message stands.
    Find(SpaceId, MessageId),
    /// Read part of a history.
    Page(SpaceId, PageAt, usize),
    /// What became of a message, a line a member.
    Receipts(SpaceId, MessageId),
    /// Who is in a room.
    Members(SpaceId),
    /// Who holds a conversation.
    Custody(SpaceId),
    /// Everything up to a key is read.
    MarkRead(SpaceId, OrderKey),
    /// How long a conversation is kept.
    Retention(SpaceId),
    /// Keep it for so many seconds, or for ever.
    SetRetention(SpaceId, Option<u64>),
    /// Delete one's own copy of it.
    Forget(SpaceId),
    /// Change one's own name.
    SetName(String),
    /// Give a person a name of one's own, or take it back.
    SetPetname(DeviceId, Option<String>),
    /// The safety number with somebody.
    Safety(DeviceId),
    /// The person has compared, or takes that back.
    SetVerified(DeviceId, bool),
    /// Read the code that somebody shows.
    ReadCode(DeviceId, CodeFrom),
    /// Join a network.
    JoinNetwork(NetworkId),
    /// Keep apart from a network.
    KeepApart(NetworkId),
    /// Name a network.
    NameNetwork(NetworkId, String),
    /// Away, or here again.
    SetAway(bool),
    /// A person has closed a briefing.
    BriefingSeen(u64),
    /// Whether others are told how far one has read.
    SetReadReceipts(bool),
    /// Keep the window's preferences.
    Save(Preferences),
    /// Set or change the network's key.
    UseKey(KeyFrom),
    /// Ask for the network's key as text.
    Key,
    /// Accept old keys no longer.
    DropOldKeys,
    /// Have no key.
    RemoveKey,
    /// Lock what is shown here, also on the local socket.
    Lock,
    /// Open it with a passphrase.
    Unlock(Secret),
    /// Put text on the clipboard (done by the window, not by the node).
    Copy(String),
    /// Ask for what is on the clipboard (done by the window, not by the node).
    Paste,
    /// Close the window (done by the window, not by the node).
    Quit,
}
