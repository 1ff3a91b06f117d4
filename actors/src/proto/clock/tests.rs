//! Clocks that are years off, drift, are set and lie.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;

const NOW: u64 = 1_795_248_000_000;
const HOUR: i64 = 3_600_000;
const YEAR: i64 = 365 * 24 * HOUR;
const S: Duration = Duration::from_secs(1);

fn id(n: usize) -> DeviceId {
    DeviceId([n as u8; 32])
}

/// Machines that hear each other once a second. Each has an offset from true time in milliseconds and a drift in parts
/// per million.
struct Room {
    all: Vec<(i64, i64, MeshTime)>,
    t: Duration,
    rng: ChaCha8Rng,
}

impl Room {
    fn new(clocks: &[(i64, i64)]) -> Self {
        let all = clocks.iter().map(|(o, d)| (*o, *d, MeshTime::default())).collect();
        Self { all, t: Duration::ZERO, rng: ChaCha8Rng::seed_from_u64(5) }
    }

    fn truth(&self) -> u64 {
        NOW + self.t.as_millis() as u64
    }

    fn reading(&self, i: usize) -> Reading {
        let (offset, ppm, _) = &self.all[i];
        let wall = self.truth().saturating_add_signed(offset + self.t.as_millis() as i64 * ppm / 1_000_000);
        Reading { mono: self.t, wall }
    }

    fn second(&mut self) {
        self.t += S;
        for i in 0..self.all.len() {
            for j in (0..self.all.len()).filter(|j| *j != i) {
                let one_way = Duration::from_millis(self.rng.random_range(0..40));
                let heard_at = self.reading(i);
                let sent = self.reading(j).wall - one_way.as_millis() as u64;
                self.all[i].2.heard(id(j), sent, one_way * 2, true, heard_at);
            }
        }
        for i in 0..self.all.len() {
            let now = self.reading(i);
            self.all[i].2.tick(now);
        }
    }

    /// Mesh time of a machine minus true time.
    fn error(&self, i: usize) -> i64 {
        minus(self.reading(i).wall.saturating_add_signed(self.all[i].2.offset()), self.truth())
    }
}

#[test]
fn clocks_wrong_by_years_agree_within_seconds_and_stay_together_as_they_drift() {
    let mut room = Room::new(&[(300, 80), (-10 * YEAR / 24, -200), (10 * YEAR, 120), (-200, 0), (8 * HOUR, -90)]);
    room.second();
    room.second();
    for hour in 0..3 {
        for i in 0..5 {
            let error = room.error(i);
            assert!(error.abs() < 1_500, "hour {hour}: machine {i} is {error} ms off");
        }
        for _ in 0..3600 {
            room.second();
        }
    }
    let errors: Vec<_> = (0..5).map(|i| room.error(i)).collect();
    let spread = errors.iter().max().unwrap() - errors.iter().min().unwrap();
    assert!(spread < 100, "{errors:?}");
}

#[test]
fn liars_who_are_fewer_than_half_move_nobody_beyond_the_honest_clocks() {
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    for round in 0..300 {
        let honest = rng.random_range(2..9usize);
        let liars = rng.random_range(0..honest);
        let offsets: Vec<i64> = (0..honest).map(|_| rng.random_range(-5_000..5_000)).collect();
        let (low, high) = (*offsets.iter().min().unwrap(), *offsets.iter().max().unwrap());
        let mut me = MeshTime::default();
        let now = Reading { mono: S, wall: NOW.saturating_add_signed(offsets[0]) };
        for (j, o) in offsets.iter().enumerate().skip(1) {
            me.heard(id(j), NOW.saturating_add_signed(*o), Duration::ZERO, true, now);
        }
        for l in 0..liars {
            let shift = rng.random_range(0..40);
            let lie = rng.random_range(0..u64::MAX >> shift);
            me.heard(id(100 + l), lie, Duration::ZERO, true, now);
        }
        me.tick(now);
        let mesh = minus(now.wall.saturating_add_signed(me.offset()), NOW);
        assert!((low..=high).contains(&mesh), "round {round}: {mesh} not in {low}..={high}");
    }
}

#[test]
fn who_has_no_vote_moves_nothing() {
    let mut me = MeshTime::default();
    let now = Reading { mono: S, wall: NOW };
    for j in 1..6 {
        me.heard(id(j), NOW + 3_600_000, Duration::ZERO, false, now);
    }
    assert_eq!((me.tick(now), me.votes(now)), (0, 0));
    me.heard(id(6), NOW + 3_600_000, Duration::from_secs(5), true, now);
    assert_eq!(me.votes(now), 0, "a round trip of five seconds says too little");
}

#[test]
fn a_dead_battery_has_no_vote_and_follows_a_single_other() {
    let mut room = Room::new(&[(-(NOW as i64), 0), (0, 0)]);
    room.second();
    room.second();
    assert!(room.error(0).abs() < 100, "{}", room.error(0));
    assert_eq!(room.error(1), 0);
    let mut alone = MeshTime::default();
    assert_eq!(alone.tick(Reading { mono: S, wall: 5 }), 0, "alone it can only believe itself");
}

#[test]
fn where_all_batteries_were_dead_all_follow_the_latest_clock() {
    // NOW is ten months after what a clock must show to have a vote. Machine 3 is from the year 2301.
    let mut room = Room::new(&[(-8 * YEAR, 40), (-2 * YEAR, -40), (-4 * YEAR, 0), (275 * YEAR, 0)]);
    (0..60).for_each(|_| room.second());
    for i in 0..4 {
        assert!((room.error(i) + 2 * YEAR).abs() < 500, "{i}: {}", room.error(i));
        assert_eq!(room.all[i].2.votes(room.reading(i)), 0);
    }
    // One comes whose clock is right.
    room.all.push((0, 0, MeshTime::default()));
    (0..60).for_each(|_| room.second());
    assert!((0..5).all(|i| room.error(i).abs() < 500));
}

#[test]
fn two_alone_agree_on_the_earlier_clock() {
    let mut room = Room::new(&[(8 * HOUR, 0), (0, 0)]);
    for _ in 0..3 {
        room.second();
    }
    assert!(room.error(0).abs() < 100 && room.error(1).abs() < 100);
}

#[test]
fn small_errors_are_slewed_and_never_step_back() {
    let mut me = MeshTime::default();
    let reading = |s: u32| Reading { mono: S * s, wall: NOW + u64::from(s) * 1000 };
    me.tick(reading(0));
    let mut last = reading(0).wall;
    for s in 1..3_000 {
        let now = reading(s);
        me.heard(id(1), now.wall - 100_000, Duration::ZERO, true, now);
        me.heard(id(2), now.wall - 100_000, Duration::ZERO, true, now);
        let mesh = now.wall.saturating_add_signed(me.tick(now));
        let gained = mesh - last;
        assert!((937..=1_000).contains(&gained), "{gained} ms in second {s}");
        last = mesh;
    }
    assert_eq!(me.offset(), -100_000, "100 s are made good within 1,600 s");
}

#[test]
fn after_sleep_nothing_is_forgotten_and_a_clock_that_was_set_starts_over() {
    let wrong = |s: u64| Reading { mono: S * s as u32, wall: NOW + s * 1_000 - 8 * HOUR as u64 };
    let mut me = MeshTime::default();
    me.tick(wrong(1));
    for s in 2..6 {
        for peer in 1..4 {
            me.heard(id(peer), NOW + s * 1_000, Duration::ZERO, true, wrong(s));
        }
        me.tick(wrong(s));
    }
    assert_eq!(me.offset(), 8 * HOUR);
    // Three hours of sleep: the clock goes on, the time since the start does not.
    let slept = Reading { mono: S * 7, wall: wrong(7).wall + 3 * HOUR as u64 };
    assert_eq!(me.tick(slept), 8 * HOUR);
    // Its person puts it right: just what was wrong is made good.
    let set = Reading { mono: S * 8, wall: slept.wall + 1_000 + 8 * HOUR as u64 };
    assert_eq!(me.tick(set), 0, "mesh time went on by one second");
    assert_eq!(me.votes(set), 0);
    // Set back by an hour, alone: what it says now is all there is.
    let back = Reading { mono: S * 9, wall: set.wall + 1_000 - HOUR as u64 };
    assert_eq!(me.tick(back), 0);
    for peer in 1..4 {
        me.heard(id(peer), set.wall + 1_000, Duration::ZERO, true, back);
    }
    assert_eq!(me.tick(back), HOUR);
}

#[test]
fn the_shortest_round_trip_counts() {
    let mut me = MeshTime::default();
    let now = Reading { mono: S, wall: NOW };
    for (clock, ms) in [(NOW + 900, 1_900), (NOW + 8, 20), (NOW + 700, 1_500)] {
        me.heard(id(1), clock, Duration::from_millis(ms), true, now);
    }
    assert_eq!(me.offset_of(&id(1)), Some(18));
    // Its clock was set: nothing measured before counts.
    me.heard(id(1), NOW + 60_000, Duration::from_millis(300), true, now);
    assert_eq!(me.offset_of(&id(1)), Some(60_150));
}

#[test]
fn those_who_went_keep_their_vote_for_a_day_and_memory_is_bounded() {
    let mut me = MeshTime::default();
    let now = Reading { mono: S, wall: NOW };
    me.heard(id(1), NOW + 1, Duration::ZERO, true, now);
    let later = |s: u32| Reading { mono: S * s, wall: NOW + u64::from(s) * 1_000 };
    assert_eq!((me.votes(later(86_400)), me.votes(later(86_402))), (1, 0));
    for i in 0..3_000u32 {
        let mut device = [0; 32];
        device[..4].copy_from_slice(&i.to_be_bytes());
        me.heard(DeviceId(device), NOW, Duration::ZERO, true, later(i));
    }
    assert!(me.peers.len() <= MAX_PEERS);
}

#[test]
fn heartbeats_measure_their_round_trip() {
    let (mut a, mut b) = (Echoes::default(), Echoes::default());
    let ms = Duration::from_millis;
    let one = a.beat(ms(1_000));
    assert_eq!(a.echo(&id(2), ms(1_000)), None);
    assert_eq!(b.heard(id(1), one, None, ms(53)), None);
    let two = b.beat(ms(500));
    let echo = b.echo(&id(1), ms(500));
    assert_eq!(echo, Some((one, 447)));
    assert_eq!(a.heard(id(2), two, echo, ms(1_550)), Some(ms(103)));
    assert_eq!(a.heard(id(2), two, Some((one, 600)), ms(1_550)), None, "held longer than it was away");
    assert_eq!(a.heard(id(2), two, Some((77, 1)), ms(1_550)), None, "never sent");
    b.gone(&id(1));
    assert_eq!(b.echo(&id(1), ms(501)), None);
}

#[test]
fn a_wrong_clock_is_said_in_words() {
    assert_eq!(sentence(120_000), None);
    for (offset, words) in
        [(-121_000, "2 minutes ahead of"), (8 * HOUR, "8 hours behind"), (-10 * YEAR, "9 years ahead")]
    {
        let said = sentence(offset).unwrap();
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn skew_is_told_in_words() {
    let (minute, year) = (60_000, 525_960 * 60_000);
    assert_eq!(words(2 * minute), None, "so much may be a slow link");
    assert_eq!(words(9 * year).as_deref(), Some("9 years ahead"));
    assert_eq!(words(-3 * minute).as_deref(), Some("3 minutes behind"));
    assert_eq!(own(-999), None);
    assert_eq!(own(2_149).as_deref(), Some("2.1 s behind the others here, corrected"));
    assert_eq!(own(-2 * 60 * minute).as_deref(), Some("2 hours ahead of the others here, corrected"));
    assert_eq!((words(i64::MIN).is_some(), own(i64::MIN).is_some()), (true, true));
}
