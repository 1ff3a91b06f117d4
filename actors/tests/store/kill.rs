//! Processes that are killed. A child of this program opens a store, says how much it holds once it has compared all of
//! it with what must be there, and writes batch after batch, saying so when each is acknowledged; its parent kills it
//! at a moment of chance and begins the next one on the same store.

use std::fmt;
use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use cairn_actors::store::{MemoryStore, RedbStore, Store};
use rand::{RngExt, SeedableRng};

use super::work;

/// Names the store to a child.
const STORE: &str = "CAIRN_TRIAL_STORE";
/// Names the seed of the work to a child.
const SEED: &str = "CAIRN_TRIAL_SEED";
/// A child lives at most so long from when it is started or, for most, from when it has said so many lines.
const LIFE: Duration = Duration::from_millis(10);
const LINES: u32 = 6;
/// Batches between two times at which the journal is emptied.
const REST: u64 = 9;
/// And at which room is given back.
const COMPACT: u64 = 14;

/// What the loops were.
#[derive(Debug, Default, Clone)]
pub struct Figures {
    /// Children killed.
    pub kills: u64,
    /// Of these, after they had begun to write.
    pub while_writing: u64,
    /// Batches acknowledged.
    pub acknowledged: u64,
    /// Batches that were kept although the kill came before the answer.
    pub kept_unanswered: u64,
    /// Time in all.
    pub time: Duration,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} kills, {} of them while writing, in {:.1} s; {} batches acknowledged, {} kept unanswered",
            self.kills,
            self.while_writing,
            self.time.as_secs_f64(),
            self.acknowledged,
            self.kept_unanswered
        )
    }
}

/// What a child was told, if this process is one.
pub fn told() -> Option<(PathBuf, u64)> {
    Some((std::env::var_os(STORE)?.into(), std::env::var(SEED).ok()?.parse().ok()?))
}

/// The child: never returns unless something is wrong, which it says.
pub fn child(path: &Path, seed: u64) {
    if let Err(why) = write_for_ever(path, seed) {
        say(&format!("wrong {why}"));
    }
}

fn say(line: &str) {
    // Without its parent there is nothing to do.
    let mut out = std::io::stdout().lock();
    if out.write_all(format!("\ntrial {line}\n").as_bytes()).and_then(|()| out.flush()).is_err() {
        std::process::exit(1);
    }
}

fn write_for_ever(path: &Path, seed: u64) -> Result<(), String> {
    let store = RedbStore::open(path).map_err(|e| format!("open: {e}"))?;
    let mut count = work::count(&store).map_err(|e| format!("read: {e}"))?;
    let (expected, mut work) = work::replayed(seed, count, &MemoryStore::new());
    if work::dump(&store).map_err(|e| format!("read: {e}"))? != expected {
        return Err(format!("the store is not as {count} batches leave it"));
    }
    say(&format!("holds {count}"));
    loop {
        if count.is_multiple_of(REST) {
            store.rest().map_err(|e| format!("rest: {e}"))?;
        }
        if count % COMPACT == COMPACT - 1 {
            store.compact().map_err(|e| format!("compact: {e}"))?;
        }
        store.commit(&work.batch()).map_err(|e| format!("commit: {e}"))?;
        count += 1;
        say(&format!("acknowledged {count}"));
        if count.is_multiple_of(work::ROUND) {
            work = work::Work::new(seed, count / work::ROUND);
        }
    }
}

/// Kills so many children, one after the other, on a store in `folder`; `arguments` make a child of this program.
///
/// # Errors
/// What went wrong; the store stays where it is.
pub fn run(
    folder: &Path,
    arguments: &[&str],
    kills: u64,
    seed: u64,
    tell: impl Fn(&Figures),
) -> Result<Figures, String> {
    let path = folder.join("cairn.redb");
    let program = std::env::current_exe().map_err(|e| e.to_string())?;
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    let mut figures = Figures::default();
    let (start, mut acknowledged) = (Instant::now(), 0u64);
    while figures.kills < kills {
        let mut child = Command::new(&program)
            .args(arguments)
            .env(STORE, &path)
            .env(SEED, seed.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|e| format!("a child: {e}"))?;
        let mut output = BufReader::new(child.stdout.take().ok_or("a child without output")?);
        let mut first = String::new();
        let mut waited_for = if rng.random_ratio(3, 4) { rng.random_range(0..LINES) } else { 0 };
        while waited_for > 0 {
            let from = first.len();
            match output.read_line(&mut first) {
                Ok(n) if n > 0 => waited_for -= u32::from(first[from..].starts_with("trial ")),
                _ => break,
            }
        }
        // No event to wait for: the moment is to be any.
        std::thread::sleep(LIFE.mul_f64(rng.random()));
        // One that has ended by itself says why.
        let _ = child.kill();
        child.wait().map_err(|e| format!("a child: {e}"))?;
        let before = acknowledged;
        let mut wrote = false;
        output.read_to_string(&mut first).map_err(|e| format!("a child's words: {e}"))?;
        // The last line may be half of one.
        let whole = first.rfind('\n').map_or("", |end| first.get(..end).unwrap_or_default());
        for line in whole.lines() {
            let Some(words) = line.strip_prefix("trial ") else { continue };
            let number = |n: &str| n.parse::<u64>().map_err(|_| format!("a child says {words:?}"));
            match words.split_once(' ') {
                Some(("holds", n)) => {
                    let held = number(n)?;
                    if held != acknowledged && held != acknowledged + 1 {
                        return Err(format!("{acknowledged} batches were acknowledged, the store holds {held}"));
                    }
                    figures.kept_unanswered += held - acknowledged;
                    acknowledged = held;
                }
                Some(("acknowledged", n)) => {
                    acknowledged = number(n)?;
                    wrote = true;
                }
                _ => return Err(format!("after {before} batches: {words}")),
            }
        }
        figures.kills += 1;
        figures.while_writing += u64::from(wrote);
        figures.acknowledged += acknowledged - before;
        figures.time = start.elapsed();
        if figures.kills.is_multiple_of(500) {
            tell(&figures);
        }
    }
    let store = RedbStore::open(&path).map_err(|e| format!("at the end: {e}"))?;
    store.verify().map_err(|e| format!("at the end: {e}"))?;
    let held = work::count(&store).map_err(|e| format!("at the end: {e}"))?;
    if held < acknowledged {
        Err(format!("{acknowledged} batches were acknowledged, {held} are left"))
    } else {
        Ok(figures)
    }
}
