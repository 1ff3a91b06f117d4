//! placeholder
use crate::link::LinkError;
use cairn_crdt::ids::*;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use std::net::SocketAddr;
#[derive(Debug)]
pub enum DiscoveryMsg {
    PeerUp { device: DeviceId, address: SocketAddr },
    PeerDown { device: DeviceId, clean: bool },
    SetNetwork { id: NetworkId, settled: bool },
    DialResult { address: SocketAddr, device: Option<DeviceId>, reached: Result<DeviceId, LinkError> },
}
pub struct DiscoveryArgs;
pub struct Discovery;
impl Actor for Discovery {
    type Msg = DiscoveryMsg;
    type State = ();
    type Arguments = DiscoveryArgs;
    async fn pre_start(&self, _: ActorRef<DiscoveryMsg>, _: DiscoveryArgs) -> Result<(), ActorProcessingErr> {
        Ok(())
    }
}
