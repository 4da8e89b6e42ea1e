//! The drawing of a label, in millimetres.
//!
//! A label is 99.1 by 57 mm, of which ten come on an A4 sheet. Everything is a filled shape in black or white, so
//! that it comes out the same on screens, laser printers and thermal printers.

use std::fmt::Write as _;

use signal_proto::seal::Code;

use super::LabelError;
use super::letters::{Face, Letters, Text};
use super::qr::{Modules, QUIET_ZONE};
use crate::code;

pub(super) const LABEL: (f32, f32) = (99.1, 57.0);

/// The dark square of the QR code. What is around it stays white as wide as the quiet zone of its largest modules.
const QR: (f32, f32) = (5.2, 5.0);
pub(super) const QR_SIZE: f32 = 38.0;
/// In modules: version 5, which a link takes at least, to version 14, whose modules are half a millimetre wide. Phones
/// read smaller ones, but printers do not print them well.
const QR_WIDTHS: std::ops::RangeInclusive<usize> = 37..=73;
const WIDEST_MODULE: f32 = QR_SIZE / 37.0;

/// The column beside the QR code.
const LEFT: f32 = QR.0 + QR_SIZE + QUIET_ZONE as f32 * WIDEST_MODULE + 1.8;
const RIGHT: f32 = LABEL.0 - 4.8;
const COLUMN: f32 = RIGHT - LEFT;

const MARK_HEIGHT: f32 = 7.8;
const MARK_WIDTH: f32 = MARK_HEIGHT * 24.0 / 29.5;
/// The name stands beside the mark, its middle at that of the mark, on up to so many lines of at most this size.
const NAME_LEFT: f32 = LEFT + MARK_WIDTH + 2.4;
const NAME_MIDDLE: f32 = QR.1 + MARK_HEIGHT / 2.0;
const NAME_SIZES: [f32; 3] = [5.8, 3.9, 2.7];
/// Below this a line is broken anywhere rather than at spaces alone.
const NAME_READABLE: f32 = 2.0;
/// Of a capital letter, in its size.
const CAPITAL: f32 = 0.727;
const LINE: f32 = 1.16;

const DIGITS_SIZE: f32 = 3.9;
const DIGITS_PITCH: f32 = 4.4;
/// Of a digit, in its size.
const DIGIT: f32 = 0.6;

/// The bar at the bottom.
const BAR: (f32, f32, f32, f32) = (4.8, 48.3, LABEL.0 - 9.6, 5.2);

const PROMISE: &str = "Who holds this code can watch.";

/// What stands on a label.
pub(super) struct Label {
    /// What the QR code says.
    link: String,
    /// The page without the code, as people type it.
    address: String,
    /// 64 hex digits.
    code: String,
    /// Four more.
    check: String,
    /// Of the camera.
    name: String,
}

impl Label {
    pub(super) fn new(code: Code, page_url: &str, name: String) -> Self {
        // Browsers add the rest by themselves.
        let address = page_url.strip_prefix("https://").unwrap_or(page_url);
        Self {
            link: code::link(code, page_url),
            address: address.strip_suffix('/').unwrap_or(address).to_owned(),
            code: code.to_hex(),
            check: code.check_digits(),
            name,
        }
    }
}

/// A drawing with one label.
pub(super) fn single(label: &Label, fonts: &impl Letters) -> Result<String, LabelError> {
    Ok(document(LABEL, &drawn(label, fonts)?))
}

/// The text as it may stand in XML.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&apos;"),
            other => safe.push(other),
        }
    }
    safe
}

pub(super) fn document((width, height): (f32, f32), content: &str) -> String {
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" width="{width}mm" height="{height}mm" viewBox="0 0 {width} {height}"><rect width="{width}" height="{height}" fill="#fff"/>{content}</svg>"##
    )
}

pub(super) fn drawn(label: &Label, fonts: &impl Letters) -> Result<String, LabelError> {
    let mut svg = qr_code(&label.link)?;
    svg.push_str(&mark());
    svg.push_str(&name(&label.name, fonts)?);
    let _ = write!(svg, r#"<rect x="{LEFT}" y="14.8" width="{COLUMN}" height="0.25"/>"#);
    svg.push_str(&hint(&label.address, fonts)?);
    svg.push_str(&digits(&label.code, &label.check, fonts)?);
    svg.push_str(&bar(fonts)?);
    Ok(svg)
}

fn qr_code(link: &str) -> Result<String, LabelError> {
    let modules = Modules::of(link, QR_WIDTHS).ok_or(LabelError::Link)?;
    let scale = QR_SIZE / modules.width() as f32;
    let (x, y) = QR;
    Ok(format!(r#"<path transform="translate({x} {y}) scale({scale})" d="{}"/>"#, modules.outline()))
}

/// The camera on its foot: the page's icon, in black.
fn mark() -> String {
    let scale = MARK_HEIGHT / 29.5;
    let (x, y) = (LEFT - 4.0 * scale, QR.1 - scale);
    format!(
        r##"<g transform="translate({x} {y}) scale({scale})"><rect x="14" y="22" width="4" height="6"/><rect x="6.5" y="26.5" width="19" height="4" rx="2"/><circle cx="16" cy="13" r="12"/><circle cx="16" cy="13" r="5.8" fill="#fff"/><circle cx="18.1" cy="10.9" r="2.1"/></g>"##
    )
}

fn name(name: &str, fonts: &impl Letters) -> Result<String, LabelError> {
    let (lines, size) = set(name, fonts, RIGHT - NAME_LEFT)?;
    let last = (lines.len() - 1) as f32;
    let first = NAME_MIDDLE + (CAPITAL - last * LINE) * size / 2.0;
    let place = |(index, line): (usize, &String)| {
        fonts.draw(&Text::new(line, Face::Name, size, (NAME_LEFT, first + index as f32 * LINE * size)))
    };
    lines.iter().enumerate().map(place).collect()
}

/// The lines in which a name comes out largest.
fn set(name: &str, fonts: &impl Letters, width: f32) -> Result<(Vec<String>, f32), LabelError> {
    let ends = ends(name, Face::Name, fonts)?;
    let letters: Vec<char> = name.chars().collect();
    let spaces: Vec<usize> = (1..letters.len()).filter(|at| letters[*at] == ' ').collect();
    let anywhere: Vec<usize> = (1..letters.len()).collect();
    let mut best: Option<(Vec<usize>, f32)> = None;
    for breaks in [spaces, anywhere] {
        if best.as_ref().is_some_and(|(_, size)| *size >= NAME_READABLE) {
            break;
        }
        for (more, largest) in NAME_SIZES.into_iter().enumerate() {
            let Some((at, widest)) = split(&ends, &breaks, more) else { continue };
            let size = largest.min(width / widest);
            if best.as_ref().is_none_or(|(_, before)| size > *before) {
                best = Some((at, size));
            }
        }
    }
    let (at, size) = best.unwrap_or((Vec::new(), NAME_SIZES[0]));
    Ok((lines(&letters, &at), size))
}

/// How wide the text is up to each of its letters, in its size.
fn ends(text: &str, face: Face, fonts: &impl Letters) -> Result<Vec<f32>, LabelError> {
    let bounds = text.char_indices().map(|(at, _)| at).chain([text.len()]);
    bounds.map(|end| fonts.width(&text[..end], face)).collect()
}

fn lines(letters: &[char], breaks: &[usize]) -> Vec<String> {
    let bounds: Vec<usize> = [0].into_iter().chain(breaks.iter().copied()).chain([letters.len()]).collect();
    bounds.windows(2).map(|pair| letters[pair[0]..pair[1]].iter().collect::<String>().trim().to_owned()).collect()
}

/// Where to break a text so many times that its widest line is narrowest, and how wide that one is.
fn split(ends: &[f32], breaks: &[usize], times: usize) -> Option<(Vec<usize>, f32)> {
    let rest = |from: usize| ends[ends.len() - 1] - ends[from];
    let mut best: Option<(Vec<usize>, f32)> = (times == 0).then(|| (Vec::new(), rest(0)));
    let mut consider = |at: Vec<usize>| {
        let last = at[at.len() - 1];
        let inner = [0].into_iter().chain(at.iter().copied()).collect::<Vec<_>>();
        let widest = inner.windows(2).map(|pair| ends[pair[1]] - ends[pair[0]]).fold(rest(last), f32::max);
        if best.as_ref().is_none_or(|(_, before)| widest < *before) {
            best = Some((at, widest));
        }
    };
    for (index, first) in breaks.iter().enumerate() {
        match times {
            1 => consider(vec![*first]),
            2 => breaks[index + 1..].iter().for_each(|second| consider(vec![*first, *second])),
            _ => {}
        }
    }
    best
}

/// Where to go with the code: the address on one line or two, if that is large enough to be read.
fn hint(address: &str, fonts: &impl Letters) -> Result<String, LabelError> {
    const SIZE: f32 = 2.3;
    let ends = ends(address, Face::Strong, fonts)?;
    let letters: Vec<char> = address.chars().collect();
    let anywhere: Vec<usize> = (1..letters.len()).collect();
    // In front of a punctuation mark, which so does not look like the end of the address.
    let good: Vec<usize> =
        anywhere.iter().copied().filter(|at| matches!(letters[*at], '.' | ':' | '/' | '-')).collect();
    // Breaks, how many, largest and smallest size, where it begins, how far down the next line is.
    let ways =
        [(&good, 0, 2.9, 2.0, 18.4, 3.3), (&good, 1, 2.15, 1.6, 17.6, 2.6), (&anywhere, 1, 2.15, 1.6, 17.6, 2.6)];
    for (breaks, times, largest, smallest, first, pitch) in ways {
        let Some((at, widest)) = split(&ends, breaks, times) else { continue };
        let size = f32::min(largest, COLUMN / widest);
        if size >= smallest {
            let hint = "Scan with a phone, or type the code at";
            let mut svg = fonts.draw(&Text::new(hint, Face::Plain, SIZE, (LEFT, first)))?;
            for (index, line) in lines(&letters, &at).iter().enumerate() {
                let at = (LEFT, first + (index + 1) as f32 * pitch);
                svg.push_str(&fonts.draw(&Text::new(line, Face::Strong, size, at))?);
            }
            return Ok(svg);
        }
    }
    fonts.draw(&Text::new("Scan with a phone's camera.", Face::Plain, SIZE, (LEFT, 20.0)))
}

/// Sixteen groups of four, and the check digits apart from them.
fn digits(code: &str, check: &str, fonts: &impl Letters) -> Result<String, LabelError> {
    const GROUP: f32 = 4.0 * DIGIT * DIGITS_SIZE;
    const ACROSS: f32 = (COLUMN - GROUP) / 3.0;
    const FIRST: f32 = 27.3;
    let mut svg = String::new();
    let mut from = 0;
    while let Some(group) = code.get(4 * from..4 * from + 4) {
        let (x, y) = (LEFT + (from % 4) as f32 * ACROSS, FIRST + (from / 4) as f32 * DIGITS_PITCH);
        svg.push_str(&fonts.draw(&Text::new(group, Face::Digits, DIGITS_SIZE, (x, y)))?);
        from += 1;
    }
    let y = FIRST + 4.0 * DIGITS_PITCH + 0.4;
    svg.push_str(&fonts.draw(&Text::new(check, Face::Digits, DIGITS_SIZE, (RIGHT - GROUP, y)))?);
    let caption = Text::new("check digits", Face::Plain, 2.3, (RIGHT - GROUP - 1.8, y));
    svg.push_str(&fonts.draw(&Text { ends_here: true, ..caption })?);
    Ok(svg)
}

fn bar(fonts: &impl Letters) -> Result<String, LabelError> {
    const SIZE: f32 = 3.2;
    const KEY: f32 = 6.2;
    const GAP: f32 = 1.8;
    let (x, y, width, height) = BAR;
    let (round, middle) = (height / 2.0, y + height / 2.0);
    let begin = x + (width - KEY - GAP - fonts.width(PROMISE, Face::Strong)? * SIZE) / 2.0;
    let key = format!(
        r##"<g fill="#fff" transform="translate({begin} {middle})"><path fill-rule="evenodd" d="M0 0a1.55 1.55 0 1 1 3.1 0a1.55 1.55 0 1 1 -3.1 0zM.75 0a.8 .8 0 1 1 1.6 0a.8 .8 0 1 1 -1.6 0z"/><path d="M2.9 -.38H6.2V1.2H5.5V.38H4.8V1H4.1V.38H2.9z"/></g>"##
    );
    let promise = Text::new(PROMISE, Face::Strong, SIZE, (begin + KEY + GAP, middle + CAPITAL * SIZE / 2.0));
    let promise = fonts.draw(&Text { is_light: true, ..promise })?;
    Ok(format!(r#"<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="{round}"/>{key}{promise}"#))
}

#[cfg(test)]
#[cfg(feature = "label")]
pub(super) mod tests {
    use resvg::usvg::{Node, Rect};

    use super::*;
    use crate::label::fonts::Fonts;

    pub(in crate::label) const PAGE_URL: &str = "https://cam.example.org:8192/";

    pub(in crate::label) fn label(name: &str, page_url: &str) -> Label {
        Label::new(Code::from_bytes([0x5a; 32]), page_url, name.to_owned())
    }

    /// Where the drawing has ink, in millimetres: a box for each shape.
    pub(in crate::label) fn inked(svg: &str, fonts: &Fonts) -> Vec<Rect> {
        let millimetres = |rect: Rect| {
            let [left, top, right, bottom] =
                [rect.left(), rect.top(), rect.right(), rect.bottom()].map(|side| side * 25.4 / 96.0);
            Rect::from_ltrb(left, top, right, bottom).unwrap()
        };
        let tree = fonts.outline(svg).unwrap();
        let mut boxes = Vec::new();
        let mut groups = vec![tree.root()];
        while let Some(group) = groups.pop() {
            for node in group.children() {
                match node {
                    Node::Group(inner) => groups.push(inner),
                    Node::Text(text) => groups.push(text.flattened()),
                    other => boxes.push(millimetres(other.abs_bounding_box())),
                }
            }
        }
        // Without the paper.
        boxes.retain(|shape| shape.width() < LABEL.0 - 1.0);
        boxes
    }

    fn everything() -> Vec<(String, String)> {
        let names = [
            "x".to_owned(),
            "Roomcam".into(),
            "W".repeat(60),
            "Wohnzimmer im Erdgeschoß, links neben der großen Eingangstür".into(),
            "Donaudampfschifffahrtsgesellschaftskapitänskajüte unten 0123".into(),
            "ÅÄÖ ĄĘ ЁЙ Ǻ".into(),
        ];
        let urls = [
            PAGE_URL.to_owned(),
            "https://a/".into(),
            format!("https://{}.example.org:8443/roomcam/", "long-".repeat(8)),
            format!("https://{}/", "WWW.".repeat(40)),
        ];
        names.iter().flat_map(|name| urls.iter().map(move |url| (name.clone(), url.clone()))).collect()
    }

    #[test]
    fn it_says_what_people_need() {
        let label = label("Ben & Jo's", PAGE_URL);
        let (fonts, _) = Fonts::covering(&label.name).unwrap();
        let svg = single(&label, &fonts).unwrap();
        assert_eq!(svg.matches(">5a5a</text>").count(), 16, "64 digits in groups of four");
        let check = Code::from_bytes([0x5a; 32]).check_digits();
        for said in [
            &format!(">{check}<"),
            ">Ben &amp; Jo&apos;s<",
            ">cam.example.org:8192<",
            ">Who holds this code can watch.<",
        ] {
            assert!(svg.contains(said), "{said}");
        }
    }

    #[test]
    fn nothing_is_in_the_quiet_zone_or_over_the_edge() {
        for (name, url) in everything() {
            let (fonts, _) = Fonts::covering(&name).unwrap();
            let boxes = inked(&single(&label(&name, &url), &fonts).unwrap(), &fonts);
            let quiet = QUIET_ZONE as f32 * WIDEST_MODULE;
            let (codes, others): (Vec<Rect>, Vec<Rect>) =
                boxes.into_iter().partition(|shape| shape.width() > 30.0 && shape.height() > 30.0);
            assert_eq!(codes.len(), 1);
            let code = codes[0];
            assert!((code.width() - QR_SIZE).abs() < 0.01 && (code.height() - QR_SIZE).abs() < 0.01);
            assert!(code.left() >= quiet && code.top() >= quiet);
            for shape in others {
                let apart = shape.left() >= code.right() + quiet || shape.top() >= code.bottom() + quiet;
                assert!(apart, "{name} {url}: {shape:?}");
                let inside = shape.left() >= 4.7 && shape.top() >= 4.0 && shape.right() <= LABEL.0 - 4.7;
                assert!(inside && shape.bottom() <= LABEL.1 - 3.0, "{name} {url}: {shape:?}");
            }
        }
    }

    #[test]
    fn lines_do_not_touch_each_other() {
        for (name, url) in everything() {
            let (fonts, _) = Fonts::covering(&name).unwrap();
            let boxes = inked(&single(&label(&name, &url), &fonts).unwrap(), &fonts);
            let rule = boxes.iter().find(|shape| shape.height() < 0.3 && shape.width() > 40.0).unwrap();
            let above: Vec<&Rect> =
                boxes.iter().filter(|shape| shape.left() > 50.0 && shape.top() < rule.top()).collect();
            assert!(above.iter().all(|shape| shape.bottom() <= rule.top() || *shape == rule), "{name}");
        }
    }

    #[test]
    fn modules_are_large_enough_to_be_printed() {
        assert!(QR_SIZE / *QR_WIDTHS.end() as f32 >= 0.5);
        assert!((QR_SIZE / *QR_WIDTHS.start() as f32 - WIDEST_MODULE).abs() < f32::EPSILON);
        assert!(matches!(qr_code(&"x".repeat(600)), Err(LabelError::Link)));
    }

    #[test]
    fn a_name_is_set_as_large_as_there_is_room() {
        let set = |name: &str| {
            let (fonts, _) = Fonts::covering(name).unwrap();
            set(name, &fonts, 36.0).unwrap()
        };
        assert_eq!(set("Hall"), (vec!["Hall".to_owned()], NAME_SIZES[0]));
        assert_eq!(set("The room above the garage").0, ["The room above", "the garage"]);
        let (lines, size) = set(&"W".repeat(60));
        assert_eq!(lines, ["W".repeat(20), "W".repeat(20), "W".repeat(20)]);
        assert!(size > 1.5, "{size}");
    }
}
