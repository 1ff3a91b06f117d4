//! What may be said of the network's key. A passphrase is never an argument: others on the machine could read it there.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// What `network key` does.
#[derive(Debug, Clone, Subcommand)]
pub enum KeyVerb {
    /// Whether there is a key, its code, since when, and until when an old one is accepted too
    #[command(after_help = "\
The code is for comparing, over the radio too: two laptops with one code have the same key. It is not the key.")]
    Status,
    /// Set the first key: a passphrase, or the text that `show` printed elsewhere
    #[command(after_help = "\
At a terminal the passphrase is asked for, twice, and not shown. Otherwise it is read from standard input or --file; white
space around it does not count. It has at least twelve characters: four or five words that do not belong together are
good. Whoever records one announcement can try guesses on it, each of which costs 64 MiB of memory and some tenths of a
second; a passphrase out of a book of quotations is guessed all the same.

From then on this device meets those alone who have the key. Whoever has none yet is parted from it until it is set
there too.

Examples:
  cairn network key set                           asks for the passphrase
  cairn network key set --file /media/stick/key   reads it, or the text of a key
  cairn network key set --scan photo.jpg          reads the QR code that `show` made, from a picture (PNG, JPEG)
  cairn network key set --random                  a key that nobody can guess: `show` prints it for the others")]
    Set(KeySource),
    /// Change the key: the new one counts at once, the old one is accepted for seven days more
    #[command(after_help = "\
Do it on one laptop after the other, while people talk: those who have the new key accept both, so nobody is lost. The
network stays the same, with its room and its history. Who still has only the old key after seven days is out until
they have the new one. The new key is not sent to the others: it would reach the laptop that is to be left behind too.

When all have it, or at once if a laptop was lost: `cairn network key drop-old`, on each of them.

Examples:
  cairn network key change
  cairn network key change --file new-key.txt")]
    Change(KeySource),
    /// Accept the old key no longer, on this device
    DropOld,
    /// Print the key as text, to be typed or carried to another laptop. Whoever sees it is in
    #[command(after_help = "\
Examples:
  cairn network key show                  the text; at a terminal the QR code too
  cairn network key show --qr key.png     as a picture too, to be printed or shown: delete it afterwards
  cairn network key show > /media/stick/key && cairn --data /srv/post4 network key set --file /media/stick/key
  cairn --json network key show | jq -r .key")]
    Show {
        /// Write the QR code to this new PNG file too
        #[arg(long, value_name = "FILE")]
        qr: Option<PathBuf>,
    },
    /// Remove the key: the network of this device is open from now on
    Remove,
}

/// Where a key comes from.
#[derive(Debug, Clone, Default, Args)]
pub struct KeySource {
    /// The file to read it from [default: standard input]
    #[arg(long, value_name = "FILE", conflicts_with = "random")]
    pub file: Option<PathBuf>,
    /// Read it from the QR code in this picture (PNG or JPEG)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["random", "file"])]
    pub scan: Option<PathBuf>,
    /// Make one of random bytes instead of reading one
    #[arg(long)]
    pub random: bool,
}
