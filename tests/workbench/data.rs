//! Every format of data file, and what is wrong with some.

use std::io::Write;

use relgrad::hosted::{Data, write_npy};

use crate::{DIGITS, json, program, refusal, relgrad, stdout, with_small_files};

/// An archive of npy files, stored or compressed.
fn npz(arrays: &[(&str, &[u8])], method: zip::CompressionMethod) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let mut archive = zip::ZipWriter::new(&mut bytes);
    let options = zip::write::SimpleFileOptions::default().compression_method(method);
    for (name, content) in arrays {
        archive.start_file(*name, options).unwrap();
        archive.write_all(content).unwrap();
    }
    archive.finish().unwrap();
    bytes.into_inner()
}

#[test]
fn the_same_data_in_every_format_give_the_same_model() {
    let folder = tempfile::tempdir().unwrap();
    let path = |n: &str| folder.path().join(n).to_str().unwrap().to_owned();
    let data = Data::<f32>::read(DIGITS[1]).unwrap();
    let (values, dim) = (data.values(), data.dim());
    let npy = std::fs::read(DIGITS[1]).unwrap();
    let text: String = data
        .values()
        .chunks(dim)
        .map(|row| row.iter().map(f32::to_string).collect::<Vec<_>>().join(",") + "\n")
        .collect();
    let gzip = |bytes: &[u8]| {
        let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        writer.write_all(bytes).unwrap();
        writer.finish().unwrap()
    };
    let mut idx = vec![0, 0, 13, 3];
    [297u32, 8, 8].iter().for_each(|n| idx.extend(n.to_be_bytes()));
    idx.extend(values.iter().flat_map(|v| v.to_be_bytes()));
    let raw = |wide: bool| -> Vec<u8> {
        match wide {
            true => values.iter().flat_map(|v| f64::from(*v).to_le_bytes()).collect(),
            false => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        }
    };
    let two = [("other.npy", &npy[..50]), ("digits.npy", &npy[..])];
    let (stored, deflated) = (zip::CompressionMethod::Stored, zip::CompressionMethod::Deflated);
    let files: [(&str, Vec<u8>, &[&str]); 12] = [
        ("a.npy", npy.clone(), &[]),
        ("stream.npy", npy.clone(), &["--stream"]),
        ("a.csv", text.clone().into(), &[]),
        ("a.tsv", text.replace(',', "\t").into(), &[]),
        ("a.csv.gz", gzip(text.as_bytes()), &[]),
        ("a-idx3", idx.clone(), &[]),
        ("a-idx3.gz", gzip(&idx), &[]),
        ("a.f32", raw(false), &["--dim", "64"]),
        ("a.f64", raw(true), &["--dim", "64", "--stream"]),
        ("a.npz", npz(&two[1..], deflated), &[]),
        ("b.npz:digits", npz(&two, deflated), &[]),
        ("c.npz", npz(&two, stored), &["--array", "digits", "--stream"]),
    ];
    let mut models = Vec::new();
    for (name, bytes, more) in files {
        std::fs::write(path(name.split(':').next().unwrap()), bytes).unwrap();
        let file = path(name);
        let mut args = vec!["train", "--data", &file, "--epochs", "1", "--val", "0.3", "--json"];
        args.extend(more);
        let out = path("m");
        args.extend(["--init", "aligned", "--out", &out]);
        json(&args);
        models.push((name, std::fs::read(&out).unwrap()));
    }
    for (name, model) in &models[1..] {
        assert!(*model == models[0].1, "{name}");
    }
}

#[test]
fn bad_files_are_refused_with_the_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = |n: &str| folder.path().join(n).to_str().unwrap().to_owned();
    let npy = std::fs::read(DIGITS[1]).unwrap();
    let archive = npz(&[("x.npy", &npy), ("y.npy", &npy)], zip::CompressionMethod::Stored);
    let cut = &archive[..archive.len() / 2];
    let lying = npz(&[("x.npy", &npy[..npy.len() - 4])], zip::CompressionMethod::Stored);
    // The header says two rows of two, the file has three numbers.
    let idx = [&[0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 2][..], &[1, 2, 3]].concat();
    let nan = [1.0f32, f32::NAN].iter().flat_map(|v| v.to_le_bytes()).collect();
    /// A file's name, its bytes, more flags, and what the refusal says.
    type Case<'a> = (&'a str, Vec<u8>, &'a [&'a str], &'a [&'a str]);
    let mut flipped = archive.clone();
    flipped[2000] ^= 1;
    let cases: [Case; 17] = [
        ("empty.npy", vec![], &[], &["first bytes: []"]),
        ("empty.csv", vec![], &[], &["rows: none"]),
        ("cut.npy", npy[..npy.len() - 4].into(), &[], &["76156 bytes long", "76160"]),
        ("cut.npy", npy[..npy.len() - 4].into(), &["--stream"], &["76156 bytes long", "76160"]),
        ("flipped.npz", flipped, &["--array", "x"], &["not a valid npz", "checksum"]),
        ("cut.npz", cut.into(), &[], &["not a valid npz"]),
        ("lying.npz", lying.clone(), &[], &["x.npy", "bytes long"]),
        ("lying.npz", lying, &["--stream"], &["x.npy", "bytes long"]),
        ("two.npz", archive.clone(), &[], &["array: not given", "x, y"]),
        ("two.npz", archive, &["--array", "z"], &["array: z", "x, y"]),
        ("short-idx2", idx.clone(), &[], &["15 bytes long", "16"]),
        ("short-idx2", idx, &["--stream"], &["15 bytes long", "16"]),
        ("nothing.csv", b"a,b\n".into(), &[], &["rows: none"]),
        ("half.csv", b"a,b\n1,2\n3\n".into(), &[], &["row 3", "columns"]),
        ("a.f32", vec![0; 12], &[], &["dim", "must be given"]),
        ("a.f32", vec![0; 12], &["--dim", "2"], &["12 bytes", "rows of 2"]),
        ("nan.f32", nan, &["--dim", "2", "--stream"], &["row 1, column 2", "not finite"]),
    ];
    for (name, bytes, more, expected) in cases {
        std::fs::write(path(name), bytes).unwrap();
        let (file, out) = (path(name), path("m"));
        let mut args = vec!["train", "--data", &file, "--out", &out];
        args.extend(more);
        let text = refusal(&args);
        assert!(text.contains(name), "{text}");
        assert!(expected.iter().all(|e| text.contains(e)), "{name} {more:?}: {text}");
    }
    // A .gz that is cut or none at all.
    for bytes in [&b"plain"[..], &[0x1f, 0x8b, 8, 0]] {
        std::fs::write(path("a.csv.gz"), bytes).unwrap();
        let text = refusal(&["train", "--data", &path("a.csv.gz"), "--out", &path("m")]);
        assert!(text.contains("gzip"), "{text}");
    }
}

#[test]
fn dequantised_levels_come_back_as_samples() {
    let folder = tempfile::tempdir().unwrap();
    let path = |n: &str| folder.path().join(n).to_str().unwrap().to_owned();
    let mut idx = vec![0, 0, 8, 2, 0, 0, 1, 0x2c, 0, 0, 0, 2];
    idx.extend((0..300u32).flat_map(|i| [(i * 7 % 16) as u8, (i * i % 13) as u8]));
    std::fs::write(path("d-idx2"), idx).unwrap();
    for redraw in [false, true] {
        let mut args =
            vec!["train", "--preprocess", "logit:1e-3,16", "--epochs", "60", "--lr", "0.01"];
        let (data, out) = (path("d-idx2"), path("m"));
        args.extend(["--data", &data, "--val", "0.2", "--init", "aligned", "--out", &out]);
        args.extend(if redraw { &["--redraw"][..] } else { &[] });
        stdout(&relgrad(&args));
        let eval = json(&["eval", "--model", &out, "--data", &data, "--json"]);
        // 16 levels: a uniform guess takes 4 bits, and the model knows better.
        let bits = eval["bits_per_dimension"].as_f64().unwrap();
        assert!(bits > 3.0 && bits < 4.1, "{bits}");
        stdout(&relgrad(&["sample", "--model", &out, "--rows", "200", "--out", &path("s.npy")]));
        let samples = Data::<f64>::read(path("s.npy")).unwrap();
        let whole = |v: &f64| v.fract() == 0.0 && (0.0..16.0).contains(v);
        assert!(samples.rows() == 200 && samples.values().iter().all(whole));
        let mean = samples.values().iter().sum::<f64>() / 400.0;
        assert!(mean > 4.0 && mean < 9.0, "{mean}");
    }
    write_npy(path("bad.npy"), 2, &[1.0f32, 16.0]).unwrap();
    let args = ["eval", "--model", &path("m"), "--data", &path("bad.npy")];
    assert!(refusal(&args).contains("row 1, column 2: 16"));
    // A column is missing.
    write_npy(path("one.npy"), 1, &[1.0f32, 2.0]).unwrap();
    let text = refusal(&["eval", "--model", &path("m"), "--data", &path("one.npy")]);
    assert!(text.contains("one.npy: features: 1; must be 2, as in the model"), "{text}");
}

/// A full disk leaves what was there, and nothing unfinished; a log that is full ends no run.
#[cfg(unix)]
#[test]
fn outputs_are_written_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = |n: &str| folder.path().join(n).to_str().unwrap().to_owned();
    let (npy, csv, png) = (path("a.npy"), path("a.csv"), path("a.png"));
    let images = |count| ["plot", "images", "--data", DIGITS[0], "--count", count, "--out", &png];
    for (name, small, large) in [
        ("a.npy", &["toy", "rings", "--rows", "9", "--out", &npy][..], &["--rows", "9999"]),
        ("a.csv", &["toy", "rings", "--rows", "9", "--out", &csv], &["--rows", "9999"]),
        ("a.png", &images("4"), &["--count", "900"]),
    ] {
        stdout(&relgrad(small));
        let before = std::fs::read(path(name)).unwrap();
        let mut command = program();
        command.args([small, large].concat());
        let output = with_small_files(8, &command).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && text.contains(name), "{text}");
        assert_eq!(std::fs::read(path(name)).unwrap(), before);
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3);
    if std::path::Path::new("/dev/full").exists() {
        let (data, out) = (path("a.npy"), path("m"));
        let mut args = vec!["train", "--data", &data, "--epochs", "1", "--log", "/dev/full"];
        args.extend(["--init", "aligned", "--out", &out]);
        let output = relgrad(&args);
        stdout(&output);
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains("the log ends here"), "{text}");
    }
}
