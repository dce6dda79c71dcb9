//! What an input led to, as far as the driver looks at it: inputs that led to something new are kept.

use std::cell::RefCell;
use std::collections::hash_map::DefaultHasher;
use std::fmt::Display;
use std::hash::{Hash, Hasher};

thread_local! {
    static NOTES: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

/// Something happened.
pub fn note(what: impl Hash) {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    NOTES.with_borrow_mut(|notes| notes.push(hasher.finish()));
}

/// An error by what it says is allowed, whatever it is about.
pub fn note_error(error: &impl Display) {
    let text = error.to_string();
    let allowed = text.rsplit("; ").next().unwrap_or_default();
    let words = allowed.split([' ', ':']).filter(|w| w.chars().all(|c| c.is_ascii_lowercase()));
    note(words.take(5).collect::<Vec<_>>());
}

/// What happened since this was called last.
pub fn notes() -> Vec<u64> {
    NOTES.with_borrow_mut(std::mem::take)
}
