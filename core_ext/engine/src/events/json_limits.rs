//! The limits of JSON that every client can read. JSON itself limits neither depth nor numbers, and allows half a
//! surrogate pair.

use memchr::memchr2;

use crate::error::{Error, Result};
use crate::events::json::Text;

/// The deepest nesting of containers. Recursive parsers fail somewhere above it.
const MAX_DEPTH: usize = 128;

/// Refuse JSON that some client cannot read: deeper nesting, a number beyond 64 bits, a surrogate without its other
/// half.
///
/// `json` was parsed before, so its syntax is valid.
pub(crate) fn check_limits(json: &str) -> Result<()> {
    let (bytes, mut position, mut depth) = (json.as_bytes(), 0, 0);
    while let Some(byte) = bytes.get(position) {
        position = match byte {
            b'"' => check_string(json, position)?,
            b'-' | b'0'..=b'9' => check_number(json, position)?,
            _ => position + 1,
        };
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth -= 1,
            _ => {}
        }
        if depth > MAX_DEPTH {
            return Err(invalid("nested too deep"));
        }
    }
    Ok(())
}

/// The end of the string that begins at `start`.
fn check_string(json: &str, start: usize) -> Result<usize> {
    let (bytes, mut end, mut escaped) = (json.as_bytes(), start + 1, false);
    while let Some(position) = memchr2(b'"', b'\\', &bytes[end..]) {
        end += position;
        if bytes[end] == b'"' {
            break;
        }
        escaped |= bytes[end + 1] == b'u';
        end += 2;
    }
    if escaped {
        let string = serde_json::from_str::<Text>(&json[start..=end]);
        string.map_err(|_| invalid("a surrogate without its other half"))?;
    }
    Ok(end + 1)
}

/// The end of the number that begins at `start`.
fn check_number(json: &str, start: usize) -> Result<usize> {
    let is_part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
    let end = start + json.as_bytes()[start..].iter().take_while(|byte| is_part(byte)).count();
    let number = &json[start..end];
    let fits = if number.contains(['.', 'e', 'E']) {
        number.parse().is_ok_and(f64::is_finite)
    } else {
        number.parse::<i64>().is_ok() || number.parse::<u64>().is_ok()
    };
    if fits { Ok(end) } else { Err(invalid("a number beyond 64 bits")) }
}

fn invalid(reason: &str) -> Error {
    Error::InvalidEvent(reason.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str) -> Result<()> {
        serde_json::from_str::<serde::de::IgnoredAny>(json).unwrap();
        check_limits(json)
    }

    #[test]
    fn what_every_reader_takes_passes() {
        let deepest = format!("{}{}", "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH));
        let brackets = format!(r#""{}""#, "[".repeat(500));
        for json in [
            r#"{"a":[1,-1.5e3,true,null,"é\n\"[\\"],"b":{}}"#,
            r"[18446744073709551615,-9223372036854775808,-0,1e308,1e-999,0.10000000000000000000000001]",
            r#"["\ud83d\ude00","\\ud800","\u0000",{"\u00e9":"99999999999999999999"}]"#,
            &deepest,
            &brackets,
        ] {
            assert_eq!(check(json), Ok(()), "{json}");
        }
    }

    #[test]
    fn what_some_reader_cannot_take_is_refused() {
        let deeper = format!("{}{}", r#"{"a":"#.repeat(MAX_DEPTH), "[]".to_owned() + &"}".repeat(MAX_DEPTH));
        let cases = [
            ("[18446744073709551616]", "beyond 64 bits"),
            ("[-9223372036854775809]", "beyond 64 bits"),
            ("[1e999]", "beyond 64 bits"),
            (r#"["\ud800"]"#, "surrogate"),
            (r#"["\udc00"]"#, "surrogate"),
            (r#"["\ud800\u0041"]"#, "surrogate"),
            (r#"{"\ud800":1}"#, "surrogate"),
            (&deeper, "too deep"),
        ];
        for (json, reason) in cases {
            let error = check(json).unwrap_err().to_string();
            assert!(error.contains(reason), "{json}: {error}");
        }
    }
}
