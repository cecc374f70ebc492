//! Times of several engines that do the same in turn.

use rustix::time::{ClockId, clock_gettime};

/// How long to measure.
#[derive(Clone, Copy)]
pub(crate) struct Effort {
    /// Rounds in which every engine has its turn.
    pub(crate) rounds: usize,
    /// Seconds for one case after which there are no more rounds; three there are at least.
    pub(crate) patience: f64,
}

/// Turns shorter than this, in seconds, are repeated: wide vector units take a while to wake up.
const SHORTEST: f64 = 0.001;

/// What a clock of some kind says, in seconds.
pub(crate) type Clock = fn() -> f64;

/// This thread's own time, which other processes disturb little.
pub(crate) fn thread_time() -> f64 {
    time(ClockId::ThreadCPUTime)
}

/// For what several threads do together.
pub(crate) fn wall_time() -> f64 {
    time(ClockId::Monotonic)
}

fn time(clock: ClockId) -> f64 {
    let now = clock_gettime(clock);
    now.tv_sec as f64 + now.tv_nsec as f64 * 1e-9
}

/// Seconds of each engine in each round.
pub(crate) fn in_turn(
    engines: &mut [&mut dyn FnMut()],
    effort: Effort,
    clock: Clock,
) -> Vec<Vec<f64>> {
    let mut times = vec![Vec::new(); engines.len()];
    let begin = wall_time();
    for round in 0..effort.rounds {
        if round >= 3 && wall_time() - begin > effort.patience {
            break;
        }
        for (engine, times) in engines.iter_mut().zip(&mut times) {
            times.push(seconds(engine, clock));
        }
    }
    times
}

fn seconds(work: &mut dyn FnMut(), clock: Clock) -> f64 {
    // Not timed: the caches fill, and the vector units wake up.
    work();
    let start = clock();
    let mut runs = 0;
    loop {
        work();
        runs += 1;
        let elapsed = clock() - start;
        if elapsed > SHORTEST {
            return elapsed / f64::from(runs);
        }
    }
}

/// The middle of some values, and half the distance between their quartiles.
pub(crate) struct Middle {
    pub(crate) median: f64,
    pub(crate) spread: f64,
}

impl Middle {
    pub(crate) fn of(values: &[f64]) -> Self {
        let mut values = values.to_vec();
        values.sort_by(f64::total_cmp);
        let at = |part: usize| values[(values.len() - 1) * part / 4];
        Self {
            median: at(2),
            spread: (at(3) - at(1)) / 2.0,
        }
    }

    /// How many times faster than `theirs` these times are, round by round.
    pub(crate) fn ratio(theirs: &[f64], ours: &[f64]) -> Self {
        let pairs = theirs.iter().zip(ours);
        Self::of(
            &pairs
                .map(|(theirs, ours)| theirs / ours)
                .collect::<Vec<_>>(),
        )
    }
}

/// As a cell of a table: `14.1× ±2%`.
impl std::fmt::Display for Middle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let percent = 100.0 * self.spread / self.median;
        write!(f, "{:.2}× ±{percent:.0}%", self.median)
    }
}
