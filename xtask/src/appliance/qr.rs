//! QR codes in pictures, read by a decoder that shares nothing with what draws them.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

/// A grey picture.
#[derive(Debug)]
struct Picture {
    width: usize,
    grey: Vec<u8>,
}

/// What the QR code in a PGM or PPM file says. A console may have it light on dark.
pub(crate) fn read(file: &Path) -> Result<String> {
    let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let picture = parse(&bytes).with_context(|| format!("{} is no picture", file.display()))?;
    [false, true]
        .into_iter()
        .find_map(|inverted| decode(&picture, inverted))
        .with_context(|| format!("no QR code can be read in {}", file.display()))
}

fn decode(picture: &Picture, inverted: bool) -> Option<String> {
    let Picture { width, grey } = picture;
    let height = grey.len() / width;
    let pixel = |x: usize, y: usize| if inverted { !grey[y * width + x] } else { grey[y * width + x] };
    let mut prepared = rqrr::PreparedImage::prepare_from_greyscale(*width, height, pixel);
    prepared.detect_grids().iter().find_map(|grid| grid.decode().ok()).map(|(_, text)| text)
}

/// Binary PGM (`P5`) and PPM (`P6`), as QEMU and our script write them: no comments, 8 bits.
fn parse(bytes: &[u8]) -> Result<Picture> {
    let mut at = 0;
    let mut words = Vec::new();
    while words.len() < 4 {
        let rest = bytes.get(at..).context("it is too short")?;
        let length = rest.iter().position(u8::is_ascii_whitespace).context("it is too short")?;
        if length > 0 {
            words.push(String::from_utf8_lossy(&rest[..length]).into_owned());
        }
        at += length + 1;
    }
    let channels = match words[0].as_str() {
        "P5" => 1,
        "P6" => 3,
        other => anyhow::bail!("it begins with {other}"),
    };
    let (width, height): (usize, usize) = (words[1].parse()?, words[2].parse()?);
    let pixels = &bytes[at..];
    ensure!(width > 0 && pixels.len() == width * height * channels, "it has not the size that it says");
    let mean = |pixel: &[u8]| (pixel.iter().map(|value| usize::from(*value)).sum::<usize>() / channels) as u8;
    Ok(Picture { width, grey: pixels.chunks(channels).map(mean).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_read_in_both_forms() {
        assert_eq!(parse(b"P5\n2 1\n255\n\x0a\xff").unwrap().grey, [10, 255]);
        assert_eq!(parse(b"P6\n1 1\n255\n\x00\x03\x06").unwrap().grey, [3]);
        assert!(parse(b"P5\n2 2\n255\n\x0a").is_err());
        assert!(parse(b"P4\n2 2\n255\n\x0a").is_err());
    }
}
