//! The label that a device draws of itself: the same layout, with the letters of the embedded fonts alone.
//!
//! Each letter stands where the one before it ends. What `resvg` knows beyond that (pairs of letters that belong closer
//! together, other scripts, fonts of the system) would be a fifth of the appliance's program.

use std::fmt::Write as _;

use signal_proto::seal::Code;
use skrifa::instance::{LocationRef, Size};
use skrifa::outline::{DrawSettings, OutlinePen};
use skrifa::{FontRef, GlyphId, MetadataProvider as _};

use super::LabelError;
use super::layout::{self, Label, escaped};
use super::letters::{Drawable, EMBEDDED, Face, Letters, Text, plain};
use crate::code;
use crate::config::Name;

/// How every label ends, apart from what is in front of it.
const END: &str = "</svg>";

/// A label as SVG.
#[derive(Debug)]
pub(crate) struct Drawn {
    pub(crate) svg: String,
    /// The letters of the name that the fonts have not.
    pub(crate) left_out: String,
}

/// The label of a code, with what it says as a text too ([`mark`]).
///
/// # Errors
/// If it cannot be drawn.
pub(crate) fn svg(code: Code, page_url: &str, name: &Name) -> Result<Drawn, LabelError> {
    let glyphs = Glyphs::new()?;
    let drawable = glyphs.drawable(&name.to_string());
    let label = Label::new(code, page_url, drawable.name);
    let svg = layout::single(&label, &glyphs)?;
    let body = svg.strip_suffix(END).unwrap_or(&svg);
    Ok(Drawn { svg: [body, &mark(&code::link(code, page_url), name)].concat(), left_out: drawable.left_out })
}

/// How the label of that link and name ends, so that one that is there already is recognised: whole, and no other's.
pub(crate) fn mark(link: &str, name: &Name) -> String {
    format!("<metadata>{} {}</metadata>{END}\n", escaped(link), escaped(&name.to_string()))
}

/// The embedded fonts.
struct Glyphs([FontRef<'static>; 3]);

impl Glyphs {
    fn new() -> Result<Self, LabelError> {
        let [strong, plain, digits] = EMBEDDED.map(FontRef::new);
        let fault = |error: skrifa::raw::ReadError| LabelError::Drawing(error.to_string());
        Ok(Self([strong.map_err(fault)?, plain.map_err(fault)?, digits.map_err(fault)?]))
    }

    fn font(&self, face: Face) -> &FontRef<'static> {
        let [strong, plain, digits] = &self.0;
        match face {
            Face::Name | Face::Strong => strong,
            Face::Plain => plain,
            Face::Digits => digits,
        }
    }

    fn glyph(&self, letter: char, face: Face) -> Option<GlyphId> {
        self.font(face).charmap().map(letter).filter(|glyph| glyph.to_u32() != 0)
    }

    fn drawable(&self, name: &str) -> Drawable {
        let name = plain(name);
        let mut lacking = Vec::new();
        for letter in name.chars() {
            if self.glyph(letter, Face::Name).is_none() && !lacking.contains(&letter) {
                lacking.push(letter);
            }
        }
        Drawable::without(&name, lacking)
    }

    /// The glyphs of a text of a size, and how far from its beginning each of them stands; and its end.
    fn set(&self, text: &str, face: Face, size: f32) -> (Vec<(GlyphId, f32)>, f32) {
        let metrics = self.font(face).glyph_metrics(Size::new(size), LocationRef::default());
        let mut end = 0.0;
        let glyphs = text.chars().filter_map(|letter| self.glyph(letter, face));
        let placed = glyphs.map(|glyph| {
            let at = end;
            end += metrics.advance_width(glyph).unwrap_or_default();
            (glyph, at)
        });
        (placed.collect(), end)
    }
}

impl Letters for Glyphs {
    fn width(&self, text: &str, face: Face) -> Result<f32, LabelError> {
        Ok(self.set(text, face, 1.0).1)
    }

    fn draw(&self, text: &Text<'_>) -> Result<String, LabelError> {
        let (glyphs, width) = self.set(text.content, text.face, text.size);
        let (x, y) = text.at;
        let begin = if text.ends_here { x - width } else { x };
        let outlines = self.font(text.face).outline_glyphs();
        let mut path = Path { d: String::new(), origin: (begin, y) };
        for (glyph, at) in glyphs {
            let Some(outline) = outlines.get(glyph) else { continue };
            path.origin.0 = begin + at;
            let settings = DrawSettings::unhinted(Size::new(text.size), LocationRef::default());
            outline.draw(settings, &mut path).map_err(|error| LabelError::Drawing(error.to_string()))?;
        }
        let fill = if text.is_light { r##" fill="#fff""## } else { "" };
        Ok(format!(r#"<path{fill} d="{}"/>"#, path.d))
    }
}

/// An outline as the `d` of an SVG path. Fonts count upwards, SVG downwards.
struct Path {
    d: String,
    origin: (f32, f32),
}

impl Path {
    fn add<const N: usize>(&mut self, command: char, points: [(f32, f32); N]) {
        self.d.push(command);
        for (index, (x, y)) in points.into_iter().enumerate() {
            let space = if index == 0 { "" } else { " " };
            // A thousandth of a millimetre is finer than any printer.
            let _ = write!(self.d, "{space}{:.3} {:.3}", self.origin.0 + x, self.origin.1 - y);
        }
    }
}

impl OutlinePen for Path {
    fn move_to(&mut self, x: f32, y: f32) {
        self.add('M', [(x, y)]);
    }

    fn line_to(&mut self, x: f32, y: f32) {
        self.add('L', [(x, y)]);
    }

    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        self.add('Q', [(x1, y1), (x, y)]);
    }

    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        self.add('C', [(x1, y1), (x2, y2), (x, y)]);
    }

    fn close(&mut self) {
        self.d.push('z');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE_URL: &str = "https://cam.example.org:8192/";

    fn drawn(name: &str) -> Drawn {
        svg(Code::from_bytes([0x5a; 32]), PAGE_URL, &name.parse().unwrap()).unwrap()
    }

    #[test]
    fn it_is_outlines_and_a_mark() {
        let label = drawn("Ben & Jo's Küche");
        assert!(!label.svg.contains("<text") && label.left_out.is_empty());
        let mark = mark(&code::link(Code::from_bytes([0x5a; 32]), PAGE_URL), &"Ben & Jo's Küche".parse().unwrap());
        assert!(label.svg.ends_with(&mark) && mark.contains("Ben &amp; Jo&apos;s"), "{mark}");
        assert_eq!(label.svg.matches(END).count(), 1);
    }

    #[test]
    fn letters_that_the_fonts_have_not_are_left_out() {
        let label = drawn("日 Garden 🐕\u{fe0f}");
        assert_eq!(label.left_out, "日🐕");
        assert!(drawn("日本").svg.len() > 10_000, "a label without a name is one too");
    }

    #[test]
    fn a_text_ends_where_it_should() {
        let glyphs = Glyphs::new().unwrap();
        assert!((glyphs.width("00", Face::Digits).unwrap() - 1.2).abs() < 0.001);
        let text = Text { ends_here: true, ..Text::new("1", Face::Digits, 10.0, (50.0, 5.0)) };
        let path = glyphs.draw(&text).unwrap();
        let numbers: Vec<f32> = path
            .split(|letter: char| !letter.is_ascii_digit() && letter != '.')
            .filter_map(|number| number.parse().ok())
            .collect();
        let largest = numbers.iter().copied().fold(0.0, f32::max);
        assert!((49.0..=50.0).contains(&largest), "{largest}");
    }

    #[cfg(feature = "label")]
    #[test]
    fn it_is_as_wide_as_what_computers_draw() {
        use crate::label::fonts::Fonts;
        let glyphs = Glyphs::new().unwrap();
        for (text, face) in [("cam.example.org:8192", Face::Strong), ("5a5a", Face::Digits), ("Wohnzimmer", Face::Name)]
        {
            let (fonts, _) = Fonts::covering(text).unwrap();
            let widths = [glyphs.width(text, face).unwrap(), fonts.width(text, face).unwrap()];
            assert!((widths[0] / widths[1] - 1.0).abs() < 0.03, "{text}: {widths:?}");
        }
    }
}
