//! What is said of messages: arguments.

use std::str::FromStr;
use std::time::Duration;

use clap::Args;

use super::token;
use crate::cli::time::{BadTime, Since};
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

/// Help of `pin`.
pub const PIN: &str = "\
Pinned conversations stand first in the list, in the order in which they were pinned. It is kept on this device and told to
nobody. Needs a running node.

Examples:
  cairn pin @maya
  cairn pin @maya --off";

/// Help of `mute`.
pub const MUTE: &str = "\
What is said there is shown and counted as ever; it calls for no attention (the window counts it in grey and leaves it out of
the sum) unless it mentions you. It is kept on this device and told to nobody. Needs a running node.

Examples:
  cairn mute everyone --for 8h
  cairn mute everyone --until 2026-11-21T08:00:00Z
  cairn mute everyone              until you say otherwise
  cairn mute everyone --off";

/// A time from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct For(pub Duration);

impl FromStr for For {
    type Err = BadTime;
    fn from_str(text: &str) -> Result<Self, BadTime> {
        match text.parse()? {
            Since::Ago(time) => Ok(Self(time)),
            Since::At(_) => Err(BadTime),
        }
    }
}

/// A point in time.
fn point(text: &str) -> Result<Since, BadTime> {
    text.parse().and_then(|t| if matches!(t, Since::At(_)) { Ok(t) } else { Err(BadTime) })
}

/// `pin`.
#[derive(Debug, Clone, Args)]
pub struct PinArgs {
    /// Which conversation (see `cairn say --help`)
    #[arg(value_name = "CONV")]
    pub conversation: ConvRef,
    /// Take it from there
    #[arg(long)]
    pub off: bool,
}

/// `mute`.
#[derive(Debug, Clone, Args)]
pub struct MuteArgs {
    /// Which conversation (see `cairn say --help`)
    #[arg(value_name = "CONV")]
    pub conversation: ConvRef,
    /// For so long: 30m, 8h, 1w …
    #[arg(long = "for", value_name = "TIME", conflicts_with_all = ["until", "off"])]
    pub time: Option<For>,
    /// Until this time: RFC 3339, or a date
    #[arg(long, value_name = "TIME", value_parser = point, conflicts_with = "off")]
    pub until: Option<Since>,
    /// No longer
    #[arg(long)]
    pub off: bool,
}
