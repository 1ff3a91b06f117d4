//! Every bound, rate, timeout and size of the node, in one place. Bounds of the data model (entry, guard) stand in
//! `cairn-crdt` beside what they bound.

use std::time::Duration;

// --- Messages

/// Kinds of reactions to one message that are shown; those of fewer people are left out.
pub const REACTIONS_SHOWN: usize = 32;
/// People who are named beside a reaction.
pub const REACTORS_NAMED: usize = 16;
/// The person here writes: told once in so long.
pub const TYPING_AGAIN: Duration = Duration::from_secs(3);
/// Somebody is believed to write for so long after it was said last.
pub const TYPING_SHOWN: Duration = Duration::from_secs(7);
/// Those who write at once, in all conversations, that are known; of more nothing is shown.
pub const TYPING_KNOWN: usize = 256;
/// In a conversation with more peers connected nobody is told who writes.
pub const TYPING_PEERS: usize = 64;
/// A peer may say so often a second that its person writes or has stopped, and how often at once; what is said more often
/// is dropped where it is read.
pub const TYPING_HEARD: (u32, u32) = (2, 8);
/// Conversations that a person may pin.
pub const PINNED_MAX: usize = 64;
/// Later versions of one message that are shown on request; older ones are left out.
pub const VERSIONS_SHOWN: usize = 100;

// --- Discovery

/// The beacon port, below every ephemeral range.
pub const BEACON_PORT: u16 = 27474;
/// The first of the ten ports that QUIC tries before it takes any.
pub const QUIC_PORT_FIRST: u16 = 27475;
/// How many consecutive ports QUIC tries.
pub const QUIC_PORT_COUNT: u16 = 10;
/// IPv4 multicast group of beacons.
pub const BEACON_V4: std::net::Ipv4Addr = std::net::Ipv4Addr::new(239, 255, 47, 47);
/// IPv6 link-local multicast group of beacons, ff02::4747.
pub const BEACON_V6: std::net::Ipv6Addr = std::net::Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x4747);
/// Largest beacon in bytes.
pub const BEACON_MAX: usize = 300;
/// Beacons at start and after a link or address change.
pub const BEACON_BURST: [Duration; 4] =
    [Duration::ZERO, Duration::from_millis(100), Duration::from_millis(500), Duration::from_millis(1500)];
/// Shortest steady interval of beacons.
pub const BEACON_INTERVAL: Duration = Duration::from_secs(15);
/// The steady interval is at least this many seconds a peer: peers / 20.
pub const BEACON_PEERS_PER_SECOND: u32 = 20;
/// Interval of beacons and probes while a co-member seen in the last hour is missing.
pub const MISSING_INTERVAL: Duration = Duration::from_millis(2500);
/// How long a missing co-member is probed for.
pub const MISSING_FOR: Duration = Duration::from_secs(3600);
/// Beacons a second taken from one address.
pub const BEACONS_PER_ADDRESS: u32 = 5;
/// Beacon signatures verified a second.
pub const BEACON_VERIFICATIONS: u32 = 500;
/// Dials started a second.
pub const DIALS_PER_SECOND: u32 = 10;
/// Burst of dials allowed after a quiet second: what a full LAN needs when it starts at once.
pub const DIAL_BURST: u32 = 64;
/// Dials that one node begins before it has heard how the first of them end. When sixty hosts on two cores began all of
/// theirs together, each handshake took longer than [`HANDSHAKE_TIMEOUT`] and all were begun again, for ever.
pub const DIALS_AT_ONCE: usize = 8;
/// Dials under way at once, those included that may be waiting out a broken path; those that peers told of take half of
/// the places at most.
pub const DIALS_MAX: usize = 64;
/// A dial holds one of the few places for so long at most, and longer where handshakes take long: nobody waits for those
/// that are switched off.
pub const DIAL_PLACE: Duration = Duration::from_millis(100);
/// Devices remembered by discovery.
pub const DISCOVERY_IDS: usize = 20_000;
/// Longest random wait before a newcomer is dialled.
pub const DIAL_JITTER: Duration = Duration::from_millis(20);
/// The same for whoever has just announced itself and is being dialled too. A dial waits for a handshake that comes from
/// where it would go, so the two need only be apart by as long as a packet takes.
pub const DIAL_JITTER_NEW: Duration = Duration::from_millis(5);
/// The random wait is at most this long for each device that is here or being dialled: who is alone dials at once.
pub const DIAL_JITTER_EACH: Duration = Duration::from_millis(1);
/// How long a fresh device listens before it mints a network of its own.
pub const NETWORK_SILENCE: Duration = Duration::from_secs(1);
/// Configured peers and interfaces, each.
pub const MAX_CONFIGURED: usize = 64;

/// Beacons that one address may send at once after a silence: a machine with many nodes starts them together.
pub const BEACON_BURST_PER_ADDRESS: u32 = 40;
/// Addresses whose beacon rate is watched at once.
pub const BEACON_ADDRESSES: usize = 4_096;
/// Addresses remembered of one device.
pub const ADDRESSES_PER_DEVICE: usize = 4;
/// Dials waiting for their turn; strangers beyond it wait for their next beacon.
pub const DIALS_WAITING: usize = 1_024;
/// Dials waiting for devices at one address, co-members apart.
pub const DIALS_WAITING_PER_ADDRESS: usize = 64;
/// Dials waiting that peers told of, so that they never take the place of devices that were heard.
pub const DIALS_TOLD: usize = DIALS_WAITING / 2;
/// Dials waiting that one peer told of. Whoever is left out is told of by the next peer too, where it is really there.
pub const DIALS_TOLD_PER_PEER: usize = 128;
/// A newcomer that we have not reached by then is sent a beacon of our own, so that it can dial us: within the three
/// seconds in which a host firewall lets answers to a multicast in.
pub const ANSWER_AFTER: Duration = Duration::from_millis(500);
/// Longest wait between two dials of a configured peer.
pub const CONFIGURED_BACKOFF_MAX: Duration = Duration::from_secs(10);
/// Beacon datagrams read from the sockets and not yet looked at.
pub const BEACONS_WAITING: usize = 256;
/// How often interfaces are listed again, besides the system's own notices.
pub const RESCAN: Duration = Duration::from_secs(15);

// --- Transport and sessions

/// Largest frame on a stream in bytes: a batch of entries and its head.
pub const FRAME_MAX: usize = 1024 * 1024;
/// Target size of a batch of entries in bytes: what one signature may vouch for.
pub const BATCH_BYTES: usize = cairn_crdt::replica::VOUCHED_BYTES;
/// Flow-control window of a stream in bytes.
pub const STREAM_WINDOW: u32 = 256 * 1024;
/// Flow-control window of a connection in bytes.
pub const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// Time for a handshake and the exchange of hellos.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// A silent connection is dropped after this; presence knows long before.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(15);
/// Gained sessions are gathered at least and at most so long before peers are told of them; lost ones only the least.
pub const NEIGHBOURS_AFTER: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// They are gathered so long for each peer: about a hundred such frames a second then. Of sixty hosts that start at once
/// each would else tell each other up to twenty times a second.
pub const NEIGHBOURS_AFTER_EACH: Duration = Duration::from_millis(10);
/// Sessions of one node.
pub const SESSIONS_MAX: usize = 512;
/// How long a dial waits for the end of a handshake that comes from where it would go.
pub const CAME_FIRST_WAIT: Duration = Duration::from_secs(2);
/// Handshakes under way at once before the endpoint asks for address validation.
pub const HANDSHAKES_BEFORE_RETRY: usize = 64;
/// Handshakes under way at once; more are refused.
pub const HANDSHAKES_MAX: usize = 256;
/// Links at the gate at once that others made, where the network has a key: they have shown a device key and not yet that
/// they hold the network's. In all, and from one address.
pub const GATE_MAX: usize = 256;
/// The same from one address.
pub const GATE_ADDRESS: usize = 64;
/// How long a network key that was changed is accepted beside the new one.
pub const NETWORK_KEY_OLD: Duration = Duration::from_secs(7 * 24 * 3600);
/// How often it is looked at least whether an old key has ended, while there is one: a laptop that slept hears of it then.
pub const NETWORK_KEY_LOOK: Duration = Duration::from_secs(60);
/// Streams that a peer may have open: the lanes, and room for files.
pub const STREAMS_MAX: u32 = 16;
/// Round trip assumed before the first is measured: a lost first packet on a LAN is sent again after three of these.
pub const INITIAL_RTT: Duration = Duration::from_millis(20);
/// Longest wait for closes to be sent when the node stops.
pub const SHUTDOWN_WAIT: Duration = Duration::from_millis(300);
/// Bytes queued for a session; beyond it the peer is behind and catches up by digest.
pub const SESSION_QUEUE_BYTES: usize = 512 * 1024;
/// Frames queued for a session.
pub const SESSION_QUEUE_FRAMES: usize = 4096;
/// Bytes queued for a session that has stopped reading before it is closed: answers of the protocol, whatever their
/// size, that a peer asks for and does not take.
pub const SESSION_BACKLOG_BYTES: usize = 16 * 1024 * 1024;
/// Bytes of replication read from one device a second, and at once after a silence; beyond it reading waits.
pub const SYNC_BYTES: (u32, u32) = (32 * 1024 * 1024, 64 * 1024 * 1024);
/// Entries read from one device a second, and at once after a silence. Measured: a signature check takes 32 us, so
/// a device that signs every entry for itself is held at half a core.
pub const SYNC_ENTRIES: (u32, u32) = (100_000, 400_000);
/// What the first entry of a log counts: a log takes memory for as long as its document is kept.
pub const SYNC_NEW_LOG: u32 = 50;
/// What a question for a branch of a log counts: it is answered with a batch read from the disk.
pub const SYNC_TRACE: u32 = 1_000;
/// What a frame that compares documents counts as entries: with 10,000 documents an answer takes about 1 ms.
pub const COMPARE_COST: usize = 10;
/// Control frames read from one device a second, and at once after a silence.
pub const CONTROL_FRAMES: (u32, u32) = (200, 1_000);
/// A control frame counts once for each so many bytes.
pub const CONTROL_FRAME_BYTES: usize = 1_024;
/// Devices whose rates outlive their sessions, so that a new session is no new allowance.
pub const RATES_KEPT: usize = 4_096;
/// How often a second, and at once after a silence, all peers are told of our networks when they change in a row: what
/// one peer says of a network goes on to all, so a rate that each node keeps bounds what one liar can start.
pub const CLAIMS_RATE: (u32, u32) = (1, 8);
/// A person is told of one offender at most this often.
pub const OFFENDER_INTERVAL: Duration = Duration::from_secs(60);
/// Offenders that a person is told of in that time; of others only the log tells.
pub const OFFENDERS_TOLD: usize = 32;
/// First and longest wait before a failed peer is dialled again.
pub const BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(60));
/// How long a peer that broke the protocol is not dialled or accepted.
pub const BAN: Duration = Duration::from_secs(60);

// --- Presence

/// Shortest interval of heartbeats.
pub const HEARTBEAT: Duration = Duration::from_secs(1);
/// The interval is at least sessions / 64 seconds.
pub const HEARTBEAT_SESSIONS_PER_SECOND: u32 = 64;

// --- Replication

/// How often fetches that bring nothing are looked for; the patience itself is counted in these.
pub const FETCH_TICK: Duration = Duration::from_secs(1);
/// Interval of digests to every peer, jittered by a quarter.
pub const ANTI_ENTROPY: Duration = Duration::from_secs(30);
/// Statements of durability to peers other than the sender are held back this long.
pub const STATEMENT_INTERVAL: Duration = Duration::from_millis(500);
/// For each so many peers in a space another such interval passes between two statements of it: each statement costs
/// every peer a signature check, and in a room of 50 they would cost more than the messages.
pub const STATEMENT_PEERS: usize = 8;
/// Most such intervals between two statements: sixteen seconds, however many peers there are.
pub const STATEMENT_TURNS: usize = 32;
/// Ticks of summaries (ten a second) after which it is told again how far catching up is, though nothing has changed.
pub const CATCH_UP_AGAIN: u32 = 10;
/// Devices named among those who bring what was missed.
pub const BRINGERS_TOLD: usize = 8;
/// Entries read from the store into memory before other work has its turn: about 3 ms.
pub const SLICE_ENTRIES: usize = 512;
/// Entries read at once for a page that is asked for; where it needs more, other work has its turn in between.
pub const PAGE_ENTRIES: usize = 1_024;
/// Turns after which a page is answered with what is there, though more has come that belongs to it: half a million
/// entries.
pub const PAGE_TURNS: usize = 1_024;

// --- Retention

/// How often it is looked whether something is too old by now, first after [`RETENTION_FIRST`].
pub const RETENTION_TICK: Duration = Duration::from_secs(60);
/// How long after its start a node first looks: by then others' clocks were heard.
pub const RETENTION_FIRST: Duration = Duration::from_secs(10);
/// Stretches of time that one side retires in one look.
pub const RETIRES_AT_ONCE: usize = 8;
/// Logs that are erased in one batch: others' commits come between.
pub const ERASE_LOGS: usize = 256;
/// Stretches that a person may have deleted apart from each other in one conversation.
pub const FORGOTTEN_MAX: usize = 32;

// --- Reunions

/// A device that was not heard for so long and is heard again has been apart; less is a flap.
pub const BRIEFING_APART: Duration = Duration::from_secs(30);
/// The same where it was last heard in an earlier start of this node: the store knows that to the minute only.
pub const BRIEFING_OFF: Duration = Duration::from_secs(180);
/// Devices that were lost within this time of each other were lost together.
pub const BRIEFING_TOGETHER: Duration = Duration::from_secs(90);
/// Who comes back within this time of the last one belongs to the same reunion.
pub const BRIEFING_GATHER: Duration = Duration::from_secs(10);
/// The longest time in which those who come back one after the other belong to one reunion.
pub const BRIEFING_GATHER_MAX: Duration = Duration::from_secs(60);
/// A reunion is final after this long, whatever is still lacking.
pub const BRIEFING_SETTLE: Duration = Duration::from_secs(300);
/// A reunion in which the others wrote nothing is told if they were away for so long.
pub const BRIEFING_QUIET: Duration = Duration::from_secs(600);
/// A reunion that grows is told again at most this often.
pub const BRIEFING_UPDATE: Duration = Duration::from_secs(1);
/// Who is met within this time after this device was asleep or off was not away; this device was.
pub const BRIEFING_WAKE: Duration = Duration::from_secs(1800);
/// Reunions that grow at once.
pub const BRIEFING_OPEN: usize = 8;
/// Devices of one reunion.
pub const BRIEFING_MEMBERS: usize = SESSIONS_MAX;
/// Authors told apart in one reunion, each space for itself.
pub const BRIEFING_AUTHORS: usize = 1_024;
/// Spaces and devices in one briefing that are still to become equal.
pub const BRIEFING_LACKING: usize = 64;
/// Devices that have not come back, named in one briefing.
pub const BRIEFING_ABSENT: usize = 32;
/// First lines of each conversation and side in a briefing, and characters of each.
pub const BRIEFING_LINES: (usize, usize) = (3, 160);
/// Entries read from the store for the first lines of a conversation in a briefing, while more is coming and when it is
/// final or asked for; lines that need more come by and by.
pub const BRIEFING_READS: (usize, usize) = (1_024, 16_384);
/// Messages looked through for what was written on our side, and at a time.
pub const BRIEFING_SCAN: (usize, usize) = (20_000, 1_000);
/// Briefings kept.
pub const BRIEFINGS_KEPT: usize = 20;

// --- Forks

/// Bytes of a lost branch that are kept and sent as one.
pub const LOST_PART: usize = 256 * 1024;
/// Bytes of lost branches that are kept of one log of another device, until it has said them again.
pub const LOST_BYTES: usize = 4 * 1024 * 1024;
/// Starts of one device that forked, after which all that it writes is taken slowly; before that, what these starts do.
pub const FREEZE_DEVICE: usize = 3;
/// Entries that are taken of whoever is slowed so, a second, and at once after a silence: more than a person writes, a
/// three thousandth of [`SYNC_ENTRIES`]. What an honest machine wrote before it was set back comes at this rate to who
/// has none of it: 10,000 messages in five minutes.
pub const FROZEN_RATE: (u32, u32) = (32, 512);
/// An entry counts there once for each so many bytes, so that no more than 128 KiB a second are taken.
pub const FROZEN_UNIT: u64 = 4_096;
/// Seconds between two looks at who has some credit again: as often peers compare because of it.
pub const FROZEN_LOOK: u32 = 5;
/// Devices that are known to have forked; of more than these, those that were seen first are slowed.
pub const FROZEN_DEVICES: usize = 4_096;
/// Seconds after which people are told of a device that contradicts itself in what it states, unless by then a log of the
/// same start has turned out to fork, which tells more.
pub const CONTRADICTION_TOLD: u32 = 10;

// --- Store

/// Records in one durable transaction.
pub const COMMIT_RECORDS: usize = 4096;
/// How often a message is written again whose place in its log went with a commit that failed.
pub const SAY_AGAIN: u32 = 3;
/// Writes waiting for the writer; beyond it callers are told that the store is too slow.
pub const COMMIT_QUEUE: usize = 65_536;
/// Length of the store's journal in bytes.
pub const JOURNAL_SIZE: u64 = 2 * 1024 * 1024;
/// Larger groups of batches, in bytes, go straight into the store: there a second copy would cost more than it saves.
pub const JOURNAL_BATCH: usize = 64 * 1024;
/// Until the journal is emptied into the store once something stands in it.
pub const JOURNAL_REST: Duration = Duration::from_secs(10);
/// From the start of the writer until the journal is made where there is none.
pub const JOURNAL_FIRST: Duration = Duration::from_secs(1);
/// Page cache of the store in bytes.
pub const STORE_CACHE: usize = 8 * 1024 * 1024;

// --- Care

/// A disk with fewer bytes left is nearly full, and people are told.
pub const DISK_LOW: u64 = 200 * 1000 * 1000;
/// The store is compacted by itself once it would give so many bytes back, and more than twice what it keeps.
pub const COMPACT_GAIN: u64 = 16 * 1024 * 1024;
/// And once nothing was written for so long.
pub const COMPACT_IDLE: Duration = Duration::from_secs(15);
/// Bytes that a store may use to be compacted while the node runs, and at a start. Measured: 2 to 3 s a 100 MB used,
/// in which reads and commits wait.
pub const COMPACT_USED: (u64, u64) = (64 * 1024 * 1024, 256 * 1024 * 1024);
/// Bytes of records gathered into one block of a backup.
pub const BACKUP_BLOCK: usize = 256 * 1024;
/// Longest block of a backup that is read.
pub const BACKUP_BLOCK_MAX: usize = 16 * 1024 * 1024;
/// Bytes of a backup that are written to the store in one commit.
pub const RESTORE_BATCH: usize = 4 * 1024 * 1024;

/// Without a setting: millions of bytes that one other device may make this one keep in one conversation. A message takes
/// about 700 bytes: 700,000 of them, or one a minute for 16 months.
pub const QUOTA_AUTHOR: u32 = 512;
/// Without a setting: millions of bytes that all others together may make it keep in one conversation.
pub const QUOTA_SPACE: u32 = 4_096;
/// What these settings may be.
pub const QUOTAS: std::ops::RangeInclusive<u32> = 1..=1_000_000;
/// Logs that one other device may begin in one conversation, those that are gone apart: one for each of its starts in each
/// part of it that it writes to. Ten starts a day make as many in four years. Each takes about 400 bytes of memory.
pub const LOGS_AUTHOR: u64 = 16_384;
/// Logs that all others together may begin there.
pub const LOGS_SPACE: u64 = 262_144;
/// Direct chats with devices that were never written to from here in which something was said; others begin none.
pub const STRANGERS: u64 = 512;
/// Seconds between two looks at how full the disk is.
pub const DISK_LOOK: u32 = 5;

// --- People

/// Longest body of a message in bytes.
pub const MESSAGE_MAX: usize = 64 * 1024;
/// Longest name in bytes.
pub const NAME_MAX: usize = 64;
/// Keys of one space that are on their way to devices which lacked them; more follow when those are there.
pub const SHARES_AT_ONCE: usize = 64;
/// Bytes that are kept aside in a group of what was cut of those who were removed, in case a removal proves void.
pub const CUT_ASIDE: usize = 16 * 1024 * 1024;
/// Removals that a device says to have taken in at once; more follow when those are durable.
pub const SEEN_AT_ONCE: usize = 64;
/// Invitations into groups that are shown at once; others wait until some of these are answered. Of one person no more
/// count than [`cairn_crdt::kinds::control::MAX_INVITED`].
pub const INVITATIONS: usize = 256;
/// Groups that this device is in at most.
pub const GROUPS: usize = 4_096;
/// Members of a group at most, those who were invited among them.
pub const GROUP_MEMBERS: usize = 1_000;
/// How long a key is used at least, whatever clocks say of its age.
pub const KEY_LEAST: Duration = Duration::from_secs(3_600);
/// How often at most a device is given keys again that it says to have lost.
pub const KEYS_ASKED: Duration = Duration::from_secs(60);
/// Messages in one page of a query.
pub const PAGE_MAX: usize = 2_000;
/// Events held for a slow subscriber before it is told to ask again.
pub const EVENTS: usize = 4_096;
/// Devices and documents listed when somebody asks who holds a conversation.
pub const CUSTODY_LISTED: usize = 1_024;
/// Entries read to say up to when a device holds a conversation; of the rest it is not said.
pub const CUSTODY_READS: usize = 256;
/// Longest line on the local socket in bytes.
pub const LOCAL_LINE_MAX: usize = 1024 * 1024;
/// Connections to the local socket.
pub const LOCAL_CONNECTIONS: usize = 64;
/// A client of the local socket that takes no line for this long is dropped.
pub const LOCAL_WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections to the local socket that may wait for one of them to end: a burst of scripted commands.
pub const LOCAL_WAITING: usize = 256;
/// How long they wait before they are told that there is no room.
pub const LOCAL_WAIT: Duration = Duration::from_secs(2);
/// How long a client of the local socket waits for an answer.
pub const LOCAL_REPLY_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a command waits for another that has the data folder open, or for a node that is starting.
pub const LOCAL_OPEN_TIMEOUT: Duration = Duration::from_secs(5);
