//! The fences: what may stand where. Each keeps a decision from being undone by an import.
//!
//! | fence | why |
//! |---|---|
//! | libvpx only in `encoder/vp8.rs` | one safe wrapper knows its rules of lifetime |
//! | `webrtc`, `rtc` only under `viewer/` | the media stack can be exchanged in one place |
//! | `v4l`, `libcamera`, `turbojpeg` only under `capture/` | so can the camera libraries |
//! | `session.rs`, `admission.rs`, `room.rs`, `pace.rs` without tokio and clock | pure rules, tested without waiting |
//! | the sealing out of the server's reach | what it has no code for, it cannot open |
//! | certificate fingerprints are checked | it is what ties the media to the sealed descriptions |
//! | `unsafe` only at the C libraries, with its reason | everything else is checked by the compiler |
//! | no `unsafe` can be allowed in what faces the network first | `forbid` in the manifests of `signal-*` |
//! | 500 lines of code in a file | a file has one job that its name tells |
//! | every dependency has a line in the decision record | what is not worth a line is not worth its weight |

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::source_text::{Language, Source, Word};

const LIBVPX: &str = "camera-fw/src/encoder/vp8.rs";
const VIEWER: &str = "camera-fw/src/viewer/";
const CAPTURE: &str = "camera-fw/src/capture/";
const FFI: [&str; 3] = [LIBVPX, "camera-fw/src/capture/v4l2/ioctl.rs", "camera-fw/src/capture/libcamera/memory.rs"];
const FORBIDS_UNSAFE: [&str; 3] =
    ["signal-srv/Cargo.toml", "signal-srv/load/Cargo.toml", "signal-srv/proto/Cargo.toml"];
const SERVER: &str = "signal-srv/src/";
const SERVER_MANIFEST: &str = "signal-srv/Cargo.toml";
const DEPENDENCIES: &str = "docs/adr/0001-dependencies.md";
/// A manifest, and what the decision record calls its crate.
const MANIFESTS: [(&str, &str); 5] = [
    ("camera-fw/Cargo.toml", "camera"),
    ("signal-srv/Cargo.toml", "server"),
    ("signal-srv/load/Cargo.toml", "load"),
    ("signal-srv/proto/Cargo.toml", "proto"),
    ("xtask/Cargo.toml", "xtask"),
];
const LINES_OF_CODE: usize = 500;
const REASON_FOR_LENGTH: &str = "Long because:";
const REASON_FOR_UNSAFE: &str = "SAFETY:";

/// Something on the wrong side of a fence.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    file: String,
    /// Counted from 1; 0 is the file as a whole.
    line: usize,
    what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file, self.what),
            line => write!(f, "{}:{line}: {}", self.file, self.what),
        }
    }
}

/// Every violation in the repository at `root`.
pub(crate) fn check(root: &Path) -> Result<Vec<Violation>> {
    let mut files = Vec::new();
    collect(root, &mut files)?;
    files.sort();
    let mut violations = Vec::new();
    for path in files {
        let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().replace('\\', "/");
        let read = || fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()));
        if let Some(language) = language_of(&name) {
            violations.extend(check_source(&name, &read()?, language));
        } else if FORBIDS_UNSAFE.contains(&name.as_str()) {
            violations.extend(check_manifest(&name, &read()?));
        }
        if name == SERVER_MANIFEST {
            violations.extend(check_server_manifest(&name, &read()?));
        }
    }
    let read = |name: &str| fs::read_to_string(root.join(name)).with_context(|| format!("cannot read {name}"));
    let mut used = Vec::new();
    for (manifest, crate_name) in MANIFESTS {
        used.extend(dependencies_of(&read(manifest)?, crate_name));
    }
    violations.extend(check_dependencies(&used, &read(DEPENDENCIES)?));
    Ok(violations)
}

/// The direct dependencies of a manifest, each with its user: `server`, or `(server)` if only tests use it.
fn dependencies_of(manifest: &str, crate_name: &str) -> Vec<(String, String)> {
    let (mut normal, mut dev) = (Vec::new(), Vec::new());
    let mut section = "";
    for line in manifest.lines().map(str::trim) {
        if line.starts_with('[') {
            section = line;
            continue;
        }
        let Some((key, _)) = line.split_once('=').filter(|_| !line.starts_with('#')) else { continue };
        let name = key.trim().split('.').next().unwrap_or_default().to_owned();
        match section {
            "[dependencies]" => normal.push(name),
            "[dev-dependencies]" => dev.push(name),
            _ => {}
        }
    }
    dev.retain(|name| !normal.contains(name));
    let normal = normal.into_iter().map(|name| (name, crate_name.to_owned()));
    normal.chain(dev.into_iter().map(|name| (name, format!("({crate_name})")))).collect()
}

/// The decision record against what is used; both ways.
fn check_dependencies(used: &[(String, String)], record: &str) -> Vec<Violation> {
    let recorded: Vec<(String, String)> = record
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| `")?.split('|').map(str::trim);
            Some((cells.next()?.trim_end_matches('`').to_owned(), cells.next()?.to_owned()))
        })
        .flat_map(|(name, users)| users.split(", ").map(|user| (name.clone(), user.to_owned())).collect::<Vec<_>>())
        .collect();
    let violation = |what| Violation { file: DEPENDENCIES.to_owned(), line: 0, what };
    let missing = used.iter().filter(|entry| !recorded.contains(entry));
    let unused = recorded.iter().filter(|entry| !used.contains(entry));
    missing
        .map(|(name, user)| violation(format!("`{name}` in {user} has no line")))
        .chain(unused.map(|(name, user)| violation(format!("`{name}` is not used in {user}"))))
        .collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let entry = entry.with_context(|| format!("cannot list {}", folder.display()))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if entry.file_type().with_context(|| format!("cannot look at {name}"))?.is_dir() {
            if !name.starts_with('.') && name != "target" && name != "node_modules" {
                collect(&entry.path(), files)?;
            }
        } else {
            files.push(entry.path());
        }
    }
    Ok(())
}

fn language_of(name: &str) -> Option<Language> {
    match Path::new(name).extension()?.to_str()? {
        "rs" => Some(Language::Rust),
        "js" | "mjs" => Some(Language::JavaScript),
        "css" => Some(Language::Css),
        _ => None,
    }
}

fn check_manifest(name: &str, text: &str) -> Option<Violation> {
    let forbids = text.lines().any(|line| line.replace(' ', "").starts_with("unsafe_code=\"forbid\""));
    (!forbids).then(|| Violation {
        file: name.to_owned(),
        line: 0,
        what: "must forbid unsafe code: `unsafe_code = \"forbid\"` under [lints.rust]".to_owned(),
    })
}

fn check_server_manifest(name: &str, text: &str) -> Option<Violation> {
    let product = text.split("[dev-dependencies]").next().unwrap_or_default();
    let line = product.lines().position(|line| line.starts_with("signal-proto") && line.contains("seal"))?;
    let what = "the server must be built without the feature `seal`: what it relays is not for it to open".to_owned();
    Some(Violation { file: name.to_owned(), line: line + 1, what })
}

fn check_source(name: &str, text: &str, language: Language) -> Vec<Violation> {
    let source = Source::new(text, language);
    let mut found: Vec<(usize, String)> = Vec::new();
    if language == Language::Rust {
        // Tests may play the other side with the same libraries.
        let is_product = name.contains("/src/");
        for word in source.words() {
            if is_product {
                found.extend(library_out_of_place(name, &word).map(|what| (word.line + 1, what)));
            }
            if is_pure(name) && !source.in_tests[word.line] {
                found.extend(impurity(&word).map(|what| (word.line + 1, what)));
            }
            if word.text == "unsafe" {
                found.extend(unsafe_out_of_place(name, &word, &source).map(|what| (word.line + 1, what)));
            }
        }
    }
    let lines = source.lines_of_code();
    if lines > LINES_OF_CODE && !source.comments.iter().any(|line| line.contains(REASON_FOR_LENGTH)) {
        let what = format!("{lines} lines of code, more than {LINES_OF_CODE}, and no `// {REASON_FOR_LENGTH} …`");
        found.push((0, what));
    }
    found.into_iter().map(|(line, what)| Violation { file: name.to_owned(), line, what }).collect()
}

fn library_out_of_place(name: &str, word: &Word<'_>) -> Option<String> {
    let text = word.text;
    if text == "seal" && name.starts_with(SERVER) {
        return Some("the sealing in the server: what it relays is not for it to open".to_owned());
    }
    if text.contains("disable_certificate_fingerprint_verification") {
        return Some("a certificate that is not checked against its fingerprint (RFC 8827 §5.1)".to_owned());
    }
    if (text.starts_with("vpx_") || text == "env_libvpx_sys") && name != LIBVPX {
        return Some(format!("`{text}` of libvpx outside {LIBVPX}"));
    }
    let begins_path = word.before.is_empty() && (word.after.starts_with("::") || is_imported(word));
    let home = match text {
        "webrtc" | "rtc" => VIEWER,
        "v4l" | "v4l2_sys" | "v4l2_sys_mit" | "libcamera" | "libcamera_sys" | "turbojpeg" => CAPTURE,
        _ => return None,
    };
    (begins_path && !name.starts_with(home)).then(|| format!("crate `{text}` outside {home}"))
}

/// `use webrtc;` and `use webrtc as w;` name a crate without a path behind it.
fn is_imported(word: &Word<'_>) -> bool {
    word.after.starts_with("as ")
}

fn is_pure(name: &str) -> bool {
    name.contains("/src/")
        && ["/session.rs", "/admission.rs", "/room.rs", "/pace.rs"].iter().any(|file| name.ends_with(file))
}

fn impurity(word: &Word<'_>) -> Option<String> {
    match word.text {
        "tokio" => Some("tokio in a file whose rules are pure".to_owned()),
        "SystemTime" => Some("the clock in a file whose rules are pure: time is an argument".to_owned()),
        "Instant" if word.after.replace(' ', "").starts_with("::now") => {
            Some("the clock in a file whose rules are pure: time is an argument".to_owned())
        }
        "elapsed" if word.before == "." => {
            Some("`elapsed` reads the clock in a file whose rules are pure: time is an argument".to_owned())
        }
        _ => None,
    }
}

fn unsafe_out_of_place(name: &str, word: &Word<'_>, source: &Source) -> Option<String> {
    if !FFI.contains(&name) {
        return Some(format!("`unsafe` outside {}", FFI.join(" and ")));
    }
    let takes_responsibility = word.after.is_empty() || word.after.starts_with('{') || word.after.starts_with("impl");
    (takes_responsibility && !has_reason(word.line, source))
        .then(|| format!("`unsafe` without `// {REASON_FOR_UNSAFE} …` directly above"))
}

/// On the line, or in the comment above the statement that the line belongs to.
fn has_reason(line: usize, source: &Source) -> bool {
    if source.comments[line].contains(REASON_FOR_UNSAFE) {
        return true;
    }
    for above in (0..line).rev() {
        if source.comments[above].contains(REASON_FOR_UNSAFE) {
            return true;
        }
        let code = source.code[above].trim();
        let is_blank = code.is_empty() && source.comments[above].trim().is_empty();
        if is_blank || code.ends_with([';', '{', '}']) {
            return false;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn violations(name: &str, text: &str) -> Vec<String> {
        let language = language_of(name).expect("a name with a known ending");
        check_source(name, text, language).iter().map(ToString::to_string).collect()
    }

    fn caught(name: &str, text: &str) -> bool {
        !violations(name, text).is_empty()
    }

    #[test]
    fn libvpx_stays_in_its_wrapper() {
        let text = "use vpx_sys::vpx_codec_ctx_t;";
        assert_eq!(violations("camera-fw/src/encoder/mod.rs", text).len(), 2);
        assert!(caught("camera-fw/src/pipeline.rs", "use env_libvpx_sys as ffi;"));
        assert!(!caught(LIBVPX, text));
        assert!(!caught("camera-fw/src/encoder/mod.rs", "/// [`vpx_codec_encode`]\nfn f() { g(\"vpx_x\") }"));
    }

    #[test]
    fn webrtc_stays_with_the_viewers() {
        for text in
            ["use webrtc::track::Track;", "let a = rtc::sdp::parse();", "use {std::fmt, rtc::x};", "use rtc as r;"]
        {
            assert!(caught("camera-fw/src/agent.rs", text), "{text}");
            assert!(!caught("camera-fw/src/viewer/connection.rs", text), "{text}");
        }
        assert!(!caught("camera-fw/src/agent.rs", "use crate::viewer::rtc::x; // webrtc::y"));
        assert!(!caught("camera-fw/tests/two_viewers.rs", "use webrtc::track::Track;"));
    }

    #[test]
    fn the_server_cannot_open_what_it_relays() {
        assert!(caught("signal-srv/src/hub.rs", "use signal_proto::seal::Channel;"));
        assert!(!caught("camera-fw/src/agent.rs", "use signal_proto::seal::Channel;"));
        let manifest = "[dependencies]\nsignal-proto = { workspace = true, features = [\"seal\"] }\n";
        assert!(check_server_manifest(SERVER_MANIFEST, manifest).is_some());
        assert!(check_server_manifest(SERVER_MANIFEST, "[dependencies]\nsignal-proto.workspace = true\n").is_none());
    }

    #[test]
    fn fingerprints_are_checked() {
        let text = "builder.with_disable_certificate_fingerprint_verification(true);";
        assert!(caught("camera-fw/src/viewer/connection.rs", text));
    }

    #[test]
    fn camera_libraries_stay_with_capture() {
        assert!(caught("camera-fw/src/main.rs", "use v4l::Device;"));
        assert!(caught("camera-fw/src/viewer/session.rs", "fn f() { libcamera::start() }"));
        assert!(!caught("camera-fw/src/capture/v4l2/ioctl.rs", "use v4l::Device;"));
    }

    #[test]
    fn pure_rules_know_no_runtime_and_no_clock() {
        for text in [
            "use tokio::sync::mpsc;",
            "let now = Instant::now();",
            "let now = std::time::Instant::now();",
            "use std::time::SystemTime;",
            "let age = since.elapsed();",
        ] {
            assert!(caught("signal-srv/src/room.rs", text), "{text}");
            assert!(caught("camera-fw/src/viewer/session.rs", text), "{text}");
            assert!(caught("camera-fw/src/viewer/admission.rs", text), "{text}");
            assert!(caught("camera-fw/src/encoder/pace.rs", text), "{text}");
            assert!(!caught("signal-srv/src/hub.rs", text), "{text}");
        }
        let in_tests = "fn f(now: Instant) {}\n#[cfg(test)]\nmod tests {\n    fn g() { f(Instant::now()) }\n}\n";
        assert!(!caught("signal-srv/src/room.rs", in_tests));
    }

    #[test]
    fn unsafe_stays_at_the_c_libraries() {
        let text = "fn f() {\n    // SAFETY: the pointer is ours.\n    unsafe { g() }\n}";
        assert!(caught("camera-fw/src/fanout.rs", text));
        assert!(caught("camera-fw/tests/decode.rs", text));
        assert!(!caught(LIBVPX, text));
        assert!(!caught("camera-fw/src/lib.rs", "#![deny(unsafe_code)]"));
    }

    #[test]
    fn unsafe_says_why_it_is_safe() {
        assert!(caught(LIBVPX, "fn f() {\n    unsafe { g() }\n}"));
        assert!(caught(LIBVPX, "unsafe impl Send for X {}"));
        assert!(caught(LIBVPX, "fn f() {\n    // SAFETY: for the first.\n    unsafe { g() };\n    unsafe { h() }\n}"));
        assert!(!caught(
            LIBVPX,
            "fn f() {\n    // SAFETY: ours alone,\n    // as it is not shared.\n    let x =\n        unsafe { g() };\n}"
        ));
        assert!(!caught(LIBVPX, "// SAFETY: moved, never shared.\nunsafe impl Send for X {}"));
        assert!(!caught(LIBVPX, "type F = unsafe extern \"C\" fn(i32);"));
    }

    #[test]
    fn the_servers_manifests_forbid_unsafe() {
        assert!(check_manifest("signal-srv/Cargo.toml", "[lints.rust]\nunsafe_code = \"deny\"\n").is_some());
        assert!(check_manifest("signal-srv/Cargo.toml", "[lints.rust]\nunsafe_code = \"forbid\"\n").is_none());
    }

    #[test]
    fn dependencies_and_their_record_agree() {
        let manifest = "[package]\nname = \"x\"\n[dependencies]\nanyhow.workspace = true\n# a = 1\nv4l = \"0.14\"\n\
             [dev-dependencies]\nproptest = { version = \"1\" }\nv4l = \"0.14\"\n";
        let used = dependencies_of(manifest, "camera");
        let pair = |name: &str, user: &str| (name.to_owned(), user.to_owned());
        assert_eq!(used, [pair("anyhow", "camera"), pair("v4l", "camera"), pair("proptest", "(camera)")]);

        let record = "| dependency | in | what |\n|---|---|---|\n| `anyhow` | camera | a |\n| `v4l` | camera | b |\n";
        assert_eq!(check_dependencies(&used[..2], record), []);
        assert_eq!(check_dependencies(&used, record).len(), 1, "proptest has no line");
        assert_eq!(check_dependencies(&used[..1], record).len(), 1, "v4l is not used");
    }

    #[test]
    fn long_files_say_why() {
        let long = "a();\n".repeat(501);
        assert!(caught("camera-fw/src/agent.rs", &long));
        assert!(caught("signal-srv/web/main.js", &long));
        assert!(!caught("camera-fw/src/agent.rs", &"a();\n".repeat(500)));
        assert!(!caught("camera-fw/src/agent.rs", &format!("// Long because: one table.\n{long}")));
        assert!(!caught("camera-fw/src/agent.rs", &format!("#[cfg(test)]\nmod tests {{\n{long}}}\n")));
        assert!(!caught("camera-fw/src/agent.rs", &"// a\n\n".repeat(600)));
    }

    #[test]
    fn a_violation_names_its_place() {
        assert_eq!(
            violations("signal-srv/src/room.rs", "\nuse tokio::sync::mpsc;\n"),
            ["signal-srv/src/room.rs:2: tokio in a file whose rules are pure"]
        );
    }
}
