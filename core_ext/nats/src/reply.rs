//! The reply subject of a delivery: its numbers, and where it is acknowledged.
//!
//! The short form is `$JS.ACK.{stream}.{consumer}.{attempt}.{seq}.{order}.{time}.{pending}`; the long form has
//! `{domain}.{account}` before the stream and may have more at the end.

const PREFIX: &[u8] = b"$JS.ACK.";
const SHORT_TOKENS: usize = 7;
const DOMAIN_AND_ACCOUNT: usize = 2;

/// The content of a reply subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reply<'a> {
    pub(crate) consumer: &'a [u8],
    pub(crate) attempt: u64,
    pub(crate) seq: u64,
    pub(crate) order: u64,
    /// The time at which the stream stored the event, in nanoseconds since 1970.
    pub(crate) time: u64,
    pub(crate) pending: u64,
}

impl<'a> Reply<'a> {
    /// Parse a reply subject; None if it does not belong to a delivery.
    pub(crate) fn of(subject: &'a [u8]) -> Option<Self> {
        let tokens = subject.strip_prefix(PREFIX)?;
        let count = 1 + memchr::memchr_iter(b'.', tokens).count();
        let mut tokens = tokens.split(|&byte| byte == b'.');
        if count != SHORT_TOKENS {
            tokens.nth(DOMAIN_AND_ACCOUNT - 1)?;
        }
        let _stream = tokens.next()?;
        let consumer = tokens.next()?;
        let (attempt, seq, order) = (number(tokens.next()?)?, number(tokens.next()?)?, number(tokens.next()?)?);
        let (time, pending) = (number(tokens.next()?)?, number(tokens.next()?)?);
        Some(Self { consumer, attempt, seq, order, time, pending })
    }
}

/// A decimal number.
pub(crate) fn number(digits: &[u8]) -> Option<u64> {
    let add = |number: u64, &digit: &u8| {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 { None } else { number.checked_mul(10)?.checked_add(u64::from(digit)) }
    };
    if digits.is_empty() { None } else { digits.iter().try_fold(0, add) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: u64 = 1_700_000_000_000_000_000;

    #[test]
    fn both_forms_are_read() {
        let expected = Reply { consumer: b"fan-out-0-1", attempt: 2, seq: 30, order: 4, time: TIME, pending: 5 };
        for subject in [
            "$JS.ACK.MESSAGES.fan-out-0-1.2.30.4.1700000000000000000.5",
            "$JS.ACK.hub.ACCOUNT.MESSAGES.fan-out-0-1.2.30.4.1700000000000000000.5",
            "$JS.ACK._.ACCOUNT.MESSAGES.fan-out-0-1.2.30.4.1700000000000000000.5.random",
        ] {
            assert_eq!(Reply::of(subject.as_bytes()), Some(expected), "{subject}");
        }
    }

    #[test]
    fn what_is_no_delivery_is_none() {
        for subject in [
            "",
            "_INBOX.x.1",
            "$JS.ACK.",
            "$JS.ACK.S.c.1.2.3.4",
            "$JS.ACK.S.c.1.x.3.4.5",
            "$JS.ACK.S.c.1..3.4.5",
            "$JS.ACK.S.c.1.2.3.x.5",
        ] {
            assert_eq!(Reply::of(subject.as_bytes()), None, "{subject}");
        }
        assert_eq!(Reply::of(b"$JS.ACK.S.c.1.99999999999999999999.3.4.5"), None);
    }
}
