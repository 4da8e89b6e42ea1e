//! The letters: three embedded fonts, and those of the system where a name has characters that they lack.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use resvg::usvg::fontdb::{self, Database, Source};
use resvg::usvg::{Font, FontFamily, FontResolver, Node, Options, Tree};
use skrifa::raw::TableProvider as _;
use skrifa::{FontRef, MetadataProvider as _, Tag};

use super::LabelError;
use super::layout::escaped;
use super::letters::{Drawable, EMBEDDED, Face, Letters, Text, plain};

/// Fonts that paint their glyphs in colours or dots: a label is printed in black, from outlines.
const PAINTED: [&[u8; 4]; 5] = [b"COLR", b"SVG ", b"CBDT", b"EBDT", b"sbix"];

impl Face {
    /// The attributes of an SVG `<text>`.
    const fn attributes(self) -> &'static str {
        match self {
            Self::Name => r#"font-family="Name""#,
            Self::Strong => r#"font-family="Inter" font-weight="600""#,
            Self::Plain => r#"font-family="Inter" font-weight="500""#,
            Self::Digits => r#"font-family="JetBrains Mono" font-weight="500""#,
        }
    }
}

/// Fonts that have every character of a name.
pub(super) struct Fonts {
    options: Options<'static>,
}

impl fmt::Debug for Fonts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fonts").field("faces", &self.options.fontdb.len()).finish()
    }
}

impl Fonts {
    /// The system's fonts are looked for only if the embedded ones lack a character: that takes a while.
    ///
    /// # Errors
    /// If nothing of the name can be drawn.
    pub(super) fn covering(name: &str) -> Result<(Self, Drawable), LabelError> {
        let (fonts, drawable) = Self::with(name, Database::load_system_fonts);
        if drawable.name.is_empty() {
            return Err(LabelError::Letters(drawable.left_out));
        }
        Ok((fonts, drawable))
    }

    fn with(name: &str, load_more: impl FnOnce(&mut Database)) -> (Self, Drawable) {
        let mut database = Database::new();
        let embedded: Vec<fontdb::ID> =
            EMBEDDED.into_iter().flat_map(|font| database.load_font_source(Source::Binary(Arc::new(font)))).collect();
        let name = plain(name);
        let is_embedded = |database: &Database, letter| has_outline(database, embedded[0], letter);
        let mut lacking: Vec<char> = Vec::new();
        for letter in name.chars() {
            if !lacking.contains(&letter) && !is_embedded(&database, letter) {
                lacking.push(letter);
            }
        }
        let mut found = HashMap::new();
        let mut name_face = embedded[0];
        if !lacking.is_empty() {
            load_more(&mut database);
            for letter in &lacking {
                if let Some(face) = best_face(&database, &[*letter]) {
                    found.insert(*letter, face);
                }
            }
            lacking.retain(|letter| !found.contains_key(letter));
        }
        let kept = name.replace(|letter| lacking.contains(&letter), "");
        if !found.is_empty() {
            // Letters of one font go together better than those of two.
            let letters: Vec<char> = kept.chars().chain("0123456789".chars()).collect();
            name_face = best_face(&database, &letters).unwrap_or(name_face);
        }
        let drawable = Drawable::without(&name, lacking);
        let fixed = FontResolver::default_font_selector();
        let select_font = move |font: &Font, database: &mut Arc<Database>| match font.families() {
            [FontFamily::Named(family)] if family == "Name" => Some(name_face),
            _ => fixed(font, database),
        };
        let select_fallback = move |letter: char, used: &[fontdb::ID], _: &mut Arc<Database>| {
            found.get(&letter).copied().filter(|face| !used.contains(face))
        };
        let options = Options {
            fontdb: Arc::new(database),
            font_resolver: FontResolver {
                select_font: Box::new(select_font),
                select_fallback: Box::new(select_fallback),
            },
            ..Options::default()
        };
        (Self { options }, drawable)
    }

    /// The drawing, its texts turned into outlines.
    pub(super) fn outline(&self, svg: &str) -> Result<Tree, LabelError> {
        Tree::from_str(svg, &self.options).map_err(|error| LabelError::Drawing(error.to_string()))
    }
}

impl Letters for Fonts {
    fn width(&self, text: &str, face: Face) -> Result<f32, LabelError> {
        const SIZE: f32 = 100.0;
        let svg = format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" width="100" height="100"><text {} font-size="{SIZE}">{}</text></svg>"#,
            face.attributes(),
            escaped(text)
        );
        let tree = self.outline(&svg)?;
        let Some(Node::Text(text)) = tree.root().children().first() else { return Ok(0.0) };
        Ok(text.bounding_box().width() / SIZE)
    }

    fn draw(&self, text: &Text<'_>) -> Result<String, LabelError> {
        let Text { face, size, at: (x, y), .. } = text;
        let anchor = if text.ends_here { r#" text-anchor="end""# } else { "" };
        let fill = if text.is_light { r##" fill="#fff""## } else { "" };
        let (face, content) = (face.attributes(), escaped(text.content));
        Ok(format!(r#"<text x="{x}" y="{y}" font-size="{size}" {face}{anchor}{fill}>{content}</text>"#))
    }
}

fn has_outline(database: &Database, face: fontdb::ID, letter: char) -> bool {
    let check = |data: &[u8], index: u32| {
        let font = FontRef::from_index(data, index).ok()?;
        let glyph = font.charmap().map(letter).filter(|glyph| glyph.to_u32() != 0)?;
        let painted = PAINTED.iter().any(|tag| font.data_for_tag(Tag::new(tag)).is_some());
        (!painted).then(|| font.outline_glyphs().get(glyph)).flatten().map(|_| ())
    };
    database.with_face_data(face, check).flatten().is_some()
}

/// The upright face that has all these letters and comes nearest to the weight of a name.
fn best_face(database: &Database, letters: &[char]) -> Option<fontdb::ID> {
    let upright = database.faces().filter(|face| face.style == fontdb::Style::Normal);
    upright
        .filter(|face| letters.iter().all(|letter| has_outline(database, face.id, *letter)))
        .min_by_key(|face| face.weight.0.abs_diff(600))
        .map(|face| face.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_embedded_fonts_have_takes_no_others() {
        let name = "Zoë's Küche «1» – Ελλάδα, Київ, Łódź, Việt Nam & <5 €> ✓";
        let (fonts, drawable) = Fonts::with(name, |_| panic!("the system's fonts are not needed"));
        assert_eq!(drawable, Drawable { name: name.into(), left_out: String::new() });
        assert!(fonts.width(name, Face::Name).unwrap() > 20.0);
    }

    #[test]
    fn letters_without_a_font_are_left_out_once_and_in_their_order() {
        let (_, drawable) = Fonts::with("日 Garden 本日 🐕\u{fe0f} x", |_| {});
        assert_eq!(drawable, Drawable { name: "Garden x".into(), left_out: "日本🐕".into() });
    }

    #[test]
    fn a_further_font_draws_what_the_embedded_ones_lack() {
        let (fonts, drawable) = Fonts::with("日日", |database| database.load_font_data(other_letters()));
        assert_eq!(drawable, Drawable { name: "日日".into(), left_out: String::new() });
        // Its letters are 0.6 wide.
        assert!((fonts.width("日日", Face::Name).unwrap() - 1.2).abs() < 0.01);
        let svg =
            r#"<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><text font-family="Name">日</text></svg>"#;
        let tree = fonts.outline(svg).unwrap();
        let Node::Text(text) = &tree.root().children()[0] else { panic!("it is a text") };
        assert!(text.flattened().has_children(), "it is drawn");
    }

    /// The font of the hex digits, with U+65E1 to U+65E6 in the place of a to f.
    fn other_letters() -> Vec<u8> {
        // endCode, startCode and idDelta of the character map (OpenType, cmap format 4).
        let map = |last: u16, first: u16, delta: u16| -> Vec<u8> {
            let words = [0x39, last, 0xffff, 0, 0x30, first, 0xffff, 0xffd7, delta];
            words.into_iter().flat_map(u16::to_be_bytes).collect()
        };
        let (before, after) = (map(0x66, 0x61, 0xffa0), map(0x65e6, 0x65e1, 0x9a20));
        let mut font = EMBEDDED[2].to_vec();
        let at = font.windows(before.len()).position(|part| part == before).unwrap();
        font[at..at + after.len()].copy_from_slice(&after);
        font
    }
}
