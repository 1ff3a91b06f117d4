//! What is said of messages: arguments.

use clap::Args;

use super::token;
use crate::local::resolve::ConvRef;

/// Which message.
#[derive(Debug, Clone, Args)]
pub struct MessageArgs {
    /// Which conversation (see `cairn say --help`)
    #[arg(value_name = "CONV")]
    pub conversation: ConvRef,
    /// The message's id, or the token that it was said with
    #[arg(value_parser = token)]
    pub message: String,
}

/// Help of `edit`.
pub const EDIT: &str = "\
Everybody sees the new text, marked as edited. What the message said before stays readable with `cairn log --history` (and
in the window) until retention takes the message: an edit mends, it does not hide. Of edits made at the same time on two
devices the later one counts, everywhere the same. Only who wrote a message can edit it. Needs a running node.

Examples:
  cairn edit everyone report-17 \"Shift report 17, corrected\"
  cairn edit @maya 1h2j3k4l5m6n7p8q9r0s1t2v3w -  < text";

/// Help of `delete`.
pub const DELETE: &str = "\
Everybody sees \"deleted\" in its place. What it said stays readable with `cairn log --history` until retention takes the
message, and whoever copied it has it: this is not erasing (see `cairn retention` and `cairn forget`). Only who wrote a
message can delete it. Needs a running node.

Example:
  cairn delete everyone report-17";

/// Help of `react`.
pub const REACT: &str = "\
One emoji or other single character, at most 16 different ones of yours to one message. Needs a running node.

Examples:
  cairn react everyone report-17 👍
  cairn react everyone report-17 👍 --remove";

/// `react`.
#[derive(Debug, Clone, Args)]
pub struct ReactArgs {
    /// Which message.
    #[command(flatten)]
    pub which: MessageArgs,
    /// The reaction
    pub emoji: String,
    /// Take it back
    #[arg(long)]
    pub remove: bool,
}
