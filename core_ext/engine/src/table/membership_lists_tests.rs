use std::collections::BTreeSet;
use std::iter::successors;

use proptest::collection::{btree_set, vec};
use proptest::prelude::*;

use super::*;

/// Lengths of lists close to those at which a block begins or is divided.
const BORDERS: [usize; 14] = [0, 1, 2, 3, 511, 512, 513, 1_023, 1_024, 1_025, 1_535, 1_536, 1_537, 2_049];

fn id() -> impl Strategy<Value = Channel> {
    prop_oneof![
        0..50_u32,
        any::<u32>(),
        (0..4096_u32).prop_map(|shard| shard << LOCAL_BITS),
        (0..50_u32).prop_map(|distance| u32::MAX - distance),
        (0..2_000_u32).prop_map(|local| 7 << LOCAL_BITS | local),
    ]
}

/// Ids as in a table: hashes select the shard, and the numbers in a shard rise.
fn even_ids(count: u32, seed: u32) -> BTreeSet<Channel> {
    let hashes = successors(Some(seed), |hash| Some(hash.wrapping_mul(1_664_525).wrapping_add(1_013_904_223)));
    let mixed = hashes.map(|hash| (hash ^ hash >> 15).wrapping_mul(0x2c1b_3c6d)).map(|hash| hash ^ hash >> 12);
    let mut ids = BTreeSet::new();
    for hash in mixed {
        if ids.len() == count as usize {
            break;
        }
        ids.insert(((hash >> LOCAL_BITS) << LOCAL_BITS) + hash % LOCALS % 4_900);
    }
    ids
}

/// The checks of a list after each change.
fn check(list: &MembershipList, model: &BTreeSet<Channel>) {
    let ids: Vec<Channel> = model.iter().copied().collect();
    assert_eq!(list.len(), ids.len());
    assert_eq!(list.ids(), ids);
    let (mut each, mut block) = (Vec::new(), Vec::new());
    list.each(&mut block, |id| each.push(id));
    assert_eq!(each, ids);
    let slices = successors(Some(list.after(None)), |slice| slice.last().map(|&last| list.after(Some(last))));
    assert!(slices.flatten().eq(ids));
    assert!(list.blocks().all(|block| block.len() < 2 * BLOCK));
    let allocated = if list.0.is_empty() { 0 } else { (size_of_val(&*list.0) + 16).next_multiple_of(8) };
    assert_eq!(list.bytes(), allocated);
}

fn list_of(model: &BTreeSet<Channel>) -> MembershipList {
    MembershipList::of(&model.iter().copied().collect::<Vec<_>>())
}

proptest! {
    #[test]
    fn a_list_is_a_sorted_set(start in btree_set(id(), 0..2_000), changes in vec((id(), any::<bool>()), 0..200)) {
        let (mut list, mut model) = (list_of(&start), start);
        check(&list, &model);
        for (id, insert) in changes {
            let changed = if insert { model.insert(id) } else { model.remove(&id) };
            prop_assert_eq!(if insert { list.insert(id) } else { list.remove(id) }, changed);
            prop_assert_eq!(list.len(), model.len());
        }
        check(&list, &model);
    }

    #[test]
    fn what_follows_any_id_is_found(model in btree_set(id(), 0..2_000), last in id()) {
        let after = list_of(&model).after(Some(last));
        let expected = model.range(last..).copied().filter(|&id| id != last);
        prop_assert!(expected.clone().take(after.len()).eq(after.iter().copied()));
        prop_assert_eq!(after.is_empty(), expected.count() == 0);
    }

    #[test]
    fn an_id_is_counted_without_those_unused_and_back(id: u32, local in 0..LOCALS) {
        let span = Span::over(local.max(id % LOCALS));
        prop_assert!(span.bound() > id % LOCALS && span.bound() <= LOCALS);
        prop_assert_eq!(span.ids()(span.code_of(id)), id);
    }
}

#[test]
fn lists_of_every_shape_and_length_are_what_they_were_made_of() {
    for count in BORDERS {
        #[expect(clippy::cast_possible_truncation, reason = "a short list")]
        let numbers = 0..count as u32;
        check(&list_of(&numbers.clone().collect()), &numbers.clone().collect());
        for id_of in [
            |number| u32::MAX - number,
            |number| number * 2_000_000,
            |number| 1_023 * LOCALS + number * 2_000,
            |number| number % 2 * (u32::MAX - LOCALS) + number,
            |number| number << 20,
        ] {
            let model = numbers.clone().map(|number: u32| id_of(number % 2_000)).collect();
            check(&list_of(&model), &model);
        }
        check(&list_of(&even_ids(numbers.end, 1)), &even_ids(numbers.end, 1));
    }
}

#[test]
fn lists_change_at_the_borders_of_their_blocks() {
    for count in BORDERS {
        #[expect(clippy::cast_possible_truncation, reason = "a short list")]
        let model = even_ids(count as u32, 2);
        let positions = [0, 1, 510, 511, 512, 513, 1_023, 1_024, 1_535, count / 2, count.saturating_sub(1)];
        let near = positions.iter().filter_map(|&position| model.iter().nth(position).copied());
        for id in near.flat_map(|id| [id - 1, id, id + 1]).chain([0, u32::MAX]) {
            let (mut list, mut changed) = (list_of(&model), model.clone());
            assert_eq!(list.insert(id), changed.insert(id));
            check(&list, &changed);
            assert_eq!((list.remove(id), changed.remove(&id)), (true, true));
            check(&list, &changed);
            assert!(!list.remove(id));
        }
    }
}

#[test]
fn blocks_are_cut_as_they_grow_and_go_when_empty() {
    let mut list = MembershipList::default();
    for id in 0..5_000 {
        assert!(list.insert(id * 7));
    }
    assert!(list.blocks().count() > 4 && list.blocks().all(|block| block.len() < 2 * BLOCK));
    assert!((0..5_000).all(|id| list.remove(id * 7)));
    assert_eq!((list.bytes(), list.blocks().count()), (0, 0));
}

#[test]
fn the_other_blocks_stay_as_they_are() {
    let model = even_ids(3_000, 3);
    let mut list = list_of(&model);
    let codes = |list: &MembershipList| list.blocks().map(|block| block.codes.to_vec()).collect::<Vec<_>>();
    let before = codes(&list);
    assert!(list.insert(model.iter().nth(1_200).unwrap() + 1));
    let after = codes(&list);
    let changed: Vec<usize> = (0..before.len()).filter(|&position| before[position] != after[position]).collect();
    assert_eq!((before.len(), after.len(), changed), (6, 6, vec![2]));
}

#[test]
fn a_clone_is_the_same_until_one_is_changed() {
    let list = MembershipList::of(&[1, 2, 3]);
    let mut clone = list.clone();
    assert!(!clone.insert(2) && clone.is_same(&list));
    assert!(clone.insert(4) && !clone.is_same(&list));
    assert_eq!((list.ids(), clone.ids()), (vec![1, 2, 3], vec![1, 2, 3, 4]));
    assert!(!MembershipList::of(&[1, 2, 3]).is_same(&list));
}

#[test]
fn a_membership_takes_two_bytes_all_included() {
    let bytes: usize = (0..100).map(|seed| list_of(&even_ids(300, seed)).bytes()).sum();
    assert!(bytes * 10 < 100 * 300 * 22, "{bytes} bytes");
}

#[test]
fn a_list_of_one_fits_the_smallest_allocation() {
    assert_eq!([0, 5, u32::MAX].map(|id| MembershipList::of(&[id]).bytes()), [24; 3]);
}
