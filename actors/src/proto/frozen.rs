//! The bytes of version 1 between two nodes, as they were released: beacons, open and sealed, control frames and proofs of
//! a network key. This build reads them, and writes the same from the same.

use cairn_crdt::hlc::Hlc;
use cairn_crdt::identity::DeviceKey;
use cairn_crdt::ids::{DeviceId, Incarnation, NetworkId};
use cairn_crdt::netkey::{Bond, NetworkKey};
use cairn_crdt::network::Claim;

use super::beacon::Beacon;
use super::proof::{self, SLOTS};
use super::session::{Control, Hello, Neighbour, VERSION};

#[path = "../../../crdt/tests/fixtures/check.rs"]
mod fixtures;

const BEACONS: &str = include_str!("../../../crdt/tests/fixtures/v1/beacons.txt");
const NETWORK_KEY: &str = include_str!("../../../crdt/tests/fixtures/v1/network_key.txt");
const CONTROL: &str = include_str!("../../../crdt/tests/fixtures/v1/control.txt");

fn beacon(network: Option<u8>, settled: bool, goodbye: bool) -> Vec<u8> {
    let key = DeviceKey::from_seed(&[1; 32]);
    let network = network.map(|n| NetworkId([n; 16]));
    let (incarnation, counter, port) = (Incarnation([2; 16]), 77, 27_475);
    Beacon { device: key.id(), incarnation, counter, port, network, settled, goodbye }.encode(&key)
}

fn control() -> Vec<(&'static str, Control)> {
    let device = DeviceId([3; 32]);
    let claims = || {
        let named = Hlc::from_ms(1_795_176_000_000);
        vec![Claim { id: NetworkId([4; 16]), settled: true, name: "North Ridge".into(), named }]
    };
    let hello = Hello {
        version: VERSION,
        incarnation: Incarnation([2; 16]),
        link: 300,
        name: "Maya Okafor".into(),
        claims: claims(),
        port: 27_475,
    };
    let near = |address: &str| Neighbour { device, address: address.parse().ok() };
    let up = vec![near("10.1.0.7:27475"), near("[2001:db8::7]:27475"), near("nowhere")];
    vec![
        ("control/hello", Control::Hello(hello)),
        (
            "control/heartbeat",
            Control::Heartbeat { away: true, clock: 1_795_176_000_000, beat: 9, echo: Some((8, 700)) },
        ),
        ("control/name", Control::Name("Maya".into())),
        ("control/claims", Control::Claims(claims())),
        ("control/neighbours", Control::Neighbours { up, down: vec![device] }),
        ("control/probe", Control::Probe(device)),
        ("control/heard", Control::Heard { device, ago_ms: Some(700) }),
        ("control/goodbye", Control::Goodbye),
    ]
}

#[test]
fn beacons_are_written_and_read_as_they_were() {
    let written = [
        ("beacon/settled", beacon(Some(4), true, false)),
        ("beacon/fresh", beacon(None, false, false)),
        ("beacon/goodbye", beacon(Some(4), false, true)),
    ];
    fixtures::check(BEACONS, &written);
    let key = DeviceKey::from_seed(&[1; 32]);
    for (name, bytes) in fixtures::lines(BEACONS) {
        let beacon = Beacon::decode(&bytes).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(beacon.encode(&key), bytes, "{name}");
    }
}

#[test]
fn what_a_network_key_seals_and_proves_is_as_it_was() {
    let keys = [5, 6].map(|n| NetworkKey::from_secret(&[n; 32]));
    let bond = Bond { exporter: [7; 32], dialler: DeviceId([8; 32]), acceptor: DeviceId([9; 32]) };
    let key = DeviceKey::from_seed(&[1; 32]);
    let open = Beacon::decode(&beacon(Some(4), true, false)).unwrap();
    let knock = proof::knock(&keys, &bond, &[[10; 32]; SLOTS]);
    let (tag, answer) = proof::answer(&keys[1..], &bond, &knock).unwrap();
    let written = [("beacon/sealed", open.encode_sealed(&key, &keys[0])), ("knock", knock), ("answer", answer)];
    fixtures::check(NETWORK_KEY, &written);
    let bytes: Vec<_> = fixtures::lines(NETWORK_KEY).into_iter().map(|(_, bytes)| bytes).collect();
    assert_eq!(Beacon::parse(&bytes[0], &keys).and_then(|b| b.verify()), Ok(open));
    assert_eq!(proof::answer(&keys[1..], &bond, &bytes[1]).map(|(tag, _)| tag), Ok(tag));
    assert_eq!(proof::check(&keys, &bond, &bytes[2]), Ok(tag));
}

#[test]
fn control_frames_are_written_and_read_as_they_were() {
    let written: Vec<_> = control().iter().map(|(name, c)| (*name, c.encode())).collect();
    fixtures::check(CONTROL, &written);
    for ((name, bytes), (_, frame)) in fixtures::lines(CONTROL).into_iter().zip(control()) {
        assert_eq!(Control::decode(&bytes), Ok(frame), "{name}");
    }
}
