use super::*;
use crate::events::batch::BatchPosition;
use crate::events::stored::{StoredEvent, StoredKind};
use crate::hub::core::tests::{Kernel, connect, descriptor, engine};
use crate::names::ids::Ids;

fn route_stored(worker: &Engine, lane: u32, seq: u64, event: &str) {
    let event = StoredEvent { seq, channel: "c", payload: event.as_bytes(), also: None };
    assert_eq!(worker.route_stored(StoredKind::Member, lane, 0, &[event], 0), Ok(Vec::new()));
}

fn answer(pause: Pause<'static>, stale: usize, unknown: usize) -> Received<'static> {
    Received { pause, stale, unknown }
}

/// Batches of a worker: stored events 11 to 13 of a plain lane, a stored event of another lane, an ephemeral event, and
/// an event to a user.
fn batches() -> Vec<Vec<u8>> {
    let worker = engine();
    worker.user_online("ann", "i", Some(Ids::of(["c", "d"], "channel").unwrap()), 0).unwrap();
    for lane in [5, 6] {
        worker.open_lane(lane, 1, 10).unwrap();
    }
    let mut batches = Vec::new();
    for seq in 11..14 {
        route_stored(&worker, 5, seq, &format!("{{\"n\":{seq}}}"));
        batches.extend(worker.drain(0, true).into_iter().map(|(_, batch)| batch));
    }
    route_stored(&worker, 6, 11, "{}");
    worker.route("d", b"{}", None, None, 0).unwrap();
    worker.route("d", b"{}", None, Some("bob"), 0).unwrap();
    batches.extend(worker.drain(0, true).into_iter().map(|(_, batch)| batch));
    batches
}

#[test]
fn a_batch_is_delivered_as_far_as_its_readers_are_all_it_needs() {
    let (hub, engine, mut kernel) = (Hub::default(), engine(), Kernel::default());
    let ann = connect(&hub, &engine, "ann", &["c", "d"]);
    hub.flush(9, &mut kernel);
    let [first, second, third, mixed] = <[Vec<u8>; 4]>::try_from(batches()).unwrap();
    let [first, second, third, mixed]: [&'static [u8]; 4] = [first, second, third, mixed].map(|batch| &*batch.leak());
    let unknown = hub.receive(&engine, &mut Decoder::new(first).unwrap(), &mut LaneProgress::default(), 99).unwrap();
    assert!(matches!(unknown.pause, Pause::Look(record) if record.seq == 11));
    let mut progress = LaneProgress::default();
    progress.advance(5, 10, true);
    progress.advance(6, 10, false);
    let mut receive = |batch: &'static [u8], position: &mut BatchPosition, most| {
        let mut decoder = Decoder::resume(batch, *position).unwrap();
        let received = hub.receive(&engine, &mut decoder, &mut progress, most).unwrap();
        *position = decoder.at();
        (received, progress.upto(5).unwrap())
    };
    assert_eq!(receive(first, &mut BatchPosition::default(), 99), (answer(Pause::Done, 0, 0), 11));
    assert_eq!(receive(first, &mut BatchPosition::default(), 99), (answer(Pause::Done, 1, 0), 11));
    let (received, upto) = receive(third, &mut BatchPosition::default(), 99);
    assert!(matches!(received.pause, Pause::Look(record) if (record.prev, record.seq) == (12, 13)));
    assert_eq!(upto, 11);
    assert_eq!(receive(second, &mut BatchPosition::default(), 0), (answer(Pause::Full, 0, 0), 11));
    assert_eq!(receive(second, &mut BatchPosition::default(), 1), (answer(Pause::Full, 0, 0), 12));
    assert_eq!(receive(third, &mut BatchPosition::default(), 3), (answer(Pause::Done, 0, 0), 13));
    let mut position = BatchPosition::default();
    assert!(matches!(receive(mixed, &mut position, 99).0.pause, Pause::Look(record) if record.lane == 6));
    assert!(matches!(receive(mixed, &mut position, 99).0.pause, Pause::Look(record) if record.user == Some("bob")));
    assert_eq!(receive(mixed, &mut position, 99), (answer(Pause::Done, 0, 0), 13));
    hub.flush(9, &mut kernel);
    let frames = [r#"{"n":11}"#, r#"{"n":12}"#, r#"{"n":13}"#, "{}"]
        .map(|event| format!("\u{81}{}{event}", char::from(u8::try_from(event.len()).unwrap())));
    let expected: Vec<u8> = frames.concat().chars().map(|byte| u8::try_from(u32::from(byte)).unwrap()).collect();
    assert_eq!(kernel.got(descriptor(ann)), expected);
}

#[test]
fn a_stored_event_that_names_a_user_is_for_the_caller() {
    let (hub, engine, worker) = (Hub::default(), engine(), engine());
    worker.user_online("ann", "i", Some(Ids::of(["c"], "channel").unwrap()), 0).unwrap();
    worker.open_lane(5, 1, 10).unwrap();
    let event = StoredEvent { seq: 11, channel: "c", payload: b"{}", also: Some("bob") };
    worker.route_stored(StoredKind::Member, 5, 0, &[event], 0).unwrap();
    let (_, batch) = worker.drain(0, true).remove(0);
    let mut progress = LaneProgress::default();
    progress.advance(5, 10, true);
    let received = hub.receive(&engine, &mut Decoder::new(&batch).unwrap(), &mut progress, 99).unwrap();
    assert!(matches!(received.pause, Pause::Look(record) if record.seq == 11 && record.user == Some("bob")));
    assert_eq!(progress.upto(5), Some(10));
    progress.advance(5, 11, true);
    let again = hub.receive(&engine, &mut Decoder::new(&batch).unwrap(), &mut progress, 99).unwrap();
    assert_eq!((again.pause, again.stale), (Pause::Done, 1));
}

#[test]
fn a_socket_that_is_over_budget_is_named_with_the_record() {
    let (hub, engine) = (Hub::default(), engine());
    let (ann, bob) = (connect(&hub, &engine, "ann", &["c"]), connect(&hub, &engine, "bob", &["c"]));
    hub.block(bob, true);
    let first = batches().remove(0);
    let mut progress = LaneProgress::default();
    progress.advance(5, 10, true);
    let mut decoder = Decoder::new(&first).unwrap();
    let received = hub.receive(&engine, &mut decoder, &mut progress, 99).unwrap();
    assert!(matches!(received.pause, Pause::OverBudget(record, sockets) if record.seq == 11 && sockets == [bob]));
    assert!(decoder.is_done());
    assert_eq!((progress.upto(5), hub.waiting(ann)), (Some(11), 10));
}

#[test]
fn what_is_not_known_is_stepped_over_and_its_lane_goes_on() {
    let (hub, engine, mut kernel) = (Hub::default(), engine(), Kernel::default());
    let ann = connect(&hub, &engine, "ann", &["c"]);
    hub.flush(9, &mut kernel);
    // An unknown record without a lane, and in lane 5 behind seq 10: event 11 of an unknown kind, and 12 of a known one.
    let batch: &'static [u8] =
        &[2, 0x7f, 1, b'?', 0, 3, 5, 1, 10, 0xff, 1, 2, b'?', b'?', 0x82, 1, 6, 1, 1, b'c', b'{', b'}', b' '];
    let mut progress = LaneProgress::default();
    let receive =
        |progress: &mut LaneProgress| hub.receive(&engine, &mut Decoder::new(batch).unwrap(), progress, 99).unwrap();
    assert!(matches!(receive(&mut progress).pause, Pause::Look(record) if record.seq == 11), "the lane is not known");
    for (plain, upto) in [(true, 12), (false, 11)] {
        let mut progress = LaneProgress::default();
        progress.advance(5, 10, plain);
        let got = receive(&mut progress);
        assert_eq!((got.stale, got.unknown, progress.upto(5)), (0, 2, Some(upto)));
        assert_eq!(got.pause == Pause::Done, plain);
    }
    progress.advance(5, 12, true);
    assert_eq!(receive(&mut progress), answer(Pause::Done, 1, 1));
    hub.flush(9, &mut kernel);
    assert_eq!(kernel.got(descriptor(ann)), b"\x81\x03{} ");
}
