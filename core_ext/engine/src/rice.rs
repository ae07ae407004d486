//! Golomb-Rice codes: a number as its upper part in unary, as zeros before a one, and its lower bits as they are.

/// Zeros behind the last code, so that it can be read by whole words.
const PADDING: usize = 8;

/// Bits that one reading of a word gives at least, wherever in a byte it begins.
const READABLE: u32 = 57;

/// How many lower bits make the codes of these numbers shortest, nearly: as many as seven tenths of their mean have.
pub(crate) fn low_bits(numbers: impl Iterator<Item = u32>) -> u8 {
    let (count, sum) = numbers.fold((0_u64, 0_u64), |(count, sum), number| (count + 1, sum + u64::from(number)));
    #[expect(clippy::cast_possible_truncation, reason = "below 32")]
    let bits = (sum * 7 / (10 * count.max(1))).max(1).ilog2() as u8;
    bits
}

/// The codes of numbers, one behind the other.
pub(crate) fn write(numbers: impl Iterator<Item = u32>, low_bits: u8) -> Box<[u8]> {
    let mut writer = Writer::default();
    for number in numbers {
        for _ in 0..number >> low_bits {
            writer.put(0, 1);
        }
        writer.put(u64::from(number & ((1 << low_bits) - 1)) << 1 | 1, u32::from(low_bits) + 1);
    }
    writer.end()
}

#[derive(Default)]
struct Writer {
    bytes: Vec<u8>,
    word: u64,
    used: u32,
}

impl Writer {
    fn put(&mut self, bits: u64, count: u32) {
        self.word |= bits << self.used;
        self.used += count;
        while self.used >= 8 {
            self.bytes.push(self.word.to_le_bytes()[0]);
            self.word >>= 8;
            self.used -= 8;
        }
    }

    fn end(mut self) -> Box<[u8]> {
        self.bytes.push(self.word.to_le_bytes()[0]);
        self.bytes.extend([0; PADDING]);
        self.bytes.into_boxed_slice()
    }
}

/// Reads what [`write`] wrote; as many as were written.
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    low_bits: u32,
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8], low_bits: u8) -> Self {
        Self { bytes, low_bits: low_bits.into(), at: 0 }
    }

    pub(crate) fn next(&mut self) -> u32 {
        let word = self.word();
        let zeros = word.trailing_zeros();
        if zeros + 1 + self.low_bits > READABLE {
            return self.next_long();
        }
        self.at += (zeros + 1 + self.low_bits) as usize;
        zeros << self.low_bits | self.low(word >> (zeros + 1))
    }

    /// A number whose code is longer than a word.
    #[cold]
    fn next_long(&mut self) -> u32 {
        let mut upper = 0;
        while self.word().trailing_zeros() >= READABLE {
            upper += READABLE;
            self.at += READABLE as usize;
        }
        let zeros = self.word().trailing_zeros();
        self.at += zeros as usize + 1;
        let lower = self.low(self.word());
        self.at += self.low_bits as usize;
        (upper + zeros) << self.low_bits | lower
    }

    #[expect(clippy::cast_possible_truncation, reason = "fewer than 32 bits")]
    fn low(&self, word: u64) -> u32 {
        (word & ((1 << self.low_bits) - 1)) as u32
    }

    fn word(&self) -> u64 {
        let bytes = &self.bytes[self.at / 8..][..8];
        u64::from_le_bytes(bytes.try_into().expect("eight bytes")) >> (self.at % 8)
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_come_out_as_they_went_in(
            numbers in vec(prop_oneof![9 => 0..40_000_u32, 1 => 0..4_000_000_000_u32], 0..300)
        ) {
            let low_bits = low_bits(numbers.iter().copied());
            let bytes = write(numbers.iter().copied(), low_bits);
            let mut reader = Reader::new(&bytes, low_bits);
            prop_assert!(numbers.iter().all(|&number| reader.next() == number));
        }
    }

    #[test]
    fn even_numbers_take_little_more_than_their_entropy() {
        let numbers: Vec<u32> = (0..1_000_u32).map(|n| n.wrapping_mul(2_654_435_761) >> 18).collect();
        let bytes = write(numbers.iter().copied(), low_bits(numbers.iter().copied()));
        assert!(bytes.len() < 1_000 * 16 / 8, "14 bits each are {} bytes", bytes.len());
    }
}
