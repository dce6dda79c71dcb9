//! One thread or all: a choice by time, for work that repeats.
//!
//! What threads gain depends on the work and on where the system puts them. Cores that share no
//! cache can take several times as long as one alone where parts take microseconds, and neither
//! can be asked for; so a little of the work tries both.

use std::time::Duration;

/// Calls that each way is tried for, and those in between that take the better one.
const TRIES: u32 = 4;
const CALLS: u32 = 500;

/// Kinds of work that are told apart at a time.
const KINDS: usize = 64;

/// What is known of each kind of work.
pub(super) struct Choices([Choice; KINDS]);

#[derive(Clone, Copy)]
struct Choice {
    kind: u64,
    /// Calls since the tries began.
    calls: u32,
    /// The least that a call of these tries took on one thread, and on all.
    alone: Duration,
    together: Duration,
}

impl Choice {
    const fn new(kind: u64) -> Self {
        Choice { kind, calls: 0, alone: Duration::MAX, together: Duration::MAX }
    }

    fn is_together(&self) -> bool {
        match self.calls {
            calls if calls < TRIES => true,
            calls if calls < 2 * TRIES => false,
            _ => self.together <= self.alone,
        }
    }
}

impl Choices {
    pub const fn new() -> Self {
        Choices([Choice::new(0); KINDS])
    }

    /// Work that shares its place with another kind's begins anew each time: on all threads.
    fn of(&mut self, kind: u64) -> &mut Choice {
        let choice = &mut self.0[(kind.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58) as usize];
        if choice.kind != kind {
            *choice = Choice::new(kind);
        }
        choice
    }

    /// Whether all threads shall do the work.
    pub fn is_together(&mut self, kind: u64) -> bool {
        self.of(kind).is_together()
    }

    /// What the work took that was chosen for.
    pub fn took(&mut self, kind: u64, time: Duration) {
        let choice = self.of(kind);
        if choice.calls < 2 * TRIES {
            let least = if choice.is_together() { &mut choice.together } else { &mut choice.alone };
            *least = time.min(*least);
        }
        choice.calls += 1;
        if choice.calls == 2 * TRIES + CALLS {
            *choice = Choice::new(kind);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Calls on all threads of `n`, which take as long as given alone and together.
    fn calls_together(choices: &mut Choices, kind: u64, n: u32, alone: u64, together: u64) -> u32 {
        (0..n).fold(0, |sum, _| {
            let all = choices.is_together(kind);
            choices.took(kind, Duration::from_nanos(if all { together } else { alone }));
            sum + u32::from(all)
        })
    }

    #[test]
    fn the_faster_way_is_taken_for_all_but_the_tries() {
        let mut choices = Choices::new();
        let cycle = 2 * TRIES + CALLS;
        for kind in [1, 2] {
            assert_eq!(calls_together(&mut choices, kind, 10 * cycle, 5, 9), 10 * TRIES);
            assert_eq!(calls_together(&mut choices, kind, 10 * cycle, 9, 5), 10 * (cycle - TRIES));
        }
    }

    #[test]
    fn a_change_is_seen_by_the_next_tries() {
        let mut choices = Choices::new();
        let cycle = 2 * TRIES + CALLS;
        assert_eq!(calls_together(&mut choices, 1, cycle / 2, 9, 5), cycle / 2 - TRIES);
        let rest = cycle - cycle / 2;
        assert_eq!(calls_together(&mut choices, 1, rest, 5, 9), rest);
        assert_eq!(calls_together(&mut choices, 1, cycle, 5, 9), TRIES);
    }

    #[test]
    fn kinds_in_the_same_place_go_to_all_threads() {
        let mut choices = Choices::new();
        let place = |kind: u64| kind.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58;
        let other = (2..).find(|kind| place(*kind) == place(1)).unwrap();
        for _ in 0..100 {
            for kind in [1, other] {
                assert_eq!(calls_together(&mut choices, kind, 1, 5, 9), 1);
            }
        }
    }
}
