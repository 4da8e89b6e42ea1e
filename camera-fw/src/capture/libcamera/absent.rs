//! What stands for libcamera in a program that was built without it.

use super::inventory::CameraInfo;
use super::{CameraSettings, CaptureError, Source};

/// None.
pub fn cameras() -> Vec<CameraInfo> {
    Vec::new()
}

/// Says that this program cannot.
///
/// # Errors
/// Always.
pub fn open(_: Option<&str>, _: &CameraSettings) -> Result<Box<dyn Source>, CaptureError> {
    Err(CaptureError::NoLibcamera)
}
