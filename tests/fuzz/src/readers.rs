//! The bytes as a data file of each kind.

use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use relgrad::hosted::{Format, cells, for_each_chunk, open};
use relgrad::{Real, Scalar};

use crate::bytes::Bytes;
use crate::memory::in_proportion;
use crate::outcome::{note, note_error};
use crate::{Seeds, random::Random};

pub const WORDS: &[&str] = &[
    "\u{feff}",
    "\r\n",
    "\"",
    "\"\"",
    ";",
    "\t",
    ",",
    " ",
    "#",
    "nan",
    "inf",
    "1e999",
    "-0",
    "1,5",
    "<f8",
    ">f4",
    "|b1",
    "<i2",
    "|u1",
    "descr",
    "fortran_order",
    "True",
    "False",
    "shape",
    "(3, 2)",
    "(99999999999, 2)",
    "PK\u{3}\u{4}",
    "PK\u{1}\u{2}",
    "PK\u{5}\u{6}",
    "a.npy",
    "1e400",
    "0x1p3",
];

/// How the rest of the input becomes a file: names and wrappings.
const NAMES: [&str; 12] = [
    "x", "x.f32", "x.f64", "x.gz", "x.npz", "x.npy", "x.csv", "x.tsv", "x.txt", "x.csv.gz",
    "x.f32.gz", "x.h5",
];

/// Of the seeds.
const ARRAYS: [&str; 4] = ["a", "other/chunks", "other/deep/packed", "train"];

/// The first byte names and wraps the file, the second says what is asked of it, the rest is its content.
pub fn readers(input: &[u8]) {
    let mut b = Bytes(input);
    let kind = b.below(2 * NAMES.len());
    let name = NAMES[kind % NAMES.len()];
    let asked = b.byte();
    let content = match name {
        // Packed here, so that what is inside is what has changed.
        _ if kind < NAMES.len() => b.0.to_vec(),
        "x.npz" => zipped(b.0),
        name if name.ends_with(".gz") => gzipped(b.0),
        _ => b.0.to_vec(),
    };
    let format = Format {
        dim: (asked & 1 == 1 || name.contains(".f")).then_some(1 + usize::from(asked >> 6)),
        array: (asked & 2 == 2).then(|| ARRAYS[usize::from(asked >> 6)].to_string()),
        header: [None, Some(true)][usize::from(asked & 4 == 4)],
        stream: asked & 8 == 8,
        columns: if asked & 48 == 16 { vec!["2".into(), "1".into()] } else { Vec::new() },
        keep: if asked & 48 == 32 { vec!["1".into()] } else { Vec::new() },
        drop: if asked & 48 == 48 { vec!["2".into()] } else { Vec::new() },
        ..Format::default()
    };
    let path = crate::memory::file(name, &content);
    in_proportion(content.len(), || read::<f32>(&path, &format));
    in_proportion(content.len(), || read::<f64>(&path, &format));
    if asked & 1 == 1 {
        in_proportion(content.len(), || cells(&path, None, None).map(|c| note(c.len().min(9))))
            .ok();
    }
}

fn read<T: Scalar>(path: &std::path::Path, format: &Format) {
    let rows = match open::<T>(path, format) {
        Ok(rows) => rows,
        Err(error) => {
            // A message is for people, however long what it speaks of.
            assert!(error.to_string().len() < 4096, "a message of {}", error.to_string().len());
            return note_error(&error);
        }
    };
    assert!(rows.dim() > 0 && rows.rows() > 0, "{} rows of {}", rows.rows(), rows.dim());
    note((T::BITS, rows.dim().min(9), rows.rows().min(9)));
    let mut seen = 0;
    let chunk = (1 << 16) / rows.dim().max(1);
    let whole = for_each_chunk(&*rows, chunk.max(1), |values: &[T]| {
        seen += values.len();
        assert!(values.iter().all(|v| Real::to_f64(*v).is_finite()), "not finite");
        Ok(())
    });
    match whole {
        Ok(()) => assert_eq!(seen, rows.rows() * rows.dim()),
        Err(error) => note_error(&error),
    }
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(bytes).expect("memory");
    packed.finish().expect("memory")
}

/// An npz with one array.
fn zipped(array: &[u8]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default();
    archive.start_file("a.npy", options).expect("memory");
    archive.write_all(array).expect("memory");
    archive.finish().expect("memory").into_inner()
}

pub fn seeds() -> Seeds {
    let mut random = Random(1);
    let numbers: Vec<f64> = (0..12).map(|_| random.normal()).collect();
    let npy = |dtype: &str, order: &str, bytes: Vec<u8>| {
        let header = format!("{{'descr': '{dtype}', 'fortran_order': {order}, 'shape': (4, 3), }}");
        let mut file = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
        file.extend(format!("{header:<117}\n").bytes());
        file.extend(bytes);
        file
    };
    let doubles: Vec<u8> = numbers.iter().flat_map(|v| v.to_le_bytes()).collect();
    let singles: Vec<u8> = numbers.iter().flat_map(|v| (*v as f32).to_le_bytes()).collect();
    let text = |separator: &str, head: &str| {
        let rows = numbers.chunks(3).map(|r| r.iter().map(|v| format!("{v:.3}")));
        let rows = rows.map(|r| r.collect::<Vec<_>>().join(separator));
        format!("{head}{}\n", rows.collect::<Vec<_>>().join("\n")).into_bytes()
    };
    let idx = [vec![0, 0, 8, 2, 0, 0, 0, 4, 0, 0, 0, 3], (0..12).collect()].concat();
    let idx_doubles = {
        let big: Vec<u8> = numbers.iter().flat_map(|v| v.to_be_bytes()).collect();
        [vec![0, 0, 14, 1, 0, 0, 0, 12], big].concat()
    };
    let f8 = npy("<f8", "False", doubles.clone());
    let files: [(&str, usize, Vec<u8>); 17] = [
        ("npy_f8", 5, f8.clone()),
        ("npy_f4_columns", 0, npy("<f4", "True", singles.clone())),
        ("npy_big_endian", 0, npy(">i4", "False", singles.clone())),
        ("npy_bool", 0, npy("|b1", "False", vec![1; 12])),
        ("npz", 4, zipped(&f8)),
        ("npz_wrapped", 12 + 4, f8.clone()),
        ("npy_gz", 3, gzipped(&f8)),
        ("npy_gz_wrapped", 12 + 3, f8),
        ("csv", 6, text(",", "a,b,c\n")),
        ("csv_quoted", 0, b"\"a\",\"b \"\"c\"\"\"\n1,\"2\"\n3,4\n".to_vec()),
        ("semicolons", 8, b"a;b\n1,5;2,5\n3,5;4,5\n".to_vec()),
        ("tabs", 7, text("\t", "# of two lines\n")),
        ("blanks_gz", 12 + 9, text("  ", "")),
        ("raw_f32", 1, singles),
        ("raw_f64_gz", 12 + 10, doubles),
        ("idx", 0, idx),
        ("idx_doubles", 0, idx_doubles),
    ];
    let seed = |(name, kind, file): (&str, usize, Vec<u8>)| {
        (name.to_string(), [vec![kind as u8, 0], file].concat())
    };
    let mut seeds: Seeds = files.into_iter().map(seed).collect();
    let hdf5 = include_bytes!("../../data/tables.hdf5");
    seeds.push(("hdf5".into(), [&[11, 0], &hdf5[..]].concat()));
    seeds
}
