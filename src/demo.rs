//! `cairn demo`: four real nodes in one process, on loopback alone, so that one person on one laptop sees what Cairn
//! does: they meet without being told of each other, talk to everyone and to one, leave, miss something, come back
//! and have it. The window belongs to the command post; the other three follow the script below.

use std::time::Duration;

use cairn_actors::api::{ApiError, ConversationKind, Event, Message, NodeOptions, Peer, PeerState};
use cairn_actors::handle::Handle;
use cairn_crdt::ids::{DeviceId, MessageId, SpaceId};
use tokio::runtime::Runtime;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};

use crate::cli::error::Failure;
use crate::cli::node::up;
use crate::cli::start::{RunningNode, start_node};
use crate::cli::text::{Out, note, plain};
use crate::cli::{json, window as cli_window};
use crate::lock::ScreenLock;
use crate::ui::UiSettings;

/// Who takes part; the first has the window.
const CAST: [&str; 4] = ["Command post", "Maya Okafor", "张伟", "Linh Wagner"];
/// The one with the window.
const POST: usize = 0;
const MAYA: usize = 1;
const ZHANG: usize = 2;
const LINH: usize = 3;
/// Longest wait for anything to happen; on loopback it takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two steps with a window: time to read.
const PACE: Duration = Duration::from_millis(2_500);
/// Between two steps without one.
const BRISK: Duration = Duration::from_millis(20);

/// What somebody does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Says something to everyone.
    Everyone(usize, &'static str),
    /// Says something to one.
    To(usize, usize, &'static str),
    /// Stops.
    Leave(usize),
    /// Starts again on the same data.
    Return(usize),
}

use Step::{Everyone, Leave, Return, To};

/// The morning of an incident post.
const OPENING: [Step; 14] = [
    Everyone(MAYA, "Morning all. Water is at 4.1 m at the bridge gauge, rising slowly."),
    Everyone(LINH, "Medic tent is up on the school field. Two beds free, power from the van."),
    Everyone(ZHANG, "北门道路已清理，救护车可以通过。North gate road is clear for the ambulance. 🚑"),
    To(MAYA, POST, "Can I have one more radio for the bridge team? Theirs is at 10%."),
    Everyone(LINH, "Thanks 张伟! Sending Jonas to you with the spare stretcher."),
    Leave(ZHANG),
    Everyone(MAYA, "Gauge 4.3 m. If it passes 4.6 m we close the lower road. ⚠️"),
    To(LINH, POST, "One patient for transfer, stable. Ready when the ambulance is."),
    Return(ZHANG),
    Everyone(ZHANG, "回来了，刚才在隧道里。Back from the tunnel, and all your messages are here. 👍"),
    To(ZHANG, POST, "沙袋还剩 120 个，够用到今晚。120 sandbags left, enough for tonight."),
    Leave(LINH),
    Everyone(MAYA, "Gauge 4.2 m and falling 🎉 Lower road stays open."),
    Return(LINH),
];

/// What goes on after the opening for as long as the window is open.
const DAY: [Step; 12] = [
    Everyone(LINH, "Transfer done, ambulance is on its way back."),
    Everyone(ZHANG, "下午三点换班。Shift change at three."),
    To(MAYA, POST, "Radio received, thank you!"),
    Leave(MAYA),
    Everyone(ZHANG, "Generator at the north gate refuelled. ⛽"),
    Everyone(LINH, "Warm soup at the medic tent for whoever comes by. 🍲"),
    Return(MAYA),
    Everyone(MAYA, "Was out of reach at the gauge. 4.0 m now, catching up with what I missed."),
    Leave(ZHANG),
    To(LINH, POST, "Need more blankets before the night, about ten."),
    Return(ZHANG),
    Everyone(ZHANG, "收到，毯子马上送来。Blankets are coming. 🛻"),
];

/// What is seen from the command post.
enum Scene<'a> {
    Here(&'a Peer),
    Gone(&'a Peer),
    Said(&'a Message, ConversationKind),
}

/// The nodes of a demo and where they keep their data.
struct Stage {
    /// Gone with the demo.
    _folder: tempfile::TempDir,
    options: Vec<NodeOptions>,
    nodes: Vec<Option<RunningNode>>,
    devices: Vec<DeviceId>,
}

fn failed(message: impl Into<String>) -> ApiError {
    ApiError::new("demo", message)
}

fn name(who: usize) -> &'static str {
    CAST.get(who).copied().unwrap_or("somebody")
}

/// Runs one round without a window, printing what the command post sees.
///
/// # Errors
/// `demo` where something did not happen in time, and what the nodes answer.
pub async fn headless(out: &mut Out) -> Result<(), Failure> {
    let mut stage = Stage::build()?;
    let result = round(&mut stage, out).await;
    stage.strike().await;
    result
}

async fn round(stage: &mut Stage, out: &mut Out) -> Result<(), Failure> {
    for who in 0..CAST.len() {
        stage.start(who).await?;
    }
    let mut tell = |scene: Scene<'_>| out.line(&line_of(&scene, out.json));
    stage.meet(&mut tell).await?;
    stage.play(&OPENING, &mut pace(BRISK), &mut tell).await
}

/// Opens the window of the command post, with the script going on behind it until the window is closed.
///
/// # Errors
/// `no_display`, `demo`, and what the nodes and the window answer.
pub fn window(runtime: &Runtime) -> Result<(), Failure> {
    if !cli_window::has_display() {
        return Err(cli_window::no_display());
    }
    let mut stage = Stage::build()?;
    // The window's own node has a local socket like any other, so that the other verbs can be tried on it.
    let (post, server) = runtime.block_on(async {
        let options = stage.option(POST)?;
        up(options.clone(), &ScreenLock::open(&options.data, None)).await
    })?;
    let handle = post.handle.clone();
    let data = stage.option(POST)?.data;
    note(&format!("cairn: the command post keeps its data in {} until the window is closed", data.display()));
    runtime.block_on(stage.enter(POST, post))?;
    let (closed, mut over) = tokio::sync::oneshot::channel::<()>();
    let settings = UiSettings { title: Some("demo".to_owned()), ..UiSettings::default() };
    let threads = runtime.handle().clone();
    let script = std::thread::spawn(move || {
        threads.block_on(async {
            tokio::select! {
                Err(error) = endless(&mut stage) => {
                    tracing::warn!(?error, "the demo's script ended");
                    let _ = (&mut over).await;
                }
                _ = &mut over => {}
            }
            stage.strike().await;
        });
    });
    let result = cli_window::show(handle, runtime, settings);
    runtime.block_on(server.close());
    // Whether the script still runs or has given up, this ends it, and with it the nodes.
    let _ = closed.send(());
    if script.join().is_err() {
        return Err(failed("the demo's script broke off").into());
    }
    result
}

async fn endless(stage: &mut Stage) -> Result<(), Failure> {
    let mut tell = |_: Scene<'_>| Ok(());
    for who in [MAYA, ZHANG, LINH] {
        stage.start(who).await?;
    }
    stage.meet(&mut tell).await?;
    let mut pace = pace(PACE);
    stage.play(&OPENING, &mut pace, &mut tell).await?;
    loop {
        stage.play(&DAY, &mut pace, &mut tell).await?;
    }
}

fn pace(between: Duration) -> Interval {
    let mut interval = interval(between);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

fn line_of(scene: &Scene<'_>, as_json: bool) -> String {
    match (scene, as_json) {
        (Scene::Here(p) | Scene::Gone(p), true) => json::event(&Event::Peer(Box::new((*p).clone())), |_| None),
        (Scene::Said(m, kind), true) => json::event(&Event::Message(Box::new((*m).clone())), |_| Some(*kind)),
        (Scene::Here(p), false) => format!("● {} is here", plain(&p.name)),
        (Scene::Gone(p), false) => format!("○ {} is gone", plain(&p.name)),
        (Scene::Said(m, ConversationKind::Direct), false) => {
            format!("  {} to {}: {}", plain(&m.author_name), name(POST), plain(&m.body))
        }
        (Scene::Said(m, _), false) => format!("  {}: {}", plain(&m.author_name), plain(&m.body)),
    }
}

/// Waits until `check` gives something, looking again at each event of the node.
async fn until<T>(
    handle: &Handle,
    what: &str,
    mut check: impl AsyncFnMut(&Handle) -> Result<Option<T>, ApiError>,
) -> Result<T, ApiError> {
    // Events first, then the look, so that nothing happens between the two unseen.
    let mut events = handle.subscribe();
    let wait = async {
        loop {
            if let Some(found) = check(handle).await? {
                return Ok(found);
            }
            match events.recv().await {
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return Err(failed("a node of the demo stopped")),
            }
            // Many at once are one reason to look.
            while events.try_recv().is_ok() {}
        }
    };
    timeout(PATIENCE, wait)
        .await
        .map_err(|_| failed(format!("{what} did not happen within {} s", PATIENCE.as_secs())))?
}

/// The peer of an id as a node sees it, once it is in the state wanted.
async fn sees(handle: &Handle, device: DeviceId, here: bool, what: &str) -> Result<Peer, ApiError> {
    until(handle, what, async |h: &Handle| {
        let peers = h.peers().await?;
        Ok(peers.into_iter().find(|p| p.id == device && (p.state != PeerState::Offline) == here))
    })
    .await
}

async fn everyone_of(handle: &Handle) -> Result<Option<SpaceId>, ApiError> {
    let all = handle.conversations().await?;
    Ok(all.iter().find(|c| c.kind == ConversationKind::Everyone).map(|c| c.id))
}

impl Stage {
    fn build() -> Result<Self, Failure> {
        let folder = tempfile::Builder::new().prefix("cairn-demo-").tempdir()?;
        // A beacon port of its own: several demos, and a real node beside them, don't meet.
        let beacon_port = std::net::UdpSocket::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let options = CAST
            .iter()
            .enumerate()
            .map(|(i, name)| NodeOptions {
                data: folder.path().join(format!("{i}")),
                name: Some((*name).to_owned()),
                loopback_only: true,
                beacon_port: Some(beacon_port),
                ..NodeOptions::default()
            })
            .collect();
        let nodes = CAST.iter().map(|_| None).collect();
        Ok(Self { _folder: folder, options, nodes, devices: vec![DeviceId([0; 32]); CAST.len()] })
    }

    fn option(&self, who: usize) -> Result<NodeOptions, ApiError> {
        self.options.get(who).cloned().ok_or_else(|| failed("the script names somebody who is not in the cast"))
    }

    fn handle(&self, who: usize) -> Result<Handle, ApiError> {
        let node = self.nodes.get(who).and_then(Option::as_ref);
        node.map(|n| n.handle.clone()).ok_or_else(|| failed(format!("{} is not here", name(who))))
    }

    fn device(&self, who: usize) -> Result<DeviceId, ApiError> {
        self.devices.get(who).copied().ok_or_else(|| failed("the script names somebody who is not in the cast"))
    }

    async fn start(&mut self, who: usize) -> Result<(), ApiError> {
        let node = start_node(self.option(who)?).await?;
        self.enter(who, node).await
    }

    /// Takes a running node onto the stage.
    async fn enter(&mut self, who: usize, node: RunningNode) -> Result<(), ApiError> {
        let id = node.handle.status().await?.id;
        if let (Some(slot), Some(device)) = (self.nodes.get_mut(who), self.devices.get_mut(who)) {
            (*slot, *device) = (Some(node), id);
        }
        Ok(())
    }

    /// Stops every node; the folder goes when the stage does.
    async fn strike(&mut self) {
        for node in self.nodes.iter_mut().filter_map(Option::take) {
            node.stop().await;
        }
    }

    /// Waits until everybody sees everybody else and all have one Everyone room.
    async fn meet(&self, tell: &mut impl FnMut(Scene<'_>) -> Result<(), Failure>) -> Result<(), Failure> {
        for who in 0..CAST.len() {
            for other in (0..CAST.len()).filter(|o| *o != who) {
                let what = format!("{} meeting {}", name(who), name(other));
                let peer = sees(&self.handle(who)?, self.device(other)?, true, &what).await?;
                if who == POST {
                    tell(Scene::Here(&peer))?;
                }
            }
        }
        let post = self.handle(POST)?;
        for who in 1..CAST.len() {
            let what = format!("{} sharing a network with {}", name(POST), name(who));
            until(&self.handle(who)?, &what, async |h: &Handle| {
                let (ours, theirs) = (everyone_of(&post).await?, everyone_of(h).await?);
                Ok((ours.is_some() && ours == theirs).then_some(()))
            })
            .await?;
        }
        Ok(())
    }

    /// Plays steps, one a tick, each seen through to its effect at the command post.
    async fn play(
        &mut self,
        steps: &[Step],
        pace: &mut Interval,
        tell: &mut impl FnMut(Scene<'_>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        for step in steps {
            pace.tick().await;
            match *step {
                Everyone(who, text) => {
                    let room = until(&self.handle(who)?, "a room for everyone", everyone_of).await?;
                    let id = self.handle(who)?.say(room, text, None).await?.id;
                    let message = self.heard(POST, room, id).await?;
                    tell(Scene::Said(&message, ConversationKind::Everyone))?;
                }
                To(who, to, text) => {
                    let what = format!("{} finding {}", name(who), name(to));
                    let peer = sees(&self.handle(who)?, self.device(to)?, true, &what).await?;
                    let id = self.handle(who)?.say(peer.conversation, text, None).await?.id;
                    let message = self.heard(to, peer.conversation, id).await?;
                    if to == POST {
                        tell(Scene::Said(&message, ConversationKind::Direct))?;
                    }
                }
                Leave(who) => {
                    if let Some(node) = self.nodes.get_mut(who).and_then(Option::take) {
                        node.stop().await;
                    }
                    let what = format!("{} leaving", name(who));
                    tell(Scene::Gone(&sees(&self.handle(POST)?, self.device(who)?, false, &what).await?))?;
                }
                Return(who) => {
                    self.start(who).await?;
                    let what = format!("{} coming back", name(who));
                    tell(Scene::Here(&sees(&self.handle(POST)?, self.device(who)?, true, &what).await?))?;
                    self.caught_up(who).await?;
                }
            }
        }
        Ok(())
    }

    /// Waits until `who` has a message.
    async fn heard(&self, who: usize, conversation: SpaceId, id: MessageId) -> Result<Message, ApiError> {
        let what = format!("a message reaching {}", name(who));
        until(&self.handle(who)?, &what, async |h: &Handle| match h.message(conversation, id).await {
            Ok(message) => Ok(Some(message)),
            Err(e) if matches!(e.code.as_str(), "no_such_message" | "no_such_conversation") => Ok(None),
            Err(e) => Err(e),
        })
        .await
    }

    /// Waits until `who` has the newest message of everyone's room: what was said meanwhile was not missed.
    async fn caught_up(&self, who: usize) -> Result<(), ApiError> {
        let post = self.handle(POST)?;
        let Some(room) = everyone_of(&post).await? else { return Ok(()) };
        let newest = post.page(room, cairn_actors::api::PageAt::Newest, 1).await?;
        match newest.messages.last() {
            Some(message) => self.heard(who, room, message.id).await.map(drop),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use cairn_actors::limits::{MESSAGE_MAX, NAME_MAX};

    use super::*;

    #[test]
    fn the_script_can_be_played_and_played_again() {
        let mut here = [true; CAST.len()];
        // The day is played twice: it must end as it begins.
        for step in OPENING.iter().chain(&DAY).chain(&DAY) {
            match *step {
                Everyone(who, text) => {
                    assert!(here[who], "{step:?}");
                    assert!(text.len() <= MESSAGE_MAX && !text.is_empty());
                }
                To(who, to, _) => assert!(here[who] && here[to] && who != to, "{step:?}"),
                Leave(who) => {
                    assert!(who != POST && std::mem::replace(&mut here[who], false), "{step:?}");
                }
                Return(who) => assert!(!std::mem::replace(&mut here[who], true), "{step:?}"),
            }
        }
        assert_eq!(here, [true; CAST.len()]);
        assert!(CAST.iter().all(|n| n.len() <= NAME_MAX));
    }

    #[test]
    fn everybody_has_a_folder_of_their_own_and_one_beacon_port() {
        let stage = Stage::build().unwrap();
        let ports: Vec<_> = stage.options.iter().map(|o| o.beacon_port).collect();
        assert!(ports[0].is_some() && ports.iter().all(|p| *p == ports[0]));
        let mut folders: Vec<_> = stage.options.iter().map(|o| o.data.clone()).collect();
        folders.dedup();
        assert_eq!(folders.len(), CAST.len());
        assert!(stage.options.iter().all(|o| o.loopback_only));
    }
}
