//! Puts two things into the binary: the docstrings of the stub, and a digest of the Rust sources.
//! `src/fanout/_freshness.py` computes the same digest from the checkout.

mod stub;

use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

fn main() {
    let root = folder("CARGO_MANIFEST_DIR");
    stub::write_docstrings(&root.join("../src/fanout/_core.pyi"), &folder("OUT_DIR").join("docstrings"));
    let mut sources = Vec::new();
    collect(&root, &root, &mut sources);
    sources.sort();
    println!("cargo::rustc-env=FANOUT_SOURCE_DIGEST={}", digest(&root, &sources));
}

fn folder(variable: &str) -> PathBuf {
    PathBuf::from(std::env::var(variable).expect("cargo sets it"))
}

/// Collect the paths of the sources, relative to the root. Ask cargo to watch them and their folders, where a new
/// source may appear; but not the root itself, in which cargo builds.
fn collect(root: &Path, folder: &Path, sources: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("the sources are readable") {
        let path = entry.expect("the sources are readable").path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "target") {
                println!("cargo::rerun-if-changed={}", path.display());
                collect(root, &path, sources);
            }
        } else if is_source(&path) {
            println!("cargo::rerun-if-changed={}", path.display());
            let relative = path.strip_prefix(root).expect("it is below the root");
            sources.push(relative.to_str().expect("sources have plain names").replace('\\', "/"));
        }
    }
}

fn is_source(path: &Path) -> bool {
    let named = |name: &str| path.file_name().is_some_and(|own| own == name);
    path.extension().is_some_and(|extension| extension == "rs") || named("Cargo.toml") || named("Cargo.lock")
}

/// The digest covers the length of each content too, so that moving bytes from one file to the next changes it.
fn digest(root: &Path, sources: &[String]) -> String {
    let mut hash = Sha256::new();
    for source in sources {
        let content = fs::read(root.join(source)).expect("the sources are readable");
        hash.update(format!("{source}\n{}\n", content.len()));
        hash.update(&content);
    }
    hash.finalize().iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}
