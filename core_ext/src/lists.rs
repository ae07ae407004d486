//! Lists that Python gives: ids, and events. An error says the position.

use std::marker::PhantomData;
use std::time::{Duration, Instant};

use fanout_engine::{Ids, Result};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyString, PyTuple};

use crate::arguments::{bytes_of, natural_of, string_of};
use crate::errors::CoreError;
use crate::gil::{give_way, released_unless};
use crate::mismatch::{changed_size, no_text, or_wrong_type, wrong_length, wrong_type};
use crate::names::Name;

/// After a list was read for so long, other threads get the GIL once: after 70,000 ids that lie in order in memory.
const READING: Duration = Duration::from_micros(900);

/// The clock is read once for so many ids: some 0.05 ms if they lie in order in memory, and 1 ms if they are scattered
/// over hundreds of megabytes.
const STEP: usize = 4096;

/// So many ids are packed, and a user's change or a lookup of as many channels is done, in some ten microseconds.
pub const FEW_IDS: usize = 64;

/// So many bytes of packed ids are read in a microsecond, and have at most [`FEW_IDS`] where these are of a usual
/// length.
const FEW_PACKED: usize = 1024;

/// An event longer than this is validated without the GIL; a shorter one costs less than handing the GIL over. Its
/// targets do not count: they share its payload, so each costs the same few nanoseconds whatever its length.
pub const LONG_EVENT: usize = 16 << 10;

/// So many short events are routed in some ten microseconds.
const FEW_EVENTS: usize = 8;

/// Whether routing events takes so little that the GIL stays: their number, and the bytes of their payloads.
pub fn are_few(events: usize, bytes: usize) -> bool {
    events <= FEW_EVENTS && bytes <= LONG_EVENT
}

/// The ids of an iterable of strings, and work with them; `what` names the argument in errors.
///
/// Each time the GIL is released, a busy thread may take it and keep it for 5 ms. So ids are read and packed with the
/// GIL, at some 12 ns each, and it is released once a millisecond. To copy them and pack them without the GIL takes more
/// time in all (a login of 100,000 channels 5.5 instead of 5.2 ms of processor time) and 14 releases instead of 2.
///
/// If another thread replaces items of the list meanwhile, each part is read as it is at its turn. With at most
/// [`FEW_IDS`] and `brief` work the GIL stays.
pub fn with_ids<T: Send>(
    iterable: &Bound<'_, PyAny>,
    what: &'static str,
    brief: bool,
    work: impl Send + FnOnce(Ids) -> Result<T>,
) -> PyResult<T> {
    let py = iterable.py();
    let list = listed_strings(iterable, what)?;
    let (mut ids, mut begun) = (Ids::with_capacity(list.len()), Instant::now());
    each(&list, what, |index, item| {
        let text = item.extract::<&str>().map_err(|_| not_an_id(&item, what, index))?;
        ids.push(text.as_bytes(), what).map_err(CoreError::from)?;
        if ids.len().is_multiple_of(STEP) && begun.elapsed() >= READING {
            give_way(py, || ());
            begun = Instant::now();
        }
        Ok(())
    })?;
    let few = brief && ids.len() <= FEW_IDS;
    Ok(released_unless(few, py, || work(ids))?)
}

/// [`with_ids`] for ids that are packed, as `Engine.packed_channels` returns them: with a space between them.
///
/// Nothing of Python is read, so long ones are read without the GIL.
pub fn with_packed_ids<T: Send>(
    packed: &Bound<'_, PyBytes>,
    what: &'static str,
    brief: bool,
    work: impl Send + FnOnce(Ids) -> Result<T>,
) -> PyResult<T> {
    let bytes = packed.as_bytes();
    let few = brief && bytes.len() <= FEW_PACKED;
    Ok(released_unless(few, packed.py(), || work(unpacked(bytes, what)?))?)
}

fn unpacked(packed: &[u8], what: &'static str) -> Result<Ids> {
    if packed.is_empty() {
        return Ok(Ids::default());
    }
    let parts = || packed.split(|byte| *byte == b' ');
    let mut ids = Ids::with_capacity(parts().count());
    parts().try_for_each(|id| ids.push(id, what))?;
    Ok(ids)
}

#[cold]
fn not_an_id(item: &Bound<'_, PyAny>, what: &str, index: usize) -> PyErr {
    let place = format_args!("{what}[{index}]");
    match item.cast::<PyString>() {
        Ok(string) => no_text(place, string),
        Err(_) => wrong_type(place, "a str", item),
    }
}

/// The items of an iterable that is not one string, at once.
fn listed_strings<'py>(iterable: &Bound<'py, PyAny>, what: &str) -> PyResult<Bound<'py, PyList>> {
    if iterable.is_instance_of::<PyString>() {
        return Err(PyTypeError::new_err(format!("{what} must be an iterable of ids, not one string")));
    }
    listed(iterable, what, "an iterable of ids")
}

/// The items of an iterable, at once: before other threads run, unless the iterable itself lets them.
fn listed<'py>(iterable: &Bound<'py, PyAny>, what: &str, expected: &str) -> PyResult<Bound<'py, PyList>> {
    if let Ok(list) = iterable.cast::<PyList>() {
        return Ok(list.clone());
    }
    let items = iterable.try_iter().map_err(|error| or_wrong_type(error, what, expected, iterable))?;
    // `list(items)` would first take memory for as many items as the iterable says that it has.
    let list = PyList::empty(iterable.py());
    for item in items {
        list.append(item?)?;
    }
    Ok(list)
}

/// Call `item` for each item of a list, with its index.
///
/// Other threads run where `item` lets them or calls Python code. If the list is then made longer or shorter, items may
/// be missed or come twice, so that is an error.
fn each<'py>(
    list: &Bound<'py, PyList>,
    what: &str,
    mut item: impl FnMut(usize, Bound<'py, PyAny>) -> PyResult<()>,
) -> PyResult<()> {
    let length = list.len();
    list.iter().enumerate().try_for_each(|(index, object)| item(index, object))?;
    if list.len() == length { Ok(()) } else { Err(changed_size(what)) }
}

/// The strings of an iterable.
pub fn strings<'py>(iterable: &Bound<'py, PyAny>, what: &str) -> PyResult<Vec<Bound<'py, PyString>>> {
    let items = listed_strings(iterable, what)?;
    items.iter().enumerate().map(|(index, item)| string_of(&item, format_args!("{what}[{index}]"))).collect()
}

/// Call `item` for each item of a sequence of tuples, and collect the results.
pub fn items<'py, T>(
    sequence: &Bound<'py, PyAny>,
    what: &str,
    mut item: impl FnMut(usize, &Bound<'py, PyTuple>) -> PyResult<T>,
) -> PyResult<Vec<T>> {
    if sequence.is_instance_of::<PyString>() || sequence.is_instance_of::<PyBytes>() {
        return Err(wrong_type(what, "a sequence of tuples", sequence));
    }
    collected(sequence, what, "a sequence of tuples", |index, object| {
        let tuple = object.cast::<PyTuple>();
        item(index, tuple.map_err(|_| wrong_type(format_args!("{what}[{index}]"), "a tuple", &object))?)
    })
}

fn collected<'py, T>(
    sequence: &Bound<'py, PyAny>,
    what: &str,
    expected: &str,
    mut item: impl FnMut(usize, Bound<'py, PyAny>) -> PyResult<T>,
) -> PyResult<Vec<T>> {
    let list = listed(sequence, what, expected)?;
    let mut items = Vec::with_capacity(list.len());
    each(&list, what, |index, object| {
        items.push(item(index, object)?);
        Ok(())
    })?;
    Ok(items)
}

/// The integers of a sequence.
pub struct Naturals<N, T>(pub Vec<T>, PhantomData<N>);

/// The numbers of sockets in a sequence.
pub type SocketNumbers<N> = Naturals<N, u32>;

impl<N, T> Default for Naturals<N, T> {
    fn default() -> Self {
        Self(Vec::new(), PhantomData)
    }
}

impl<N: Name, T: TryFrom<u64>> FromPyObject<'_, '_> for Naturals<N, T> {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        let number = |index, item: Bound<'_, PyAny>| natural_of(&item, format_args!("{}[{index}]", N::NAME));
        Ok(Self(collected(&object, N::NAME, "a sequence of ints", number)?, PhantomData))
    }
}

/// (channel, event) as `Engine.route_many` gets it.
pub type Event<'py> = (Bound<'py, PyString>, Bound<'py, PyBytes>);

/// The events of a sequence of (channel, event).
pub fn events<'py>(sequence: &Bound<'py, PyAny>) -> PyResult<Vec<Event<'py>>> {
    items(sequence, "events", |index, tuple| {
        if tuple.len() != 2 {
            return Err(wrong_length(format_args!("events[{index}]"), "(channel, event)", tuple.len()));
        }
        let channel = string_of(&tuple.get_item(0)?, format_args!("events[{index}][0]"))?;
        Ok((channel, bytes_of(&tuple.get_item(1)?, format_args!("events[{index}][1]"))?))
    })
}

/// Events as the engine takes them.
pub fn borrow_events<'a>(events: &'a [Event<'_>]) -> PyResult<Vec<(&'a str, &'a [u8])>> {
    let borrow = |(index, (channel, event)): (usize, &'a Event<'_>)| {
        let channel_text = channel.to_str().map_err(|_| no_text(format_args!("events[{index}][0]"), channel))?;
        Ok((channel_text, event.as_bytes()))
    };
    events.iter().enumerate().map(borrow).collect()
}
