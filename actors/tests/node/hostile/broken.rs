//! Peers that break the protocol: each is cut off with a reason, and its person told of once.

use std::time::Duration;

use cairn_actors::limits::{BAN, HANDSHAKE_TIMEOUT, SESSIONS_MAX};
use cairn_actors::link::Lane;
use cairn_actors::proto::session::{Control, Hello, Neighbour, space_tag};
use cairn_crdt::fork::Proof;
use cairn_crdt::hlc::Hlc;
use cairn_crdt::ids::{DeviceId, DocumentId, LogId, NetworkId, SpaceId};
use cairn_crdt::sync::frame::Frame;
use cairn_crdt::writer::{LogTip, LogWriter};

use super::{Attacker, Office, SOON, now_stamps};

#[tokio::test(start_paused = true)]
async fn whoever_says_no_hello_is_let_go() {
    let mut office = Office::open(101).await;
    let silent = Attacker::link(&office.lan, 66, &office.nodes[0]).await;
    let start = tokio::time::Instant::now();
    assert_eq!(
        tokio::time::timeout(SOON * 2, silent.link.closed()).await.unwrap().to_string(),
        "closed by the peer: no hello in time"
    );
    assert!(start.elapsed() <= HANDSHAKE_TIMEOUT + Duration::from_millis(50));
    office.goes_on(SOON).await;
    assert_eq!(office.notices(), Vec::<String>::new(), "an old version or a scanner is nobody's concern");
}

#[tokio::test(start_paused = true)]
async fn a_hello_of_another_version_is_answered_in_words() {
    let mut office = Office::open(102).await;
    let other = Attacker::link(&office.lan, 66, &office.nodes[0]).await;
    let Control::Hello(hello) = other.hello(office.network) else { panic!() };
    other.control(Control::Hello(Hello { version: 2, ..hello })).await;
    assert_eq!(other.cut_off().await, "the peer speaks version 2, this Cairn speaks 1");
    office.goes_on(SOON).await;
    let told = office.notices();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].ends_with("cannot be talked to: the peer speaks version 2, this Cairn speaks 1"), "{told:?}");
}

/// What a hostile peer sends once it is in, and the reason that it is given.
type Offence = (&'static str, fn(&Office, &Attacker) -> Vec<(Lane, Vec<u8>)>);

fn tagged(a: &Attacker, space: &SpaceId, frame: &[u8]) -> Vec<(Lane, Vec<u8>)> {
    vec![(Lane::Sync, [&space_tag(&a.link.exporter(), space)[..], frame].concat())]
}

/// Two entries at one place of a device's log, signed by the attacker.
fn made_up(a: &Attacker, space: SpaceId, document: DocumentId, device: DeviceId) -> Proof {
    let log = LogId { device, ..a.log(document) };
    let branch = |text: &[u8]| {
        let mut writer = LogWriter::new(a.key.clone(), space, log, LogTip::EMPTY);
        vec![writer.write(text.to_vec(), Hlc::from_ms(1)).unwrap().signed]
    };
    Proof::new(branch(b"west"), branch(b"east")).unwrap()
}

const OFFENCES: [Offence; 15] = [
    ("a second hello", |o, a| vec![(Lane::Control, a.hello(o.network).encode())]),
    ("a control frame that cannot be read", |_, _| vec![(Lane::Control, vec![0xff; 4_000])]),
    ("a control frame that cannot be read", |_, _| vec![(Lane::Control, Vec::new())]),
    ("a name that is not a name", |_, _| vec![(Lane::Control, Control::Name("a\u{202e}b".into()).encode())]),
    ("a control frame with too much in it", |_, _| {
        let up = vec![Neighbour { device: DeviceId([1; 32]), address: None }; SESSIONS_MAX + 1];
        vec![(Lane::Control, Control::Neighbours { up, down: vec![] }.encode())]
    }),
    ("a frame that cannot be read", |o, a| tagged(a, &o.commons(), &[0xee; 300])),
    ("a frame that cannot be read", |_, _| vec![(Lane::Sync, vec![1, 2, 3])]),
    ("a frame that cannot be read", |o, a| {
        let frame = Frame::Docs { more: false, ask: true, docs: vec![(o.this_week(), [1; 32])] }.encode();
        tagged(a, &o.commons(), &frame[..frame.len() - 1])
    }),
    ("a signature that does not verify", |o, a| {
        let mut entries = a.chat(o.commons(), o.this_week(), "forged", &now_stamps(3));
        let mut last = (*entries[2]).clone();
        last.signed.signature[7] ^= 1;
        entries[2] = last.into();
        tagged(a, &o.commons(), &Frame::Entries { live: true, entries }.encode())
    }),
    ("an entry of another space", |o, a| {
        let entries = a.chat(SpaceId::commons(&NetworkId([9; 16])), o.this_week(), "elsewhere", &now_stamps(1));
        tagged(a, &o.commons(), &Frame::Entries { live: true, entries }.encode())
    }),
    ("an entry by somebody who does not belong here", |o, a| {
        let direct = SpaceId::direct(&a.key.id().principal(), &o.nodes[0].id.principal());
        let other = Attacker {
            key: cairn_crdt::identity::DeviceKey::from_seed(&[67; 32]),
            _at: a._at.clone(),
            link: a.link.clone(),
        };
        let entries = other.chat(direct, o.this_week(), "not mine", &now_stamps(1));
        tagged(a, &direct, &Frame::Entries { live: false, entries }.encode())
    }),
    ("a proof of a fork that the author of the log did not sign", |o, a| {
        // Two branches of an honest device's log, made up.
        let proof = made_up(a, o.commons(), o.this_week(), o.nodes[1].id);
        tagged(a, &o.commons(), &Frame::Fork(Box::new(proof)).encode())
    }),
    ("a proof of a fork in another space", |o, a| {
        let proof = made_up(a, SpaceId::commons(&NetworkId([9; 16])), o.this_week(), a.key.id());
        tagged(a, &o.commons(), &Frame::Fork(Box::new(proof)).encode())
    }),
    ("a lost branch that is not this device's", |o, a| {
        let entries = a.chat(o.commons(), o.this_week(), "not yours", &now_stamps(2));
        tagged(a, &o.commons(), &Frame::Lost(entries).encode())
    }),
    ("an entry without its payload", |o, a| {
        let mut entry = (*a.chat(o.commons(), o.this_week(), "erased", &now_stamps(1))[0]).clone();
        entry.payload = None;
        let entries = vec![entry.into()];
        tagged(a, &o.commons(), &Frame::Entries { live: false, entries }.encode())
    }),
];

#[tokio::test(start_paused = true)]
async fn whoever_breaks_the_protocol_is_cut_off_with_a_reason_and_told_of_once() {
    let mut office = Office::open(103).await;
    for (n, (reason, offence)) in (100u8..).zip(OFFENCES) {
        let a = Attacker::enter(&office, n, 0).await;
        for (lane, bytes) in offence(&office, &a) {
            // More than once: the second is no second notice.
            for _ in 0..3 {
                a.raw(lane, bytes.clone()).await;
            }
        }
        let why = a.cut_off().await;
        assert!(why.starts_with(reason), "offence {n}: {why}");
        let again = Attacker::link(&office.lan, n, &office.nodes[0]).await;
        again.control(again.hello(office.network)).await;
        assert_eq!(again.cut_off().await, "you broke the protocol; try again in a minute");
        let told = office.notices();
        assert_eq!(told.len(), 1, "offence {n}: {told:?}");
        // All of them are called so: from the second on the code tells which.
        let (who, what) = told[0].split_once(" sent something it may not send (").unwrap();
        assert!(who.starts_with("Mallory") && what.contains(reason), "{told:?}");
    }
    office.goes_on(SOON).await;
    tokio::time::sleep(BAN).await;
    let back = Attacker::enter(&office, 100, 0).await;
    assert!(back.is_linked().await, "a ban ends");
}

#[tokio::test(start_paused = true)]
async fn the_first_frame_must_be_a_hello() {
    let mut office = Office::open(104).await;
    let a = Attacker::link(&office.lan, 66, &office.nodes[0]).await;
    a.sync(&office.commons(), &Frame::Digest([1; 32])).await;
    for _ in 0..10 {
        a.control(Control::Probe(office.nodes[1].id)).await;
    }
    assert_eq!(a.cut_off().await, "the first frame was not a hello");
    office.goes_on(SOON).await;
    assert_eq!(office.notices().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn frames_about_a_space_that_is_not_shared_are_passed_over() {
    let mut office = Office::open(105).await;
    let a = Attacker::enter(&office, 66, 0).await;
    a.drain(Lane::Sync);
    let foreign = SpaceId::direct(&office.nodes[0].id.principal(), &office.nodes[1].id.principal());
    let entries = a.chat(foreign, office.this_week(), "between you two", &now_stamps(2));
    for frame in [
        Frame::Digest([3; 32]),
        Frame::Docs { more: false, ask: true, docs: vec![(office.this_week(), [3; 32])] },
        Frame::Want { document: office.this_week(), logs: vec![] },
        Frame::Entries { live: true, entries },
    ] {
        a.sync(&foreign, &frame).await;
    }
    assert!(a.is_linked().await);
    office.goes_on(SOON).await;
    assert!(office.nodes[0].messages(foreign).await.is_empty());
    assert_eq!(office.notices(), Vec::<String>::new());
}
