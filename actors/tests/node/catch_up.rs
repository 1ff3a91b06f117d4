//! A long absence: what came in bulk counts at once, is read beside other work, and nobody need look for it.

use std::sync::Arc;
use std::time::Duration;

use cairn_actors::api::{CatchUp, Event, PageAt};
use cairn_actors::link::memory::Switch;
use cairn_actors::store::{Store, Write};
use cairn_crdt::hlc::Hlc;
use cairn_crdt::identity::DeviceKey;
use cairn_crdt::ids::{DocumentId, Incarnation, LogId, MessageId, SpaceId};
use cairn_crdt::kinds::chat::{ChatAuthor, Draft, WEEK_MS, week_of};
use cairn_crdt::writer::{LogTip, LogWriter};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::TryRecvError;

use crate::world::{EPOCH_MS, Sim, all_equal, all_online, until};

const MISSED: usize = 1_500;
const LONG: Duration = Duration::from_secs(30);

#[tokio::test(start_paused = true)]
async fn what_was_missed_in_bulk_is_told_counted_and_shown() {
    let lan = Switch::new(41);
    let nodes = [Sim::start(&lan, 1).await, Sim::start(&lan, 2).await];
    all_online(&nodes, 1).await;
    nodes[0].say("before").await;
    nodes[1].say("before too").await;
    all_equal(&nodes, 2, LONG).await;
    let room = nodes[0].everyone().await;
    lan.partition(&[&[nodes[0].at.addr], &[nodes[1].at.addr]]);
    until(LONG, "they part", async || nodes[1].online().await == 0).await;
    for n in 0..MISSED {
        nodes[0].handle().say(room, &format!("missed {n}"), None).await.unwrap();
    }
    let mut events = nodes[1].handle().subscribe();
    lan.heal();
    // Nobody asks for a page: the list of conversations alone says how many came and which is the newest.
    let newest = format!("missed {}", MISSED - 1);
    until(LONG, "all are counted and the newest is previewed", async || {
        let all = nodes[1].handle().conversations().await.unwrap();
        let line = all.iter().find(|c| c.id == room).unwrap();
        line.unread == MISSED as u64 + 1 && line.last.as_ref().is_some_and(|l| l.text == newest)
    })
    .await;
    nodes[1].handle().say(room, "back again", None).await.unwrap();
    let mut told = 0;
    loop {
        match events.try_recv() {
            Ok(Event::Message(m)) => told += u64::from(!m.mine),
            Ok(Event::Messages { conversation, count }) if conversation == room => told += count,
            Ok(_) => {}
            Err(TryRecvError::Lagged(_)) => panic!("more events than a subscriber holds"),
            Err(_) => break,
        }
    }
    assert_eq!(told, MISSED as u64);
    all_equal(&nodes, MISSED + 3, LONG).await;
    let page = nodes[1].handle().page(room, PageAt::Newest, 2).await.unwrap();
    let bodies: Vec<_> = page.messages.iter().map(|m| m.body.as_str()).collect();
    assert_eq!(bodies, [newest.as_str(), "back again"]);
}

#[tokio::test(start_paused = true)]
async fn a_newcomer_is_current_while_others_talk() {
    let lan = Switch::new(42);
    let first = Sim::start(&lan, 1).await;
    let room = first.everyone().await;
    for n in 0..MISSED {
        first.handle().say(room, &format!("old {n}"), None).await.unwrap();
    }
    let nodes = [first, Sim::start(&lan, 2).await];
    all_online(&nodes, 1).await;
    until(LONG, "one network", async || nodes[1].everyone().await == room).await;
    // Live messages come while the history does, and none is lost behind it.
    for n in 0..20 {
        nodes[0].handle().say(room, &format!("new {n}"), None).await.unwrap();
        nodes[1].handle().say(room, &format!("mine {n}"), None).await.unwrap();
    }
    all_equal(&nodes, MISSED + 40, LONG).await;
}

#[tokio::test(start_paused = true)]
async fn a_long_conversation_does_not_hold_up_a_short_one() {
    let lan = Switch::new(43);
    let nodes = [Sim::start(&lan, 1).await, Sim::start(&lan, 2).await];
    all_online(&nodes, 1).await;
    let room = nodes[0].everyone().await;
    until(LONG, "one network", async || nodes[1].everyone().await == room).await;
    let peers = nodes[0].handle().peers().await.unwrap();
    let direct = peers.iter().find(|p| p.id == nodes[1].id).unwrap().conversation;
    lan.partition(&[&[nodes[0].at.addr], &[nodes[1].at.addr]]);
    until(LONG, "they part", async || nodes[1].online().await == 0).await;
    let long = "a long message about everything that happened meanwhile ".repeat(40);
    for n in 0..MISSED {
        nodes[0].handle().say(direct, &format!("{n} {long}"), None).await.unwrap();
    }
    for n in 0..20 {
        nodes[0].handle().say(room, &format!("short {n}"), None).await.unwrap();
    }
    let mut events = nodes[1].handle().subscribe();
    lan.heal();
    let (mut in_direct, mut in_room) = (0, 0);
    while in_room < 20 {
        let (to, count) = match events.recv().await.unwrap() {
            Event::Message(m) => (m.conversation, 1),
            Event::Messages { conversation, count } => (conversation, count),
            _ => continue,
        };
        *(if to == room { &mut in_room } else { &mut in_direct }) += count;
    }
    assert!(in_direct < MISSED as u64 / 4, "{in_direct} of the long conversation came before the short one");
    until(LONG, "all is there", async || {
        nodes[1].handle().page(direct, PageAt::Newest, 1).await.unwrap().total == MISSED as u64
    })
    .await;
}

/// What two nodes tell of catching up until it is over, the first such event included.
async fn told(events: &mut Receiver<Event>) -> Vec<CatchUp> {
    let mut all = Vec::new();
    loop {
        match events.recv().await.unwrap() {
            Event::CatchUp(c) if c.left == 0 => {
                all.push(*c);
                return all;
            }
            Event::CatchUp(c) => all.push(*c),
            _ => {}
        }
    }
}

#[tokio::test(start_paused = true)]
async fn how_far_it_is_is_told_from_the_first_to_the_last() {
    let lan = Switch::new(45);
    let nodes = [Sim::start(&lan, 1).await, Sim::start(&lan, 2).await];
    all_online(&nodes, 1).await;
    nodes[0].say("before").await;
    all_equal(&nodes, 1, LONG).await;
    let room = nodes[0].everyone().await;
    lan.partition(&[&[nodes[0].at.addr], &[nodes[1].at.addr]]);
    until(LONG, "they part", async || nodes[1].online().await == 0).await;
    let long = "a long message about everything that happened meanwhile ".repeat(60);
    for n in 0..MISSED {
        nodes[0].handle().say(room, &format!("{n} {long}"), None).await.unwrap();
    }
    let mut events = nodes[1].handle().subscribe();
    let mut giver = nodes[0].handle().subscribe();
    // Far apart, so that the window of the link lets through a part at a time.
    lan.set_latency(Duration::from_millis(200), Duration::ZERO);
    lan.heal();
    let first = loop {
        if let Event::CatchUp(c) = events.recv().await.unwrap() {
            break *c;
        }
    };
    assert_eq!((first.conversation, first.title.as_str()), (room, "Everyone"));
    assert!(first.left >= MISSED as u64 / 2 && first.came + first.left <= MISSED as u64, "{first:?}");
    assert_eq!(first.from.iter().map(|b| (b.id, b.left)).collect::<Vec<_>>(), [(nodes[0].id, first.left)]);
    let status = nodes[1].handle().status().await.unwrap();
    assert_eq!(status.catching_up.len(), 1, "and whoever asks hears the same");
    let all = told(&mut events).await;
    assert!(all.len() > 5, "{} events", all.len());
    assert!(all.is_sorted_by(|a, b| a.came <= b.came && a.left >= b.left), "{all:?}");
    let last = all.last().unwrap();
    assert_eq!((last.came, last.left), (MISSED as u64, 0));
    assert_eq!((last.from[0].id, last.from[0].left), (nodes[0].id, 0));
    until(LONG, "nothing is coming", async || nodes[1].handle().status().await.unwrap().catching_up.is_empty()).await;
    while let Ok(event) = giver.try_recv() {
        assert!(!matches!(event, Event::CatchUp(_)), "whoever lacks nothing catches up on nothing");
    }
}

/// Messages of a week ago, by somebody whom nobody met.
fn old(space: SpaceId, count: usize) -> Vec<Write> {
    let start = EPOCH_MS - WEEK_MS;
    let key = DeviceKey::from_seed(&[99; 32]);
    let log =
        LogId { document: DocumentId::chat(week_of(start), 0), device: key.id(), incarnation: Incarnation([99; 16]) };
    let (mut author, mut pen) = (ChatAuthor::new(log), LogWriter::new(key, space, log, LogTip::EMPTY));
    let entry = |n: usize| {
        let at = start + n as u64;
        let mut tail = [0; 10];
        tail[..8].copy_from_slice(&(n as u64).to_be_bytes());
        let draft = Draft { id: MessageId::new(at, tail), body: &format!("old {n}"), after: None, reply_to: None };
        let raw = author.say(Hlc::from_ms(at), &draft).unwrap();
        Write::Append { entry: Arc::new(pen.write(raw, Hlc::from_ms(at)).unwrap()), received: at }
    };
    (0..count).map(entry).collect()
}

#[tokio::test(start_paused = true)]
async fn what_is_said_does_not_wait_for_a_page_that_takes_long() {
    const OLD: usize = 6_000;
    let lan = Switch::new(44);
    let node = Sim::start(&lan, 1).await;
    let room = node.everyone().await;
    node.say("new").await;
    node.store.commit(&old(room, OLD)).unwrap();
    let node = node.crash_and_restart(&lan).await;
    let newest = node.handle().page(room, PageAt::Newest, 1).await.unwrap();
    assert_eq!((newest.total, newest.messages[0].body.as_str()), (OLD as u64 + 1, "new"));
    let before = PageAt::Before(newest.messages[0].key);
    // Tasks of their own are woken in the order of the answers.
    let order = Arc::new(std::sync::Mutex::new(Vec::new()));
    let read = |n: usize| {
        let (handle, order) = (node.handle().clone(), order.clone());
        tokio::spawn(async move {
            let page = handle.page(room, before, n).await.unwrap();
            order.lock().unwrap().push(n);
            page
        })
    };
    let (page, also) = (read(3), read(2_000));
    let (handle, told) = (node.handle().clone(), order.clone());
    let said = tokio::spawn(async move {
        handle.say(room, "meanwhile", None).await.unwrap();
        told.lock().unwrap().push(0);
    });
    said.await.unwrap();
    let (page, also) = (page.await.unwrap(), also.await.unwrap());
    assert_eq!(*order.lock().unwrap(), [0, 3, 2_000]);
    let bodies: Vec<_> = page.messages.iter().map(|m| m.body.as_str()).collect();
    assert_eq!(bodies, ["old 5997", "old 5998", "old 5999"]);
    assert_eq!((also.messages.len(), also.older), (2_000, true));
}
