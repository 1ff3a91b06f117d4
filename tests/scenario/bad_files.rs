//! Files that are not as they should be: each gives one clear sentence and loses nothing.

use std::path::{Path, PathBuf};

use super::Scale;
use crate::lan::Lan;
use crate::node::{Place, SOON};

/// A second node on a data folder is told so; the first does not notice.
pub fn in_use(_: &Scale) {
    let lan = Lan::of(1);
    let place = Place::new(&lan, 0, "anna");
    let first = place.up(&lan);
    let second = place.verb(&lan, &["node"]);
    let message = second.error()["message"].as_str().unwrap_or_default().to_lowercase();
    assert!(message.contains("already runs on"), "it says why: {message}");
    let id = place.say(&lan, "everyone", "still here");
    first.wait_log(&lan, "everyone", SOON, "message", |l| l.iter().any(|l| l.id == id));
}

/// A corrupt store is reported and kept aside under another name, byte for byte; it is never overwritten.
pub fn corrupt_store(_: &Scale) {
    let lan = Lan::of(1);
    for (name, spoil) in [("garbage", garbage as fn(Vec<u8>) -> Vec<u8>), ("cut", cut), ("empty-head", empty_head)] {
        let place = Place::new(&lan, 0, name);
        let node = place.up(&lan);
        place.say(&lan, "everyone", "worth keeping");
        node.stop();
        let store = files(&place.data).into_iter().find(|p| starts(p, b"redb")).expect("there is a store file");
        let bytes = spoil(std::fs::read(&store).expect("it can be read"));
        std::fs::write(&store, &bytes).expect("it can be written");

        // Either it stops with a sentence, or it starts anew and tells.
        let mut child = place.start(&lan);
        let first = child.events.wait(0, std::time::Instant::now() + SOON, |_| true);
        let told = if first.is_some_and(|e| e.is("ready")) {
            let tells = |e: &crate::events::Seen| e.json.to_string().to_lowercase().contains("kept aside");
            child.events.wait(0, std::time::Instant::now() + SOON, tells).is_some()
        } else {
            assert_eq!(child.wait_exit().code(), Some(1), "{name}: it ends with exit code 1");
            child.stderr(&lan).to_lowercase().contains("kept aside")
        };
        assert!(told, "{name}: it says what happened: {}", child.stderr(&lan));
        drop(child);
        let kept = files(&place.data).into_iter().any(|p| std::fs::read(p).is_ok_and(|b| b == bytes));
        assert!(kept, "{name}: the damaged store is kept as it was: {:?}", files(&place.data));
        // Whatever it did, the next start is an ordinary one.
        drop(place.up(&lan));
    }
}

fn garbage(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.iter_mut().skip(64).for_each(|b| *b = b.wrapping_mul(31) ^ 0xa5);
    bytes
}

fn cut(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.truncate(700);
    bytes
}

fn empty_head(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.iter_mut().take(4096).for_each(|b| *b = 0);
    bytes
}

/// A settings file that is not JSON, or says what it can't mean, is reported by name and left alone.
pub fn bad_settings(_: &Scale) {
    let lan = Lan::of(1);
    let place = Place::new(&lan, 0, "anna");
    place.up(&lan).stop();
    place.must(&lan, &["config", "set", "name", "Anna"]);
    let settings = files(&place.data).into_iter().find(|p| p.extension().is_some_and(|e| e == "json"));
    let settings = settings.expect("settings are a JSON file in the data folder");
    let huge = format!("{{\"name\": \"{}\"}}", "x".repeat(4 * 1024 * 1024));
    for bad in ["{\"name\": ", "not json at all", "[1, 2]", "{\"name\": 7}", huge.as_str()] {
        std::fs::write(&settings, bad).expect("it can be written");
        let shown: String = bad.chars().take(20).collect();
        let answer = place.verb(&lan, &["node"]);
        let message = answer.error()["message"].to_string();
        let file = settings.file_name().unwrap_or_default().to_string_lossy().into_owned();
        assert!(message.contains(&file), "{shown}: it names the file: {message}");
        assert_eq!(std::fs::read_to_string(&settings).ok().as_deref(), Some(bad), "{shown}: it is left alone");
    }
    std::fs::write(&settings, "{}").expect("it can be written");
    drop(place.up(&lan));
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|e| e.path()).filter(|p| p.is_file()).collect()
}

fn starts(path: &Path, magic: &[u8]) -> bool {
    std::fs::read(path).is_ok_and(|b| b.starts_with(magic))
}
