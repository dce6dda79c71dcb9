//! Files that are often taken for data: what they are, by their first bytes, and what to do.

use std::path::Path;

use super::error::{FileError, FileResult};

/// Refuses content that is known to be something else than a table of numbers.
pub(super) fn refuse_foreign(path: &Path, bytes: &[u8]) -> FileResult<()> {
    match recognise(bytes) {
        Some((what, allowed)) => Err(FileError::field(path, "content", what, allowed)),
        None => Ok(()),
    }
}

const AS_CSV: &str = "save its table as csv";
const AS_NPY: &str = "save its table as npy or csv";
const UNPACK: &str = "unpack it first: only gzip is read packed";

/// The first bytes, what they say, and what to do.
const KNOWN: [(&[u8], &str, &str); 15] = [
    (
        b"version https://git-lfs.github.com/spec/",
        "a Git LFS pointer, not the data themselves",
        "fetch them with `git lfs pull`",
    ),
    (b"ARROW1", "an Arrow file", AS_NPY),
    (b"SQLite format 3\0", "an SQLite database", AS_CSV),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook", AS_CSV),
    (b"MATLAB 5.0 MAT-file", "a MATLAB file", "save it with -v7.3, which is HDF5, or as csv"),
    (b"RDX", "an R data file", AS_CSV),
    (b"\x80\x04\x95", "a Python pickle", AS_NPY),
    (b"\x80\x05\x95", "a Python pickle", AS_NPY),
    (b"\x80\x02", "a Python pickle", AS_NPY),
    (b"BZh", "packed with bzip2", UNPACK),
    (b"\xfd7zXZ\0", "packed with xz", UNPACK),
    (b"\x28\xb5\x2f\xfd", "packed with zstd", UNPACK),
    (b"\x89PNG", "a PNG picture", AS_NPY),
    (b"\xff\xd8\xff", "a JPEG picture", AS_NPY),
    (b"%PDF", "a PDF document", AS_CSV),
];

fn recognise(bytes: &[u8]) -> Option<(&'static str, &'static str)> {
    if let Some((_, what, allowed)) = KNOWN.iter().find(|(magic, ..)| bytes.starts_with(magic)) {
        return Some((what, allowed));
    }
    if bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1") {
        return Some(("a Parquet file", AS_NPY));
    }
    if matches!(bytes, [0xff, 0xfe, ..] | [0xfe, 0xff, ..]) {
        return Some(("text in UTF-16", "save it as UTF-8"));
    }
    let start = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii_start();
    let tag =
        |tag: &str| start.get(..tag.len()).is_some_and(|s| s.eq_ignore_ascii_case(tag.as_bytes()));
    if ["<!doctype html", "<html", "<head", "<body"].into_iter().any(tag) {
        let allowed = "download the file itself, not the page about it";
        return Some(("a web page (HTML), not data", allowed));
    }
    if tag("<?xml") {
        return Some(("an XML document", AS_CSV));
    }
    if matches!(start, [b'{' | b'[', ..]) {
        return Some(("JSON", AS_CSV));
    }
    if matches!(bytes, [_, _, _, _, _, 0, 0, 0, b'{', b'"', ..]) {
        return Some(("a safetensors file, a model perhaps", "must be a table of numbers"));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn what_is_no_table_is_named() {
        let cases: [(&[u8], &str); 8] = [
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12\n", "LFS"),
            (b"\n  <!DOCTYPE html>\n<html>", "HTML"),
            (b"<HTML lang=en>", "HTML"),
            (b"PAR1....PAR1", "Parquet"),
            (b"\xff\xfe1\0,\0", "UTF-16"),
            (b"{\"a\": 1}", "JSON"),
            (b"\x40\0\0\0\0\0\0\0{\"__metadata__\"", "safetensors"),
            (b"\xfd7zXZ\0\0", "xz"),
        ];
        for (bytes, what) in cases {
            let error = refuse_foreign(Path::new("x"), bytes).unwrap_err().to_string();
            assert!(error.starts_with("x: content: ") && error.contains(what), "{error}");
        }
        for bytes in [&b""[..], b"1,2\n", b"PAR1,PAR2\n1,2\n", b"version,x\n1,2\n", b"a<b\n1\n"] {
            assert!(refuse_foreign(Path::new("x"), bytes).is_ok());
        }
    }
}
