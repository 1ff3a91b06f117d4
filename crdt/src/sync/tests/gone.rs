//! Times that are gone at some: windows, retires that were missed, and peers that offer what is gone.

use super::*;
use crate::ids::Kind;
use crate::kinds::chat::WEEK_MS;
use crate::spans::Spans;

fn weeks(from: u64, upto: u64) -> Spans {
    Spans::one(from * WEEK_MS, upto * WEEK_MS)
}

fn writer(seed: u8, document: DocumentId) -> Writer {
    let w = Writer::new(seed);
    Writer { log: LogId { document, ..w.log }, ..w }
}

/// One device's entry in a week, committed there and sent to whoever is connected.
fn say_in(c: &mut Cluster, seed: u8, week: u32) -> Arc<Entry> {
    let mut w = writer(seed, DocumentId::chat(week, 0));
    let e = w.write(&format!("{seed} in week {week}"));
    put(c, w.key.id(), &e);
    e
}

fn put(c: &mut Cluster, who: DeviceId, e: &Arc<Entry>) {
    let n = c.nodes.get_mut(&who).unwrap();
    n.sync.replica_mut().admit_own(e);
    n.disk.entry(e.header().log).or_default().push(e.clone());
    n.sync.committed(None, true, std::slice::from_ref(e));
    c.step_outputs(who);
}

fn forget(c: &mut Cluster, who: DeviceId, gone: Spans) {
    c.nodes.get_mut(&who).unwrap().sync.set_gone(gone);
    c.step_outputs(who);
}

fn documents(c: &Cluster, who: &DeviceId) -> Vec<u32> {
    c.nodes[who].sync.replica().documents().filter_map(|d| d.chat_week()).map(|(w, _)| w).collect()
}

#[test]
fn two_sides_compare_from_the_later_window() {
    let mut c = Cluster::new(4, 1);
    let ids = c.ids();
    // Each has weeks of its own, and keeps another length of time.
    for (i, seed) in (1..=4u8).enumerate() {
        for week in 10..20 {
            say_in(&mut c, seed, week);
        }
        let id = DeviceKey::from_seed(&[seed; 32]).id();
        forget(&mut c, id, weeks(0, 10 + 2 * i as u64));
    }
    for i in 0..4 {
        for j in i + 1..4 {
            c.connect(ids[i], ids[j]);
        }
    }
    c.settle();
    for (i, seed) in (1..=4u8).enumerate() {
        let id = DeviceKey::from_seed(&[seed; 32]).id();
        let kept: Vec<u32> = (10 + 2 * i as u32..20).collect();
        assert_eq!(documents(&c, &id), kept);
        // Of each week that two keep, both have what the other wrote there.
        for week in kept {
            let doc = DocumentId::chat(week, 0);
            let authors = c.nodes[&id].sync.replica().frontier(&doc).count();
            assert_eq!(authors, (1..=4).filter(|n| 10 + 2 * (n - 1) <= week).count(), "{seed} {week}");
        }
    }
    // It is settled: a comparison is a digest and an answer on each link and way, and nothing else.
    (c.bytes, c.frames) = (0, 0);
    for id in &ids {
        c.nodes.get_mut(id).unwrap().sync.compare_all();
        c.step_outputs(*id);
    }
    c.settle();
    assert_eq!(c.frames, 4 * 3 * 2);
}

#[test]
fn what_comes_back_is_compared_again_and_fetched() {
    let mut c = Cluster::new(2, 2);
    let ids = c.ids();
    for id in &ids {
        forget(&mut c, *id, weeks(0, 15));
    }
    for week in 10..20 {
        say_in(&mut c, 1, week);
    }
    c.connect(ids[0], ids[1]);
    c.settle();
    let (a, b) = (DeviceKey::from_seed(&[1; 32]).id(), DeviceKey::from_seed(&[2; 32]).id());
    assert_eq!((documents(&c, &a).len(), documents(&c, &b).len()), (5, 5));
    forget(&mut c, a, Spans::EMPTY);
    c.settle();
    assert_eq!((documents(&c, &a).len(), documents(&c, &b).len()), (10, 5), "not while it is gone at one of them");
    forget(&mut c, b, weeks(0, 12));
    c.settle();
    assert_eq!(documents(&c, &b), (12..20).collect::<Vec<_>>());
}

/// Two sides of a direct space. Whoever takes an entry of the control log in retires the weeks before 15.
struct Two {
    sides: [SpaceSync; 2],
    ids: [DeviceId; 2],
    disk: [BTreeMap<LogId, Vec<Arc<Entry>>>; 2],
    /// Which side asked for which document, in order.
    wants: Vec<(usize, DocumentId)>,
}

impl Two {
    fn new() -> Self {
        let ids = [1, 2].map(|n| DeviceKey::from_seed(&[n; 32]).id());
        let access = Access::Direct(ids[0].principal(), ids[1].principal());
        let sides = [(), ()].map(|()| SpaceSync::new(Replica::new(space(), access)));
        Self { sides, ids, disk: Default::default(), wants: Vec::new() }
    }

    fn write(&mut self, at: usize, document: DocumentId) {
        let e = writer(at as u8 + 1, document).write("x");
        self.sides[at].replica_mut().admit_own(&e);
        self.taken(at, None, false, &[e]);
    }

    fn taken(&mut self, at: usize, from: Option<DeviceId>, live: bool, entries: &[Arc<Entry>]) {
        for e in entries {
            self.disk[at].entry(e.header().log).or_default().push(e.clone());
        }
        self.sides[at].committed(from, live, entries);
        if entries.iter().any(|e| e.header().log.document.kind() == Kind::Control) {
            self.sides[at].set_gone(weeks(0, 15));
        }
    }

    fn meet(&mut self) {
        for at in [0, 1] {
            self.sides[at].opened(self.ids[1 - at]);
        }
        let mut wire: VecDeque<(usize, Frame)> = VecDeque::new();
        loop {
            for at in [0, 1] {
                loop {
                    let outs = self.sides[at].take();
                    if outs.is_empty() {
                        break;
                    }
                    for o in outs {
                        match o {
                            Output::Send(to, f) => {
                                if let Frame::Want { document, .. } = &f {
                                    self.wants.push((at, *document));
                                }
                                let batch = matches!(f, Frame::Entries { .. });
                                wire.push_back((1 - at, f));
                                if batch {
                                    self.sides[at].sent(to);
                                }
                            }
                            Output::Push(_, entries) => {
                                wire.push_back((1 - at, Frame::Entries { live: true, entries }))
                            }
                            Output::Commit { from, live, entries } => self.taken(at, Some(from), live, &entries),
                            Output::Read { to, log, from, .. } => {
                                let all = self.disk[at][&log][from as usize - 1..].to_vec();
                                self.sides[at].read(to, log, all);
                            }
                            Output::Durable(..) | Output::Equal(_) | Output::HeldBack(..) => {}
                            o @ (Output::Examine { .. } | Output::Forked { .. } | Output::Trace { .. }) => {
                                panic!("nothing forked here: {o:?}")
                            }
                            Output::Blame(_, why) => panic!("{why}"),
                        }
                    }
                }
            }
            let Some((to, f)) = wire.pop_front() else { return };
            self.sides[to].received(self.ids[1 - to], f);
        }
    }
}

#[test]
fn the_control_log_comes_first_and_what_it_retires_is_not_fetched() {
    for away in [0, 1] {
        let mut two = Two::new();
        let control = DocumentId::singleton(Kind::Control);
        // One side was away and wrote into old weeks; the other retired them.
        for week in 10..20 {
            two.write(away, DocumentId::chat(week, 0));
        }
        two.write(1 - away, DocumentId::chat(16, 0));
        two.write(1 - away, control);
        two.meet();
        assert_eq!(two.wants.iter().find(|(at, _)| *at == away), Some(&(away, control)));
        let wanted: Vec<_> = two.wants.iter().filter_map(|(_, d)| d.chat_week()).map(|(w, _)| w).collect();
        assert!(wanted.iter().all(|w| *w >= 15), "{wanted:?}");
        let digests = [0, 1].map(|at: usize| two.sides[at].replica_mut().digest());
        assert_eq!(digests[0], digests[1]);
        assert_eq!(two.sides[0].replica().documents().count(), 6, "the control log and five weeks");
        // Nothing more happens.
        two.wants.clear();
        two.meet();
        assert_eq!(two.wants, []);
    }
}

#[test]
fn a_control_log_that_is_offered_and_never_brought_holds_nothing_up() {
    let mut two = Two::new();
    two.write(0, DocumentId::chat(16, 0));
    let (liar, control) = (two.ids[1], DocumentId::singleton(Kind::Control));
    let s = &mut two.sides[0];
    s.opened(liar);
    let _ = s.take();
    let offer = |n: u8| Frame::Docs {
        more: false,
        ask: false,
        docs: vec![(control, [n; 32]), (DocumentId::chat(17, 0), [9; 32])],
    };
    s.received(liar, offer(1));
    assert_eq!(asked(s, liar).0, [control]);
    s.received(liar, Frame::Served(control));
    assert!(asked(s, liar).1, "then the rest is compared");
    s.received(liar, offer(1));
    let (wants, _) = asked(s, liar);
    assert!(wants.contains(&DocumentId::chat(17, 0)), "{wants:?}");
}

#[test]
fn what_is_gone_is_offered_in_vain_and_without_blame() {
    let mut s = SpaceSync::new(Replica::new(space(), Access::Commons));
    s.set_gone(weeks(0, 15));
    let peer = DeviceId([1; 32]);
    s.opened(peer);
    assert_eq!(s.take().first(), Some(&Output::Send(peer, Frame::Window(weeks(0, 15)))));
    for _ in 0..100 {
        s.received(peer, offer((0..15).map(|w| DocumentId::chat(w, 0))));
        assert_eq!(asked(&mut s, peer).0, []);
    }
    let mut w = writer(1, DocumentId::chat(3, 2));
    let entries: Vec<_> = (0..5).map(|_| w.write("from an old laptop")).collect();
    for live in [true, false] {
        s.received(peer, Frame::Entries { live, entries: entries.clone() });
    }
    let mut spoilt = (*entries[0]).clone();
    spoilt.signed.signature[0] ^= 1;
    s.received(peer, Frame::Entries { live: true, entries: vec![Arc::new(spoilt)] });
    assert_eq!(s.take(), []);
    s.received(peer, Frame::Want { document: DocumentId::chat(3, 2), logs: Vec::new() });
    assert!(matches!(s.take()[..], [_, Output::Send(_, Frame::Served(_))]));
}

#[test]
fn what_goes_while_it_is_served_or_fetched_ends_there() {
    let mut s = SpaceSync::new(Replica::new(space(), Access::Commons));
    let (peer, doc) = (DeviceId([1; 32]), DocumentId::chat(3, 0));
    let mut w = writer(1, doc);
    let run: Vec<_> = (0..4).map(|_| w.write("x")).collect();
    for e in &run {
        s.replica_mut().admit_own(e);
    }
    s.committed(None, true, &run);
    s.opened(peer);
    s.received(peer, Frame::Want { document: doc, logs: Vec::new() });
    s.received(peer, offer([DocumentId::chat(4, 0)].into_iter()));
    assert!(s.is_fetching());
    let _ = s.take();
    s.set_gone(weeks(0, 15));
    assert!(!s.is_fetching());
    // The batch that was being read for the peer is not sent.
    s.read(peer, w.log, run.clone());
    let outs = s.take();
    assert!(outs.contains(&Output::Send(peer, Frame::Served(doc))), "{outs:?}");
    assert!(!outs.iter().any(|o| matches!(o, Output::Send(_, Frame::Entries { .. }))));
    // What was on its way to the disk is neither passed on later nor counted.
    s.committed(Some(peer), false, &run);
    assert_eq!(s.replica().documents().count(), 0);
}

#[test]
fn an_entry_whose_payload_was_erased_is_not_sent() {
    let mut s = SpaceSync::new(Replica::new(space(), Access::Commons));
    let (peer, doc) = (DeviceId([1; 32]), DocumentId::chat(3, 0));
    let mut w = writer(1, doc);
    let mut run: Vec<_> = (0..4).map(|_| w.write("x")).collect();
    for e in &run {
        s.replica_mut().admit_own(e);
    }
    s.committed(None, true, &run);
    s.opened(peer);
    s.received(peer, Frame::Want { document: doc, logs: Vec::new() });
    let _ = s.take();
    run[2] = Arc::new(Entry { signed: run[2].signed.clone(), payload: None });
    s.read(peer, w.log, run.clone());
    assert!(matches!(s.take()[..], [Output::Read { from: 3, .. }]));
    s.read(peer, w.log, run[2..].to_vec());
    let sent = s.take();
    let [Output::Send(_, Frame::Entries { entries, .. }), Output::Send(_, Frame::Served(served))] = &sent[..] else {
        panic!("{sent:?}");
    };
    assert_eq!((entries.len(), *served), (2, doc));
    s.sent(peer);
    assert_eq!(s.take(), []);
}

#[test]
fn windows_have_one_encoding_and_a_liar_gains_nothing_by_one() {
    let window = Frame::Window(vec![(0, 5), (7, 9)].into());
    let bytes = window.encode();
    assert_eq!(Frame::decode(&bytes), Ok(window));
    let spans = |list: &[(u64, u64)]| {
        let mut b = vec![24];
        b.extend_from_slice(&(list.len() as u32).to_be_bytes());
        list.iter().for_each(|(x, y)| b.extend([x.to_be_bytes(), y.to_be_bytes()].concat()));
        b
    };
    let many: Vec<_> = (0..65).map(|n| (n * 10, n * 10 + 1)).collect();
    for bad in [&[(5, 5)][..], &[(0, 5), (5, 9)], &[(7, 9), (0, 5)], &[(9, 7)], &many] {
        assert!(Frame::decode(&spans(bad)).is_err(), "{bad:?}");
    }
    let mut s = SpaceSync::new(Replica::new(space(), Access::Commons));
    let (liar, honest) = (DeviceId([1; 32]), DeviceId([2; 32]));
    s.opened(liar);
    s.opened(honest);
    let mut w = writer(3, DocumentId::chat(30, 0));
    let e = w.write("x");
    s.received(liar, Frame::Window(Spans::one(0, u64::MAX)));
    s.received(liar, Frame::Entries { live: true, entries: vec![e.clone()] });
    s.committed(Some(liar), true, &[e]);
    let _ = s.take();
    s.compare_all();
    let digest = s.replica_mut().digest();
    assert!(s.take().contains(&Output::Send(honest, Frame::Digest(digest))), "others are told all");
}
