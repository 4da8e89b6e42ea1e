//! YUV4MPEG2 files (4:2:0, 8 bits) as ffmpeg writes them, read into memory.

#![allow(unreachable_pub, reason = "shared by the examples")]
#![allow(dead_code, reason = "each of them uses its own part of this")]

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use camera_fw::capture::convert::Picture;
use camera_fw::frame::{Layout, Size};

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum ClipError {
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is no y4m file as ffmpeg writes them: {problem}", path.display())]
    Format { path: PathBuf, problem: &'static str },
}

/// The pictures of a file.
pub struct Clip {
    pub layout: Layout,
    /// Frames a second as numerator and denominator.
    pub rate: (u32, u32),
    pub frames: Vec<Vec<u8>>,
}

impl Clip {
    /// Reads so many frames of a file, or all that it has.
    pub fn read(path: &Path, at_most: usize) -> Result<Self, ClipError> {
        let unreadable = |source| ClipError::Read { path: path.into(), source };
        let malformed = |problem| ClipError::Format { path: path.into(), problem };
        let mut reader = BufReader::new(File::open(path).map_err(unreadable)?);
        let mut line = String::new();
        reader.read_line(&mut line).map_err(unreadable)?;
        let field = |tag: char| line.split_whitespace().skip(1).find_map(|field| field.strip_prefix(tag));
        let number = |tag| field(tag).and_then(|value| value.parse::<u32>().ok()).filter(|number| *number > 0);
        let size = number('W').zip(number('H')).map(|(width, height)| Size { width, height });
        let layout = Layout::packed_i420(size.ok_or_else(|| malformed("its header has no size"))?);
        let rate = field('F').and_then(|rate| rate.split_once(':'));
        let rate = rate.and_then(|(n, d)| Some((n.parse().ok()?, d.parse().ok()?))).filter(|(n, d)| *n > 0 && *d > 0);
        let rate = rate.ok_or_else(|| malformed("its header has no frame rate"))?;
        let mut frames = Vec::new();
        while frames.len() < at_most {
            let mut line = Vec::new();
            match reader.read_until(b'\n', &mut line).map_err(unreadable)? {
                0 => break,
                _ if line.starts_with(b"FRAME") => {}
                _ => return Err(malformed("a frame does not begin with FRAME")),
            }
            let mut bytes = vec![0; layout.bytes()];
            reader.read_exact(&mut bytes).map_err(unreadable)?;
            frames.push(bytes);
        }
        if frames.is_empty() { Err(malformed("it has no frame")) } else { Ok(Self { layout, rate, frames }) }
    }

    /// Frames a second.
    pub fn fps(&self) -> f64 {
        f64::from(self.rate.0) / f64::from(self.rate.1)
    }

    /// One plane of a frame.
    pub fn plane(&self, number: usize, plane: usize) -> &[u8] {
        let bytes = &self.frames[number % self.frames.len()];
        &bytes[self.layout.planes[plane].offset..][..self.layout.plane_bytes(plane)]
    }

    /// A frame; after the last comes the first.
    pub fn picture(&self, number: usize) -> Picture<'_> {
        let planes = [0, 1, 2].map(|plane| self.plane(number, plane));
        Picture { planes, strides: self.layout.planes.map(|plane| plane.stride) }
    }
}
