//! A model's parameters and optimiser state as one run of bytes, for flash memory, checkpoints
//! and messages: versioned, checksummed, and loaded whole or not at all. No allocation.

use crate::config::Config;
use crate::memory::sizes::Sizes;
use crate::session::{SAME, fingerprint};
use crate::simd::Real;
use crate::status::{Error, Result, Status, Value, check_len};

/// "relgrad" and the version of the format.
const MAGIC: [u8; 8] = *b"relgrad\x01";
/// In the byte order of the state's own numbers.
const ORDER: u32 = 0x0102_0304;
const HEADER: usize = 32;

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
/// Lengths; a blob that is damaged, of another version, byte order or configuration: nothing is
/// written then.
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
    let refuse = |allowed| Err(Error::new(Status::State, "blob", Value::None, allowed));
    if blob[..8] != MAGIC {
        return refuse("must begin as relgrad_save of this version writes it");
    }
    // Before the checksum, so that a blob of another model is not called damaged: it is as
    // long as its own model says.
    if blob[16..24] != fingerprint::<T>(config).to_le_bytes() {
        return refuse(SAME);
    }
    if blob[8..12] != checksum(&blob[12..]).to_le_bytes() {
        return refuse("must be whole: its checksum does not fit");
    }
    if blob[12..16] != ORDER.to_ne_bytes() {
        return refuse("must have this processor's byte order");
    }
    let (from_params, from_state) = blob[HEADER..].split_at(sizes.params_len * size_of::<T>());
    for (p, from) in params.iter_mut().zip(from_params.chunks_exact(size_of::<T>())) {
        let mut word = [0; 8];
        word[..from.len()].copy_from_slice(from);
        *p = T::from_f64(match T::BITS {
            32 => f32::from_bits(u64::from_le_bytes(word) as u32).into(),
            _ => f64::from_bits(u64::from_le_bytes(word)),
        });
    }
    state[..sizes.state_bytes].copy_from_slice(from_state);
    Ok(())
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

        // Any flipped bit, and anything short, is refused with nothing written.
        let before = (params.clone(), state.clone());
        for i in 0..blob.len() {
            blob[i] ^= 1 << (i % 8);
            let refused = load(&config, &blob, &mut params, &mut state).unwrap_err();
            assert_eq!(refused.status, Status::State);
            blob[i] ^= 1 << (i % 8);
        }
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
