//! Data sets in files: npy, csv and tsv, IDX.

use std::format;
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::Path;
use std::string::{String, ToString};
use std::vec::Vec;

use npyz::WriterBuilder;

use super::data::{Data, check_shape};
use super::error::{FileError, FileResult};
use crate::Real;

impl<T: Real> Data<T> {
    /// Reads a file: text if it is named `.csv` or `.tsv`, else npy or IDX, told by their first
    /// bytes.
    ///
    /// - npy: two axes in C order, `f4` or `f8` of either byte order.
    /// - csv, tsv: a first row without any number is a header; blank lines are skipped.
    /// - IDX (the format of MNIST, unpacked): the first axis counts rows, the others are
    ///   flattened.
    ///
    /// # Errors
    /// Anything but a rectangular table of finite numbers that fit `T`; rows and columns are
    /// counted from 1.
    pub fn read(path: impl AsRef<Path>) -> FileResult<Data<T>> {
        let path = path.as_ref();
        let extension = path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase);
        match extension.as_deref() {
            Some("csv") => return read_text(path, b','),
            Some("tsv") => return read_text(path, b'\t'),
            _ => {}
        }
        let bytes = fs::read(path).map_err(|e| FileError::io(path, e))?;
        match *bytes {
            [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => read_npy(path, &bytes),
            [0, 0, _, _, ..] => read_idx(path, &bytes),
            _ => {
                let found = format!("{:02x?}", &bytes[..bytes.len().min(6)]);
                let allowed = "must be those of npy (93 4e 55 4d 50 59) or of unpacked IDX \
                               (00 00), or the name must end with .csv or .tsv";
                Err(FileError::field(path, "first bytes", found, allowed))
            }
        }
    }
}

/// Writes rows of `dim` values each as npy.
///
/// # Errors
/// If the values do not fill rows, or the file cannot be written.
pub fn write_npy<T: Real>(path: impl AsRef<Path>, dim: usize, values: &[T]) -> FileResult<()> {
    check_shape(dim, values.len())?;
    let path = path.as_ref();
    let shape = [(values.len() / dim) as u64, dim as u64];
    let write = || {
        let file = BufWriter::new(File::create(path)?);
        let numbers = values.iter().map(|v| v.to_f64());
        if size_of::<T>() == size_of::<f32>() {
            let options = npyz::WriteOptions::<f32>::new().default_dtype().shape(&shape);
            let mut npy = options.writer(file).begin_nd()?;
            npy.extend(numbers.map(|v| v as f32))?;
            npy.finish()
        } else {
            let options = npyz::WriteOptions::<f64>::new().default_dtype().shape(&shape);
            let mut npy = options.writer(file).begin_nd()?;
            npy.extend(numbers)?;
            npy.finish()
        }
    };
    write().map_err(|e| FileError::io(path, e))
}

/// `value` as a `T`, or what is wrong with it.
fn number<T: Real>(value: f64) -> core::result::Result<T, &'static str> {
    let number = T::from_f64(value);
    match (value.is_finite(), number.to_f64().is_finite()) {
        (true, true) => Ok(number),
        (true, false) => Err("does not fit into 32 bits"),
        _ => Err("is not finite"),
    }
}

fn read_text<T: Real>(path: &Path, delimiter: u8) -> FileResult<Data<T>> {
    let bytes = fs::read(path).map_err(|e| FileError::io(path, e))?;
    // The reader's position is that of the blank lines before a record, not of the record.
    let line = |position: Option<&csv::Position>| {
        let start = position.map_or(0, |p| p.byte() as usize);
        let blank = bytes[start..].iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
        1 + bytes[..start + blank].iter().filter(|b| **b == b'\n').count() as u64
    };
    let fault = |e: csv::Error| match e.kind() {
        csv::ErrorKind::Utf8 { pos, err } => {
            FileError::format(path, "csv", format!("row {}: {err}", line(pos.as_ref())))
        }
        _ => FileError::format(path, "csv", e),
    };
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(&bytes[..]);
    let mut values = Vec::new();
    let mut dim = None;
    let mut record = csv::StringRecord::new();
    while reader.read_record(&mut record).map_err(fault)? {
        let row = || line(record.position());
        let columns = record.len();
        let is_first = dim.is_none();
        let expected = *dim.get_or_insert(columns);
        if columns != expected {
            return Err(FileError::Row { path: path.into(), row: row(), columns, expected });
        }
        if is_first && record.iter().all(|cell| cell.parse::<f64>().is_err()) {
            continue;
        }
        for (i, cell) in record.iter().enumerate() {
            let parsed = match cell.parse::<f64>() {
                Ok(value) => number(value),
                Err(_) if cell.is_empty() => Err("is empty, not a number"),
                Err(_) => Err("is not a number"),
            };
            values.push(parsed.map_err(|problem| FileError::Cell {
                path: path.into(),
                row: row(),
                column: i + 1,
                value: cell.into(),
                problem,
            })?);
        }
    }
    if values.is_empty() {
        return Err(FileError::field(path, "rows", "none", "must be at least one below a header"));
    }
    Ok(Data { dim: dim.unwrap_or(1), values })
}

/// Elements of a binary format: their size and how one becomes a number.
type Element = (usize, fn(&[u8]) -> f64);

/// An [`Element`] of this type and byte order.
macro_rules! element {
    ($t:ty, $from:ident) => {
        (size_of::<$t>(), |b| <$t>::$from(b.try_into().expect("chunks of this size")).into())
    };
}

/// The shape as `(rows, dim)` if neither is 0; `None` also where that does not fit.
fn table(shape: &[u64]) -> Option<(usize, usize)> {
    let (&rows, rest) = shape.split_first()?;
    let dim = rest.iter().try_fold(1u64, |dim, &n| dim.checked_mul(n))?;
    let (rows, dim) = (usize::try_from(rows).ok()?, usize::try_from(dim).ok()?);
    (rows > 0 && dim > 0).then_some((rows, dim))
}

/// Reads all of `path`'s bytes from `start` on as a table of this shape.
fn read_binary<T: Real>(
    path: &Path,
    bytes: &[u8],
    start: usize,
    shape: &[u64],
    (size, read): Element,
) -> FileResult<Data<T>> {
    let (rows, dim) = table(shape).ok_or_else(|| {
        let allowed = "every axis must be at least 1 and the whole fit into memory";
        FileError::field(path, "shape", format!("{shape:?}"), allowed)
    })?;
    let expected = rows.checked_mul(dim).and_then(|n| n.checked_mul(size)?.checked_add(start));
    if expected != Some(bytes.len()) {
        let expected = expected.map(|n| n as u64);
        return Err(FileError::Size { path: path.into(), bytes: bytes.len() as u64, expected });
    }
    let cells = bytes[start..].chunks_exact(size).map(read).enumerate();
    let values = cells.map(|(i, value)| {
        number(value).map_err(|problem| FileError::Cell {
            path: path.into(),
            row: (i / dim) as u64 + 1,
            column: i % dim + 1,
            value: value.to_string(),
            problem,
        })
    });
    Ok(Data { dim, values: values.collect::<FileResult<_>>()? })
}

/// What numpy writes takes 118 bytes; long headers could nest deeper than the stack.
const MAX_NPY_HEADER: usize = 1024;

fn read_npy<T: Real>(path: &Path, bytes: &[u8]) -> FileResult<Data<T>> {
    check_npy_header(path, bytes)?;
    let mut rest = bytes;
    let header = npyz::NpyHeader::from_reader(&mut rest)
        .map_err(|e| FileError::format(path, "npy", e.to_string()))?;
    let element: Element = match header.dtype().descr().as_str() {
        "'<f4'" => element!(f32, from_le_bytes),
        "'>f4'" => element!(f32, from_be_bytes),
        "'<f8'" => element!(f64, from_le_bytes),
        "'>f8'" => element!(f64, from_be_bytes),
        other => {
            return Err(FileError::field(path, "descr", other, "must be <f4, >f4, <f8 or >f8"));
        }
    };
    if header.order() != npyz::Order::C {
        return Err(FileError::field(path, "fortran_order", "True", "must be False"));
    }
    if header.shape().len() != 2 {
        let found = format!("{:?}", header.shape());
        return Err(FileError::field(path, "shape", found, "must be (rows, dim)"));
    }
    read_binary(path, bytes, bytes.len() - rest.len(), header.shape(), element)
}

/// Refuses headers that npyz would trust too far: it reserves the stated length and multiplies
/// the shape unchecked.
fn check_npy_header(path: &Path, bytes: &[u8]) -> FileResult<()> {
    let (start, length) = match *bytes {
        [_, _, _, _, _, _, 1, _, a, b, ..] => (10, usize::from(u16::from_le_bytes([a, b]))),
        [_, _, _, _, _, _, _, _, a, b, c, d, ..] => {
            (12, u32::from_le_bytes([a, b, c, d]).try_into().unwrap_or(usize::MAX))
        }
        _ => (bytes.len(), 1),
    };
    let text = bytes[start..].get(..length.min(MAX_NPY_HEADER)).unwrap_or_default();
    if text.len() != length {
        let value = format!("{length} bytes");
        let allowed = format!("must be at most {MAX_NPY_HEADER} and inside the file");
        return Err(FileError::field(path, "header", value, allowed));
    }
    let digits = text.split(|c| !c.is_ascii_digit()).filter(|run| run.iter().any(|c| *c != b'0'));
    let product = digits
        .map(|run| str::from_utf8(run).ok()?.parse::<u64>().ok())
        .try_fold(1u64, |product, n| product.checked_mul(n?));
    match product {
        Some(_) => Ok(()),
        None => {
            let value = String::from_utf8_lossy(text).trim().to_string();
            Err(FileError::field(path, "header", value, "the whole must fit into memory"))
        }
    }
}

fn read_idx<T: Real>(path: &Path, bytes: &[u8]) -> FileResult<Data<T>> {
    let element: Element = match bytes[2] {
        0x08 => element!(u8, from_be_bytes),
        0x09 => element!(i8, from_be_bytes),
        0x0b => element!(i16, from_be_bytes),
        0x0c => element!(i32, from_be_bytes),
        0x0d => element!(f32, from_be_bytes),
        0x0e => element!(f64, from_be_bytes),
        other => {
            let allowed = "must be 08, 09, 0b, 0c, 0d or 0e";
            return Err(FileError::field(path, "IDX type", format!("{other:02x}"), allowed));
        }
    };
    let axes = usize::from(bytes[3]);
    if axes < 2 {
        return Err(FileError::field(path, "IDX axes", axes.to_string(), "must be at least 2"));
    }
    let start = 4 + 4 * axes;
    let header = bytes.get(4..start).ok_or_else(|| FileError::Size {
        path: path.into(),
        bytes: bytes.len() as u64,
        expected: Some(start as u64),
    })?;
    let (sizes, _) = header.as_chunks::<4>();
    let shape: Vec<u64> = sizes.iter().map(|&n| u32::from_be_bytes(n).into()).collect();
    read_binary(path, bytes, start, &shape, element)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    /// Reads these bytes as a file of this name; errors without the path.
    fn read<T: Real>(name: &str, bytes: &[u8]) -> core::result::Result<Data<T>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        let prefix = format!("{}: ", path.display());
        Data::read(&path).map_err(|e| e.to_string().strip_prefix(&prefix).unwrap().into())
    }

    fn error(name: &str, bytes: &[u8]) -> String {
        read::<f32>(name, bytes).unwrap_err()
    }

    fn npy(dict: &str, data: &[u8]) -> Vec<u8> {
        let length = (dict.len() as u16).to_le_bytes();
        [b"\x93NUMPY\x01\x00", &length[..], dict.as_bytes(), data].concat()
    }

    fn header(descr: &str, fortran: &str, shape: &str) -> String {
        format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}\n")
    }

    fn data(dim: usize, values: &[f64]) -> Data<f64> {
        Data::new(dim, values.to_vec()).unwrap()
    }

    #[test]
    fn text() {
        let table = data(2, &[1.0, -2.5, 3e2, 4.0]);
        assert_eq!(read("a.csv", b"1,-2.5\n3e2,4").unwrap(), table);
        assert_eq!(read("a.CSV", b"x,y\r\n1, -2.5\r\n\r\n3e2,\"4\"\r\n").unwrap(), table);
        assert_eq!(read("a.tsv", b"x y\tz\n1\t-2.5\n3e2\t4\n").unwrap(), table);
        let ragged = error("a.csv", b"x,y\n1,2\n3\n");
        assert_eq!(ragged, "row 3: number of columns is 1; must be 2");
        let cell = |text: &str| error("a.csv", text.as_bytes());
        assert_eq!(cell("1,2\n\n3,abc\n"), "row 3, column 2: \"abc\" is not a number");
        assert_eq!(cell("1,x\n"), "row 1, column 2: \"x\" is not a number");
        assert_eq!(cell("x\n1\ny\n"), "row 3, column 1: \"y\" is not a number");
        assert_eq!(cell("1,\n"), "row 1, column 2: \"\" is empty, not a number");
        assert_eq!(cell("1,2\n3,NaN\n"), "row 2, column 2: \"NaN\" is not finite");
        assert_eq!(cell("-inf,2\n"), "row 1, column 1: \"-inf\" is not finite");
        assert_eq!(cell("1,1e39\n"), "row 1, column 2: \"1e39\" does not fit into 32 bits");
        assert_eq!(read("a.csv", b"1,1e39\n").unwrap(), data(2, &[1.0, 1e39]));
        assert!(cell("").starts_with("rows: none") && cell("x,y\n").starts_with("rows: none"));
        assert!(error("a.csv", b"1,2\n\xff,3\n").contains("row 2"));
    }

    #[test]
    fn npy_round_trip() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npy");
        write_npy(&path, 2, &[1.5f32, -2.0, 3.0, f32::MIN_POSITIVE]).unwrap();
        let values = vec![1.5f32, -2.0, 3.0, f32::MIN_POSITIVE];
        assert_eq!(Data::read(&path).unwrap(), Data::new(2, values).unwrap());
        write_npy(&path, 3, &[0.1f64, 1e300, -3.0]).unwrap();
        assert_eq!(Data::read(&path).unwrap(), data(3, &[0.1, 1e300, -3.0]));
        let narrow = Data::<f32>::read(&path).unwrap_err().to_string();
        assert!(narrow.contains("row 1, column 2") && narrow.ends_with("32 bits"), "{narrow}");
        assert!(matches!(write_npy(&path, 2, &[1.0f32]), Err(FileError::Status(_))));
        let nowhere = write_npy(folder.path().join("no/a.npy"), 1, &[1.0f32]);
        assert!(matches!(nowhere, Err(FileError::Io { .. })));
        assert!(matches!(Data::<f32>::read("/no/such"), Err(FileError::Io { .. })));
    }

    #[test]
    fn npy_headers() {
        let good = header(">f4", "False", "(1, 2)");
        let values = [2.0f32.to_be_bytes(), 3.0f32.to_be_bytes()].concat();
        assert_eq!(read("a.npy", &npy(&good, &values)).unwrap(), data(2, &[2.0, 3.0]));
        assert!(
            error("a.npy", &npy(&good, &values[1..]))
                .starts_with("77 bytes long, but by its header 78")
        );
        assert!(error("a.npy", &npy(&good, &[0; 9])).contains("bytes long"));
        let types: [(&str, &[u8]); 4] = [
            ("<f4", &2.5f32.to_le_bytes()),
            (">f4", &2.5f32.to_be_bytes()),
            ("<f8", &2.5f64.to_le_bytes()),
            (">f8", &2.5f64.to_be_bytes()),
        ];
        for (descr, bytes) in types {
            let file = npy(&header(descr, "False", "(1, 1)"), bytes);
            assert_eq!(read("a.npy", &file).unwrap(), data(1, &[2.5]), "{descr}");
        }
        let nan = [2.0f32.to_be_bytes(), f32::NAN.to_be_bytes()].concat();
        assert_eq!(error("a.npy", &npy(&good, &nan)), "row 1, column 2: \"NaN\" is not finite");
        let refused =
            |descr, fortran, shape| error("a", &npy(&header(descr, fortran, shape), &[0; 8]));
        assert!(refused("<i8", "False", "(1, 1)").starts_with("descr: '<i8'; must be <f4"));
        assert!(refused("<f4", "True", "(1, 2)").starts_with("fortran_order: True"));
        assert!(refused("<f4", "False", "(2,)").starts_with("shape: [2]; must be (rows, dim)"));
        assert!(refused("<f4", "False", "(0, 2)").starts_with("shape: [0, 2]; every axis"));
        for lie in
            ["(4294967296, 4294967296)", "(0, 9223372036854775807, 4)", "(1, 99999999999999999999)"]
        {
            assert!(refused("<f4", "False", lie).ends_with("must fit into memory"), "{lie}");
        }
        assert!(error("a.npy", &npy("{'descr': ", &[])).contains("not a valid npy file"));
        assert!(error("a.npy", &npy(&"(".repeat(60000), &[])).starts_with("header: 60000 bytes"));
        error("a.npy", &npy(&"(".repeat(MAX_NPY_HEADER), &[]));
        for end in 0..good.len() + 10 {
            error("a.npy", &npy(&good, &values)[..end]);
        }
        assert!(error("a.npy", b"PK").starts_with("first bytes: [50, 4b]; must be"));
    }

    #[test]
    fn idx() {
        let file = |tail: &[u8]| [&[0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2], tail].concat();
        assert_eq!(read("a", &file(&[1, 2, 3, 255])).unwrap(), data(2, &[1.0, 2.0, 3.0, 255.0]));
        assert_eq!(error("a", &file(&[1, 2, 3])), "19 bytes long, but by its header 20");
        assert_eq!(error("a", &file(&[1, 2, 3, 4, 5])), "21 bytes long, but by its header 20");
        assert_eq!(error("a", &file(&[])[..9]), "9 bytes long, but by its header 16");
        let one =
            |kind: u8, value: &[u8]| [&[0, 0, kind, 2, 0, 0, 0, 1, 0, 0, 0, 1], value].concat();
        let cases: [(u8, &[u8], f64); 5] = [
            (0x09, &(-3i8).to_be_bytes(), -3.0),
            (0x0b, &(-300i16).to_be_bytes(), -300.0),
            (0x0c, &(-70000i32).to_be_bytes(), -70000.0),
            (0x0d, &0.5f32.to_be_bytes(), 0.5),
            (0x0e, &1e-300f64.to_be_bytes(), 1e-300),
        ];
        for (kind, bytes, value) in cases {
            assert_eq!(read("a", &one(kind, bytes)).unwrap(), data(1, &[value]));
        }
        let infinite = error("a", &one(0x0d, &f32::INFINITY.to_be_bytes()));
        assert_eq!(infinite, "row 1, column 1: \"inf\" is not finite");
        assert!(error("a", &one(0x0a, &[1])).starts_with("IDX type: 0a"));
        assert!(error("a", &[0, 0, 8, 1, 0, 0, 0, 1, 7]).starts_with("IDX axes: 1"));
        let huge = [&[0, 0, 8, 4][..], &[255; 16]].concat();
        assert!(error("a", &huge).starts_with("shape: [4294967295"));
        assert!(error("a", &[&[0, 0, 14, 2][..], &[255; 8]].concat()).ends_with("any file"));
        assert!(error("a", &[0, 0, 8, 2, 0, 0, 0, 0, 0, 0, 0, 1]).starts_with("shape: [0, 1]"));
    }
}
