//! How batches write numbers, texts, and what a record has.

/// The record names a channel.
pub(crate) const CHANNEL: u8 = 1;

/// The record names a user.
pub(crate) const USER: u8 = 2;

/// An unsigned LEB128 number.
pub(crate) fn put_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    bytes.push(number.to_le_bytes()[0]);
}

/// Bytes after their length.
pub(crate) fn put_text(bytes: &mut Vec<u8>, text: &[u8]) {
    put_number(bytes, text.len() as u64);
    bytes.extend_from_slice(text);
}
