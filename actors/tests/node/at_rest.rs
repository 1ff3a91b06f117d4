//! A real node on a folder with a passphrase: what it writes shows in no file, at any moment, and comes back after a crash.

use std::path::{Path, PathBuf};

use cairn_actors::api::{NodeOptions, PageAt};
use cairn_actors::data::{DataError, DataFolder};
use cairn_actors::node::StartError;
use cairn_actors::offline::Offline;
use cairn_actors::start::start;
use cairn_actors::vault;
use cairn_crdt::vault::{Cost, DataKey};

use crate::real::options;

const WORDS: &str = "correct horse battery staple";
const PLANTED: &str = "planted word of a person";

fn key_of(path: &Path) -> DataKey {
    vault::lock_of(path).unwrap().unwrap().open(WORDS).unwrap()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let paths = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn shows(folder: &Path, word: &str) -> Vec<PathBuf> {
    let found = |path: &PathBuf| {
        let bytes = std::fs::read(path).unwrap();
        bytes.windows(word.len()).any(|w| w == word.as_bytes())
    };
    files(folder).into_iter().filter(found).collect()
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for path in files(from) {
        std::fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_on_a_sealed_folder_shows_nothing_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (data, crashed, backup) = (dir.path().join("data"), dir.path().join("crashed"), dir.path().join("backup"));
    let mut folder = DataFolder::open(&data).unwrap();
    vault::set(&mut folder, WORDS, Cost::LEAST).unwrap();
    drop(folder);
    let locked = start(options(&data, "Maya", 28_476)).await.map(drop);
    assert!(matches!(locked, Err(StartError::Data(DataError::Locked(_)))), "{:?}", locked.err());
    assert!(matches!(Offline::open(&data, None).map(drop), Err(StartError::Data(DataError::Locked(_)))));

    let with_key = |path: &Path| NodeOptions { key: Some(key_of(path)), ..options(path, "Maya", 28_476) };
    let node = start(with_key(&data)).await.unwrap();
    let everyone = node.handle.conversations().await.unwrap()[0].id;
    let mut said = Vec::new();
    for n in 0..20 {
        said.push(node.handle.say(everyone, &format!("{PLANTED} {n}"), None).await.unwrap().id);
        assert_eq!(shows(&data, PLANTED), Vec::<PathBuf>::new(), "while it writes");
    }
    let backed_up = node.handle.back_up(&backup).await.unwrap();
    assert!(backed_up.entries >= 20);
    // As the power would leave it.
    copy(&data, &crashed);
    assert_eq!(shows(dir.path(), PLANTED), Vec::<PathBuf>::new(), "nor in the backup, nor after a crash");
    assert!(node.handle.check(true).await.unwrap().healthy());
    node.handle.stop().await.unwrap();
    node.wait().await.unwrap();
    assert_eq!(shows(&data, PLANTED), Vec::<PathBuf>::new(), "after a clean stop");

    let again = Offline::open(&crashed, Some(key_of(&crashed))).unwrap();
    let page = again.page(everyone, PageAt::Newest, 100).unwrap();
    assert_eq!(page.messages.iter().map(|m| m.id).collect::<Vec<_>>(), said);
    // What waits in the outbox of a folder without a node.
    again.say(Some(everyone), &format!("{PLANTED}, later"), None, None).unwrap();
    drop(again);
    assert_eq!(shows(dir.path(), PLANTED), Vec::<PathBuf>::new());

    // A running node brings back what is sealed with its own key.
    let node = start(with_key(&data)).await.unwrap();
    node.handle.restore(&backup, true).await.unwrap();
    let page = node.handle.page(everyone, PageAt::Newest, 100).await.unwrap();
    assert_eq!(page.messages.iter().filter(|m| m.body.starts_with(PLANTED)).count(), 20);
    node.handle.stop().await.unwrap();
    node.wait().await.unwrap();
    assert_eq!(shows(dir.path(), PLANTED), Vec::<PathBuf>::new(), "nor what was replaced");
}
