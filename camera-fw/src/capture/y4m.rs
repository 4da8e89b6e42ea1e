//! YUV4MPEG2 files: played in a loop, at their own rate.
//!
//! The format (mjpegtools' yuv4mpeg(5)): a header line `YUV4MPEG2 W720 H480 F30:1 C420jpeg …`, then for each frame a
//! line `FRAME…` and the planes. The file is walked through once when it is opened, so that what is wrong with it is
//! said before anybody watches.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{CaptureError, Delivery, Pace, Source};
use crate::frame::{Frame, FramePool, Layout, Sequence, Size};

/// Longest header or frame line; the format has no limit, real ones stay under 100 bytes.
const LINE_BYTES: u64 = 1024;
const LARGEST: u32 = 4096;

/// A y4m file as a source.
#[derive(Debug)]
pub(super) struct Y4mFile {
    path: PathBuf,
    reader: BufReader<File>,
    first_frame: u64,
    layout: Layout,
    fps: f64,
    pace: Pace,
    pool: FramePool,
    sequence: u64,
}

impl Y4mFile {
    /// Opens and checks the file.
    pub(super) fn open(path: &Path) -> Result<Self, CaptureError> {
        let unreadable = |source| CaptureError::File { path: path.into(), source };
        let malformed = |problem: &str| CaptureError::Y4m { path: path.into(), problem: problem.to_owned() };
        // Looked at before it is opened: opening a pipe waits for whoever writes to it.
        let metadata = std::fs::metadata(path).map_err(unreadable)?;
        if !metadata.is_file() {
            return Err(malformed("it is no regular file"));
        }
        if metadata.len() == 0 {
            return Err(malformed("it is empty"));
        }
        let file = File::open(path).map_err(unreadable)?;
        // Small: lines are read through it, planes past it, and the check leaves the planes out.
        let mut reader = BufReader::with_capacity(LINE_BYTES as usize, file);
        let header = read_line(&mut reader, path)?;
        let header = Header::parse(&header).map_err(|problem| CaptureError::Y4m { path: path.into(), problem })?;
        let layout = Layout::packed_i420(header.size);
        let mut source = Self {
            path: path.into(),
            first_frame: position(&mut reader, path)?,
            reader,
            layout,
            fps: header.fps,
            pace: Pace::new(header.fps),
            pool: FramePool::new(layout.bytes()),
            sequence: 0,
        };
        source.check_frames()?;
        source.rewind()?;
        Ok(source)
    }

    /// Every frame must be there whole, and there must be one.
    fn check_frames(&mut self) -> Result<(), CaptureError> {
        let length = self.reader.get_ref().metadata().map_err(|source| self.unreadable(source))?.len();
        let mut frames = 0u64;
        loop {
            let start = position(&mut self.reader, &self.path)?;
            if start == length && frames > 0 {
                return Ok(());
            }
            if start == length {
                return Err(self.malformed("it has a header but no frame".into()));
            }
            if !self.read_frame_line()? {
                return Err(self.malformed(format!("frame {frames} at byte {start} does not begin with FRAME")));
            }
            let end = position(&mut self.reader, &self.path)? + self.layout.bytes() as u64;
            if end > length {
                return Err(self.malformed(format!("frame {frames} at byte {start} is cut short")));
            }
            self.seek(end)?;
            frames += 1;
        }
    }

    fn read_frame_line(&mut self) -> Result<bool, CaptureError> {
        let line = read_line(&mut self.reader, &self.path)?;
        Ok(line == "FRAME" || line.starts_with("FRAME "))
    }

    fn rewind(&mut self) -> Result<(), CaptureError> {
        self.seek(self.first_frame)
    }

    fn seek(&mut self, to: u64) -> Result<(), CaptureError> {
        self.reader.seek(SeekFrom::Start(to)).map_err(|source| self.unreadable(source)).map(|_| ())
    }

    fn unreadable(&self, source: std::io::Error) -> CaptureError {
        CaptureError::File { path: self.path.clone(), source }
    }

    fn malformed(&self, problem: String) -> CaptureError {
        CaptureError::Y4m { path: self.path.clone(), problem }
    }
}

impl Source for Y4mFile {
    fn layout(&self) -> Layout {
        self.layout
    }

    fn rate(&self) -> f64 {
        self.fps
    }

    fn next(&mut self, wait: Duration) -> Result<Delivery, CaptureError> {
        if self.pace.wait(wait).is_none() {
            return Ok(Delivery::Nothing);
        }
        let at_end = match self.reader.fill_buf() {
            Ok(rest) => rest.is_empty(),
            Err(source) => return Err(self.unreadable(source)),
        };
        if at_end {
            self.rewind()?;
        }
        if !self.read_frame_line()? {
            return Err(self.malformed("it was changed while it played".into()));
        }
        let mut bytes = self.pool.take();
        self.reader.read_exact(&mut bytes).map_err(|source| self.unreadable(source))?;
        let sequence = Sequence { number: self.sequence, missed: 0 };
        let frame = Frame::pooled(bytes, &self.pool, self.layout, Instant::now(), sequence)?;
        self.sequence += 1;
        Ok(Delivery::Frame(frame))
    }
}

#[derive(Debug, PartialEq)]
struct Header {
    size: Size,
    fps: f64,
}

impl Header {
    fn parse(line: &str) -> Result<Self, String> {
        let mut fields = line.split(' ');
        if fields.next() != Some("YUV4MPEG2") {
            return Err("it does not begin with YUV4MPEG2".into());
        }
        let (mut width, mut height, mut fps) = (None, None, None);
        for field in fields.filter(|field| !field.is_empty()) {
            let (tag, value) = field.split_at(field.chars().next().map_or(0, char::len_utf8));
            match tag {
                "W" => width = Some(length("width", value)?),
                "H" => height = Some(length("height", value)?),
                "F" => fps = Some(rate(value)?),
                // The 4:2:0 kinds differ in where chroma is sampled: half a pixel, which nobody sees.
                "C" if !["420", "420jpeg", "420mpeg2", "420paldv"].contains(&value) => {
                    return Err(format!("its pixel format is C{value}, 4:2:0 with 8 bits is needed"));
                }
                _ => {}
            }
        }
        let size = Size {
            width: width.ok_or("its header has no width (W)")?,
            height: height.ok_or("its header has no height (H)")?,
        };
        Ok(Self { size, fps: fps.ok_or("its header has no frame rate (F)")? })
    }
}

fn length(what: &str, value: &str) -> Result<u32, String> {
    match value.parse() {
        Ok(length @ 16..=LARGEST) => Ok(length),
        _ => Err(format!("its {what} is {value:?}, 16 to {LARGEST} pixels are possible")),
    }
}

fn rate(value: &str) -> Result<f64, String> {
    let parts = value.split_once(':').and_then(|(n, d)| Some((n.parse::<u32>().ok()?, d.parse::<u32>().ok()?)));
    match parts {
        Some((n, d)) if d > 0 && (0.1..=240.0).contains(&(f64::from(n) / f64::from(d))) => {
            Ok(f64::from(n) / f64::from(d))
        }
        _ => Err(format!("its frame rate is {value:?}, 0.1 to 240 frames a second written like 30:1 are possible")),
    }
}

fn read_line(reader: &mut BufReader<File>, path: &Path) -> Result<String, CaptureError> {
    let mut line = Vec::with_capacity(128);
    let read = reader.by_ref().take(LINE_BYTES).read_until(b'\n', &mut line);
    read.map_err(|source| CaptureError::File { path: path.into(), source })?;
    if line.pop() != Some(b'\n') {
        let problem = "a header line does not end".to_owned();
        return Err(CaptureError::Y4m { path: path.into(), problem });
    }
    Ok(String::from_utf8_lossy(&line).into_owned())
}

fn position(reader: &mut BufReader<File>, path: &Path) -> Result<u64, CaptureError> {
    reader.stream_position().map_err(|source| CaptureError::File { path: path.into(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "YUV4MPEG2 W16 H16 F100:1 Ip A1:1 C420jpeg XYSCSS=420JPEG\n";
    const BYTES: usize = 16 * 16 * 3 / 2;

    fn file(parts: &[&[u8]]) -> tempfile::NamedTempFile {
        let file = tempfile::Builder::new().suffix(".y4m").tempfile().unwrap();
        std::fs::write(file.path(), parts.concat()).unwrap();
        file
    }

    fn refusal(parts: &[&[u8]]) -> String {
        Y4mFile::open(file(parts).path()).unwrap_err().to_string()
    }

    #[test]
    fn frames_play_in_order_and_start_again() {
        let frames: Vec<Vec<u8>> = (1..=3).map(|luma| vec![luma; BYTES]).collect();
        let file =
            file(&[HEADER.as_bytes(), b"FRAME\n", &frames[0], b"FRAME Ip\n", &frames[1], b"FRAME\n", &frames[2]]);
        let mut source = Y4mFile::open(file.path()).unwrap();
        assert_eq!((source.rate(), source.layout().size.to_string().as_str()), (100.0, "16x16"));
        for (sequence, luma) in [1, 2, 3, 1, 2].into_iter().enumerate() {
            let frame = source.next(Duration::from_secs(5)).unwrap().frame().unwrap();
            assert_eq!((frame.plane(0)[0], frame.sequence.number), (luma, sequence as u64));
        }
    }

    #[test]
    fn it_does_not_wait_longer_than_asked() {
        let slow = HEADER.replace("100:1", "1:10");
        let file = file(&[slow.as_bytes(), b"FRAME\n", &[0; BYTES]]);
        let mut source = Y4mFile::open(file.path()).unwrap();
        assert!(source.next(Duration::from_millis(5)).unwrap().frame().is_some());
        assert!(source.next(Duration::from_millis(5)).unwrap().frame().is_none());
    }

    #[test]
    fn what_is_wrong_is_said_with_the_place_and_the_way_out() {
        let frame = [0; BYTES];
        let second = HEADER.len() + "FRAME\n".len() + BYTES;
        assert!(refusal(&[b""]).contains("it is empty"));
        let folder = Y4mFile::open(Path::new("/tmp")).unwrap_err().to_string();
        assert!(folder.contains("it is no regular file"), "{folder}");
        assert!(refusal(&[b"RIFF....AVI \n"]).contains("does not begin with YUV4MPEG2"));
        assert!(refusal(&[b"YUV4MPEG2 W16 F30:1\n"]).contains("no height (H)"));
        assert!(refusal(&[b"YUV4MPEG2 W16 H16\n"]).contains("no frame rate (F)"));
        assert!(refusal(&[b"YUV4MPEG2 W0 H16 F30:1\n"]).contains("its width is \"0\""));
        assert!(refusal(&[b"YUV4MPEG2 W16 H99999 F30:1\n"]).contains("its height is \"99999\""));
        assert!(refusal(&[b"YUV4MPEG2 W16 H16 F0:0\n"]).contains("its frame rate is \"0:0\""));
        assert!(refusal(&[b"YUV4MPEG2 W16 H16 F30:1 C444\n"]).contains("its pixel format is C444"));
        assert!(refusal(&["YUV4MPEG2 W16 H16 F30:1 ÄÖ\n".as_bytes()]).contains("no frame"));
        assert!(refusal(&[HEADER.as_bytes()]).contains("no frame"));
        assert!(
            refusal(&[HEADER.as_bytes(), b"FRAME\n", &frame, b"FRAME\n", &frame[1..]])
                .contains(&format!("frame 1 at byte {second} is cut short"))
        );
        assert!(
            refusal(&[HEADER.as_bytes(), b"FRAME\n", &frame, b"FRAMES\n", &frame])
                .contains(&format!("frame 1 at byte {second} does not begin with FRAME"))
        );
        assert!(refusal(&[HEADER.as_bytes(), &[b'x'; 2000]]).contains("a header line does not end"));
        assert!(refusal(&[b"RIFF"]).contains("ffmpeg -i INPUT -pix_fmt yuv420p"));
        let missing = Y4mFile::open(Path::new("/no/such.y4m")).unwrap_err().to_string();
        assert!(missing.contains("/no/such.y4m") && missing.contains("No such file"), "{missing}");
    }
}
