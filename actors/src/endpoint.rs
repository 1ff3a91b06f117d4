//! The endpoint actor: takes the links that others make to us and makes those that discovery asks for.

use std::net::SocketAddr;
use std::sync::Arc;

use cairn_crdt::ids::DeviceId;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::task::JoinSet;

use crate::discovery::DiscoveryMsg;
use crate::limits::DIALS_MAX;
use crate::link::LinkError;
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
        let accepting = wiring.clone();
        tasks.spawn(async move {
            while let Some(link) = accepting.transport.accept().await {
                accepting.sessions.cast(SessionsMsg::Linked(LinkBox(link)));
            }
        });
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
                    let result = wiring.transport.dial(address, device).await.map(LinkBox);
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
