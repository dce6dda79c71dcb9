//! Tables as people have them: names of columns, labels, pipes, and where results go.

use std::io::Write;
use std::process::{Output, Stdio};

use relgrad::hosted::{Data, ModelFile, write_npy};

use crate::{json, program, refusal, relgrad, stdout};

struct Tables {
    folder: tempfile::TempDir,
}

/// Row `i` of a small table: two columns that depend on each other.
fn row(i: usize) -> [f64; 2] {
    let [u, v] = [0.618, 0.414].map(|step| (i as f64 * step).fract() - 0.5);
    [(1000.0 * u).round() / 1000.0, (1000.0 * (u * u + 0.3 * v)).round() / 1000.0 + 3.0]
}

impl Tables {
    fn new() -> Self {
        Tables { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        std::fs::write(self.path(name), content).unwrap();
        self.path(name)
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// 60 rows below a header, as `line` writes them.
    fn csv(&self, name: &str, header: &str, line: impl Fn(usize, [f64; 2]) -> String) -> String {
        let rows: String = (0..60).map(|i| line(i, row(i)) + "\n").collect();
        self.write(name, format!("{header}\n{rows}"))
    }

    fn xy(&self) -> String {
        self.csv("xy.csv", "x,y", |_, [x, y]| format!("{x},{y}"))
    }

    /// Trains on a file for an epoch; what is said, and what is noted.
    fn train(&self, data: &str, more: &[&str]) -> (String, String) {
        let out = self.path("m");
        let args = ["train", "--data", data, "--epochs", "1", "--out", &out];
        let output = relgrad(&[&args[..], more].concat());
        (stdout(&output), String::from_utf8(output.stderr).unwrap())
    }

    fn mean(&self, data: &str, more: &[&str]) -> f64 {
        let m = self.path("m");
        let args = ["eval", "--model", &m, "--data", data, "--json"];
        json(&[&args[..], more].concat())["mean_log_likelihood"].as_f64().unwrap()
    }

    fn refused(&self, command: &str, data: &str, more: &[&str]) -> String {
        let m = self.path("m");
        refusal(&[&[command, "--model", &m, "--data", data], more].concat())
    }
}

/// Runs the program with these bytes as its standard input.
fn with_input(args: &[&str], input: &[u8]) -> Output {
    let mut command = program();
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn numbers_may_name_columns_and_rows() {
    let t = Tables::new();
    let three = |_, [x, y]: [f64; 2]| format!("{x:.3},{y:.3},{:.3}", x * y);
    for header in ["0,1,2", "2019,2020,2021"] {
        let data = t.csv("a.csv", header, three);
        let (said, noted) = t.train(&data, &[]);
        assert!(said.contains("60 rows of 3 features"), "{said}");
        assert!(noted.contains("a.csv: the first row, ") && noted.contains("--no-header"));
        let (said, noted) = t.train(&data, &["--no-header"]);
        assert!(said.contains("61 rows of 3") && !noted.contains("note"), "{said}{noted}");
    }
    let data = t.csv("i.csv", ",a,b", |i, [x, y]| format!("{i},{x},{y}"));
    let (said, noted) = t.train(&data, &[]);
    assert!(said.contains("60 rows of 2 features"), "{said}");
    assert!(noted.contains("i.csv: the first column has no name and numbers the rows"), "{noted}");
    // The same without row numbers.
    let plain = t.csv("p.csv", "a,b", |_, [x, y]| format!("{x},{y}"));
    assert_eq!(t.mean(&data, &[]), t.mean(&plain, &[]));
    // Counts below 0 and 1 may be data; --header says that they are not.
    let data = t.csv("c.csv", "0,1", |i, _| format!("{},{}", i * 7 % 5, i * 11 % 3));
    assert!(t.train(&data, &[]).0.contains("61 rows"));
    assert!(t.train(&data, &["--header"]).0.contains("60 rows"));
    let both = ["train", "--data", &data, "--out", "m", "--header", "--no-header"];
    assert!(refusal(&both).contains("--no-header"));
}

#[test]
fn a_model_knows_its_columns_by_name() {
    let t = Tables::new();
    let xy = t.xy();
    t.train(&xy, &[]);
    let mean = t.mean(&xy, &[]);
    let yx = t.csv("yx.csv", "y,x", |_, [x, y]| format!("{y},{x}"));
    assert_eq!(t.mean(&yx, &[]), mean);
    let more = t.csv("more.csv", "y,kind,x", |_, [x, y]| format!("{y},a,{x}"));
    let m = t.path("m");
    let output = relgrad(&["eval", "--model", &m, "--data", &more, "--json"]);
    let noted = String::from_utf8(output.stderr).unwrap();
    assert!(noted.contains("more.csv: not used, since the model has no such: kind"), "{noted}");
    assert_eq!(t.mean(&more, &[]), mean);
    // Without names the number of columns counts.
    let values: Vec<f32> = (0..60).flat_map(|i| row(i).map(|v| v as f32)).collect();
    write_npy(t.path("a.npy"), 2, &values).unwrap();
    assert!((t.mean(&t.path("a.npy"), &[]) - mean).abs() < 1e-9);
    write_npy(t.path("b.npy"), 3, &values).unwrap();
    let text = t.refused("eval", &t.path("b.npy"), &[]);
    assert!(text.contains("b.npy: features: 3; must be 2, as in the model"), "{text}");
    let other = t.csv("other.csv", "u,y", |_, [x, y]| format!("{x},{y}"));
    let text = t.refused("eval", &other, &[]);
    assert!(text.contains("columns: x missing") && text.contains("the file has u, y"), "{text}");
    assert_eq!(t.mean(&other, &["--columns", "u,y"]), mean);
    // Held-out data are matched in the same way, and so are those of a run that goes on.
    let (said, _) = t.train(&xy, &["--test", &yx, "--json"]);
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    let of = |part: &str| said["log_likelihood"][part].as_f64().unwrap();
    assert!((of("train") - of("test")).abs() < 1e-9);
    let out = t.path("again");
    let on = ["train", "--data", &yx, "--init", &m, "--epochs", "1", "--out", &out];
    stdout(&relgrad(&on));
    let names = ModelFile::read(&out).unwrap().columns().unwrap().names;
    assert_eq!(names, Some(["x", "y"].map(String::from).to_vec()));
    assert!(stdout(&relgrad(&["inspect", "--model", &m])).contains("columns        x, y\n"));
}

#[test]
fn names_go_where_rows_go() {
    let t = Tables::new();
    let (xy, m) = (t.xy(), t.path("m"));
    t.train(&xy, &[]);
    let [s, z, x] = ["s.csv", "z.tsv", "x.txt"].map(|n| t.path(n));
    stdout(&relgrad(&["sample", "--model", &m, "--rows", "5", "--out", &s]));
    assert!(t.text("s.csv").starts_with("x,y\n") && t.text("s.csv").lines().count() == 6);
    assert!(t.mean(&s, &[]).is_finite());
    let yx = t.csv("yx.csv", "y,x", |_, [x, y]| format!("{y},{x}"));
    stdout(&relgrad(&["encode", "--model", &m, "--data", &yx, "--out", &z]));
    assert!(t.text("z.tsv").starts_with("z1\tz2\n"));
    stdout(&relgrad(&["decode", "--model", &m, "--data", &z, "--out", &x]));
    assert!(t.text("x.txt").starts_with("x\ty\n"));
    let (back, there) = (Data::<f64>::read(&x).unwrap(), Data::<f64>::read(&xy).unwrap());
    let furthest = back.values().iter().zip(there.values()).map(|(a, b)| (a - b).abs());
    assert!(furthest.fold(0.0, f64::max) < 1e-4);
    // Rows may go on through a pipe; what else is said stays out of it.
    let output = relgrad(&["sample", "--model", &m, "--rows", "5", "--out", "-"]);
    assert_eq!(stdout(&output), t.text("s.csv"));
    assert!(String::from_utf8(output.stderr).unwrap().contains("5 rows of 2"));
}

#[test]
fn columns_are_left_out_and_labels_kept() {
    let t = Tables::new();
    let label = |i: usize| ["a", "b,c"][i % 2];
    let data = t.csv("l.csv", "id,x,y,my kind", |i, [x, y]| {
        format!("{},{x},{y},\"{}\"", 1000 + 7 * i % 60, label(i))
    });
    let (m, out) = (t.path("m"), t.path("out.csv"));
    let text = refusal(&["train", "--data", &data, "--out", &m]);
    let expected = "l.csv: row 2, column 4 (my kind): \"a\" is not a number; leave the column out \
                    with --drop '\"my kind\"'";
    assert!(text.contains(expected), "{text}");
    t.train(&data, &["--drop", "id,\"my kind\""]);
    let mean = t.mean(&data, &[]);
    t.train(&t.xy(), &[]);
    assert_eq!(t.mean(&data, &[]), mean);
    t.train(&data, &["--columns", "x,3"]);
    assert_eq!(t.mean(&data, &[]), mean);
    let text = refusal(&["train", "--data", &data, "--drop", "kind", "--out", &m]);
    assert!(text.contains("column: kind; must be one of id, x, y, my kind, or a number"), "{text}");

    let keep = ["--keep", "my kind,1"];
    let score =
        ["score", "--model", &m, "--data", &data, "--calibrate", &data, "--false-alarm", "0.1"];
    stdout(&relgrad(&[&score[..], &keep, &["--out", &out]].concat()));
    let text = t.text("out.csv");
    assert!(text.starts_with("row,log_likelihood,p_value,anomaly,my kind,id\n1,"), "{text}");
    assert!(text.lines().nth(1).unwrap().ends_with(",a,1000"), "{text}");
    assert!(text.lines().nth(2).unwrap().ends_with(",\"b,c\",1007"), "{text}");
    assert_eq!(text.lines().count(), 61);
    t.mean(&data, &[&keep[..], &["--scores", &out]].concat());
    assert!(t.text("out.csv").starts_with("log_likelihood,my kind,id\n"));
    let text = t.refused("eval", &data, &keep);
    assert!(text.contains("--keep: no effect without --scores"), "{text}");
    let npy = t.path("out.npy");
    let text = t.refused("eval", &data, &[&keep[..], &["--scores", &npy]].concat());
    assert!(text.contains("--keep: --scores must then end with .csv"), "{text}");

    // By number, where there are no names; the model has it done again.
    let bare = t.text("l.csv").lines().skip(1).map(|l| l.to_owned() + "\n").collect::<String>();
    let bare = t.write("bare.csv", bare);
    t.train(&bare, &["--drop", "1,4"]);
    assert_eq!(t.mean(&bare, &[]), mean);
    let values: Vec<f64> =
        (0..60).flat_map(|i| [i as f64, row(i)[0], row(i)[1], f64::NAN]).collect();
    write_npy(t.path("n.npy"), 4, &values).unwrap();
    assert_eq!(t.mean(&t.path("n.npy"), &["--stream"]), mean);
    t.mean(&t.path("n.npy"), &["--keep", "1", "--scores", &out]);
    assert!(t.text("out.csv").lines().nth(8).unwrap().ends_with(",7"), "{}", t.text("out.csv"));
}

/// Everything that is read to its end first.
#[cfg(unix)]
#[test]
fn pipes_are_read() {
    let t = Tables::new();
    let xy = t.xy();
    t.train(&xy, &[]);
    let model = std::fs::read(t.path("m")).unwrap();
    let bytes = std::fs::read(&xy).unwrap();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(&bytes).unwrap();
    let packed = packed.finish().unwrap();
    for name in ["-", "/dev/stdin"] {
        for input in [&bytes, &packed] {
            let out = t.path("n");
            let args = ["train", "--data", name, "--epochs", "1", "--out", &out];
            stdout(&with_input(&args, input));
            assert!(std::fs::read(&out).unwrap() == model, "{name}");
        }
    }
    let made = std::process::Command::new("mkfifo").arg(t.path("fifo")).status();
    if made.is_ok_and(|status| status.success()) {
        let (fifo, bytes) = (t.path("fifo"), bytes.clone());
        let writer = std::thread::spawn(move || std::fs::write(fifo, bytes).unwrap());
        assert_eq!(t.mean(&t.path("fifo"), &[]), t.mean(&xy, &[]));
        writer.join().unwrap();
    }
    let m = t.path("m");
    let empty = with_input(&["eval", "--model", &m, "--data", "-"], b"");
    assert!(String::from_utf8(empty.stderr).unwrap().contains("-: rows: none"));
}

#[test]
fn outputs_are_checked_before_any_work() {
    let t = Tables::new();
    let (xy, model) = (t.xy(), t.path("no-such-model"));
    let text = |args: &[&str]| {
        let text = refusal(args);
        assert!(!text.contains("no-such-model: "), "the model was opened first: {text}");
        text
    };
    let [bad, folder] = ["scores.xls", "no/folder.csv"].map(|n| t.path(n));
    let eval = ["eval", "--model", &model, "--data", &xy, "--scores"];
    let score = ["score", "--model", &model, "--data", &xy, "--calibrate", &xy, "--out"];
    let encode = ["encode", "--model", &model, "--data", &xy, "--out"];
    let sample = ["sample", "--model", &model, "--out"];
    for args in [&eval[..], &score, &encode, &sample] {
        let ending = text(&[args, &[&bad]].concat());
        assert!(
            ending.contains("scores.xls: must end with .npy or .csv, .tsv or .txt"),
            "{ending}"
        );
        let place = text(&[args, &[&folder]].concat());
        assert!(place.contains("no/folder.csv: cannot be written"), "{place}");
    }
    for args in [&eval[..], &score, &encode] {
        let same = text(&[args, &[&xy]].concat());
        assert!(same.contains("is the same file as") && same.contains("xy.csv"), "{same}");
    }
    let before = std::fs::read(&xy).unwrap();
    let hard = t.path("hard.csv");
    std::fs::hard_link(&xy, &hard).unwrap();
    for out in [&xy, &hard] {
        let same = refusal(&["train", "--data", &xy, "--out", out]);
        assert!(same.contains("--out") && same.contains("is the same file as"), "{same}");
        let m = t.path("m");
        let log = refusal(&["train", "--data", &xy, "--out", &m, "--log", out]);
        assert!(log.contains("--log") && log.contains("is the same file as"), "{log}");
        let test = refusal(&["train", "--data", "a.npy", "--test", &xy, "--out", out]);
        assert!(test.contains("is the same file as"), "{test}");
    }
    assert!(std::fs::read(&xy).unwrap() == before);
}

#[cfg(unix)]
#[test]
fn links_devices_and_modes_stay() {
    use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
    let t = Tables::new();
    let (xy, m, link) = (t.xy(), t.path("m"), t.path("link"));
    symlink("target", &link).unwrap();
    let train = ["train", "--data", &xy, "--epochs", "1", "--out"];
    stdout(&relgrad(&[&train[..], &[&link]].concat()));
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(ModelFile::read(t.path("target")).unwrap().dim, 2);
    symlink("xy.csv", t.path("data-link")).unwrap();
    let same = refusal(&[&train[..], &[&t.path("data-link")]].concat());
    assert!(same.contains("is the same file as"), "{same}");
    stdout(&relgrad(&[&train[..], &["/dev/null"]].concat()));
    assert!(std::fs::metadata("/dev/null").unwrap().file_type().is_char_device());
    t.train(&xy, &[]);
    let secret = t.write("secret.csv", "");
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
    stdout(&relgrad(&["sample", "--model", &m, "--rows", "3", "--out", &secret]));
    assert_eq!(std::fs::metadata(&secret).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(t.text("secret.csv").lines().count(), 4);
    // Standard output that is a file: rows alone, and the file stays the one that was opened.
    let file = std::fs::File::create(t.path("rows.csv")).unwrap();
    let mut command = program();
    command.args(["sample", "--model", &m, "--rows", "3", "--out", "/dev/stdout"]).stdout(file);
    assert!(command.status().unwrap().success());
    assert_eq!(t.text("rows.csv"), t.text("secret.csv"));
}

#[test]
fn scores_are_what_their_name_says() {
    let t = Tables::new();
    let (xy, m) = (t.xy(), t.path("m"));
    t.train(&xy, &[]);
    for name in ["s.txt", "s.csv", "s.npy"] {
        let out = t.path(name);
        let score = ["score", "--model", &m, "--data", &xy, "--calibrate", &xy];
        let score = [&score[..], &["--false-alarm", "0.1", "--out", &out]].concat();
        stdout(&relgrad(&score));
    }
    assert!(t.text("s.txt").starts_with("row\tlog_likelihood\tp_value\tanomaly\n1\t"));
    assert_eq!(t.text("s.txt").replace('\t', ","), t.text("s.csv"));
    let read = |name: &str| Data::<f64>::read(t.path(name)).unwrap();
    assert!(read("s.txt") == read("s.npy") && read("s.npy").dim() == 4);
}

#[test]
fn an_array_is_asked_of_files_that_have_it() {
    let t = Tables::new();
    let xy = t.xy();
    let values: Vec<f32> = (0..60).flat_map(|i| row(i).map(|v| v as f32)).collect();
    write_npy(t.path("a.npy"), 2, &values).unwrap();
    let npy = std::fs::read(t.path("a.npy")).unwrap();
    let archive = |name: &str, arrays: &[&str]| {
        let mut zip = zip::ZipWriter::new(std::fs::File::create(t.path(name)).unwrap());
        for array in arrays {
            let options = zip::write::SimpleFileOptions::default();
            zip.start_file(format!("{array}.npy"), options).unwrap();
            zip.write_all(&npy).unwrap();
        }
        zip.finish().unwrap();
        t.path(name)
    };
    let (two, one, none) =
        (archive("2.npz", &["a", "b"]), archive("1.npz", &["c"]), archive("0.npz", &[]));
    let npy = t.path("a.npy");
    for other in [&npy, &xy, &one, &two, &format!("{two}:b")] {
        t.train(&two, &["--array", "a", "--val", other, "--test", other]);
    }
    let m = t.path("m");
    let score = ["score", "--model", &m, "--data", &two, "--array", "a", "--calibrate", &npy];
    let score = [&score[..], &["--false-alarm", "0.1"]].concat();
    stdout(&relgrad(&score));
    let text = refusal(&["train", "--data", &npy, "--array", "a", "--out", &m]);
    assert!(text.contains("array: a; only .npz and HDF5"), "{text}");
    let text = refusal(&["train", "--data", &none, "--out", &m]);
    assert!(text.contains("0.npz: array: none; the file must hold at least one"), "{text}");
}
