//! One thread or all: a choice by time, for work that repeats.
//!
//! What threads gain depends on the work and on where the system puts them. Cores that share no
//! cache can take several times as long as one alone where parts take microseconds, and neither
//! can be asked for; so a little of the work tries both.

use std::time::Duration;

/// Calls that each way is tried for.
const TRIES: u32 = 4;

/// Calls between tries that take the better way: at first, and twice as many each time that tries
/// agree with those before, up to a most.
const FIRST: u32 = 60;
const MOST: u32 = 960;

/// Kinds of work that are told apart at a time.
const KINDS: usize = 64;

/// What is known of each kind of work.
pub(super) struct Choices([Choice; KINDS]);

#[derive(Clone, Copy)]
struct Choice {
    kind: u64,
    /// Calls since the tries began, and how many follow the tries.
    calls: u32,
    period: u32,
    /// What the tries before these came to.
    before: bool,
    /// The least that a call of these tries took on one thread, and on all.
    alone: Duration,
    together: Duration,
}

impl Choice {
    const fn new(kind: u64, period: u32, before: bool) -> Self {
        let (alone, together) = (Duration::MAX, Duration::MAX);
        Choice { kind, calls: 0, period, before, alone, together }
    }

    fn is_together(&self) -> bool {
        match self.calls {
            calls if calls < TRIES => true,
            calls if calls < 2 * TRIES => false,
            _ => self.together <= self.alone,
        }
    }

    fn took(&mut self, time: Duration) {
        let now = self.is_together();
        if self.calls < 2 * TRIES {
            let least = if now { &mut self.together } else { &mut self.alone };
            *least = time.min(*least);
        }
        self.calls += 1;
        if self.calls == 2 * TRIES + self.period {
            let period = if now == self.before { MOST.min(2 * self.period) } else { FIRST };
            *self = Choice::new(self.kind, period, now);
        }
    }
}

impl Choices {
    pub const fn new() -> Self {
        Choices([Choice::new(0, FIRST, true); KINDS])
    }

    /// Work that shares its place with another kind's begins anew each time: on all threads.
    fn of(&mut self, kind: u64) -> &mut Choice {
        let choice = &mut self.0[place(kind)];
        if choice.kind != kind {
            *choice = Choice::new(kind, FIRST, true);
        }
        choice
    }

    /// Whether all threads shall do the work.
    pub fn is_together(&mut self, kind: u64) -> bool {
        self.of(kind).is_together()
    }

    /// What the work took that was chosen for.
    pub fn took(&mut self, kind: u64, time: Duration) {
        self.of(kind).took(time);
    }
}

/// A hash of the kind, below [`KINDS`].
fn place(kind: u64) -> usize {
    (kind.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - KINDS.ilog2())) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Calls on all threads of `n`, which take as many microseconds as given alone and together.
    fn calls_together(choices: &mut Choices, n: u32, alone: u64, together: u64) -> u32 {
        (0..n).fold(0, |sum, _| {
            let all = choices.is_together(1);
            choices.took(1, Duration::from_micros(if all { together } else { alone }));
            sum + u32::from(all)
        })
    }

    #[test]
    fn the_faster_way_is_taken_for_nearly_all_calls() {
        let n = 100 * MOST;
        let few = 110 * TRIES;
        assert!(calls_together(&mut Choices::new(), n, 5, 9) < few);
        assert!(calls_together(&mut Choices::new(), n, 9, 5) > n - few);
    }

    #[test]
    fn a_change_is_seen_soon_and_once_tries_agree_later() {
        let mut choices = Choices::new();
        let first = 2 * TRIES + FIRST;
        assert_eq!(calls_together(&mut choices, first, 9, 5), first - TRIES);
        assert_eq!(calls_together(&mut choices, 2 * TRIES + 2 * FIRST, 5, 9), TRIES);
        assert_eq!(calls_together(&mut choices, first, 9, 5), first - TRIES);
    }

    #[test]
    fn kinds_in_the_same_place_go_to_all_threads() {
        let mut choices = Choices::new();
        let other = (2..).find(|kind| place(*kind) == place(1)).unwrap();
        for _ in 0..100 {
            for kind in [1, other] {
                assert!(choices.is_together(kind));
                choices.took(kind, Duration::from_micros(5));
            }
        }
    }
}
