//! Want of room: one member who writes too much fills nobody's disk, and keeps nobody else from being heard.

use std::time::Duration;

use cairn_actors::api::{HeldBack, WhyHeld};
use cairn_actors::link::memory::Switch;
use cairn_actors::settings::Settings;
use cairn_actors::store::Store;
use cairn_crdt::ids::SpaceId;

use crate::world::{Sim, all_equal, all_online, until};

const SOON: Duration = Duration::from_secs(10);
/// Longer than two comparisons.
const LATER: Duration = Duration::from_secs(90);

/// Settings with a share of so many millions of bytes for an author.
fn share(mb: u32) -> Settings {
    Settings { quota_author: mb, ..Settings::default() }
}

/// So many messages of 60 kB.
async fn flood(by: &Sim, conversation: SpaceId, n: usize) {
    for i in 0..n {
        by.handle().say(conversation, &format!("{i} {}", "x".repeat(60_000)), None).await.unwrap();
    }
}

async fn from(node: &Sim, conversation: SpaceId, author: &Sim) -> usize {
    node.messages(conversation).await.iter().filter(|m| m.author == author.id).count()
}

async fn held(node: &Sim) -> Vec<HeldBack> {
    node.handle().status().await.unwrap().held_back
}

fn bytes(node: &Sim, space: SpaceId, author: &Sim) -> u64 {
    let sizes = node.store.sizes(&space).unwrap();
    sizes.iter().filter(|(log, _)| log.device == author.id).map(|(_, bytes)| bytes).sum()
}

#[tokio::test(start_paused = true)]
async fn who_writes_too_much_is_held_back_alone_and_comes_once_there_is_room() {
    let lan = Switch::new(61);
    let loud = Sim::start(&lan, 1).await;
    let small = Sim::start_set(&lan, 2, share(1), None).await;
    let third = Sim::start(&lan, 3).await;
    let nodes = [loud, small, third];
    all_online(&nodes, 2).await;
    let room = nodes[0].everyone().await;
    nodes[2].say("hello").await;
    all_equal(&nodes, 1, SOON).await;
    flood(&nodes[0], room, 40).await;
    nodes[2].say("said meanwhile").await;
    nodes[1].say("one's own").await;
    until(SOON, "whoever has room has all", async || nodes[2].bodies().await.len() == 43).await;
    let [loud, small, third] = &nodes;
    until(SOON, "others are heard", async || from(small, room, third).await == 2).await;
    until(SOON, "it is told", async || !held(small).await.is_empty()).await;
    assert_eq!(from(loud, room, small).await, 1, "what one writes oneself goes everywhere");
    // No more than its share and what came in one frame.
    let kept = from(small, room, loud).await;
    assert!((10..40).contains(&kept), "{kept} of 40");
    assert!((1_000_000..1_400_000).contains(&bytes(small, room, loud)), "{}", bytes(small, room, loud));
    let status = small.handle().status().await.unwrap();
    let [one] = &status.held_back[..] else { panic!("{:?}", status.held_back) };
    assert_eq!((one.why, one.conversation, one.author), (WhyHeld::Author, Some(room), Some(loud.id)));
    assert_eq!(one.limit, 1_000_000);
    assert!(one.sentence.contains("node 1") && status.troubles.contains(&one.sentence), "{status:?}");
    // Comparing again and again brings nothing, and holds nobody else up.
    tokio::time::sleep(LATER).await;
    let dropped = small.handle().status().await.unwrap().held_back_entries;
    tokio::time::sleep(LATER * 10).await;
    assert_eq!(small.handle().status().await.unwrap().held_back_entries, dropped, "it is not sent again and again");
    assert_eq!(from(small, room, loud).await, kept);
    third.say("after a while").await;
    until(SOON, "others are still heard", async || from(small, room, third).await == 3).await;
    // It tells the truth of what it holds.
    let receipts = loud.messages(room).await;
    let last = receipts.iter().rfind(|m| m.author == loud.id).unwrap();
    assert_eq!((last.delivered_to, last.members), (1, 2), "the one without room does not count");

    // After a start it is as before; with more room all comes.
    let [loud, small, third] = nodes;
    let crashed = small.crash(&lan);
    let small = Sim::start_set(&lan, 2, share(1), Some(crashed)).await;
    let nodes = [loud, small, third];
    all_online(&nodes, 2).await;
    tokio::time::sleep(LATER).await;
    assert_eq!((from(&nodes[1], room, &nodes[0]).await, held(&nodes[1]).await.len()), (kept, 1));
    let [loud, small, third] = nodes;
    let crashed = small.crash(&lan);
    let small = Sim::start_set(&lan, 2, share(100), Some(crashed)).await;
    let nodes = [loud, small, third];
    all_equal(&nodes, 44, LATER).await;
    assert_eq!(held(&nodes[1]).await, []);
}

#[tokio::test(start_paused = true)]
async fn without_a_peer_that_has_room_what_is_kept_is_served_and_nobody_is_blamed() {
    let lan = Switch::new(63);
    let nodes = [Sim::start(&lan, 1).await, Sim::start_set(&lan, 2, share(1), None).await];
    all_online(&nodes, 1).await;
    let room = nodes[0].everyone().await;
    nodes[1].say("hello").await;
    flood(&nodes[0], room, 30).await;
    until(SOON, "it is held back", async || !held(&nodes[1]).await.is_empty()).await;
    let kept = from(&nodes[1], room, &nodes[0]).await;
    let [loud, small] = nodes;
    let _gone = loud.crash(&lan);
    // A newcomer gets from the one without room all that it has.
    let newcomer = Sim::start(&lan, 3).await;
    until(SOON, "it is there", async || newcomer.online().await == 1).await;
    until(SOON, "it got what there is", async || newcomer.bodies().await.len() == kept + 1).await;
    assert_eq!(from(&small, room, &newcomer).await, 0);
    newcomer.say("thank you").await;
    until(SOON, "and is heard", async || from(&small, room, &newcomer).await == 1).await;
}

#[tokio::test(start_paused = true)]
async fn on_a_disk_that_is_nearly_full_only_ones_own_is_kept_until_there_is_room() {
    let lan = Switch::new(64);
    let nodes = [Sim::start(&lan, 1).await, Sim::start(&lan, 2).await];
    all_online(&nodes, 1).await;
    let room = nodes[0].everyone().await;
    nodes[1].say("before").await;
    all_equal(&nodes, 1, SOON).await;
    nodes[0].store.set_free(Some(150_000_000));
    until(SOON, "it is seen", async || !held(&nodes[0]).await.is_empty()).await;
    let one = &held(&nodes[0]).await[0];
    assert_eq!((one.why, one.author, one.conversation), (WhyHeld::Disk, None, None));
    nodes[1].say("while it is full").await;
    nodes[0].say("mine").await;
    until(SOON, "one's own goes out", async || from(&nodes[1], room, &nodes[0]).await == 1).await;
    tokio::time::sleep(LATER).await;
    assert_eq!(from(&nodes[0], room, &nodes[1]).await, 1);
    nodes[0].store.set_free(Some(220_000_000));
    tokio::time::sleep(LATER).await;
    assert_eq!(from(&nodes[0], room, &nodes[1]).await, 1, "a little room is not enough: it would flap");
    nodes[0].store.set_free(Some(9_000_000_000));
    all_equal(&nodes, 3, SOON).await;
    assert_eq!(held(&nodes[0]).await, []);
}

#[tokio::test(start_paused = true)]
async fn direct_messages_of_many_who_were_never_answered_share_one_part_of_the_disk() {
    let lan = Switch::new(65);
    let settings = Settings { quota_space: 1, ..Settings::default() };
    let quiet = Sim::start_set(&lan, 1, settings, None).await;
    let strangers = [Sim::start(&lan, 2).await, Sim::start(&lan, 3).await, Sim::start(&lan, 4).await];
    until(SOON, "all are here", async || quiet.online().await == 3).await;
    for s in &strangers {
        let chat = SpaceId::direct(&quiet.id.principal(), &s.id.principal());
        until(SOON, "it can be written to", async || s.handle().say(chat, "hello", None).await.is_ok()).await;
        flood(s, chat, 12).await;
    }
    until(SOON, "they are held back", async || !held(&quiet).await.is_empty()).await;
    let told = held(&quiet).await;
    assert_eq!((told.len(), told[0].why), (1, WhyHeld::Strangers), "{told:?}");
    let taken = async |s: &Sim| {
        let chat = SpaceId::direct(&quiet.id.principal(), &s.id.principal());
        from(&quiet, chat, s).await
    };
    let all = [taken(&strangers[0]).await, taken(&strangers[1]).await, taken(&strangers[2]).await];
    assert!(all.iter().sum::<usize>() < 30, "{all:?}");
    // An answer: that one is no stranger any more.
    let last = &strangers[2];
    let chat = SpaceId::direct(&quiet.id.principal(), &last.id.principal());
    quiet.handle().say(chat, "who are you?", None).await.unwrap();
    until(LATER, "its messages come", async || taken(last).await == 13).await;
}
