//! Files that others read while they are written.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

/// Writes a file beside its final place, then moves it there: a reader sees the old one or the new one. The directory is
/// made if need be.
pub(super) fn replace(dir: &Path, name: &str, text: &str, mode: u32) -> io::Result<()> {
    let draft = dir.join(format!(".{name}.new"));
    fs::create_dir_all(dir)?;
    // A draft that an earlier run left behind may be open to everybody: the mode counts for new files only.
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&draft)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&draft, dir.join(name))
}
