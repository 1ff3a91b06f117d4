//! Reading our QR code from a picture, a photo say. Pictures come from anywhere: sizes are checked before anything is
//! decoded, and decoding and searching run contained, since both walk through what others drew.

use std::io::{Cursor, Read};
use std::path::Path;

use cairn_crdt::contained::contained;
use cairn_crdt::netkey::{self, Invite, InviteError};
use cairn_crdt::safety::{self, Code, CodeError};
use image::imageops::{FilterType, resize, thumbnail};
use image::{DynamicImage, GrayImage, ImageDecoder, ImageFormat, ImageReader, Limits};

/// Longest file that is read, in bytes: far more than a photo has.
pub const FILE_MAX: u64 = 32 * 1024 * 1024;
/// Most pixels that are decoded: photos of 50 million fit.
const PIXELS_MAX: u64 = 52_000_000;
/// Most bytes that a decoder may take.
const DECODED_MAX: u64 = 4 * PIXELS_MAX;
/// The longer sides at which a code is looked for, in pixels: small first, where noise is gone and most codes are read, then
/// large, for a small code in a large photo.
const SIDES: [u32; 3] = [800, 1_600, 3_000];
/// A picture shorter than this is looked at twice as large as well: squares of a few pixels are hard to place.
const SMALL: u32 = 700;

/// Why no code was read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PictureError {
    /// The file could not be read.
    #[error("the picture could not be read: {0}")]
    Io(String),
    /// The file or the picture is too large.
    #[error("this is too large for a picture of a code: at most 32 MB and 52 million pixels are read")]
    TooLarge,
    /// It is neither PNG nor JPEG.
    #[error("this is no picture that is known here: PNG and JPEG are")]
    NotAPicture,
    /// It is one, but broken.
    #[error("the picture is damaged")]
    Damaged,
    /// There is no QR code in it.
    #[error(
        "no QR code was found in the picture: take it straight on, in good light, with the whole code and its margin"
    )]
    NoCode,
    /// There is one, but it is not ours, or broken.
    #[error("there is a QR code in the picture, but {0}")]
    Code(#[from] CodeError),
}

impl PictureError {
    /// A stable name, for scripts.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Io(_) => "picture_unreadable",
            Self::TooLarge => "picture_too_large",
            Self::NotAPicture => "not_a_picture",
            Self::Damaged => "picture_damaged",
            Self::NoCode => "no_code",
            Self::Code(CodeError::Newer) => "newer_code",
            Self::Code(_) => "bad_code",
        }
    }
}

/// What a code may be of.
pub trait Meaning: Sized {
    /// Its longest text, in bytes.
    const MAX: usize;

    /// Reads a text.
    ///
    /// # Errors
    /// [`CodeError`]: `Foreign` for everything that does not begin as its text does.
    fn of(text: &str) -> Result<Self, CodeError>;
}

impl Meaning for Code {
    const MAX: usize = safety::CODE_MAX;

    fn of(text: &str) -> Result<Self, CodeError> {
        match text.parse() {
            Err(CodeError::Foreign) if Invite::is_meant(text) => Err(CodeError::Other),
            read => read,
        }
    }
}

impl Meaning for Invite {
    const MAX: usize = netkey::MAX_TEXT;

    fn of(text: &str) -> Result<Self, CodeError> {
        text.parse().map_err(|e| match e {
            InviteError::Foreign => match text.parse::<Code>() {
                Err(e @ (CodeError::Foreign | CodeError::TooLong(_))) => e,
                _ => CodeError::Other,
            },
            InviteError::Newer => CodeError::Newer,
            InviteError::Broken => CodeError::Damaged,
        })
    }
}

/// Our code in a file: a picture, or the text of a code by itself.
///
/// # Errors
/// [`PictureError`].
pub fn code_in_file<T: Meaning>(file: &Path) -> Result<T, PictureError> {
    let io = |e: std::io::Error| PictureError::Io(e.to_string());
    let opened = std::fs::File::open(file).map_err(io)?;
    if opened.metadata().map_err(io)?.is_dir() {
        return Err(PictureError::Io("it is a folder".into()));
    }
    code_in(opened)
}

/// The same of what a reader brings.
///
/// # Errors
/// [`PictureError`].
pub fn code_in<T: Meaning>(from: impl Read) -> Result<T, PictureError> {
    let mut bytes = Vec::new();
    let read = from.take(FILE_MAX + 1).read_to_end(&mut bytes);
    read.map_err(|e| PictureError::Io(e.to_string()))?;
    if bytes.len() as u64 > FILE_MAX {
        return Err(PictureError::TooLarge);
    }
    let text = std::str::from_utf8(&bytes).ok().map(str::trim).filter(|t| t.len() <= T::MAX);
    match text.map(T::of) {
        Some(Ok(code)) => Ok(code),
        // Text of ours that is broken is told as such; any other may be a picture.
        Some(Err(e)) if e != CodeError::Foreign => Err(e.into()),
        _ => search(decode(&bytes)?),
    }
}

/// Our code in a picture of pixels: red, green, blue and opacity, a byte each, row by row.
///
/// # Errors
/// [`PictureError`].
pub fn code_in_pixels<T: Meaning>(width: u32, height: u32, rgba: Vec<u8>) -> Result<T, PictureError> {
    if u64::from(width) * u64::from(height) > PIXELS_MAX {
        return Err(PictureError::TooLarge);
    }
    let picture = image::RgbaImage::from_raw(width, height, rgba).ok_or(PictureError::Damaged)?;
    search(grey(DynamicImage::ImageRgba8(picture)))
}

fn decode(bytes: &[u8]) -> Result<GrayImage, PictureError> {
    let mut limits = Limits::default();
    limits.max_alloc = Some(DECODED_MAX);
    let damaged = |_| PictureError::Damaged;
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(|_| PictureError::Damaged)?;
    if !matches!(reader.format(), Some(ImageFormat::Png | ImageFormat::Jpeg)) {
        return Err(PictureError::NotAPicture);
    }
    reader.limits(limits);
    let decoded = contained(|| {
        let decoder = reader.into_decoder().map_err(damaged)?;
        let (width, height) = decoder.dimensions();
        if u64::from(width) * u64::from(height) > PIXELS_MAX || decoder.total_bytes() > DECODED_MAX {
            return Err(PictureError::TooLarge);
        }
        DynamicImage::from_decoder(decoder).map(grey).map_err(damaged)
    });
    decoded.unwrap_or(Err(PictureError::Damaged))
}

/// Shades of grey; what is transparent is white, as on a page.
fn grey(picture: DynamicImage) -> GrayImage {
    if !picture.color().has_alpha() {
        return picture.into_luma8();
    }
    let picture = picture.into_luma_alpha8();
    let (width, height) = picture.dimensions();
    let shade = |p: &image::LumaA<u8>| {
        let [luma, alpha] = p.0.map(u16::from);
        u8::try_from((luma * alpha + 255 * (255 - alpha)) / 255).unwrap_or(u8::MAX)
    };
    let pixels = picture.pixels().map(shade).collect();
    GrayImage::from_raw(width, height, pixels).unwrap_or_default()
}

/// Looks for our code at several sizes. Of several codes in a picture ours is taken.
fn search<T: Meaning>(picture: GrayImage) -> Result<T, PictureError> {
    let (width, height) = picture.dimensions();
    let longest = width.max(height);
    let mut worst = PictureError::NoCode;
    let mut look =
        |at: &GrayImage| texts(at).iter().find_map(|text| T::of(text).map_err(|e| worst = PictureError::Code(e)).ok());
    let scaled = |v: u32, side: u32| {
        u32::try_from(u64::from(v) * u64::from(side) / u64::from(longest.max(1))).unwrap_or(1).max(1)
    };
    for side in SIDES.into_iter().filter(|side| *side < longest) {
        if let Some(code) = look(&thumbnail(&picture, scaled(width, side), scaled(height, side))) {
            return Ok(code);
        }
    }
    let largest = SIDES.iter().max().is_some_and(|side| longest <= *side);
    if largest && let Some(code) = look(&picture) {
        return Ok(code);
    }
    if longest < SMALL
        && let Some(code) = look(&resize(&picture, width * 2, height * 2, FilterType::Triangle))
    {
        return Ok(code);
    }
    Err(worst)
}

/// The texts of all QR codes in a picture.
fn texts(picture: &GrayImage) -> Vec<String> {
    let (width, height) = picture.dimensions();
    // Smaller than any code is.
    if width.min(height) < 21 {
        return Vec::new();
    }
    let found = contained(|| {
        let size = |v: u32| usize::try_from(v).unwrap_or(0);
        let pixels = picture.as_raw();
        let at = |x: usize, y: usize| pixels.get(y * size(width) + x).copied().unwrap_or(u8::MAX);
        let mut prepared = rqrr::PreparedImage::prepare_from_greyscale(size(width), size(height), at);
        let grids = prepared.detect_grids();
        // One that cannot be read takes no other along.
        grids.iter().filter_map(|g| contained(|| g.decode().ok()).ok().flatten()).map(|(_, text)| text).collect()
    });
    found.unwrap_or_default()
}
