//! What may be said on the command line. Parsing only; what a verb does is in the file of its group.

mod group;
mod messages;
mod network_key;
mod passphrase;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use cairn_crdt::ids::{DocumentId, NetworkId};
use clap::{ArgAction, Args, Parser, Subcommand};

use super::retention::Keep;
use super::time::Since;
use super::verify::VerifyArgs;
use crate::local::resolve::ConvRef;
pub use group::{GroupVerb, HistoryFor, RoleArg};
pub use messages::{MessageArgs, MuteArgs, PinArgs, ReactArgs};
pub use network_key::{KeySource, KeyVerb};
pub use passphrase::{PassphraseSource, PassphraseVerb};

/// Talk and write together on networks that come and go: no server, no account, no internet.
///
/// Without a verb, opens the window, with a node behind it. With `node`, runs a node without a window. Every other verb
/// talks to the node that runs on the same data folder; where none runs, it opens the store for that one command and
/// says so. `log --follow`, `peers --wait`, `network join`, `apart` and `name`, and all that changes a group need a running
/// node.
#[derive(Debug, Parser)]
#[command(name = "cairn", version, max_term_width = 100, after_help = EXAMPLES)]
pub struct Cli {
    /// What goes for every verb.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub verb: Option<Verb>,
}

const EXAMPLES: &str = "\
Examples:
  cairn                                   open the window
  cairn node --name \"Post 3\"              run without a window, until Ctrl-C
  cairn peers --wait 2 --timeout 10       wait until two others are here
  cairn say everyone \"The road is open\"   say something to everyone on the network
  echo done | cairn say @maya -           say what stands on standard input
  cairn log everyone --since 2h --follow  read the last two hours, and go on reading
  cairn group create \"Night shift\"        talk among a few: `cairn group --help`
  cairn briefing                          what happened while the network was in parts
  cairn verify @maya                      the safety number, to be compared in person
  cairn demo                              see four nodes meet and talk on this machine

Environment: CAIRN_DATA names the data folder; CAIRN_PASSPHRASE_FILE a file that holds its passphrase; CAIRN_LOG is a filter for the log on stderr, such as
cairn_actors=debug,warn.

Exit status: 0 done, 1 failed (one sentence on stderr), 2 wrong usage.";

/// Flags of every verb.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// The data folder: identity, history, settings; one node a folder [default: in the user's data]
    #[arg(long, global = true, env = "CAIRN_DATA", value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// A file, readable by you alone, that holds the passphrase of the data folder [default: asked for at the terminal]
    #[arg(long, global = true, env = "CAIRN_PASSPHRASE_FILE", value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
    /// One JSON object a line on stdout; everything else on stderr
    #[arg(long, global = true)]
    pub json: bool,
    /// Say more on stderr; up to three times
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Run headless until SIGINT or SIGTERM; with --json, print events
    #[command(after_help = "\
Examples:
  cairn node
  cairn node --name \"Post 3\" --interface eth0
  cairn node --peer 10.1.0.7:27475 --no-discovery
  cairn --json node | jq -c 'select(.event == \"message\")'

The first event is {\"event\":\"ready\",…}: from then on every other verb works.")]
    Node(NodeArgs),
    /// The node at a glance
    Status,
    /// Who this device is: name, short code, id; with --name, call it so from now on
    Whoami {
        /// The new display name: 1 to 64 bytes
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
    },
    /// Every device known, those here first
    #[command(after_help = "\
Examples:
  cairn peers
  cairn peers --wait 2 --timeout 10    exits 0 as soon as two are online, 1 after ten seconds")]
    Peers {
        /// Wait until this many peers are online; a node that is still starting is waited for too
        #[arg(long, value_name = "N")]
        wait: Option<u32>,
        /// How long to wait, in seconds
        #[arg(long, value_name = "S", default_value = "30", requires = "wait", value_parser = seconds)]
        timeout: f64,
    },
    /// Say something
    #[command(after_help = "\
CONV is one of
  everyone               the room of everyone on this network
  @name, person:NAME     somebody (an id, a petname, a name that only one bears, a code, in this order)
  id:ID                  the id of a conversation or a device
  #group, group:NAME     kept for groups, which this version does not have yet

Examples:
  cairn say everyone \"The road is open\"
  cairn say \"person:Maya Okafor\" \"On my way\"
  cairn say everyone -- \"--not an option\"
  journalctl -n 20 | cairn say @ops -
  cairn say --id report-17 everyone \"Shift report 17\"    said once, however often it is repeated
  cairn say --reply report-17 everyone \"@Maya, see this\"  an answer that mentions Maya

A name behind an @ in the text (a petname, a name, a code; the longest that fits) mentions that person, whose unread
count then says so. A name that could be several people's mentions nobody, which is told: write it with the code, as
`cairn peers` shows both: \"@Sam (k4f2-9xqz)\".

It returns once the message is safe on this disk. Without a running node the message waits in the outbox until the
next one starts. With --json it prints {\"id\", \"conversation\", \"state\"}; \"conversation\" is null for a message that
waits for the first Everyone room of a device which was in no network yet.")]
    Say {
        /// Makes a retry idempotent: a message id, or a token of 1 to 64 bytes
        #[arg(long, value_name = "ID", value_parser = token)]
        id: Option<String>,
        /// Answer this message: its id, or the token that it was said with
        #[arg(long, value_name = "MESSAGE", value_parser = token)]
        reply: Option<String>,
        /// Where to say it
        #[arg(value_name = "CONV")]
        conversation: ConvRef,
        /// What to say, at most 64 KiB; `-` reads standard input
        text: String,
    },
    /// Change what a message of yours says
    #[command(after_help = messages::EDIT)]
    Edit {
        /// Which message.
        #[command(flatten)]
        which: MessageArgs,
        /// What it says now, at most 64 KiB; `-` reads standard input
        text: String,
    },
    /// Delete a message of yours
    #[command(after_help = messages::DELETE)]
    Delete(MessageArgs),
    /// React to a message with an emoji, or take that back
    #[command(after_help = messages::REACT)]
    React(ReactArgs),
    /// Pin a conversation to the top of the list
    #[command(after_help = messages::PIN)]
    Pin(PinArgs),
    /// Let a conversation call for no attention
    #[command(after_help = messages::MUTE)]
    Mute(MuteArgs),
    /// Read a conversation, oldest first
    #[command(after_help = "\
Examples:
  cairn log everyone                       the newest 50 messages
  cairn log @maya --limit 5
  cairn log everyone --since 2h
  cairn log everyone --since 2026-11-20T08:00:00Z
  cairn --json log everyone --follow       and what comes, until Ctrl-C")]
    Log {
        /// Which conversation (see `cairn say --help`)
        #[arg(value_name = "CONV")]
        conversation: ConvRef,
        /// The newest N messages [default: 50, or all with --since]
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        limit: Option<u32>,
        /// From this time on: RFC 3339, or a duration back from now like 10m, 2h, 1d, 1w
        #[arg(long, value_name = "T")]
        since: Option<Since>,
        /// Go on with what comes, until interrupted; needs a running node
        #[arg(long, short)]
        follow: bool,
        /// Also what edited and deleted messages said before
        #[arg(long)]
        history: bool,
    },
    /// What became of a message, a line a member: queued, carried, delivered or read
    #[command(after_help = "\
queued     on this device alone
carried    not there yet, but another device holds it and passes it on when they meet (not in direct chats: those are
           on their two devices alone)
delivered  durable there
read       on screen there, by a person who tells others so

Example:
  cairn receipts everyone report-17")]
    Receipts {
        /// Which conversation (see `cairn say --help`)
        #[arg(value_name = "CONV")]
        conversation: ConvRef,
        /// The message's id, or the token that it was said with
        #[arg(value_parser = token)]
        message: String,
    },
    /// Who holds a conversation up to where, and when each was last seen
    #[command(after_help = "\
By what devices acknowledged and stated, also to others who passed it on. It asks nobody, so it tells of those who are
away too.

Without CONV there is a line a conversation, with it a line a device. `member` are those it is meant for: in a room the
devices seen in the last 24 hours, this one among them.

Examples:
  cairn custody
  cairn custody everyone
  cairn custody everyone --documents          a line a part of the history
  cairn --json custody everyone | jq -r 'select(.member and (.complete | not)) | .name'")]
    Custody {
        /// Which conversation (see `cairn say --help`); without it all, a line each
        #[arg(value_name = "CONV")]
        conversation: Option<ConvRef>,
        /// Only this document, from `--documents`
        #[arg(long, value_name = "ID", requires = "conversation", conflicts_with = "documents")]
        document: Option<DocumentId>,
        /// A line a document instead of one a device
        #[arg(long, requires = "conversation")]
        documents: bool,
    },
    /// How long a conversation is kept: show it, or set it
    #[command(after_help = "\
In a direct chat either of you may set it, and both sides follow: older messages are hidden at once, a whole segment (an
hour, a day or a week) at a time, and removed a week later. In the room of a network each device decides for itself.
Nothing is hidden or removed by one clock alone: the other side's must agree, in a room those of two others.

A longer time, or `off`, brings back what has not been removed yet. It is removed from this app, no more: who copied a
message elsewhere still has it.

Examples:
  cairn retention @maya            how long it is now, and what has gone
  cairn retention @maya 4w         keep four weeks, from a day (1d) up to ten years
  cairn retention everyone 26w     on this device only
  cairn retention @maya off        keep everything")]
    Retention {
        /// Which conversation (see `cairn say --help`)
        #[arg(value_name = "CONV")]
        conversation: ConvRef,
        /// For how long: 1d, 4w, 26w …; `off` keeps everything
        #[arg(value_name = "DURATION")]
        keep: Option<Keep>,
    },
    /// Delete this device's copy of a conversation, or of its older part
    #[command(after_help = "\
It goes from this app on this device at once, and is not fetched again from others; they keep their copies. What they
write from now on arrives as ever. It is erased from the disk but for the segment that the cut lies in (a week, or a day
or an hour where messages are kept for a short time): of that one it is hidden.

Examples:
  cairn forget @maya                       all that was said so far
  cairn forget everyone --before 4w        what is older than four weeks
  cairn forget everyone --before 2026-11-01")]
    Forget {
        /// Which conversation (see `cairn say --help`)
        #[arg(value_name = "CONV")]
        conversation: ConvRef,
        /// Only what was said before: a date, RFC 3339, or a duration back from now like 4w [default: now]
        #[arg(long, value_name = "DATE")]
        before: Option<Since>,
    },
    /// What happened while sides were apart: who is back, what was written on each side, what is still missing
    #[command(after_help = "\
When devices that were apart meet again (after half a minute or more), each of them gets one briefing. The last 20 are
kept, oldest first.

Examples:
  cairn briefing                 the last one
  cairn briefing --all
  cairn --json briefing | jq -r '.sides[] | select(.here | not) | .members[].name'
  cairn --json node | jq -c 'select(.event == \"briefing\" and .final)'")]
    Briefing {
        /// All that are kept, not only the last one
        #[arg(long)]
        all: bool,
    },
    /// Compare safety numbers with somebody, so that you know whose device it is
    #[command(after_help = "\
Both sides show the same 60 digits and the same 12 words, unless somebody stands between them. Compare one of them in
person, or on the phone if you know the voice; then say so with --confirm. Or read the code that the other side shows from
a photo or a screenshot: that verifies at once, and says aloud what does not match (exit status 1).

With --json it prints {\"id\", \"name\", \"code\", \"badge\", \"verified\", \"digits\": [12], \"words\": [12], \"qr\"}, also
after --confirm, --forget and --scan; \"qr\" is the text of the code to show.

Examples:
  cairn verify @maya                      the digits, the words, and the code to show
  cairn verify @maya --confirm            they are the same
  cairn verify @maya --qr for-maya.png    the code as a picture
  cairn verify @maya --scan photo.jpg     read hers
  cairn verify --scan - < photo.jpg       whoever's it is
  cairn verify @maya --forget             take it back")]
    Verify(VerifyArgs),
    /// Groups: talk among those who are invited, sealed end to end
    #[command(subcommand)]
    Group(GroupVerb),
    /// The networks met, and where this device stands with each
    #[command(subcommand)]
    Network(NetworkVerb),
    /// The settings of this data folder
    #[command(subcommand)]
    Config(ConfigVerb),
    /// Check everything that is kept here: folder, key, settings, disk, store
    #[command(after_help = "\
Reads the whole store: that every entry is what was written, that logs are chains, that signatures verify (of each log
every 64th and the last). Exit status 1 where something is damaged. A check changes nothing; a node goes on meanwhile.

With --repair, a damaged store is kept aside under a name that tells when (it is never changed or deleted), and all that
can be read of it takes its place: of a damaged log the entries before the damage. Other devices bring back the rest.

A running node starts anew for --repair and --compact, as a new incarnation; it is gone for a moment.

Examples:
  cairn doctor
  cairn doctor --all --json | jq -c 'select(.state != \"ok\")'
  cairn doctor --repair
  cairn doctor --compact         after much was erased")]
    Doctor {
        /// Check every signature: 30 microseconds each
        #[arg(long)]
        all: bool,
        /// Keep a damaged store aside and save what can be saved of it
        #[arg(long)]
        repair: bool,
        /// First give the room that erased messages left back to the disk
        #[arg(long)]
        compact: bool,
    },
    /// Save key, settings and history to one file
    #[command(after_help = passphrase::BACKUP_HELP)]
    Backup {
        /// The file to make
        file: PathBuf,
    },
    /// Bring a backup back
    #[command(after_help = passphrase::RESTORE_HELP)]
    Restore {
        /// The file that `cairn backup` made
        file: PathBuf,
        /// Also where this folder is in use: what is there is kept aside
        #[arg(long)]
        replace: bool,
        /// A file, readable by you alone, that holds the backup's passphrase, where it is another than the folder's
        #[arg(long, value_name = "FILE")]
        backup_passphrase_file: Option<PathBuf>,
    },
    /// A passphrase over all that is kept here: set, change, remove
    #[command(subcommand)]
    Passphrase(PassphraseVerb),
    /// Lock what a running node, or the window, shows: until `unlock`, or the passphrase on the lock screen
    #[command(after_help = passphrase::LOCK_HELP)]
    Lock,
    /// Unlock a running node that was locked, with the passphrase
    Unlock,
    /// Destroy all that Cairn keeps here: identity, keys, history. Nothing brings it back
    #[command(after_help = passphrase::WIPE_HELP)]
    Wipe {
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// See it work: four real nodes in one process, on this machine alone, with data that goes when it ends
    Demo {
        /// Without a window: print what happens, one round
        #[arg(long)]
        headless: bool,
    },
    /// Hooks for tests
    #[command(subcommand, hide = true)]
    Debug(DebugVerb),
}

/// Flags of `node`.
#[derive(Debug, Clone, Default, Args)]
pub struct NodeArgs {
    /// The display name, kept for the next time: 1 to 64 bytes
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// The UDP port of sessions [default: as set, else the last one, else the first free of 27475-27484]
    #[arg(long, value_name = "P", value_parser = clap::value_parser!(u16).range(1..))]
    pub port: Option<u16>,
    /// Use only this interface (repeatable) [default: as set, else all that are up, without tunnels]
    #[arg(long = "interface", value_name = "IF")]
    pub interfaces: Vec<String>,
    /// A peer to reach without discovery, as IP:PORT (repeatable) [default: as set]
    #[arg(long = "peer", value_name = "ADDR")]
    pub peers: Vec<SocketAddr>,
    /// Neither send nor hear beacons [default: as set]
    #[arg(long)]
    pub no_discovery: bool,
}

/// What `network` does.
#[derive(Debug, Subcommand)]
pub enum NetworkVerb {
    /// Every network known: joined, asking or kept apart
    List,
    /// Join a network that was met
    Join {
        /// Its id, from `cairn network list`
        id: NetworkId,
    },
    /// Keep apart from a network that was met
    Apart {
        /// Its id, from `cairn network list`
        id: NetworkId,
    },
    /// The key of the network: without it a device neither finds nor reaches the others
    #[command(subcommand)]
    Key(KeyVerb),
    /// Name a network that was joined, for everybody in it
    Name {
        /// Its id, from `cairn network list`
        id: NetworkId,
        /// Its name: 1 to 64 bytes
        name: String,
    },
}

/// What `config` does.
#[derive(Debug, Subcommand)]
pub enum ConfigVerb {
    /// Print one setting, or all
    Get {
        /// Which
        key: Option<String>,
    },
    /// Change a setting; a running node takes up name, read_receipts and quotas at once, the rest when it starts next
    #[command(after_help = "\
Settings:
  name        1 to 64 bytes; empty for the user's or machine's name
  named       true or false: whether a person chose the name
  port        1 to 65535; empty for any
  interfaces  names with commas between them; empty for all
  peers       addresses like 10.0.0.7:27475 with commas between them; empty for none
  discovery   true or false
  theme       system, light, dark, sunlight or night
  scale       0.5 to 3.0
  details     true or false: whether the window shows the details column
  read_receipts  true or false: whether others are told how far you have read
  quota_author  1 to 1000000: millions of bytes that one other device may make this one keep in one conversation
  quota_space   1 to 1000000: millions of bytes that all others together may

Examples:
  cairn config set peers 10.1.0.7:27475,10.1.0.8:27475
  cairn config set interfaces \"\"      all that are up again")]
    Set {
        /// Which
        key: String,
        /// What to: plain text, a list with commas, or JSON; empty for the default
        #[arg(allow_hyphen_values = true)]
        value: String,
    },
}

/// What `debug` does.
#[derive(Debug, Subcommand)]
pub enum DebugVerb {
    /// Kill an actor of the running node, as if it had panicked
    Kill {
        /// Its name in the supervision tree
        actor: String,
    },
}

fn token(text: &str) -> Result<String, String> {
    match text.len() {
        1..=64 => Ok(text.to_owned()),
        n => Err(format!("expected 1 to 64 bytes, not {n}")),
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    text.parse::<f64>()
        .ok()
        .filter(|s| (0.0..=31_536_000.0).contains(s))
        .ok_or_else(|| "expected seconds, from 0 to a year".to_owned())
}

/// Whether the arguments ask for JSON, for errors of parsing itself: `--json` before a `--`.
#[must_use]
pub fn wants_json(args: &[OsString]) -> bool {
    args.iter().skip(1).take_while(|a| *a != "--").any(|a| a == "--json")
}

#[cfg(test)]
mod tests;
