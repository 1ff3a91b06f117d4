//! Random documents through the guard: no honest change is refused, and no hostile one that passes harms a document.
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

fn honest(seeds: std::ops::Range<u64>) {
    let (mut changes, count) = (0, seeds.end - seeds.start);
    for seed in seeds {
        changes += crate::world::honest(&mut ChaCha8Rng::seed_from_u64(seed), 120, 4);
    }
    assert!(changes as u64 > 50 * count, "only {changes} changes were made");
}

#[test]
fn honest_changes_are_never_refused() {
    honest(0..4);
}

// `.ci/run` takes these too.
#[test]
#[ignore = "a quarter of a minute; `.ci/run` takes it"]
fn more_honest_changes_are_never_refused() {
    honest(4..40);
}

#[test]
fn hostile_changes_that_pass_harm_nothing() {
    let (mut tried, mut passed) = (0, 0);
    for seed in 0..40 {
        let (t, p) = crate::world::hostile(&mut ChaCha8Rng::seed_from_u64(seed), 60, 12);
        tried += t;
        passed += p;
    }
    assert!(tried > 2_500 && passed > 60 && passed < tried / 2, "{tried} tried, {passed} passed");
}
