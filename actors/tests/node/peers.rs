//! What people call each other, and who is in a room.

use cairn_actors::api::PeerState;
use cairn_actors::link::memory::Switch;

use crate::world::{Sim, all_online};

#[tokio::test(start_paused = true)]
async fn a_petname_stands_beside_its_own_name_and_outlives_the_node() {
    let lan = Switch::new(320);
    let mut nodes = vec![Sim::start(&lan, 1).await, Sim::start(&lan, 2).await];
    all_online(&nodes, 1).await;
    let other = nodes[1].id;
    let names = async |sim: &Sim| {
        let p = sim.handle().peers().await.unwrap().remove(0);
        (p.name, p.petname, p.own_name)
    };
    let own = Some("node 2".to_owned());
    assert_eq!(names(&nodes[0]).await, ("node 2".into(), None, own.clone()));
    let named = nodes[0].handle().set_petname(other, Some(" Boss ")).await.unwrap();
    assert_eq!((named.name.as_str(), named.petname.as_deref()), ("Boss", Some("Boss")));
    let first = nodes.remove(0).crash_and_restart(&lan).await;
    nodes.insert(0, first);
    all_online(&nodes, 1).await;
    assert_eq!(names(&nodes[0]).await, ("Boss".into(), Some("Boss".into()), own.clone()));
    nodes[0].handle().set_petname(other, None).await.unwrap();
    assert_eq!(names(&nodes[0]).await, ("node 2".into(), None, own));
    let everyone = nodes[0].everyone().await;
    let members = nodes[0].handle().members(everyone).await.unwrap();
    let listed: Vec<_> = members.iter().map(|m| (m.id, m.name.as_str(), m.state)).collect();
    assert_eq!(listed, [(other, "node 2", PeerState::Online)], "without oneself");
    let nobody = cairn_crdt::ids::SpaceId([7; 32]);
    assert_eq!(nodes[0].handle().members(nobody).await.unwrap_err().code, "no_such_conversation");
}
