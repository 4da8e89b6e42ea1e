//! The QR code as one outline.
//!
//! Squares drawn one by one leave hairlines where they touch, on screens as in print. So the border between dark and
//! light is followed, and what lies inside is filled as a whole.

use std::fmt::Write as _;
use std::ops::RangeInclusive;

use qrcode::{Color, EcLevel, QrCode, Version};

/// What stays light around the code, in modules (ISO/IEC 18004, 9.1).
pub(super) const QUIET_ZONE: usize = 4;

/// The dark modules of a code.
pub(super) struct Modules {
    width: usize,
    dark: Vec<bool>,
}

impl Modules {
    /// The code of a text, so many modules wide: with a quarter of it damaged it can still be read (level Q), or with
    /// 15 % (level M) where the text is too long for that.
    pub(super) fn of(text: &str, widths: RangeInclusive<usize>) -> Option<Self> {
        [EcLevel::Q, EcLevel::M].into_iter().find_map(|level| {
            let mut code = QrCode::with_error_correction_level(text, level).ok()?;
            if code.width() < *widths.start() {
                // Version 1 is 21 modules wide, each one after it 4 more (ISO/IEC 18004, 7.3.1).
                let version = (widths.start().saturating_sub(17)).div_ceil(4);
                code = QrCode::with_version(text, Version::Normal(version.try_into().ok()?), level).ok()?;
            }
            let width = code.width();
            let dark = code.into_colors().into_iter().map(|color| color == Color::Dark).collect();
            widths.contains(&width).then_some(Self { width, dark })
        })
    }

    /// Modules on a side.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// The outline as the `d` of an SVG path, one unit a module.
    pub(super) fn outline(&self) -> String {
        let mut edges = Edges::around(self);
        let mut path = String::new();
        while let Some(start) = edges.first() {
            let mut heading = edges.leave(start, None);
            let (mut corner, mut at) = (start, step(start, heading));
            let _ = write!(path, "M{} {}", start.0, start.1);
            while at != start {
                let next = edges.leave(at, Some(heading));
                if next != heading {
                    path.push_str(&line(corner, at));
                    (corner, heading) = (at, next);
                }
                at = step(at, next);
            }
            // The last line is drawn by closing the path.
            path.push('z');
        }
        path
    }

    fn is_dark(&self, x: isize, y: isize) -> bool {
        let inside = |value: isize| usize::try_from(value).ok().filter(|value| *value < self.width);
        inside(x).zip(inside(y)).is_some_and(|(x, y)| self.dark[y * self.width + x])
    }
}

type Corner = (usize, usize);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heading {
    Right,
    Down,
    Left,
    Up,
}

impl Heading {
    const ALL: [Self; 4] = [Self::Right, Self::Down, Self::Left, Self::Up];

    const fn bit(self) -> u8 {
        1 << self as u8
    }

    const fn turned_right(self) -> Self {
        Self::ALL[(self as usize + 1) % 4]
    }
}

/// The border between dark and light: for each corner, where it can be left to with the dark on the right.
struct Edges {
    side: usize,
    from: Vec<u8>,
    /// Before this one, every corner is done.
    next: usize,
}

impl Edges {
    fn around(modules: &Modules) -> Self {
        let side = modules.width + 1;
        let mut from = vec![0; side * side];
        for y in 0..side {
            for x in 0..side {
                let dark = |dx: isize, dy: isize| modules.is_dark(x as isize + dx, y as isize + dy);
                let (above_left, above, left, here) = (dark(-1, -1), dark(0, -1), dark(-1, 0), dark(0, 0));
                for (heading, right_hand, left_hand) in [
                    (Heading::Right, here, above),
                    (Heading::Down, left, here),
                    (Heading::Left, above_left, left),
                    (Heading::Up, above, above_left),
                ] {
                    if right_hand && !left_hand {
                        from[y * side + x] |= heading.bit();
                    }
                }
            }
        }
        Self { side, from, next: 0 }
    }

    fn first(&mut self) -> Option<Corner> {
        self.next += self.from[self.next..].iter().position(|headings| *headings != 0)?;
        Some((self.next % self.side, self.next / self.side))
    }

    /// Takes an edge that leaves the corner. Where two modules touch with their corners alone there are two, and the
    /// right turn stays at the module that was followed.
    fn leave(&mut self, corner: Corner, arriving: Option<Heading>) -> Heading {
        let headings = &mut self.from[corner.1 * self.side + corner.0];
        let wanted = arriving.map(Heading::turned_right).filter(|right| *headings & right.bit() != 0);
        let heading = wanted
            .or_else(|| Heading::ALL.into_iter().find(|heading| *headings & heading.bit() != 0))
            .expect("every corner is left as often as it is reached");
        *headings &= !heading.bit();
        heading
    }
}

const fn step((x, y): Corner, heading: Heading) -> Corner {
    match heading {
        Heading::Right => (x + 1, y),
        Heading::Down => (x, y + 1),
        Heading::Left => (x - 1, y),
        Heading::Up => (x, y - 1),
    }
}

fn line(from: Corner, to: Corner) -> String {
    if from.1 == to.1 { format!("H{}", to.0) } else { format!("V{}", to.1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn modules(rows: &[&str]) -> Modules {
        Modules {
            width: rows.len(),
            dark: rows.iter().flat_map(|row| row.chars().map(|module| module == '#')).collect(),
        }
    }

    #[test]
    fn a_block_is_one_square() {
        assert_eq!(modules(&["##", "##"]).outline(), "M0 0H2V2H0z");
    }

    #[test]
    fn a_ring_has_a_hole_that_runs_the_other_way() {
        assert_eq!(modules(&["###", "# #", "###"]).outline(), "M0 0H3V3H0zM1 1V2H2V1z");
    }

    #[test]
    fn modules_that_touch_with_corners_stay_apart() {
        assert_eq!(modules(&["# ", " #"]).outline(), "M0 0H1V1H0zM1 1H2V2H1z");
        assert_eq!(modules(&[" #", "# "]).outline(), "M1 0H2V1H1zM0 1H1V2H0z");
    }

    #[test]
    fn a_long_text_gets_less_correction_and_then_none_at_all() {
        let wide = |text: &str| Modules::of(text, 37..=85).map(|code| code.width());
        assert_eq!(wide("x"), Some(37), "not smaller, where larger modules would leave too little white around");
        assert_eq!(wide(&"x".repeat(364)), Some(85), "version 17, level Q");
        assert_eq!(wide(&"x".repeat(504)), Some(85), "version 17, level M");
        assert_eq!(wide(&"x".repeat(505)), None);
        assert_eq!(wide(&"x".repeat(5000)), None);
    }
}
