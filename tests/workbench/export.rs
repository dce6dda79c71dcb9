//! Exported headers, compiled and run beside the workbench.

use std::path::Path;
use std::process::Command;

use relgrad::hosted::{Data, ModelFile, Parameters, write_npy};

use crate::{DIGITS, json, refusal, relgrad, stdout};

/// Reads rows of doubles, writes latents, log-likelihood, the way back, and the way back of the
/// latents when everything happens in one array.
const PROGRAM: &str = r#"
#include "model.h"
#include "model.h"
#include <stdio.h>

int main(void)
{
    static double in[m_DIM], out[3 * m_DIM + 1];
    static m_real x[m_DIM], z[m_DIM];
    while (fread(in, sizeof in, 1, stdin) == 1) {
        for (size_t i = 0; i < m_DIM; i++) x[i] = (m_real)in[i];
        out[3 * m_DIM] = m_log_likelihood(x);
        m_forward(x, z);
        for (size_t i = 0; i < m_DIM; i++) out[i] = (double)z[i];
        m_forward(x, x);
        m_inverse(x, x);
        for (size_t i = 0; i < m_DIM; i++) out[m_DIM + i] = (double)x[i];
        m_inverse(z, x);
        for (size_t i = 0; i < m_DIM; i++) out[2 * m_DIM + i] = (double)x[i];
        if (fwrite(out, sizeof out, 1, stdout) != 1) return 1;
    }
    return 0;
}
"#;

const STRICT: [&str; 6] = ["-O2", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-Wconversion"];

fn compiler(variable: &str, usual: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| usual.to_owned())
}

/// Compiles `source` beside `model.h` in `folder`, as C99 and as C++; the C program.
fn compile(folder: &Path, source: &str) -> std::path::PathBuf {
    let program = folder.join("program");
    for (compiler, standard, file) in [
        (compiler("CXX", "c++"), "-std=c++11", "main.cpp"),
        (compiler("CC", "cc"), "-std=c99", "main.c"),
    ] {
        std::fs::write(folder.join(file), source).unwrap();
        let mut command = Command::new(compiler);
        command.current_dir(folder).args(STRICT).args([standard, file, "-o", "program", "-lm"]);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{file}: {}", String::from_utf8_lossy(&output.stderr));
    }
    program
}

/// What the header's functions make of rows of data.
struct Computed {
    latents: Vec<f64>,
    /// From latents in the same array, and from another.
    back: [Vec<f64>; 2],
    log_p: Vec<f64>,
}

fn compute(program: &Path, rows: &Data<f64>) -> Computed {
    let d = rows.dim();
    let (bytes_in, bytes_out) = (program.with_extension("in"), program.with_extension("out"));
    let bytes: Vec<u8> = rows.values().iter().flat_map(|v| v.to_ne_bytes()).collect();
    std::fs::write(&bytes_in, bytes).unwrap();
    let mut command = Command::new(program);
    command.stdin(std::fs::File::open(&bytes_in).unwrap());
    command.stdout(std::fs::File::create(&bytes_out).unwrap());
    assert!(command.status().unwrap().success());
    let bytes = std::fs::read(&bytes_out).unwrap();
    let numbers: Vec<f64> = bytes.as_chunks().0.iter().map(|b| f64::from_ne_bytes(*b)).collect();
    assert_eq!(numbers.len(), rows.rows() * (3 * d + 1));
    let column = |from: usize, to: usize| -> Vec<f64> {
        numbers.chunks(3 * d + 1).flat_map(|row| &row[from..to]).copied().collect()
    };
    let back = [column(d, 2 * d), column(2 * d, 3 * d)];
    Computed { latents: column(0, d), back, log_p: column(3 * d, 3 * d + 1) }
}

/// The largest difference, relative to numbers above 1.
fn furthest(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    // NaN must not be lost.
    let worst = |m: f64, d: f64| if d > m || d.is_nan() { d } else { m };
    a.iter().zip(b).map(|(a, b)| (a - b).abs() / b.abs().max(1.0)).fold(0.0, worst)
}

/// A trained model, its header, and what the workbench says of rows of data.
struct Case {
    folder: tempfile::TempDir,
}

impl Case {
    fn train(data: &str, flags: &str) -> Case {
        let case = Case { folder: tempfile::tempdir().unwrap() };
        let out = case.path("m.safetensors");
        let train = ["train", "--data", data, "--epochs", "3", "--out", &out];
        let flags: Vec<&str> = flags.split_whitespace().collect();
        stdout(&relgrad(&[&train[..], &flags].concat()));
        case
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn read(&self, name: &str) -> Data<f64> {
        Data::read(self.path(name)).unwrap()
    }

    fn export(&self, flags: &[&str]) -> serde_json::Value {
        let (model, out) = (self.path("m.safetensors"), self.path("model.h"));
        let export = ["export", "--model", &model, "--out", &out, "--name", "m", "--json"];
        json(&[&export[..], flags].concat())
    }

    /// One of `encode`, `decode` and `eval` on a file in the folder.
    fn run(&self, command: &str, data: &str, out: [&str; 2], flags: &[&str]) -> Data<f64> {
        let (model, data, to) = (self.path("m.safetensors"), self.path(data), self.path(out[1]));
        let args = [command, "--model", &model, "--data", &data, out[0], &to];
        stdout(&relgrad(&[&args[..], flags].concat()));
        self.read(out[1])
    }
}

/// Every activation, base density, kind of bias and precision, in shallow and deep models.
#[test]
fn headers_compute_what_the_workbench_does() {
    let digits = Data::<f64>::read(DIGITS[1]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let rings = folder.path().join("rings.npy");
    let rings = rings.to_str().unwrap();
    stdout(&relgrad(&["toy", "rings", "--rows", "600", "--out", rings]));
    let few = Data::<f64>::read(rings).unwrap();
    // Flags of train, those of export, and the differences allowed: single precision, and what
    // a deep network's inverse makes of it.
    type Model<'a> = (&'a str, &'a Data<f64>, &'a str, &'a [&'a str], f64);
    let (single, double) = (2e-4, 1e-9);
    let cases: [Model; 10] = [
        (DIGITS[1], &digits, "--activation smooth_leaky_relu:0.01", &[], single),
        (DIGITS[1], &digits, "--base sech --bias none --dtype f64", &[], double),
        (rings, &few, "--layers 12 --base logistic --init orthogonal --dtype f64", &[], double),
        (rings, &few, "--layers 6 --activation leaky_tanh:1,0.1", &[], single),
        (rings, &few, "--layers 6 --activation leaky_tanh:2,0.5 --dtype f64", &[], double),
        (rings, &few, "--layers 4 --activation tanh_mixture:5", &[], single),
        (
            rings,
            &few,
            "--layers 3 --activation tanh_mixture:2 --final-activation --dtype f64",
            &[],
            double,
        ),
        (
            rings,
            &few,
            "--layers 3 --final-activation --init standardized",
            &["--dtype", "f64"],
            single,
        ),
        (rings, &few, "--layers 1 --init aligned --dtype f64", &["--dtype", "f32"], single),
        (rings, &few, "--activation identity --base sech --dtype f64", &["--dtype", "f64"], double),
    ];
    for (file, data, train, export, allowed) in cases {
        let case = Case::train(file, train);
        let said = case.export(export);
        assert_eq!((&said["name"], &said["dim"]), (&"m".into(), &data.dim().into()));
        let text = std::fs::read_to_string(case.path("model.h")).unwrap();
        let dtype = said["dtype"].as_str().unwrap();
        assert!(text.contains(if dtype == "f32" { "typedef float" } else { "typedef double" }));
        assert!(!["NaN", "nan", "inf,", "NAME", "@"].iter().any(|w| text.contains(w)), "{train}");

        let program = compile(case.folder.path(), PROGRAM);
        let ours = compute(&program, data);
        std::fs::copy(file, case.path("x.npy")).unwrap();
        let latents = case.run("encode", "x.npy", ["--out", "z.npy"], &[]);
        let scores = case.run("eval", "x.npy", ["--scores", "s.npy"], &[]);
        let close = |what: &str, a: &[f64], b: &[f64]| {
            let difference = furthest(a, b);
            assert!(difference < allowed, "{train} {export:?}: {what} differs by {difference}");
        };
        close("encode", &ours.latents, latents.values());
        close("eval", &ours.log_p, scores.values());
        // The same latents for both.
        write_npy(case.path("ours.npy"), data.dim(), &ours.latents).unwrap();
        let back = case.run("decode", "ours.npy", ["--out", "b.npy"], &[]);
        close("decode", &ours.back[1], back.values());
        close("the way there and back", &ours.back[1], data.values());
        assert!(ours.back[0] == ours.back[1], "{train}: in one array");
    }
}

/// Logits and levels: dequantised in the middle, and whole numbers again on the way back.
#[test]
fn preprocessing_is_part_of_the_header() {
    let whole = (0..900u32).map(|i| f64::from((i * 7 + i * i % 11) % 17)).collect();
    let whole = Data::new(3, whole).unwrap();
    let (levels, lambda) = (17.0, 0.01);
    let middle = |v: &f64| (v + 0.5) / levels;
    let logit = |v: f64| {
        let p = lambda + (1.0 - 2.0 * lambda) * v;
        (p / (1.0 - p)).ln()
    };
    let shares = whole.values().iter().map(middle).collect::<Vec<_>>();
    let shares = Data::new(3, shares).unwrap();
    let logits = |d: &Data<f64>| d.values().iter().map(|v| logit(*v)).collect::<Vec<_>>();
    // Preprocessing, the data, and the same as the network sees them.
    let cases = [
        ("dequantize:17", &whole, shares.values().to_vec()),
        ("logit:0.01,17", &whole, logits(&shares)),
        ("logit:0.01", &shares, logits(&shares)),
    ];
    for (preprocess, data, prepared) in cases {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.npy");
        write_npy(&file, 3, data.values()).unwrap();
        let flags = format!("--preprocess {preprocess} --dtype f64");
        let case = Case::train(file.to_str().unwrap(), &flags);
        write_npy(case.path("p.npy"), 3, &prepared).unwrap();
        let latents = case.run("encode", "p.npy", ["--out", "z.npy"], &["--prepared"]);
        for (dtype, allowed) in [("f64", 1e-9), ("f32", 1e-3)] {
            case.export(&["--dtype", dtype]);
            let ours = compute(&compile(case.folder.path(), PROGRAM), data);
            let difference = furthest(&ours.latents, latents.values());
            assert!(difference < allowed, "{preprocess} {dtype}: {difference}");
            let (back, levelled) = (&ours.back[1], preprocess.ends_with("17"));
            assert!(furthest(back, data.values()) < if levelled { 1e-12 } else { allowed });
            // Noise of the workbench's would differ.
            if !levelled {
                write_npy(case.path("x.npy"), 3, data.values()).unwrap();
                let scores = case.run("eval", "x.npy", ["--scores", "s.npy"], &[]);
                let difference = furthest(&ours.log_p, scores.values());
                assert!(difference < allowed, "{preprocess} {dtype}: {difference}");
            }
        }
    }
}

/// Data far from zero are doubles to the header of a float model, which takes the origin off.
#[test]
fn an_origin_is_part_of_the_header() {
    let folder = tempfile::tempdir().unwrap();
    let row = |i: u32| {
        let u = (f64::from(i) * 0.618).fract();
        [1.7e9 + u, u * u + 0.1 * (f64::from(i) * 0.755).fract()]
    };
    let data = Data::new(2, (0..300).flat_map(row).collect::<Vec<f64>>()).unwrap();
    let file = folder.path().join("x.npy");
    write_npy(&file, 2, data.values()).unwrap();
    let case = Case::train(file.to_str().unwrap(), "--dtype f32");
    std::fs::copy(&file, case.path("x.npy")).unwrap();
    let latents = case.run("encode", "x.npy", ["--out", "z.npy"], &[]);
    let scores = case.run("eval", "x.npy", ["--scores", "s.npy"], &[]);
    for dtype in ["f32", "f64"] {
        case.export(&["--dtype", dtype]);
        // Data and latents are of two types, so that they share no array.
        let program = PROGRAM
            .replace("m_real x[m_DIM], z[m_DIM]", "m_data x[m_DIM]; static m_real z[m_DIM]")
            .replace("(m_real)in[i]", "(m_data)in[i]")
            .replace("m_forward(x, x);", "")
            .replace("m_inverse(x, x);", "m_inverse(z, x);");
        let ours = compute(&compile(case.folder.path(), &program), &data);
        for (got, want, allowed) in [
            (&ours.log_p[..], scores.values(), 1e-3),
            (&ours.latents, latents.values(), 1e-4),
            (&ours.back[1], data.values(), 1e-4),
        ] {
            let difference = furthest(got, want);
            assert!(difference < allowed, "{dtype}: {difference}");
        }
    }
}

/// The parameters in the header are those of the model, bit for bit: also the extremes.
#[test]
fn numbers_survive_the_way_through_text() {
    let folder = tempfile::tempdir().unwrap();
    let path = |n: &str| folder.path().join(n).to_str().unwrap().to_owned();
    let odd = [f32::MIN_POSITIVE, f32::from_bits(1), -0.0, 1.0 / 3.0];
    let bias = [f32::MAX, f32::MIN, 16_777_217.0, 0.1];
    let weight: Vec<f32> =
        (0..16).map(|i| if i % 5 == 0 { 1.0 } else { odd[i % 4] * 1e-3 + odd[i % 3] }).collect();
    let numbers = [&weight[..], &bias].concat();
    let file = ModelFile {
        dim: 4,
        layers: 1,
        activation: "identity".parse().unwrap(),
        final_activation: false,
        base: "normal".parse().unwrap(),
        bias: "separate".parse().unwrap(),
        condition: relgrad::Condition::None,
        conditioned: relgrad::Conditioned::Both,
        observed: None,
        input_transform: false,
        origin: None,
        parameters: Parameters::F32(numbers.clone()),
        extra: Default::default(),
        extra_tensors: Default::default(),
    };
    file.write(path("m.safetensors")).unwrap();
    let args = ["export", "--model", &path("m.safetensors"), "--out", &path("model.h")];
    // Named by the file.
    assert_eq!(json(&[&args[..], &["--json"]].concat())["name"], "model");
    let program = r#"
        #include "model.h"
        #include <stdio.h>
        int main(void)
        {
            for (size_t i = 0; i < 4; i++)
                for (size_t j = 0; j < 4; j++) printf("%.9g ", (double)model_weight[0][j * 4 + i]);
            for (size_t i = 0; i < 4; i++) printf("%.9g ", (double)model_bias[0][i]);
            return 0;
        }
"#;
    let output = Command::new(compile(folder.path(), program)).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let read: Vec<u32> =
        text.split_whitespace().map(|v| v.parse::<f32>().unwrap().to_bits()).collect();
    assert_eq!(read, numbers.iter().map(|v| v.to_bits()).collect::<Vec<_>>());
}

/// The program of docs/cli.md.
#[test]
fn the_docs_use_a_header_as_it_is() {
    let page = include_str!("../../docs/cli.md");
    let blocks = page.split("```c\n").skip(1).filter_map(|b| b.split("```").next());
    let program = blocks.into_iter().find(|b| b.contains("digits.h")).unwrap();
    let case = Case::train(DIGITS[1], "");
    let (model, out) = (case.path("m.safetensors"), case.path("digits.h"));
    stdout(&relgrad(&["export", "--model", &model, "--out", &out]));
    let output = Command::new(compile(case.folder.path(), program)).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let nats: f64 = text.strip_suffix(" nats\n").unwrap().parse().unwrap();
    write_npy(case.path("x.npy"), 64, &[0.0; 64]).unwrap();
    let score = case.run("eval", "x.npy", ["--scores", "s.npy"], &[]);
    assert!((nats - score.values()[0]).abs() < 0.01, "{text}");
}

#[test]
fn exports_are_refused_with_the_reason() {
    let case = Case::train(DIGITS[1], "");
    let (model, out) = (case.path("m.safetensors"), case.path("model.h"));
    let refused = |out: &str, more: &[&str]| {
        refusal(&[&["export", "--model", &model, "--out", out], more].concat())
    };
    for name in ["7x", "a-b", "a__b", "", "\u{e9}t\u{e9}"] {
        let text = refused(&out, &["--name", name]);
        assert!(text.contains(&format!("{name:?}; must be an ASCII letter")), "{text}");
    }
    assert!(refused(&case.path("1.h"), &[]).contains("\"1\"; must be"));
    assert!(refused(&case.path("no/model.h"), &[]).contains("no/model.h"));
    assert!(!Path::new(&out).exists());
    // Numbers of a double that no float can hold.
    let mut file = ModelFile::read(&model).unwrap();
    let mut numbers: Vec<f64> = file.parameters.to_vec();
    numbers[0] = 1e60;
    file.parameters = Parameters::F64(numbers);
    file.write(&model).unwrap();
    let text = refused(&out, &["--dtype", "f32"]);
    assert!(text.contains("weight 0: inf; must be finite"), "{text}");
    assert!(!Path::new(&out).exists());
}

/// Functions take the condition where they depend on it: classes by number, numbers in their units.
#[test]
fn headers_take_conditions() {
    for (of, u, conditioned) in [
        ("classes", "(size_t)in[2]", "both"),
        ("classes", "(size_t)in[2]", "latents"),
        ("numbers", "in + 2", "both"),
        ("numbers", "in + 2", "layers"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = |n: &str| folder.path().join(n).to_str().unwrap().to_owned();
        let row = |i: usize| {
            let [x, y] = [0.618, 0.414].map(|s| (i as f64 * s).fract() - 0.5);
            let u = (i % 3) as f64;
            [x * (1.0 + u), y + x * x + u, u]
        };
        write_npy(path("d.npy"), 3, &(0..300).flat_map(row).collect::<Vec<f64>>()).unwrap();
        let (model, data) = (path("m"), path("d.npy"));
        let train = ["train", "--data", &data, "--out", &model, "--epochs", "5", "--dtype", "f64"];
        let classes: &[&str] = if of == "classes" { &["--classes"] } else { &[] };
        let given = ["--condition", "3", "--conditioned", conditioned];
        stdout(&relgrad(&[&train[..], &given, classes].concat()));
        stdout(&relgrad(&["export", "--model", &model, "--out", &path("model.h"), "--name", "m"]));
        let scores = path("s.npy");
        stdout(&relgrad(&["eval", "--model", &model, "--data", &data, "--scores", &scores]));

        let (layers, latents) = (conditioned != "latents", conditioned != "layers");
        let given = if layers { format!(", {u}") } else { String::new() };
        let location = if latents { format!("m_latents(draws, {u}, z);") } else { String::new() };
        let program = format!(
            r#"
            #include "model.h"
            #include <stdio.h>
            int main(void)
            {{
                static double in[3], x[2], z[2];
                static const double draws[2] = {{0, 0}};
                (void)draws;
                while (fread(in, sizeof in, 1, stdin) == 1) {{
                    m_forward(in{given}, z);
                    m_inverse(z{given}, x);
                    printf("%.17g %.17g %.17g ", m_log_likelihood(in, {u}), x[0], x[1]);
                    z[0] = z[1] = 0;
                    {location}
                    printf("%.17g %.17g\n", z[0], z[1]);
                }}
                return 0;
            }}
"#
        );
        let program = compile(folder.path(), &program);
        let rows = Data::<f64>::read(&data).unwrap();
        let bytes: Vec<u8> = rows.values().iter().flat_map(|v| v.to_ne_bytes()).collect();
        std::fs::write(path("in"), bytes).unwrap();
        let output =
            Command::new(program).stdin(std::fs::File::open(path("in")).unwrap()).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let scores = Data::<f64>::read(&scores).unwrap();
        let file = ModelFile::read(&model).unwrap();
        let params: Vec<f64> = file.parameters.to_vec();
        let location = relgrad::Layout::new(&file.config()).location();
        assert_eq!(text.lines().count(), 300);
        for (i, line) in text.lines().enumerate() {
            let got: Vec<f64> = line.split(' ').map(|v| v.parse().unwrap()).collect();
            let (row, case) = (row(i), format!("{of} {conditioned}, row {i}: {line}"));
            assert!((got[0] - scores.values()[i]).abs() < 1e-9, "{case}");
            assert!((got[1] - row[0]).abs() + (got[2] - row[1]).abs() < 1e-9, "{case}");
            if of == "classes" {
                let want = &params[location.clone()][2 * (i % 3)..][..2];
                assert!((got[3] - want[0]).abs() + (got[4] - want[1]).abs() < 1e-12, "{case}");
            }
        }
    }
}
