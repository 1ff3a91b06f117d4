//! Holds the shape of the project: which way the arrows point, how files open and how long they are, what lies at the
//! top, and that every dependency is pinned and says what it is for.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

/// Longest source file in lines.
const LINES_MAX: usize = 600;

/// All that may lie at the top level, beside dotfiles.
const TOP: &[&str] = &[
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "SECURITY.md",
    "actors",
    "assets",
    "benches",
    "clippy.toml",
    "crdt",
    "fuzz",
    "packaging",
    "rustfmt.toml",
    "src",
    "target",
    "tests",
];

/// Dotfiles at the top level.
const DOTFILES: &[&str] = &[".cargo", ".ci", ".git", ".gitattributes", ".github", ".gitignore"];

/// What the pure crate never names.
const IMPURE: &[&str] = &[
    "tokio",
    "socket2",
    "quinn",
    "redb",
    "ractor",
    "rand::rng",
    "getrandom",
    "std::net",
    "std::fs",
    "std::io::std",
    "std::env",
    "std::process",
    "std::thread",
    "Instant::now",
    "SystemTime",
];

/// What the pure crate never depends on (its tests may have a seeded generator).
const IMPURE_CRATES: &[&str] =
    &["tokio", "socket2", "quinn", "redb", "ractor", "rand", "getrandom", "if-addrs", "if-watch", "tempfile"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// Every Rust file of the project with its path below the root.
fn sources() -> Vec<(String, String)> {
    let root = root();
    let mut found = Vec::new();
    for folder in ["src", "actors", "crdt", "tests", "benches", "fuzz", "packaging"] {
        walk(&root.join(folder), &mut found);
    }
    let relative = |p: PathBuf| p.strip_prefix(&root).unwrap().to_string_lossy().replace('\\', "/");
    let mut files: Vec<_> =
        found.into_iter().map(|p| (std::fs::read_to_string(&p).unwrap(), p)).map(|(t, p)| (relative(p), t)).collect();
    files.sort();
    assert!(files.len() > 10, "the walk finds the sources");
    files
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.flatten().map(|e| e.path()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            walk(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// The code of a line, without comments; good enough, since no string of ours holds two slashes before a banned word.
fn code(line: &str) -> &str {
    line.split_once("//").map_or(line, |(code, _)| code)
}

/// The names in a section of a manifest.
fn dependencies(manifest: &str, section: &str) -> Vec<String> {
    let text = std::fs::read_to_string(root().join(manifest)).unwrap();
    let mut inside = false;
    let mut names = Vec::new();
    for line in text.lines() {
        if line.starts_with('[') {
            inside = line.trim() == section;
        } else if inside && !line.starts_with('#') && line.contains('=') {
            names.push(line.split(['=', '.', ' ']).next().unwrap_or_default().to_owned());
        }
    }
    assert!(!names.is_empty(), "{manifest} has a section {section}");
    names
}

fn offences(what: impl Fn(&str, &str) -> Option<String>) {
    let bad: Vec<String> = sources().iter().filter_map(|(path, text)| what(path, text)).collect();
    assert!(bad.is_empty(), "\n{}", bad.join("\n"));
}

/// The first line of code in which one of the words stands.
fn names(path: &str, text: &str, words: &[&str]) -> Option<String> {
    text.lines().enumerate().find_map(|(n, line)| {
        let word = words.iter().find(|w| code(line).contains(**w))?;
        Some(format!("{path}:{}: {word}: {}", n + 1, line.trim()))
    })
}

#[test]
fn the_pure_crate_is_pure() {
    offences(|path, text| path.starts_with("crdt/src/").then(|| names(path, text, IMPURE)).flatten());
    let impure: Vec<String> = dependencies("crdt/Cargo.toml", "[dependencies]")
        .into_iter()
        .filter(|d| IMPURE_CRATES.contains(&d.as_str()))
        .collect();
    assert!(impure.is_empty(), "crdt depends on {impure:?}");
}

#[test]
fn panics_are_caught_in_one_place() {
    // Else they would print, or hide faults of our own.
    let word = concat!("catch_", "unwind(");
    offences(|path, text| {
        let product = ["src/", "actors/src/", "crdt/src/"].iter().any(|f| path.starts_with(f));
        (product && path != "crdt/src/contained.rs").then(|| names(path, text, &[word])).flatten()
    });
}

#[test]
fn the_arrows_go_one_way() {
    offences(|path, text| {
        let banned: &[&str] = match path.split('/').next().unwrap_or_default() {
            "crdt" => &["cairn_actors", "cairn::", "egui", "eframe"],
            "actors" => &["cairn::", "egui", "eframe", "interprocess"],
            "fuzz" => &["cairn::", "egui", "eframe"],
            // Except this file, which must name what it bans.
            "tests" if path != "tests/tidy.rs" => &["egui", "eframe", "cairn_actors", "cairn_crdt"],
            _ => &[],
        };
        names(path, text, banned)
    });
    let below = |manifest: &str, banned: &[&str]| {
        let names = dependencies(manifest, "[dependencies]");
        let bad: Vec<&String> = names.iter().filter(|d| banned.contains(&d.as_str())).collect();
        assert!(bad.is_empty(), "{manifest} depends on {bad:?}");
    };
    below("crdt/Cargo.toml", &["cairn", "cairn-actors", "egui", "eframe"]);
    below("actors/Cargo.toml", &["cairn", "egui", "eframe", "clap", "interprocess"]);
}

#[test]
fn every_file_says_what_it_is_for() {
    offences(|path, text| {
        let opens = text.lines().next().is_some_and(|l| l.starts_with("//! ") && l.len() > 15);
        (!opens).then(|| format!("{path} does not open with `//!` and a sentence"))
    });
}

#[test]
fn no_file_is_too_long() {
    offences(|path, text| {
        let lines = text.lines().count();
        (lines > LINES_MAX).then(|| format!("{path}: {lines} lines, more than {LINES_MAX}"))
    });
}

#[test]
fn nothing_is_left_for_later() {
    // Spelt in halves, so that this file does not offend.
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X"), concat!("unimpl", "emented!")];
    let stub = concat!("to", "do!");
    offences(|path, text| {
        text.lines().enumerate().find_map(|(n, line)| {
            let mark = marks.iter().chain([&stub]).find(|m| line.contains(**m))?;
            Some(format!("{path}:{}: {mark}", n + 1))
        })
    });
}

#[test]
fn the_top_level_is_what_it_says() {
    for entry in std::fs::read_dir(root()).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let known = TOP.contains(&name.as_str()) || DOTFILES.contains(&name.as_str());
        assert!(known, "{name} does not belong at the top level");
    }
}

#[test]
fn every_dependency_is_pinned_and_explained() {
    for manifest in ["Cargo.toml", "benches/Cargo.toml", "fuzz/Cargo.toml"] {
        let Ok(text) = std::fs::read_to_string(root().join(manifest)) else { continue };
        let mut inside = false;
        for line in text.lines() {
            if line.starts_with('[') {
                inside = line.trim().ends_with("dependencies]");
            } else if inside && line.contains('=') && !line.starts_with('#') {
                let ours = ["path =", ".workspace", "workspace = true"].iter().any(|s| line.contains(s));
                assert!(ours || line.contains("\"="), "{manifest}: not pinned: {line}");
                assert!(ours || line.contains("# "), "{manifest}: does not say what it is for: {line}");
            }
        }
    }
    for member in ["crdt", "actors", "tests"] {
        let text = std::fs::read_to_string(root().join(member).join("Cargo.toml")).unwrap();
        let own = text.lines().find(|l| l.contains("version = \"") && !l.starts_with("version"));
        assert_eq!(own, None, "{member}/Cargo.toml pins on its own, not in the workspace");
    }
}

#[test]
fn our_crates_forbid_unsafe_code() {
    let text = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    assert!(text.contains("unsafe_code = \"forbid\""));
    for member in ["crdt", "actors", "tests"] {
        let text = std::fs::read_to_string(root().join(member).join("Cargo.toml")).unwrap();
        assert!(text.contains("[lints]\nworkspace = true"), "{member} takes the workspace's lints");
    }
    offences(|path, text| {
        let word = concat!("unsafe", " {");
        (path != "tests/tidy.rs" && text.contains(word)).then(|| format!("{path} has an unsafe block"))
    });
}
