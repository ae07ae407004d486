//! Stored events, as a log has them, and their kinds.
//!
//! To add a kind, add a variant of [`StoredKind`], and name it in [`StoredKind::ALL`] and [`StoredKind::row`]. Nothing
//! else in the engine depends on which kinds there are.

use crate::error::Result;
use crate::events::frame::{ClientForm, MAX_BATCH, max_event};
use crate::names::ids::check;

/// A stored event to route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredEvent<'a> {
    /// The event's position in its stream.
    pub seq: u64,
    /// The channel whose readers get the event.
    pub channel: &'a str,
    /// The event as it is stored.
    pub payload: &'a [u8],
    /// A user who gets the event too, reader of the channel or not. The event has to name this user as well: who reads
    /// it from the log has nothing else.
    pub also: Option<&'a str>,
}

/// The kind of a stored event. It decides how the client's JSON is made from the stored JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoredKind {
    /// A message. Clients get it as `message.new` or `thread.reply`, with its `seq` and partition.
    Message,
    /// A change of a membership. Clients get the stored JSON unchanged.
    Member,
    /// A read receipt. Clients get the stored JSON unchanged.
    Receipt,
}

/// The properties of a kind.
struct Row {
    /// The number of the kind in batches, so it is never given to another kind.
    code: u8,
    name: &'static str,
    /// Whether a client that was away gets the event from the log later.
    replayed: bool,
    /// Checks an event and makes the client's JSON. Arguments: the most bytes, the partition number, the event.
    client_form: for<'a> fn(usize, u32, &StoredEvent<'a>) -> Result<ClientForm<'a>>,
}

impl StoredKind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Message, Self::Member, Self::Receipt];

    const fn row(self) -> Row {
        match self {
            Self::Message => Row {
                code: 1,
                name: "message.new",
                replayed: true,
                client_form: |limit, part, event| {
                    ClientForm::of_message(limit, event.seq, part, event.channel, event.payload)
                },
            },
            Self::Member => Row {
                code: 2,
                name: "member",
                replayed: false,
                client_form: |limit, _, event| ClientForm::as_stored(limit, event.channel, event.payload),
            },
            Self::Receipt => Row {
                code: 3,
                name: "receipt.read",
                replayed: false,
                client_form: |limit, _, event| ClientForm::as_stored(limit, event.channel, event.payload),
            },
        }
    }

    /// The kind with a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Its name, as `_core.pyi` lists it.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// Whether a client that was away gets such events from the log later, so that it may not get them live as well.
    pub(crate) fn is_replayed(self) -> bool {
        self.row().replayed
    }

    /// The kind with a code.
    pub(crate) fn of_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }

    /// Its code in batches, below 0x80.
    pub(crate) fn code(self) -> u8 {
        self.row().code
    }

    /// Check an event of this kind, and make the JSON that clients get, as an engine with the limit [`MAX_BATCH`] routes
    /// it. An engine with a lower limit refuses longer events besides.
    pub fn client_event(self, part: u32, event: &StoredEvent) -> Result<Vec<u8>> {
        Ok(self.client_form(max_event(MAX_BATCH), part, event)?.to_vec())
    }

    /// Check an event of this kind, and make the client's JSON, of at most `limit` bytes.
    pub(crate) fn client_form<'a>(self, limit: usize, part: u32, event: &StoredEvent<'a>) -> Result<ClientForm<'a>> {
        event.also.map_or(Ok(()), |user| check(user, "also"))?;
        (self.row().client_form)(limit, part, event)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_kind_is_found_by_its_name_and_by_its_code() {
        for kind in StoredKind::ALL {
            assert_eq!((StoredKind::named(kind.name()), StoredKind::of_code(kind.code())), (Some(kind), Some(kind)));
        }
        assert_eq!((StoredKind::named("newer"), StoredKind::of_code(0x7f)), (None, None));
    }

    #[test]
    fn no_two_kinds_share_a_code_and_none_has_more_than_seven_bits() {
        let codes: HashSet<u8> = StoredKind::ALL.into_iter().map(StoredKind::code).collect();
        assert!(codes.len() == StoredKind::ALL.len() && codes.iter().all(|&code| code < 0x80));
    }

    #[test]
    fn a_message_is_wrapped_and_other_events_go_as_they_are() {
        let message = br#"{"event_id":"e","type":"message.new","channel_id":"c","message":{"message_id":"#;
        let message = [
            message.as_slice(),
            br#""msg_00000000000000000000000000","channel_id":"c","sender_id":"u","text":"","sent_at":""}}"#,
        ]
        .concat();
        let event = StoredEvent { seq: 7, channel: "c", payload: &message, also: None };
        let written = |kind: StoredKind| {
            let (form, bytes) = (kind.client_form(10_000, 3, &event).unwrap(), kind.client_event(3, &event).unwrap());
            assert_eq!((form.len(), form.to_vec()), (bytes.len(), bytes.clone()));
            bytes
        };
        assert!(written(StoredKind::Message).starts_with(br#"{"type":"message.new","seq":7,"part":3,"#));
        assert_eq!(written(StoredKind::Member), message);
        assert_eq!(written(StoredKind::Receipt), message);
    }

    #[test]
    fn what_is_no_event_of_its_kind_is_refused() {
        let sound = StoredEvent { seq: 1, channel: "c", payload: b"{}", also: None };
        assert!(StoredKind::Message.client_form(10_000, 0, &sound).is_err());
        assert!(StoredKind::Member.client_form(10_000, 0, &sound).is_ok());
        for event in [
            StoredEvent { channel: "a.b", ..sound },
            StoredEvent { also: Some(""), ..sound },
            StoredEvent { payload: b"[]", ..sound },
            StoredEvent { payload: &[b' '; 10_001], ..sound },
        ] {
            assert!(StoredKind::Member.client_form(10_000, 0, &event).is_err(), "{event:?}");
        }
    }
}
