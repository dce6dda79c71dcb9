use super::super::binary_files::{MAX_NPY_HEADER, write_npy, write_npy_rows};
use super::*;
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
    let refused = |descr, fortran, shape| error("a", &npy(&header(descr, fortran, shape), &[0; 8]));
    assert!(refused("<i8", "False", "(1, 1)").starts_with("descr: '<i8'; must be <f4"));
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
    assert!(error("a", &[0, 0, 8, 1, 0, 0, 0, 1, 7]).starts_with("IDX axes: 1"));
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
                let format = Format { array: Some(array.into()), stream, dim: None };
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
        assert!(error("other/line").contains("other/line: shape: [5]; must be (rows, dim)"));
        assert!(error("other/text").contains("other/text: not a valid HDF5 file"));
        let none = error("nothing");
        assert!(none.contains("array: nothing; must be one of ") && none.contains("other/whole"));
        let several = Data::<f32>::read(HDF5).unwrap_err().to_string();
        assert!(several.contains("array: not given; must be one of "), "{several}");
        assert!(Data::<f32>::read("no/file.hdf5:train").unwrap_err().to_string().contains("train"));
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
