//! What a run comes to is kept elsewhere if it cannot be written to its place: no hours of work end
//! with a full disk or a folder that has gone.

use std::ffi::OsStr;
use std::fmt::Display;
use std::path::{Path, PathBuf};

use relgrad::Scalar;
use relgrad::hosted::{ModelFile, Training};

use super::folder::Folder;
use super::settings::CHECKPOINT;
use crate::failure::Failure;

/// The folder that a file is in.
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Where else something may go that belongs beside `path`.
fn elsewhere(path: &Path) -> impl Iterator<Item = PathBuf> {
    let here = std::path::absolute(".").unwrap_or_default();
    [folder_of(path).to_path_buf(), here, std::env::temp_dir()].into_iter()
}

/// Writes the model to `out`.
///
/// # Errors
/// If that fails; the model is kept elsewhere then, under a new name that the error says, if any
/// place takes it.
pub fn write_model(file: &ModelFile, out: &Path) -> Result<(), Failure> {
    let Err(error) = file.write(out) else { return Ok(()) };
    let part = |part: Option<&OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
    let (stem, extension) = (part(out.file_stem()), part(out.extension()));
    for folder in elsewhere(out) {
        let mut name = tempfile::Builder::new();
        let (prefix, suffix) = (format!("{stem}.kept-"), format!(".{extension}"));
        name.prefix(&prefix);
        if !extension.is_empty() {
            name.suffix(&suffix);
        }
        if let Ok(place) = name.tempfile_in(folder)
            && file.write(place.path()).is_ok()
            && let Ok((_, path)) = place.keep()
        {
            return Err(format!("{error}; the model is kept in {}", path.display()).into());
        }
    }
    Err(error.into())
}

/// Saves the run in its folder, which says where; if the folder does not take it, in a new one.
///
/// # Errors
/// If no place takes it.
pub fn save_run<T: Scalar>(
    training: &Training<T>,
    folder: &mut Folder,
    out: &Path,
) -> Result<Saved, Failure> {
    let why = match folder.take() {
        Ok(()) => match training.save(&folder.checkpoint()) {
            Ok(()) => return Ok(Saved::default()),
            Err(e) => e.to_string(),
        },
        Err(e) => e.to_string(),
    };
    for place in elsewhere(out) {
        if let Ok(new) = tempfile::Builder::new().prefix("relgrad-run-").tempdir_in(place)
            && training.save(&new.path().join(CHECKPOINT)).is_ok()
        {
            return Ok(Saved { elsewhere: Some((new.keep(), why)) });
        }
    }
    Err(format!("the run could not be saved: {why}").into())
}

/// Where a run was saved.
#[derive(Default)]
pub struct Saved {
    /// The folder, and why it is not the run's own.
    elsewhere: Option<(PathBuf, String)>,
}

impl Saved {
    /// The folder, if it is not the run's own.
    pub fn folder(&self) -> Option<&Path> {
        self.elsewhere.as_ref().map(|(folder, _)| &**folder)
    }
}

impl Display for Saved {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match &self.elsewhere {
            None => write!(f, "saved"),
            Some((folder, why)) => write!(f, "{why}; saved in {} instead", folder.display()),
        }
    }
}
