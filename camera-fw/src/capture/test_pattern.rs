//! The moving test pattern: a picture that shows a person that the stream lives, and tells a program how well.
//!
//! Two rows of 40 square cells at the top left corner, each cell `width / 40` pixels wide, hold two numbers:
//! row 0 the frame counter, row 1 the capture time in Unix milliseconds, each modulo 2^32. A number is 32 bits, most
//! significant first, then 8 bits of check (the exclusive or of its four bytes); a white cell is 1. [`read_number`]
//! reads them back from any decoded picture.
//!
//! Below, a ball crosses the sky above a rolling sea, and a clock shows the time in UTC. Drawing touches only what
//! moves: a recycled frame still holds the still parts.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::{CaptureError, Delivery, Pace, Source, Wanted};
use crate::frame::{Frame, FramePool, Layout, Sequence, Size};

const CELLS: usize = 40;
const WHITE: u8 = 235;
const BLACK: u8 = 16;
const GREY: u8 = 128;

/// What a frame buffer holds behind its picture: the place of the ball in it, so that it can be wiped out.
const NOTE_BYTES: usize = 9;

/// The source of the test pattern.
#[derive(Debug)]
pub struct TestPattern {
    layout: Layout,
    fps: u32,
    pace: Pace,
    pool: FramePool,
    still: Vec<u8>,
    sea: Sea,
    counter: u64,
}

impl TestPattern {
    /// A pattern of that size and rate; the size is made even, and large enough for the cells.
    pub fn new(wanted: Wanted) -> Self {
        let width = wanted.size.width.clamp(160, 4096) & !1;
        // Both rows of cells stay in the upper fifth.
        let height = wanted.size.height.clamp(160.max(width / 4), 4096) & !1;
        let size = Size { width, height };
        let layout = Layout::packed_i420(size);
        let fps = wanted.fps.clamp(1, 120);
        Self {
            layout,
            fps,
            pace: Pace::new(f64::from(fps)),
            pool: FramePool::new(layout.bytes() + NOTE_BYTES),
            still: still_picture(&layout),
            sea: Sea::new(size),
            counter: 0,
        }
    }

    fn draw(&self, bytes: &mut [u8], captured: SystemTime) {
        let (picture, note) = bytes.split_at_mut(self.layout.bytes());
        let mut canvas = Canvas { bytes: picture, layout: &self.layout };
        match Ball::from_note(note) {
            Some(ball) => canvas.wipe(&ball.bounds(self.layout.size), &self.still),
            None => canvas.bytes.copy_from_slice(&self.still),
        }
        let ball = Ball::at(self.counter, self.layout.size);
        canvas.ball(ball);
        ball.write_note(note);
        self.sea.draw(canvas.bytes, self.layout.size, self.counter);
        let unix = captured.duration_since(UNIX_EPOCH).unwrap_or_default();
        canvas.clock(unix);
        // The low 32 bits are what travels; the reader knows the rest.
        canvas.number(0, self.counter as u32);
        canvas.number(1, unix.as_millis() as u32);
    }
}

impl Source for TestPattern {
    fn layout(&self) -> Layout {
        self.layout
    }

    fn rate(&self) -> f64 {
        f64::from(self.fps)
    }

    fn next(&mut self, wait: Duration) -> Result<Delivery, CaptureError> {
        let Some(_due) = self.pace.wait(wait) else { return Ok(Delivery::Nothing) };
        let captured_at = Instant::now();
        let mut bytes = self.pool.take();
        self.draw(&mut bytes, SystemTime::now());
        let sequence = Sequence { number: self.counter, missed: 0 };
        let frame = Frame::pooled(bytes, &self.pool, self.layout, captured_at, sequence)?;
        self.counter += 1;
        Ok(Delivery::Frame(frame))
    }
}

/// Reads a number of the pattern from the luma plane of a decoded picture of any origin; `None` if its check fails.
pub fn read_number(luma: &[u8], stride: usize, width: usize, row: usize) -> Option<u32> {
    let cell = width / CELLS;
    let line = (row * cell + cell / 2) * stride;
    let bit = |index: usize| luma.get(line + index * cell + cell / 2).map(|luma| u64::from(*luma > GREY));
    let word = (0..CELLS).try_fold(0, |word, index| Some(word << 1 | bit(index)?))?;
    let value = (word >> 8) as u32;
    (check(value) == word as u8).then_some(value)
}

fn check(value: u32) -> u8 {
    value.to_be_bytes().iter().fold(0, |check, byte| check ^ byte)
}

/// A rectangle with even coordinates, in luma pixels.
#[derive(Debug, Clone, Copy)]
struct Rect {
    x: usize,
    y: usize,
    width: usize,
    height: usize,
}

#[derive(Debug, Clone, Copy)]
struct Ball {
    x: usize,
    y: usize,
}

impl Ball {
    fn radius(size: Size) -> usize {
        (size.height.min(size.width) as usize / 14) & !1
    }

    /// It crosses the sky from left to right in 180 frames, on a flat arc.
    fn at(counter: u64, size: Size) -> Self {
        const FRAMES: u64 = 180;
        let (width, height) = (size.width as usize, size.height as usize);
        let radius = Self::radius(size);
        let way = (counter % FRAMES) as usize;
        let x = radius + (width - 2 * radius) * way / FRAMES as usize;
        let from_middle = (2.0 * way as f64 / FRAMES as f64 - 1.0).powi(2);
        let y = height * 27 / 100 + (height as f64 * 0.22 * from_middle) as usize;
        Self { x: x & !1, y: y & !1 }
    }

    fn bounds(self, size: Size) -> Rect {
        let radius = Self::radius(size);
        Rect { x: self.x - radius, y: self.y - radius, width: 2 * radius, height: 2 * radius }
    }

    fn from_note(note: &[u8]) -> Option<Self> {
        let number = |at: usize| note[at..at + 4].iter().fold(0, |number, byte| number << 8 | usize::from(*byte));
        (note[0] == 1).then(|| Self { x: number(1), y: number(5) })
    }

    fn write_note(self, note: &mut [u8]) {
        note[0] = 1;
        note[1..5].copy_from_slice(&(self.x as u32).to_be_bytes());
        note[5..9].copy_from_slice(&(self.y as u32).to_be_bytes());
    }
}

struct Canvas<'a> {
    bytes: &'a mut [u8],
    layout: &'a Layout,
}

impl Canvas<'_> {
    fn fill(&mut self, rect: Rect, colour: [u8; 3]) {
        self.lines(rect, |line, plane, _| line.fill(colour[plane]));
    }

    fn wipe(&mut self, rect: &Rect, still: &[u8]) {
        self.lines(*rect, |line, _, at| line.copy_from_slice(&still[at..at + line.len()]));
    }

    fn lines(&mut self, rect: Rect, mut draw: impl FnMut(&mut [u8], usize, usize)) {
        for (index, plane) in self.layout.planes.iter().enumerate() {
            let shift = usize::from(index > 0);
            let (x, width) = (rect.x >> shift, rect.width >> shift);
            for y in rect.y >> shift..(rect.y + rect.height) >> shift {
                let at = plane.offset + y * plane.stride + x;
                draw(&mut self.bytes[at..at + width], index, at);
            }
        }
    }

    fn ball(&mut self, ball: Ball) {
        let radius = Ball::radius(self.layout.size) as i64;
        for dy in (-radius..radius).step_by(2) {
            let half = ((radius * radius - dy * dy) as f64).sqrt() as usize & !1;
            let y = (ball.y as i64 + dy) as usize;
            self.fill(Rect { x: ball.x - half, y, width: 2 * half, height: 2 }, [228, 96, 146]);
        }
    }

    fn number(&mut self, row: usize, value: u32) {
        let width = self.layout.size.width as usize;
        let cell = width / CELLS;
        let word = u64::from(value) << 8 | u64::from(check(value));
        let stride = self.layout.planes[0].stride;
        let first = row * cell * stride;
        for (index, pixels) in self.bytes[first..first + CELLS * cell].chunks_exact_mut(cell).enumerate() {
            pixels.fill(if word >> (CELLS - 1 - index) & 1 == 1 { WHITE } else { BLACK });
        }
        for line in 1..cell {
            self.bytes.copy_within(first..first + CELLS * cell, first + line * stride);
        }
    }

    /// `HH:MM:SS.d` in seven segments on a dark plate.
    fn clock(&mut self, unix: Duration) {
        let seconds = unix.as_secs() % 86_400;
        let two = |number: u64| [(number / 10) as u8, (number % 10) as u8];
        let ([h, hh], [m, mm], [s, ss]) = (two(seconds / 3600), two(seconds / 60 % 60), two(seconds % 60));
        let glyphs = [h, hh, COLON, m, mm, COLON, s, ss, DOT, (unix.subsec_millis() / 100) as u8];

        let Size { width, height } = self.layout.size;
        let unit = ((height / 120).min(width / 80) as usize & !1).max(2);
        let advance = |glyph: u8| if glyph >= COLON { 4 * unit } else { 8 * unit };
        let width: usize = glyphs.iter().map(|glyph| advance(*glyph)).sum();
        let size = self.layout.size;
        let plate = Rect {
            x: ((size.width as usize - width) / 2 - 2 * unit) & !1,
            y: (size.height as usize * 52 / 100) & !1,
            width: width + 2 * unit,
            height: 14 * unit,
        };
        self.fill(plate, [38, 134, 122]);
        let (mut x, y) = (plate.x + 2 * unit, plate.y + 2 * unit);
        for glyph in glyphs {
            self.glyph(glyph, x, y, unit);
            x += advance(glyph);
        }
    }

    fn glyph(&mut self, glyph: u8, x: usize, y: usize, unit: usize) {
        /// x, y, width, height in units; top, upper right, lower right, bottom, lower left, upper left, middle.
        const SEGMENTS: [[usize; 4]; 7] =
            [[0, 0, 6, 1], [5, 0, 1, 5], [5, 5, 1, 5], [0, 9, 6, 1], [0, 5, 1, 5], [0, 0, 1, 5], [0, 5, 6, 1]];
        const DIGITS: [u8; 10] = [0x3f, 0x06, 0x5b, 0x4f, 0x66, 0x6d, 0x7d, 0x07, 0x7f, 0x6f];
        let ink = [WHITE, GREY, GREY];
        let mut block = |[left, top, width, height]: [usize; 4]| {
            let rect = Rect { x: x + left * unit, y: y + top * unit, width: width * unit, height: height * unit };
            self.fill(rect, ink);
        };
        match glyph {
            COLON => [[1, 3, 1, 1], [1, 7, 1, 1]].into_iter().for_each(block),
            DOT => block([1, 9, 1, 1]),
            digit => {
                let lit = DIGITS[usize::from(digit) % 10];
                (0..7).filter(|segment| lit >> segment & 1 == 1).for_each(|segment| block(SEGMENTS[segment]));
            }
        }
    }
}

const COLON: u8 = 10;
const DOT: u8 = 11;

/// First line of the sea.
fn horizon(size: Size) -> usize {
    (size.height as usize * 74 / 100) & !1
}

/// Everything that does not move: the sky, two lines of hills, the colour of the sea, black cells.
fn still_picture(layout: &Layout) -> Vec<u8> {
    let size = layout.size;
    let (width, height, horizon) = (size.width as usize, size.height as usize, horizon(size));
    let mut bytes = vec![0; layout.bytes()];
    let mut canvas = Canvas { bytes: &mut bytes, layout };
    for y in (0..height).step_by(2) {
        let depth = y as f64 / horizon as f64;
        let colour = if y < horizon {
            // From a deep blue to a warm haze.
            let mix = |from: f64, to: f64| (from + (to - from) * depth.powf(1.4)) as u8;
            [mix(66.0, 172.0), mix(158.0, 112.0), mix(112.0, 144.0)]
        } else {
            [94, 146, 112]
        };
        canvas.fill(Rect { x: 0, y, width, height: 2 }, colour);
    }
    for (base, swing, waves, colour) in [(0.60, 0.07, 1.7, [104, 134, 124]), (0.68, 0.05, 3.1, [78, 128, 120])] {
        for x in (0..width).step_by(2) {
            let phase = x as f64 / width as f64 * waves * std::f64::consts::TAU;
            let top = height as f64 * (base + swing * (0.6 * phase.sin() + 0.4 * (2.3 * phase + 1.0).sin()));
            let top = (top as usize & !1).min(horizon);
            canvas.fill(Rect { x, y: top, width: 2, height: horizon - top }, colour);
        }
    }
    let cell = width / CELLS;
    canvas.fill(Rect { x: 0, y: 0, width: (CELLS * cell) & !1, height: (2 * cell + 1) & !1 }, [BLACK, GREY, GREY]);
    bytes
}

/// The sea: a texture whose lines glide past each other, the nearer the farther. No motion search finds blocks of it
/// again, so it gives the encoder honest work: some 1 Mbps at 720x480 and 30 frames a second.
#[derive(Debug)]
struct Sea {
    texture: Vec<u8>,
    width: usize,
}

impl Sea {
    fn new(size: Size) -> Self {
        let lines = size.height as usize - horizon(size);
        let width = size.width as usize;
        // Blurred noise from a linear congruential generator: the same picture on every machine.
        let mut state = 12_345u32;
        let mut noise = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            i32::from((state >> 24) as u8)
        };
        const BLUR: usize = 12;
        let mut texture = Vec::with_capacity(2 * width * lines);
        for line in 0..lines {
            let raw: Vec<i32> = (0..width).map(|_| noise()).collect();
            let contrast = 2 + 4 * line as i32 / lines as i32;
            let sample = |x: usize| {
                let sum: i32 = (0..BLUR).map(|dx| raw[(x + dx) % width]).sum();
                (94 + (sum / BLUR as i32 - 128) * contrast / 4).clamp(40, 200) as u8
            };
            let line: Vec<u8> = (0..width).map(sample).collect();
            // Twice side by side, so that any offset is one copy.
            texture.extend_from_slice(&line);
            texture.extend_from_slice(&line);
        }
        Self { texture, width }
    }

    fn draw(&self, luma: &mut [u8], size: Size, counter: u64) {
        let first = horizon(size);
        let lines = self.texture.len() / (2 * self.width);
        for (index, line) in self.texture.chunks_exact(2 * self.width).enumerate() {
            let depth = index as f64 / lines as f64;
            let phase = index as f64 * 1.7 + counter as f64 * (0.05 + 0.04 * (index % 7) as f64);
            let sway = (1.0 + 14.0 * depth) * phase.sin();
            let drift = counter as f64 * (0.3 + 1.5 * depth);
            let offset = (drift + sway).rem_euclid(self.width as f64) as usize % self.width;
            let at = (first + index) * self.width;
            luma[at..at + self.width].copy_from_slice(&line[offset..offset + self.width]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(width: u32, height: u32) -> TestPattern {
        TestPattern::new(Wanted { size: Size { width, height }, fps: 120 })
    }

    #[test]
    fn counter_and_time_are_read_back_from_the_pixels() {
        for (width, height) in [(720, 480), (1280, 720), (160, 120), (642, 362), (321, 241)] {
            let mut pattern = pattern(width, height);
            for expected in 0..8 {
                let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u32;
                let frame = pattern.next(Duration::from_secs(5)).unwrap().frame().unwrap();
                let stride = frame.layout().planes[0].stride;
                let number = |row| read_number(frame.plane(0), stride, frame.layout().size.width as usize, row);
                assert_eq!(number(0), Some(expected));
                let captured = number(1).unwrap();
                assert!(captured.wrapping_sub(before) < 60_000, "{before} {captured}");
            }
        }
    }

    #[test]
    fn a_damaged_number_is_not_read() {
        let mut pattern = pattern(720, 480);
        let frame = pattern.next(Duration::from_secs(5)).unwrap().frame().unwrap();
        let mut luma = frame.plane(0).to_vec();
        let middle = 9 * 720 + 5 * 18 + 9;
        luma[middle] = !luma[middle];
        assert_eq!(read_number(&luma, 720, 720, 0), None);
        assert_eq!(read_number(&luma[..100], 720, 720, 0), None);
    }

    #[test]
    fn a_recycled_frame_looks_like_a_fresh_one() {
        let mut pattern = pattern(720, 480);
        let at = UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
        let mut recycled = pattern.pool.take();
        for counter in [0, 1, 50, 179, 180] {
            pattern.counter = counter;
            pattern.draw(&mut recycled, at);
        }
        let mut fresh = vec![0; recycled.len()];
        pattern.draw(&mut fresh, at);
        assert!(fresh == recycled);
    }

    #[test]
    fn every_size_that_can_be_set_is_drawn() {
        for (width, height) in [(16, 16), (160, 4096), (4096, 16), (4096, 4096), (1080, 1920), (540, 960), (2000, 100)]
        {
            let mut pattern = pattern(width, height);
            for counter in [0, 60, 179] {
                pattern.counter = counter;
                let frame = pattern.next(Duration::from_secs(5)).unwrap().frame().unwrap();
                let (layout, luma) = (*frame.layout(), frame.plane(0));
                let number = |row| read_number(luma, layout.planes[0].stride, layout.size.width as usize, row);
                assert_eq!(number(0), Some(counter as u32), "{width}x{height}");
                assert!(number(1).is_some(), "{width}x{height}");
            }
        }
    }

    #[test]
    fn it_moves() {
        let mut pattern = pattern(720, 480);
        let first = pattern.next(Duration::from_secs(5)).unwrap().frame().unwrap();
        let second = pattern.next(Duration::from_secs(5)).unwrap().frame().unwrap();
        let changed = first.plane(0).iter().zip(second.plane(0)).filter(|(a, b)| a != b).count();
        assert!(changed > 50_000, "{changed} of {} pixels", first.plane(0).len());
    }
}
