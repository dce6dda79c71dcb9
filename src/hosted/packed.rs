//! What is packed: how much memory it may take, and whether it is what was packed. A few bytes can stand
//! for a thousand times as many, and an archive can say anything of what it holds.

use std::format;
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};
use std::string::String;
use std::vec::Vec;

use super::arrays::choose;
use super::columns::Format;
use super::error::{FileError, FileResult};

/// Bytes that are unpacked of any file.
const ALWAYS: u64 = 256 << 20;
/// Of longer ones, so many for each packed byte; images and tables come to 2 to 20.
const DENSEST: u64 = 100;

/// Bytes that so many packed ones may stand for.
pub(super) fn most(packed: u64) -> u64 {
    packed.saturating_mul(DENSEST).max(ALWAYS)
}

fn too_dense(path: &Path, unpacked: String, packed: u64, instead: &str) -> FileError {
    let found = format!("{unpacked} bytes of {packed}");
    let allowed = format!("must be at most {DENSEST} times as many, or 256 MiB; {instead}");
    FileError::field(path, "unpacked", found, allowed)
}

/// The bytes that gzip packed.
pub(super) fn gunzip(path: &Path, bytes: &[u8]) -> FileResult<Vec<u8>> {
    let (packed, mut unpacked) = (bytes.len() as u64, Vec::new());
    let most = most(packed);
    let gzip = flate2::read::MultiGzDecoder::new(bytes);
    let read = gzip.take(most + 1).read_to_end(&mut unpacked);
    read.map_err(|e| FileError::format(path, "gzip", e))?;
    if unpacked.len() as u64 <= most {
        return Ok(unpacked);
    }
    Err(too_dense(path, format!("more than {most}"), packed, "unpack it by itself first (gunzip)"))
}

/// A file in an archive.
pub(super) struct Entry {
    pub index: usize,
    /// Its bytes, unpacked.
    pub size: u64,
    /// Whether these lie in the archive as they are, and where they begin.
    pub stored: Option<u64>,
}

pub(super) fn archive<R: Read + Seek>(path: &Path, bytes: R) -> FileResult<zip::ZipArchive<R>> {
    zip::ZipArchive::new(bytes)
        .map_err(|e| FileError::format(path, "npz", format!("{e} (has it been cut short?)")))
}

/// The place of the array that `format` asks for.
pub(super) fn entry(
    path: &Path,
    bytes: impl Read + Seek,
    format: &Format,
) -> FileResult<(PathBuf, Entry)> {
    let mut archive = archive(path, bytes)?;
    let names: Vec<String> = archive.file_names().flatten().map(String::from).collect();
    let arrays: Vec<&str> = names.iter().filter_map(|n| n.strip_suffix(".npy")).collect();
    if arrays.is_empty() && names.iter().any(|n| n == "[Content_Types].xml") {
        let allowed = "save its table as csv";
        return Err(FileError::field(path, "content", "an Excel or Office document", allowed));
    }
    let name = format!("{}.npy", choose(path, format, &arrays)?);
    let end = archive.central_directory_start();
    let index = archive.index_for_name(&name).unwrap_or_default();
    let file = archive.by_index(index).map_err(|e| fault(path, e))?;
    let (size, packed) = (file.size(), file.compressed_size());
    let start = file.data_start().unwrap_or_default();
    let is_stored = file.compression() == zip::CompressionMethod::Stored;
    let is_inside = start.checked_add(packed).is_some_and(|to| to <= end);
    if !is_inside || (is_stored && packed != size) {
        let found = format!("{size} bytes, {packed} packed, at {start}");
        let allowed = format!("must lie in the archive, whose files end at {end}");
        return Err(FileError::field(path, name, found, allowed));
    }
    if size > most(packed) {
        let instead = "save it with numpy.savez, which does not pack";
        return Err(too_dense(&path.join(&name), format!("{size}"), packed, instead));
    }
    Ok((path.join(&name), Entry { index, size, stored: is_stored.then_some(start) }))
}

/// Reads a file in an archive to its end, where its checksum is compared.
pub(super) fn check(path: &Path, mut file: impl Read) -> FileResult<()> {
    io::copy(&mut file, &mut io::sink()).map(|_| ()).map_err(|e| fault(path, e))
}

pub(super) fn fault(path: &Path, e: impl Into<zip::result::ZipError>) -> FileError {
    FileError::format(path, "npz", e.into())
}

#[cfg(test)]
mod tests {
    use super::super::data_files::open;
    use super::*;
    use crate::hosted::{Rows, write_npy};
    use std::boxed::Box;
    use std::io::{Cursor, Write};
    use std::string::ToString;
    use zip::CompressionMethod;

    fn npz(npy: &[u8], method: CompressionMethod) -> Vec<u8> {
        let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
        let options = zip::write::SimpleFileOptions::default().compression_method(method);
        archive.start_file("x.npy", options).unwrap();
        archive.write_all(npy).unwrap();
        archive.finish().unwrap().into_inner()
    }

    /// All of a file's bytes as rows, left in it or not.
    fn read(bytes: &[u8], stream: bool) -> Result<Vec<f32>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.npz");
        std::fs::write(&path, bytes).unwrap();
        let read = || {
            let format = Format { stream, ..Format::default() };
            let rows: Box<dyn Rows<f32>> = open(&path, &format)?;
            Ok::<_, FileError>(super::super::in_memory(&*rows, rows.rows())?.values().to_vec())
        };
        read().map_err(|e| e.to_string())
    }

    fn table(rows: usize) -> (Vec<f32>, Vec<u8>) {
        let folder = tempfile::tempdir().unwrap();
        let values: Vec<f32> = (0..4 * rows).map(|i| (i as f32 * 0.618).fract()).collect();
        let path = folder.path().join("x.npy");
        write_npy(&path, 4, &values).unwrap();
        (values, std::fs::read(&path).unwrap())
    }

    #[test]
    fn damage_is_seen_wherever_rows_stay() {
        let (values, npy) = table(500);
        for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
            let mut bytes = npz(&npy, method);
            for stream in [false, true] {
                assert_eq!(read(&bytes, stream).as_ref(), Ok(&values));
            }
            // Another number, as good as the one before.
            let middle = bytes.len() / 2 / 4 * 4 + 1;
            bytes[middle] ^= 0x10;
            for stream in [false, true] {
                let refused = read(&bytes, stream).unwrap_err();
                assert!(refused.contains("npz"), "{method} {stream}: {refused}");
            }
        }
    }

    #[test]
    fn sizes_that_lie_are_refused() {
        let (_, npy) = table(10);
        let whole = npz(&npy, CompressionMethod::Stored);
        let size = (npy.len() as u32).to_le_bytes();
        let places: Vec<usize> =
            (0..whole.len() - 4).filter(|i| whole[*i..][..4] == size).collect();
        assert_eq!(places.len(), 4, "two sizes in each header");
        // The npy header says as many more rows: they would lie behind the file, or in what
        // follows it.
        for (more, rows) in [(64u32, "(14, 4)"), (16 * 999_990, "(1000000, 4)")] {
            let mut bytes = whole.clone();
            for at in &places {
                let lie = (npy.len() as u32 + more).to_le_bytes();
                bytes[*at..*at + 4].copy_from_slice(&lie);
            }
            let at = bytes.windows(7).position(|w| w == b"(10, 4)").unwrap();
            bytes[at..][..rows.len()].copy_from_slice(rows.as_bytes());
            for stream in [false, true] {
                let refused = read(&bytes, stream).unwrap_err();
                assert!(refused.contains("x.npy: ") && refused.contains("archive"), "{refused}");
            }
        }
    }

    #[test]
    fn little_does_not_become_much() {
        let path = Path::new("x");
        let mut zeros = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        (0..257).for_each(|_| zeros.write_all(&std::vec![0; 1 << 20]).unwrap());
        let bomb = zeros.finish().unwrap();
        let refused = gunzip(path, &bomb).unwrap_err().to_string();
        assert!(refused.contains("more than 268435456 bytes of"), "{refused}");
        assert!(refused.contains("gunzip"), "{refused}");
        // In proportion, any length is.
        assert_eq!(most(5 << 20), 500 << 20);
    }
}
