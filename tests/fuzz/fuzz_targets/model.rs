#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|input: &[u8]| relgrad_fuzz::model(input));

/// Without cargo-fuzz there is the driver.
#[cfg(not(fuzzing))]
fn main() {}
