//! Benchmark sets of small files in the formats of the public ones. What is compared with was
//! computed by a NumPy and pandas program of the published rules from the same files.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;

use relgrad::hosted::{Data, write_npy};

use crate::{json, refusal, relgrad, stdout};

/// A number below `m` that looks random.
fn noise(i: u32, j: u32, m: u32) -> u32 {
    let x = i.wrapping_mul(2_654_435_761).wrapping_add(j * 40_503 + 12_345);
    let x = (x ^ (x >> 15)).wrapping_mul(2_246_822_519);
    (x ^ (x >> 13)) % m
}

/// A folder of raw files, and what is made of them.
struct Case {
    folder: tempfile::TempDir,
}

impl Case {
    fn new() -> Self {
        Case { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), content).unwrap();
    }

    fn args<'a>(&'a self, set: &'a str, out: &'a str) -> Vec<&'a str> {
        vec!["prepare", set, "--raw", self.folder.path().to_str().unwrap(), "--out", out]
    }

    /// Prepares a set of any size: what the program says, and the parts.
    fn prepare(&self, set: &str) -> (serde_json::Value, [Data<f32>; 3]) {
        let out = self.path("out");
        let mut args = self.args(set, out.to_str().unwrap());
        args.extend(["--any-size", "--json"]);
        let about = json(&args);
        let parts = ["train", "validation", "test"].map(|part| {
            let data = Data::read(out.join(format!("{set}_{part}.npy"))).unwrap();
            assert_eq!(about["rows"][part], data.rows(), "{about}");
            assert_eq!(about["dim"], data.dim(), "{about}");
            data
        });
        (about, parts)
    }

    fn refusal(&self, set: &str) -> String {
        let out = self.path("out");
        let mut args = self.args(set, out.to_str().unwrap());
        args.push("--any-size");
        let text = refusal(&args);
        assert!(!out.exists(), "{text}");
        text
    }
}

/// The first numbers of the first row to train on and the last of the last row to test on.
fn assert_parts(parts: &[Data<f32>; 3], rows: [usize; 3], dim: usize, ends: [[f32; 3]; 2]) {
    let found = parts.each_ref().map(Data::rows);
    assert_eq!((found, parts.each_ref().map(Data::dim)), (rows, [dim; 3]));
    let (first, last) = (parts[0].row(0), parts[2].row(rows[2] - 1));
    for (x, expected) in first[..3].iter().chain(&last[dim - 3..]).zip(ends.as_flattened()) {
        assert!((x - expected).abs() <= 2e-6 * expected.abs().max(1.0), "{x} {expected}");
    }
}

fn power_line(i: u32) -> String {
    let time = format!("16/12/2006;{:02}:{:02}:00", noise(i, 0, 24), noise(i, 1, 60));
    if i % 17 == 5 {
        return time + ";?;?;?;?;?;?;\n";
    }
    let thousandths = |j| f64::from(noise(i, j, 1000)) / 1000.0;
    let (voltage, current) = (230.0 + 10.0 * thousandths(4), 100.0 * thousandths(5));
    let meters = [noise(i, 6, 3), noise(i, 7, 7), noise(i, 8, 19)];
    format!(
        "{time};{:.3};{:.3};{voltage:.3};{current:.3};{}.000;{}.000;{}.000\n",
        thousandths(2),
        thousandths(3),
        meters[0],
        meters[1],
        meters[2]
    )
}

const POWER_HEADER: &str = "Date;Time;Global_active_power;Global_reactive_power;Voltage;\
                            Global_intensity;Sub_metering_1;Sub_metering_2;Sub_metering_3\n";

#[test]
fn power() {
    let case = Case::new();
    let text = POWER_HEADER.to_owned() + &(0..60).map(power_line).collect::<String>();
    case.write("household_power_consumption.txt", &text);
    let (about, parts) = case.prepare("power");
    let start = [-1.0270215, 1.3415344, -0.516_83];
    assert_parts(&parts, [46, 5, 5], 6, [start, [-1.4925429, 1.1141968, 0.60738224]]);
    assert_eq!((&about["rows_left_out"], &about["features"][5]), (&4.into(), &"time".into()));

    // The published array of the same measurements: the same but for the noise of the times.
    let case = Case::new();
    let mut values = Vec::new();
    for line in text.lines().skip(1).filter(|line| !line.contains('?')) {
        let cells: Vec<&str> = line.split(';').collect();
        values.extend(cells[2..].iter().map(|c| c.parse::<f64>().unwrap()));
        let time: Vec<f64> = cells[1].split(':').map(|c| c.parse().unwrap()).collect();
        values.push(60.0 * time[0] + time[1]);
    }
    write_npy(case.path("data.npy"), 8, &values).unwrap();
    let (_, parts) = case.prepare("power");
    assert_parts(&parts, [46, 5, 5], 6, [start, [-1.4925429, 1.1141968, 0.607_711_4]]);

    let case = Case::new();
    let refused = |line: &str| {
        case.write("household_power_consumption.txt", POWER_HEADER.to_owned() + line);
        case.refusal("power")
    };
    let cut = refused("16/12/2006;17:24:00;4.216;0.418;234.840\n");
    assert!(cut.contains("consumption.txt: row 2: number of columns is 5; must be 9"), "{cut}");
    let cell = refused("16/12/2006;17:24:00;4.2;x;234.8;18.4;0;1;17\n");
    assert!(cell.contains("row 2, column 4: \"x\" is not a number"), "{cell}");
    let nan = refused("16/12/2006;17:24:00;4.2;1;NaN;18.4;0;1;17\n");
    assert!(nan.contains("row 2, column 5: \"NaN\" is not finite"), "{nan}");
    let time = refused("16/12/2006;24:00:00;4.2;1;234.8;18.4;0;1;17\n");
    assert!(time.contains("row 2, column 2: \"24:00:00\" is not a time"), "{time}");
    let constant = refused("16/12/2006;17:24:00;4.2;1;234.8;18.4;0;1;17\n");
    assert!(constant.contains("feature ") && constant.contains("standardised"), "{constant}");
}

#[test]
fn gas() {
    let case = Case::new();
    let mut text = "Time (seconds), CO conc (ppm), Ethylene conc (ppm), sensor readings (16 \
                    channels)\n"
        .to_owned();
    for i in 0..403 {
        write!(text, "{:.2}   0.00    0.00 ", f64::from(i) / 100.0).unwrap();
        // Pairs that rise together; only the last sensor goes its own way.
        for j in 0..8 {
            let base = f64::from(noise(i, j, 1000)) / 10.0;
            let second = match (j, j % 2) {
                (7, _) => f64::from(noise(i, 50, 1000)) / 10.0 + 0.1 * base,
                (_, 0) => base / 3.0,
                _ => 2.0 * base + f64::from(noise(i, 20 + j, 1000)) / 1000.0,
            };
            write!(text, " {base:.3}  {second:.3}").unwrap();
        }
        text.push('\n');
    }
    case.write("ethylene_CO.txt", &text);
    let (about, parts) = case.prepare("gas");
    let kept: Vec<String> =
        [2, 4, 6, 8, 10, 12, 14, 15, 16].map(|i| format!("sensor_{i}")).to_vec();
    assert_eq!(about["features"], serde_json::json!(kept));
    let start = [-0.24725494, -1.3611016, -1.5569618];
    assert_parts(&parts, [82, 9, 10], 9, [start, [0.822_598_9, 0.492_947_3, 0.042217366]]);

    case.write("ethylene_CO.txt", text.replacen("0.00    0.00", "0.00", 3));
    std::fs::remove_dir_all(case.path("out")).unwrap();
    let short = case.refusal("gas");
    assert!(short.contains("ethylene_CO.txt: row 2: number of columns is 18; must be 19"));
}

#[test]
fn hepmass() {
    let case = Case::new();
    let row = |i: u32, mass: &str| {
        let mut line = format!("{}.000000000000000000e+00", noise(i, 99, 2));
        for j in 0..27 {
            match j % 5 {
                2 => write!(line, ",{}", i64::from(noise(i, j, 3)) - 1).unwrap(),
                _ => write!(line, ",{}", (f64::from(noise(i, j, 100_000)) - 5e4) / 1e3).unwrap(),
            }
        }
        line + mass + "\n"
    };
    let header = (0..27).fold("# label".to_owned(), |line, j| line + &format!(",f{j}"));
    let train = header.clone() + "\n" + &(0..300).map(|i| row(i, "")).collect::<String>();
    let test: String = (0..150).map(|i| row(1_000_000 + i, ",1000.0")).collect();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(train.as_bytes()).unwrap();
    let packed = packed.finish().unwrap();
    case.write("1000_train.csv.gz", &packed);
    let missing = case.refusal("hepmass");
    assert!(missing.contains("no file 1000_test.csv") && missing.contains("uci.edu/dataset/347"));
    case.write("1000_test.csv", header + ",mass\n" + &test);
    let (about, parts) = case.prepare("hepmass");
    let start = [0.304_418_4, 0.737_995_3, -1.3922919];
    assert_parts(&parts, [138, 15, 72], 22, [start, [1.284_462, -1.0840793, -0.453_675_75]]);
    let features = about["features"].as_array().unwrap();
    assert!(!features.contains(&"f22".into()) && features.contains(&"f23".into()));
    assert_eq!(about["rows_left_out"], 450 - 138 - 15 - 72);

    // A file that ends too early, inside of the compression.
    case.write("1000_train.csv.gz", &packed[..packed.len() / 2]);
    std::fs::remove_dir_all(case.path("out")).unwrap();
    assert!(case.refusal("hepmass").contains("1000_train.csv.gz: "));
}

#[test]
fn miniboone() {
    let case = Case::new();
    let mut text = " 120 30\n".to_owned();
    for i in 0..150 {
        for j in 0..50 {
            let x = match (i % 40, j % 7) {
                (7, _) => -999.0,
                (_, 3) if noise(i, j, 2) == 1 => 0.0,
                (_, 3) => f64::from(noise(i, j, 1000)) / 10.0 + 1.0,
                _ => f64::from(noise(i, j, 100_000) + 1) / 1000.0,
            };
            write!(text, "  {x:E}").unwrap();
        }
        text.push('\n');
    }
    case.write("MiniBooNE_PID.txt", &text);
    let (about, parts) = case.prepare("miniboone");
    let start = [1.6227134, 1.3610034, 1.128952];
    let ends = [start, [-0.706_368_4, -1.1543123, -1.2198372]];
    assert_parts(&parts, [96, 10, 11], 43, ends);
    assert_eq!(about["rows_left_out"], 33);

    // The published array is cleaned already; cleaning it again changes nothing.
    let again = Case::new();
    let features: Vec<usize> = about["features"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| f.as_str().unwrap().parse().unwrap())
        .collect();
    let mut values = Vec::new();
    for line in text.lines().skip(1).take(120) {
        let row: Vec<f64> = line.split_whitespace().map(|c| c.parse().unwrap()).collect();
        if row[0] > -100.0 {
            values.extend(features.iter().map(|&j| row[j]));
        }
    }
    write_npy(again.path("data.npy"), 43, &values).unwrap();
    assert_eq!(again.prepare("miniboone").1, parts);

    std::fs::remove_dir_all(case.path("out")).unwrap();
    case.write("MiniBooNE_PID.txt", text.lines().take(140).collect::<Vec<_>>().join("\n"));
    let cut = case.refusal("miniboone");
    assert!(cut.contains("MiniBooNE_PID.txt: rows: 139; must be 150"), "{cut}");
    case.write("MiniBooNE_PID.txt", text.replacen(" 120 30\n", "", 1));
    assert!(case.refusal("miniboone").contains("row 1: number of columns is 50; must be 2"));
}

fn idx(images: &[Vec<u8>], height: u32) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, 3];
    let width = images[0].len() as u32 / height;
    [images.len() as u32, height, width].iter().for_each(|n| bytes.extend(n.to_be_bytes()));
    bytes.extend(images.concat());
    bytes
}

#[test]
fn mnist_is_prepared_and_learned() {
    let case = Case::new();
    let image = |i| (0..4).map(|j| noise(i, j, 256) as u8).collect();
    let images: Vec<Vec<u8>> = (0..80).map(image).collect();
    case.write("train-images-idx3-ubyte", idx(&images[..60], 2));
    case.write("t10k-images.idx3-ubyte", idx(&images[60..], 2));
    let (_, parts) = case.prepare("mnist");
    let start = [1.3759357, 0.108_711_63, -0.400_063_63];
    assert_parts(&parts, [50, 10, 20], 4, [start, [0.38229597, -4.1040893, 4.978697]]);

    let out = |part: &str| case.path("out").join(part).to_str().unwrap().to_owned();
    let end = json(&[
        "train",
        "--data",
        &out("mnist_train.npy"),
        "--val",
        &out("mnist_validation.npy"),
        "--test",
        &out("mnist_test.npy"),
        "--epochs",
        "20",
        "--batch",
        "10",
        "--json",
        "--out",
        &out("m"),
    ]);
    assert!(end["log_likelihood"]["test"].as_f64().unwrap().is_finite());

    // Without --any-size the published numbers must come out.
    std::fs::remove_dir_all(case.path("out")).unwrap();
    let text = refusal(&case.args("mnist", &out("")));
    let numbers = "50 + 10 + 20 x 4; must be 50000 + 10000 + 10000 x 784";
    assert!(text.contains(numbers) && text.contains("--any-size"), "{text}");
    assert!(!case.path("out").exists());
    // An IDX file whose header lies.
    let mut lie = idx(&images[60..], 2);
    lie[7] += 1;
    case.write("t10k-images.idx3-ubyte", lie);
    let text = case.refusal("mnist");
    assert!(text.contains("t10k-images.idx3-ubyte: 96 bytes long, but by its header 100"));
}

#[test]
fn what_is_missing_is_named_with_its_source() {
    let case = Case::new();
    for (set, file, source) in [
        ("power", "household_power_consumption.txt or data.npy", "dataset/235"),
        ("gas", "ethylene_CO.txt", "dataset/322"),
        ("hepmass", "1000_train.csv", "dataset/347"),
        ("miniboone", "MiniBooNE_PID.txt or data.npy", "dataset/199"),
        ("bsds300", "BSDS300.hdf5", "zenodo.org/record/1161203"),
        ("mnist", "train-images-idx3-ubyte", "yann.lecun.com"),
    ] {
        let text = case.refusal(set);
        assert!(text.contains(&format!("no file {file}")) && text.contains(source), "{text}");
    }
    let help = stdout(&relgrad(&["prepare", "--help"]));
    assert!(help.contains("--any-size") && help.contains("miniboone"), "{help}");
}

const TABLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tables.hdf5");

#[cfg(feature = "hdf5")]
#[test]
fn bsds300_and_hdf5_arrays() {
    let case = Case::new();
    std::fs::copy(TABLES, case.path("BSDS300.hdf5")).unwrap();
    let (_, parts) = case.prepare("bsds300");
    assert_eq!(parts.each_ref().map(Data::rows), [20, 6, 7]);
    for part in &parts {
        for (k, x) in part.values().iter().enumerate() {
            assert_eq!(*x, ((k as f64 * 0.618).fract() - 0.5) as f32);
        }
    }
    // An array of the file, whole or left in it, and the file that was made of it: one model.
    let array = |name: &str| format!("{TABLES}:{name}");
    let made = case.path("out/bsds300_train.npy").to_str().unwrap().to_owned();
    let (train, validation) = (array("train"), array("validation"));
    let mut models = Vec::new();
    for data in [&[&train[..]][..], &[&train, "--stream"], &[TABLES, "--array", "train"], &[&made]]
    {
        let out = case.path("model").to_str().unwrap().to_owned();
        let mut args = vec!["train", "--epochs", "1", "--batch", "5", "--init", "aligned"];
        args.extend(["--out", &out, "--json", "--val", &validation, "--data"]);
        args.extend(data);
        json(&args);
        models.push(std::fs::read(&out).unwrap());
    }
    assert!(models.iter().all(|model| *model == models[0]));
    let none = refusal(&["train", "--data", TABLES, "--out", "m"]);
    assert!(none.contains("array: not given; must be one of ") && none.contains("train"), "{none}");
}

#[cfg(not(feature = "hdf5"))]
#[test]
fn bsds300_says_what_it_needs() {
    let case = Case::new();
    std::fs::copy(TABLES, case.path("BSDS300.hdf5")).unwrap();
    let text = case.refusal("bsds300");
    assert!(text.contains("HDF5") && text.contains("--features cli,hdf5"), "{text}");
}
