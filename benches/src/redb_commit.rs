//! A bare redb commit: one record of 300 bytes, durable, two-phase, as the product commits.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use redb::{Database, TableDefinition};

type Error = Box<dyn std::error::Error + Send + Sync>;

const TABLE: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("records");

/// A store in a folder that goes with it.
pub struct Commit {
    database: Database,
    next: AtomicU64,
    _folder: tempfile::TempDir,
}

impl Commit {
    /// An empty store on the disk that the data folders of the other benches lie on.
    ///
    /// # Errors
    /// What redb or the system refuses.
    pub fn open() -> Result<Self, Error> {
        let folder = tempfile::tempdir()?;
        let database = Database::create(folder.path().join("bare.redb"))?;
        Ok(Self { database, next: AtomicU64::new(0), _folder: folder })
    }

    /// One commit.
    ///
    /// # Errors
    /// What redb refuses.
    pub fn once(&self) -> Result<Duration, Error> {
        let key = self.next.fetch_add(1, Ordering::Relaxed);
        let start = Instant::now();
        let mut transaction = self.database.begin_write()?;
        transaction.set_two_phase_commit(true);
        transaction.set_quick_repair(true);
        transaction.open_table(TABLE)?.insert(key, [9u8; 300].as_slice())?;
        transaction.commit()?;
        Ok(start.elapsed())
    }
}
