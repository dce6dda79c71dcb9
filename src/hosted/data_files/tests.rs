use super::super::binary_files::{write_npy, write_npy_rows};
use super::*;
use std::fs;
use std::string::ToString;
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

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
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
    let text = " is not a number; leave the column out with --drop ";
    assert_eq!(cell("1,x\n"), format!("row 1, column 2: \"x\"{text}2"));
    assert_eq!(cell("a,b c\n1,x\n"), format!("row 2, column 2 (b c): \"x\"{text}'\"b c\"'"));
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
fn text_is_told_by_its_content() {
    let table = data(2, &[1.0, -2.5, 3e2, 4.0]);
    for (name, text) in [
        ("a", "1,-2.5\n3e2,4\n"),
        ("a.csv", "1;-2.5\n3e2;4\n"),
        ("a.csv", "x;y\n1;-2,5\n3e2;4,0\n"),
        ("a.csv", "1,0;-2,5\n300,0;4,0\n"),
        ("a.txt", "  1 -2.5\n3e2\t4\n\n"),
        ("a.dat", "# made by hand\nx \"y\"\n1 -2.5\n# between\n3e2 4"),
        ("a.csv", "\u{feff}x,y\n1,-2.5\n3e2,4\n"),
        ("a.txt", "1\t-2.5\n3e2\t4\n"),
        ("a.csv", "# x,y\n1,-2.5\n3e2,4\n"),
        ("a.csv", ",x,y\n0,1,-2.5\n1,3e2,4\n"),
        ("a.csv", "0,1\n1.0,-2.5\n300.0,4.0\n"),
        ("a.csv", "2019,2020\n1.0,-2.5\n300.0,4.0\n"),
    ] {
        assert_eq!(read(name, text.as_bytes()).unwrap(), table, "{text}");
        assert_eq!(read(name, &gzip(text.as_bytes())).unwrap(), table, "{text}");
    }
    let mixed = error("a.csv", b"1,5;2\n1.5;3\n");
    assert_eq!(mixed, "row 2, column 1: \"1.5\" has a point, and numbers above it a comma for one");
    assert!(error("a.csv", b"1.5;2\n1,5;3\n").starts_with("row 2, column 1: \"1,5\" has a comma"));
    assert!(error("a.csv", b"1.000,5;2\n").contains("is not a number"));
    assert!(
        error("a.csv", b"<html><body>Sign in</body></html>").starts_with("content: a web page")
    );
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 2\n";
    assert!(error("a.npy", pointer).starts_with("content: a Git LFS pointer"));
    assert!(error("a", b"\x01\x02\x03").starts_with("first bytes: [01, 02, 03]"));
}

#[test]
fn columns_are_chosen_in_every_format() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let nan = [1.0f32, f32::NAN, 3.0, 4.0, 5.0, 6.0];
    let bytes: Vec<u8> = nan.iter().flat_map(|v| v.to_le_bytes()).collect();
    fs::write(path("a.npy"), npy(&header("<f4", "False", "(2, 3)"), &bytes)).unwrap();
    fs::write(path("a.f32"), &bytes).unwrap();
    fs::write(path("a.csv"), "1,what,3\n4,ever,6\n").unwrap();
    fs::write(path("b.csv"), "x,y,z\n1,what,3\n4,ever,6\n").unwrap();
    let format = |stream| Format {
        columns: ["1", "3"].map(String::from).to_vec(),
        keep: ["3".into()].to_vec(),
        stream,
        ..Format::default()
    };
    for (name, dim, stream) in [
        ("a.npy", None, false),
        ("a.npy", None, true),
        ("a.f32", Some(3), false),
        ("a.f32", Some(3), true),
        ("a.csv", None, false),
        ("b.csv", None, false),
    ] {
        let rows = open::<f64>(path(name), &Format { dim, ..format(stream) }).unwrap();
        assert_eq!(all_of(&*rows).unwrap(), data(2, &[1.0, 3.0, 4.0, 6.0]), "{name}");
        let about = rows.about().unwrap();
        assert_eq!((&about.columns.numbers[..], about.columns.of), (&[1, 3][..], 3));
        assert_eq!(about.kept[0].cells, ["3", "6"], "{name}");
        let names = (name == "b.csv").then(|| ["x", "z"].map(String::from).to_vec());
        assert_eq!(about.columns.names, names);
    }
    let header = |header| Format { header: Some(header), ..Format::default() };
    let rows = |name: &str, format: &Format| open::<f64>(path(name), format).map(|r| r.rows());
    fs::write(path("c.csv"), "0,1\n1,0\n1,1\n").unwrap();
    assert_eq!(rows("c.csv", &Format::default()).unwrap(), 3);
    assert_eq!(rows("c.csv", &header(true)).unwrap(), 2);
    fs::write(path("c.csv"), "0,1,2\n1.5,0.5,2.5\n").unwrap();
    assert_eq!(rows("c.csv", &Format::default()).unwrap(), 1);
    assert_eq!(rows("c.csv", &header(false)).unwrap(), 2);
    let refused = rows("a.npy", &header(true)).unwrap_err().to_string();
    assert!(refused.contains("header: asked for; only text files have one"), "{refused}");
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
    let types: [(&str, &[u8], f64); 22] = [
        ("<f4", &2.5f32.to_le_bytes(), 2.5),
        (">f4", &2.5f32.to_be_bytes(), 2.5),
        ("<f8", &2.5f64.to_le_bytes(), 2.5),
        (">f8", &2.5f64.to_be_bytes(), 2.5),
        ("<f2", &0xc100u16.to_le_bytes(), -2.5),
        (">f2", &0xc100u16.to_be_bytes(), -2.5),
        ("|b1", &[1], 1.0),
        ("|b1", &[0], 0.0),
        ("|i1", &[0xfe], -2.0),
        ("|u1", &[0xfe], 254.0),
        ("<i2", &(-300i16).to_le_bytes(), -300.0),
        (">i2", &(-300i16).to_be_bytes(), -300.0),
        ("<u2", &65000u16.to_le_bytes(), 65000.0),
        (">u2", &65000u16.to_be_bytes(), 65000.0),
        ("<i4", &(-70000i32).to_le_bytes(), -70000.0),
        (">i4", &(-70000i32).to_be_bytes(), -70000.0),
        ("<u4", &4_000_000_000u32.to_le_bytes(), 4e9),
        (">u4", &4_000_000_000u32.to_be_bytes(), 4e9),
        ("<i8", &(-1i64 << 60).to_le_bytes(), -2f64.powi(60)),
        (">i8", &(-1i64 << 60).to_be_bytes(), -2f64.powi(60)),
        ("<u8", &(1u64 << 63).to_le_bytes(), 2f64.powi(63)),
        (">u8", &(1u64 << 63).to_be_bytes(), 2f64.powi(63)),
    ];
    for (descr, bytes, value) in types {
        let file = npy(&header(descr, "False", "(1, 1)"), bytes);
        assert_eq!(read("a.npy", &file).unwrap(), data(1, &[value]), "{descr}");
        // The name does not count, and packed is as well.
        assert_eq!(read("a", &file).unwrap(), data(1, &[value]), "{descr}");
        assert_eq!(read("a.npy", &gzip(&file)).unwrap(), data(1, &[value]), "{descr}");
    }
    let four: Vec<u8> = [1.0f32, 2.0, 3.0, 4.0].iter().flat_map(|v| v.to_le_bytes()).collect();
    for (shape, dim) in [("(4,)", 1), ("(4, 1)", 1), ("(2, 1, 2)", 2), ("(1, 2, 2)", 4)] {
        let file = npy(&header("<f4", "False", shape), &four);
        assert_eq!(read("a.npy", &file).unwrap(), data(dim, &[1.0, 2.0, 3.0, 4.0]), "{shape}");
    }
    let nan = [2.0f32.to_be_bytes(), f32::NAN.to_be_bytes()].concat();
    assert_eq!(error("a.npy", &npy(&good, &nan)), "row 1, column 2: \"NaN\" is not finite");
    let refused = |descr, fortran, shape| error("a", &npy(&header(descr, fortran, shape), &[0; 8]));
    assert!(refused("<c8", "False", "(1, 1)").starts_with("descr: <c8 (complex numbers); must be"));
    assert!(refused("|O", "False", "(1, 1)").contains("a.astype(float)"));
    assert!(refused("<f4", "False", "()").starts_with("shape: []; must be (rows, dim)"));
    assert!(refused("<f4", "False", "(0, 2)").starts_with("shape: [0, 2]; must be (rows, dim)"));
    let records = "{'descr': [('x', '<f4')], 'fortran_order': False, 'shape': (2,), }\n";
    assert!(error("a", &npy(records, &[0; 8])).contains("records of several fields"));
    for lie in
        ["(4294967296, 4294967296)", "(0, 9223372036854775807, 4)", "(1, 99999999999999999999)"]
    {
        assert!(refused("<f4", "False", lie).ends_with("must fit into memory"), "{lie}");
    }
    let broken = error("a.npy", &npy("{'descr': ", &[]));
    assert!(broken.starts_with("header: {'descr':; must be a dictionary of"), "{broken}");
    error("a.npy", &npy(&"(".repeat(60000), &[]));
    let long = [b"\x93NUMPY\x02\0\0\0\x01\0", &[b' '; 70000][..]].concat();
    assert!(error("a.npy", &long).starts_with("header: 65536 bytes; must be at most"));
    assert!(error("a.npy", b"\x93NUMPY\x09\0\0\0\0").starts_with("npy version: 9"));
    for end in 0..good.len() + 10 {
        let text = error("a.npy", &npy(&good, &values)[..end]);
        assert!(end < 6 || text.contains("it ends within its header"), "{end}: {text}");
    }
    // A version 2 header.
    let length = (good.len() as u32).to_le_bytes();
    let second = [b"\x93NUMPY\x02\0", &length[..], good.as_bytes(), &values].concat();
    assert_eq!(read("a.npy", &second).unwrap(), data(2, &[2.0, 3.0]));
    assert!(error("a.npy", b"PK").starts_with("first bytes: [50, 4b]; must be"));
}

#[test]
fn idx() {
    let file = |tail: &[u8]| [&[0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2], tail].concat();
    assert_eq!(read("a", &file(&[1, 2, 3, 255])).unwrap(), data(2, &[1.0, 2.0, 3.0, 255.0]));
    assert_eq!(
        error("a", &file(&[1, 2, 3])),
        "19 bytes long, but by its header 20; it has been cut short"
    );
    let long = error("a", &file(&[1, 2, 3, 4, 5]));
    assert_eq!(long, "21 bytes long, but by its header 20; something follows the numbers");
    let short = error("a", &file(&[])[..9]);
    assert_eq!(short, "9 bytes long, but by its header 16; it has been cut short");
    let one = |kind: u8, value: &[u8]| [&[0, 0, kind, 2, 0, 0, 0, 1, 0, 0, 0, 1], value].concat();
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
    assert_eq!(read("a", &[0, 0, 8, 1, 0, 0, 0, 1, 7]).unwrap(), data(1, &[7.0]));
    assert!(error("a", &[0, 0, 8, 0, 7]).starts_with("IDX axes: 0"));
    let huge = [&[0, 0, 8, 4][..], &[255; 16]].concat();
    assert!(error("a", &huge).starts_with("shape: [4294967295"));
    assert!(error("a", &[&[0, 0, 14, 2][..], &[255; 8]].concat()).ends_with("any file"));
    assert!(error("a", &[0, 0, 8, 2, 0, 0, 0, 0, 0, 0, 0, 1]).starts_with("shape: [0, 1]"));
}

#[test]
fn npy_by_columns() {
    let bytes: Vec<u8> =
        [1.0f32, 4.0, 2.0, 5.0, 3.0, 6.0].iter().flat_map(|v| v.to_le_bytes()).collect();
    let file = npy(&header("<f4", "True", "(2, 3)"), &bytes);
    assert_eq!(read("a.npy", &file).unwrap(), data(3, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]));
    // (2, 1, 3) and (2, 3, 1) as well, and two axes of several: [[[1, 2], [3, 4]], [[5, 6], [7, 8]]].
    for shape in ["(2, 1, 3)", "(2, 3, 1)"] {
        let file = npy(&header("<f4", "True", shape), &bytes);
        assert_eq!(read("a.npy", &file).unwrap(), data(3, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]));
    }
    let cube = [1.0f32, 5.0, 3.0, 7.0, 2.0, 6.0, 4.0, 8.0].map(f32::to_le_bytes).concat();
    let file = npy(&header("<f4", "True", "(2, 2, 2)"), &cube);
    assert_eq!(read("a.npy", &file).unwrap(), data(4, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]));
    let mut bad = bytes;
    bad[12..16].copy_from_slice(&f32::NAN.to_le_bytes());
    let file = npy(&header("<f4", "True", "(2, 3)"), &bad);
    assert_eq!(error("a.npy", &file), "row 2, column 2: \"NaN\" is not finite");
}

#[test]
fn files_are_written_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.npy");
    write_npy(&path, 1, &[1.0f32]).unwrap();
    for values in [&[1.0f32, 2.0, 3.0][..], &[1.0; 5]] {
        let error = write_npy_rows(&path, [2, 2], |write| write(values));
        assert!(matches!(error, Err(FileError::Io { .. })), "{} of 4", values.len());
    }
    let broken = write_npy_rows(&path, [2, 1], |write| {
        write(&[1.0f32])?;
        Err(FileError::field(Path::new("source"), "row 2", "bad", "must be good"))
    });
    assert_eq!(broken.unwrap_err().to_string(), "source: row 2: bad; must be good");
    assert_eq!(Data::<f32>::read(&path).unwrap(), Data::new(1, vec![1.0]).unwrap());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing unfinished is left");
}

const HDF5: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tables.hdf5");

#[cfg(not(feature = "hdf5"))]
#[test]
fn hdf5_needs_its_feature() {
    let error = Data::<f32>::read(HDF5).unwrap_err().to_string();
    assert!(error.contains("tables.hdf5: format: HDF5; ") && error.contains("--features cli,hdf5"));
}

#[cfg(feature = "hdf5")]
mod hdf5 {
    use super::*;

    /// What tests/data/tables.py writes.
    fn table(rows: usize, dim: usize) -> Data<f64> {
        let value = |k: usize| (k as f64 * 0.618).fract() - 0.5;
        Data::new(dim, (0..rows * dim).map(value).collect()).unwrap()
    }

    fn read<T: Real + 'static>(array: &str) -> core::result::Result<Data<T>, String> {
        Data::read(format!("{HDF5}:{array}")).map_err(|e| e.to_string())
    }

    #[test]
    fn every_layout_gives_its_rows() {
        assert_eq!(read("other/big_endian").unwrap(), table(5, 4));
        assert_eq!(read("other/deep/packed").unwrap(), table(30, 4));
        let narrow = |data: Data<f64>| {
            let values = data.values().iter().map(|v| *v as f32).collect();
            Data::new(data.dim(), values).unwrap()
        };
        assert_eq!(read("other/chunks").unwrap(), narrow(table(30, 4)));
        assert_eq!(read("/train").unwrap(), narrow(table(20, 63)));
        let whole: Vec<f64> = (0..30).map(|k| f64::from(k) - 7.0).collect();
        assert_eq!(read("other/whole").unwrap(), data(6, &whole));
    }

    #[test]
    fn rows_are_had_in_any_order() {
        for array in ["validation", "other/chunks", "other/deep/packed"] {
            for stream in [false, true] {
                let format = Format { array: Some(array.into()), stream, ..Format::default() };
                let rows = open::<f32>(HDF5, &format).unwrap();
                let all = all_of(&*rows).unwrap();
                let mut out = vec![0.0; 5 * rows.dim()];
                rows.fetch(3, &[4, 5, 1, 0, 1], &mut out).unwrap();
                assert_eq!(out, all.select(&[4, 5, 1, 0, 1]).values(), "{array} {stream}");
            }
        }
    }

    #[test]
    fn what_is_no_table_is_refused_with_the_place() {
        let error = |array| read::<f32>(array).unwrap_err();
        let nan = error("other/nan");
        assert!(nan.ends_with("other/nan: row 2, column 2: \"NaN\" is not finite"), "{nan}");
        let line = Data::<f32>::read(format!("{HDF5}:other/line")).unwrap();
        assert_eq!((line.rows(), line.dim()), (5, 1));
        assert!(error("other/text").contains("other/text: not a valid HDF5 file"));
        let none = error("nothing");
        assert!(none.contains("array: nothing; must be one of ") && none.contains("other/whole"));
        let several = Data::<f32>::read(HDF5).unwrap_err().to_string();
        assert!(several.contains("array: not given; must be one of "), "{several}");
        assert!(Data::<f32>::read("no/file.hdf5:train").unwrap_err().to_string().contains("train"));
    }

    /// A chunk of more numbers than the file can hold is not unpacked, however small the table.
    #[test]
    fn chunks_beyond_the_file_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("large.hdf5");
        let mut bytes = fs::read(HDF5).unwrap();
        // The layouts of two axes, version 3: their chunks' rows come after an address.
        let layouts: Vec<usize> =
            (0..bytes.len()).filter(|i| bytes[*i..].starts_with(&[3, 2, 3])).collect();
        assert!(!layouts.is_empty());
        layouts
            .iter()
            .for_each(|at| bytes[at + 11..at + 15].copy_from_slice(&(1u32 << 27).to_le_bytes()));
        fs::write(&path, &bytes).unwrap();
        for array in ["other/deep/packed", "other/chunks"] {
            let address = format!("{}:{array}", path.display());
            let refused = Data::<f32>::read(address).unwrap_err().to_string();
            assert!(refused.contains("in chunks of [134217728, "), "{refused}");
        }
        // Nor is one read that the index says is longer than the file.
        let mut bytes = fs::read(HDF5).unwrap();
        let index = |i: &usize| bytes[*i..].starts_with(b"TREE\x01");
        let nodes: Vec<usize> = (0..bytes.len()).filter(index).collect();
        assert!(!nodes.is_empty());
        nodes.iter().for_each(|at| bytes[at + 24..at + 28].copy_from_slice(&[0xc3; 4]));
        fs::write(&path, &bytes).unwrap();
        let address = format!("{}:other/deep/packed", path.display());
        let refused = Data::<f32>::read(address).unwrap_err().to_string();
        assert!(refused.contains("chunk: 3284386755 bytes at "), "{refused}");
    }

    /// A file that is cut anywhere is an error, never a panic.
    #[test]
    fn cut_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cut.hdf5");
        let whole = fs::read(HDF5).unwrap();
        for length in (0..whole.len() - 1).step_by(211) {
            fs::write(&path, &whole[..length]).unwrap();
            for array in ["train", "other/deep/packed", "other/nan"] {
                let format = Format { array: Some(array.into()), ..Format::default() };
                let read = open::<f32>(&path, &format).map(|_| ());
                if array == "other/nan" {
                    assert!(read.is_err());
                }
            }
        }
    }
}

#[test]
fn cells_are_read_as_text() {
    let folder = tempfile::tempdir().unwrap();
    let cells = |name: &str, bytes: &[u8], rows| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        cells(&path, None, rows).map(|columns| {
            let cells = columns.into_iter().map(|column| column.cells);
            cells.collect::<Vec<_>>()
        })
    };
    let found = |name, bytes: &[u8], rows| cells(name, bytes, rows).unwrap();
    let words = b"calm\nwild\n\"a, b\"\n";
    assert_eq!(found("k.csv", words, Some(2)), [["wild", "a, b"]]);
    // The first row is no header if it is missing otherwise.
    assert_eq!(found("k.csv", words, Some(3)), [["calm", "wild", "a, b"]]);
    let other = cells("k.csv", words, Some(4)).unwrap_err().to_string();
    assert!(other.ends_with("k.csv: rows: 2; must be 4, one for each row of the data"), "{other}");
    let array = npy(
        &header("<f8", "False", "(2, 2)"),
        &[0.5f64, 1.0, -2.0, 3.0].map(f64::to_le_bytes).concat(),
    );
    assert_eq!(found("u.npy", &array, Some(2)), [["0.5", "-2"], ["1", "3"]]);
}

#[test]
fn what_is_observed_comes_beside_the_rows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.npy");
    write_npy(&path, 3, &[1.0, 10.0, 0.5, 2.0, 20.0, 1.5]).unwrap();
    for stream in [false, true] {
        let condition = vec!["2".to_owned()];
        let rows = open::<f64>(&path, &Format { condition, stream, ..Format::default() }).unwrap();
        assert_eq!(all_of(&*rows).unwrap(), data(2, &[1.0, 0.5, 2.0, 1.5]));
        let about = rows.about().unwrap();
        let observed = Kept { name: "column 2".to_owned(), cells: vec!["10".into(), "20".into()] };
        assert_eq!(about.condition, [observed]);
        assert_eq!(about.observed.as_ref().unwrap().numbers, [2]);
    }
}
