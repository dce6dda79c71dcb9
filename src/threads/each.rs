//! Independent pieces of work on threads of their own.

use std::panic::resume_unwind;
use std::sync::{Mutex, PoisonError};
use std::vec::Vec;

/// Does `work` on each of `items`, on so many threads; results are in the items' order. For work of
/// seconds: threads begin and end with the call.
pub fn on_threads<I: Send, O: Send>(
    threads: usize,
    items: impl IntoIterator<Item = I, IntoIter: ExactSizeIterator + Send>,
    work: impl Fn(I) -> O + Sync,
) -> Vec<O> {
    let items = items.into_iter();
    let count = items.len();
    let queue = Mutex::new(items.enumerate());
    let take = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    let worker = || {
        let mut done = Vec::new();
        while let Some((i, item)) = take() {
            done.push((i, work(item)));
        }
        done
    };
    let mut done: Vec<(usize, O)> = std::thread::scope(|scope| {
        let others: Vec<_> =
            (1..threads.clamp(1, count.max(1))).map(|_| scope.spawn(worker)).collect();
        let mut done = worker();
        for other in others {
            done.extend(other.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
        done
    });
    done.sort_by_key(|(i, _)| *i);
    done.into_iter().map(|(_, o)| o).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_in_order() {
        for threads in [0, 1, 3, 9] {
            let squares = on_threads(threads, 0..5usize, |i| i * i);
            assert_eq!(squares, [0, 1, 4, 9, 16]);
            assert!(on_threads(threads, Vec::<u8>::new(), |i| i).is_empty());
        }
    }

    #[test]
    fn panics_go_on() {
        let panics = || on_threads(2, 0..4, |i| assert!(i != 3, "three"));
        assert!(std::panic::catch_unwind(panics).is_err());
    }
}
