//! From the outlines to a file: SVG, PNG or PDF.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use pdf_writer::{Content, Filter, Finish as _, Pdf, Rect, Ref, TextStr};
use resvg::tiny_skia::{Color as Shade, Pixmap, Transform};
use resvg::usvg::tiny_skia_path::{PathSegment, Point};
use resvg::usvg::{Fill, FillRule, Group, Node, Paint, Path, Tree, WriteOptions};

use super::{Format, LabelError};

/// What label printers have.
const PNG_DPI: f32 = 300.0;
/// CSS pixels and points in an inch.
const PIXELS: f32 = 96.0;
const POINTS: f32 = 72.0;
/// Steps of a coordinate in a pixel: whole numbers make a smaller PDF, and these are finer than any printer.
const STEPS: f32 = 100.0;

/// The drawing as a file of one page.
pub(super) fn one(tree: &Tree, format: Format) -> Result<Vec<u8>, LabelError> {
    match format {
        Format::Svg => Ok(svg(tree)),
        Format::Png => png(tree),
        Format::Pdf => {
            let mut document = Document::new();
            document.add(tree)?;
            Ok(document.finish())
        }
    }
}

/// The drawing as SVG: outlines alone, no text, nothing from elsewhere.
fn svg(tree: &Tree) -> Vec<u8> {
    let options = WriteOptions { coordinates_precision: 3, transforms_precision: 6, ..WriteOptions::default() };
    tree.to_string(&options).into_bytes()
}

/// The drawing in grey, with its physical size.
fn png(tree: &Tree) -> Result<Vec<u8>, LabelError> {
    let scale = PNG_DPI / PIXELS;
    let [width, height] = [tree.size().width(), tree.size().height()].map(|side| (side * scale).round() as u32);
    let mut pixels = Pixmap::new(width, height).ok_or_else(|| LabelError::drawing("it is too large"))?;
    pixels.fill(Shade::WHITE);
    resvg::render(tree, Transform::from_scale(scale, scale), &mut pixels.as_mut());
    let grey: Vec<u8> = pixels.pixels().iter().map(|pixel| pixel.green()).collect();

    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    let per_metre = (PNG_DPI / 0.0254).round() as u32;
    encoder.set_pixel_dims(Some(png::PixelDimensions { xppu: per_metre, yppu: per_metre, unit: png::Unit::Meter }));
    let written = encoder.write_header().and_then(|mut header| header.write_image_data(&grey));
    written.map_err(|error| LabelError::Drawing(error.to_string()))?;
    Ok(file)
}

/// A PDF that grows page by page.
pub(super) struct Document {
    pdf: Pdf,
    pages: Vec<Ref>,
    last: i32,
}

impl Document {
    const CATALOG: Ref = Ref::new(1);
    const PAGES: Ref = Ref::new(2);
    const INFO: Ref = Ref::new(3);

    pub(super) fn new() -> Self {
        Self { pdf: Pdf::new(), pages: Vec::new(), last: Self::INFO.get() }
    }

    /// Adds the drawing as a page of its size.
    pub(super) fn add(&mut self, tree: &Tree) -> Result<(), LabelError> {
        let scale = POINTS / PIXELS;
        let (width, height) = (tree.size().width() * scale, tree.size().height() * scale);
        let mut content = Content::new();
        // PDF counts from the bottom, in points.
        content.transform([scale / STEPS, 0.0, 0.0, -scale / STEPS, 0.0, height]);
        group(tree.root(), &mut content)?;
        let stream = deflated(&content.finish());

        let (page_id, content_id) = (self.fresh(), self.fresh());
        let mut page = self.pdf.page(page_id);
        page.media_box(Rect::new(0.0, 0.0, width, height)).parent(Self::PAGES).contents(content_id);
        page.resources();
        page.finish();
        self.pdf.stream(content_id, &stream).filter(Filter::FlateDecode);
        self.pages.push(page_id);
        Ok(())
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        self.pdf.catalog(Self::CATALOG).pages(Self::PAGES);
        self.pdf.pages(Self::PAGES).count(self.pages.len() as i32).kids(self.pages);
        self.pdf.document_info(Self::INFO).title(TextStr("Roomcam"));
        self.pdf.finish()
    }

    fn fresh(&mut self) -> Ref {
        self.last += 1;
        Ref::new(self.last)
    }
}

fn group(drawn: &Group, content: &mut Content) -> Result<(), LabelError> {
    for node in drawn.children() {
        match node {
            Node::Group(inner) => group(inner, content)?,
            Node::Text(text) => group(text.flattened(), content)?,
            Node::Path(path) => fill(path, content)?,
            Node::Image(_) => return Err(LabelError::drawing("it has a picture in it")),
        }
    }
    Ok(())
}

fn fill(path: &Path, content: &mut Content) -> Result<(), LabelError> {
    let Some((fill, grey)) = path.fill().and_then(|fill| Some((fill, grey(fill)?))) else {
        return Err(LabelError::drawing("it has a shape that is neither black nor white"));
    };
    content.set_fill_gray(grey);
    let transform = path.abs_transform();
    let at = |mut point: Point| {
        transform.map_point(&mut point);
        [point.x, point.y].map(|value| (value * STEPS).round())
    };
    let mut from = Point::zero();
    for segment in path.data().segments() {
        match segment {
            PathSegment::MoveTo(to) => {
                let [x, y] = at(to);
                content.move_to(x, y);
                from = to;
            }
            PathSegment::LineTo(to) => {
                let [x, y] = at(to);
                content.line_to(x, y);
                from = to;
            }
            // PDF has cubic curves alone.
            PathSegment::QuadTo(control, to) => {
                let toward = |end: Point| {
                    at(Point::from_xy(end.x + (control.x - end.x) * 2.0 / 3.0, end.y + (control.y - end.y) * 2.0 / 3.0))
                };
                let ([x1, y1], [x2, y2], [x3, y3]) = (toward(from), toward(to), at(to));
                content.cubic_to(x1, y1, x2, y2, x3, y3);
                from = to;
            }
            PathSegment::CubicTo(first, second, to) => {
                let ([x1, y1], [x2, y2], [x3, y3]) = (at(first), at(second), at(to));
                content.cubic_to(x1, y1, x2, y2, x3, y3);
                from = to;
            }
            PathSegment::Close => {
                content.close_path();
            }
        }
    }
    match fill.rule() {
        FillRule::NonZero => content.fill_nonzero(),
        FillRule::EvenOdd => content.fill_even_odd(),
    };
    Ok(())
}

/// The device's own black, not one mixed of colours.
fn grey(fill: &Fill) -> Option<f32> {
    match fill.paint() {
        Paint::Color(color) if color.red == color.green && color.green == color.blue => {
            Some(f32::from(color.red) / 255.0)
        }
        _ => None,
    }
}

fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    // A vector takes every byte.
    let written = encoder.write_all(bytes).and_then(|()| encoder.finish());
    written.unwrap_or_default()
}
