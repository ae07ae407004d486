//! Which partition a channel belongs to.

/// 32-bit FNV-1a of the channel modulo `partitions`, as nats-server computes `{{partition(n,1)}}`.
///
/// # Panics
///
/// When `partitions` is 0.
#[must_use]
pub fn partition_of(channel: &str, partitions: u32) -> u32 {
    let mix = |hash: u32, &byte: &u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    channel.as_bytes().iter().fold(0x811c_9dc5, mix) % partitions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_vectors_of_fnv_1a_hold() {
        for (text, hash) in [("", 0x811c_9dc5), ("a", 0xe40c_292c), ("foobar", 0xbf9c_f968)] {
            assert_eq!(partition_of(text, u32::MAX), hash % u32::MAX);
        }
    }
}
