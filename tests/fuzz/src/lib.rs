//! Targets for inputs that nobody wrote. Each is a function of bytes with its oracles inside: it panics
//! where the library does what it must not. libFuzzer calls them from `fuzz_targets`, on stable Rust
//! the driver `src/main.rs` does.

mod blob;
mod bytes;
mod calls;
mod checkpoint;
mod curves;
mod guarded;
mod lu;
mod memory;
mod model;
pub mod mutate;
pub mod outcome;
pub mod random;
mod readers;
mod safetensors_file;

pub use blob::blob;
pub use calls::calls;
pub use checkpoint::checkpoint;
pub use curves::curves;
pub use lu::lu;
pub use model::model;
pub use readers::readers;

/// Inputs that are tried first and changed, by name.
pub type Seeds = Vec<(String, Vec<u8>)>;

/// A function of bytes, and where to begin.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    pub name: &'static str,
    pub run: fn(&[u8]),
    /// Makes what is in the folder `seeds`.
    pub seeds: fn() -> Seeds,
    /// Words that the format knows.
    pub words: &'static [&'static str],
}

/// All of them.
pub const TARGETS: [Target; 7] = [
    Target { name: "readers", run: readers, seeds: readers::seeds, words: readers::WORDS },
    Target { name: "model", run: model, seeds: model::seeds, words: model::WORDS },
    Target { name: "checkpoint", run: checkpoint, seeds: checkpoint::seeds, words: model::WORDS },
    Target { name: "blob", run: blob, seeds: blob::seeds, words: &[] },
    Target { name: "calls", run: calls, seeds: calls::seeds, words: &[] },
    Target { name: "curves", run: curves, seeds: curves::seeds, words: &[] },
    Target { name: "lu", run: lu, seeds: lu::seeds, words: &[] },
];
