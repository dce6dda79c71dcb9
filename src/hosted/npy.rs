//! Headers of npy files: a Python dictionary of three keys.

use std::format;
use std::path::Path;
use std::string::{String, ToString};
use std::vec::Vec;

use super::error::{FileError, FileResult};

/// Numbers of a binary format: their size in bytes, and how one is read.
pub(super) type Element = (usize, fn(&[u8]) -> f64);

/// An [`Element`] of this type and byte order.
macro_rules! element {
    ($t:ty, $from:ident) => {
        (size_of::<$t>(), |b| <$t>::$from(b.try_into().expect("chunks of this size")) as f64)
    };
}
pub(super) use element;

/// What an npy file says of its numbers.
pub(super) struct Header {
    /// Bytes before the first number.
    pub start: u64,
    pub element: Element,
    /// Whether the first axis varies fastest, as in Fortran.
    pub is_fortran: bool,
    pub shape: Vec<u64>,
}

/// How npy files begin.
pub(super) const MAGIC: &[u8] = b"\x93NUMPY";
/// The longest header of the format's first version; NumPy's own take 118 bytes.
pub(super) const MAX_HEADER: usize = 65535;

/// The beginning of an npy file of this shape, little-endian f4 or f8.
pub(super) fn header(bits: u32, shape: [usize; 2]) -> Vec<u8> {
    let [rows, dim] = shape;
    let size = bits / 8;
    let mut dict =
        format!("{{'descr': '<f{size}', 'fortran_order': False, 'shape': ({rows}, {dim}), }}");
    // The numbers begin at a multiple of 64 bytes; the last one before them is a line's end.
    let length = (10 + dict.len() + 1).next_multiple_of(64) - 10;
    dict.extend(core::iter::repeat_n(' ', length - 1 - dict.len()));
    dict.push('\n');
    [MAGIC, b"\x01\x00", &(length as u16).to_le_bytes(), dict.as_bytes()].concat()
}

/// The header of an npy file that begins with `head`.
pub(super) fn parse(path: &Path, head: &[u8]) -> FileResult<Header> {
    let (start, length) = match *head {
        [_, _, _, _, _, _, 1, _, a, b, ..] => (10, usize::from(u16::from_le_bytes([a, b]))),
        [_, _, _, _, _, _, 2 | 3, _, a, b, c, d, ..] => {
            (12, u32::from_le_bytes([a, b, c, d]).try_into().unwrap_or(usize::MAX))
        }
        [_, _, _, _, _, _, version, ..] if head.len() >= 10 => {
            let allowed = "must be 1, 2 or 3";
            return Err(FileError::field(path, "npy version", version.to_string(), allowed));
        }
        _ => return Err(FileError::format(path, "npy", "it ends within its header")),
    };
    if length > MAX_HEADER {
        let allowed = format!("must be at most {MAX_HEADER}");
        return Err(FileError::field(path, "header", format!("{length} bytes"), allowed));
    }
    let Some(text) = head[start..].get(..length) else {
        return Err(FileError::format(path, "npy", "it ends within its header"));
    };
    let text = String::from_utf8_lossy(text);
    let dict = dictionary(&text).ok_or_else(|| {
        let allowed = "must be a dictionary of descr, fortran_order and shape";
        FileError::field(path, "header", text.trim(), allowed)
    })?;
    let element = element_of(dict.descr).map_err(|(value, allowed)| {
        FileError::field(path, "descr", format!("{} ({value})", dict.descr), allowed)
    })?;
    let shape = dict.shape.ok_or_else(|| {
        FileError::field(path, "header", text.trim(), "the whole must fit into memory")
    })?;
    Ok(Header { start: (start + length) as u64, element, is_fortran: dict.is_fortran, shape })
}

struct Dictionary<'a> {
    /// The type between its quotes, or a list of several.
    descr: &'a str,
    is_fortran: bool,
    /// `None` if the product of the axes is too large a number.
    shape: Option<Vec<u64>>,
}

/// Takes the next token of the kind asked for, and the blanks before it.
struct Tokens<'a>(&'a str);

impl<'a> Tokens<'a> {
    fn eat(&mut self, token: &str) -> bool {
        match self.0.trim_start().strip_prefix(token) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }

    /// A string without escapes.
    fn string(&mut self) -> Option<&'a str> {
        let text = self.0.trim_start();
        let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
        let (string, rest) = text[1..].split_once(quote)?;
        self.0 = rest;
        (!string.contains('\\')).then_some(string)
    }

    /// All up to the bracket that closes the list that begins here.
    fn list(&mut self) -> Option<&'a str> {
        let text = self.0.trim_start();
        let mut depth = 0u32;
        for (i, c) in text.char_indices() {
            depth = match c {
                '[' => depth + 1,
                ']' => depth.checked_sub(1)?,
                _ => depth,
            };
            if depth == 0 {
                let (list, rest) = text.split_at(i + 1);
                self.0 = rest;
                return (i > 0).then_some(list);
            }
        }
        None
    }

    /// A tuple of whole numbers: `()`, `(3,)`, `(3, 4)`. The inner `None` is one too large.
    fn shape(&mut self) -> Option<Option<Vec<u64>>> {
        if !self.eat("(") {
            return None;
        }
        let (tuple, rest) = self.0.split_once(')')?;
        self.0 = rest;
        let tuple = tuple.trim();
        let axes: Vec<&str> = match tuple.strip_suffix(',') {
            _ if tuple.is_empty() => Vec::new(),
            Some(axes) => axes.split(',').collect(),
            // One number in brackets is no tuple.
            None if !tuple.contains(',') => return None,
            None => tuple.split(',').collect(),
        };
        let mut shape = Some(Vec::new());
        let mut product = 1u64;
        for axis in axes {
            // NumPy under Python 2 wrote long integers: 5L.
            let digits = axis.trim().strip_suffix('L').unwrap_or(axis.trim());
            if digits.is_empty() || !digits.bytes().all(|c| c.is_ascii_digit()) {
                return None;
            }
            let axis = digits.parse::<u64>().ok();
            let next = axis.and_then(|n| product.checked_mul(n.max(1)));
            shape = shape.zip(axis).zip(next).map(|((mut shape, axis), next)| {
                product = next;
                shape.push(axis);
                shape
            });
        }
        Some(shape)
    }
}

/// Each of the three keys once, in any order, and nothing else.
fn dictionary(text: &str) -> Option<Dictionary<'_>> {
    let mut tokens = Tokens(text);
    let (mut descr, mut is_fortran, mut shape) = (None, None, None);
    if !tokens.eat("{") {
        return None;
    }
    while !tokens.eat("}") {
        let key = tokens.string()?;
        if !tokens.eat(":") {
            return None;
        }
        let is_new = match key {
            "descr" => {
                let is_list = tokens.0.trim_start().starts_with('[');
                let value = if is_list { tokens.list() } else { tokens.string() };
                descr.replace(value?).is_none()
            }
            "fortran_order" => {
                let value = tokens.eat("True");
                (value || tokens.eat("False")) && is_fortran.replace(value).is_none()
            }
            "shape" => shape.replace(tokens.shape()?).is_none(),
            _ => false,
        };
        let is_last = tokens.0.trim_start().starts_with('}');
        if !is_new || !(tokens.eat(",") || is_last) {
            return None;
        }
    }
    let is_whole = tokens.0.trim().is_empty();
    let dict = Dictionary { descr: descr?, is_fortran: is_fortran?, shape: shape? };
    is_whole.then_some(dict)
}

/// How numbers of this type are read, or what the type is and what to do about it.
fn element_of(descr: &str) -> Result<Element, (&'static str, &'static str)> {
    Ok(match descr {
        "|b1" => (1, |b| f64::from(u8::from(b[0] != 0))),
        "|i1" => element!(i8, from_le_bytes),
        "<i2" => element!(i16, from_le_bytes),
        ">i2" => element!(i16, from_be_bytes),
        "<i4" => element!(i32, from_le_bytes),
        ">i4" => element!(i32, from_be_bytes),
        "<i8" => element!(i64, from_le_bytes),
        ">i8" => element!(i64, from_be_bytes),
        "|u1" => element!(u8, from_le_bytes),
        "<u2" => element!(u16, from_le_bytes),
        ">u2" => element!(u16, from_be_bytes),
        "<u4" => element!(u32, from_le_bytes),
        ">u4" => element!(u32, from_be_bytes),
        "<u8" => element!(u64, from_le_bytes),
        ">u8" => element!(u64, from_be_bytes),
        "<f2" => (2, |b| half(u16::from_le_bytes([b[0], b[1]]))),
        ">f2" => (2, |b| half(u16::from_be_bytes([b[0], b[1]]))),
        "<f4" => element!(f32, from_le_bytes),
        ">f4" => element!(f32, from_be_bytes),
        "<f8" => element!(f64, from_le_bytes),
        ">f8" => element!(f64, from_be_bytes),
        _ => return Err(refusal(descr)),
    })
}

fn refusal(descr: &str) -> (&'static str, &'static str) {
    let kind = descr.trim_start_matches(['<', '>', '|', '=']).chars().next();
    match kind {
        Some('[') => (
            "records of several fields",
            "must be one type of numbers; in Python, \
             numpy.lib.recfunctions.structured_to_unstructured(a) makes a plain array",
        ),
        Some('O') => (
            "Python objects",
            "must be numbers; in Python, a.astype(float) makes them if all can be",
        ),
        Some('U' | 'S' | 'a') => {
            ("text", "must be numbers; in Python, a.astype(float) makes them if all can be")
        }
        Some('c') => (
            "complex numbers",
            "must be real; in Python, numpy.c_[a.real, a.imag] has both parts as columns",
        ),
        Some('M' | 'm') => {
            ("dates or times", "must be numbers; in Python, a.astype('int64') counts their units")
        }
        Some('f') => (
            "floating-point numbers of this machine's own",
            "must be f2, f4 or f8; in Python, a.astype('f8')",
        ),
        _ => ("no known type", "must be b1, i1, i2, i4, i8, u1, u2, u4, u8, f2, f4 or f8"),
    }
}

/// The value of a half-precision number.
fn half(bits: u16) -> f64 {
    let (exponent, fraction) = (bits >> 10 & 31, f64::from(bits & 1023));
    let size = match exponent {
        0 => libm::ldexp(fraction, -24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        e => libm::ldexp(fraction + 1024.0, i32::from(e) - 25),
    };
    if bits >> 15 == 1 { -size } else { size }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dictionaries_are_read_strictly() {
        let shape = |text: &str| {
            dictionary(&format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {text}, }}"))
                .map(|d| d.shape)
        };
        assert_eq!(shape("(3, 4)"), Some(Some([3, 4].to_vec())));
        assert_eq!(shape("(3,)"), Some(Some([3].to_vec())));
        assert_eq!(shape("( 3L , 4L, )"), Some(Some([3, 4].to_vec())));
        assert_eq!(shape("()"), Some(Some(Vec::new())));
        assert_eq!(shape("(99999999999999999999, 1)"), Some(None));
        assert_eq!(shape("(0, 4294967296, 4294967296)"), Some(None));
        for bad in ["(3)", "(,)", "3, 4", "(-3, 4)", "(3.0, 4)", "(3,, 4)", "(3, 4", "[3, 4]", ""] {
            assert!(shape(bad).is_none(), "{bad}");
        }
        let good = "{\"shape\":(2,1),'descr':\"|u1\",'fortran_order':True}  \n";
        let dict = dictionary(good).unwrap();
        assert_eq!((dict.descr, dict.is_fortran), ("|u1", true));
        for (from, to) in [
            ("{", ""),
            ("}", ""),
            ("True", "true"),
            ("shape", "shapes"),
            ("'descr'", "'shape'"),
            (",'fortran_order':True", ""),
            ("|u1", "|u1\\"),
            ("  \n", " x"),
            (":(", "("),
            (",'d", "'d"),
        ] {
            assert!(dictionary(&good.replacen(from, to, 1)).is_none(), "{from} -> {to}");
        }
        let list = "{'descr': [('a', '<f4'), ('b', '<i2', (2,))], 'fortran_order': False, \
                    'shape': (3,), }";
        assert!(dictionary(list).unwrap().descr.ends_with("(2,))]"));
    }

    #[test]
    fn headers_are_as_numpy_writes_them() {
        for (bits, shape) in [(32, [2, 3]), (64, [123_456_789, 10]), (32, [usize::MAX, 1])] {
            let bytes = header(bits, shape);
            assert!(bytes.len().is_multiple_of(64) && bytes.ends_with(b" \n"));
            let read = parse(Path::new("x"), &bytes).unwrap();
            assert_eq!(read.start, bytes.len() as u64);
            assert_eq!(read.shape, shape.map(|n| n as u64));
            assert_eq!((read.element.0, read.is_fortran), (bits as usize / 8, false));
        }
        let start = b"{'descr': '<f8', 'fortran_order': False, 'shape': (5, 4), }";
        assert!(header(64, [5, 4])[10..].starts_with(start));
    }

    #[test]
    fn half_precision() {
        for (bits, value) in [
            (0x0001u16, 2f64.powi(-24)),
            (0x03ff, 1023.0 * 2f64.powi(-24)),
            (0x0400, 2f64.powi(-14)),
            (0x3c00, 1.0),
            (0xc580, -5.5),
            (0x7bff, 65504.0),
            (0xfc00, f64::NEG_INFINITY),
        ] {
            assert_eq!(half(bits), value, "{bits:x}");
        }
        assert!(half(0x7e00).is_nan() && half(0x8000).is_sign_negative());
    }

    #[test]
    fn what_is_no_number_is_named() {
        for (descr, what) in [
            ("[('a', '<f4')]", "records"),
            ("|O", "objects"),
            ("<U7", "text"),
            ("|S3", "text"),
            ("<c16", "complex"),
            ("<M8[ns]", "dates"),
            ("<f16", "f8"),
            ("|i2", "no known type"),
            ("", "no known type"),
        ] {
            let (value, allowed) = element_of(descr).unwrap_err();
            assert!(value.contains(what) || allowed.contains(what), "{descr}: {value}");
        }
    }
}
