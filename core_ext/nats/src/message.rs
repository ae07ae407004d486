//! Parses the messages that a server sends: `MSG` and `HMSG` of the client protocol
//! (<https://docs.nats.io/reference/reference-protocols/nats-protocol>).

use crate::reply::number;

/// One operation at the front of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Operation<'a> {
    /// A whole message.
    Message(Message<'a>),
    /// A whole operation of another kind, of so many bytes.
    Other(usize),
    /// More bytes are needed.
    Cut,
    /// No operation that this module knows.
    Malformed,
}

/// A message: `MSG`, or `HMSG` without its headers.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Message<'a> {
    pub(crate) sid: u64,
    pub(crate) subject: &'a [u8],
    pub(crate) reply: &'a [u8],
    pub(crate) payload: &'a [u8],
    /// Bytes of the whole operation.
    pub(crate) len: usize,
}

const LINE_END: &[u8] = b"\r\n";

/// Read the operation that begins with the first byte.
pub(crate) fn operation(bytes: &[u8]) -> Operation<'_> {
    let Some(line) = memchr::memmem::find(bytes, LINE_END) else { return Operation::Cut };
    let body = &bytes[line + LINE_END.len()..];
    let (head, has_headers) = match (&bytes[..line], bytes.first()) {
        ([b'M', b'S', b'G', b' ' | b'\t', head @ ..], _) => (head, false),
        ([b'H', b'M', b'S', b'G', b' ' | b'\t', head @ ..], _) => (head, true),
        _ => return Operation::Other(line + LINE_END.len()),
    };
    let Some(head) = Head::of(head, has_headers) else { return Operation::Malformed };
    let Some(whole) = body.get(..head.length + LINE_END.len()) else { return Operation::Cut };
    let Some(payload) = whole[..head.length].get(head.headers..) else { return Operation::Malformed };
    let len = line + LINE_END.len() + whole.len();
    Operation::Message(Message { sid: head.sid, subject: head.subject, reply: head.reply, payload, len })
}

struct Head<'a> {
    sid: u64,
    subject: &'a [u8],
    reply: &'a [u8],
    headers: usize,
    length: usize,
}

impl<'a> Head<'a> {
    /// `subject sid [reply] [headers] length`
    fn of(line: &'a [u8], has_headers: bool) -> Option<Self> {
        let mut tokens = line.split(u8::is_ascii_whitespace).filter(|token| !token.is_empty());
        let (subject, sid) = (tokens.next()?, number(tokens.next()?)?);
        let (mut rest, mut count) = ([&[][..]; 3], 0);
        for token in tokens {
            *rest.get_mut(count)? = token;
            count += 1;
        }
        let sizes = 1 + usize::from(has_headers);
        let reply = match count.checked_sub(sizes)? {
            0 => &[][..],
            1 => rest[0],
            _ => return None,
        };
        let length = size(rest[count - 1])?;
        let headers = if has_headers { size(rest[count - 2])? } else { 0 };
        Some(Self { sid, subject, reply, headers, length })
    }
}

fn size(digits: &[u8]) -> Option<usize> {
    usize::try_from(number(digits)?).ok().filter(|&size| size <= usize::MAX / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(bytes: &[u8]) -> Message<'_> {
        match operation(bytes) {
            Operation::Message(message) => message,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn messages_are_read_with_and_without_reply_and_headers() {
        let plain = message(b"MSG a.b 7 5\r\nhe\r\no\r\nPING\r\n");
        assert_eq!(
            (plain.sid, plain.subject, plain.reply, plain.payload, plain.len),
            (7, &b"a.b"[..], &b""[..], &b"he\r\no"[..], 20)
        );
        assert_eq!(message(b"MSG  a.b\t7 r.1  0\r\n\r\n").reply, b"r.1");
        let headed = message(b"HMSG a 8 r 12 14\r\nNATS/1.0\r\n\r\nhi\r\n");
        assert_eq!((headed.reply, headed.payload), (&b"r"[..], &b"hi"[..]));
        assert_eq!(message(b"HMSG a 8 12 12\r\nNATS/1.0\r\n\r\n\r\n").payload, b"");
    }

    #[test]
    fn other_operations_are_passed_over_whole() {
        for line in ["PING\r\n", "+OK\r\n", "-ERR 'x'\r\n", "INFO {}\r\n", "MSGS a 1 1\r\n"] {
            assert_eq!(operation(line.as_bytes()), Operation::Other(line.len()));
        }
    }

    #[test]
    fn what_is_cut_waits_and_what_is_malformed_is_said() {
        let whole = b"HMSG a 8 r 12 14\r\nNATS/1.0\r\n\r\nhi\r\n";
        assert!((0..whole.len()).all(|cut| operation(&whole[..cut]) == Operation::Cut));
        for line in [
            "MSG a 1\r\n",
            "MSG a x 1\r\n",
            "MSG a 1 r s 1\r\n",
            "MSG a 1 -1\r\n",
            "HMSG a 1 2\r\n",
            "HMSG a 1 5 2\r\nab\r\n",
        ] {
            assert_eq!(operation(line.as_bytes()), Operation::Malformed, "{line}");
        }
    }
}
