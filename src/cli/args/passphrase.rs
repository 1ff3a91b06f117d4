//! What may be said of the passphrase over the data folder, and the help of the verbs that it concerns. A passphrase is never
//! an argument: others on the machine could read it there.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// What `passphrase` does.
#[derive(Debug, Clone, Subcommand)]
pub enum PassphraseVerb {
    /// Whether there is one, and what that means
    Status,
    /// Seal everything that is kept here with a passphrase. No node may be running
    #[command(after_help = "\
Store, keys and backups are sealed with a random key, which is kept under the passphrase (argon2id, 64 MiB, 3 passes). It is
asked for whenever Cairn starts. Nobody can bring a forgotten one back: what is here is lost then, but for what others hold.

Everything is written anew, into a new file; a crash at any moment leaves the old or the new. What was there is written over
and removed, which a solid-state disk, a snapshot or a backup of the disk may not follow. Best set it before anything is said.

At a terminal the passphrase is asked for, twice, and not shown; otherwise it is read from standard input or --file. It has
at least twelve characters: four or five words that do not belong together are good.

Examples:
  cairn passphrase set
  cairn passphrase set --file words && cairn --passphrase-file words node")]
    Set(PassphraseSource),
    /// Take another passphrase; also while a node runs
    #[command(after_help = "\
The key that everything is sealed with stays the same. So backups from before open with the passphrase of then, and whoever
has a copy of passphrase.key from before, and the old passphrase, can read everything still. For a new key: remove and set.

The old one is asked for at the terminal, or read from --passphrase-file; the new one as with `set`.")]
    Change(PassphraseSource),
    /// Take the passphrase away: everything is written anew, unsealed. No node may be running
    Remove,
}

/// Where a new passphrase comes from.
#[derive(Debug, Clone, Default, Args)]
pub struct PassphraseSource {
    /// The file to read it from [default: the terminal, else standard input]
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
}

/// Help of `wipe`.
pub const WIPE_HELP: &str = "\
The keys are written over and removed first: with a passphrase, all the rest is lost from that moment. Then every file of
Cairn in the folder is written over and removed, what was kept aside with it. What lies there besides stays. No node may be
running. It needs no passphrase.

Writing over is what an ordinary disk does. A solid-state disk, a file system that copies on writing, a snapshot or a backup
may hold the old bytes for a long time: a passphrase set from the beginning, or an encrypted disk, is what helps there.
What was said stays with those who have received it.

Examples:
  cairn wipe
  cairn --data /srv/post3 wipe --yes";

/// Help of `backup`.
pub const BACKUP_HELP: &str = "\
The file is as the store was at one moment; a node goes on meanwhile. It holds the key: whoever has it can be this device,
and reads everything in it, unless the folder has a passphrase: then the file is sealed with it, and brought back with it,
on another machine too. It is made for its owner alone, has its name only once it is complete, and never replaces a
file.

Examples:
  cairn backup /media/stick/post3.cairn-backup
  cairn backup \"$HOME/cairn-$(date +%F).cairn-backup\"";

/// Help of `restore`.
pub const RESTORE_HELP: &str = "\
The file is read whole and checked before anything changes. In a folder that is in use, --replace is needed; what was
there is moved to replaced-TIME in the folder and never deleted. A running node starts anew as what the backup holds.

A sealed backup asks for its passphrase, or reads it from --backup-passphrase-file, unless it is of this same folder; that
passphrase is the folder's from then on. A backup that is not sealed, brought into a folder with a passphrase, is sealed
with that.

What was written after the backup comes back from other devices. Never run the same backup on two machines at once: both
say so when they meet, but only one can be this device.

Examples:
  cairn --data /srv/post3 restore post3.cairn-backup
  cairn restore --replace yesterday.cairn-backup";

/// Help of `lock`.
pub const LOCK_HELP: &str = "\
It needs a passphrase (`cairn passphrase set`). The window shows the lock screen alone and drops what it showed; every verb but
status, doctor, lock, unlock and those of settings is refused, and streams of events are silent. The node goes on receiving,
passing on and keeping: the key stays in memory, so whoever gets at the memory of the machine gets it. Stop the node where that
matters.

Examples:
  cairn lock
  cairn unlock
  cairn --passphrase-file words unlock";
