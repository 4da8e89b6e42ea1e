//! The settings file line by line: what cannot be read costs its own line.
//!
//! TOML, one `key = value` a line and one section, `[controls]`; and what people write instead of it where there is no
//! doubt what they mean: quotes that a word processor has bent, texts without quotes, numbers in quotes, `yes` and `no`.

use toml::{Table, Value};

use super::problems::Problems;

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Number,
    Flag,
    /// Of a control of the camera: a number, a word, or true or false.
    Control,
}

/// A line with a setting.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    /// Counted from 1.
    pub(super) line: usize,
    pub(super) key: String,
    /// A control of this name rather than a setting.
    pub(super) is_control: bool,
    /// What is set, or what the key takes instead; never a quotation.
    pub(super) value: Result<Value, &'static str>,
}

/// The quotes of word processors.
const BENT: [char; 12] = ['“', '”', '„', '‟', '«', '»', '‘', '’', '‚', '‛', '″', '′'];
const CONTROLS: &str = "controls";

/// Reads the lines. `kind_of` knows the settings; lines that are none are added to the problems, which never quote values:
/// any line may hold a passphrase.
pub(super) fn read(
    file: &str,
    text: &str,
    kind_of: impl Fn(&str) -> Option<Kind>,
    unknown: impl Fn(&str) -> String,
    problems: &mut Problems,
) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut in_controls = false;
    for (number, line) in (1..).zip(text.lines()) {
        let mut complain = |problem: &str| problems.add(format!("{file}, line {number}: {problem}"));
        let line = line.trim_matches(|letter: char| letter.is_whitespace() || letter == '\u{feff}' || letter == '\0');
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(header) = line.strip_prefix('[') {
            in_controls = header.split(']').next().map(str::trim) == Some(CONTROLS);
            if !in_controls {
                complain("there is no such section; the only one is [controls], and everything else stands above it");
            }
            continue;
        }
        let Some((key, value)) = line.split_once('=') else {
            complain("this is no setting; write key = value, or # in front of what is not meant for the camera");
            continue;
        };
        let key = key.trim().trim_matches(['"', '\'']);
        let key_of_control = key.strip_prefix(CONTROLS).and_then(|rest| rest.trim_start().strip_prefix('.'));
        // TOML would take what follows [controls] for one; a setting that came to stand there is still a setting.
        let (key, kind, is_control) = match (key_of_control, kind_of(key)) {
            (Some(control), _) => (control.trim(), Kind::Control, true),
            (None, Some(kind)) => (key, kind, false),
            (None, None) if in_controls => (key, Kind::Control, true),
            (None, None) => {
                complain(&unknown(key));
                continue;
            }
        };
        if let Some(first) = entries.iter().find(|entry| entry.key == key && entry.is_control == is_control) {
            let first = first.line;
            complain(&format!("{key} is set in line {first} already, which counts; remove one of the two"));
            continue;
        }
        if let Some(value) = value_of(kind, value.trim()).transpose() {
            entries.push(Entry { line: number, key: key.to_owned(), is_control, value });
        }
    }
    entries
}

/// The value; nothing for an empty text, which is how people say that something is not set.
fn value_of(kind: Kind, written: &str) -> Result<Option<Value>, &'static str> {
    let needed = match kind {
        Kind::Text => "takes a text in quotes, such as \"text\"",
        Kind::Number => "takes a whole number, such as 30",
        Kind::Flag => "takes true or false",
        Kind::Control => "takes a number, a word in quotes, or true or false",
    };
    let parsed = toml::from_str::<Table>(&format!("v = {written}")).ok().and_then(|mut table| table.remove("v"));
    let word = match parsed {
        Some(Value::String(text)) => text,
        Some(value) => {
            let fits = match kind {
                Kind::Number => value.is_integer(),
                Kind::Flag => value.is_bool(),
                Kind::Control => value.is_integer() || value.is_float() || value.is_bool(),
                Kind::Text => false,
            };
            match value {
                value if fits => return Ok(Some(value)),
                Value::Array(_) | Value::Table(_) => return Err(needed),
                // As it was written: a passphrase of digits keeps all of them.
                _ => bare(written).to_owned(),
            }
        }
        None => mended(written)?.to_owned(),
    };
    let word = if kind == Kind::Text { word.as_str() } else { word.trim() };
    if word.is_empty() {
        return Ok(None);
    }
    let flag = || match word.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Some(Value::Boolean(true)),
        "false" | "no" | "off" | "0" => Some(Value::Boolean(false)),
        _ => None,
    };
    let value = match kind {
        Kind::Text | Kind::Control => Some(Value::String(word.to_owned())),
        Kind::Number => word.parse().ok().map(Value::Integer),
        Kind::Flag => flag(),
    };
    value.map(Some).ok_or(needed)
}

/// What was meant by something that is no TOML.
fn mended(written: &str) -> Result<&str, &'static str> {
    const UNCLOSED: &str = "has no quote at its end; close the text with the quote that it begins with";
    let is_quote = |letter: char| BENT.contains(&letter) || matches!(letter, '"' | '\'' | '`');
    if !written.starts_with(is_quote) {
        return Ok(bare(written));
    }
    let inner = written.trim_start_matches(is_quote);
    let Some(end) = inner.rfind(is_quote) else { return Err(UNCLOSED) };
    let behind = inner[end..].trim_start_matches(is_quote).trim_start();
    if !behind.is_empty() && !behind.starts_with('#') {
        return Err(UNCLOSED);
    }
    if !written.contains(BENT) {
        // Straight quotes, so what is between them is wrong.
        return Err("cannot be read; in \"such quotes\" a backslash and a quote mean something else, so use 'these' \
                    around the text");
    }
    Ok(inner[..end].trim_end_matches(is_quote))
}

/// A value without quotes, and without the remark behind it.
fn bare(written: &str) -> &str {
    let end = written.find(" #").or_else(|| written.find("\t#")).unwrap_or(written.len());
    let value = written[..end].trim();
    if value.starts_with('#') { "" } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind_of(key: &str) -> Option<Kind> {
        match key {
            "text" | "other" => Some(Kind::Text),
            "fps" => Some(Kind::Number),
            "paused" => Some(Kind::Flag),
            _ => None,
        }
    }

    fn read_all(text: &str) -> (Vec<Entry>, Vec<String>) {
        let mut problems = Problems::default();
        let (good, bad): (Vec<_>, Vec<_>) = read("f", text, kind_of, |key| format!("{key} is unknown"), &mut problems)
            .into_iter()
            .partition(|entry| entry.value.is_ok());
        for Entry { line, key, value, .. } in bad {
            problems.add(format!("f, line {line}: {key} {}", value.unwrap_err()));
        }
        (good, problems.lines().to_vec())
    }

    fn value(line: &str) -> Value {
        let (entries, problems) = read_all(line);
        assert!(problems.is_empty(), "{line}: {problems:?}");
        entries.into_iter().next().unwrap_or_else(|| panic!("{line}")).value.unwrap()
    }

    fn problem(line: &str) -> String {
        let (entries, problems) = read_all(line);
        assert!(entries.is_empty() && problems.len() == 1, "{line}: {entries:?} {problems:?}");
        problems.into_iter().next().unwrap_or_default()
    }

    #[test]
    fn toml_is_read_as_toml() {
        let (entries, problems) = read_all(
            "# remark\n\n text = 'a \"b\"'  # remark\nfps=25\npaused = true\n[controls] # remark\nhue = 1.5\nfocus = \"auto\"\n",
        );
        assert!(problems.is_empty(), "{problems:?}");
        let read: Vec<_> = entries
            .iter()
            .map(|entry| (entry.line, entry.key.as_str(), entry.is_control, entry.value.clone().unwrap()))
            .collect();
        assert_eq!(
            read,
            [
                (3, "text", false, Value::String("a \"b\"".into())),
                (4, "fps", false, Value::Integer(25)),
                (5, "paused", false, Value::Boolean(true)),
                (7, "hue", true, Value::Float(1.5)),
                (8, "focus", true, Value::String("auto".into())),
            ]
        );
        assert_eq!(value("text = \"\\u00fc # no remark\""), Value::String("ü # no remark".into()));
        assert!(read_all("controls.hue = 3").0[0].is_control);
        assert!(!read_all("[controls]\nfps = 3").0[0].is_control, "a setting stays one");
        assert!(read_all("text = \"\"\nother =\nfps = # none").0.is_empty(), "not set");
    }

    #[test]
    fn what_is_meant_without_doubt_is_understood() {
        for line in [
            "text = “my home”",
            "text = „my home“ # remark",
            "text = ‘my home’",
            "text = «my home»",
            "text = \"my home”",
            "text = my home",
            "text = my home # remark",
            "\"text\" = \"my home\"",
            "\u{feff}text = \"my home\"\0",
        ] {
            assert_eq!(value(line), Value::String("my home".into()), "{line}");
        }
        assert_eq!(value("text = 0123_4"), Value::String("0123_4".into()), "as it was written");
        assert_eq!(value("text = 1_000"), Value::String("1_000".into()));
        assert_eq!(value("text = true"), Value::String("true".into()));
        assert_eq!(value("text = a#b"), Value::String("a#b".into()));
        for line in ["fps = 25", "fps = \"25\"", "fps = “25”", "fps = 025"] {
            assert_eq!(value(line), Value::Integer(25), "{line}");
        }
        for line in ["paused = yes", "paused = \"true\"", "paused = True", "paused = On", "paused = 1"] {
            assert_eq!(value(line), Value::Boolean(true), "{line}");
        }
        assert_eq!(value("controls.focus = auto"), Value::String("auto".into()));
    }

    #[test]
    fn the_rest_is_said_with_its_line_and_without_its_value() {
        for (line, remedy) in [
            ("just some words", "key = value"),
            ("[wifi]", "[controls]"),
            ("fsp = 3", "fsp is unknown"),
            ("fps = many", "whole number"),
            ("fps = 29.97", "whole number"),
            ("fps = []", "whole number"),
            ("paused = maybe", "true or false"),
            ("text = \"geheim", "no quote at its end"),
            ("text = “geheim", "no quote at its end"),
            ("text = \"geheim\" geheim", "no quote at its end"),
            ("text = \"ge\\heim\\w\"", "'these'"),
            ("text = { a = 1 }", "in quotes"),
            ("controls.hue = []", "a number, a word"),
        ] {
            let said = problem(&format!("\n{line}"));
            assert!(said.starts_with("f, line 2: ") && said.contains(remedy), "{line}: {said}");
            assert!(!said.contains("heim"), "{said}");
        }
        let (entries, problems) = read_all("fps = 1\nfps = 2\n");
        assert_eq!((entries.len(), &entries[0].value), (1, &Ok(Value::Integer(1))));
        assert!(problems[0].contains("line 2: fps is set in line 1 already"), "{problems:?}");
    }

    #[test]
    fn a_bad_line_costs_nothing_but_itself() {
        let (entries, problems) = read_all("fps = many\n\"\"\" = \n= 3\ntext = \"home\"\n]]\npaused = yes\n[[x]]\n");
        assert_eq!(entries.iter().map(|entry| entry.key.as_str()).collect::<Vec<_>>(), ["text", "paused"]);
        assert_eq!(problems.len(), 5, "{problems:?}");
    }
}
