//! A camera that is opened again and again leaves nothing behind. A process of its own: it counts what a process has.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::time::Duration;

use camera_fw::capture::libcamera::open;
use camera_fw::capture::{Delivery, Wanted};
use camera_fw::frame::Size;

/// Until libcamera has loaded and allocated what it keeps.
const WARM_UP: usize = 20;

#[derive(Debug)]
struct Resources {
    descriptors: usize,
    threads: usize,
    mappings: usize,
    kilobytes: usize,
}

fn resources() -> Resources {
    let entries = |folder: &str| fs::read_dir(folder).unwrap().count();
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split_whitespace().nth(1).unwrap().parse().unwrap();
    Resources {
        descriptors: entries("/proc/self/fd"),
        threads: entries("/proc/self/task"),
        mappings: fs::read_to_string("/proc/self/maps").unwrap().lines().count(),
        kilobytes: pages * 4,
    }
}

#[test]
fn a_hundred_openings_leave_nothing_behind() {
    let settings = Wanted { size: Size { width: 720, height: 480 }, fps: 30 }.into();
    let mut before = None;
    for number in 0..WARM_UP + 100 {
        if number == WARM_UP {
            before = Some(resources());
        }
        let mut camera = open(Some("Bars"), &settings).unwrap();
        let mut held = Vec::new();
        while held.len() < 2 {
            if let Delivery::Frame(frame) = camera.next(Duration::from_secs(5)).unwrap() {
                held.push(frame);
            }
        }
        // Half of the frames outlive their camera.
        if number % 2 == 0 {
            held.clear();
        }
        drop(camera);
    }
    let (before, after) = (before.unwrap(), resources());
    println!("before: {before:?}\nafter:  {after:?}");
    assert_eq!(after.descriptors, before.descriptors);
    assert_eq!(after.threads, before.threads);
    assert!(after.mappings <= before.mappings + 8, "{} mappings became {}", before.mappings, after.mappings);
    assert!(after.kilobytes <= before.kilobytes + 4_096, "{} kB became {}", before.kilobytes, after.kilobytes);
}
