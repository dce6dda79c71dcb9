//! Files of a JSON header and numbers, as inputs whose parts change length without losing each other:
//! header, a byte that is no UTF-8, numbers.

const BETWEEN: u8 = 0xff;

/// The file of an input: the header's length, the header, the numbers.
pub fn file(input: &[u8]) -> Vec<u8> {
    let Some(end) = input.iter().position(|b| *b == BETWEEN) else { return input.to_vec() };
    [&(end as u64).to_le_bytes(), &input[..end], &input[end + 1..]].concat()
}

/// The input of a file.
pub fn input(file: &[u8]) -> Vec<u8> {
    let (length, rest) = file.split_at(8);
    let length = u64::from_le_bytes(length.try_into().expect("eight bytes"));
    let (header, numbers) = rest.split_at(length as usize);
    [header, &[BETWEEN], numbers].concat()
}
