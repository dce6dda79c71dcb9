//! A model's parameters and optimiser state as one run of bytes, for flash memory, checkpoints
//! and messages: versioned, checksummed, and loaded whole or not at all. No allocation.

use crate::config::Config;
use crate::memory::layout::Layout;
use crate::memory::sizes::Sizes;
use crate::session::SAME;
use crate::session::believed;
use crate::session::words::{self, WORDS, fingerprint};
use crate::simd::Real;
use crate::status::{Error, Result, Status, Value, check_len};

/// "relgrad" and the version of the format.
const MAGIC: [u8; 8] = *b"relgrad\x03";
/// In the byte order of the state's own numbers.
const ORDER: u32 = 0x0102_0304;
/// Name and format; checksum of all that follows; byte order; fingerprint; bits of a number;
/// bytes of the blob; configuration.
const HEADER: usize = 40 + 8 * WORDS;

/// What a blob holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Info {
    /// How the model was configured, with the instruction set left to the processor.
    pub config: Config,
    /// 32 for f32, 64 for f64.
    pub bits: u32,
    /// Bytes of the blob.
    pub bytes: usize,
}

/// What a blob holds, without a model to take it up.
///
/// # Errors
/// A blob that is short, damaged, or of another version or byte order.
pub fn info(blob: &[u8]) -> Result<Info> {
    check_len("blob", blob.len(), HEADER)?;
    let word = |at: usize| u64::from_le_bytes(blob[at..at + 8].try_into().unwrap_or_default());
    let bytes = usize::try_from(word(32)).unwrap_or(usize::MAX);
    check_magic(blob)?;
    check_len("blob", blob.len(), bytes.max(HEADER))?;
    check_whole(&blob[..bytes.max(HEADER)])?;
    let config = words::read(&core::array::from_fn(|i| word(40 + 8 * i)));
    let (bits, fits) = match (config, word(24)) {
        (Some(config), 32) => (32, self::bytes::<f32>(&config) == Ok(bytes)),
        (Some(config), 64) => (64, self::bytes::<f64>(&config) == Ok(bytes)),
        _ => (0, false),
    };
    match config {
        Some(config) if fits => Ok(Info { config, bits, bytes }),
        _ => Err(refused("must hold a configuration of this version, and as much as that takes")),
    }
}

fn check_magic(blob: &[u8]) -> Result<()> {
    if blob[..8] == MAGIC {
        return Ok(());
    }
    Err(refused("must begin as relgrad_save of this version writes it"))
}

/// Checksum and byte order of the bytes of one blob.
fn check_whole(blob: &[u8]) -> Result<()> {
    if blob[8..12] != checksum(&blob[12..]).to_le_bytes() {
        return Err(refused("must be whole: its checksum does not fit"));
    }
    if blob[12..16] != ORDER.to_ne_bytes() {
        return Err(refused("must have this processor's byte order"));
    }
    Ok(())
}

fn refused(allowed: &'static str) -> Error {
    Error::new(Status::State, "blob", Value::None, allowed)
}

/// Bytes that a blob of this configuration takes.
///
/// # Errors
/// Those of [`Sizes::of`].
pub fn bytes<T: Real>(config: &Config) -> Result<usize> {
    let sizes = Sizes::of::<T>(config)?;
    Ok(HEADER + sizes.params_len * size_of::<T>() + sizes.state_bytes)
}

/// Writes a blob of [`bytes`] bytes.
///
/// # Errors
/// Lengths; a state that is not of this configuration.
pub fn save<T: Real>(config: &Config, params: &[T], state: &[u8], blob: &mut [u8]) -> Result<()> {
    let sizes = Sizes::of::<T>(config)?;
    let bytes = bytes::<T>(config)?;
    check_len("params", params.len(), sizes.params_len)?;
    check_len("state", state.len(), sizes.state_bytes)?;
    check_len("blob", blob.len(), bytes)?;
    let blob = &mut blob[..bytes];
    let (header, body) = blob.split_at_mut(HEADER);
    header.fill(0);
    header[..8].copy_from_slice(&MAGIC);
    header[12..16].copy_from_slice(&ORDER.to_ne_bytes());
    header[16..24].copy_from_slice(&fingerprint::<T>(config).to_le_bytes());
    header[24..32].copy_from_slice(&u64::from(T::BITS).to_le_bytes());
    header[32..40].copy_from_slice(&(bytes as u64).to_le_bytes());
    for (to, word) in header[40..].chunks_exact_mut(8).zip(words::of(config)) {
        to.copy_from_slice(&word.to_le_bytes());
    }
    let (to_params, to_state) = body.split_at_mut(sizes.params_len * size_of::<T>());
    for (to, p) in to_params.chunks_exact_mut(size_of::<T>()).zip(params) {
        to.copy_from_slice(&p.to_bits64().to_le_bytes()[..size_of::<T>()]);
    }
    to_state.copy_from_slice(&state[..sizes.state_bytes]);
    let sum = checksum(&blob[12..]).to_le_bytes();
    blob[8..12].copy_from_slice(&sum);
    Ok(())
}

/// Takes parameters and state out of a blob. [`Session::attach`](crate::Session::attach) then
/// goes on bit for bit where [`save`] was called.
///
/// # Errors
/// Lengths; a blob that is damaged, of another version, byte order or configuration, or holds what
/// no step leaves: nothing is written then.
pub fn load<T: Real>(
    config: &Config,
    blob: &[u8],
    params: &mut [T],
    state: &mut [u8],
) -> Result<()> {
    let sizes = Sizes::of::<T>(config)?;
    let bytes = bytes::<T>(config)?;
    check_len("params", params.len(), sizes.params_len)?;
    check_len("state", state.len(), sizes.state_bytes)?;
    check_len("blob", blob.len(), bytes)?;
    let blob = &blob[..bytes];
    check_magic(blob)?;
    // Before the checksum, so that a blob of another model is not called damaged: it is as long as
    // its own model says.
    if blob[16..24] != fingerprint::<T>(config).to_le_bytes() {
        return Err(refused(SAME));
    }
    check_whole(blob)?;
    let (from_params, from_state) = blob[HEADER..].split_at(sizes.params_len * size_of::<T>());
    if !written::<T>(from_params).all(f64::is_finite) {
        return Err(refused("must hold finite parameters"));
    }
    believed::check::<T>(config, from_state)
        .map_err(|e| Error { argument: "state in blob", ..e })?;
    for (p, from) in params.iter_mut().zip(written::<T>(from_params)) {
        *p = T::from_f64(from);
    }
    state[..sizes.state_bytes].copy_from_slice(from_state);
    // Whoever changed the weights may not have said so: they are within their bounds.
    let bounds = state[believed::weight_bounds(config)..].as_chunks_mut().0.iter_mut();
    for (k, bound) in bounds.take(config.layers).enumerate() {
        let weights = params[Layout::new(config).weight(k)].iter();
        let raised = weights.fold(f64::from_ne_bytes(*bound), |m, w| m.max(libm::fabs(w.to_f64())));
        *bound = raised.to_ne_bytes();
    }
    Ok(())
}

/// Parameters as [`save`] writes them.
fn written<T: Real>(bytes: &[u8]) -> impl Iterator<Item = f64> {
    bytes.chunks_exact(size_of::<T>()).map(|from| {
        let mut word = [0; 8];
        word[..from.len()].copy_from_slice(from);
        match T::BITS {
            32 => f32::from_bits(u64::from_le_bytes(word) as u32).into(),
            _ => f64::from_bits(u64::from_le_bytes(word)),
        }
    })
}

/// CRC-32 as of IEEE 802.3, bit by bit: no table, for small memories.
fn checksum(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, b| {
        (0..8).fold(crc ^ u32::from(*b), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Activation, AlignedBytes, Base, Batch, Optimizer, Session};
    use std::vec;

    #[test]
    fn checksum_is_the_usual_one() {
        assert_eq!(checksum(b"123456789"), 0xcbf4_3926);
    }

    /// Makes the checksum that of the first `end` bytes.
    fn seal(blob: &mut [u8], end: usize) {
        let sum = checksum(&blob[12..end]).to_le_bytes();
        blob[8..12].copy_from_slice(&sum);
    }

    #[test]
    fn weights_are_within_their_bounds() {
        let config = Config { optimizer: Optimizer::SGD, ..Config::new(2, 2) };
        let sizes = Sizes::of::<f32>(&config).unwrap();
        let mut blob = vec![0; bytes::<f32>(&config).unwrap()];
        let mut state = AlignedBytes::new(sizes.state_bytes);
        let mut workspace = AlignedBytes::new(sizes.workspace_bytes);
        let mut params = vec![0f32; sizes.params_len];
        let mut s = Session::new(&config, &mut state, &mut workspace).unwrap();
        s.start_identity(&mut params).unwrap();
        params[1] = 1e17;
        save(&config, &params, &state, &mut blob).unwrap();
        load(&config, &blob, &mut params, &mut state).unwrap();
        let s = Session::<f32>::attach(&config, &mut state, &mut workspace).unwrap();
        assert_eq!(s.state.weight_max, [f64::from(1e17f32), 1.0]);
    }

    /// A run that is saved, lost and loaded ends as one that was not.
    fn goes_on<T: crate::Scalar>(optimizer: Optimizer) {
        let config = Config { optimizer, max_batch: 2, ..Config::new(3, 2) };
        let sizes = Sizes::of::<T>(&config).unwrap();
        let mut blob = vec![0; bytes::<T>(&config).unwrap()];
        let mut params = vec![T::ZERO; sizes.params_len];
        let mut state = AlignedBytes::new(sizes.state_bytes);
        let mut workspace = AlignedBytes::new(sizes.workspace_bytes);
        let x = [0.1, -0.2, 0.3, 0.4, 0.5, -0.6].map(T::from_f64);
        let batch = Batch::new(&x, 2);

        let mut s = Session::new(&config, &mut state, &mut workspace).unwrap();
        s.start_orthogonal(&mut params, 1).unwrap();
        s.step(&mut params, &batch, 0.1).unwrap();
        save(&config, &params, &state, &mut blob).unwrap();
        let mut s = Session::attach(&config, &mut state, &mut workspace).unwrap();
        s.step(&mut params, &batch, 0.1).unwrap();
        let (one, one_state) = (params.clone(), state.clone());

        params.fill(T::ONE);
        state.fill(0x5a);
        load(&config, &blob, &mut params, &mut state).unwrap();
        let mut s = Session::attach(&config, &mut state, &mut workspace).unwrap();
        s.step(&mut params, &batch, 0.1).unwrap();
        assert!(params == one && *state == *one_state);

        let held = info(&blob).unwrap();
        assert_eq!((held.config, held.bits, held.bytes), (config, T::BITS, blob.len()));

        // Any flipped bit, and anything short, is refused with nothing written.
        let before = (params.clone(), state.clone());
        for i in 0..blob.len() {
            blob[i] ^= 1 << (i % 8);
            let refused = load(&config, &blob, &mut params, &mut state).unwrap_err();
            assert_eq!(refused.status, Status::State);
            assert!(matches!(info(&blob).unwrap_err().status, Status::State | Status::Length));
            blob[i] ^= 1 << (i % 8);
        }
        // Nor is a forged one believed, whose checksum fits: another length, dim, type, or base.
        for (at, forged) in [(32, 8u64), (32, blob.len() as u64 - 8), (40, 2), (24, 96), (96, 9)] {
            let mut blob = blob.clone();
            blob[at..at + 8].copy_from_slice(&forged.to_le_bytes());
            let end = if at == 32 { (forged as usize).max(HEADER) } else { blob.len() };
            seal(&mut blob, end);
            assert_eq!(info(&blob).unwrap_err().status, Status::State, "{forged} at {at}");
        }
        // Numbers that no step leaves, in parameters and in the state.
        let state_at = HEADER + sizes.params_len * size_of::<T>();
        let nan = f64::NAN.to_ne_bytes();
        let steps = u64::MAX.to_ne_bytes();
        for (at, forged) in [(HEADER, [0xff; 8]), (state_at + 16, steps), (state_at + 64, nan)] {
            let mut blob = blob.clone();
            blob[at..at + 8].copy_from_slice(&forged);
            let end = blob.len();
            seal(&mut blob, end);
            let refused = load(&config, &blob, &mut params, &mut state).unwrap_err();
            assert_eq!(refused.status, Status::State, "at {at}");
        }
        assert!(params == before.0 && *state == *before.1);
        let short = &blob[..blob.len() - 1];
        let refused = load(&config, short, &mut params, &mut state).unwrap_err();
        assert_eq!(refused.status, Status::Length);
        // So are models that the same bytes would fit.
        let mut room = (vec![T::ZERO; 1000], AlignedBytes::new(10000));
        blob.resize(10000, 0);
        let others = [
            Config { input_transform: true, ..config },
            Config { base: Base::Logistic, ..config },
            Config { final_activation: false, activation: Activation::Identity, ..config },
            Config { final_activation: false, ..config },
            Config { activation: Activation::TanhMixture { steps: 3 }, ..config },
        ];
        for other in others {
            let refused = load(&other, &blob, &mut room.0, &mut room.1).unwrap_err();
            assert!(refused.status == Status::State && refused.allowed.contains("same type"));
        }
        assert!(params == before.0 && *state == *before.1);
    }

    #[test]
    fn training_goes_on_bit_for_bit() {
        for optimizer in [Optimizer::SGD, Optimizer::ADAM, Optimizer::NATURAL] {
            goes_on::<f32>(optimizer);
            goes_on::<f64>(optimizer);
        }
    }
}
