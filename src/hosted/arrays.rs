//! Arrays by name, in npz and HDF5 files.

use std::borrow::ToOwned;
use std::format;
use std::path::Path;

use super::columns::Format;
use super::error::{FileError, FileResult};

/// The array that was asked for, or the only one.
pub(super) fn choose<'a>(path: &Path, format: &Format, all: &[&'a str]) -> FileResult<&'a str> {
    let asked = format.array.as_deref().map(|name| name.trim_matches('/'));
    let found = all.iter().copied().find(|name| Some(*name) == asked);
    let chosen = match (found, asked, all) {
        (None, None, &[only]) => Some(only),
        (None, Some(_), &[only]) if format.lenient => Some(only),
        _ => found,
    };
    chosen.ok_or_else(|| {
        let allowed = match all {
            [] => "the file must hold at least one".to_owned(),
            all => format!("must be one of {}", all.join(", ")),
        };
        let asked = asked.unwrap_or(if all.is_empty() { "none" } else { "not given" });
        FileError::field(path, "array", asked, allowed)
    })
}
