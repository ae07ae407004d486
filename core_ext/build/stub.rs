//! Takes the documentation of the compiled module out of its stub, so that `help()` and editors show the same text.

use std::fs;
use std::path::Path;

/// Write the docstring of each class, method and function of a stub to a file of its own, named `Class.method`. The
/// folder is emptied first, so that the module cannot include a docstring that the stub has no more.
pub fn write_docstrings(stub: &Path, folder: &Path) {
    println!("cargo::rerun-if-changed={}", stub.display());
    if folder.exists() {
        fs::remove_dir_all(folder).expect("cargo's folder can be written");
    }
    fs::create_dir_all(folder).expect("cargo's folder can be written");
    let text = fs::read_to_string(stub).expect("the stub is readable");
    for (name, docstring) in docstrings(&text) {
        fs::write(folder.join(name), docstring).expect("cargo's folder can be written");
    }
}

/// Each docstring by the dotted name of what it is about; the stub is formatted by ruff, so four spaces are one level.
fn docstrings(stub: &str) -> Vec<(String, String)> {
    let (mut found, mut class, mut name) = (Vec::new(), String::new(), None);
    let mut lines = stub.lines();
    while let Some(line) = lines.next() {
        let (code, indented) = (line.trim_start(), line.starts_with(' '));
        if !indented && !line.is_empty() {
            class.clear();
        }
        if let Some(begun) = code.strip_prefix("\"\"\"") {
            let docstring = docstring(begun, &mut lines);
            if let Some(name) = name.take() {
                found.push((name, docstring));
            }
        } else if let Some(declared) = code.strip_prefix("class ") {
            class = identifier(declared);
            name = Some(class.clone());
        } else if let Some(declared) = code.strip_prefix("def ") {
            name = Some(qualified(&class, indented, declared));
        } else if code.split_once(": ").is_some_and(|(field, _)| identifier(field) == field)
            && line.find(code) <= Some(4)
        {
            name = Some(qualified(&class, indented, code));
        }
    }
    found
}

/// The text of a docstring that has begun, up to its closing quotes, without the indentation of its lines.
fn docstring<'a>(begun: &'a str, lines: &mut impl Iterator<Item = &'a str>) -> String {
    if let Some(whole) = begun.strip_suffix("\"\"\"") {
        return whole.to_owned();
    }
    let mut rest = Vec::new();
    for line in lines {
        let line = line.trim_end();
        match line.strip_suffix("\"\"\"") {
            Some(last) => {
                rest.push(last);
                break;
            }
            None => rest.push(line),
        }
    }
    let depth = |line: &&str| line.len() - line.trim_start().len();
    let margin = rest.iter().filter(|line| !line.trim().is_empty()).map(depth).min().unwrap_or(0);
    let dedented = rest.iter().map(|line| line.get(margin..).unwrap_or_default());
    let text = std::iter::once(begun).chain(dedented).collect::<Vec<_>>().join("\n");
    text.trim_end().to_owned()
}

fn qualified(class: &str, indented: bool, declared: &str) -> String {
    let name = identifier(declared);
    if indented && !class.is_empty() { format!("{class}.{name}") } else { name }
}

fn identifier(text: &str) -> String {
    text.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect()
}
