//! What a camera is called.

use std::fmt;
use std::str::FromStr;

/// The longest name: what fits on a label.
const NAME_LETTERS: usize = 60;

/// What a camera is called: one line of letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(String);

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(letter) = text.chars().find(|letter| is_control(*letter)) {
            return Err(format!("it has the control character U+{:04X}; a name is one line of letters", letter as u32));
        }
        let name = text.split_whitespace().collect::<Vec<_>>().join(" ");
        match name.chars().count() {
            0 => Err("a name has at least one letter".into()),
            1..=NAME_LETTERS => Ok(Self(name)),
            count => Err(format!("it has {count} letters, and a label has room for {NAME_LETTERS}")),
        }
    }
}

/// Those that move other letters about (UAX #9) count too: a label would not say what was typed.
fn is_control(letter: char) -> bool {
    letter.is_control() || matches!(letter, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_line_of_at_most_sixty_letters() {
        let name = |text: &str| text.parse::<Name>().map(|name| name.0);
        assert_eq!(name("  Living\u{3000} room "), Ok("Living room".into()));
        assert_eq!(name(&"ü".repeat(60)), Ok("ü".repeat(60)));
        assert!(name(&"ü".repeat(61)).unwrap_err().contains("61 letters"));
        for empty in ["", "   "] {
            assert!(name(empty).unwrap_err().contains("at least one"));
        }
        for (text, control) in [("a\tb", "U+0009"), ("a\nb", "U+000A"), ("\u{7f}", "U+007F"), ("a\u{202e}b", "U+202E")]
        {
            assert!(name(text).unwrap_err().contains(control), "{text:?}");
        }
    }
}
