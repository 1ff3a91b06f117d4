//! The endpoint actor: takes the links that others make to us and makes those that discovery asks for. Where the network
//! has a key, both pass the gate before they are sessions.

use std::net::SocketAddr;
use std::sync::Arc;

use cairn_crdt::ids::DeviceId;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::task::JoinSet;

use crate::discovery::DiscoveryMsg;
use crate::gate::{self, Places};
use crate::limits::DIALS_MAX;
use crate::link::{Link, LinkError};
use crate::proto::discovery::DialFault;
use crate::sessions::{LinkBox, SessionsMsg};
use crate::wiring::Wiring;

/// A message to the endpoint.
#[derive(Debug)]
pub enum EndpointMsg {
    /// Dials an address, expecting a device if it is known which.
    Dial {
        /// Where.
        address: SocketAddr,
        /// Whom.
        device: Option<DeviceId>,
    },
    /// A dial ended.
    Dialled {
        /// Where.
        address: SocketAddr,
        /// Whom it was meant for.
        device: Option<DeviceId>,
        /// Who answered, or why nobody did.
        result: Result<LinkBox, LinkError>,
    },
    /// Interfaces or addresses changed.
    NetworkChanged,
}

/// The endpoint actor.
pub struct Endpoint;

/// Its state.
pub struct EndpointState {
    wiring: Arc<Wiring>,
    /// The accept loop and dials; they end with the actor.
    tasks: JoinSet<()>,
}

impl Actor for Endpoint {
    type Msg = EndpointMsg;
    type State = EndpointState;
    type Arguments = Arc<Wiring>;

    async fn pre_start(
        &self,
        _: ActorRef<EndpointMsg>,
        wiring: Arc<Wiring>,
    ) -> Result<EndpointState, ActorProcessingErr> {
        let mut tasks = JoinSet::new();
        tasks.spawn(accept_all(wiring.clone()));
        Ok(EndpointState { wiring, tasks })
    }

    async fn handle(
        &self,
        me: ActorRef<EndpointMsg>,
        msg: EndpointMsg,
        s: &mut EndpointState,
    ) -> Result<(), ActorProcessingErr> {
        while s.tasks.try_join_next().is_some() {}
        match msg {
            EndpointMsg::Dial { address, device } => {
                if s.tasks.len() > DIALS_MAX {
                    let result = Err(LinkError::Io("too many dials at once".into()));
                    me.cast(EndpointMsg::Dialled { address, device, result })?;
                    return Ok(());
                }
                let wiring = s.wiring.clone();
                s.tasks.spawn(async move {
                    let result = match wiring.transport.dial(address, device).await {
                        Ok(link) => enter(&wiring, link).await,
                        Err(e) => Err(e),
                    };
                    let _ = me.cast(EndpointMsg::Dialled { address, device, result });
                });
            }
            EndpointMsg::Dialled { address, device, result } => {
                let reached = match result {
                    Ok(link) => {
                        let peer = link.0.peer();
                        s.wiring.sessions.cast(SessionsMsg::Linked(link));
                        Ok(peer)
                    }
                    Err(e) => {
                        tracing::debug!(%address, "dial failed: {e}");
                        Err(match e {
                            LinkError::WrongPeer => DialFault::WrongPeer,
                            LinkError::Oneself => DialFault::Oneself,
                            LinkError::CameFirst => DialFault::CameFirst,
                            LinkError::NoKey => DialFault::Unwanted,
                            _ => DialFault::Failed,
                        })
                    }
                };
                s.wiring.discovery.cast(DiscoveryMsg::DialEnded { addr: address, device, result: reached });
            }
            EndpointMsg::NetworkChanged => s.wiring.transport.network_changed(),
        }
        Ok(())
    }
}

/// Takes links for as long as the transport is open. Where the network has a key they pass the gate beside each other.
async fn accept_all(wiring: Arc<Wiring>) {
    let (mut at_gate, places) = (JoinSet::new(), Places::default());
    while let Some(link) = wiring.transport.accept().await {
        while at_gate.try_join_next().is_some() {}
        if wiring.accepted_keys().is_empty() {
            wiring.sessions.cast(SessionsMsg::Linked(LinkBox(link, None)));
            continue;
        }
        let Some(place) = places.take(link.remote()) else {
            link.close("too many links at once here");
            continue;
        };
        let wiring = wiring.clone();
        at_gate.spawn(async move {
            let (peer, from) = (link.peer(), link.remote());
            match enter(&wiring, link).await {
                Ok(link) => drop(wiring.sessions.cast(SessionsMsg::Linked(link))),
                Err(e) => tracing::debug!(%from, peer = %peer.short(), "not let in: {e}"),
            }
            drop(place);
        });
    }
}

/// A link that may become a session.
async fn enter(wiring: &Wiring, link: Arc<dyn Link>) -> Result<LinkBox, LinkError> {
    let filler = std::array::from_fn(|_| wiring.env.random());
    match gate::pass(&*link, wiring.me, &wiring.accepted_keys(), &filler).await {
        Ok(proved) => Ok(LinkBox(link, proved)),
        Err(e) => {
            if e == LinkError::NoKey {
                wiring.other_key(&link.peer(), link.dialled());
            }
            Err(e)
        }
    }
}
