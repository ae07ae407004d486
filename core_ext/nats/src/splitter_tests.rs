use proptest::prelude::*;

use super::*;
use crate::lifts::Lifts;

fn delivery(sid: u64, consumer: &str, order: u64, payload: &str) -> String {
    attempt(1, sid, consumer, order, payload)
}

fn attempt(number: u64, sid: u64, consumer: &str, order: u64, payload: &str) -> String {
    let reply = format!("$JS.ACK.S.{consumer}.{number}.{}.{order}.0.9", 10 * order);
    let headers = "NATS/1.0\r\nNats-Msg-Id: m\r\n\r\n";
    let (head, all) = (headers.len(), headers.len() + payload.len());
    format!("HMSG messages.send.3.c{order} {sid} {reply} {head} {all}\r\n{headers}{payload}\r\n")
}

fn splitter(ordered: bool) -> (Splitter, Arc<Mutex<DeliveryBuffer>>) {
    let mut splitter = Splitter::default();
    let buffer = Arc::new(Mutex::new(DeliveryBuffer::new(3, ordered)));
    buffer.lock().attach(b"c", Lifts::default());
    splitter.take(7, buffer.clone());
    (splitter, buffer)
}

/// The number of deliveries that wait, and the number that came.
fn counts(buffer: &Mutex<DeliveryBuffer>) -> (usize, u64) {
    let buffer = buffer.lock();
    (buffer.len(), buffer.received())
}

fn fetched(buffer: &Mutex<DeliveryBuffer>) -> Vec<Vec<(u64, String)>> {
    let mut buffer = buffer.lock();
    std::iter::from_fn(|| buffer.take())
        .map(|batch| batch.iter().map(|one| (one.seq, String::from_utf8(one.payload.to_vec()).unwrap())).collect())
        .collect()
}

const OTHERS: &str =
    "INFO {}\r\nMSG _INBOX.1 2 2\r\nhi\r\nPING\r\nHMSG a 7 28 28\r\nNATS/1.0 100 Idle Heartbeat\r\n\r\n\r\n";

#[test]
fn deliveries_go_to_the_buffer_and_the_rest_to_the_library_in_its_order() {
    let (mut splitter, buffer) = splitter(true);
    let deliveries: Vec<_> = (1..=4).map(|order| delivery(7, "c", order, &format!("p{order}"))).collect();
    let half = OTHERS.find("PING").unwrap();
    let stream = [&deliveries[..2].concat(), &OTHERS[..half], &deliveries[2..].concat(), &OTHERS[half..]].concat();
    let fed = splitter.feed(stream.as_bytes());
    assert_eq!((fed.rest, fed.touched), (OTHERS.as_bytes().to_vec(), vec![7]));
    assert_eq!(buffer.lock().bytes(), 8);
    let pairs = |orders: &[u64]| orders.iter().map(|order| (10 * order, format!("p{order}"))).collect::<Vec<_>>();
    assert_eq!(fetched(&buffer), [pairs(&[1, 2, 3]), pairs(&[4])]);
    assert_eq!(counts(&buffer), (0, 4));
    assert_eq!(buffer.lock().bytes(), 0);
}

#[test]
fn other_subscriptions_and_those_that_were_left_stay_with_the_library() {
    let (mut splitter, buffer) = splitter(true);
    let (one, other) = (delivery(7, "c", 1, "x"), delivery(8, "c", 1, "x"));
    assert_eq!(splitter.feed(other.as_bytes()).rest, other.as_bytes());
    splitter.leave(7);
    assert_eq!(splitter.feed(one.as_bytes()).rest, one.as_bytes());
    assert!(buffer.lock().is_empty());
}

#[test]
fn an_ordered_buffer_stops_before_a_gap_and_takes_nothing_of_another_consumer() {
    let (mut splitter, buffer) = splitter(true);
    let stream =
        [(1, "c"), (1, "old"), (2, "c"), (4, "c"), (5, "c")].map(|(order, consumer)| delivery(7, consumer, order, "x"));
    splitter.feed(stream.concat().as_bytes());
    assert_eq!(buffer.lock().error().unwrap().to_string(), "delivery 4 came after delivery 2");
    assert_eq!(counts(&buffer), (2, 3));
    buffer.lock().attach(b"d", Lifts::default());
    splitter.feed(delivery(7, "d", 1, "y").as_bytes());
    assert_eq!(buffer.lock().error(), None);
    assert_eq!(counts(&buffer), (3, 4));
    buffer.lock().pause();
    splitter.feed(delivery(7, "d", 2, "y").as_bytes());
    assert_eq!(buffer.lock().len(), 3);
    buffer.lock().clear();
    assert!(fetched(&buffer).is_empty());
}

#[test]
fn an_ordered_buffer_stops_at_what_comes_again() {
    let (mut splitter, buffer) = splitter(true);
    splitter.feed([delivery(7, "c", 1, "x"), attempt(2, 7, "c", 2, "x")].concat().as_bytes());
    assert_eq!(buffer.lock().error().unwrap().to_string(), "event 20 was delivered again");
    assert_eq!(counts(&buffer), (1, 2));
}

#[test]
fn an_unordered_buffer_takes_everything() {
    let (mut splitter, buffer) = splitter(false);
    splitter.feed([1, 4, 2].map(|order| attempt(order, 7, "c", order, "x")).concat().as_bytes());
    assert_eq!(buffer.lock().error(), None);
    assert_eq!(counts(&buffer), (3, 3));
}

#[test]
fn a_batch_is_read_by_place_and_by_seq() {
    let (mut splitter, buffer) = splitter(true);
    splitter.feed((1..=3).map(|order| delivery(7, "c", order, "x")).collect::<String>().as_bytes());
    let batch = buffer.lock().take().unwrap();
    assert_eq!([9, 10, 25, 30].map(|seq| batch.count_upto(seq)), [0, 1, 2, 3]);
    let second = batch.get(1).unwrap();
    assert_eq!((second.last_token(), second.reply), (&b"c2"[..], &b"$JS.ACK.S.c.1.20.2.0.9"[..]));
    assert_eq!(batch.get(3), None);
}

#[test]
fn after_something_malformed_all_is_the_librarys_until_the_next_connection() {
    for malformed in ["MSG a 7\r\n".to_owned(), "x".repeat(LONGEST_LINE)] {
        let (mut splitter, buffer) = splitter(true);
        let good = delivery(7, "c", 1, "x");
        let fed = splitter.feed(format!("{good}{malformed}").as_bytes());
        assert_eq!(fed.rest, malformed.as_bytes());
        assert_eq!(splitter.feed(good.as_bytes()).rest, good.as_bytes());
        splitter.reset();
        assert!(splitter.feed(delivery(7, "c", 2, "x").as_bytes()).rest.is_empty());
        assert_eq!(buffer.lock().len(), 2);
    }
}

proptest! {
    #[test]
    fn where_the_bytes_are_cut_does_not_matter(
        kinds in prop::collection::vec((any::<bool>(), "[a-z\r\n ]{0,20}"), 1..12),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let (mut splitter, buffer) = splitter(true);
        let (mut stream, mut rest, mut payloads, mut order) = (String::new(), String::new(), Vec::new(), 0);
        for (ours, payload) in kinds {
            if ours {
                order += 1;
                stream += &delivery(7, "c", order, &payload);
                payloads.push((10 * order, payload));
            } else {
                let other = format!("MSG x.y 9 r {}\r\n{payload}\r\n+OK\r\n", payload.len());
                stream += &other;
                rest += &other;
            }
        }
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(stream.len())).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let fed: Vec<_> = cuts.windows(2).flat_map(|cut| splitter.feed(&stream.as_bytes()[cut[0]..cut[1]]).rest).collect();
        prop_assert_eq!(fed, rest.as_bytes());
        prop_assert_eq!(fetched(&buffer).concat(), payloads);
    }
}
