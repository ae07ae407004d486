//! Ids: the check of their characters (contract section 1), and names packed into six bits a character.

use std::fmt;

use crate::error::{Error, Result};

/// The longest id.
pub(crate) const MAX_LENGTH: usize = 128;

/// The number of characters in one word, at six bits each.
pub(crate) const PER_WORD: usize = 10;

/// The bits of a word that are used.
pub(crate) const WORD_BITS: u32 = 60;

/// Masks the used bits of a word.
pub(crate) const WORD_MASK: u64 = (1 << WORD_BITS) - 1;

/// The number of words of the longest id.
pub(crate) const MAX_WORDS: usize = MAX_LENGTH.div_ceil(PER_WORD);

/// The number of characters of the longest id that fits in two words.
const SHORT: usize = 2 * PER_WORD;

/// The 64 characters of an id, those of base64url (RFC 4648 section 5). A character's code is its index.
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

/// The codes of two characters at once, or [`FOREIGN_PAIR`] if either is not allowed. The table has 128 KB, but the 64
/// characters use so few cache lines that these stay in the first-level cache.
static PAIRS: [u16; 1 << 16] = pairs();
const FOREIGN_PAIR: u16 = 0x8000;

#[expect(clippy::large_stack_arrays, reason = "at compile time")]
const fn pairs() -> [u16; 1 << 16] {
    let mut table = [FOREIGN_PAIR; 1 << 16];
    let mut pair = 0_usize;
    while pair < 1 << 16 {
        let [first, second, ..] = pair.to_le_bytes();
        let (first, second) = (CODES[first as usize], CODES[second as usize]);
        if first < FOREIGN && second < FOREIGN {
            table[pair] = (first as u16) << 6 | second as u16;
        }
        pair += 1;
    }
    table
}

/// Whether `name` is a valid id: `[A-Za-z0-9_-]{1,128}`.
#[must_use]
pub fn is_id(name: &[u8]) -> bool {
    (1..=MAX_LENGTH).contains(&name.len()) && name.iter().fold(0, |bad, &byte| bad | CODES[byte as usize]) < FOREIGN
}

/// Return an error if a name is no id; `what` names the field in the error.
pub fn check(name: &str, what: &'static str) -> Result<()> {
    check_at(name, format_args!("{what}"))
}

/// [`check`] for a name whose place takes more than a word to say.
pub fn check_at(name: &str, place: fmt::Arguments) -> Result<()> {
    if is_id(name.as_bytes()) { Ok(()) } else { Err(Error::invalid_id(place, name)) }
}

/// One packed id: words of ten characters, the last word with the rest; the first character is in the highest bits.
#[derive(Clone, Copy)]
pub(crate) struct Packed<'a> {
    pub(crate) length: u8,
    /// The first two words; a long id has them in `long` too.
    pub(crate) short: [u64; 2],
    /// All words of a long id; empty for a short one.
    pub(crate) long: &'a [u64],
}

/// Many ids in one block, checked and packed: the argument of bulk calls.
#[derive(Debug, Default, Clone)]
pub struct Ids {
    heads: Vec<Head>,
    /// The words of long ids.
    words: Vec<u64>,
}

/// From the highest bit: 8 bits of length (0: no id), then the two words of a short id. A long id has its first word
/// and, as the second, the position of its words.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Head(u128);

impl Head {
    pub(crate) fn of(length: u8, [first, second]: [u64; 2]) -> Self {
        Self(u128::from(length) << (2 * WORD_BITS) | u128::from(first) << WORD_BITS | u128::from(second))
    }

    /// The number of characters of the id.
    pub(crate) fn length(self) -> u8 {
        self.0.to_be_bytes()[0]
    }

    #[expect(clippy::cast_possible_truncation, reason = "each is cut to its word")]
    pub(crate) fn words(self) -> [u64; 2] {
        [(self.0 >> WORD_BITS) as u64 & WORD_MASK, self.0 as u64 & WORD_MASK]
    }

    /// The words of a long id, out of the words of all ids; empty for a short id.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "an index")]
    pub(crate) fn long(self, words: &[u64]) -> &[u64] {
        let length = self.length();
        if is_long(length) { &words[self.words()[1] as usize..][..words_of(length)] } else { &[] }
    }

    /// The same with another second word.
    pub(crate) fn with_second(self, second: u64) -> Self {
        Self(self.0 & !u128::from(WORD_MASK) | u128::from(second))
    }
}

impl Ids {
    /// An empty block with capacity for this number of ids of some twenty characters.
    #[must_use]
    pub fn with_capacity(ids: usize) -> Self {
        Self { heads: Vec::with_capacity(ids), words: Vec::new() }
    }

    /// One id; `what` names it in the error.
    pub fn one(name: &str, what: &'static str) -> Result<Self> {
        check(name, what)?;
        Self::of([name], what)
    }

    /// Pack several ids; `what` names the field in the error.
    pub fn of<'a>(names: impl IntoIterator<Item = &'a str>, what: &'static str) -> Result<Self> {
        let mut ids = Self::default();
        names.into_iter().try_for_each(|name| ids.push(name.as_bytes(), what)).map(|()| ids)
    }

    /// Add an id. A name that is no id is an error, which says its position in the list that `what` names.
    pub fn push(&mut self, name: &[u8], what: &'static str) -> Result<()> {
        let packed = if name.len() > SHORT { self.pack_long(name) } else { pack_short(name) };
        let Some(head) = packed else {
            let place = format_args!("{what}[{}]", self.len());
            return Err(Error::invalid_id(place, &String::from_utf8_lossy(name)));
        };
        self.heads.push(head);
        Ok(())
    }

    /// The heads, and the words of long ids.
    pub(crate) fn into_parts(self) -> (Vec<Head>, Vec<u64>) {
        (self.heads, self.words)
    }

    /// How many ids.
    #[must_use]
    pub fn len(&self) -> usize {
        self.heads.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    fn pack_long(&mut self, name: &[u8]) -> Option<Head> {
        let (start, mut bad) = (self.words.len(), 0);
        if name.len() > MAX_LENGTH {
            return None;
        }
        self.words.extend(name.chunks(PER_WORD).map(|chunk| pack(chunk, &mut bad)));
        if bad >= FOREIGN {
            self.words.truncate(start);
            return None;
        }
        Some(Head::of(length_of(name), [0, start as u64]))
    }
}

#[cfg(test)]
impl Ids {
    pub(crate) fn get(&self, index: usize) -> Packed<'_> {
        self.packed(self.heads[index])
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Packed<'_>> {
        self.heads.iter().map(|&head| self.packed(head))
    }

    fn packed(&self, head: Head) -> Packed<'_> {
        Packed { length: head.length(), short: head.words(), long: head.long(&self.words) }
    }
}

fn pack_short(name: &[u8]) -> Option<Head> {
    let mut bad = 0;
    let words = match name.split_first_chunk::<PER_WORD>() {
        Some((first, rest)) => [pack_whole(first, &mut bad), pack(rest, &mut bad)],
        None => [pack(name, &mut bad), 0],
    };
    (bad < FOREIGN && !name.is_empty()).then(|| Head::of(length_of(name), words))
}

/// One id on the stack, for a single call.
pub(crate) struct Id {
    length: u8,
    short: [u64; 2],
    long: [u64; MAX_WORDS],
}

impl Id {
    /// A name, checked and packed.
    pub(crate) fn new(text: &str, what: &'static str) -> Result<Self> {
        let name = text.as_bytes();
        let mut id = Self { length: 0, short: [0; 2], long: [0; MAX_WORDS] };
        if name.len() <= SHORT {
            let head = pack_short(name).ok_or_else(|| Error::invalid_id(what, text))?;
            (id.length, id.short) = (head.length(), head.words());
            return Ok(id);
        }
        if !is_id(name) {
            return Err(Error::invalid_id(what, text));
        }
        id.length = length_of(name);
        for (word, chunk) in id.long.iter_mut().zip(name.chunks(PER_WORD)) {
            *word = pack(chunk, &mut 0);
        }
        Ok(id)
    }

    pub(crate) fn packed(&self) -> Packed<'_> {
        let long = if is_long(self.length) { &self.long[..words_of(self.length)] } else { &[] };
        Packed { length: self.length, short: self.short, long }
    }
}

impl Packed<'_> {
    /// Write the name.
    pub(crate) fn write(self, name: &mut impl Extend<char>) {
        let words = if is_long(self.length) { self.long } else { &self.short };
        let mut left = self.length as usize;
        for &word in words {
            let characters = left.min(PER_WORD);
            name.extend((0..characters).rev().map(|position| character(word >> (6 * position))));
            left -= characters;
        }
    }
}

/// The number of words of an id of this length.
pub(crate) fn words_of(length: u8) -> usize {
    (length as usize).div_ceil(PER_WORD)
}

/// Whether an id of this length has more than two words.
pub(crate) fn is_long(length: u8) -> bool {
    length as usize > SHORT
}

#[expect(clippy::cast_possible_truncation, reason = "at most 128")]
fn length_of(name: &[u8]) -> u8 {
    name.len() as u8
}

fn character(word: u64) -> char {
    char::from(ALPHABET[usize::from(word.to_le_bytes()[0] & 63)])
}

#[inline]
fn pack(chunk: &[u8], bad: &mut u8) -> u64 {
    match chunk.first_chunk() {
        Some(whole) => pack_whole(whole, bad),
        None => chunk.iter().fold(0, |word, &byte| word << 6 | code(byte, bad)),
    }
}

/// [`pack`] for ten characters. With the length known it has no branch, and the processor packs the characters in
/// parallel.
#[inline]
fn pack_whole(chunk: &[u8; PER_WORD], bad: &mut u8) -> u64 {
    let (mut word, mut foreign) = (0, 0);
    for (position, &pair) in chunk.as_chunks().0.iter().rev().enumerate() {
        let codes = PAIRS[u16::from_le_bytes(pair) as usize];
        foreign |= codes;
        word |= u64::from(codes) << (12 * position);
    }
    *bad |= foreign.to_be_bytes()[0] & FOREIGN;
    word
}

#[inline]
fn code(byte: u8, bad: &mut u8) -> u64 {
    let code = CODES[byte as usize];
    *bad |= code;
    u64::from(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_those_of_the_contract() {
        for good in ["a", "Z9_-", &"x".repeat(128)] {
            assert_eq!(check(good, "user"), Ok(()));
            assert!(Id::new(good, "user").is_ok() && Ids::of([good], "user").is_ok());
        }
        let long = format!("{}.{}", "x".repeat(60), "x".repeat(60));
        for bad in ["", "a.b", "a b", "a:b", "*", ">", "ä", "a\n", "elevencharac.", &long, &"x".repeat(129)] {
            let refused = Error::invalid_id("user", bad);
            assert_eq!(check(bad, "user"), Err(refused.clone()), "{bad:?}");
            assert_eq!(Id::new(bad, "user").err(), Some(refused.clone()), "{bad:?}");
            assert_eq!(Ids::one(bad, "user").err(), Some(refused), "{bad:?}");
            let second = Err(Error::invalid_id("users[1]", bad));
            assert_eq!(Ids::of(["ann"], "users").unwrap().push(bad.as_bytes(), "users"), second, "{bad:?}");
        }
    }

    #[test]
    fn every_byte_that_is_no_character_is_refused_at_every_place() {
        for length in [1, 9, 10, 11, 19, 20, 21, 30, 128] {
            for (position, byte) in (0..length).flat_map(|position| (0..=u8::MAX).map(move |byte| (position, byte))) {
                let mut name = vec![b'x'; length];
                name[position] = byte;
                assert_eq!(
                    Ids::default().push(&name, "user").is_ok(),
                    ALPHABET.contains(&byte),
                    "{byte} at {position}"
                );
            }
        }
    }

    #[test]
    fn a_name_comes_out_as_it_went_in() {
        let alphabet = String::from_utf8(ALPHABET.to_vec()).unwrap();
        let name = |length: usize| alphabet.chars().cycle().skip(length).take(length).collect::<String>();
        let names: Vec<String> = (1..=MAX_LENGTH).map(name).collect();
        let ids = Ids::of(names.iter().map(String::as_str), "user").unwrap();
        for (name, packed) in names.iter().zip(ids.iter()) {
            let (mut one, mut another) = (String::new(), String::new());
            Id::new(name, "user").unwrap().packed().write(&mut one);
            packed.write(&mut another);
            assert_eq!((&one, &another), (name, name));
        }
    }

    #[test]
    fn a_refused_id_leaves_nothing_behind() {
        let mut ids = Ids::of(["ann"], "user").unwrap();
        assert!(ids.push(b"more than twenty characters.", "user").is_err());
        ids.push(b"ben", "user").unwrap();
        assert_eq!((ids.len(), ids.words.len()), (2, 0));
    }
}
