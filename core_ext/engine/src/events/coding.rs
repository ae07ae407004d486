//! How batches write numbers, texts, and what a record is. The format is described in `batch`.

/// The kind of a record: what follows belongs to a lane.
pub(crate) const LANE: u8 = 0;

/// The kind of a record: how far a lane has come.
pub(crate) const MARK: u8 = 1;

/// The kind of a record: an ephemeral event.
pub(crate) const EPHEMERAL: u8 = 2;

/// The bit of a record's kind that says: a stored event, with a seq of its lane. The other bits are the event's kind.
pub(crate) const STORED: u8 = 0x80;

/// The flag of an event that names a channel.
pub(crate) const CHANNEL: u8 = 1;

/// The flag of an event that names a user.
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

/// How many bytes [`put_number`] writes.
pub(crate) fn number_len(number: u64) -> usize {
    (u64::BITS - (number | 1).leading_zeros()).div_ceil(7) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_as_long_as_it_is_said_to_be() {
        for number in (0..64).flat_map(|bit| [1 << bit, (1 << bit) - 1, u64::MAX >> bit]) {
            let mut bytes = Vec::new();
            put_number(&mut bytes, number);
            assert_eq!(bytes.len(), number_len(number), "{number}");
        }
    }
}
