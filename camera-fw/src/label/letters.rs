//! What a layout asks of fonts, whichever way they come to outlines.

use super::LabelError;

/// Inter for words, JetBrains Mono for digits. Their licence and how they were made: `fonts/README.md`.
pub(super) const EMBEDDED: [&[u8]; 3] = [
    include_bytes!("fonts/Inter-SemiBold.otf"),
    include_bytes!("fonts/Inter-Medium.otf"),
    include_bytes!("fonts/JetBrainsMono-Medium.ttf"),
];

/// How a text looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Face {
    /// The camera's name.
    Name,
    /// What matters.
    Strong,
    /// What explains.
    Plain,
    /// Hex digits.
    Digits,
}

/// A text and its place, in millimetres.
#[derive(Debug, Clone, Copy)]
pub(super) struct Text<'a> {
    pub(super) content: &'a str,
    pub(super) face: Face,
    pub(super) size: f32,
    /// Where its line begins; with `ends_here` where it ends.
    pub(super) at: (f32, f32),
    pub(super) ends_here: bool,
    /// White rather than black.
    pub(super) is_light: bool,
}

impl<'a> Text<'a> {
    pub(super) const fn new(content: &'a str, face: Face, size: f32, at: (f32, f32)) -> Self {
        Self { content, face, size, at, ends_here: false, is_light: false }
    }
}

/// Fonts that have every letter of a label.
pub(super) trait Letters {
    /// How wide a text is, in its own size.
    ///
    /// # Errors
    /// If it cannot be drawn.
    fn width(&self, text: &str, face: Face) -> Result<f32, LabelError>;

    /// The text as an SVG element.
    ///
    /// # Errors
    /// If it cannot be drawn.
    fn draw(&self, text: &Text<'_>) -> Result<String, LabelError>;
}

/// A name as it can be drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Drawable {
    /// What is left of it.
    pub(super) name: String,
    /// The characters that no font has as an outline, each once.
    pub(super) left_out: String,
}

impl Drawable {
    /// Of a name, without the letters that are lacking.
    pub(super) fn without(name: &str, lacking: Vec<char>) -> Self {
        let kept = name.replace(|letter| lacking.contains(&letter), "");
        Self { name: kept.split_whitespace().collect::<Vec<_>>().join(" "), left_out: lacking.into_iter().collect() }
    }
}

/// The letters of a name. Those that ask for a colourful glyph ask in vain.
pub(super) fn plain(name: &str) -> String {
    name.replace(|letter| matches!(letter, '\u{fe00}'..='\u{fe0f}'), "")
}
