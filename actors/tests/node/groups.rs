//! Groups: a few who are invited talk sealed, whoever is away, whoever comes and goes, and all come to the same.

use std::time::Duration;

use cairn_actors::api::{Group, GroupCommand, GroupState, PageAt, Role};
use cairn_actors::link::memory::Switch;
use cairn_actors::store::Store;
use cairn_crdt::ids::{DeviceId, SpaceId};
use cairn_crdt::known::Known;

use crate::world::{Sim, all_online, key_of, until};

const SOON: Duration = Duration::from_secs(10);
const LATER: Duration = Duration::from_secs(90);

async fn lan(seed: u64, n: u16) -> (Switch, Vec<Sim>) {
    let lan = Switch::new(seed);
    let mut nodes = Vec::new();
    for i in 1..=n {
        nodes.push(Sim::start(&lan, i).await);
    }
    all_online(&nodes, u32::from(n) - 1).await;
    (lan, nodes)
}

async fn create(node: &Sim, history: bool) -> SpaceId {
    let command = GroupCommand::Create { name: "Night shift".into(), history };
    node.handle().group(command).await.unwrap().id
}

async fn invite(node: &Sim, group: SpaceId, who: &Sim, role: Role) {
    node.handle().group(GroupCommand::Invite { group, who: who.id, role }).await.unwrap();
}

async fn accept(node: &Sim, group: SpaceId) {
    until(SOON, "the invitation arrives", async || {
        node.handle().invitations().await.unwrap().iter().any(|i| i.group == group)
    })
    .await;
    node.handle().group(GroupCommand::Accept { group }).await.unwrap();
}

fn holds_nothing(node: &Sim, group: SpaceId) -> bool {
    node.store.tips(&group).unwrap().is_empty()
}

async fn shown(node: &Sim, group: SpaceId) -> Group {
    node.handle().groups().await.unwrap().into_iter().find(|g| g.id == group).unwrap()
}

async fn in_group(node: &Sim, group: SpaceId, members: usize) {
    until(SOON, "all are in", async || {
        let all = node.handle().groups().await.unwrap();
        all.iter().any(|g| g.id == group && g.members.iter().filter(|m| m.accepted).count() == members)
    })
    .await;
}

async fn bodies(node: &Sim, group: SpaceId) -> Vec<String> {
    let Ok(page) = node.handle().page(group, PageAt::Newest, 500).await else { return Vec::new() };
    page.messages.into_iter().map(|m| if m.needs_key > 0 { format!("[{}]", m.needs_key) } else { m.body }).collect()
}

async fn read(node: &Sim, group: SpaceId, expected: &[&str]) {
    until(SOON, &format!("it reads {expected:?}"), async || bodies(node, group).await == expected).await;
}

#[tokio::test(start_paused = true)]
async fn a_group_is_made_of_those_who_accept_and_they_talk() {
    let (lan, nodes) = lan(701, 3).await;
    let [a, b, c] = &nodes[..] else { unreachable!() };
    let group = create(a, true).await;
    a.handle().say(group, "before anybody came", None).await.unwrap();
    invite(a, group, b, Role::Member).await;
    assert_eq!(shown(a, group).await.members.len(), 2);
    until(SOON, "b is asked", async || !b.handle().invitations().await.unwrap().is_empty()).await;
    let asked = &b.handle().invitations().await.unwrap()[0];
    assert_eq!((asked.name.as_str(), asked.from, asked.role), ("Night shift", a.id, Role::Member));
    // Whoever did not accept holds nothing, and nobody else knows of it.
    assert!(holds_nothing(b, group) && b.handle().groups().await.unwrap().is_empty());
    assert!(c.handle().invitations().await.unwrap().is_empty());
    accept(b, group).await;
    in_group(a, group, 2).await;
    read(b, group, &["before anybody came"]).await;
    b.handle().say(group, "here I am", None).await.unwrap();
    read(a, group, &["before anybody came", "here I am"]).await;
    assert!(holds_nothing(c, group));
    assert!(c.handle().say(group, "let me in", None).await.is_err());
    // All of it is there again after a start.
    let b = nodes.into_iter().nth(1).unwrap().crash_and_restart(&lan).await;
    read(&b, group, &["before anybody came", "here I am"]).await;
    let now = shown(&b, group).await;
    assert_eq!((now.name.as_str(), now.state, now.role), ("Night shift", GroupState::Joined, Some(Role::Member)));
    b.handle().say(group, "again", None).await.unwrap();
}

/// A group of all these, begun by the first.
async fn group_of(nodes: &[Sim], history: bool) -> SpaceId {
    let group = create(&nodes[0], history).await;
    for node in &nodes[1..] {
        invite(&nodes[0], group, node, Role::Member).await;
        accept(node, group).await;
    }
    for node in nodes {
        in_group(node, group, nodes.len()).await;
    }
    group
}

async fn command(node: &Sim, command: GroupCommand) -> Result<Group, String> {
    node.handle().group(command).await.map_err(|e| e.code)
}

/// Who belongs to the group, as a node sees it.
async fn members(node: &Sim, group: SpaceId) -> Vec<(DeviceId, Role)> {
    let mut all: Vec<_> = shown(node, group).await.members.into_iter().map(|m| (m.id, m.role)).collect();
    all.sort();
    all
}

#[tokio::test(start_paused = true)]
async fn whoever_is_away_finds_the_invitation_and_comes_in_by_any_member() {
    let (lan, mut nodes) = lan(702, 3).await;
    let c = nodes.pop().unwrap();
    let group = group_of(&nodes, true).await;
    let away = c.crash(&lan);
    nodes[0].handle().group(GroupCommand::Invite { group, who: key_of(3).id(), role: Role::Member }).await.unwrap();
    nodes[0].handle().say(group, "for whoever comes", None).await.unwrap();
    let c = away.start_again(&lan, Known::this_build()).await;
    until(LATER, "it is asked", async || !c.handle().invitations().await.unwrap().is_empty()).await;
    // Its inviter goes: another member lets it in, with all that was said.
    let a = nodes.remove(0);
    read(&nodes[0], group, &["for whoever comes"]).await;
    let gone = a.crash(&lan);
    assert_eq!(command(&c, GroupCommand::Accept { group }).await.unwrap().state, GroupState::Joining);
    read(&c, group, &["for whoever comes"]).await;
    c.handle().say(group, "thank you", None).await.unwrap();
    read(&nodes[0], group, &["for whoever comes", "thank you"]).await;
    let a = gone.start_again(&lan, Known::this_build()).await;
    until(LATER, "the inviter hears of it", async || bodies(&a, group).await.len() == 2).await;
}

#[tokio::test(start_paused = true)]
async fn who_declines_is_asked_no_more_and_holds_nothing() {
    let (_lan, nodes) = lan(703, 2).await;
    let group = create(&nodes[0], true).await;
    invite(&nodes[0], group, &nodes[1], Role::Member).await;
    until(SOON, "b is asked", async || !nodes[1].handle().invitations().await.unwrap().is_empty()).await;
    let declined = command(&nodes[1], GroupCommand::Decline { group }).await.unwrap();
    assert_eq!(declined.state, GroupState::Declined);
    assert!(nodes[1].handle().invitations().await.unwrap().is_empty() && holds_nothing(&nodes[1], group));
    assert_eq!(command(&nodes[1], GroupCommand::Accept { group }).await.unwrap_err(), "no_such_invitation");
    until(SOON, "a hears it", async || shown(&nodes[0], group).await.members.len() == 1).await;
    // Asked again, it may say yes.
    invite(&nodes[0], group, &nodes[1], Role::Reader).await;
    accept(&nodes[1], group).await;
    in_group(&nodes[0], group, 2).await;
    until(SOON, "b knows", async || shown(&nodes[1], group).await.role == Some(Role::Reader)).await;
    assert_eq!(nodes[1].handle().say(group, "may I", None).await.unwrap_err().code, "read_only");
}

#[tokio::test(start_paused = true)]
async fn those_who_come_later_read_from_their_invitation_on_where_the_group_says_so() {
    let (_lan, nodes) = lan(704, 3).await;
    let group = group_of(&nodes[..2], false).await;
    nodes[0].handle().say(group, "not for newcomers", None).await.unwrap();
    read(&nodes[1], group, &["not for newcomers"]).await;
    invite(&nodes[0], group, &nodes[2], Role::Member).await;
    accept(&nodes[2], group).await;
    in_group(&nodes[1], group, 3).await;
    nodes[1].handle().say(group, "welcome", None).await.unwrap();
    until(SOON, "it reads what is new", async || bodies(&nodes[2], group).await == ["[1]", "welcome"]).await;
    tokio::time::sleep(LATER).await;
    assert_eq!(bodies(&nodes[2], group).await, ["[1]", "welcome"]);
}

#[tokio::test(start_paused = true)]
async fn whoever_is_removed_gets_nothing_new_and_what_is_said_after_the_cut_is_gone() {
    let (lan, nodes) = lan(705, 3).await;
    let [a, b, c] = &nodes[..] else { unreachable!() };
    let group = group_of(&nodes, true).await;
    c.handle().say(group, "I am one of you", None).await.unwrap();
    read(a, group, &["I am one of you"]).await;
    read(b, group, &["I am one of you"]).await;
    let before = shown(a, group).await.epoch;
    // Meanwhile c cannot hear the others, and says more.
    lan.partition(&[&[a.at.addr, b.at.addr], &[c.at.addr]]);
    c.handle().say(group, "and I go on", None).await.unwrap();
    let removed = command(a, GroupCommand::Remove { group, who: c.id }).await.unwrap();
    assert_eq!(removed.members.len(), 2);
    until(SOON, "a new key", async || {
        let now = shown(a, group).await.epoch;
        now.is_some() && now != before
    })
    .await;
    a.handle().say(group, "planted-after-the-removal", None).await.unwrap();
    read(b, group, &["I am one of you", "planted-after-the-removal"]).await;
    lan.heal();
    until(LATER, "c is told", async || shown(c, group).await.state == GroupState::Out).await;
    tokio::time::sleep(LATER).await;
    // What it said meanwhile counts nowhere but with itself, and it holds nothing of what came after.
    for node in [a, b] {
        assert_eq!(bodies(node, group).await, ["I am one of you", "planted-after-the-removal"]);
    }
    assert!(!bodies(c, group).await.iter().any(|b| b.contains("planted")));
    assert_eq!(c.handle().say(group, "still me", None).await.unwrap_err().code, "not_a_member");
    let log = a.handle().group_log(group).await.unwrap();
    assert!(log.iter().any(|l| l.counts && l.sentence.contains("removed")), "{log:?}");
    // Taken in again, it writes on, and what was cut stays cut.
    invite(a, group, c, Role::Member).await;
    accept(c, group).await;
    in_group(a, group, 3).await;
    until(LATER, "c is in again", async || shown(c, group).await.state == GroupState::Joined).await;
    c.handle().say(group, "back again", None).await.unwrap();
    let all = ["I am one of you", "planted-after-the-removal", "back again"];
    for node in [a, b, c] {
        until(LATER, "all read the same", async || bodies(node, group).await == all).await;
    }
}

#[tokio::test(start_paused = true)]
async fn two_sides_that_change_the_group_apart_come_to_the_same() {
    let (lan, nodes) = lan(706, 5).await;
    let [a, b, c, d, e] = &nodes[..] else { unreachable!() };
    let group = group_of(&nodes[..4], true).await;
    for who in [b, c] {
        command(a, GroupCommand::SetRole { group, who: who.id, role: Role::Admin }).await.unwrap();
    }
    for node in &nodes[..4] {
        until(SOON, "roles are known", async || {
            members(node, group).await.iter().filter(|(_, role)| *role == Role::Admin).count() == 3
        })
        .await;
    }
    let at = |n: &Sim| n.at.addr;
    lan.partition(&[&[at(a), at(b), at(e)], &[at(c), at(d)]]);
    tokio::time::sleep(Duration::from_secs(20)).await;
    // Here: c is removed and e comes in. There: c removes b, makes d an admin, and both talk.
    command(a, GroupCommand::Remove { group, who: c.id }).await.unwrap();
    invite(b, group, e, Role::Member).await;
    accept(e, group).await;
    in_group(e, group, 4).await;
    e.handle().say(group, "from e", None).await.unwrap();
    b.handle().say(group, "from b", None).await.unwrap();
    command(c, GroupCommand::Remove { group, who: b.id }).await.unwrap();
    command(c, GroupCommand::SetRole { group, who: d.id, role: Role::Admin }).await.unwrap();
    c.handle().say(group, "from c", None).await.unwrap();
    d.handle().say(group, "from d", None).await.unwrap();
    lan.heal();
    let mut expected = vec![(a.id, Role::Admin), (b.id, Role::Admin), (d.id, Role::Member), (e.id, Role::Member)];
    expected.sort();
    for node in [a, b, d, e] {
        until(LATER, "all see the same group", async || members(node, group).await == expected).await;
        until(LATER, "and the same words", async || {
            let mut all = bodies(node, group).await;
            all.sort();
            all == ["from b", "from d", "from e"]
        })
        .await;
    }
    until(LATER, "c hears that it is out", async || shown(c, group).await.state == GroupState::Out).await;
    a.handle().say(group, "planted-for-those-inside", None).await.unwrap();
    until(LATER, "all get it", async || bodies(d, group).await.contains(&"planted-for-those-inside".to_owned())).await;
    assert!(!bodies(c, group).await.contains(&"planted-for-those-inside".to_owned()));
    let log = d.handle().group_log(group).await.unwrap();
    assert!(log.iter().any(|l| !l.counts && l.sentence.contains("did not count")), "{log:?}");
}
