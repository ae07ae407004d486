use std::collections::HashMap;
use std::io::{self, IoSlice};

use proptest::prelude::*;

use super::*;
use crate::engine::core::Config;
use crate::names::ids::Ids;

const BUDGET: usize = 100;

/// A kernel whose descriptors each take a given number of bytes before they are full.
#[derive(Default)]
pub(in crate::hub) struct Kernel {
    room: HashMap<i32, usize>,
    got: HashMap<i32, Vec<u8>>,
    writes: usize,
    order: Vec<i32>,
}

impl Kernel {
    pub(in crate::hub) fn got(&self, descriptor: i32) -> &[u8] {
        self.got.get(&descriptor).map_or(&[], Vec::as_slice)
    }
}

impl Wire for Kernel {
    fn send(&mut self, descriptor: i32, slices: &[IoSlice]) -> io::Result<usize> {
        self.writes += 1;
        self.order.push(descriptor);
        let room = self.room.entry(descriptor).or_insert(usize::MAX);
        if *room == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).take(*room).collect();
        *room -= bytes.len();
        self.got.entry(descriptor).or_default().extend(&bytes);
        Ok(bytes.len())
    }
}

pub(in crate::hub) fn engine() -> Engine {
    Engine::new(Config {
        flush_interval: 0,
        flush_events: 1,
        max_batch: 1 << 20,
        cache_users: 1,
        cache_ttl: 0,
        seed: None,
    })
    .unwrap()
}

fn frame(text: &str) -> Frame {
    Frame::from(text.as_bytes())
}

/// Add and open a session that reads channels; its descriptor is its number.
pub(in crate::hub) fn connect(hub: &Hub, engine: &Engine, session: &str, channels: &[&str]) -> Socket {
    let descriptor = i32::try_from(engine.occupied_instances().len()).unwrap();
    let socket = hub.add(engine, session, Some(descriptor), BUDGET).unwrap();
    engine.user_online(session, session, Some(Ids::of(channels.iter().copied(), "channel").unwrap()), 0).unwrap();
    hub.open(socket, &frame(""));
    socket
}

fn live(text: &str) -> LiveFrame {
    LiveFrame { frame: frame(text), seq: None, ephemeral: false }
}

fn deliver(hub: &Hub, engine: &Engine, channel: &str, text: &str) -> Vec<Socket> {
    hub.deliver(engine, channel, &live(text), &[], &[]).unwrap()
}

pub(in crate::hub) fn descriptor(socket: Socket) -> i32 {
    i32::try_from(socket).unwrap()
}

#[test]
fn all_that_waits_for_a_socket_leaves_in_one_write() {
    let (hub, engine, mut kernel) = (Hub::default(), engine(), Kernel::default());
    let ann = connect(&hub, &engine, "ann", &["c", "d"]);
    let bob = connect(&hub, &engine, "bob", &["c"]);
    for (channel, text) in [("c", "1"), ("d", "2"), ("c", "3")] {
        assert!(deliver(&hub, &engine, channel, text).is_empty());
    }
    assert_eq!(hub.flush(10, &mut kernel), Flushed { frames: 7, left: Vec::new(), more: false });
    assert_eq!((kernel.got(descriptor(ann)), kernel.got(descriptor(bob))), (&b"123"[..], &b"13"[..]));
    assert_eq!((kernel.writes, hub.frames()), (2, 0));
}

#[test]
fn a_muted_socket_gets_what_waits_and_what_is_its_own_and_nothing_of_channels() {
    let (hub, engine, mut kernel) = (Hub::default(), engine(), Kernel::default());
    let ann = connect(&hub, &engine, "ann", &["c"]);
    let bob = connect(&hub, &engine, "bob", &["c"]);
    deliver(&hub, &engine, "c", "1");
    hub.mute(ann);
    assert!(deliver(&hub, &engine, "c", "2").is_empty());
    assert_eq!(hub.deliver(&engine, "c", &live("3"), &[], &[ann]), Ok(Vec::new()));
    assert!(hub.push(ann, &frame("own")));
    hub.flush(10, &mut kernel);
    assert_eq!((kernel.got(descriptor(ann)), kernel.got(descriptor(bob))), (&b"1own"[..], &b"123"[..]));
    hub.mute(99);
}

#[test]
fn a_socket_that_catches_up_gets_the_log_first_and_then_what_came_meanwhile() {
    let (hub, engine, mut kernel) = (Hub::default(), engine(), Kernel::default());
    let ann = connect(&hub, &engine, "ann", &["c"]);
    let bob = connect(&hub, &engine, "bob", &["c"]);
    let of_log = |seq: u64| LiveFrame { seq: Some(seq), ..live(&format!("{seq},")) };
    let deliver = |frame: &LiveFrame| assert_eq!(hub.deliver(&engine, "c", frame, &[], &[]), Ok(Vec::new()));
    hub.catch_up(ann, BUDGET);
    deliver(&of_log(7));
    deliver(&live("typing,"));
    assert!(!hub.is_holding(ann) && !hub.set_aside(bob, &frame("own,"), false));
    hub.push(ann, &frame("old,"));
    hub.hold(ann);
    (8..11).for_each(|seq| deliver(&of_log(seq)));
    assert!(hub.is_holding(ann) && hub.set_aside(ann, &frame("own,"), false));
    assert_eq!(hub.flush(9, &mut kernel).frames, 1 + 1 + 2 + 4, "with the first frames of both");
    assert_eq!(hub.go_live(ann, 8, Some(&frame("complete,"))), Lost::default());
    (8..13).for_each(|seq| deliver(&of_log(seq)));
    assert_eq!(hub.frames(), 5 + 4 + 5);
    hub.flush(9, &mut kernel);
    let expected = "old,complete,typing,9,10,own,9,10,11,12,";
    assert_eq!(String::from_utf8_lossy(kernel.got(descriptor(ann))), expected);
    assert_eq!(String::from_utf8_lossy(kernel.got(descriptor(bob))), "7,typing,8,9,10,8,9,10,11,12,");
}

#[test]
fn a_socket_that_is_live_before_it_is_opened_gets_what_was_set_aside_behind_its_first_frame() {
    let (hub, engine, mut kernel) = (Hub::default(), engine(), Kernel::default());
    let ann = hub.add(&engine, "ann", Some(0), BUDGET).unwrap();
    engine.user_online("ann", "ann", Some(Ids::of(["c"], "channel").unwrap()), 0).unwrap();
    hub.catch_up(ann, 10);
    hub.hold(ann);
    for text in ["12345", "67890", "x"] {
        assert!(deliver(&hub, &engine, "c", text).is_empty());
    }
    assert!(!hub.is_holding(ann));
    assert_eq!(hub.go_live(ann, 0, None), Lost { ephemeral: 0, durable: 1 });
    assert_eq!(hub.frames(), 0);
    hub.open(ann, &frame("first,"));
    assert_eq!(hub.flush(9, &mut kernel).frames, 3);
    assert_eq!(kernel.got(0), b"first,1234567890");
    for socket in [99, ann] {
        assert_eq!((hub.is_holding(socket), hub.go_live(socket, 0, None)), (false, Lost::default()));
    }
}

#[test]
fn more_frames_than_one_write_takes_arrive_in_order() {
    let (hub, engine, mut kernel) = (Hub::default(), engine(), Kernel::default());
    let socket = hub.add(&engine, "ann", Some(0), 1 << 20).unwrap();
    let expected: Vec<_> = (0..200).map(|number| format!("{number},")).collect();
    for text in &expected {
        hub.push(socket, &frame(text));
    }
    hub.open(socket, &frame("first,"));
    hub.flush_one(socket, &mut kernel);
    assert_eq!(kernel.got(0), format!("first,{}", expected.concat()).as_bytes());
    assert_eq!(kernel.writes, 4);
}

#[test]
fn what_the_kernel_does_not_take_is_left_to_the_owner() {
    for room in 0..=6 {
        let (hub, engine, mut kernel) = (Hub::default(), engine(), Kernel::default());
        let ann = connect(&hub, &engine, "ann", &["c"]);
        kernel.room.insert(descriptor(ann), room);
        for text in ["ab", "cd", "ef"] {
            deliver(&hub, &engine, "c", text);
        }
        let left = hub.flush(1, &mut kernel).left.pop().map_or(Vec::new(), |(socket, left)| {
            assert_eq!(socket, ann);
            left
        });
        assert_eq!([kernel.got(descriptor(ann)), &left].concat(), b"abcdef");
        assert_eq!(left.len(), 6 - room);
    }
}

#[test]
fn a_socket_that_is_not_open_or_blocked_or_full_or_without_descriptor_is_its_owners_business() {
    let (hub, engine, mut kernel) = (Hub::default(), engine(), Kernel::default());
    let open = connect(&hub, &engine, "open", &["c"]);
    let closed = hub.add(&engine, "closed", Some(7), BUDGET).unwrap();
    let bare = hub.add(&engine, "bare", None, BUDGET).unwrap();
    for session in ["closed", "bare"] {
        engine.user_online(session, session, Some(Ids::of(["c"], "channel").unwrap()), 0).unwrap();
    }
    hub.open(bare, &frame("first"));
    assert_eq!(deliver(&hub, &engine, "c", "x"), [closed, bare]);
    hub.block(open, true);
    assert_eq!(deliver(&hub, &engine, "c", "y"), [open, closed, bare]);
    assert_eq!(hub.flush(9, &mut kernel).left, [(open, b"x".to_vec()), (bare, b"first".to_vec())]);
    hub.block(open, false);
    let whole = "x".repeat(BUDGET);
    let ephemeral = LiveFrame { ephemeral: true, ..live(&whole[..=BUDGET / 2]) };
    assert_eq!(hub.deliver(&engine, "c", &ephemeral, &[], &[closed]).unwrap()[0], open);
    assert_eq!(deliver(&hub, &engine, "c", &whole), [closed, bare]);
    assert_eq!(deliver(&hub, &engine, "c", "z"), [open, closed, bare]);
    hub.push(closed, &frame("late"));
    assert_eq!((hub.waiting(closed), hub.flush_one(closed, &mut kernel).frames), (4, 0));
    hub.flush(9, &mut kernel);
    assert_eq!(hub.frames(), 0);
    hub.open(closed, &frame("first"));
    assert_eq!(hub.frames(), 2);
}

#[test]
fn a_socket_that_is_named_gets_it_or_does_not() {
    let (hub, engine, mut kernel) = (Hub::default(), engine(), Kernel::default());
    let sockets: Vec<_> = ["ann", "bob", "eve"].map(|name| connect(&hub, &engine, name, &["c"])).into();
    let other = connect(&hub, &engine, "joe", &["d"]);
    hub.deliver(&engine, "c", &live("x"), &sockets[1..2], &[other, sockets[0]]).unwrap();
    hub.flush(9, &mut kernel);
    let got = [sockets[0], sockets[1], sockets[2], other].map(|socket| kernel.got(descriptor(socket)).len());
    assert_eq!(got, [1, 0, 1, 1]);
}

#[test]
fn a_removed_socket_gets_nothing_and_its_number_may_be_anothers() {
    let (hub, engine, mut kernel) = (Hub::default(), engine(), Kernel::default());
    let ann = connect(&hub, &engine, "ann", &["c"]);
    deliver(&hub, &engine, "c", "x");
    hub.remove(ann);
    hub.remove(ann);
    assert_eq!((hub.frames(), hub.push(ann, &frame("x"))), (0, false));
    engine.drop_instance("ann").unwrap();
    assert_eq!(connect(&hub, &engine, "bob", &["d"]), ann);
    hub.flush(9, &mut kernel);
    assert_eq!(kernel.got(descriptor(ann)), b"");
}

#[test]
fn an_event_of_few_readers_waits_for_a_turn_and_not_for_a_round() {
    let (hub, engine, mut kernel) = (Hub::default(), engine(), Kernel::default());
    let names: Vec<_> = (0..1_000).map(|number| format!("s{number}")).collect();
    for name in &names {
        connect(&hub, &engine, name, if name == "s999" { &["hot", "cold"] } else { &["hot"] });
    }
    hub.flush(usize::MAX, &mut kernel);
    kernel.order.clear();
    deliver(&hub, &engine, "hot", "x");
    deliver(&hub, &engine, "cold", "y");
    deliver(&hub, &engine, "hot", "z");
    assert!(hub.flush(100, &mut kernel).more);
    assert!(kernel.order.iter().position(|&descriptor| descriptor == 999).unwrap() <= 32);
    assert_eq!(kernel.got(999), b"xyz");
    assert!(!hub.flush(usize::MAX, &mut kernel).more);
    assert_eq!(kernel.order.len(), 1_000);
}

#[derive(Debug, Clone)]
enum Step {
    Deliver(u8, u8, bool),
    Push(u8),
    Flush(u8),
    FlushOne(u8),
    Block(u8, bool),
    Room(u8, u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0u8..4, 1u8..30, any::<bool>()).prop_map(|(c, length, ephemeral)| Step::Deliver(c, length, ephemeral)),
        1 => (0u8..6).prop_map(Step::Push),
        2 => (1u8..5).prop_map(Step::Flush),
        1 => (0u8..6).prop_map(Step::FlushOne),
        1 => (0u8..6, any::<bool>()).prop_map(|(s, blocked)| Step::Block(s, blocked)),
        1 => (0u8..6, 0u8..90).prop_map(|(s, room)| Step::Room(s, room)),
    ];
    prop::collection::vec(step, 1..60)
}

proptest! {
    /// Six sockets, each of which reads the channels below its number. Check that the kernel and the owner of a socket
    /// got exactly the frames that were accepted for it, in order, and that the budget is kept.
    #[test]
    fn every_socket_gets_what_was_queued_for_it_in_order(steps in steps()) {
        let (hub, engine, mut kernel) = (Hub::default(), engine(), Kernel::default());
        let channels = ["c0", "c1", "c2", "c3"];
        let sockets: Vec<_> = (0..6)
            .map(|number| connect(&hub, &engine, &format!("s{number}"), &channels[..number.min(4)]))
            .collect();
        hub.flush(9, &mut kernel);
        let mut queued = vec![Vec::new(); 6];
        let mut waiting = [0usize; 6];
        let mut owners = vec![Vec::new(); 6];
        let mut blocked = [false; 6];
        for (number, step) in steps.into_iter().enumerate() {
            let text = |length: u8| format!("{number:>width$}", width = usize::from(length.max(2)));
            match step {
                Step::Deliver(channel, length, ephemeral) => {
                    let body = frame(&text(length));
                    let name = channels[usize::from(channel)];
                    let live = LiveFrame { frame: body.clone(), seq: None, ephemeral };
                    let checked = hub.deliver(&engine, name, &live, &[], &[]).unwrap();
                    for at in usize::from(channel) + 1..6 {
                        let limit = if ephemeral { BUDGET / 2 } else { BUDGET };
                        let fits = !blocked[at] && waiting[at] + body.len() <= limit;
                        prop_assert_eq!(!checked.contains(&sockets[at]), fits);
                        if fits {
                            queued[at].extend_from_slice(&body);
                            waiting[at] += body.len();
                        }
                    }
                }
                Step::Push(at) => {
                    let body = frame(&text(5));
                    prop_assert!(hub.push(sockets[usize::from(at)], &body));
                    queued[usize::from(at)].extend_from_slice(&body);
                    waiting[usize::from(at)] += body.len();
                }
                Step::Block(at, now) => {
                    hub.block(sockets[usize::from(at)], now);
                    blocked[usize::from(at)] = now;
                }
                Step::Room(at, room) => {
                    kernel.room.insert(i32::from(at), usize::from(room));
                }
                Step::Flush(_) | Step::FlushOne(_) => {
                    let flushed = match step {
                        Step::Flush(most) => hub.flush(usize::from(most), &mut kernel),
                        Step::FlushOne(at) => hub.flush_one(sockets[usize::from(at)], &mut kernel),
                        _ => unreachable!(),
                    };
                    for (socket, left) in flushed.left {
                        // The owner has bytes buffered, which must be sent first: it blocks the socket.
                        let at = sockets.iter().position(|&other| other == socket).unwrap();
                        owners[at].push((kernel.got(descriptor(socket)).len(), left));
                        hub.block(socket, true);
                        blocked[at] = true;
                    }
                    for (at, &socket) in sockets.iter().enumerate() {
                        waiting[at] = hub.waiting(socket);
                    }
                }
            }
        }
        hub.flush(usize::MAX, &mut kernel).left.into_iter().for_each(|(socket, left)| {
            owners[usize::try_from(socket).unwrap()].push((kernel.got(descriptor(socket)).len(), left));
        });
        prop_assert_eq!(hub.frames(), 0);
        for at in 0..6 {
            let socket = i32::try_from(at).unwrap();
            let (mut whole, mut taken) = (Vec::new(), 0);
            for (sent, left) in &owners[at] {
                whole.extend_from_slice(&kernel.got(socket)[taken..*sent]);
                whole.extend_from_slice(left);
                taken = *sent;
            }
            whole.extend_from_slice(&kernel.got(socket)[taken..]);
            prop_assert_eq!(&whole, &queued[at]);
        }
    }
}
