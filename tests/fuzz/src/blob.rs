//! The bytes as a blob, whose checksum is always right.

use std::ptr::null_mut;

use relgrad::ffi::{RELGRAD_ERR_INTERNAL, RELGRAD_OK, relgrad_blob_info};
use relgrad::{
    Activation, AlignedBytes, Batch, Condition, Config, Optimizer, Scalar, Session, Sizes, Status,
    blob as blobs,
};

use crate::outcome::{note, note_error};
use crate::random::Random;
use crate::{Seeds, bytes::Bytes};

/// Models of more memory are not made.
const ROOM: usize = 1 << 22;
const ROWS: usize = 3;

/// What is taken up allows steps, each of which is an error or leaves finite parameters. The first byte
/// says of what scale the rows are.
pub fn blob(input: &[u8]) {
    let mut b = Bytes(input);
    let scale = b.number();
    let mut blob = b.0.to_vec();
    if blob.len() > 40 {
        // As long as it says, if that can be.
        let length = u64::from_le_bytes(blob[32..40].try_into().expect("eight bytes"));
        let end = usize::try_from(length).unwrap_or(0);
        let end = if (41..=blob.len()).contains(&end) { end } else { blob.len() };
        let sum = crc32fast::hash(&blob[12..end]).to_le_bytes();
        blob[8..12].copy_from_slice(&sum);
    }
    let (mut bits, mut bytes) = (0, 0);
    // SAFETY: a blob of this length, and room for both.
    let status = unsafe {
        relgrad_blob_info(blob.as_ptr().cast(), blob.len(), null_mut(), &mut bits, &mut bytes)
    };
    match blobs::info(&blob) {
        Ok(info) => {
            assert_eq!((status, bits, bytes), (RELGRAD_OK, info.bits, info.bytes));
            match info.bits {
                32 => go_on::<f32>(&info.config, &blob, scale),
                _ => go_on::<f64>(&info.config, &blob, scale),
            }
        }
        Err(error) => {
            assert!(status != RELGRAD_OK && status != RELGRAD_ERR_INTERNAL, "{status}");
            assert_eq!((bits, bytes), (0, 0), "written on error");
            note_error(&error);
        }
    }
}

fn go_on<T: Scalar>(config: &Config, blob: &[u8], scale: f64) {
    let config = &Config { max_batch: ROWS, ..*config };
    let Some(sizes) = Sizes::of::<T>(config).ok().filter(|s| s.workspace_bytes < ROOM) else {
        return note("large");
    };
    let mut state = AlignedBytes::new(sizes.state_bytes);
    let mut params = vec![T::ONE; sizes.params_len];
    if let Err(error) = blobs::load(config, blob, &mut params, &mut state) {
        assert!(params.iter().all(|p| *p == T::ONE) && state.iter().all(|b| *b == 0));
        return note_error(&error);
    }
    let finite = |params: &[T]| params.iter().all(|p| p.to_f64().is_finite());
    assert!(finite(&params), "parameters that are not finite were believed");
    let mut workspace = AlignedBytes::new(sizes.workspace_bytes);
    let mut session = match Session::attach(config, &mut state, &mut workspace) {
        Ok(session) => session,
        Err(error) => panic!("what was loaded is refused: {error}"),
    };
    let mut random = Random(1);
    let x: Vec<T> = (0..ROWS * config.dim).map(|_| T::from_f64(scale * random.normal())).collect();
    let given = vec![T::ONE; ROWS * crate::calls::condition_width(config)];
    let batch = Batch::new(&x, ROWS);
    let batch = if given.is_empty() { batch } else { batch.with_condition(&given) };
    for rate in [0.05, 0.0, 1e3, 1e-3] {
        match session.step(&mut params, &batch, rate) {
            Ok(report) => {
                note(("stepped", report.halvings > 0, report.trust_scale < 1.0));
                assert!(report.mean_log_likelihood.is_finite(), "{report:?}");
                assert!(finite(&params), "a good step left parameters that are not finite");
            }
            Err(error) => {
                // An input transform may make finite rows infinite.
                let may_be = config.input_transform || !x.iter().all(|x| x.to_f64().is_finite());
                assert!(may_be || error.status != Status::NonFiniteData, "{error}");
                note_error(&error);
            }
        }
    }
    let mut again = vec![0; blobs::bytes::<T>(config).expect("it has a size")];
    blobs::save(config, &params, &state, &mut again).expect("what a session left can be saved");
    let mut other = AlignedBytes::new(sizes.state_bytes);
    if let Err(error) = blobs::load(config, &again, &mut params, &mut other) {
        // A step after the last one that can be counted.
        assert!(error.allowed.contains("2^53"), "what was saved is refused: {error}");
    }
}

pub fn seeds() -> Seeds {
    fn one<T: Scalar>(config: Config) -> Vec<u8> {
        let config = Config { max_batch: ROWS, ..config };
        let sizes = Sizes::of::<T>(&config).expect("sizes");
        let (mut state, mut workspace) =
            (AlignedBytes::new(sizes.state_bytes), AlignedBytes::new(sizes.workspace_bytes));
        let mut params = vec![T::ZERO; sizes.params_len];
        let mut session = Session::new(&config, &mut state, &mut workspace).expect("a session");
        session.start_orthogonal(&mut params, 1).expect("a start");
        let x: Vec<T> = (0..ROWS * config.dim).map(|i| T::from_f64(i as f64 / 4.0 - 1.0)).collect();
        let given = vec![T::ONE; ROWS * crate::calls::condition_width(&config)];
        let batch = Batch::new(&x, ROWS);
        let batch = if given.is_empty() { batch } else { batch.with_condition(&given) };
        session.step(&mut params, &batch, 0.05).expect("a step");
        let mut blob = vec![0; blobs::bytes::<T>(&config).expect("a size")];
        blobs::save(&config, &params, &state, &mut blob).expect("room");
        // A scale of 1.
        [&[0, 16][..], &blob].concat()
    }
    let with = |optimizer, activation| Config { optimizer, activation, ..Config::new(2, 2) };
    let leaky = Activation::SmoothLeakyRelu { a: 0.3 };
    let numbers = Condition::Numbers { width: 1 };
    let sgd = with(Optimizer::SGD, Activation::Bend);
    [
        (
            "adam_f32".into(),
            one::<f32>(with(Optimizer::ADAM, Activation::TanhMixture { steps: 1 })),
        ),
        (
            "adam_f64".into(),
            one::<f64>(Config { condition: numbers, ..with(Optimizer::ADAM, leaky) }),
        ),
        (
            "natural_f32".into(),
            one::<f32>(Config { input_transform: true, ..with(Optimizer::NATURAL, leaky) }),
        ),
        (
            "natural_f64".into(),
            one::<f64>(with(Optimizer::NATURAL, Activation::TanhMixture { steps: 1 })),
        ),
        ("sgd_tracked".into(), one::<f32>(Config { track_inverse: true, ..sgd })),
        ("momentum".into(), one::<f64>(with(Optimizer::Sgd { momentum: 0.9 }, leaky))),
    ]
    .into()
}
