//! Labels are read back by decoders that share nothing with what draws them, from every format that people print.

#![cfg(feature = "label")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use camera_fw::code;
use camera_fw::identity::Identity;
use resvg::tiny_skia::{Color, Pixmap, Transform};
use resvg::usvg::{Options, Tree};

const PAGE: &str = "https://cam.example.org:8192/";
const SERVER: &str = "wss://cam.example.org:8192";

/// Runs `camera-fw label` in a folder, whose `state` is the state folder.
fn label(arguments: &[&str], folder: &Path) -> Output {
    run(&[&["label"], arguments].concat(), folder)
}

fn run(arguments: &[&str], folder: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_camera-fw"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CAMERA_FW_")) {
        command.env_remove(name);
    }
    command.args(["--server", SERVER, "--state-dir", "state"]).args(arguments).current_dir(folder);
    command.stdin(Stdio::null()).output().unwrap()
}

fn written(arguments: &[&str], folder: &Path) -> String {
    let output = label(arguments, folder);
    assert!(output.status.success(), "{arguments:?}\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn link_of(state: &Path) -> String {
    code::link(Identity::load(state).unwrap().code(), PAGE)
}

/// A picture in grey.
struct Picture {
    width: usize,
    height: usize,
    grey: Vec<u8>,
}

impl Picture {
    fn from_png(path: &Path) -> Self {
        let mut reader = png::Decoder::new(std::io::BufReader::new(fs::File::open(path).unwrap())).read_info().unwrap();
        let mut grey = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut grey).unwrap();
        assert_eq!((info.color_type, info.bit_depth), (png::ColorType::Grayscale, png::BitDepth::Eight));
        Self { width: info.width as usize, height: info.height as usize, grey }
    }

    /// Without any font: what is not an outline does not appear.
    fn from_svg(path: &Path) -> Self {
        let tree = Tree::from_str(&fs::read_to_string(path).unwrap(), &Options::default()).unwrap();
        let size = tree.size().to_int_size();
        let mut pixels = Pixmap::new(2 * size.width(), 2 * size.height()).unwrap();
        pixels.fill(Color::WHITE);
        resvg::render(&tree, Transform::from_scale(2.0, 2.0), &mut pixels.as_mut());
        let grey = pixels.pixels().iter().map(|pixel| pixel.red()).collect();
        Self { width: pixels.width() as usize, height: pixels.height() as usize, grey }
    }

    /// A binary greymap (pgm(5)) without comments, as poppler writes it.
    fn from_pgm(path: &Path) -> Self {
        let bytes = fs::read(path).unwrap();
        let mut fields = bytes.splitn(4, |byte| byte.is_ascii_whitespace());
        let mut number = || std::str::from_utf8(fields.next().unwrap()).unwrap().to_owned();
        assert_eq!(number(), "P5");
        let (width, height) = (number().parse().unwrap(), number().parse().unwrap());
        let grey = fields.next().unwrap().strip_prefix(b"255\n").unwrap().to_vec();
        Self { width, height, grey }
    }

    fn part(&self, left: usize, top: usize, width: usize, height: usize) -> Self {
        let row = |y: usize| &self.grey[y * self.width + left..][..width];
        Self { width, height, grey: (top..top + height).flat_map(row).copied().collect() }
    }

    /// Each pixel the mean of a square: a smaller picture.
    fn reduced(&self, by: usize) -> Self {
        let (width, height) = (self.width / by, self.height / by);
        let mean = |x: usize, y: usize| {
            let square =
                (0..by * by).map(|at| u32::from(self.grey[(y * by + at / by) * self.width + x * by + at % by]));
            (square.sum::<u32>() / (by * by) as u32) as u8
        };
        Self { width, height, grey: (0..width * height).map(|at| mean(at % width, at / width)).collect() }
    }

    /// Each pixel the mean of those around it: out of focus.
    fn blurred(&self, radius: usize) -> Self {
        let mean = |x: usize, y: usize| {
            let (columns, rows) = (
                x.saturating_sub(radius)..(x + radius + 1).min(self.width),
                y.saturating_sub(radius)..(y + radius + 1).min(self.height),
            );
            let count = columns.len() * rows.len();
            let sum: usize = rows
                .flat_map(|row| &self.grey[row * self.width..][columns.clone()])
                .map(|grey| usize::from(*grey))
                .sum();
            (sum / count) as u8
        };
        let grey = (0..self.grey.len()).map(|at| mean(at % self.width, at / self.width)).collect();
        Self { width: self.width, height: self.height, grey }
    }

    /// Turned about its middle, with white around it.
    fn turned(&self, degrees: f64) -> Self {
        let side = (self.width as f64).hypot(self.height as f64).ceil() as usize + 2;
        let (sin, cos) = degrees.to_radians().sin_cos();
        let pixel = |x: isize, y: isize| {
            let inside = x >= 0 && y >= 0 && (x as usize) < self.width && (y as usize) < self.height;
            if inside { f64::from(self.grey[y as usize * self.width + x as usize]) } else { 255.0 }
        };
        let at = |index: usize| {
            let [x, y] = [index % side, index / side].map(|place| place as f64 - side as f64 / 2.0);
            let (x, y) = (cos * x + sin * y + self.width as f64 / 2.0, cos * y - sin * x + self.height as f64 / 2.0);
            let (column, row, right, down) = (x.floor() as isize, y.floor() as isize, x - x.floor(), y - y.floor());
            let above = pixel(column, row) * (1.0 - right) + pixel(column + 1, row) * right;
            let below = pixel(column, row + 1) * (1.0 - right) + pixel(column + 1, row + 1) * right;
            (above * (1.0 - down) + below * down) as u8
        };
        Self { width: side, height: side, grey: (0..side * side).map(at).collect() }
    }

    /// What the one QR code in it says. A decoder fails on one picture in some hundreds, whatever is on it, so it is
    /// shown more than one, as by a hand that holds a phone.
    fn link(&self) -> Option<String> {
        [0.0, 10.0, 30.0, -4.0].into_iter().find_map(|degrees| {
            let turned = self.turned(degrees);
            let pixel = |x: usize, y: usize| turned.grey[y * turned.width + x];
            let mut picture = rqrr::PreparedImage::prepare_from_greyscale(turned.width, turned.height, pixel);
            let read = picture.detect_grids().iter().filter_map(|grid| grid.decode().ok()).collect::<Vec<_>>();
            assert!(read.len() <= 1, "one code on a label");
            read.into_iter().next().map(|(_, link)| link)
        })
    }

    /// What the labels of a page say, row by row: ten places of 99.1 x 57 mm, the first at 4.65, 6 mm.
    fn links(&self) -> Vec<String> {
        let pixels = |mm: f64| (mm * self.width as f64 / 210.0).round() as usize;
        let place = |index: usize| {
            let (column, row) = ((index % 2) as f64, (index / 2) as f64);
            self.part(pixels(4.65 + 101.6 * column), pixels(6.0 + 57.0 * row), pixels(99.1), pixels(57.0))
        };
        (0..10).map(place).filter(|label| label.grey.contains(&0)).map(|label| label.link().unwrap()).collect()
    }
}

/// The pages of a PDF, as printers see them.
fn pages(pdf: &Path, dpi: u32) -> Vec<Picture> {
    let folder = tempfile::tempdir().unwrap();
    let mut poppler = Command::new("pdftoppm");
    poppler.args(["-gray", "-r", &dpi.to_string()]).arg(pdf).arg(folder.path().join("page"));
    let ended = poppler.status().expect("pdftoppm, of the package poppler-utils, is needed");
    assert!(ended.success());
    let mut files: Vec<PathBuf> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| Picture::from_pgm(file)).collect()
}

/// The folder of every camera of a sheet, in order.
fn cameras(sheet: &Path) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = fs::read_dir(sheet).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    folders
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_label_is_read_back_from_every_format() {
    let dir = tempfile::tempdir().unwrap();
    for file in ["label.png", "label.svg", "label.pdf"] {
        let summary = written(&["--out", file], dir.path());
        assert!(summary.contains(file) && summary.contains("99.1 x 57 mm"), "{summary}");
        assert_eq!(mode(&dir.path().join(file)), 0o600, "{file}");
    }
    let link = link_of(&dir.path().join("state"));
    assert_eq!(run(&["code", "--link"], dir.path()).stdout, format!("{link}\n").into_bytes());
    let png = Picture::from_png(&dir.path().join("label.png"));
    // 300 dots in each of its inches.
    assert_eq!((png.width, png.height), (1170, 673));
    assert_eq!(png.link().as_ref(), Some(&link));
    assert_eq!(Picture::from_svg(&dir.path().join("label.svg")).link().as_ref(), Some(&link));
    let drawn = pages(&dir.path().join("label.pdf"), 300);
    assert_eq!(drawn.len(), 1);
    assert_eq!(drawn[0].link().as_ref(), Some(&link));
    assert!(drawn[0].width.abs_diff(1170) <= 1 && drawn[0].height.abs_diff(673) <= 1, "in its own size");
    let left: HashSet<String> =
        fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(
        left,
        HashSet::from(["state", "label.png", "label.svg", "label.pdf"].map(String::from)),
        "nothing else is left"
    );
}

#[test]
fn a_label_is_read_back_small_out_of_focus_and_stained() {
    let dir = tempfile::tempdir().unwrap();
    // Always the same picture: what a decoder can bear depends on it.
    fs::create_dir(dir.path().join("state")).unwrap();
    let [key, nonce] = ["1f2e", "3d4c"].map(|bytes| bytes.repeat(16));
    let identity = format!("version = 1\nprivate_key = \"{key}\"\nnonce = \"{nonce}\"\n");
    fs::write(dir.path().join("state/identity"), identity).unwrap();
    written(&["--out", "label.png"], dir.path());
    let link = link_of(&dir.path().join("state"));
    let mut picture = Picture::from_png(&dir.path().join("label.png"));
    assert_eq!(picture.reduced(3).link().as_ref(), Some(&link), "100 dpi");
    assert_eq!(picture.blurred(5).link().as_ref(), Some(&link), "blurred as wide as a module");
    assert_eq!(picture.reduced(2).blurred(2).link().as_ref(), Some(&link), "both");
    // A stain of 9 by 7 mm: one module in 22.
    for y in 230..313 {
        picture.grey[y * picture.width..][220..326].fill(0);
    }
    assert_eq!(picture.link().as_ref(), Some(&link), "stained");
}

#[test]
fn an_svg_is_outlines_alone() {
    let dir = tempfile::tempdir().unwrap();
    written(&["--out", "one.svg"], dir.path());
    written(&["--out", "ten.svg", "--sheet", "10"], dir.path());
    for file in ["one.svg", "ten.svg"] {
        let svg = fs::read_to_string(dir.path().join(file)).unwrap();
        for foreign in ["<text", "<image", "<style", "<script", "<use", "font", "href", "url(", "@import", "Roomcam"] {
            assert!(!svg.contains(foreign), "{file} has {foreign}");
        }
        let addresses: Vec<&str> = svg.matches("http").collect();
        assert_eq!(addresses.len(), 1, "the namespace is no reference");
        assert!(svg.contains(r#"xmlns="http://www.w3.org/2000/svg""#));
    }
}

#[test]
fn every_name_leaves_the_code_readable() {
    let dir = tempfile::tempdir().unwrap();
    let long = "Wohnzimmer im Erdgeschoß, links neben der großen Eingangstür";
    assert_eq!(long.chars().count(), 60);
    let names = [
        r#"<Küche> & "Bad" 'unten' ]]> -->"#,
        "&amp; &#x41; <text>x</text>",
        "Ærøskøbing – Łódź – Ελλάδα – Київ",
        "Garden 😀🐕‍🦺 ❤️",
        long,
        &"W".repeat(60),
        "x",
    ];
    for name in names {
        written(&["--out", "label.png", "--name", name], dir.path());
        let picture = Picture::from_png(&dir.path().join("label.png"));
        assert_eq!(picture.link(), Some(link_of(&dir.path().join("state"))), "{name}");
    }
}

#[test]
fn a_name_that_cannot_be_drawn_is_said_so() {
    let dir = tempfile::tempdir().unwrap();
    // Letters that are no letters: no font has them.
    let partly = label(&["--out", "label.svg", "--name", "Hall \u{10fffd}"], dir.path());
    assert!(partly.status.success());
    assert!(String::from_utf8_lossy(&partly.stderr).contains("\u{10fffd}, so the name is printed without"));
    let wholly = label(&["--out", "none.svg", "--name", "\u{10fffd}\u{10fffc}"], dir.path());
    let message = String::from_utf8_lossy(&wholly.stderr);
    assert_eq!(wholly.status.code(), Some(1));
    assert!(message.contains("\u{10fffd}\u{10fffc}") && message.contains("--name"), "{message}");
    assert!(!dir.path().join("none.svg").exists());
}

#[test]
fn a_sheet_has_a_label_for_each_of_its_identities() {
    for (count, sheets) in [(1, 1), (10, 1), (11, 2), (25, 3)] {
        let dir = tempfile::tempdir().unwrap();
        let summary = written(&["--out", "labels.pdf", "--sheet", &count.to_string(), "--name", "Hall"], dir.path());
        assert!(summary.contains("labels.pdf") && summary.contains("camera-01"), "{summary}");
        let cameras = cameras(&dir.path().join("labels"));
        let names: Vec<String> = (1..=count).map(|number| format!("camera-{number:02}")).collect();
        assert_eq!(cameras.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect::<Vec<_>>(), names);

        let pdf = fs::read(dir.path().join("labels.pdf")).unwrap();
        let (pages_of_tree, kids) = (format!("/Count {sheets}"), b"/Type /Page\n");
        assert!(pdf.windows(pages_of_tree.len()).any(|part| part == pages_of_tree.as_bytes()));
        assert_eq!(pdf.windows(kids.len()).filter(|part| part == kids).count(), sheets);

        let drawn = pages(&dir.path().join("labels.pdf"), 150);
        assert_eq!(drawn.len(), sheets);
        let read: Vec<String> = drawn.iter().flat_map(Picture::links).collect();
        assert_eq!(read, cameras.iter().map(|folder| link_of(folder)).collect::<Vec<_>>(), "label N is camera N");
        assert_eq!(read.iter().collect::<HashSet<_>>().len(), count, "all differ");
        assert!(!dir.path().join("state").exists(), "this camera's own identity is not needed");
    }
}

#[test]
fn a_page_is_read_back_as_a_picture_too() {
    let dir = tempfile::tempdir().unwrap();
    for file in ["png.png", "svg.svg"] {
        written(&["--out", file, "--sheet", "10"], dir.path());
    }
    let links = |sheet: &str| -> Vec<String> {
        cameras(&dir.path().join(sheet)).iter().map(|folder| link_of(folder)).collect()
    };
    let png = Picture::from_png(&dir.path().join("png.png"));
    assert_eq!((png.width, png.height), (2480, 3508));
    assert_eq!(png.links(), links("png"));
    assert_eq!(Picture::from_svg(&dir.path().join("svg.svg")).links(), links("svg"));
}

#[test]
fn a_provisioning_file_makes_a_camera_the_one_of_its_label() {
    let dir = tempfile::tempdir().unwrap();
    written(&["--out", "labels.png", "--sheet", "2"], dir.path());
    let labels = Picture::from_png(&dir.path().join("labels.png")).links();
    for folder in [dir.path().join("labels"), dir.path().join("labels/camera-02")] {
        assert_eq!(mode(&folder), 0o700);
    }
    let identity = dir.path().join("labels/camera-02/identity");
    assert_eq!(mode(&identity), 0o600);
    fs::create_dir(dir.path().join("state")).unwrap();
    fs::copy(&identity, dir.path().join("state/identity")).unwrap();
    assert_eq!(run(&["code", "--link"], dir.path()).stdout, format!("{}\n", labels[1]).into_bytes());
}

#[test]
fn a_sheet_replaces_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |arguments: &[&str], name: &str| {
        let output = label(arguments, dir.path());
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{message}");
        assert!(message.contains(&format!("{name} is there already")) && message.contains("--out"), "{message}");
    };
    written(&["--out", "labels.pdf", "--sheet", "2"], dir.path());
    let before = fs::read(dir.path().join("labels.pdf")).unwrap();
    refused(&["--out", "labels.pdf", "--sheet", "3"], "labels");
    refused(&["--out", "labels.svg", "--sheet", "3"], "labels");
    fs::write(dir.path().join("file.pdf"), "mine").unwrap();
    refused(&["--out", "file.pdf", "--sheet", "3"], "file.pdf");
    fs::write(dir.path().join("taken"), "mine").unwrap();
    refused(&["--out", "taken.pdf", "--sheet", "3"], "taken");
    std::os::unix::fs::symlink("nowhere", dir.path().join("astray")).unwrap();
    refused(&["--out", "astray.pdf", "--sheet", "3"], "astray");
    assert_eq!(fs::read(dir.path().join("labels.pdf")).unwrap(), before);
    assert_eq!(cameras(&dir.path().join("labels")).len(), 2);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 5, "nothing half-written is left");
}

#[test]
fn what_cannot_be_written_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    for arguments in [&["--out", "no/such/label.svg"][..], &["--out", "no/such/labels.pdf", "--sheet", "2"]] {
        let output = label(arguments, dir.path());
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{message}");
        assert!(message.contains("no/such/label") && message.contains("No such file"), "{message}");
    }
    fs::create_dir(dir.path().join("folder.svg")).unwrap();
    let output = label(&["--out", "folder.svg"], dir.path());
    assert!(String::from_utf8_lossy(&output.stderr).contains("Is a directory"));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "the folder and the state folder");
}

#[test]
fn arguments_that_are_not_possible() {
    let dir = tempfile::tempdir().unwrap();
    let (long, longer) = ("x".repeat(61), format!("https://{}/", "x".repeat(500)));
    let cases: [(&[&str], i32, &[&str]); 12] = [
        (&[], 2, &["--out"]),
        (&["--out", "label.jpg"], 2, &["label.jpg", ".pdf", ".svg", ".png"]),
        (&["--out", "label"], 2, &[".pdf", ".svg", ".png"]),
        (&["--out", "l.pdf", "--name", ""], 2, &["--name", "at least one letter"]),
        (&["--out", "l.pdf", "--name", &long], 2, &["61 letters", "60"]),
        (&["--out", "l.pdf", "--name", "a\nb"], 2, &["control character", "U+000A"]),
        (&["--out", "l.pdf", "--sheet", "0"], 2, &["--sheet", "1..=1000"]),
        (&["--out", "l.pdf", "--sheet", "1001"], 2, &["--sheet", "1..=1000"]),
        (&["--out", "l.pdf", "--sheet", "many"], 2, &["--sheet", "many"]),
        (&["--out", "l.png", "--sheet", "11"], 2, &["11 labels", ".pdf"]),
        (&["--out", "l.svg", "--sheet", "11"], 2, &["11 labels", ".pdf"]),
        (&["--out", "l.svg", "--config", "camera.toml"], 1, &["too long", "page_url"]),
    ];
    fs::write(dir.path().join("camera.toml"), format!("page_url = \"{longer}\"\n")).unwrap();
    for (arguments, exit, words) in cases {
        let output = label(arguments, dir.path());
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(exit), "{arguments:?}\n{message}");
        for word in words {
            assert!(message.contains(word), "{arguments:?} should say {word:?}:\n{message}");
        }
    }
    let files = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(files.filter(|name| name != "state" && name != "camera.toml").count(), 0, "nothing was written");
}

#[test]
fn what_is_likely_not_meant_so_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let warnings = |arguments: &[&str]| {
        let output = label(&[&["--out", "label.svg"], arguments].concat(), dir.path());
        assert!(output.status.success());
        let lines = String::from_utf8(output.stderr).unwrap();
        lines.lines().filter(|line| line.starts_with("warning: ")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(warnings(&[]), [""; 0]);
    fs::write(dir.path().join("local.toml"), "page_url = \"https://localhost:8192/\"\n").unwrap();
    let local = warnings(&["--config", "local.toml"]);
    assert!(local.len() == 1 && local[0].contains("localhost") && local[0].contains("page_url"), "{local:?}");
    fs::write(dir.path().join("pair.toml"), "protocol = \"pair\"\n").unwrap();
    let pair = warnings(&["--config", "pair.toml"]);
    assert!(pair.len() == 1 && pair[0].contains("pair mode"), "{pair:?}");
}

#[cfg(feature = "appliance")]
#[test]
fn a_device_s_own_label_is_read_too() {
    for name in ["x", "Wohnzimmer links – Küche", "W W W W W W W W W W W W W W W W W W W W", "本日 🐕"] {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["boot", "data"] {
            fs::create_dir(dir.path().join(folder)).unwrap();
        }
        fs::write(dir.path().join("screen"), "").unwrap();
        fs::write(dir.path().join("boot/roomcam.toml"), format!("server = \"{SERVER}\"\nname = \"{name}\"\n")).unwrap();
        for more in [["prepare", "--root", "/"], ["present", "--console", "screen"]] {
            let mut command = Command::new(env!("CARGO_BIN_EXE_camera-fw"));
            command.args(["appliance", more[0], "--boot", "boot", "--data", "data", "--run", "run"]).args(&more[1..]);
            assert!(command.current_dir(dir.path()).stderr(Stdio::null()).status().unwrap().success());
        }
        let link = Picture::from_svg(&dir.path().join("boot/roomcam-label.svg")).link();
        assert_eq!(link, Some(link_of(&dir.path().join("data/camera"))), "{name}");
    }
}
