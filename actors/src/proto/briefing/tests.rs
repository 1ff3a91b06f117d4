//! Reunions on a clock that is a number.

use super::*;

const START: u64 = 1_795_248_000_000;
const ROOM: SpaceId = SpaceId([7; 32]);
const HOUR: u64 = 3_600;

fn device(n: u8) -> DeviceId {
    DeviceId([n; 32])
}

/// `s` seconds after the start, both clocks alike.
fn at(s: u64) -> Now {
    Now { ms: START + s * 1_000, mono: Duration::from_secs(s) }
}

fn coming(n: u8, heard: u64) -> Coming {
    let heard = START + heard * 1_000;
    Coming { peer: device(n), heard: Some(heard), gap: None, shares: true }
}

fn fresh() -> Briefer {
    Briefer::new(device(0), at(0), None, &[]).0
}

fn devices(all: &[u8]) -> BTreeSet<DeviceId> {
    all.iter().map(|n| device(*n)).collect()
}

fn said(author: u8, from: u8, ms: u64) -> Tally {
    Tally::one(ROOM, device(author), device(from), Hlc::from_ms(ms), true)
}

/// What is told at a moment; what is only kept is left out.
fn tick(b: &mut Briefer, now: Now) -> Vec<Reunion> {
    b.tick(now).into_iter().filter(|r| r.told).collect()
}

/// Runs the clock second by second; answers all that was told.
fn run(b: &mut Briefer, seconds: std::ops::Range<u64>) -> Vec<Reunion> {
    seconds.flat_map(|s| tick(b, at(s))).collect()
}

fn counts(r: &Reunion) -> Vec<Vec<(u8, u64)>> {
    r.wrote().iter().map(|side| side.iter().map(|t| (t.author.0[0], t.messages)).collect()).collect()
}

#[test]
fn a_flap_is_no_reunion() {
    let mut b = fresh();
    assert_eq!(b.back(&coming(1, 100), &devices(&[2]), at(100 + BRIEFING_APART.as_secs() - 1)), None);
    b.arrived(&said(1, 1, START), at(130));
    assert!(run(&mut b, 130..600).is_empty());
    let mut new = coming(3, 0);
    new.heard = None;
    assert_eq!(b.back(&new, &devices(&[]), at(700)), None, "nor is somebody new");
    let stranger = Coming { shares: false, ..coming(4, 0) };
    assert_eq!(b.back(&stranger, &devices(&[]), at(2 * HOUR)), None, "nor somebody who shares nothing");
}

#[test]
fn a_side_that_comes_back_is_told_once_grows_and_settles() {
    let mut b = fresh();
    // Heard last within two seconds of each other, back over four seconds.
    let began = b.back(&coming(1, 10), &devices(&[4, 5]), at(HOUR)).unwrap();
    assert_eq!((began.began, began.since), (START + HOUR * 1_000, START + 10_000));
    b.shares(device(1), [ROOM]);
    b.arrived(&said(1, 1, START + 60_000), at(HOUR + 1));
    // What the third wrote comes through the first, before the third is here.
    b.arrived(&said(3, 1, START + 50_000), at(HOUR + 1));
    assert!(tick(&mut b, at(HOUR)).is_empty(), "the others most likely come too");
    assert!(b.back(&coming(2, 11), &devices(&[4, 5]), at(HOUR + 2)).is_none());
    assert!(b.back(&coming(3, 12), &devices(&[4, 5]), at(HOUR + 4)).is_none());
    b.shares(device(2), [ROOM]);
    b.shares(device(3), [ROOM]);
    b.ours(1, vec![said(4, 0, START + 70_000)]);
    let first = run(&mut b, HOUR + 5..HOUR + 8);
    assert_eq!(first.len(), 1, "told once until it changes");
    assert_eq!(first[0].sides(), [vec![device(1), device(2), device(3)]]);
    assert_eq!((first[0].cause(), first[0].settled, first[0].lacking.len()), (Cause::Partition, false, 3));
    b.arrived(&said(1, 2, START + 90_000), at(HOUR + 9));
    (1..=3).for_each(|n| b.equal(device(n), ROOM));
    let rest = run(&mut b, HOUR + 9..HOUR + 60);
    assert_eq!(rest.iter().filter(|r| r.settled).count(), 1);
    let last = rest.last().unwrap();
    assert!(last.settled && last.lacking.is_empty() && last.id == 1);
    assert_eq!(counts(last), [vec![(1, 2), (3, 1)]]);
    let tally = last.theirs[0];
    assert_eq!((tally.first, tally.last), (Hlc::from_ms(START + 60_000), Hlc::from_ms(START + 90_000)));
    assert_eq!(last.ours.len(), 1);
    // It is over: what comes now belongs to nothing.
    b.arrived(&said(1, 1, START), at(HOUR + 70));
    assert!(run(&mut b, HOUR + 70..HOUR + 100).is_empty());
}

#[test]
fn a_short_absence_in_which_nothing_was_written_is_not_worth_a_word_and_a_long_one_is() {
    for (gone, told) in [(BRIEFING_QUIET.as_secs() - 1, 0), (BRIEFING_QUIET.as_secs(), 1)] {
        let mut b = fresh();
        b.back(&coming(1, 10), &devices(&[2]), at(10 + gone)).unwrap();
        b.shares(device(1), [ROOM]);
        b.equal(device(1), ROOM);
        b.ours(1, vec![said(2, 0, START + 20_000)]);
        let all = run(&mut b, 10 + gone..gone + 400);
        let ids: BTreeSet<_> = all.iter().map(|r| r.id).collect();
        assert_eq!(ids.len(), told);
        assert!(all.iter().all(|r| r.cause() == Cause::Absence));
        assert!(!b.counts(), "it is over either way");
    }
}

#[test]
fn two_who_return_one_after_the_other_are_two_reunions() {
    let mut b = fresh();
    b.back(&coming(1, 10), &devices(&[3]), at(HOUR)).unwrap();
    b.arrived(&said(1, 1, START), at(HOUR + 1));
    let mut told = run(&mut b, HOUR..HOUR + 30);
    b.back(&coming(2, 10), &devices(&[1, 3]), at(HOUR + 30)).unwrap();
    b.arrived(&said(2, 2, START), at(HOUR + 31));
    told.extend(run(&mut b, HOUR + 31..HOUR + 60));
    let last: Vec<_> = told.iter().filter(|r| r.settled).collect();
    assert_eq!(
        last.iter().map(|r| (r.id, counts(r))).collect::<Vec<_>>(),
        [(1, vec![vec![(1, 1)]]), (2, vec![vec![(2, 1)]])]
    );
    assert_eq!(last[1].here, devices(&[1, 3]));
}

#[test]
fn who_was_lost_at_different_times_is_another_side() {
    let mut b = fresh();
    b.back(&coming(1, 10), &devices(&[]), at(HOUR)).unwrap();
    let again = b.back(&coming(2, 12), &devices(&[1]), at(HOUR + 1));
    assert!(again.is_none(), "nothing earlier to count");
    let again = b.back(&coming(3, 5), &devices(&[1]), at(HOUR + 1)).unwrap();
    assert_eq!(again.since, START + 5_000, "a little earlier: counted anew from there");
    b.back(&coming(4, 1_800), &devices(&[1, 2]), at(HOUR + 2));
    let new = Coming { heard: None, ..coming(5, 0) };
    b.back(&new, &devices(&[1, 2]), at(HOUR + 3));
    b.arrived(&said(4, 4, START), at(HOUR + 4));
    let told = run(&mut b, HOUR + 5..HOUR + 30);
    let last = told.last().unwrap();
    let sides: Vec<Vec<u8>> = last.sides().iter().map(|s| s.iter().map(|d| d.0[0]).collect()).collect();
    assert_eq!(sides, [vec![3, 1, 2, 5], vec![4]], "one who was never met came with the most");
    assert_eq!(counts(last), [vec![], vec![(4, 1)]]);
}

#[test]
fn a_sleep_makes_one_side_of_all_others() {
    let mut b = fresh();
    tick(&mut b, at(60));
    // The clock on the wall goes on while the machine sleeps, the other one stands still.
    let woke = |s: u64| Now { ms: START + (86_400 + s) * 1_000, mono: Duration::from_secs(s) };
    tick(&mut b, woke(61));
    let stale = devices(&[1, 2, 9]);
    b.back(&coming(1, 60), &stale, woke(62)).unwrap();
    b.gone(&device(9), woke(63));
    b.back(&coming(2, 59), &stale, woke(63));
    b.back(&coming(3, 20_000), &stale, woke(64));
    let told: Vec<Reunion> = (64..90).flat_map(|s| tick(&mut b, woke(s))).collect();
    let last = told.last().unwrap();
    assert_eq!((last.cause(), last.sides().len()), (Cause::OwnAbsence, 1));
    assert!(last.here.is_empty(), "whose session only seemed to be open was not here");
}

#[test]
fn a_node_that_was_off_knows_it_and_one_that_was_restarted_has_not_been_away() {
    let alive = |ago: u64| Some(START - ago * 1_000);
    let (mut b, _) = Briefer::new(device(0), at(0), alive(HOUR), &[]);
    let heard = Coming { heard: alive(HOUR), ..coming(1, 0) };
    b.back(&heard, &devices(&[]), at(5)).unwrap();
    let told = run(&mut b, 5..30);
    assert_eq!(told.last().unwrap().cause(), Cause::OwnAbsence);
    // A minute is as fine as the store knows it.
    let (mut b, _) = Briefer::new(device(0), at(0), alive(100), &[]);
    let heard = Coming { heard: alive(100), ..coming(1, 0) };
    assert_eq!(b.back(&heard, &devices(&[]), at(5)), None);
}

#[test]
fn a_clock_that_was_set_back_hides_no_absence() {
    let mut b = fresh();
    let now = Now { ms: START - 5_000, mono: Duration::from_secs(HOUR) };
    let away = Coming { gap: Some(Duration::from_secs(1_000)), ..coming(1, 10) };
    assert!(b.back(&away, &devices(&[]), now).is_some());
}

#[test]
fn what_is_carried_counts_for_who_brought_it_and_what_was_here_does_not() {
    let mut b = fresh();
    b.back(&coming(1, 10), &devices(&[3]), at(HOUR)).unwrap();
    b.back(&coming(2, 2_000), &devices(&[3]), at(HOUR));
    for (author, from) in [(8, 2), (8, 2), (0, 1), (3, 1), (9, 3), (1, 3)] {
        b.arrived(&said(author, from, START), at(HOUR + 1));
    }
    b.void(ROOM, &device(8));
    let told = run(&mut b, HOUR + 2..HOUR + 30);
    let mut all = counts(told.last().unwrap());
    all[0].sort_unstable();
    assert_eq!(all, [vec![(1, 1), (9, 1)], vec![(8, 1)]], "not our own, not of who was here");
}

#[test]
fn what_one_here_heard_a_moment_before_its_author_came_is_its_authors() {
    let mut b = fresh();
    b.back(&coming(1, 10), &devices(&[3]), at(HOUR)).unwrap();
    assert!(run(&mut b, HOUR..HOUR + 14).last().unwrap().settled);
    b.arrived(&said(2, 3, START), at(HOUR + 15));
    // The second one meets the third, who was here all the time, before it meets us.
    b.arrived(&said(4, 3, START), at(2 * HOUR - 9));
    b.arrived(&said(2, 3, START), at(2 * HOUR - 1));
    b.arrived(&said(3, 3, START), at(2 * HOUR - 1));
    let opened = b.back(&coming(2, 2_000), &devices(&[1, 3]), at(2 * HOUR)).unwrap();
    assert_eq!(opened.theirs.len(), 2, "not what came long before, nor what was written here");
    let last = run(&mut b, 2 * HOUR..2 * HOUR + 30).pop().unwrap();
    assert_eq!(counts(&last), [vec![(2, 1), (4, 1)]]);
}

#[test]
fn what_never_becomes_equal_is_named_when_time_is_up() {
    let mut b = fresh();
    b.back(&coming(1, 10), &devices(&[]), at(HOUR)).unwrap();
    b.shares(device(1), [ROOM, SpaceId([8; 32])]);
    b.equal(device(1), ROOM);
    let end = HOUR + BRIEFING_SETTLE.as_secs();
    let told = run(&mut b, HOUR..end);
    assert!(!told.is_empty() && told.iter().all(|r| !r.settled));
    let told = run(&mut b, end..end + 5);
    assert_eq!((told.len(), told[0].settled), (1, true));
    assert_eq!(told[0].lacking, [Lacking { space: SpaceId([8; 32]), from: device(1), entries: None, owed: None }]);
}

#[test]
fn who_goes_again_is_not_waited_for() {
    let mut b = fresh();
    b.back(&coming(1, 10), &devices(&[]), at(HOUR)).unwrap();
    b.shares(device(1), [ROOM]);
    b.gone(&device(1), at(HOUR + 2));
    let told = run(&mut b, HOUR + 2..HOUR + 20);
    assert!(told.last().unwrap().settled);
}

#[test]
fn a_restart_goes_on_with_what_was_growing_and_ends_what_is_old() {
    let mut b = fresh();
    b.back(&coming(1, 10), &devices(&[2]), at(HOUR)).unwrap();
    b.shares(device(1), [ROOM]);
    b.arrived(&said(1, 1, START), at(HOUR + 1));
    let kept = run(&mut b, HOUR + 2..HOUR + 4).pop().unwrap();
    assert!(!kept.settled);
    let text = serde_json::to_string(&kept).unwrap();
    assert_eq!(serde_json::from_str::<Reunion>(&text).unwrap(), kept);
    let start = |s: u64| Now { ms: START + s * 1_000, mono: Duration::ZERO };
    let (mut b, settled) = Briefer::new(device(0), start(HOUR + 5), None, std::slice::from_ref(&kept));
    assert!(settled.is_empty());
    let again = b.back(&coming(1, HOUR + 4), &devices(&[2]), start(HOUR + 6));
    assert_eq!(again, None, "it is in it already");
    b.arrived(&said(1, 1, START), start(HOUR + 6));
    b.equal(device(1), ROOM);
    let after = |s: u64| Now { ms: START + (HOUR + 5 + s) * 1_000, mono: Duration::from_secs(s) };
    let told: Vec<Reunion> = (2..30).flat_map(|s| tick(&mut b, after(s))).collect();
    let last = told.last().unwrap();
    assert_eq!((last.id, last.settled, counts(last)), (kept.id, true, vec![vec![(1, 2)]]));
    let (mut b, settled) = Briefer::new(device(0), start(2 * HOUR), None, std::slice::from_ref(&kept));
    assert_eq!(settled, [Reunion { settled: true, ..kept.clone() }]);
    let next = b.back(&coming(1, HOUR), &devices(&[]), start(2 * HOUR)).unwrap();
    assert_eq!(next.id, kept.id + 1);
}

#[test]
fn a_crash_before_the_first_word_forgets_nobodys_return() {
    let mut b = fresh();
    b.back(&coming(1, 10), &devices(&[2]), at(HOUR)).unwrap();
    let kept = b.tick(at(HOUR)).pop().unwrap();
    assert!(!kept.told && !kept.settled, "kept at once, told later");
    let start = |s: u64| Now { ms: START + s * 1_000, mono: Duration::ZERO };
    let (mut b, _) = Briefer::new(device(0), start(HOUR + 2), None, std::slice::from_ref(&kept));
    assert_eq!(b.growing().map(|r| r.id).collect::<Vec<_>>(), [kept.id]);
    // Three of its messages had become durable, of which the record knows nothing.
    let three = (0..3).map(|n| said(1, 1, START + n)).reduce(|mut all, t| {
        all.add(&t);
        all
    });
    b.recounted(kept.id, three.into_iter().collect());
    b.recounted(kept.id, vec![said(1, 1, START + 1)]);
    b.arrived(&said(1, 1, START + 9), start(HOUR + 3));
    let after = |s: u64| Now { ms: START + (HOUR + 2 + s) * 1_000, mono: Duration::from_secs(s) };
    let last = (1..30).flat_map(|s| tick(&mut b, after(s))).last().unwrap();
    assert_eq!((last.id, last.settled, counts(&last)), (kept.id, true, vec![vec![(1, 4)]]));
    // Where it was long ago, it is settled as it was: worth a word for the length of the absence.
    let (_, settled) = Briefer::new(device(0), start(3 * HOUR), None, std::slice::from_ref(&kept));
    assert!(settled[0].told && settled[0].settled);
}

#[test]
fn a_record_stays_bounded_whoever_writes() {
    let mut b = fresh();
    b.back(&coming(1, 10), &devices(&[]), at(HOUR)).unwrap();
    let extra = 50;
    for n in 0..BRIEFING_AUTHORS as u64 + extra {
        let mut id = [9; 32];
        id[..8].copy_from_slice(&n.to_be_bytes());
        b.arrived(&Tally::one(ROOM, DeviceId(id), device(1), Hlc(1), true), at(HOUR + 1));
    }
    let told = run(&mut b, HOUR + 2..HOUR + 30);
    let last = told.last().unwrap();
    assert_eq!((last.theirs.len(), last.others), (BRIEFING_AUTHORS, extra));
    for n in 0..BRIEFING_OPEN as u8 + 4 {
        b.back(&coming(n + 2, 10), &devices(&[]), at(2 * HOUR + u64::from(n) * 100));
    }
    assert_eq!(b.open.len(), BRIEFING_OPEN);
}

#[test]
fn whatever_happens_each_reunion_is_told_in_order_and_ends_once() {
    use rand::{RngExt, SeedableRng};
    for seed in 0..200 {
        let mut rng = rand_chacha::ChaCha20Rng::seed_from_u64(seed);
        let mut b = fresh();
        let mut told: BTreeMap<u64, Vec<Reunion>> = BTreeMap::new();
        let (mut arrived, mut now) = (0u64, 100u64);
        while now < 20_000 {
            now += rng.random_range(0..40);
            let n = rng.random_range(1..8u8);
            match rng.random_range(0..6) {
                0 => drop(b.back(&coming(n, rng.random_range(0..now)), &devices(&[n, 7]), at(now))),
                1 => b.shares(device(n), [ROOM]),
                2 => b.equal(device(n), ROOM),
                3 => b.gone(&device(n), at(now)),
                _ if b.counts() => {
                    b.arrived(&said(n, rng.random_range(1..8), START + now), at(now));
                    arrived += 1;
                }
                _ => {}
            }
            for r in tick(&mut b, at(now)) {
                told.entry(r.id).or_default().push(r);
            }
        }
        for s in now..now + BRIEFING_SETTLE.as_secs() + 5 {
            for r in tick(&mut b, at(s)) {
                told.entry(r.id).or_default().push(r);
            }
        }
        assert!(!b.counts(), "seed {seed}: all end");
        let mut counted = 0;
        for (id, all) in &told {
            assert!(all.iter().rev().skip(1).all(|r| !r.settled) && all.last().unwrap().settled, "seed {seed} {id}");
            let sums: Vec<u64> = all.iter().map(|r| r.theirs.iter().map(|t| t.messages).sum()).collect();
            assert!(sums.is_sorted(), "seed {seed}: counts only grow");
            counted += sums.last().unwrap();
            let last = all.last().unwrap();
            let sided: usize = last.sides().iter().map(Vec::len).sum();
            assert_eq!(sided, last.back.len(), "seed {seed}: everybody is on one side");
            assert!(last.back.keys().all(|d| !last.here.contains(d)));
        }
        assert!(counted <= arrived, "seed {seed}: nothing is counted twice");
    }
}
