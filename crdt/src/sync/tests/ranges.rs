//! Spaces of many documents: what differs is found by ranges, in few bytes and round trips.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::super::frame::{Frame, MAX_RANGES, Range};
use super::super::{Output, SpaceSync};
use super::{Writer, space};
use crate::codec::DecodeError;
use crate::hlc::Hlc;
use crate::ids::{DeviceId, DocumentId, EntryHash, Incarnation, LogId};
use crate::replica::{Access, Replica, Tip};

const A: DeviceId = DeviceId([1; 32]);
const B: DeviceId = DeviceId([2; 32]);

fn log(n: u32) -> LogId {
    LogId { document: DocumentId::chat(n, 0), device: DeviceId([9; 32]), incarnation: Incarnation([9; 16]) }
}

/// One side whose documents are of these lengths.
fn side(documents: impl IntoIterator<Item = (u32, u64)>) -> SpaceSync {
    let mut replica = Replica::new(space(), Access::Commons);
    for (n, seq) in documents {
        let hash = EntryHash([u8::try_from(seq % 251).unwrap(); 32]);
        replica.restore(&log(n), Tip { seq, hash, hlc: Hlc::from_ms(1) });
    }
    SpaceSync::new(replica)
}

/// What two sides say to each other until they are quiet.
#[derive(Default)]
struct Talk {
    /// Bytes of frames by which they compare.
    bytes: usize,
    /// The largest of what one said at a time.
    most: usize,
    /// Ways through the wire before the first document was asked for.
    ways: usize,
    /// Documents that each asked for.
    wants: [BTreeSet<DocumentId>; 2],
}

/// Lets two sides meet; nothing that they ask for is brought.
fn meet(a: &mut SpaceSync, b: &mut SpaceSync) -> Talk {
    let mut talk = Talk::default();
    a.opened(B);
    b.opened(A);
    let mut wire: [VecDeque<Vec<u8>>; 2] = Default::default();
    for way in 0.. {
        for (from, s) in [&mut *a, &mut *b].into_iter().enumerate() {
            loop {
                let outputs = s.take();
                if outputs.is_empty() {
                    break;
                }
                let mut said = 0;
                for output in outputs {
                    match output {
                        Output::Send(_, frame) => {
                            if let Frame::Want { document, .. } = &frame {
                                assert!(talk.wants[from].insert(*document), "asked for twice");
                            } else if !matches!(frame, Frame::Served(_)) {
                                said += frame.encode().len();
                            }
                            wire[from].push_back(frame.encode());
                        }
                        Output::Read { to, log, .. } => s.read(to, log, Vec::new()),
                        _ => {}
                    }
                }
                (talk.bytes, talk.most) = (talk.bytes + said, talk.most.max(said));
            }
        }
        if wire.iter().all(VecDeque::is_empty) {
            return talk;
        }
        assert!(way < 10_000, "they never fall silent");
        if talk.wants.iter().all(BTreeSet::is_empty) {
            talk.ways = way + 1;
        }
        let [to_b, to_a] = std::mem::take(&mut wire);
        to_b.into_iter().for_each(|f| b.received(A, Frame::decode(&f).unwrap()));
        to_a.into_iter().for_each(|f| a.received(B, Frame::decode(&f).unwrap()));
    }
    unreachable!()
}

#[test]
fn one_changed_of_ten_thousand_costs_a_few_kilobytes() {
    let all = || (0..10_000).map(|n| (n, 5));
    for changed in [0, 63, 4_711, 9_999] {
        let (mut a, mut b) = (side(all()), side(all().map(|(n, len)| (n, if n == changed { 6 } else { len }))));
        let talk = meet(&mut a, &mut b);
        println!("document {changed}: {} bytes, {} ways before it is asked for", talk.bytes, talk.ways);
        let one = BTreeSet::from([log(changed).document]);
        assert!(talk.wants.iter().all(|w| w.is_subset(&one)) && talk.wants[0] == one);
        assert!(talk.bytes < 8_000 && talk.ways <= 5, "{} bytes, {} ways", talk.bytes, talk.ways);
    }
    let talk = meet(&mut side(all()), &mut side(all()));
    assert!(talk.bytes < 200 && talk.wants.iter().all(BTreeSet::is_empty), "{} bytes", talk.bytes);
}

#[test]
fn whatever_differs_is_found_by_whoever_lacks_it_and_nothing_else() {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    for round in 0..120 {
        let many = [0, 1, 64, 65, 66, 300, 2_000][rng.random_range(0..7)];
        let (each, keeps) = ([0.0, 0.001, 0.05, 0.9][rng.random_range(0..4)], rng.random_range(0..4) != 0);
        let mut sides: [BTreeMap<u32, u64>; 2] = Default::default();
        for n in 0..many {
            let lens = if rng.random_bool(each) { [rng.random_range(0..3), rng.random_range(0..3)] } else { [3, 3] };
            for (side, len) in sides.iter_mut().zip(lens) {
                if len > 0 && (keeps || side.len() < 40) {
                    side.insert(n, len);
                }
            }
        }
        let differ = |n: &u32| sides[0].get(n) != sides[1].get(n);
        let expected: [BTreeSet<_>; 2] =
            [1, 0].map(|other: usize| sides[other].keys().filter(|n| differ(n)).map(|n| log(*n).document).collect());
        let talk = meet(&mut side(sides[0].clone()), &mut side(sides[1].clone()));
        assert_eq!(talk.wants, expected, "round {round}, {many} documents");
    }
}

#[test]
fn what_was_found_by_ranges_is_fetched_and_then_all_is_equal() {
    let mut writer = Writer::new(3);
    writer.log.document = DocumentId::chat(4_000, 7);
    let (first, second) = (writer.write("one"), writer.write("two"));
    let all = || (0..10_000).map(|n| (n, 5));
    let (mut a, mut b) = (side(all()), side(all()));
    for (side, last) in [(&mut a, &first), (&mut b, &second)] {
        side.replica_mut().restore(&writer.log, Tip::of(last));
    }
    a.opened(B);
    b.opened(A);
    let mut equal = 0;
    for _ in 0..40 {
        for from_a in [true, false] {
            let (s, other, peer) = if from_a { (&mut a, &mut b, A) } else { (&mut b, &mut a, B) };
            for output in s.take() {
                match output {
                    Output::Send(_, frame) => other.received(peer, frame),
                    Output::Read { to, log, from, upto } => {
                        assert_eq!((from, upto), (2, 2));
                        s.read(to, log, vec![second.clone()]);
                    }
                    Output::Commit { from, live, entries } => s.committed(Some(from), live, &entries),
                    Output::Equal(_) => equal += 1,
                    Output::Push(..) | Output::Durable(..) => {}
                    other => panic!("{other:?}"),
                }
            }
        }
    }
    assert_eq!(a.replica_mut().digest(), b.replica_mut().digest());
    a.compare_all();
    for output in a.take() {
        if let Output::Send(_, frame) = output {
            b.received(A, frame);
        }
    }
    equal += b.take().iter().filter(|o| matches!(o, Output::Equal(_))).count();
    assert!(equal > 0);
}

#[test]
fn forged_ranges_are_refused_or_answered_within_a_bound() {
    let id = |n: u32| DocumentId::chat(n, 0);
    let range = |from: u32, upto: u32| Range { from: id(from), upto: id(upto), print: [7; 32] };
    let frame = |ranges: Vec<Range>| Frame::Ranges { control: [0; 32], ranges }.encode();
    let order = Err(DecodeError::Invalid("order of ranges"));
    assert_eq!(Frame::decode(&frame(vec![range(5, 4)])), order);
    assert_eq!(Frame::decode(&frame(vec![range(1, 4), range(4, 9)])), order);
    assert_eq!(Frame::decode(&frame(vec![range(5, 9), range(1, 4)])), order);
    let many = (0..=MAX_RANGES as u32).map(|n| range(n * 2, n * 2 + 1)).collect();
    assert_eq!(Frame::decode(&frame(many)), Err(DecodeError::Invalid("number of ranges")));
    let outside = Frame::Listed { from: id(5), upto: id(9), ask: true, docs: vec![(id(10), [1; 32])] };
    assert_eq!(Frame::decode(&outside.encode()), Err(DecodeError::Invalid("documents of a range")));

    let mut b = side((0..10_000).map(|n| (n, 5)));
    b.opened(A);
    let _ = b.take();
    let list = 10_000 * 50;
    for width in [1, 38, 39, 10_000] {
        let ranges = (0..MAX_RANGES as u32).map(|n| range(n * width, (n + 1) * width - 1)).collect::<Vec<_>>();
        b.received(A, Frame::decode(&frame(ranges)).unwrap());
        let outputs = b.take();
        let said: usize = outputs
            .iter()
            .map(|o| if let Output::Send(_, frame) = o { frame.encode().len() } else { panic!("{o:?}") })
            .sum();
        assert!(said < list + MAX_RANGES * 70, "{said} bytes for {width}");
        let ranges = outputs.iter().filter(|o| matches!(o, Output::Send(_, Frame::Ranges { .. }))).count();
        assert!(ranges <= 1);
    }
    // An answer to what was never asked for changes nothing here.
    assert!(!b.is_fetching());
}
