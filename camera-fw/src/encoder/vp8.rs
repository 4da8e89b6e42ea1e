//! A safe wrapper around libvpx's VP8 encoder, for live video: no lag, key frames on request only.
//!
//! What libvpx demands and this module guarantees:
//! - output is valid until the next call only, so it is copied out before [`Vp8Encoder::encode`] returns;
//! - a live encoder must not change its size or number of threads, so there is no call for either: make a new one;
//! - input planes are read during the call only, so they can stay where the camera put them (`vpx_img_wrap`).
#![allow(unsafe_code)] // Calls into libvpx; each block says why it is sound.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::ptr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use vpx_sys::*;

use super::recycle::Recycler;
use super::{EncodedFrame, Kbps};
use crate::capture::convert::Picture;
use crate::frame::{Layout, PixelFormat, Size};

/// Unit of time stamps: that of RTP for video (RFC 7741 §4.1), so that rate control sees the camera's real pace.
const CLOCK_RATE: i32 = 90_000;

/// What stays the same for the life of an encoder.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Picture size, 16383 at most in each direction (RFC 6386 §9.1).
    pub size: Size,
    /// Frames a second that the source gives, for the first frames' rate control.
    pub fps: f64,
    /// Rate to begin with.
    pub bitrate: Kbps,
    /// 0 (slow, good) to 16 (fast, coarse); libvpx's real-time `cpu_used`.
    pub speed: u8,
    /// Encoding threads.
    pub threads: u32,
}

/// What libvpx may leave out where nobody sees it. The default is what `cargo xtask bench quality` advises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tuning {
    /// Blocks that differ less than this from the picture before are skipped; 0 to 1000 are sensible.
    pub static_threshold: u32,
    /// How strongly noise is filtered out before encoding: 0 (not) to 6.
    pub noise_sensitivity: u8,
}

impl Default for Tuning {
    /// Measured on a street scene (docs/benchmarks.md): no threshold from 0 to 1000 changes the picture by more than
    /// 0.03 dB or saves time, so it stays at the value that skips what does not change at all. The noise filter gains up
    /// to 1.5 dB where there is noise and loses as much where there is none, it takes a tenth more time, and a camera
    /// sees more days than nights.
    fn default() -> Self {
        Self { static_threshold: 1, noise_sensitivity: 0 }
    }
}

/// libvpx refused.
#[derive(Debug, thiserror::Error)]
#[error("the VP8 encoder could not {action}: {reason}")]
pub struct EncodeError {
    pub(super) action: &'static str,
    pub(super) reason: String,
}

/// A VP8 encoder. Made, used and dropped on one thread.
pub struct Vp8Encoder {
    context: vpx_codec_ctx_t,
    config: vpx_codec_enc_cfg_t,
    size: Size,
    /// Time of capture and time stamp of the last frame.
    last: Option<(Instant, i64)>,
    frame_ticks: i64,
    output: Recycler,
}

impl std::fmt::Debug for Vp8Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vp8Encoder").field("size", &self.size).finish_non_exhaustive()
    }
}

impl Vp8Encoder {
    /// Starts an encoder.
    ///
    /// # Errors
    /// If libvpx does not take the settings.
    pub fn new(settings: &Settings) -> Result<Self, EncodeError> {
        Self::with_tuning(settings, Tuning::default())
    }

    /// Starts an encoder tuned otherwise than measurements advise: for those measurements.
    ///
    /// # Errors
    /// If libvpx does not take the settings.
    pub fn with_tuning(settings: &Settings, tuning: Tuning) -> Result<Self, EncodeError> {
        let config = config(settings)?;
        let mut context = MaybeUninit::<vpx_codec_ctx_t>::zeroed();
        // SAFETY: libvpx fills `context`, zeroed as its documentation demands, from a configuration that it made.
        let status = unsafe {
            vpx_codec_enc_init_ver(
                context.as_mut_ptr(),
                vpx_codec_vp8_cx(),
                &raw const config,
                0,
                VPX_ENCODER_ABI_VERSION as i32,
            )
        };
        check(status, "start")?;
        // SAFETY: filled by the successful call above.
        let context = unsafe { context.assume_init() };
        let frame_ticks = (f64::from(CLOCK_RATE) / settings.fps.max(1.0)) as i64;
        let mut encoder =
            Self { context, config, size: settings.size, last: None, frame_ticks, output: Recycler::new() };

        use vp8e_enc_control_id::*;
        encoder.set_speed(settings.speed)?;
        encoder.control(VP8E_SET_STATIC_THRESHOLD, tuning.static_threshold as i32)?;
        encoder.control(VP8E_SET_TOKEN_PARTITIONS, 0)?;
        encoder.control(VP8E_SET_NOISE_SENSITIVITY, tuning.noise_sensitivity.into())?;
        // A key frame may have half the optimal buffer, the rule that libwebrtc uses too; per cent of a frame's share.
        let intra_percent = (f64::from(config.rc_buf_optimal_sz) * 0.5 * settings.fps / 10.0) as i32;
        encoder.control(VP8E_SET_MAX_INTRA_BITRATE_PCT, intra_percent.max(300))?;
        Ok(encoder)
    }

    /// Picture size that it was made for.
    pub fn size(&self) -> Size {
        self.size
    }

    /// Aims at another rate from the next frame on.
    ///
    /// # Errors
    /// If libvpx does not take it.
    pub fn set_bitrate(&mut self, bitrate: Kbps) -> Result<(), EncodeError> {
        self.config.rc_target_bitrate = bitrate.0;
        // SAFETY: a live context and the configuration it was made with, one rate changed.
        let status = unsafe { vpx_codec_enc_config_set(&raw mut self.context, &raw const self.config) };
        check(status, "change its bitrate")
    }

    /// Trades quality for time from the next frame on: 0 to 16.
    ///
    /// # Errors
    /// If libvpx does not take it.
    pub fn set_speed(&mut self, speed: u8) -> Result<(), EncodeError> {
        // Negative: that speed exactly; positive would let libvpx choose by the wall clock.
        self.control(vp8e_enc_control_id::VP8E_SET_CPUUSED, -i32::from(speed.min(16)))
    }

    /// Encodes one picture of this encoder's size. `None`: the rate control dropped it.
    ///
    /// # Errors
    /// If the planes do not hold a picture of that size, or libvpx fails.
    pub fn encode(
        &mut self,
        picture: &Picture<'_>,
        captured_at: Instant,
        key: bool,
    ) -> Result<Option<EncodedFrame>, EncodeError> {
        let image = self.wrap(picture)?;
        let pts = self.last.map_or(0, |(at, pts)| pts + self.ticks(captured_at.saturating_duration_since(at)));
        let flags = if key { VPX_EFLAG_FORCE_KF } else { 0 };
        // SAFETY: `image` refers to planes of sufficient length (checked by `wrap`), borrowed for the whole call.
        let status = unsafe {
            vpx_codec_encode(
                &raw mut self.context,
                &raw const image,
                pts,
                self.frame_ticks as _,
                i64::from(flags) as _,
                VPX_DL_REALTIME as _,
            )
        };
        check(status, "encode a frame")?;
        self.last = Some((captured_at, pts));
        Ok(self.packet().map(|(data, key)| EncodedFrame { data, key, captured_at }))
    }

    /// How far the time stamp moves on after so much time: as far, but at least a tick, which libvpx demands. A pause,
    /// when nobody watched, counts as one frame: rate control would take it for a rate of one frame in all that time,
    /// and allow the next frame the bits of as many.
    fn ticks(&self, elapsed: Duration) -> i64 {
        let ticks = elapsed.as_micros() as i64 * i64::from(CLOCK_RATE) / 1_000_000;
        let pause = (i64::from(CLOCK_RATE) / 2).max(4 * self.frame_ticks);
        if ticks > pause { self.frame_ticks } else { ticks.max(1) }
    }

    /// An image descriptor over the picture's own planes.
    fn wrap(&self, picture: &Picture<'_>) -> Result<vpx_image_t, EncodeError> {
        // What the planes must hold follows from the layout with the picture's strides.
        let mut layout = Layout::packed_i420(self.size);
        debug_assert_eq!(layout.format, PixelFormat::I420);
        for plane in 0..3 {
            let narrow = layout.planes[plane].stride;
            layout.planes[plane].stride = picture.strides[plane];
            if picture.strides[plane] < narrow || picture.planes[plane].len() < layout.plane_bytes(plane) {
                return Err(EncodeError { action: "read a frame", reason: format!("plane {plane} is too short") });
            }
        }
        let mut image = MaybeUninit::<vpx_image_t>::zeroed();
        let (width, height) = (self.size.width, self.size.height);
        let format = vpx_img_fmt::VPX_IMG_FMT_I420;
        let data = picture.planes[0].as_ptr().cast_mut();
        // SAFETY: fills `image`; `data` is only stored. libvpx does not write to an encoder's input.
        let wrapped = unsafe { vpx_img_wrap(image.as_mut_ptr(), format, width, height, 1, data) };
        if wrapped.is_null() {
            return Err(EncodeError { action: "read a frame", reason: "libvpx does not take its size".into() });
        }
        // SAFETY: filled by the successful call above.
        let mut image = unsafe { image.assume_init() };
        for plane in 0..3 {
            image.planes[plane] = picture.planes[plane].as_ptr().cast_mut();
            image.stride[plane] = picture.strides[plane] as i32;
        }
        Ok(image)
    }

    fn packet(&mut self) -> Option<(Bytes, bool)> {
        let mut iterator: vpx_codec_iter_t = ptr::null();
        loop {
            // SAFETY: a live context, and an iterator that began as null as the documentation demands.
            let packet = unsafe { vpx_codec_get_cx_data(&raw mut self.context, &raw mut iterator) };
            // SAFETY: null, or a packet that stays valid until the next call on this context.
            let packet = unsafe { packet.as_ref() }?;
            if packet.kind != vpx_codec_cx_pkt_kind::VPX_CODEC_CX_FRAME_PKT {
                continue;
            }
            // SAFETY: `kind` says that the member `frame` of the union is the valid one.
            let frame = unsafe { &packet.data.frame };
            // SAFETY: libvpx gives `sz` readable bytes at `buf`, until the next call; copied at once.
            let data = unsafe { std::slice::from_raw_parts(frame.buf.cast::<u8>(), frame.sz as usize) };
            return Some((self.output.copy(data), frame.flags & VPX_FRAME_IS_KEY != 0));
        }
    }

    fn control(&mut self, id: vp8e_enc_control_id, value: i32) -> Result<(), EncodeError> {
        // SAFETY: a live context; every control used here takes one int.
        let status = unsafe { vpx_codec_control_(&raw mut self.context, id as i32, value) };
        check(status, "set an option")
    }
}

impl Drop for Vp8Encoder {
    fn drop(&mut self) {
        // SAFETY: initialised in `new`, destroyed once.
        unsafe { vpx_codec_destroy(&raw mut self.context) };
    }
}

fn config(settings: &Settings) -> Result<vpx_codec_enc_cfg_t, EncodeError> {
    // Zeroed by hand it would hold enumerations without a valid value: libvpx must make it.
    let mut config = MaybeUninit::<vpx_codec_enc_cfg_t>::uninit();
    // SAFETY: fills `config` with the defaults of the interface.
    let status = unsafe { vpx_codec_enc_config_default(vpx_codec_vp8_cx(), config.as_mut_ptr(), 0) };
    check(status, "find its default settings")?;
    // SAFETY: filled by the successful call above.
    let mut config = unsafe { config.assume_init() };
    config.g_w = settings.size.width;
    config.g_h = settings.size.height;
    config.g_timebase.num = 1;
    config.g_timebase.den = CLOCK_RATE;
    config.g_threads = settings.threads;
    config.g_lag_in_frames = 0;
    config.rc_end_usage = vpx_rc_mode::VPX_CBR;
    config.rc_target_bitrate = settings.bitrate.0;
    config.rc_dropframe_thresh = 0;
    config.rc_resize_allowed = 0;
    config.rc_min_quantizer = 2;
    config.rc_max_quantizer = 56;
    config.rc_undershoot_pct = 100;
    config.rc_overshoot_pct = 15;
    config.rc_buf_initial_sz = 500;
    config.rc_buf_optimal_sz = 600;
    config.rc_buf_sz = 1000;
    // Key frames when somebody needs one, never by the clock.
    config.kf_mode = vpx_kf_mode::VPX_KF_DISABLED;
    Ok(config)
}

fn check(status: vpx_codec_err_t, action: &'static str) -> Result<(), EncodeError> {
    if status == VPX_CODEC_OK {
        return Ok(());
    }
    // SAFETY: libvpx returns a static, terminated string for every status.
    let reason = unsafe { CStr::from_ptr(vpx_codec_err_to_string(status)) };
    Err(EncodeError { action, reason: reason.to_string_lossy().into_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::convert::Converter;
    use crate::capture::test_pattern::{TestPattern, read_number};
    use crate::capture::{Source as _, Wanted};

    /// libvpx's decoder, for what the encoder made.
    struct Decoder(vpx_codec_ctx_t);

    impl Decoder {
        fn new() -> Self {
            let mut context = MaybeUninit::<vpx_codec_ctx_t>::zeroed();
            // SAFETY: as in `Vp8Encoder::new`.
            unsafe {
                let interface = vpx_codec_vp8_dx();
                let abi = VPX_DECODER_ABI_VERSION as i32;
                assert_eq!(vpx_codec_dec_init_ver(context.as_mut_ptr(), interface, ptr::null(), 0, abi), VPX_CODEC_OK);
                Self(context.assume_init())
            }
        }

        /// Width, height and luma of the decoded picture.
        fn decode(&mut self, data: &[u8]) -> Option<(usize, usize, Vec<u8>)> {
            let mut iterator: vpx_codec_iter_t = ptr::null();
            // SAFETY: a live context; the image is read before the next call.
            unsafe {
                if vpx_codec_decode(&raw mut self.0, data.as_ptr(), data.len() as u32, ptr::null_mut(), 0)
                    != VPX_CODEC_OK
                {
                    return None;
                }
                let image = vpx_codec_get_frame(&raw mut self.0, &raw mut iterator).as_ref()?;
                let (width, height, stride) = (image.d_w as usize, image.d_h as usize, image.stride[0] as usize);
                let lines =
                    (0..height).flat_map(|y| std::slice::from_raw_parts(image.planes[0].add(y * stride), width));
                Some((width, height, lines.copied().collect()))
            }
        }
    }

    impl Drop for Decoder {
        fn drop(&mut self) {
            // SAFETY: initialised in `new`, destroyed once.
            unsafe { vpx_codec_destroy(&raw mut self.0) };
        }
    }

    fn settings(size: Size, kbps: u32) -> Settings {
        Settings { size, fps: 30.0, bitrate: Kbps(kbps), speed: 10, threads: 1 }
    }

    /// Encodes the pattern as if it came at 30 frames a second.
    fn encode(encoder: &mut Vp8Encoder, frames: u64, key: impl Fn(u64) -> bool) -> Vec<EncodedFrame> {
        let size = encoder.size();
        let mut pattern = TestPattern::new(Wanted { size, fps: 120 });
        let mut converter = Converter::default();
        let start = Instant::now();
        (0..frames)
            .filter_map(|n| {
                let frame = pattern.next(Duration::from_secs(5)).unwrap().frame().unwrap();
                let at = start + Duration::from_micros(n * 33_333);
                encoder.encode(&converter.i420(&frame).unwrap(), at, key(n)).unwrap()
            })
            .collect()
    }

    const SD: Size = Size { width: 720, height: 480 };

    #[test]
    fn what_it_makes_is_decodable_vp8_with_the_pattern_s_numbers() {
        let mut encoder = Vp8Encoder::new(&settings(SD, 1_000)).unwrap();
        let mut decoder = Decoder::new();
        for (counter, frame) in encode(&mut encoder, 12, |_| false).into_iter().enumerate() {
            assert_eq!(frame.key, counter == 0, "the first and only the first is a key frame");
            let (width, height, luma) = decoder.decode(&frame.data).unwrap();
            assert_eq!((width, height), (720, 480));
            assert_eq!(read_number(&luma, width, width, 0), Some(counter as u32));
        }
    }

    #[test]
    fn a_key_frame_comes_when_it_is_forced_and_stands_alone() {
        let mut encoder = Vp8Encoder::new(&settings(SD, 1_000)).unwrap();
        let frames = encode(&mut encoder, 10, |n| n == 6);
        let keys: Vec<_> = frames.iter().map(|frame| frame.key).collect();
        assert_eq!(keys, [true, false, false, false, false, false, true, false, false, false]);
        assert!(Decoder::new().decode(&frames[5].data).is_none());
        assert!(Decoder::new().decode(&frames[6].data).is_some());
    }

    #[test]
    fn the_bitrate_follows_at_run_time() {
        let mut encoder = Vp8Encoder::new(&settings(SD, 1_500)).unwrap();
        let rate = |frames: &[EncodedFrame]| {
            let settled = &frames[frames.len() / 2..];
            settled.iter().map(|frame| frame.data.len()).sum::<usize>() * 8 * 30 / settled.len() / 1_000
        };
        let high = rate(&encode(&mut encoder, 60, |_| false));
        encoder.set_bitrate(Kbps(300)).unwrap();
        encoder.set_speed(12).unwrap();
        let low = rate(&encode(&mut encoder, 60, |_| false));
        assert!(high > 700, "the pattern gives the encoder work: {high} kbps");
        assert!(low * 2 < high, "{high} kbps, then {low} kbps");
    }

    #[test]
    fn a_pause_does_not_swell_the_next_key_frame() {
        let mut encoder = Vp8Encoder::new(&settings(SD, 1_000)).unwrap();
        let mut pattern = TestPattern::new(Wanted { size: SD, fps: 120 });
        let mut converter = Converter::default();
        let start = Instant::now();
        // A key frame in a running stream, and one after nobody had watched for half a minute.
        let mut keys = Vec::new();
        for (n, pause) in (0..90).map(|n| (n, if n < 60 { 0 } else { 30_000 })) {
            let frame = pattern.next(Duration::from_secs(5)).unwrap().frame().unwrap();
            let at = start + Duration::from_millis(n * 33 + pause);
            let encoded = encoder.encode(&converter.i420(&frame).unwrap(), at, n == 30 || n == 60).unwrap().unwrap();
            if encoded.key && n > 0 {
                keys.push(encoded.data.len());
            }
        }
        assert!(keys.len() == 2 && keys[1] < keys[0] * 3 / 2, "{keys:?} bytes");
    }

    #[test]
    fn odd_sizes_work_and_short_planes_are_refused() {
        let size = Size { width: 161, height: 121 };
        let mut encoder = Vp8Encoder::new(&settings(size, 200)).unwrap();
        let (luma, chroma) = (vec![90; 161 * 121], vec![128; 81 * 61]);
        let picture = Picture { planes: [&luma, &chroma, &chroma], strides: [161, 81, 81] };
        let frame = encoder.encode(&picture, Instant::now(), false).unwrap().unwrap();
        assert!(matches!(Decoder::new().decode(&frame.data), Some((161, 121, _))));
        let short = Picture { planes: [&luma, &chroma[1..], &chroma], strides: [161, 81, 81] };
        let refusal = encoder.encode(&short, Instant::now(), false).unwrap_err().to_string();
        assert!(refusal.contains("plane 1 is too short"), "{refusal}");
    }

    #[test]
    fn libvpx_reads_the_planes_where_they_are() {
        let encoder = Vp8Encoder::new(&settings(SD, 500)).unwrap();
        let (luma, chroma) = (vec![90; 800 * 480], [vec![128; 400 * 240], vec![128; 400 * 240]]);
        let picture = Picture { planes: [&luma, &chroma[0], &chroma[1]], strides: [800, 400, 400] };
        let image = encoder.wrap(&picture).unwrap();
        for plane in 0..3 {
            assert_eq!(image.planes[plane].cast_const(), picture.planes[plane].as_ptr());
            assert_eq!(image.stride[plane] as usize, picture.strides[plane]);
        }
    }

    #[test]
    fn settings_that_libvpx_refuses_are_an_error() {
        let size = Size { width: 100_000, height: 16 };
        assert!(Vp8Encoder::new(&settings(size, 200)).is_err());
    }
}
