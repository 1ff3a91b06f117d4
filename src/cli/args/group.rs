//! What may be said of groups. A group is named by its name, `#name`, `group:NAME` or `id:ID`.

use cairn_actors::api::Role;
use clap::{Subcommand, ValueEnum};

use crate::local::resolve::ConvRef;

/// Which part of its history a group gives to those who come later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum HistoryFor {
    /// All of it.
    All,
    /// What was said since they were invited.
    Joining,
}

/// What a member may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RoleArg {
    /// Says who belongs to the group, too.
    Admin,
    /// Reads and writes.
    Member,
    /// Reads.
    Reader,
}

impl From<RoleArg> for Role {
    fn from(role: RoleArg) -> Self {
        match role {
            RoleArg::Admin => Self::Admin,
            RoleArg::Member => Self::Member,
            RoleArg::Reader => Self::Reader,
        }
    }
}

/// What `group` does.
#[derive(Debug, Subcommand)]
pub enum GroupVerb {
    /// Begin a group: you are its admin
    #[command(after_help = "\
Examples:
  cairn group create \"Night shift\"
  cairn group create Planning --history joining    who comes later reads from the invitation on")]
    Create {
        /// Its name: 1 to 64 bytes
        name: String,
        /// What those who come later get of what was said before
        #[arg(long, value_enum, default_value_t = HistoryFor::All)]
        history: HistoryFor,
    },
    /// The groups of this device
    List,
    /// Who belongs to a group, and as what
    Show {
        /// Which
        name: String,
    },
    /// What was done to who belongs to a group, and what did not count, in words
    Log {
        /// Which
        name: String,
    },
    /// Invite somebody, who may be away: the invitation waits for them
    #[command(after_help = "\
Examples:
  cairn group invite \"Night shift\" @maya
  cairn group invite \"Night shift\" @omar --role admin

Who is invited belongs to the group at once, so that any member can let them in; they hold nothing of it before they
accept. Again: the invitation is sent again, with the role given now.")]
    Invite {
        /// Into which
        name: String,
        /// Whom: @name, person:NAME or id:ID
        who: ConvRef,
        /// As what
        #[arg(long, value_enum, default_value_t = RoleArg::Member)]
        role: RoleArg,
    },
    /// Invitations that wait for an answer
    Invitations,
    /// Come into a group that you are invited into
    Accept {
        /// Which
        name: String,
    },
    /// Do not
    Decline {
        /// Which
        name: String,
    },
    /// Remove somebody, or take an invitation back
    Remove {
        /// From which
        name: String,
        /// Whom
        who: ConvRef,
    },
    /// Give somebody another role
    Role {
        /// In which
        name: String,
        /// Whom
        who: ConvRef,
        /// Which
        #[arg(value_enum)]
        role: RoleArg,
    },
    /// Leave a group; what was said stays readable here
    Leave {
        /// Which
        name: String,
    },
    /// Give a group another name
    Rename {
        /// Which
        name: String,
        /// Its new name
        new: String,
    },
    /// Say what a group is about; an empty text takes that back
    Topic {
        /// Which
        name: String,
        /// At most 256 bytes, in one line
        topic: String,
    },
}
