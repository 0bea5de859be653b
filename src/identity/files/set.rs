//! The files of one identity, read as one set: never half of an old one and half of a new one.
//!
//! Kubernetes replaces a volume's files all at once by moving the link `..data`; whoever reads file after file asks for
//! that link before and after.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use aws_lc_rs::digest::{Context, SHA256};

use super::{LoadError, is_known};

/// The largest file that is read, in bytes.
const FILE_MAX: u64 = 1024 * 1024;
/// How often reading starts again when the files move meanwhile.
const TRIES: usize = 5;

/// The contents of all known files of a directory. Holds a private key, so it has no `Debug`.
pub(super) struct Set {
    dir: PathBuf,
    files: Files,
}

/// Contents by file name.
type Files = BTreeMap<String, Vec<u8>>;

impl Set {
    /// Reads all known files of `dir`.
    pub(super) fn read(dir: &Path) -> Result<Self, LoadError> {
        let files = settled(dir, || fs::read_link(dir.join("..data")).ok(), || read_all(dir))?;
        Ok(Self { dir: dir.to_owned(), files })
    }

    /// Whether there is a file of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.files.contains_key(name)
    }

    /// The content of a file.
    pub(super) fn get(&self, name: &str) -> Result<&[u8], LoadError> {
        match self.files.get(name) {
            Some(content) => Ok(content),
            None => Err(LoadError::Missing(self.path(name))),
        }
    }

    /// The names of all files, in order.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// Where a file is, for errors.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// A fingerprint of all names and contents.
    pub(super) fn digest(&self) -> [u8; 32] {
        let mut context = Context::new(&SHA256);
        for (name, content) in &self.files {
            // Lengths first, so that no two sets look alike when strung together.
            for part in [name.as_bytes(), content] {
                context.update(&part.len().to_be_bytes());
                context.update(part);
            }
        }
        let mut digest = [0; 32];
        digest.copy_from_slice(context.finish().as_ref());
        digest
    }
}

/// Reads until nothing moved meanwhile, as `link` tells. An error counts only if nothing moved either.
fn settled<T>(
    dir: &Path,
    mut link: impl FnMut() -> Option<PathBuf>,
    mut read: impl FnMut() -> Result<T, LoadError>,
) -> Result<T, LoadError> {
    for _ in 0..TRIES {
        let before = link();
        let outcome = read();
        if link() == before {
            return outcome;
        }
    }
    Err(LoadError::Moving(dir.to_owned()))
}

fn read_all(dir: &Path) -> Result<Files, LoadError> {
    let wrong = |cause| LoadError::Io { path: dir.to_owned(), cause };
    let mut files = Files::new();
    for entry in fs::read_dir(dir).map_err(wrong)? {
        let name = entry.map_err(wrong)?.file_name();
        let Some(name) = name.to_str().filter(|name| is_known(name)) else { continue };
        files.insert(name.to_owned(), read_file(&dir.join(name))?);
    }
    Ok(files)
}

fn read_file(path: &Path) -> Result<Vec<u8>, LoadError> {
    let wrong = |cause| LoadError::Io { path: path.to_owned(), cause };
    // Opening a pipe would wait for its other end.
    if !fs::metadata(path).map_err(wrong)?.is_file() {
        return Err(wrong(io::Error::new(io::ErrorKind::InvalidInput, "not a file")));
    }
    let mut content = Vec::new();
    File::open(path).and_then(|file| file.take(FILE_MAX + 1).read_to_end(&mut content)).map_err(wrong)?;
    if content.len() as u64 > FILE_MAX {
        return Err(LoadError::TooLarge(path.to_owned()));
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(text: &str) -> Option<PathBuf> {
        Some(PathBuf::from(text))
    }

    #[test]
    fn a_set_that_moved_while_it_was_read_is_read_again() {
        let mut links = ["1", "2", "2", "2"].into_iter().map(link);
        let mut reads = ["half", "whole"].into_iter();
        let read = settled(Path::new("/v"), || links.next().unwrap(), || Ok(reads.next().unwrap()));
        assert_eq!(read.unwrap(), "whole");
    }

    #[test]
    fn an_error_of_a_set_that_moved_does_not_count() {
        let mut links = ["1", "2", "2", "2"].into_iter().map(link);
        let mut reads = [Err(LoadError::Missing(PathBuf::from("/v/tls.key"))), Ok("whole")].into_iter();
        let read = settled(Path::new("/v"), || links.next().unwrap(), || reads.next().unwrap());
        assert_eq!(read.unwrap(), "whole");
    }

    #[test]
    fn a_set_that_never_stands_still_is_given_up() {
        let mut stamp = 0;
        let moving = || {
            stamp += 1;
            link(&stamp.to_string())
        };
        let mut reads = 0;
        let read = settled(Path::new("/v"), moving, || {
            reads += 1;
            Ok(())
        });
        assert!(matches!(read, Err(LoadError::Moving(dir)) if dir == Path::new("/v")));
        assert_eq!(reads, TRIES);
    }

    #[test]
    fn a_plain_directory_has_no_link_and_is_read_once() {
        let mut reads = 0;
        let read = settled(
            Path::new("/v"),
            || None,
            || {
                reads += 1;
                Ok(reads)
            },
        );
        assert_eq!(read.unwrap(), 1);
    }

    #[test]
    fn a_digest_tells_names_and_contents_apart() {
        let digest = |files: &[(&str, &str)]| {
            let files =
                files.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())).collect();
            Set { dir: PathBuf::new(), files }.digest()
        };
        assert_eq!(digest(&[("a", "b")]), digest(&[("a", "b")]));
        assert_ne!(digest(&[("a", "bc")]), digest(&[("ab", "c")]));
        assert_ne!(digest(&[("a", "")]), digest(&[]));
    }
}
