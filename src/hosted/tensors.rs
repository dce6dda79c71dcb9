//! Safetensors files written tensor by tensor, so that no second copy of a network is in memory.

use std::boxed::Box;
use std::format;
use std::io::{self, Read, Write};
use std::string::String;
use std::vec::Vec;

use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};

use crate::Real;

/// Bytes that go through at a time.
const CHUNK: usize = 1 << 16;
/// The limit of the safetensors format.
const MAX_HEADER: usize = 100_000_000;

type WriteTo<'t> = dyn Fn(&mut dyn Write) -> io::Result<()> + 't;

/// A tensor to be written: what the header says of it, and what writes its bytes.
pub(super) struct Tensor<'t> {
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    write: Box<WriteTo<'t>>,
}

impl<'t> Tensor<'t> {
    pub fn new(
        name: impl Into<String>,
        dtype: Dtype,
        shape: Vec<usize>,
        write: impl Fn(&mut dyn Write) -> io::Result<()> + 't,
    ) -> Self {
        Tensor { name: name.into(), dtype, shape, write: Box::new(write) }
    }

    pub fn numbers<T: Real>(name: impl Into<String>, shape: Vec<usize>, values: &'t [T]) -> Self {
        Self::new(name, dtype::<T>(), shape, move |out| write_numbers(out, values))
    }

    pub fn bytes(
        name: impl Into<String>,
        dtype: Dtype,
        shape: Vec<usize>,
        bytes: &'t [u8],
    ) -> Self {
        Self::new(name, dtype, shape, move |out| out.write_all(bytes))
    }

    pub fn words(name: impl Into<String>, words: &[u64]) -> Self {
        let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
        Self::new(name, Dtype::U64, [words.len()].to_vec(), move |out| out.write_all(&bytes))
    }
}

pub(super) fn dtype<T: Real>() -> Dtype {
    if T::BITS == 32 { Dtype::F32 } else { Dtype::F64 }
}

/// Writes a safetensors file with `metadata`, a JSON object; tensors in the order of their types
/// and names, as the format's own writer has them. `Ok(false)`, with nothing written, if the
/// header gets too long.
pub(super) fn write_tensors(
    out: &mut dyn Write,
    metadata: &str,
    mut tensors: Vec<Tensor>,
) -> io::Result<bool> {
    tensors.sort_by(|a, b| b.dtype.cmp(&a.dtype).then_with(|| a.name.cmp(&b.name)));
    let mut end = 0;
    let infos = tensors.iter().map(|t| {
        let start = end;
        end += t.shape.iter().product::<usize>() * t.dtype.bitsize() / 8;
        let info =
            TensorInfo { dtype: t.dtype, shape: t.shape.clone(), data_offsets: (start, end) };
        (t.name.clone(), info)
    });
    let header = Metadata::new(None, infos.collect()).map_err(io::Error::other)?;
    let header = serde_json::to_string(&header)?;
    // The metadata come first, in the order given: safetensors itself would write them in the
    // random order of a `HashMap`.
    let rest = if header == "{}" { "}" } else { &format!(",{}", &header[1..]) };
    let mut header = format!("{{\"__metadata__\":{metadata}{rest}");
    // The format aligns the tensors to 8 bytes with blanks.
    while !header.len().is_multiple_of(8) {
        header.push(' ');
    }
    if header.len() > MAX_HEADER {
        return Ok(false);
    }
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(header.as_bytes())?;
    for tensor in &tensors {
        (tensor.write)(out)?;
    }
    Ok(true)
}

/// Writes numbers as little-endian bytes.
pub(super) fn write_numbers<T: Real>(out: &mut dyn Write, values: &[T]) -> io::Result<()> {
    let size = size_of::<T>();
    let mut bytes = Vec::with_capacity(CHUNK);
    for values in values.chunks(CHUNK / size) {
        bytes.clear();
        values.iter().for_each(|v| bytes.extend_from_slice(&v.to_bits64().to_le_bytes()[..size]));
        out.write_all(&bytes)?;
    }
    Ok(())
}

/// Reads what [`write_numbers`] wrote.
pub(super) fn read_numbers<T: Real>(from: &mut dyn Read, values: &mut [T]) -> io::Result<()> {
    let size = size_of::<T>();
    let mut bytes = std::vec![0; CHUNK];
    for values in values.chunks_mut(CHUNK / size) {
        let bytes = &mut bytes[..size_of_val(values)];
        from.read_exact(bytes)?;
        for (value, bytes) in values.iter_mut().zip(bytes.chunks_exact(size)) {
            let mut word = [0; 8];
            word[..size].copy_from_slice(bytes);
            let word = u64::from_le_bytes(word);
            *value = T::from_f64(match T::BITS {
                32 => f32::from_bits(word as u32).into(),
                _ => f64::from_bits(word),
            });
        }
    }
    Ok(())
}

/// Hands on as many bytes as there are, a piece at a time.
pub(super) fn copy(
    from: &mut dyn Read,
    mut see: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<u64> {
    let (mut bytes, mut total) = (std::vec![0; CHUNK], 0);
    loop {
        match from.read(&mut bytes) {
            Ok(0) => return Ok(total),
            Ok(n) => {
                see(&bytes[..n])?;
                total += n as u64;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use safetensors::tensor::TensorView;

    fn written(metadata: &str, tensors: Vec<Tensor>) -> Vec<u8> {
        let mut bytes = Vec::new();
        assert!(write_tensors(&mut bytes, metadata, tensors).unwrap());
        bytes
    }

    /// The bytes are those of the format's own writer, but for the metadata.
    #[test]
    fn files_are_those_of_the_format() {
        // More numbers than go through at a time.
        let long: Vec<f32> = (0..20_000).map(|i| i as f32 / 7.0).collect();
        let bytes: Vec<u8> = long.iter().flat_map(|v| v.to_le_bytes()).collect();
        let tensors = || {
            let mut all = Vec::from([Tensor::words("words", &[1, 2])]);
            all.extend(["b", "a.10", "a.2"].map(|n| Tensor::numbers(n, [100, 200].into(), &long)));
            all.push(Tensor::bytes("state", Dtype::U8, [3].into(), &[7, 8, 9]));
            all
        };
        let words: Vec<u8> = [1u64, 2].iter().flat_map(|w| w.to_le_bytes()).collect();
        let view = |dtype, shape: &[usize], bytes| TensorView::new(dtype, shape.into(), bytes);
        let view = |dtype, shape, bytes| view(dtype, shape, bytes).unwrap();
        let float = || view(Dtype::F32, &[100, 200], &bytes[..]);
        let views = [
            ("a.2", float()),
            ("state", view(Dtype::U8, &[3], &[7, 8, 9])),
            ("b", float()),
            ("words", view(Dtype::U64, &[2], &words)),
            ("a.10", float()),
        ];
        let whole = safetensors::serialize(views, None).unwrap();
        let header = |file: &[u8]| {
            let length = u64::from_le_bytes(*file.first_chunk().unwrap()) as usize;
            assert!(length.is_multiple_of(8));
            let text = std::str::from_utf8(&file[8..8 + length]).unwrap().trim_end();
            (String::from(text), file[8 + length..].to_vec())
        };
        let ((plain, data), (ours, our_data)) =
            (header(&whole), header(&written("{\"k\":\"v\"}", tensors())));
        assert_eq!(ours, format!("{{\"__metadata__\":{{\"k\":\"v\"}},{}", &plain[1..]));
        assert!(data == our_data);
        assert_eq!(header(&written("{}", Vec::new())).0, "{\"__metadata__\":{}}");
        let mut back = std::vec![0.0f32; long.len()];
        read_numbers(&mut &bytes[..], &mut back).unwrap();
        assert!(back == long && read_numbers(&mut &bytes[1..], &mut back).is_err());
    }
}
