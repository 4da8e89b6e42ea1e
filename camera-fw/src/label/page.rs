//! A page of labels, in millimetres: ten on an A4 sheet (such as Avery L7173), with lines to cut along beside them.

use std::fmt::Write as _;

use super::LabelError;
use super::layout::{LABEL, Label, document, drawn};
use super::letters::Letters;

/// Of a label, for people.
pub(super) const SIZE: &str = "99.1 x 57 mm";

/// Labels on a page.
pub(super) const PER_PAGE: usize = 10;

const PAGE: (f32, f32) = (210.0, 297.0);
const COLUMNS: usize = 2;
/// Where the first label of a page begins, and how far the next ones are.
const ORIGIN: (f32, f32) = (4.65, 6.0);
const PITCH: (f32, f32) = (101.6, 57.0);

/// A page with up to ten, and where to cut if it is plain paper.
pub(super) fn draw(labels: &[Label], fonts: &impl Letters) -> Result<String, LabelError> {
    let mut content = cutting_marks();
    for (index, label) in labels.iter().enumerate() {
        let x = ORIGIN.0 + (index % COLUMNS) as f32 * PITCH.0;
        let y = ORIGIN.1 + (index / COLUMNS) as f32 * PITCH.1;
        let _ = write!(content, r#"<g transform="translate({x} {y})">{}</g>"#, drawn(label, fonts)?);
    }
    Ok(document(PAGE, &content))
}

/// Short lines beside the labels, none on them: they show where to cut plain paper.
fn cutting_marks() -> String {
    const THIN: f32 = 0.15;
    let right = ORIGIN.0 + PITCH.0 + LABEL.0;
    let mut svg = String::new();
    let mut line = |x: f32, y: f32, width: f32, height: f32| {
        let _ = write!(svg, r#"<rect x="{x}" y="{y}" width="{width}" height="{height}"/>"#);
    };
    for row in 0..=PER_PAGE / COLUMNS {
        let y = ORIGIN.1 + row as f32 * PITCH.1 - THIN / 2.0;
        line(ORIGIN.0 - 3.4, y, 2.6, THIN);
        line(ORIGIN.0 + LABEL.0 + 0.5, y, PITCH.0 - LABEL.0 - 1.0, THIN);
        line(right + 0.8, y, 2.6, THIN);
    }
    for x in [ORIGIN.0, ORIGIN.0 + LABEL.0, ORIGIN.0 + PITCH.0, right] {
        line(x - THIN / 2.0, ORIGIN.1 - 4.0, THIN, 3.2);
        line(x - THIN / 2.0, PAGE.1 - ORIGIN.1 + 0.8, THIN, 3.2);
    }
    svg
}

#[cfg(test)]
mod tests {
    use resvg::usvg::Rect;

    use super::*;
    use crate::label::fonts::Fonts;
    use crate::label::layout::QR_SIZE;
    use crate::label::layout::tests::{PAGE_URL, inked, label};

    #[test]
    fn a_page_has_ten_places() {
        let (fonts, _) = Fonts::covering("x").unwrap();
        let labels: Vec<Label> = (0..PER_PAGE).map(|_| label("x", PAGE_URL)).collect();
        let boxes = inked(&draw(&labels, &fonts).unwrap(), &fonts);
        let codes: Vec<&Rect> = boxes.iter().filter(|shape| (shape.width() - QR_SIZE).abs() < 0.01).collect();
        assert_eq!(codes.len(), PER_PAGE);
        assert!(boxes.iter().all(|shape| shape.left() >= 0.0 && shape.right() <= PAGE.0 && shape.bottom() <= PAGE.1));
        let on_a_label = |shape: &&&Rect| {
            (0..PER_PAGE).any(|index| {
                let x = ORIGIN.0 + (index % COLUMNS) as f32 * PITCH.0;
                let y = ORIGIN.1 + (index / COLUMNS) as f32 * PITCH.1;
                shape.right() > x
                    && shape.left() < x + LABEL.0
                    && shape.bottom() > y + 0.1
                    && shape.top() < y + LABEL.1 - 0.1
            })
        };
        let marks = boxes.iter().filter(|shape| shape.width() < 0.2 || shape.height() < 0.2).collect::<Vec<_>>();
        assert_eq!(marks.len(), 3 * 6 + 2 * 4);
        assert_eq!(marks.iter().filter(on_a_label).count(), 0, "they are cut away");
    }
}
