use super::*;
use crate::names::ids::Id;
use crate::names::interner::Interner;

fn id(name: &str) -> Id {
    Id::new(name, "channel").unwrap()
}

#[test]
fn one_name_has_one_number_until_it_is_removed() {
    let mut names = Interner::new(NameHasher::random());
    assert_eq!(names.find(&id("a")), None);
    let (a, b) = (names.intern(&id("a")), names.intern(&id("b")));
    assert_ne!(a, b);
    assert_eq!(names.intern(&id("a")), a);
    names.remove(a);
    assert_eq!((names.find(&id("a")), names.find(&id("b"))), (None, Some(b)));
}

#[test]
fn the_lowest_free_number_is_used_again() {
    let mut names = Interner::new(NameHasher::random());
    for name in ["a", "b", "c"] {
        names.intern(&id(name));
    }
    names.remove(2);
    names.remove(0);
    assert_eq!(names.intern(&id("d")), 0);
    assert_eq!(names.name(0).unwrap(), "d");
}

#[test]
fn names_of_every_length_stay_apart_through_growth_and_removal() {
    let mut names = Interner::new(NameHasher::random());
    let name = |n: usize| format!("{n}{}", "x".repeat(n % 124));
    let numbers: Vec<Local> = (0..5_000).map(|n| names.intern(&id(&name(n)))).collect();
    for n in (0..5_000).filter(|n| n % 3 != 0) {
        names.remove(numbers[n]);
    }
    for (n, &number) in numbers.iter().enumerate() {
        let expected = (n % 3 == 0).then_some(number);
        assert_eq!(names.find(&id(&name(n))), expected, "{n}");
        assert!(expected.is_none_or(|local| names.name(local).unwrap() == name(n)));
    }
}

#[test]
fn memory_is_given_back() {
    let mut names = Interner::new(NameHasher::random());
    let numbers: Vec<Local> = (0..2_000).map(|n| names.intern(&id(&format!("{n:0>40}")))).collect();
    let full = names.names().bytes();
    for local in numbers {
        names.remove(local);
    }
    assert!(names.names().bytes() < full / 50, "{} of {full}", names.names().bytes());
}

#[test]
fn names_take_their_hashed_names_and_some_index_slots() {
    let mut names = Names::<HashedName>::default();
    let (hasher, count) = (NameHasher::random(), 3_000);
    names.reserve(count);
    let index = names.index.bytes();
    for n in 0..count {
        names.insert(hasher.key(id(&format!("channel-{n}")).packed()));
    }
    assert_eq!(names.index.bytes(), index, "there was room");
    let least = count * (size_of::<HashedName>() + size_of::<Local>());
    assert!((least..least * 3 / 2).contains(&names.bytes()), "{} bytes", names.bytes());
    assert!(names.bytes() - names.bytes_of_names() < size_of::<HashedName>());
}

#[test]
fn the_index_grows_by_little() {
    let mut names = Interner::new(NameHasher::random());
    for n in 0..3_000 {
        names.intern(&id(&format!("channel-{n}")));
        assert!(names.names().index.bytes() <= (n + 64) * size_of::<Local>() * 3 / 2, "{n}");
    }
}

#[test]
fn memory_is_given_back_while_names_are_left() {
    let mut names = Interner::new(NameHasher::random());
    let numbers: Vec<Local> = (0..2_000).map(|n| names.intern(&id(&format!("{n:0>40}")))).collect();
    let full = names.names().bytes();
    let (kept, gone) = numbers.split_at(100);
    for &local in gone {
        names.remove(local);
    }
    assert!(names.names().bytes() < full / 10, "{} of {full}", names.names().bytes());
    assert!(names.names().index.bytes() <= 2 * HashIndex::with_room(kept.len()).bytes());
    assert!((0..100).all(|n| names.find(&id(&format!("{n:0>40}"))) == Some(kept[n])));
}

#[test]
fn one_long_name_that_comes_and_goes_does_not_move_all_names_each_time() {
    let (mut names, long) = (Interner::new(NameHasher::random()), id(&"x".repeat(40)));
    for n in 0..1_000 {
        names.intern(&id(&n.to_string()));
    }
    let left = (0..1_000).map(|_| {
        let local = names.intern(&long);
        names.remove(local);
        names.names().garbage
    });
    let left: Vec<usize> = left.collect();
    assert!(left.iter().filter(|&&words| words == 0).count() < 100, "moved too often");
    assert!(left.iter().all(|&words| words <= 1_000 / 8 + 3), "never returned");
}

#[test]
fn a_prefix_is_another_name() {
    let mut names = Interner::new(NameHasher::random());
    let all: Vec<Id> = (1..=60).map(|length| id(&"A".repeat(length))).collect();
    let mut numbers: Vec<Local> = all.iter().map(|id| names.intern(id)).collect();
    numbers.dedup();
    assert_eq!(numbers.len(), 60, "A packs to zero bits");
}
