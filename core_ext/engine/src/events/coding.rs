//! The coding of numbers, texts and the kinds of records in batches. `batch` describes the format.

/// The kind of a record that names the lane of the records behind it.
pub(crate) const LANE: u8 = 0;

/// The kind of a mark, a record that says up to which seq a lane was routed.
pub(crate) const MARK: u8 = 1;

/// The kind of an ephemeral event.
pub(crate) const EPHEMERAL: u8 = 2;

/// The bit that marks the kind of a stored event, which has a seq. The other bits are the code of the event's kind.
pub(crate) const STORED: u8 = 0x80;

/// The flag of an event that has a channel.
pub(crate) const CHANNEL: u8 = 1;

/// The flag of an event that has a user.
pub(crate) const USER: u8 = 2;

/// Append a number as unsigned LEB128.
pub(crate) fn put_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    bytes.push(number.to_le_bytes()[0]);
}

/// Append bytes after their length.
pub(crate) fn put_text(bytes: &mut Vec<u8>, text: &[u8]) {
    put_number(bytes, text.len() as u64);
    bytes.extend_from_slice(text);
}

/// The number of bytes that [`put_number`] writes.
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
