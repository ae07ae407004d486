//! The errors of the engine, as one enum.

use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};

/// The version of the snapshot format. Every change of the format needs another version.
pub(crate) const SNAPSHOT_VERSION: u32 = 1;

/// The reason why a file cannot be restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The file is no snapshot.
    #[error("not a snapshot")]
    Foreign,
    /// The file is of another format.
    #[error("version {0}, this build reads {SNAPSHOT_VERSION}")]
    Version(u32),
    /// The end is missing, or bytes follow it.
    #[error("cut")]
    Cut,
    /// The checksum does not match the bytes.
    #[error("its checksum differs")]
    Checksum,
    /// The checksum matches, but the content contradicts itself.
    #[error("inconsistent: {0}")]
    Inconsistent(&'static str),
}

/// Every error of the engine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// An id outside the charset of the contract. The text names the argument, and shows the start of the id.
    #[error("{0}")]
    InvalidId(String),
    /// An event whose bytes can never be delivered, and why.
    #[error("{0}")]
    InvalidEvent(String),
    /// Bytes that are incomplete, no batch, or a batch of another version.
    #[error("not a batch: {0}")]
    InvalidBatch(&'static str),
    /// An argument out of its range.
    #[error("{0}")]
    InvalidArgument(String),
    /// The channels of a user are neither given, nor in the table or the cache.
    #[error("the channels of user {0} are not known")]
    MembershipUnknown(String),
    /// A lane that was never opened, or was closed.
    #[error("lane {0} is not open")]
    LaneNotOpen(u32),
    /// The table has no subscription id left for one more user on an instance.
    #[error("the engine holds no more users on instances")]
    Full,
    /// A file from which no engine can be restored, and why.
    #[error("the snapshot is refused: {0}")]
    SnapshotRefused(#[from] Refusal),
    /// An error of the operating system about a file.
    #[error("{}: {}", path.display(), io::Error::from_raw_os_error(*code))]
    File {
        /// The value of `errno`.
        code: i32,
        /// The file.
        path: PathBuf,
    },
}

impl Error {
    /// A name that is no id. `place` says where it stands: an argument, or an item of one.
    #[cold]
    pub fn invalid_id(place: impl Display, name: &str) -> Self {
        Self::InvalidId(format!(
            "{place} is {}, which is no id: 1 to 128 characters of A-Z a-z 0-9 _ -",
            shortened(name)
        ))
    }

    /// The error of the engine for an input or output error on a file.
    pub(crate) fn of_file(error: &io::Error, path: &Path) -> Self {
        Self::File { code: error.raw_os_error().unwrap_or(EIO), path: path.to_owned() }
    }
}

/// The most characters of a value that an error shows.
const SHOWN: usize = 40;

/// The start of a text in quotes, in ASCII: the text may be a stranger's, and the error goes to logs and headers.
#[must_use]
pub fn shortened(text: &str) -> String {
    let (shown, rest) = beginning(text);
    format!("'{shown}'{rest}")
}

/// [`shortened`] without the quotes, for what stands for a value that is no text, such as a number.
#[must_use]
pub fn shortened_value(text: &str) -> String {
    let (shown, rest) = beginning(text);
    shown + rest
}

fn beginning(text: &str) -> (String, &'static str) {
    let mut characters = text.chars();
    let shown = characters.by_ref().take(SHOWN).flat_map(char::escape_default).collect();
    (shown, if characters.next().is_some() { "..." } else { "" })
}

/// The code for an input or output error without a code of the operating system, such as a write that took no bytes.
const EIO: i32 = 5;

/// The result of a call of the engine that may fail.
pub type Result<T> = std::result::Result<T, Error>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_is_none_is_shown_with_its_place_and_no_longer_than_40_characters() {
        let text = |name: &str| Error::invalid_id(format_args!("channels[{}]", 3), name).to_string();
        let charset = "which is no id: 1 to 128 characters of A-Z a-z 0-9 _ -";
        assert_eq!(text("b c"), format!("channels[3] is 'b c', {charset}"));
        assert_eq!(text("\u{e9}\n"), format!("channels[3] is '\\u{{e9}}\\n', {charset}"));
        assert_eq!(text(&"x".repeat(129)), format!("channels[3] is '{}'..., {charset}", "x".repeat(40)));
    }

    #[test]
    fn a_value_is_cut_between_characters_and_has_no_quotes() {
        assert_eq!(shortened_value("-17"), "-17");
        assert_eq!(shortened_value(&"1".repeat(41)), format!("{}...", "1".repeat(40)));
        assert_eq!(shortened_value(&format!("x{}", "\u{20ac}".repeat(40))), format!("x{}...", "\\u{20ac}".repeat(39)));
    }
}
