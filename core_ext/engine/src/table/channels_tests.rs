use std::collections::BTreeSet;

use super::*;
use crate::table::subscriptions::SubscriptionIds;

/// More channels than one window.
const MANY: usize = 5_000;

fn ids(names: impl Iterator<Item = String>) -> Ids {
    let names: Vec<String> = names.collect();
    Ids::of(names.iter().map(String::as_str), "channel").unwrap()
}

fn recounted(channels: &Channels) -> (usize, usize) {
    let shards = channels.shards.iter().map(|shard| shard.read().bytes());
    let (names, rows) = shards.fold((0, 0), |(names, rows), shard| (names + shard.0, rows + shard.1));
    (names, rows + channels.shards.len() * size_of::<RwLock<Shard>>())
}

#[test]
fn very_many_channels_come_and_go_and_each_byte_is_counted() {
    let (channels, subscriptions, mut numbers) =
        (Channels::new(NameHasher::random()), Subscriptions::default(), SubscriptionIds::default());
    let empty = channels.bytes();
    let all = ids((0..MANY).map(|n| format!("channel-{n}")));
    // Every second subscription is on one of two instances with the same tag.
    let position = |user| (user, numbers.take(user % 2 * 63, user, &subscriptions).unwrap());
    let placed: Vec<(u32, Subscription)> = (0..14).map(position).collect();
    for &(user, subscription) in &placed {
        let (ids, entries) = channels.add_references(all.clone(), Some(subscription), &subscriptions);
        assert!(ids.is_sorted() && ids.iter().collect::<BTreeSet<_>>().len() == MANY);
        assert_eq!((entries, channels.bytes()), (if user < 2 { MANY } else { 0 }, recounted(&channels)));
    }
    assert_eq!((channels.entries(), channels.occupied(), channels.referenced()), (2 * MANY, MANY, MANY));
    let found: BTreeSet<Channel> = all.iter().map(|name| channels.find(name).unwrap()).collect();
    let ids: Vec<Channel> = found.into_iter().collect();
    let mut widths = vec![0; MANY];
    channels.read_many(all, |index, view| widths[index] = view.width(&subscriptions));
    assert!(ids.len() == MANY && widths.iter().all(|&width| width == 2));
    for &(user, subscription) in &placed {
        let gone =
            channels.exit(&ids, Exit { subscription: Some(subscription), remove_reference: true }, &subscriptions);
        assert_eq!((gone, channels.bytes()), (if user < 12 { 0 } else { MANY }, recounted(&channels)));
    }
    assert_eq!((channels.referenced(), channels.bytes()), (0, empty));
}

#[test]
fn names_that_come_twice_are_referenced_once() {
    let (channels, subscriptions) = (Channels::new(NameHasher::random()), Subscriptions::default());
    let twice = ids((0..MANY).chain(0..MANY).map(|n| format!("channel-{n}")));
    let (ids, _) = channels.add_references(twice, None, &subscriptions);
    assert_eq!((ids.len(), channels.referenced()), (MANY, MANY));
    channels.exit(&ids, Exit { subscription: None, remove_reference: true }, &subscriptions);
    assert_eq!(channels.referenced(), 0);
}

#[test]
fn blocks_that_are_half_free_are_moved_together() {
    let (channels, subscriptions, mut numbers) =
        (Channels::new(NameHasher::random()), Subscriptions::default(), SubscriptionIds::default());
    let all = ids((0..20 * MANY).map(|n| format!("channel-{n}")));
    let placed: Vec<Subscription> = (0..16).map(|user| numbers.take(user % 3, user, &subscriptions).unwrap()).collect();
    let ids: Vec<Vec<Channel>> =
        placed.iter().map(|&r| channels.add_references(all.clone(), Some(r), &subscriptions).0).collect();
    let full = channels.bytes().1;
    let most: Vec<Channel> = ids[0].iter().enumerate().filter(|(at, _)| at % 5 < 4).map(|(_, &id)| id).collect();
    for &subscription in &placed {
        channels.exit(&most, Exit { subscription: Some(subscription), remove_reference: false }, &subscriptions);
        assert!(channels.shards.iter().all(|shard| !shard.read().overflow.is_sparse()));
    }
    assert!(channels.bytes().1 < full, "{} of {full}", channels.bytes().1);
}
