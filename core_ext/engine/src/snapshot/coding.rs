//! The coding of names and numbers in a snapshot.

use crate::error::Refusal;
use crate::names::ids::Packed;
use crate::snapshot::format::Checked;

/// Add a number as unsigned LEB128.
pub(super) fn put_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    bytes.push(number.to_le_bytes()[0]);
}

/// Add a count, or an index.
pub(super) fn put_count(bytes: &mut Vec<u8>, count: usize) {
    put_number(bytes, count as u64);
}

/// Add a name: its length in a byte, and its characters.
pub(super) fn put_name(bytes: &mut Vec<u8>, name: &[u8]) {
    bytes.push(u8::try_from(name.len()).expect("an id is short"));
    bytes.extend_from_slice(name);
}

/// Add a packed name. None is written as a name without characters.
pub(super) fn put_packed(bytes: &mut Vec<u8>, name: Option<Packed>) {
    bytes.push(name.map_or(0, |name| name.length));
    if let Some(name) = name {
        name.write(&mut Characters(bytes));
    }
}

struct Characters<'a>(&'a mut Vec<u8>);

impl Extend<char> for Characters<'_> {
    fn extend<T: IntoIterator<Item = char>>(&mut self, characters: T) {
        // An id's characters are ASCII.
        self.0.extend(characters.into_iter().map(|character| character as u8));
    }
}

/// The bytes that are still to be read. No function here assumes that they are valid.
pub(super) struct Cursor<'a>(pub(super) &'a [u8]);

impl<'a> Cursor<'a> {
    pub(super) fn is_at_end(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn bytes(&mut self, count: usize) -> Checked<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(count).ok_or(SHORT)?;
        self.0 = rest;
        Ok(bytes)
    }

    pub(super) fn number(&mut self) -> Checked<u64> {
        let mut number = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let (&byte, rest) = self.0.split_first().ok_or(SHORT)?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Refusal::Inconsistent("a number without end"))
    }

    pub(super) fn count(&mut self) -> Checked<usize> {
        usize::try_from(self.number()?).map_err(|_| Refusal::Inconsistent("a count beyond all memory"))
    }

    /// Read a name, without checking whether it is an id.
    pub(super) fn name(&mut self) -> Checked<&'a [u8]> {
        let length = self.bytes(1)?[0];
        self.bytes(length.into())
    }
}

const SHORT: Refusal = Refusal::Inconsistent("a section ends too early");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::ids::Id;

    #[test]
    fn numbers_come_out_as_they_went_in() {
        let numbers = [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX];
        let mut bytes = Vec::new();
        for number in numbers {
            put_number(&mut bytes, number);
        }
        let mut cursor = Cursor(&bytes);
        assert!(numbers.iter().all(|&number| cursor.number() == Ok(number)) && cursor.is_at_end());
        assert_eq!(cursor.number(), Err(SHORT));
        assert!(matches!(Cursor(&[0xff; 20]).number(), Err(Refusal::Inconsistent(_))));
    }

    #[test]
    fn a_packed_name_is_written_as_its_characters() {
        let (name, mut packed, mut plain) = ("a-name_of-more-than-20-Characters", Vec::new(), Vec::new());
        put_packed(&mut packed, Some(Id::new(name, "user").unwrap().packed()));
        put_name(&mut plain, name.as_bytes());
        assert_eq!(packed, plain);
        assert_eq!(Cursor(&packed).name(), Ok(name.as_bytes()));
        assert_eq!(Cursor(&packed[..7]).name(), Err(SHORT));
    }
}
