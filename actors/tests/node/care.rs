//! Backups, repair and compaction while a node runs; a backup that comes back among others.

use std::path::Path;
use std::time::Duration;

use cairn_actors::api::{Event, Health, PageAt};
use cairn_actors::handle::Handle;
use cairn_actors::link::memory::Switch;
use cairn_actors::start::start;
use cairn_crdt::ids::SpaceId;

use crate::real::{event, options};
use crate::world::{Sim, all_equal, all_online, until};

const SOON: Duration = Duration::from_secs(10);

async fn room(handle: &Handle) -> SpaceId {
    while handle.conversations().await.unwrap().is_empty() {
        event(handle, SOON, |_| true).await;
    }
    handle.conversations().await.unwrap()[0].id
}

async fn bodies(handle: &Handle) -> Vec<String> {
    let page = handle.page(room(handle).await, PageAt::Newest, 100).await.unwrap();
    page.messages.into_iter().map(|m| m.body).collect()
}

fn names(folder: &Path) -> Vec<String> {
    std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_node_is_saved_and_restored_as_a_new_incarnation() {
    let dir = tempfile::tempdir().unwrap();
    let (data, file) = (dir.path().join("data"), dir.path().join("a.cairn-backup"));
    let node = start(options(&data, "Maya", 28_480)).await.unwrap();
    let handle = node.handle.clone();
    let everyone = room(&handle).await;
    handle.say(everyone, "before", None).await.unwrap();
    let saved = handle.back_up(&file).await.unwrap();
    assert!(saved.entries > 0 && saved.bytes == std::fs::metadata(&file).unwrap().len());
    assert_eq!(handle.back_up(&file).await.unwrap_err().code, "file_exists");
    handle.say(everyone, "after", None).await.unwrap();
    assert_eq!(bodies(&handle).await, ["before", "after"]);

    let before = handle.status().await.unwrap();
    assert_eq!(handle.restore(&file, false).await.unwrap_err().code, "folder_in_use");
    assert_eq!(handle.restore(&data.join("device.key"), true).await.unwrap_err().code, "not_a_backup");
    assert_eq!(handle.status().await.unwrap().incarnation, before.incarnation, "what is refused changes nothing");
    let mut events = handle.subscribe();
    let restored = handle.restore(&file, true).await.unwrap();
    let after = handle.status().await.unwrap();
    assert_eq!((restored.id, after.id, after.port), (before.id, before.id, before.port));
    assert_ne!(after.incarnation, before.incarnation);
    assert_eq!(bodies(&handle).await, ["before"]);
    let heard: Vec<Event> = std::iter::from_fn(|| events.try_recv().ok()).collect();
    let ready = heard.iter().position(|e| matches!(e, Event::Ready(s) if s.incarnation == after.incarnation));
    assert!(ready.is_some() && heard.contains(&Event::Lagged) && !heard.contains(&Event::Stopping), "{heard:?}");
    assert!(after.troubles.iter().any(|t| t.contains("replaced-")), "{:?}", after.troubles);

    handle.say(everyone, "and on", None).await.unwrap();
    assert_eq!(bodies(&handle).await, ["before", "and on"]);
    handle.stop().await.unwrap();
    node.wait().await.unwrap();

    // What was replaced is a data folder of its own, with everything in it.
    let kept = restored.kept.unwrap();
    let node = start(options(&kept, "Maya", 28_480)).await.unwrap();
    assert_eq!(bodies(&node.handle).await, ["before", "after"]);
    node.handle.stop().await.unwrap();
    node.wait().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_node_checks_repairs_and_compacts_itself() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(options(dir.path(), "Maya", 28_481)).await.unwrap();
    let handle = &node.handle;
    let everyone = room(handle).await;
    let marked = "z".repeat(3_000);
    for n in 0..20 {
        let body = if n == 12 { marked.clone() } else { format!("message {n}") };
        handle.say(everyone, &body, None).await.unwrap();
    }
    let checkup = handle.check(true).await.unwrap();
    assert!(checkup.healthy() && checkup.entries > 20 && checkup.signatures == checkup.entries, "{checkup:?}");
    let compacted = handle.compact().await.unwrap();
    assert!(compacted.after <= compacted.before, "{compacted:?}");
    assert_eq!(bodies(handle).await.len(), 20);

    // Bytes of the file change under the node.
    let path = dir.path().join("cairn.redb");
    let mut bytes = std::fs::read(&path).unwrap();
    let mark = [b'z'; 1_000];
    while let Some(at) = bytes.windows(mark.len()).position(|w| w == mark) {
        bytes[at + 500] = b'y';
    }
    std::fs::write(&path, &bytes).unwrap();
    let before = handle.status().await.unwrap().incarnation;
    let repaired = handle.repair(false).await.unwrap();
    assert!(repaired.healthy(), "{repaired:?}");
    let finding = repaired.findings.iter().find(|f| f.check == "repaired").expect("something was repaired");
    assert!(finding.health == Health::Warning && finding.message.contains("damaged-"), "{finding:?}");
    assert_ne!(handle.status().await.unwrap().incarnation, before);
    let left = bodies(handle).await;
    assert_eq!(left, (0..12).map(|n| format!("message {n}")).collect::<Vec<_>>(), "what stands before the damage");
    handle.say(everyone, "and on", None).await.unwrap();
    assert!(names(dir.path()).iter().any(|n| n.starts_with("cairn.redb.damaged-")));
    handle.stop().await.unwrap();
    node.wait().await.unwrap();
}

/// What a restored device has said since the backup, and what others have, comes back from them; what it says from
/// now on takes no number twice.
#[tokio::test(start_paused = true)]
async fn after_a_restore_everything_merges_and_nothing_acknowledged_is_lost() {
    let lan = Switch::new(41);
    let mut nodes = vec![Sim::start(&lan, 1).await, Sim::start(&lan, 2).await, Sim::start(&lan, 3).await];
    all_online(&nodes, 2).await;
    for n in &nodes {
        n.say("before the backup").await;
    }
    all_equal(&nodes, 3, SOON).await;
    let backup = nodes[0].store.crash();
    for n in &nodes {
        n.say("after the backup").await;
    }
    all_equal(&nodes, 6, SOON).await;
    let restored = nodes.remove(0).restore(&lan, backup.crash()).await;
    restored.say("at once after the restore").await;
    nodes.insert(0, restored);
    all_equal(&nodes, 7, Duration::from_secs(60)).await;
    for n in &nodes {
        n.say("later").await;
    }
    all_equal(&nodes, 10, SOON).await;
    // The same backup once more: nothing of the last life either is lost or doubled.
    let restored = nodes.remove(0).restore(&lan, backup).await;
    nodes.insert(0, restored);
    nodes[0].say("a third time").await;
    all_equal(&nodes, 11, Duration::from_secs(60)).await;
    for n in &nodes {
        let checkup = n.handle().check(true).await.unwrap();
        assert!(checkup.healthy() || checkup.findings.iter().all(|f| f.check != "store" || f.health == Health::Ok));
    }
}

#[tokio::test(start_paused = true)]
async fn a_backup_that_runs_beside_the_old_machine_is_told_and_merges() {
    let lan = Switch::new(42);
    let nodes = [Sim::start(&lan, 1).await, Sim::start(&lan, 2).await];
    all_online(&nodes, 1).await;
    nodes[0].say("before").await;
    all_equal(&nodes, 1, SOON).await;
    let twin = nodes[0].twin(&lan, nodes[0].store.crash()).await;
    until(Duration::from_secs(60), "both are told", async || {
        for n in [&nodes[0], &twin] {
            let troubles = n.handle().status().await.unwrap().troubles;
            if !troubles.iter().any(|t| t.contains("This identity runs elsewhere")) {
                return false;
            }
        }
        true
    })
    .await;
    nodes[0].say("from the old machine").await;
    twin.say("from the new one").await;
    let all = [nodes, [twin, Sim::start(&lan, 3).await]].into_iter().flatten().collect::<Vec<_>>();
    all_equal(&all, 3, Duration::from_secs(180)).await;
}
