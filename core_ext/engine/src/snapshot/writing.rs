//! Writes a file that replaces an existing one only when it is complete.
//!
//! The file begins with a fixed mark and the version. Each section is its kind, its length and its bytes. The file ends
//! with a second mark, the file's length, and a checksum of everything before. Numbers are little-endian.
//!
//! The file is written under a temporary name, synced to the disk, and renamed. Each writer has its own temporary name,
//! so two writers at once do no harm. A writer removes the files that a killed one left.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3;

use crate::error::{Error, Result, SNAPSHOT_VERSION};
use crate::snapshot::format::SectionKind;
use crate::sync::random;

/// The mark at the beginning of the file.
pub(super) const BEGIN: [u8; 8] = *b"\x89fanout\n";

/// The mark at the end of the sections, before the length and the checksum.
pub(super) const END: [u8; 8] = *b"\nwhole.\n";

/// The number of bytes behind the sections.
pub(super) const TRAILER: usize = END.len() + 2 * size_of::<u64>();

/// A snapshot that is being written. If it is dropped before `commit`, its file is removed.
pub(super) struct Writer {
    path: PathBuf,
    temporary: PathBuf,
    file: File,
    hash: Xxh3,
    written: u64,
}

impl Writer {
    /// Begin a file that `commit` will rename to `path`.
    pub(super) fn create(path: &Path) -> Result<Self> {
        let Some(name) = path.file_name() else {
            return Err(Error::InvalidArgument(format!("{} is no file's path", path.display())));
        };
        let _ = remove_leftovers(folder_of(path), name);
        let temporary = folder_of(path).join(temporary_name(name));
        let file = create_for_owner(&temporary).map_err(|error| Error::of_file(&error, path))?;
        let mut writer = Self { path: path.to_owned(), temporary, file, hash: Xxh3::new(), written: 0 };
        writer.write(&[&BEGIN[..], &SNAPSHOT_VERSION.to_le_bytes()].concat())?;
        Ok(writer)
    }

    /// Add a section.
    pub(super) fn section(&mut self, kind: SectionKind, bytes: &[u8]) -> Result<()> {
        self.write(&[kind as u8])?;
        self.write(&(bytes.len() as u64).to_le_bytes())?;
        self.write(bytes)
    }

    /// End the file, and rename it over the existing one. Returns its length.
    pub(super) fn commit(mut self) -> Result<u64> {
        let length = self.written + TRAILER as u64;
        self.write(&[END, length.to_le_bytes()].concat())?;
        let checksum = self.hash.digest();
        self.write(&checksum.to_le_bytes())?;
        self.publish().map_err(|error| Error::of_file(&error, &self.path))?;
        Ok(length)
    }

    fn publish(&self) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.temporary, &self.path)?;
        File::open(folder_of(&self.path))?.sync_all()
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.hash.update(bytes);
        self.written += bytes.len() as u64;
        self.file.write_all(bytes).map_err(|error| Error::of_file(&error, &self.path))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // After the rename there is no such file.
        let _ = fs::remove_file(&self.temporary);
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

const SUFFIX: &str = ".part";
const DIGITS: usize = 16;

fn temporary_name(name: &OsStr) -> OsString {
    let unique = format!(".{:0DIGITS$x}{SUFFIX}", random());
    [OsStr::new("."), name, unique.as_ref()].into_iter().collect()
}

/// Whether `file` is a temporary name of a writer of `name`.
fn is_temporary(file: &OsStr, name: &OsStr) -> bool {
    let middle = file.as_encoded_bytes().strip_prefix(b".").and_then(|file| file.strip_prefix(name.as_encoded_bytes()));
    let digits = middle.and_then(|rest| rest.strip_prefix(b".")?.strip_suffix(SUFFIX.as_bytes()));
    digits.is_some_and(|digits| digits.len() == DIGITS && digits.iter().all(u8::is_ascii_hexdigit))
}

fn remove_leftovers(folder: &Path, name: &OsStr) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if is_temporary(&entry.file_name(), name) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Create a file that only its owner may read, because it has the names of all users.
fn create_for_owner(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}
