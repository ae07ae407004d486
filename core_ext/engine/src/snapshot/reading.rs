//! Reads a snapshot's file. The whole file is verified before any of it is used.

use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3;

use crate::error::{Error, Refusal, Result, SNAPSHOT_VERSION};
use crate::snapshot::format::{Checked, SectionKind};
use crate::snapshot::writing::{BEGIN, END, TRAILER};

/// Bytes before the sections.
const HEADER: usize = BEGIN.len() + size_of::<u32>();

/// The number of bytes that are read at a time.
const BUFFER: usize = 1 << 20;

/// The sections of a file that was verified.
pub(super) struct Reader {
    path: PathBuf,
    sections: io::Take<BufReader<File>>,
    bytes: Vec<u8>,
}

impl Reader {
    /// Open a file, and verify it.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let of_file = |error: Failure| error.of(path);
        let mut file = File::open(path).map_err(Failure::from).map_err(of_file)?;
        let sections = verify(&mut file).map_err(of_file)?;
        let sections = BufReader::with_capacity(BUFFER, file).take(sections);
        Ok(Self { path: path.to_owned(), sections, bytes: Vec::new() })
    }

    /// The bytes of sections that are still to be read.
    pub(super) fn left(&self) -> usize {
        usize::try_from(self.sections.limit()).unwrap_or(usize::MAX)
    }

    /// The next section.
    pub(super) fn next(&mut self) -> Result<Option<(SectionKind, &[u8])>> {
        if self.sections.limit() == 0 {
            return Ok(None);
        }
        let kind = self.read().map_err(|error| error.of(&self.path))?;
        Ok(Some((kind, &self.bytes)))
    }

    fn read(&mut self) -> Outcome<SectionKind> {
        let [kind] = array(&mut self.sections)?;
        let kind = SectionKind::of(kind).ok_or(Refusal::Inconsistent("a section of no kind"))?;
        let length = u64::from_le_bytes(array(&mut self.sections)?);
        if length > self.sections.limit() {
            return Err(Refusal::Inconsistent("a section longer than the file").into());
        }
        self.bytes.clear();
        if self.sections.by_ref().take(length).read_to_end(&mut self.bytes)? as u64 == length {
            Ok(kind)
        } else {
            Err(Refusal::Cut.into())
        }
    }
}

impl SectionKind {
    fn of(byte: u8) -> Option<Self> {
        [Self::Head, Self::Instances, Self::Channels, Self::Users].into_iter().find(|&kind| kind as u8 == byte)
    }
}

/// Verify the whole file, and go to its first section. Returns the number of bytes of all sections.
fn verify(file: &mut File) -> Outcome<u64> {
    let length = file.metadata()?.len();
    let mut hashed = Hashed { file, hash: Xxh3::new() };
    verify_header(&array::<HEADER>(&mut hashed)?)?;
    let sections = length.checked_sub((HEADER + TRAILER) as u64).ok_or(Refusal::Cut)?;
    let mut body = hashed.by_ref().take(sections);
    let mut buffer = vec![0; BUFFER];
    while body.read(&mut buffer)? > 0 {}
    let (end, said) = (array(&mut hashed)?, u64::from_le_bytes(array(&mut hashed)?));
    if end != END || said != length {
        return Err(Refusal::Cut.into());
    }
    let checksum = hashed.hash.digest();
    if u64::from_le_bytes(array(&mut hashed)?) != checksum {
        return Err(Refusal::Checksum.into());
    }
    file.seek(SeekFrom::Start(HEADER as u64))?;
    Ok(sections)
}

fn verify_header(header: &[u8; HEADER]) -> Checked<()> {
    let version = header.strip_prefix(&BEGIN).and_then(|rest| rest.first_chunk()).ok_or(Refusal::Foreign)?;
    match u32::from_le_bytes(*version) {
        SNAPSHOT_VERSION => Ok(()),
        other => Err(Refusal::Version(other)),
    }
}

/// A file that is hashed as it is read.
struct Hashed<'a> {
    file: &'a mut File,
    hash: Xxh3,
}

impl Read for Hashed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.hash.update(&buffer[..count]);
        Ok(count)
    }
}

fn array<const N: usize>(file: &mut impl Read) -> Outcome<[u8; N]> {
    let mut bytes = [0; N];
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// The value that was read, or the reason why it could not be.
type Outcome<T> = std::result::Result<T, Failure>;

/// Why a file cannot be read.
enum Failure {
    Refused(Refusal),
    Io(io::Error),
}

impl Failure {
    fn of(self, path: &Path) -> Error {
        match self {
            Self::Refused(refusal) => refusal.into(),
            Self::Io(error) => Error::of_file(&error, path),
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == ErrorKind::UnexpectedEof { Self::Refused(Refusal::Cut) } else { Self::Io(error) }
    }
}
