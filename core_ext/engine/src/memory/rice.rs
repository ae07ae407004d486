//! Golomb-Rice codes: the upper part of a number is written in unary, as zeros before a one, and its lower bits
//! unchanged.
//!
//! The lower bits of all numbers come first, then the upper parts of all. In a single stream the beginning of a code is
//! known only after the code before it was read, and that wait would be most of the reading time. In two streams the
//! position of lower bits follows from their index, and the upper parts are the distances between the ones of a word.
//! So no code is too long for a word either.

/// The bytes of a word, the unit in which codes are read and written.
const WORD: usize = 8;

/// The number of lower bits with which the codes are nearly shortest: as many as seven tenths of the mean have.
pub(crate) fn low_bits(count: usize, sum: u32) -> u8 {
    #[expect(clippy::cast_possible_truncation, reason = "below 32")]
    let bits = (u64::from(sum) * 7 / (10 * count.max(1) as u64)).max(1).ilog2() as u8;
    bits
}

/// The bytes that the codes of the numbers need.
pub(crate) fn size(numbers: impl ExactSizeIterator<Item = u32>, low_bits: u8) -> usize {
    let count = numbers.len();
    let zeros: u32 = numbers.map(|number| number >> low_bits).sum();
    size_of_lower(count, low_bits) + (zeros as usize + count).div_ceil(8)
}

/// Write the codes of the numbers into `bytes`, which has exactly their size and is zero.
pub(crate) fn write(numbers: impl ExactSizeIterator<Item = u32> + Clone, low_bits: u8, bytes: &mut [u8]) {
    let (lower, upper) = bytes.split_at_mut(size_of_lower(numbers.len(), low_bits));
    write_lower(numbers.clone(), low_bits, lower);
    write_upper(numbers, low_bits, upper);
}

fn write_lower(numbers: impl Iterator<Item = u32>, low_bits: u8, bytes: &mut [u8]) {
    let (mask, low_bits, mut words) = (mask(low_bits), u32::from(low_bits), bytes.chunks_mut(WORD));
    let (mut word, mut used) = (0, 0);
    for number in numbers {
        let bits = u64::from(number & mask);
        word |= bits << used;
        used += low_bits;
        if used >= u64::BITS {
            put(words.next(), word);
            used -= u64::BITS;
            word = bits >> (low_bits - used);
        }
    }
    put(words.next(), word);
}

fn write_upper(numbers: impl Iterator<Item = u32>, low_bits: u8, bytes: &mut [u8]) {
    let mut at = 0;
    for number in numbers {
        at += (number >> low_bits) as usize;
        bytes[at / 8] |= 1 << (at % 8);
        at += 1;
    }
}

fn put(bytes: Option<&mut [u8]>, word: u64) {
    match bytes.map(|bytes| (bytes.len(), bytes)) {
        Some((WORD, bytes)) => bytes.copy_from_slice(&word.to_le_bytes()),
        Some((length, bytes)) => bytes.copy_from_slice(&word.to_le_bytes()[..length]),
        None => {}
    }
}

/// Decode as many numbers as `numbers` has room for.
pub(crate) fn read(codes: &[u8], low_bits: u8, numbers: &mut [u32]) {
    let upper = &codes[size_of_lower(numbers.len(), low_bits)..];
    read_lower(codes, low_bits, numbers);
    read_upper(upper, low_bits, numbers);
}

// Neither is inlined, so that their counters stay in registers.

#[inline(never)]
#[expect(clippy::cast_possible_truncation, reason = "fewer than 32 bits")]
fn read_lower(bytes: &[u8], low_bits: u8, numbers: &mut [u32]) {
    let (mask, mut at) = (mask(low_bits), 0);
    for number in numbers {
        *number = (word_at(bytes, at / 8) >> (at % 8)) as u32 & mask;
        at += usize::from(low_bits);
    }
}

#[inline(never)]
fn read_upper(bytes: &[u8], low_bits: u8, numbers: &mut [u32]) {
    let mut words = (0..).step_by(8 * WORD).zip(bytes.chunks(WORD).map(|bytes| word_at(bytes, 0)));
    let (mut start, mut ones, mut end) = (0, 0, 0);
    for number in numbers {
        while ones == 0 {
            (start, ones) = words.next().expect("a one for each number");
        }
        let one = start + ones.trailing_zeros();
        ones &= ones - 1;
        *number |= (one - end) << low_bits;
        end = one + 1;
    }
}

fn size_of_lower(count: usize, low_bits: u8) -> usize {
    (count * usize::from(low_bits)).div_ceil(8)
}

fn mask(low_bits: u8) -> u32 {
    (1 << low_bits) - 1
}

fn word_at(bytes: &[u8], at: usize) -> u64 {
    match bytes.get(at..at + WORD) {
        Some(bytes) => u64::from_le_bytes(bytes.try_into().expect("as many as a word has")),
        None => word_of(&bytes[at..]),
    }
}

/// The last word, filled up with zeros. Padding the codes themselves would make short lists much longer.
#[cold]
#[inline(never)]
fn word_of(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte))
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// Codes of numbers whose sum is below 2^32, as that of distances is, and the number of lower bits.
    fn codes(numbers: &[u32]) -> (Vec<u8>, u8) {
        let low_bits = low_bits(numbers.len(), numbers.iter().sum());
        let mut bytes = vec![0; size(numbers.iter().copied(), low_bits)];
        write(numbers.iter().copied(), low_bits, &mut bytes);
        (bytes, low_bits)
    }

    fn come_out(numbers: &[u32]) -> bool {
        let (bytes, low_bits) = codes(numbers);
        let mut read_back = vec![0; numbers.len()];
        read(&bytes, low_bits, &mut read_back);
        read_back == numbers
    }

    proptest! {
        #[test]
        fn numbers_come_out_as_they_went_in(
            numbers in vec(prop_oneof![9 => 0..40_000_u32, 1 => 0..12_000_000_u32], 0..300),
            behind in prop::option::of(0..700_000_000_u32),
        ) {
            prop_assert!(come_out(&numbers));
            let numbers: Vec<u32> = numbers.into_iter().chain(behind).collect();
            prop_assert!(come_out(&numbers));
        }
    }

    #[test]
    fn numbers_of_every_width_come_out_as_they_went_in() {
        for width in 0..=31 {
            for count in 0..=300.min(u32::MAX >> width) {
                assert!(come_out(&vec![(1 << width) - 1; count as usize]), "{count} of {width} bits");
            }
        }
        assert!(come_out(&[u32::MAX]) && come_out(&[0, u32::MAX]) && come_out(&[u32::MAX, 0, 0]));
    }

    #[test]
    fn one_large_number_among_small_ones_does_not_make_them_long() {
        let mut numbers = vec![0; 500];
        numbers[250] = u32::MAX - 500;
        assert!(come_out(&numbers));
        assert!(codes(&numbers).0.len() < 500 * 26 / 8);
    }

    #[test]
    fn even_numbers_take_little_more_than_their_entropy() {
        let numbers: Vec<u32> = (0..1_000_u32).map(|n| n.wrapping_mul(2_654_435_761) >> 18).collect();
        let bytes = codes(&numbers).0.len();
        assert!(bytes < 1_000 * 31 / 16, "14 bits each are {bytes} bytes");
    }
}
