//! Who may log in: the key file of the boot partition. Without it nobody can, and no server listens.

use std::fs;
use std::io;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::files;
use super::problems::Problems;
use super::text;

/// On the boot partition; Windows likes to add to names.
const NAMES: [&str; 2] = ["authorized_keys", "authorized_keys.txt"];
const FOLDER: &str = "ssh";
const FILE: &str = "authorized_keys";

/// What the server knows.
const KINDS: [&str; 7] = [
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
];

/// The keys that are good; those that are not are said.
fn keys(name: &str, text: &str, problems: &mut Problems) -> String {
    let mut keys = String::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if is_key(line) {
            keys.push_str(line);
            keys.push('\n');
            continue;
        }
        if line.contains("PRIVATE KEY") {
            problems.add(format!(
                "{name}, line {number}: this is a private key, which nobody else should have; remove the file, and put \
                 the public key there (the file whose name ends in .pub)"
            ));
            break;
        }
        problems.add(format!(
            "{name}, line {number}: this is no public key; a line is like `ssh-ed25519 AAAA… name`, as it stands in the \
             file whose name ends in .pub"
        ));
        if line.starts_with("----") {
            break;
        }
    }
    keys
}

/// RFC 4253, 6.6: what is encoded begins with the name of its kind.
fn is_key(line: &str) -> bool {
    let mut words = line.split_ascii_whitespace();
    let (Some(kind), Some(encoded)) = (words.next(), words.next()) else { return false };
    let Ok(blob) = STANDARD.decode(encoded) else { return false };
    let named = blob.split_first_chunk().and_then(|(length, rest)| rest.get(..u32::from_be_bytes(*length) as usize));
    KINDS.contains(&kind) && named == Some(kind.as_bytes()) && blob.len() > kind.len() + 4
}

/// Writes the good keys for the server, or takes those of an earlier call away.
pub(super) fn write(boot: &Path, run: &Path, problems: &mut Problems) -> io::Result<()> {
    let folder = run.join(FOLDER);
    let mut all = String::new();
    for name in NAMES {
        match files::read(&boot.join(name)) {
            Ok(bytes) => all.push_str(&keys(name, &text::decode(&bytes).text, problems)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => problems.add(format!("{name} cannot be read ({error}); write it anew")),
        }
    }
    if all.is_empty() {
        return match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
    }
    tracing::info!(keys = all.lines().count(), "logging in by ssh is possible");
    files::folder(&folder, 0o700)?;
    files::put(&folder.join(FILE), &all, 0o600, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDIhz2GK/XCUj4i6Q5yQJNL1MKMY0RxzPV2QrBqfHrDq me@home";

    #[test]
    fn keys_are_taken_and_the_rest_is_named() {
        let mut problems = Problems::default();
        let text = format!(
            "# mine\n\n{KEY}\nssh-ed25519 AAAA me\nssh-dss AAAAB3NzaC1kc3M= old\nwords\nssh-rsa {}\n",
            &KEY[12..]
        );
        assert_eq!(keys("f", &text, &mut problems), format!("{KEY}\n"));
        let lines: Vec<&str> = problems.lines().iter().map(|line| &line[..9]).collect();
        assert_eq!(lines, ["f, line 4", "f, line 5", "f, line 6", "f, line 7"]);
        for (file, remedy) in [
            ("-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNz\n", "private key"),
            ("---- BEGIN SSH2 PUBLIC KEY ----\nComment: x\nAAAA\n", ".pub"),
        ] {
            let mut problems = Problems::default();
            assert_eq!(keys("f", file, &mut problems), "");
            assert_eq!(problems.lines().len(), 1, "{problems:?}");
            assert!(problems.lines()[0].contains(remedy), "{problems:?}");
        }
    }

    #[test]
    fn without_a_key_there_is_no_file() {
        let [boot, run] = std::array::from_fn(|_| tempfile::tempdir().unwrap());
        let written = run.path().join("ssh/authorized_keys");
        let mut problems = Problems::default();
        fs::write(boot.path().join("authorized_keys.txt"), format!("\u{feff}{KEY}\r\n")).unwrap();
        write(boot.path(), run.path(), &mut problems).unwrap();
        assert_eq!(fs::read_to_string(&written).unwrap(), format!("{KEY}\n"));
        fs::write(boot.path().join("authorized_keys.txt"), "\n").unwrap();
        write(boot.path(), run.path(), &mut problems).unwrap();
        assert!(!written.exists() && problems.lines().is_empty());
    }
}
