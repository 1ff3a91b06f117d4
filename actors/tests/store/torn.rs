//! Power cuts. A trial begins with a store and its journal on a simulated disk (a new one, one that is in use, one of
//! schema 1), opens it and goes on writing until the power fails; what is found then is opened again, on a disk whose
//! power may fail during that too. After each cut the store must hold all that was acknowledged, and nothing but whole
//! batches. A disk that lies about syncs may cost batches; what becomes of those is in `lie`.

use std::collections::BTreeSet;
use std::fmt;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use cairn_actors::store::{MemoryStore, RedbStore, Store, StoreError};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use redb::Builder;

use super::disk::{Disk, Image};
use super::lie::{self, Came};
use super::work::{self, Dump, Work};

/// A store of schema 1 as it was written then: length u64, then number u32 and bytes of each block of 64 that is not
/// zero.
const SCHEMA_1: &[u8] = include_bytes!("../../src/store/fixtures/schema1.bin");
/// Batches prepared of each seed.
const BATCHES: u64 = 45;
/// Trials that share a seed of work.
const SHARED: u64 = 100;

/// What the trials were.
#[derive(Debug, Default, Clone)]
pub struct Figures {
    /// Trials.
    pub trials: u64,
    /// Power cuts, an image each.
    pub cuts: u64,
    /// Cuts while a store was opened.
    pub on_opening: u64,
    /// Of these, while it recovered from the cut before.
    pub on_recovery: u64,
    /// Cuts during or soon after the migration of a store of schema 1.
    pub migrations: u64,
    /// Cuts while the file was compacted.
    pub compactions: u64,
    /// Cuts while the journal was emptied or made.
    pub rests: u64,
    /// Cuts on a disk that lied about syncs.
    pub lies: u64,
    /// Of these, stores that were reported and set aside.
    pub reported: u64,
    /// Of these, stores that ended a process first.
    pub deaths: u64,
    /// The seed of the last of those.
    pub last_death: Option<u64>,
    /// Batches acknowledged.
    pub acknowledged: u64,
    /// Batches that were kept although the power failed before the answer.
    pub kept_unanswered: u64,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} images of {} trials: cut on opening {}, on recovery {}, migrating {}, compacting {}, emptying the \
             journal {}, on lying disks {} \
             ({} reported and set aside, {} after the death of a process, seed {:?}); {} batches acknowledged, {} kept unanswered",
            self.cuts,
            self.trials,
            self.on_opening,
            self.on_recovery,
            self.migrations,
            self.compactions,
            self.rests,
            self.lies,
            self.reported,
            self.deaths,
            self.last_death,
            self.acknowledged,
            self.kept_unanswered
        )
    }
}

/// Batches of a seed, and what the store must hold after each number of them.
struct Script {
    seed: u64,
    batches: Vec<Vec<cairn_actors::store::Write>>,
    states: Vec<Dump>,
    /// Every entry that is ever in it.
    entries: BTreeSet<String>,
    /// The disk after some of the batches, closed in order or not.
    images: Vec<(usize, Image)>,
}

impl Script {
    fn new(seed: u64, base: &MemoryStore, image: Image, placeholder: &Path) -> Result<Self, String> {
        let memory = base.crash();
        let (_, mut work) = work::replayed(seed, 0, &memory);
        let disk = Disk::holding(image, None, false);
        let mut store = open(&disk, placeholder).map_err(|e| e.to_string())?;
        let mut script = Self { seed, batches: vec![], states: vec![], entries: BTreeSet::new(), images: vec![] };
        for n in 0..=BATCHES {
            let state = work::dump(&memory).map_err(|e| e.to_string())?;
            script
                .entries
                .extend(state.logs.iter().flat_map(|log| &log.3).map(|stored| stored.entry.hash().to_string()));
            script.states.push(state);
            if n % 15 == 0 {
                // As a kill finds it, and closed in order.
                let mut rng = ChaCha8Rng::seed_from_u64(seed);
                script.images.push((n as usize, disk.image(&mut rng)));
                drop(store);
                script.images.push((n as usize, disk.image(&mut rng)));
                store = open(&disk, placeholder).map_err(|e| e.to_string())?;
            }
            if n == work::ROUND {
                work = Work::new(seed, 1);
            }
            if n % 15 == seed % 15 {
                store.rest().map_err(|e| e.to_string())?;
            }
            let batch = work.batch();
            memory.commit(&batch).and_then(|()| store.commit(&batch)).map_err(|e| e.to_string())?;
            script.batches.push(batch);
        }
        Ok(script)
    }

    /// How many batches a store holds, at least and at most so many.
    fn find(&self, found: &Dump, least: usize, most: usize) -> Option<usize> {
        (least..=most.min(self.states.len() - 1)).find(|n| self.states[*n] == *found)
    }
}

fn open(disk: &Disk, placeholder: &Path) -> Result<RedbStore, StoreError> {
    let (store, journal) = (disk.store(), disk.journal());
    let open = move |mut file: std::fs::File| {
        file.write_all(b"the bytes are in memory")?;
        // A small cache, so that pages are written before the commit and read again after it.
        Builder::new().set_cache_size(128 * 1024).create_with_backend(store.clone())
    };
    RedbStore::open_through(placeholder, open, move |_| Ok(Box::new(journal.clone())))
}

fn unpack(packed: &[u8]) -> Vec<u8> {
    let (len, blocks) = packed.split_first_chunk::<8>().unwrap();
    let mut file = vec![0; usize::try_from(u64::from_be_bytes(*len)).unwrap()];
    for block in blocks.chunks(68) {
        let (number, bytes) = block.split_first_chunk::<4>().unwrap();
        let at = u32::from_be_bytes(*number) as usize * 64;
        file[at..at + bytes.len()].copy_from_slice(bytes);
    }
    file
}

/// What the store of schema 1 holds.
fn old_contents(image: Image, placeholder: &Path) -> Result<MemoryStore, String> {
    use cairn_actors::store::{Table, Write, tables::SCHEMA_KEY};
    let store = open(&Disk::holding(image, None, false), placeholder).map_err(|e| e.to_string())?;
    let found = work::dump(&store).map_err(|e| e.to_string())?;
    let appends = found.logs.into_iter().flat_map(|log| log.3);
    let mut writes: Vec<Write> = appends.map(|s| Write::Append { entry: s.entry, received: s.received }).collect();
    let own = |t: &Table, k: &[u8]| *t == Table::Meta && k == SCHEMA_KEY;
    writes.extend(found.small.into_iter().filter(|(t, k, _)| !own(t, k)).map(|(t, k, v)| Write::Put(t, k, v)));
    let memory = MemoryStore::new();
    memory.commit(&writes).map_err(|e| e.to_string())?;
    Ok(memory)
}

/// Runs trials until so many images were opened; `arguments` make a child of this program, `tell` hears of the figures
/// now and then.
///
/// # Errors
/// What went wrong, with the seed of the trial.
pub fn run(seed: u64, images: u64, arguments: &[&str], tell: impl Fn(&Figures)) -> Result<Figures, String> {
    let dir = tempfile::tempdir().map_err(|e| e.to_string())?;
    let placeholder = dir.path().join("placeholder");
    for name in ["placeholder", "placeholder.journal"] {
        std::fs::write(dir.path().join(name), "the bytes are in memory").map_err(|e| e.to_string())?;
    }
    let old = Image { store: unpack(SCHEMA_1), journal: Vec::new() };
    let old_memory = old_contents(old.clone(), &placeholder)?;
    let mut figures = Figures::default();
    let mut scripts = None;
    for number in seed.. {
        let shared = number / SHARED;
        let (new, migrated) = match &scripts {
            Some((of, new, migrated)) if *of == shared => (new, migrated),
            _ => {
                let new = Script::new(shared, &MemoryStore::new(), Image::default(), &placeholder)?;
                let migrated = Script::new(shared, &old_memory, old.clone(), &placeholder)?;
                let (_, new, migrated) = scripts.insert((shared, new, migrated));
                (&*new, &*migrated)
            }
        };
        let (rng, deaths) = (ChaCha8Rng::seed_from_u64(number), figures.deaths);
        let mut trial = Trial { rng, placeholder: &placeholder, arguments, figures: &mut figures };
        let from_old = trial.rng.random_ratio(1, 5);
        let script = if from_old { migrated } else { new };
        let start = match from_old {
            true => (0, old.clone()),
            false => script.images[trial.rng.random_range(0..script.images.len())].clone(),
        };
        let outcome = catch_unwind(AssertUnwindSafe(|| trial.run(script, start, from_old)));
        outcome
            .unwrap_or_else(|_| Err("the store panicked".into()))
            .map_err(|why| format!("trial {number} (work {}): {why}", script.seed))?;
        if figures.deaths > deaths {
            figures.last_death = Some(number);
        }
        figures.trials += 1;
        if figures.trials % 500 == 0 {
            tell(&figures);
        }
        if figures.cuts >= images {
            break;
        }
    }
    Ok(figures)
}

struct Trial<'t> {
    rng: ChaCha8Rng,
    placeholder: &'t Path,
    arguments: &'t [&'t str],
    figures: &'t mut Figures,
}

/// Where a round was when the power failed.
struct Cut {
    image: Image,
    /// Batches acknowledged, and batches begun.
    acknowledged: usize,
    begun: usize,
    during: During,
}

/// What was under way when it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum During {
    Opening,
    Writing,
    Compacting,
    /// The journal was emptied, or made.
    Resting,
}

impl Trial<'_> {
    fn run(&mut self, script: &Script, (mut acknowledged, mut image): (usize, Image), old: bool) -> Result<(), String> {
        let mut begun = acknowledged;
        for round in 0..self.rng.random_range(1..5) {
            let lies = round > 0 && self.rng.random_ratio(1, 9);
            let left = match self.rng.random_range(0..3) {
                0 => self.rng.random_range(0..14),
                1 => self.rng.random_range(0..80),
                _ => self.rng.random_range(0..500),
            };
            let disk = Disk::holding(image, Some(left), lies);
            let cut = self.until_the_cut(script, &disk, acknowledged, begun)?;
            self.figures.cuts += 1;
            let opening = cut.during == During::Opening;
            self.figures.on_opening += u64::from(opening);
            self.figures.on_recovery += u64::from(opening && round > 0);
            self.figures.migrations += u64::from(old && round == 0);
            self.figures.compactions += u64::from(cut.during == During::Compacting);
            self.figures.rests += u64::from(cut.during == During::Resting);
            self.figures.acknowledged += (cut.acknowledged - acknowledged) as u64;
            if lies {
                self.figures.lies += 1;
                return self.after_a_lie(script, &cut.image);
            }
            (acknowledged, begun, image) = (cut.acknowledged, cut.begun, cut.image);
        }
        // With power that stays, it opens and goes on.
        let disk = Disk::holding(image, None, false);
        let store = open(&disk, self.placeholder).map_err(|e| format!("it does not open: {e}"))?;
        let held = self.held(script, &store, acknowledged, begun)?;
        store.verify().map_err(|e| format!("after {held} batches: {e}"))?;
        for batch in script.batches[held..].iter().take(2) {
            store.commit(batch).map_err(|e| format!("it does not go on: {e}"))?;
        }
        Ok(())
    }

    fn held(&mut self, script: &Script, store: &RedbStore, acknowledged: usize, begun: usize) -> Result<usize, String> {
        let found = work::dump(store).map_err(|e| format!("it does not read: {e}"))?;
        let held = script.find(&found, acknowledged, begun).ok_or_else(|| {
            let anywhere = script.find(&found, 0, usize::MAX);
            format!("{acknowledged} batches acknowledged, {begun} begun, found {anywhere:?}")
        })?;
        self.figures.kept_unanswered += (held - acknowledged) as u64;
        Ok(held)
    }

    /// Opens and writes until the power fails. Where there was enough of it to write all, it fails then.
    fn until_the_cut(
        &mut self,
        script: &Script,
        disk: &Disk,
        acknowledged: usize,
        begun: usize,
    ) -> Result<Cut, String> {
        let at = |disk: &Disk, rng: &mut ChaCha8Rng, acknowledged, begun, during| {
            disk.cut();
            Cut { image: disk.image(rng), acknowledged, begun, during }
        };
        let store = match open(disk, self.placeholder) {
            Ok(store) => store,
            Err(_) if disk.dead() => return Ok(at(disk, &mut self.rng, acknowledged, begun, During::Opening)),
            Err(e) => return Err(format!("it does not open: {e}")),
        };
        // Reading needs no write: the store is looked at even where the power has just failed.
        let mut held = match self.held(script, &store, acknowledged, begun) {
            Err(_) if disk.dead() => return Ok(at(disk, &mut self.rng, acknowledged, begun, During::Opening)),
            held => held?,
        };
        let compact = self.rng.random_ratio(1, 6).then(|| self.rng.random_range(0..6) + held);
        let mut rest = self.rng.random_range(0..4) + held;
        while held < script.batches.len() - 1 {
            if compact == Some(held) && store.compact().is_err() {
                if !disk.dead() {
                    return Err("compaction failed".into());
                }
                return Ok(at(disk, &mut self.rng, held, held, During::Compacting));
            }
            if rest == held {
                rest += self.rng.random_range(1..12);
                if let Err(e) = store.rest() {
                    if !disk.dead() {
                        return Err(format!("resting after batch {held}: {e}"));
                    }
                    return Ok(at(disk, &mut self.rng, held, held, During::Resting));
                }
            }
            match store.commit(&script.batches[held]) {
                Ok(()) => held += 1,
                Err(_) if disk.dead() => return Ok(at(disk, &mut self.rng, held, held + 1, During::Writing)),
                Err(e) => return Err(format!("batch {held}: {e}")),
            }
            // What was acknowledged is there to be read, wherever it is.
            if self.rng.random_ratio(1, 8) {
                match self.held(script, &store, held, held) {
                    Err(_) if disk.dead() => {}
                    found => drop(found?),
                }
            }
        }
        if self.rng.random() {
            drop(store);
        }
        Ok(at(disk, &mut self.rng, held, held, During::Writing))
    }

    fn after_a_lie(&mut self, script: &Script, image: &Image) -> Result<(), String> {
        let folder = self.placeholder.parent().ok_or("no folder")?;
        let came = lie::opened(folder, image, self.arguments, &script.entries)?;
        self.figures.reported += u64::from(came != Came::Whole);
        self.figures.deaths += u64::from(came == Came::AfterDeath);
        Ok(())
    }
}
