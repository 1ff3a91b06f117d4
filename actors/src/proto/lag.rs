//! How late this node does what it meant to do: on a machine without a moment to spare it hears others late and must not
//! blame them for it (as in Lifeguard: Dadgar, Phillips and Currey, 2018). Pure.

use std::time::Duration;

/// A clock tick is expected every so often.
pub const EVERY: Duration = Duration::from_millis(100);
/// No lag counts for more: a machine that slept is soon as quick as before.
const MOST: Duration = Duration::from_secs(5);

/// What ticks show.
#[derive(Debug, Clone, Copy, Default)]
pub struct Lag {
    last: Option<Duration>,
    lag: Duration,
}

impl Lag {
    /// A tick that the clock gave at `given` is looked at now. Says how late things are done here: the worst of late,
    /// which a tenth of fades with each tick.
    pub fn tick(&mut self, given: Duration, now: Duration) -> Duration {
        let gap = self.last.map_or(Duration::ZERO, |last| given.saturating_sub(last).saturating_sub(EVERY));
        self.last = Some(given);
        let late = now.saturating_sub(given).max(gap).min(MOST);
        self.lag = late.max(self.lag * 9 / 10);
        self.lag
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_ticks_and_late_looks_are_lag_which_fades() {
        let mut lag = Lag::default();
        let ms = Duration::from_millis;
        assert_eq!(lag.tick(ms(1_000), ms(1_000)), ms(0));
        assert_eq!(lag.tick(ms(1_100), ms(1_100)), ms(0));
        assert_eq!(lag.tick(ms(1_200), ms(2_000)), ms(800), "it lay for long");
        assert_eq!(lag.tick(ms(1_300), ms(2_000)), ms(720));
        assert_eq!(lag.tick(ms(3_000), ms(3_000)), ms(1_600), "the clock itself came late");
        assert_eq!(lag.tick(ms(90_000), ms(90_000)), MOST, "it slept");
        let last = (1..=50).map(|n| lag.tick(ms(90_000 + n * 100), ms(90_000 + n * 100))).last();
        assert!(last.unwrap() < ms(50));
    }
}
