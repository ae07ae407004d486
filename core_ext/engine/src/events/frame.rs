//! The bytes of events: validated, spliced and framed, never decoded and encoded again.

use std::borrow::Cow;

use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::error::{Error, Result};
use crate::events::json::Text;
use crate::events::json_limits::check_limits;
use crate::names::ids::check;

/// The default limit of a batch, in bytes: the usual limit of a message on the bus.
pub const MAX_BATCH: usize = 1 << 20;

/// An upper bound of the bytes that a batch adds to its only event: two names, a lane, a seq, and the lengths.
const MAX_BATCHING: usize = 1 << 10;

/// An upper bound of the bytes that wrapping adds to a message: the JSON names and punctuation, a seq, a part, a channel
/// and a thread.
const MAX_WRAPPING: usize = 512;

/// FIN and the opcode of text, RFC 6455 section 5.2.
const FINAL_TEXT: u8 = 0x81;

/// The longest event that a batch of so many bytes can hold.
pub(crate) fn max_event(max_batch: usize) -> usize {
    max_batch - MAX_BATCHING
}

/// Refuse bytes that are not one JSON object which a batch of [`MAX_BATCH`] can hold.
pub fn check_event(event: &[u8]) -> Result<()> {
    check_event_within(max_event(MAX_BATCH), event).map(drop)
}

/// Check that the bytes are one JSON object of at most `limit` bytes, and return them as text.
pub(crate) fn check_event_within(limit: usize, event: &[u8]) -> Result<&str> {
    if event.len() > limit {
        return Err(too_long(limit));
    }
    let text = text(event)?;
    object::<&RawValue>(text)?;
    Ok(text)
}

/// The JSON that clients get for a stored event, before it is written: JSON of the event, and the text before and after
/// it.
pub(crate) struct ClientForm<'a> {
    head: String,
    json: &'a str,
    tail: &'static str,
}

impl<'a> ClientForm<'a> {
    /// Check a stored message event, and wrap it, of at most `limit` bytes. The bytes of its message stay as they are.
    ///
    /// A reply that belongs to its thread alone becomes `thread.reply`, any other message `message.new`.
    ///
    /// This is the only check of a message event of `channel`: `fanout.events.decode_message_event` uses it too, so that
    /// fan-out and the message writer agree. The result does not depend on `seq` and `part`. JSON that some client cannot
    /// read is refused.
    pub(crate) fn of_message(limit: usize, seq: u64, part: u32, channel: &str, payload: &'a [u8]) -> Result<Self> {
        check(channel, "channel")?;
        let CheckedMessage { json, only_thread } = check_message_event(channel, payload)?;
        if json.len() > limit - MAX_WRAPPING {
            return Err(too_long(limit));
        }
        let place = format!(r#""seq":{seq},"part":{part},"channel_id":"{channel}""#);
        let head = match only_thread {
            None => format!(r#"{{"type":"message.new",{place},"message":"#),
            Some(thread) => format!(r#"{{"type":"thread.reply",{place},"thread_id":"{thread}","message":"#),
        };
        Ok(Self { head, json, tail: "}" })
    }

    /// Check a stored event that clients get unchanged, of at most `limit` bytes.
    pub(crate) fn as_stored(limit: usize, channel: &str, payload: &'a [u8]) -> Result<Self> {
        check(channel, "channel")?;
        let json = check_event_within(limit, payload)?;
        Ok(Self { head: String::new(), json, tail: "" })
    }

    pub(crate) fn len(&self) -> usize {
        self.head.len() + self.json.len() + self.tail.len()
    }

    pub(crate) fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(self.head.as_bytes());
        bytes.extend_from_slice(self.json.as_bytes());
        bytes.extend_from_slice(self.tail.as_bytes());
    }

    pub(crate) fn to_vec(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.len());
        self.write(&mut bytes);
        bytes
    }
}

/// A message that was checked.
struct CheckedMessage<'a> {
    json: &'a str,
    /// The thread of a reply that was not sent to the channel too.
    only_thread: Option<Cow<'a, str>>,
}

/// The message of a stored event, which must be a message event of `channel`.
fn check_message_event<'a>(channel: &str, payload: &'a [u8]) -> Result<CheckedMessage<'a>> {
    let text = text(payload)?;
    let envelope: Envelope = object(text)?;
    check_limits(text)?;
    let message: Message = object(envelope.message.get())?;
    if !is_message_id(&message.message_id) {
        return Err(invalid("message_id must be msg_ followed by a ULID"));
    }
    if envelope.channel_id != channel || message.channel_id != channel {
        return Err(invalid("the event, its message and its subject do not name the same channel"));
    }
    if message.thread_id.as_deref().is_some_and(|thread| check(thread, "thread_id").is_err()) {
        return Err(invalid("thread_id must be an id"));
    }
    let only_thread = message.thread_id.filter(|_| message.also_send_to_channel != Some(true));
    Ok(CheckedMessage { json: envelope.message.get(), only_thread })
}

/// The head of an unmasked, final text frame around `length` bytes.
#[must_use]
pub fn text_frame_head(length: usize) -> impl AsRef<[u8]> {
    let mut head = smallvec::SmallVec::<[u8; 16]>::from_slice(&[FINAL_TEXT]);
    if let Ok(short @ ..126) = u8::try_from(length) {
        head.push(short);
    } else if let Ok(medium) = u16::try_from(length) {
        head.push(126);
        head.extend_from_slice(&medium.to_be_bytes());
    } else {
        head.push(127);
        head.extend_from_slice(&(length as u64).to_be_bytes());
    }
    head
}

#[derive(serde::Deserialize)]
#[expect(dead_code, reason = "some fields are only checked")]
struct Envelope<'a> {
    event_id: Text,
    r#type: Text,
    #[serde(borrow)]
    channel_id: Cow<'a, str>,
    #[serde(borrow)]
    message: &'a RawValue,
    correlation_id: Option<Text>,
}

#[derive(serde::Deserialize)]
#[expect(dead_code, reason = "some fields are only checked")]
#[expect(clippy::struct_field_names, reason = "they are the names of the contract")]
struct Message<'a> {
    #[serde(borrow)]
    message_id: Cow<'a, str>,
    #[serde(borrow)]
    channel_id: Cow<'a, str>,
    sender_id: Text,
    text: Text,
    sent_at: Text,
    #[serde(borrow)]
    thread_id: Option<Cow<'a, str>>,
    also_send_to_channel: Option<bool>,
    mentions: Option<Vec<Text>>,
    attachments: Option<Vec<IgnoredAny>>,
    client_msg_id: Option<Text>,
}

/// The only check of UTF-8; all later code relies on it.
fn text(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|error| invalid(&error.to_string()))
}

/// Read a JSON object. An array of the fields in order is refused, though serde would accept it.
fn object<'a, T: serde::Deserialize<'a>>(text: &'a str) -> Result<T> {
    if !text.trim_start_matches([' ', '\t', '\r', '\n']).starts_with('{') {
        return Err(invalid("not a JSON object"));
    }
    serde_json::from_str(text).map_err(|error| Error::InvalidEvent(error.to_string()))
}

fn too_long(limit: usize) -> Error {
    Error::InvalidEvent(format!("the event is too long for the bus: it takes {limit} bytes"))
}

fn is_message_id(id: &str) -> bool {
    let Some((first, rest)) = id.strip_prefix("msg_").and_then(|ulid| ulid.as_bytes().split_first()) else {
        return false;
    };
    matches!(first, b'0'..=b'7') && rest.len() == 25 && rest.iter().copied().all(is_crockford)
}

fn is_crockford(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'A'..=b'H' | b'J' | b'K' | b'M' | b'N' | b'P'..=b'T' | b'V'..=b'Z')
}

fn invalid(reason: &str) -> Error {
    Error::InvalidEvent(reason.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX_EVENT: usize = MAX_BATCH - MAX_BATCHING;
    const ID: &str = "msg_01ARZ3NDEKTSV4RRFFQ69G5FAV";

    fn message_new(seq: u64, part: u32, channel: &str, payload: &[u8]) -> Result<Vec<u8>> {
        Ok(ClientForm::of_message(MAX_EVENT, seq, part, channel, payload)?.to_vec())
    }

    fn stored(message: &str) -> String {
        format!(r#"{{"event_id":"evt_1","type":"message.new","channel_id":"c","message":{message}}}"#)
    }

    fn message(more: &str) -> String {
        format!(r#"{{ "message_id":"{ID}","channel_id":"c","sender_id":"u","text":"hé\n","sent_at":"t"{more}}}"#)
    }

    #[test]
    fn a_message_is_spliced_as_it_stands() {
        let inner = message(r#","attachments":[{"a":1.50}],"thread_id":null,"later":{}"#);
        let event = message_new(7, 3, "c", stored(&inner).as_bytes()).unwrap();
        let expected = format!(r#"{{"type":"message.new","seq":7,"part":3,"channel_id":"c","message":{inner}}}"#);
        assert_eq!(String::from_utf8(event).unwrap(), expected);
    }

    #[test]
    fn a_reply_of_a_thread_alone_names_the_thread_and_one_sent_to_the_channel_too_is_a_message() {
        let wrapped = |more: &str| {
            let inner = message(more);
            let event = String::from_utf8(message_new(7, 3, "c", stored(&inner).as_bytes()).unwrap()).unwrap();
            event.strip_suffix(&format!(r#","message":{inner}}}"#)).expect("the message is as stored").to_owned()
        };
        let place = r#""seq":7,"part":3,"channel_id":"c""#;
        let reply = format!(r#"{{"type":"thread.reply",{place},"thread_id":"msg_1""#);
        for more in ["", r#","also_send_to_channel":false"#, r#","also_send_to_channel":null"#] {
            assert_eq!(wrapped(&format!(r#","thread_id":"msg_1"{more}"#)), reply);
        }
        let message = format!(r#"{{"type":"message.new",{place}"#);
        assert_eq!(wrapped(r#","thread_id":"msg_1","also_send_to_channel":true"#), message);
        assert_eq!(wrapped(r#","thread_id":null"#), message);
        assert_eq!(wrapped(r#","also_send_to_channel":true"#), message);
    }

    #[test]
    fn an_escaped_channel_is_the_same_channel() {
        let payload = stored(&message("")).replace(r#""channel_id":"c""#, r#""channel_id":"\u0063""#);
        assert!(message_new(1, 0, "c", payload.as_bytes()).is_ok());
    }

    #[test]
    fn what_is_no_message_event_is_refused_with_a_reason() {
        let good = stored(&message(""));
        let cases = [
            (good.replace(r#""text""#, r#""other""#), "missing field `text`"),
            (good.replace(r#""sender_id":"u""#, r#""sender_id":1"#), "expected a string"),
            (good.replace(ID, "msg_1"), "message_id must be"),
            (good.replace(ID, &ID.replace('Z', "U")), "message_id must be"),
            (good.replacen(r#""c""#, r#""d""#, 1), "same channel"),
            (stored(r#""text""#), "not a JSON object"),
            (stored("[]"), "not a JSON object"),
            (stored(&message(r#","mentions":[1]"#)), "expected a string"),
            (stored(&message(r#","thread_id":1"#)), "expected a string"),
            (stored(&message(r#","thread_id":"a.b""#)), "thread_id must be"),
            (stored(&message(r#","also_send_to_channel":"true""#)), "expected a boolean"),
            (stored(&message(r#","attachments":[1e999]"#)), "beyond 64 bits"),
            (good.replace("hé", "\\ud800"), "surrogate"),
            (good.replacen('{', r#"{"type":"x","#, 1), "duplicate field"),
            (format!("{good}x"), "trailing"),
            (good[..good.len() - 1].to_owned(), "EOF"),
        ];
        for (payload, reason) in cases {
            let error = message_new(1, 0, "c", payload.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(reason), "{payload}: {error}");
        }
    }

    #[test]
    fn a_message_is_too_long_whatever_its_seq_and_part() {
        let longest = |more: usize| {
            let length = message("").len();
            let text = "x".repeat(MAX_EVENT - MAX_WRAPPING - length + more);
            stored(&message("").replace(r#""u""#, &format!(r#""u{text}""#)))
        };
        for (seq, part) in [(0, 0), (u64::MAX, u32::MAX)] {
            assert!(message_new(seq, part, "c", longest(0).as_bytes()).unwrap().len() <= MAX_EVENT);
            assert!(message_new(seq, part, "c", longest(1).as_bytes()).is_err());
        }
    }

    #[test]
    fn wrapping_adds_no_more_than_is_kept_for_it() {
        let channel = "c".repeat(128);
        let inner = message(&format!(r#","thread_id":"{channel}""#)).replace(r#""c""#, &format!("{channel:?}"));
        let payload = stored(&inner).replace(r#""c""#, &format!("{channel:?}"));
        let event = message_new(u64::MAX, u32::MAX, &channel, payload.as_bytes()).unwrap();
        assert!(event.len() - inner.len() <= MAX_WRAPPING);
    }

    #[test]
    fn an_event_is_one_json_object() {
        for good in ["{}", " {\"a\":[1e999,\"\\ud800\"]}\n"] {
            assert_eq!(check_event(good.as_bytes()), Ok(()));
        }
        for bad in [&b""[..], b" ", b"[]", b"1", b"{", b"{}{}", b"{\"a\":NaN}", b"{\"a\":\"\xff\"}", b"{\"a\":\"\n\"}"]
        {
            assert!(matches!(check_event(bad), Err(Error::InvalidEvent(_))), "{bad:?}");
        }
    }

    #[test]
    fn an_event_that_no_batch_can_carry_is_refused() {
        let longest = format!(r#"{{"a":"{}"}}"#, "x".repeat(MAX_EVENT - 8));
        assert_eq!(check_event(longest.as_bytes()), Ok(()));
        assert!(check_event(format!("{longest} ").as_bytes()).is_err());
    }

    #[test]
    fn nesting_costs_no_stack() {
        let deep = format!(r#"{{"a":{}{}}}"#, "[".repeat(200_000), "]".repeat(200_000));
        assert_eq!(check_event(deep.as_bytes()), Ok(()));
    }

    #[test]
    fn frames_have_the_three_lengths_of_the_rfc() {
        let head = |length| text_frame_head(length).as_ref().to_vec();
        assert_eq!(head(125), [0x81, 125]);
        assert_eq!(head(126), [0x81, 126, 0, 126]);
        assert_eq!(head(65_535), [0x81, 126, 0xff, 0xff]);
        assert_eq!(head(65_536), [0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
    }
}
