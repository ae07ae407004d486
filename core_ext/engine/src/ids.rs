//! Ids: the check of the contract, and names packed at six bits a character.

use crate::error::{Error, Result};

/// The longest id.
pub(crate) const MAX_LENGTH: usize = 128;

/// Characters of six bits in one word.
pub(crate) const PER_WORD: usize = 10;

const MAX_WORDS: usize = MAX_LENGTH.div_ceil(PER_WORD);

/// An id's characters are the 64 of base64url (RFC 4648 section 5), so each is a number below 64.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

const FOREIGN: u8 = 0x80;
const CODES: [u8; 256] = codes();

const fn codes() -> [u8; 256] {
    let mut table = [FOREIGN; 256];
    let mut code = 0_u8;
    while code < 64 {
        table[ALPHABET[code as usize] as usize] = code;
        code += 1;
    }
    table
}

/// Whether `name` may be an id: `[A-Za-z0-9_-]{1,128}`.
#[must_use]
pub fn is_id(name: &[u8]) -> bool {
    (1..=MAX_LENGTH).contains(&name.len()) && name.iter().fold(0, |bad, &byte| bad | CODES[byte as usize]) < FOREIGN
}

/// Refuse a name that is no id; `what` names the field in the error.
pub fn check(name: &str, what: &'static str) -> Result<()> {
    if is_id(name.as_bytes()) { Ok(()) } else { Err(Error::InvalidId(what)) }
}

/// One id, packed: words of ten characters, the last one of the rest; the first character in the highest bits.
#[derive(Clone, Copy)]
pub(crate) struct Packed<'a> {
    pub(crate) length: u8,
    pub(crate) words: &'a [u64],
}

/// Ids in one block, checked and packed: what the engine takes in bulk.
#[derive(Debug, Default, Clone)]
pub struct Ids {
    words: Vec<u64>,
    spans: Vec<Span>,
}

#[derive(Debug, Clone, Copy)]
struct Span {
    start: u32,
    length: u8,
}

impl Ids {
    /// Room for so many ids of some twenty characters.
    #[must_use]
    pub fn with_capacity(ids: usize) -> Self {
        Self { words: Vec::with_capacity(ids * 2), spans: Vec::with_capacity(ids) }
    }

    /// Several ids; `what` names the field in the error.
    pub fn of<'a>(names: impl IntoIterator<Item = &'a str>, what: &'static str) -> Result<Self> {
        let mut ids = Self::default();
        names.into_iter().try_for_each(|name| ids.push(name.as_bytes(), what)).map(|()| ids)
    }

    /// Add one; a name that is no id is refused.
    ///
    /// # Panics
    /// When 2^32 words are full: some 80 GB of names.
    pub fn push(&mut self, name: &[u8], what: &'static str) -> Result<()> {
        if name.len() > MAX_LENGTH || name.is_empty() {
            return Err(Error::InvalidId(what));
        }
        let start = u32::try_from(self.words.len()).expect("fewer than 2^32 words");
        let mut bad = 0;
        self.words.extend(name.chunks(PER_WORD).map(|chunk| pack(chunk, &mut bad)));
        if bad >= FOREIGN {
            self.words.truncate(start as usize);
            return Err(Error::InvalidId(what));
        }
        #[expect(clippy::cast_possible_truncation, reason = "at most 128")]
        self.spans.push(Span { start, length: name.len() as u8 });
        Ok(())
    }

    /// Forget all, and keep the room.
    pub(crate) fn clear(&mut self) {
        self.words.clear();
        self.spans.clear();
    }

    /// How many ids.
    #[must_use]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    pub(crate) fn get(&self, index: usize) -> Packed<'_> {
        let Span { start, length } = self.spans[index];
        let start = start as usize;
        Packed { length, words: &self.words[start..start + words_of(length)] }
    }
}

/// One id on the stack, for a single call.
pub(crate) struct Id {
    words: [u64; MAX_WORDS],
    length: u8,
}

impl Id {
    /// A name, checked and packed.
    pub(crate) fn new(name: &str, what: &'static str) -> Result<Self> {
        check(name, what)?;
        let mut words = [0; MAX_WORDS];
        for (word, chunk) in words.iter_mut().zip(name.as_bytes().chunks(PER_WORD)) {
            *word = pack(chunk, &mut 0);
        }
        #[expect(clippy::cast_possible_truncation, reason = "at most 128")]
        Ok(Self { words, length: name.len() as u8 })
    }

    pub(crate) fn packed(&self) -> Packed<'_> {
        Packed { length: self.length, words: &self.words[..words_of(self.length)] }
    }
}

impl Packed<'_> {
    /// Write the name.
    pub(crate) fn write(self, name: &mut impl Extend<char>) {
        let mut left = self.length as usize;
        for &word in self.words {
            let characters = left.min(PER_WORD);
            name.extend((0..characters).rev().map(|place| character(word >> (6 * place))));
            left -= characters;
        }
    }
}

/// How many words an id of that length takes.
pub(crate) fn words_of(length: u8) -> usize {
    (length as usize).div_ceil(PER_WORD)
}

fn character(word: u64) -> char {
    char::from(ALPHABET[usize::from(word.to_le_bytes()[0] & 63)])
}

fn pack(chunk: &[u8], bad: &mut u8) -> u64 {
    let mut word = 0;
    for &byte in chunk {
        let code = CODES[byte as usize];
        *bad |= code;
        word = word << 6 | u64::from(code);
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_those_of_the_contract() {
        for good in ["a", "Z9_-", &"x".repeat(128)] {
            assert_eq!(check(good, "user"), Ok(()));
        }
        for bad in ["", "a.b", "a b", "a:b", "*", ">", "ä", "a\n", &"x".repeat(129)] {
            assert_eq!(check(bad, "user"), Err(Error::InvalidId("user")), "{bad:?}");
            assert_eq!(Ids::default().push(bad.as_bytes(), "user"), Err(Error::InvalidId("user")), "{bad:?}");
        }
    }

    #[test]
    fn a_name_comes_out_as_it_went_in() {
        let alphabet = String::from_utf8(ALPHABET.to_vec()).unwrap();
        for length in 1..=MAX_LENGTH {
            let name: String = alphabet.chars().cycle().skip(length).take(length).collect();
            let mut unpacked = String::new();
            Id::new(&name, "user").unwrap().packed().write(&mut unpacked);
            assert_eq!(unpacked, name);
        }
    }

    #[test]
    fn a_refused_id_leaves_nothing_behind() {
        let mut ids = Ids::of(["ann"], "user").unwrap();
        assert!(ids.push(b"twelve chars.", "user").is_err());
        ids.push(b"ben", "user").unwrap();
        assert_eq!((ids.len(), ids.words.len()), (2, 2));
    }
}
