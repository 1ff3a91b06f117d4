//! The events of a running node, as they were heard: parsed, stamped with a monotonic clock, and awaited.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

/// One event.
#[derive(Debug, Clone)]
pub struct Seen {
    /// When its line was read.
    pub at: Instant,
    /// The line.
    pub json: Value,
}

impl Seen {
    /// Whether it is of a kind.
    #[must_use]
    pub fn is(&self, event: &str) -> bool {
        self.json["event"] == event
    }

    /// A field as text; empty where there is none.
    #[must_use]
    pub fn text(&self, field: &str) -> &str {
        self.json[field].as_str().unwrap_or_default()
    }
}

#[derive(Debug, Default)]
struct State {
    seen: Vec<Seen>,
    ended: bool,
}

/// Everything that a node has said on its standard output so far.
#[derive(Debug, Default)]
pub struct EventLog {
    state: Mutex<State>,
    changed: Condvar,
}

impl EventLog {
    /// Reads a node's standard output to its end on a thread of its own. Each line is copied to `copy`, which failing
    /// scenarios show.
    pub fn read(output: impl Read + Send + 'static, copy: &Path) -> Arc<Self> {
        let log = Arc::new(Self::default());
        let mut copy = std::fs::File::create(copy).expect("the sandbox has room for a log");
        let reader = Arc::clone(&log);
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let at = Instant::now();
                let json = serde_json::from_str(&line).unwrap_or_else(|_| Value::String(line.clone()));
                reader.lock().seen.push(Seen { at, json });
                reader.changed.notify_all();
                let _ = writeln!(copy, "{line}");
            }
            reader.lock().ended = true;
            reader.changed.notify_all();
        });
        log
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// How many events there are: events from here on are news.
    pub fn mark(&self) -> usize {
        self.lock().seen.len()
    }

    /// A copy of the events from a mark on.
    pub fn since(&self, mark: usize) -> Vec<Seen> {
        self.lock().seen.get(mark..).unwrap_or_default().to_vec()
    }

    /// The first event from `mark` on that `wanted` accepts, waiting for it until `deadline` or the end of the node's
    /// output.
    pub fn wait(&self, mark: usize, deadline: Instant, mut wanted: impl FnMut(&Seen) -> bool) -> Option<Seen> {
        let mut at = mark;
        let mut state = self.lock();
        loop {
            while let Some(seen) = state.seen.get(at) {
                if wanted(seen) {
                    return Some(seen.clone());
                }
                at += 1;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if state.ended || left.is_zero() {
                return None;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(std::sync::PoisonError::into_inner).0;
        }
    }

    /// Waits until there is any event from `mark` on, or `limit` has passed; the new mark.
    pub fn wait_news(&self, mark: usize, limit: Duration) -> usize {
        self.wait(mark, Instant::now() + limit, |_| true);
        self.mark()
    }

    /// Waits for the end of the node's output; whether it came.
    pub fn wait_end(&self, deadline: Instant) -> bool {
        self.wait(self.mark(), deadline, |_| false);
        self.lock().ended
    }

    /// Who is here by these events: peer id to the moment since when it has been without a break.
    pub fn here(&self) -> BTreeMap<String, Instant> {
        let mut here = BTreeMap::new();
        for seen in self.lock().seen.iter().filter(|s| s.is("peer")) {
            let id = seen.text("id").to_owned();
            if seen.text("state") == "offline" {
                here.remove(&id);
            } else {
                here.entry(id).or_insert(seen.at);
            }
        }
        here
    }
}
