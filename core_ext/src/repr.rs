//! The `repr` of the module's objects. It is short, whatever they hold.

use std::fmt::Display;

use fanout_engine::shortened;

/// The most bytes of an event that are shown.
const SHOWN_BYTES: usize = 40;

/// An object by its class and some of its values.
pub fn object<'a>(class: &str, values: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let values: Vec<String> = values.into_iter().map(|(name, value)| format!(" {name}={value}")).collect();
    format!("<fanout.{class}{}>", values.concat())
}

/// A number or a word.
pub fn plain(value: impl Display) -> String {
    value.to_string()
}

/// A yes or no.
pub fn truth(value: bool) -> String {
    plain(if value { "True" } else { "False" })
}

/// A text that may be missing.
pub fn text(text: Option<&str>) -> String {
    text.map_or_else(|| plain("None"), shortened)
}

/// The start of some bytes.
pub fn bytes(bytes: &[u8]) -> String {
    let shown = bytes.get(..SHOWN_BYTES).unwrap_or(bytes);
    format!("b'{}'{}", shown.escape_ascii(), if shown.len() < bytes.len() { "..." } else { "" })
}
