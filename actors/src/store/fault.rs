//! What can go wrong inside redb, sorted by what it means for the store: refused, full, damaged, to be reopened. Damaged
//! pages make redb panic. A panic is caught and is damage; but one that follows another while it cleans up ends the
//! process, so the first already leaves a note beside the file, and the next opening checks everything.

use std::cell::RefCell;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::{Arc, Once};

use cairn_crdt::codec::DecodeError;
use cairn_crdt::contained::contained;

use super::StoreError;

/// A failure under the store.
#[derive(Debug)]
pub(super) enum Fault {
    /// The caller's error; redb is well.
    Refused(StoreError),
    /// What was read is not what was written.
    Damaged(String),
    /// redb is closed, because reopening it failed.
    Closed,
    /// redb reports an error.
    Redb(redb::Error),
}

impl<E: Into<redb::Error>> From<E> for Fault {
    fn from(error: E) -> Self {
        Self::Redb(error.into())
    }
}

impl Fault {
    /// A value that does not decode.
    pub(super) fn undecodable(what: &'static str) -> impl FnOnce(DecodeError) -> Self {
        move |error| Self::Damaged(format!("{what}: {error}"))
    }

    /// Whether redb has to be opened again because of something that happened earlier.
    pub(super) fn stale(&self) -> bool {
        use redb::Error::{DatabaseClosed, LockPoisoned, PreviousIo};
        matches!(self, Self::Closed | Self::Redb(PreviousIo | DatabaseClosed | LockPoisoned(_)))
    }

    /// What is damaged, if that is what it is.
    pub(super) fn damage(&self) -> Option<String> {
        use redb::Error as E;
        match self {
            Self::Damaged(reason) | Self::Redb(E::Corrupted(reason)) => Some(reason.clone()),
            Self::Redb(
                e @ (E::TableTypeMismatch { .. }
                | E::TableIsMultimap(_)
                | E::TableIsNotMultimap(_)
                | E::TypeDefinitionChanged { .. }
                | E::TableDoesNotExist(_)
                | E::RepairAborted
                | E::UpgradeRequired(_)),
            ) => Some(e.to_string()),
            Self::Redb(E::Io(e)) if matches!(e.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof) => {
                Some(e.to_string())
            }
            _ => None,
        }
    }

    /// The error for the caller of a store that is open.
    pub(super) fn into_error(self) -> StoreError {
        if let Some(reason) = self.damage() {
            return StoreError::Damaged { reason };
        }
        match self {
            Self::Refused(error) => error,
            Self::Damaged(reason) => StoreError::Damaged { reason },
            Self::Closed => StoreError::Io("it is closed".into()),
            Self::Redb(redb::Error::DatabaseAlreadyOpen) => StoreError::InUse,
            Self::Redb(redb::Error::Io(e)) => io_error(&e),
            Self::Redb(e) => StoreError::Io(e.to_string()),
        }
    }
}

/// An error of the operating system as the store's.
pub(super) fn io_error(e: &std::io::Error) -> StoreError {
    match e.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => StoreError::Full,
        _ => StoreError::Io(e.to_string()),
    }
}

thread_local! {
    /// The file whose store this thread is in.
    static WATCHED: RefCell<Option<Arc<Path>>> = const { RefCell::new(None) };
}

/// Runs `f`, which reads or writes the store in a file: a panic meanwhile leaves a note beside the file.
pub(super) fn watched<T>(path: &Arc<Path>, f: impl FnOnce() -> T) -> T {
    struct Before(Option<Arc<Path>>);
    impl Drop for Before {
        fn drop(&mut self) {
            WATCHED.replace(self.0.take());
        }
    }
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let otherwise = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let path = WATCHED.try_with(|watched| watched.try_borrow().ok().and_then(|path| path.clone()));
            match path.ok().flatten() {
                Some(path) => {
                    super::aside::note_panic(&path);
                    tracing::error!(%info, "reading the store failed");
                }
                None => otherwise(info),
            }
        }));
    });
    let _before = Before(WATCHED.replace(Some(path.clone())));
    f()
}

/// Runs `f`, and turns a panic (redb's answer to some damaged pages) into damage.
pub(super) fn guarded<T>(f: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    contained(f).unwrap_or_else(|text| {
        let text = if text.is_empty() { "it could not be read" } else { text.as_str() };
        Err(Fault::Damaged(text.chars().take(200).collect()))
    })
}
