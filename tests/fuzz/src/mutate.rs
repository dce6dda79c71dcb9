//! New inputs from old ones.

use crate::random::Random;

/// Inputs are at most so long.
const LONGEST: usize = 1 << 16;

/// Where counts and lengths overflow.
const INTEGERS: [u64; 14] = [
    0,
    1,
    2,
    7,
    8,
    255,
    256,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    1 << 32,
    1 << 61,
    i64::MAX as u64,
    u64::MAX,
];

/// Changes `input` in one to eight places.
pub fn mutate(input: &mut Vec<u8>, other: &[u8], words: &[&str], random: &mut Random) {
    for _ in 0..1 << random.below(4) {
        once(input, other, words, random);
    }
    input.truncate(LONGEST);
}

fn once(input: &mut Vec<u8>, other: &[u8], words: &[&str], random: &mut Random) {
    if input.is_empty() {
        input.extend_from_slice(other);
        return;
    }
    let n = input.len();
    let at = random.below(n);
    let block = at..n.min(at + 1 + random.below(32));
    match random.below(12) {
        0..3 => input[at] ^= 1 << random.below(8),
        3 => input[at] = random.word() as u8,
        4 => input[at] = input[at].wrapping_add([1, 255, 16, 240][random.below(4)]),
        5 => {
            let value = INTEGERS[random.below(INTEGERS.len())].to_le_bytes();
            let width = [1, 2, 4, 8][random.below(4)].min(n - at);
            input[at..at + width].copy_from_slice(&value[..width]);
        }
        6 => drop(input.drain(block)),
        7 => {
            let copy = input[block].to_vec();
            let to = random.below(n);
            input.splice(to..to, copy);
        }
        8 => {
            let bytes: Vec<u8> = (0..block.len()).map(|_| random.word() as u8).collect();
            input[block].copy_from_slice(&bytes);
        }
        9 if !words.is_empty() => {
            let word = words[random.below(words.len())].bytes();
            // In the place of as many bytes, or between two.
            let end = if random.below(2) == 0 { at } else { n.min(at + word.len()) };
            input.splice(at..end, word);
        }
        // The beginning of one, the end of the other.
        10 if !other.is_empty() => {
            input.truncate(at);
            input.extend_from_slice(&other[random.below(other.len())..]);
        }
        11 if random.below(4) == 0 => input.truncate(at),
        _ => input.swap(at, random.below(n)),
    }
}
