//! What people are told while much is being fetched.

use super::super::coming::{ANNOUNCED, MOST};
use super::*;

const A: DeviceId = DeviceId([1; 32]);
const B: DeviceId = DeviceId([2; 32]);

fn empty() -> SpaceSync {
    SpaceSync::new(Replica::new(space(), Access::Commons))
}

fn left(s: &SpaceSync) -> u64 {
    s.to_come().map(|(_, n)| n).sum()
}

/// Entries of 4 KiB in documents of their own, so many in each.
fn written(counts: &[usize]) -> BTreeMap<LogId, Vec<Arc<Entry>>> {
    let one = |(n, count): (usize, &usize)| {
        let mut w = Writer::new(n as u8 + 1);
        w.log.document = DocumentId::chat(n as u32, 0);
        (w.log, (0..*count).map(|_| w.write(&"x".repeat(4_096))).collect())
    };
    counts.iter().enumerate().map(one).collect()
}

fn holding(all: &BTreeMap<LogId, Vec<Arc<Entry>>>) -> SpaceSync {
    let mut s = empty();
    all.values().flatten().for_each(|e| s.replica_mut().admit_own(e));
    all.values().for_each(|entries| s.committed(None, true, entries));
    let _ = s.take();
    s
}

/// Lets B fetch what A has, every commit after the next frame; answers what was left for B after each frame and commit.
fn fetch(a: &mut SpaceSync, b: &mut SpaceSync, all: &BTreeMap<LogId, Vec<Arc<Entry>>>) -> Vec<u64> {
    a.opened(B);
    b.opened(A);
    let (mut seen, mut disk): (_, VecDeque<Vec<_>>) = (Vec::new(), VecDeque::new());
    loop {
        let (from_a, from_b) = (a.take(), b.take());
        if from_a.is_empty() && from_b.is_empty() && disk.is_empty() {
            return seen;
        }
        for output in from_a {
            match output {
                Output::Send(_, frame) => {
                    let batch = matches!(frame, Frame::Entries { .. });
                    b.received(A, Frame::decode(&frame.encode()).unwrap());
                    seen.push(left(b));
                    if batch {
                        a.sent(B);
                    }
                }
                Output::Read { to, log, from, upto } => {
                    let part = &all[&log][from as usize - 1..upto as usize];
                    a.read(to, log, part.iter().take(15).cloned().collect());
                }
                _ => {}
            }
        }
        if let Some(entries) = disk.pop_front() {
            b.committed(Some(A), false, &entries);
            seen.push(left(b));
        }
        for output in from_b {
            match output {
                Output::Send(_, frame) => a.received(B, frame),
                Output::Commit { entries, .. } => disk.push_back(entries),
                _ => {}
            }
        }
    }
}

#[test]
fn what_is_to_come_is_told_and_shrinks_to_nothing() {
    let all = written(&[100, 200, 300]);
    let (mut a, mut b) = (holding(&all), empty());
    let seen = fetch(&mut a, &mut b, &all);
    assert_eq!(a.replica_mut().digest(), b.replica_mut().digest());
    let most = seen.iter().max().unwrap();
    assert!((600 - 2 * 64..=600).contains(most), "{most} of 600 at most");
    let after = &seen[seen.iter().position(|n| n == most).unwrap()..];
    assert!(after.is_sorted_by(|x, y| x >= y), "{after:?}");
    assert!(after.iter().collect::<BTreeSet<_>>().len() > 5 && after.last() == Some(&0), "{after:?}");
    assert_eq!(b.to_come().count(), 0);
}

#[test]
fn of_little_nothing_is_said() {
    let all = written(&[ANNOUNCED as usize - 1]);
    let mut a = holding(&all);
    a.opened(B);
    let _ = a.take();
    a.received(B, Frame::Want { document: DocumentId::chat(0, 0), logs: Vec::new() });
    assert!(!a.take().iter().any(|o| matches!(o, Output::Send(_, Frame::Coming(_)))));
}

#[test]
fn a_peer_that_says_much_and_brings_nothing_is_believed_for_as_long_as_it_is_waited_for() {
    let mut b = empty();
    b.opened(A);
    b.received(A, Frame::Coming(5_000));
    assert_eq!(left(&b), 0, "nobody asked for anything");
    b.received(A, Frame::Docs { more: false, ask: false, docs: vec![(DocumentId::chat(1, 0), [1; 32])] });
    b.received(A, Frame::Coming(u64::MAX));
    assert_eq!(b.to_come().collect::<Vec<_>>(), [(A, MOST)]);
    (0..super::super::fetch::PATIENCE).for_each(|_| b.tick());
    assert_eq!(left(&b), 0, "it is given up");
    b.received(A, Frame::Coming(5_000));
    assert_eq!(left(&b), 0);
    // And of one that is gone nothing is left, whatever is on its way to the disk.
    let all = written(&[100]);
    let entries: Vec<_> = all.values().flatten().cloned().collect();
    let mut b = empty();
    b.opened(A);
    b.received(A, Frame::Docs { more: false, ask: false, docs: vec![(DocumentId::chat(0, 0), [1; 32])] });
    b.received(A, Frame::Coming(100));
    b.received(A, Frame::Entries { live: false, entries: entries[..40].to_vec() });
    assert_eq!(left(&b), 100, "what is not durable is still to come");
    b.committed(Some(A), false, &entries[..40]);
    assert_eq!(left(&b), 60);
    b.closed(A);
    assert_eq!(left(&b), 0);
}
