//! Codes drawn, photographed badly, and read again; and pictures that mean no good.

use std::io::{Cursor, Read};

use cairn_crdt::ids::DeviceId;
use cairn_crdt::netkey::{Invite, NetworkKey};
use cairn_crdt::safety::{Code, CodeError};
use image::codecs::jpeg::JpegEncoder;
use image::{GrayImage, ImageFormat, Luma};

use super::*;

fn code_in(from: impl Read) -> Result<Code, PictureError> {
    super::code_in(from)
}

fn code() -> Code {
    Code::new(DeviceId([0xa7; 32]), DeviceId([0x3c; 32]))
}

/// A photo of a code: turned by an angle, seen from the side, unevenly lit, out of focus and noisy; never the same pixel
/// twice, but the same in every run.
struct Photo {
    size: (u32, u32),
    /// Pixels of the code along a side.
    code: f32,
    /// Clockwise, in degrees.
    angle: f32,
    /// How much narrower the far side is, from 0 to 1.
    tilt: f32,
    noise: u32,
}

impl Photo {
    fn take(&self, text: &str) -> GrayImage {
        let qr = Qr::of(text).unwrap();
        let (sin, cos) = self.angle.to_radians().sin_cos();
        let middle = (self.size.0 as f32 / 2.0, self.size.1 as f32 / 2.0);
        let cells = qr.side() as f32;
        let mut state = 0x9e37_79b9_u32;
        let mut dice = move |n: u32| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            if n == 0 { 0 } else { state % n }
        };
        // Four points a pixel: edges are soft, as a lens makes them.
        let sample = |x: f32, y: f32| -> f32 {
            let (dx, dy) = (x - middle.0, y - middle.1);
            let (u, v) = ((dx * cos + dy * sin) / self.code, (dy * cos - dx * sin) / self.code);
            // What lies further off is smaller both ways.
            let near = 1.0 - self.tilt * v;
            let (u, v) = (u / near + 0.5, v / near + 0.5);
            if !(0.0..1.0).contains(&u) || !(0.0..1.0).contains(&v) {
                // A wooden table.
                return 0.55 + 0.06 * (y * 0.11).sin();
            }
            let (cx, cy) = ((u * cells) as u32, (v * cells) as u32);
            if qr.is_dark(cx, cy) { 0.12 } else { 0.92 }
        };
        GrayImage::from_fn(self.size.0, self.size.1, |x, y| {
            let points = [(0.2, 0.2), (0.7, 0.3), (0.3, 0.8), (0.8, 0.7)];
            let light: f32 = points.iter().map(|p| sample(x as f32 + p.0, y as f32 + p.1)).sum::<f32>() / 4.0;
            // A lamp at the upper left.
            let lamp = 1.0 - 0.45 * (x as f32 / self.size.0 as f32 + y as f32 / self.size.1 as f32) / 2.0;
            let noise = dice(2 * self.noise + 1) as f32 - self.noise as f32;
            Luma([(light * lamp * 255.0 + noise).clamp(0.0, 255.0) as u8])
        })
    }
}

fn jpeg(picture: &GrayImage, quality: u8) -> Vec<u8> {
    let mut out = Vec::new();
    JpegEncoder::new_with_quality(&mut out, quality).encode_image(picture).unwrap();
    out
}

fn png(picture: &GrayImage) -> Vec<u8> {
    let mut out = Cursor::new(Vec::new());
    picture.write_to(&mut out, ImageFormat::Png).unwrap();
    out.into_inner()
}

#[test]
fn a_code_goes_through_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("code.png");
    let qr = Qr::of(&code().to_string()).unwrap();
    qr.save(&file).unwrap();
    assert_eq!(code_in_file(&file), Ok(code()));
    // A file is never written over.
    assert!(matches!(qr.save(&file), Err(QrError::Exists(_))));
    assert!(matches!(qr.save(&dir.path().join("no/such/folder.png")), Err(QrError::Io(_))));
    assert!(matches!(Qr::of(&"x".repeat(5_000)), Err(QrError::TooLong)));
    assert!(matches!(code_in_file::<Code>(dir.path()), Err(PictureError::Io(_))));
    assert!(matches!(code_in_file::<Code>(&dir.path().join("none")), Err(PictureError::Io(_))));
}

#[test]
fn a_terminal_shows_what_the_picture_shows() {
    let qr = Qr::of(&code().to_string()).unwrap();
    let lines = qr.lines(false);
    assert_eq!((qr.side(), lines.len()), (45, 23));
    assert!(lines.iter().all(|l| l.chars().count() == 45));
    let mut picture = GrayImage::from_pixel(45 * 6, 46 * 6, Luma([255]));
    for (row, line) in lines.iter().enumerate() {
        for (column, c) in line.chars().enumerate() {
            let halves = [matches!(c, '█' | '▀'), matches!(c, '█' | '▄')];
            for (half, _) in halves.iter().enumerate().filter(|(_, dark)| **dark) {
                let (left, top) = (column as u32 * 6, (row * 2 + half) as u32 * 6);
                (0..36).for_each(|i| picture.put_pixel(left + i % 6, top + i / 6, Luma([0])));
            }
        }
    }
    assert_eq!(code_in(&png(&picture)[..]), Ok(code()));
    assert!(qr.lines(true).iter().all(|l| l.starts_with("\x1b[30;107m") && l.ends_with("\x1b[0m")));
}

#[test]
fn photos_are_read_turned_tilted_small_large_and_noisy() {
    let text = code().to_string();
    for (size, code_side, angle, tilt, noise, quality) in [
        ((640, 480), 300.0, 0.0, 0.0, 0, 90),
        ((640, 480), 300.0, 90.0, 0.0, 4, 80),
        ((640, 480), 320.0, 17.0, 0.0, 8, 75),
        ((600, 750), 330.0, 203.0, 0.08, 12, 70),
        ((800, 600), 380.0, 338.0, 0.12, 25, 60),
        // A small code in a large photo.
        ((1600, 1200), 300.0, 8.0, 0.05, 10, 80),
    ] {
        let photo = Photo { size, code: code_side, angle, tilt, noise };
        let bytes = jpeg(&photo.take(&text), quality);
        assert_eq!(code_in(&bytes[..]), Ok(code()), "{size:?} {code_side} {angle}° {tilt} {noise}");
    }
    let upright = Photo { size: (320, 320), code: 220.0, angle: 0.0, tilt: 0.0, noise: 0 }.take(&text);
    assert_eq!(code_in(&png(&upright)[..]), Ok(code()));
    // From the clipboard, black on nothing.
    let qr = Qr::of(&text).unwrap();
    let rgba = (0..qr.side() * 5 * qr.side() * 5).flat_map(|i| {
        let (x, y) = (i % (qr.side() * 5) / 5, i / (qr.side() * 5) / 5);
        [0, 0, 0, if qr.is_dark(x, y) { 255 } else { 0 }]
    });
    assert_eq!(code_in_pixels(qr.side() * 5, qr.side() * 5, rgba.collect()), Ok(code()));
}

#[test]
fn text_is_a_code_too() {
    let text = format!("{}\n", code());
    assert_eq!(code_in(text.as_bytes()), Ok(code()));
    let broken = text.replace("A7", "");
    assert_eq!(code_in(&broken.as_bytes()[..40]), Err(PictureError::Code(CodeError::Damaged)));
    assert_eq!(code_in(&b"CAIRN:ID:7:x"[..]), Err(PictureError::Code(CodeError::Newer)));
    assert_eq!(code_in(&b"hello"[..]), Err(PictureError::NotAPicture));
}

#[test]
fn other_codes_and_no_codes_are_told_apart() {
    let photo = Photo { size: (400, 400), code: 300.0, angle: 5.0, tilt: 0.0, noise: 3 };
    let foreign = png(&photo.take("https://example.org/menu"));
    assert_eq!(code_in(&foreign[..]), Err(PictureError::Code(CodeError::Foreign)));
    let newer = png(&photo.take("CAIRN:ID:2:SOMETHING"));
    assert_eq!(code_in(&newer[..]), Err(PictureError::Code(CodeError::Newer)));
    // Beside a foreign code ours is found.
    let (left, right) = (photo.take("https://example.org/menu"), photo.take(&code().to_string()));
    let both =
        GrayImage::from_fn(800, 400, |x, y| if x < 400 { *left.get_pixel(x, y) } else { *right.get_pixel(x - 400, y) });
    assert_eq!(code_in(&png(&both)[..]), Ok(code()));
    for picture in [
        GrayImage::from_pixel(300, 300, Luma([255])),
        GrayImage::from_pixel(1, 1, Luma([0])),
        GrayImage::from_fn(250, 200, |x, y| Luma([((x * 7919 + y * 104_729) ^ (x * y)) as u8])),
        GrayImage::from_fn(256, 256, |x, y| Luma([if (x / 4 + y / 4) % 2 == 0 { 0 } else { 255 }])),
    ] {
        assert_eq!(code_in(&png(&picture)[..]), Err(PictureError::NoCode));
    }
}

/// The checksum of a PNG chunk (RFC 2083, appendix 15).
fn crc(bytes: &[u8]) -> u32 {
    let step = |c: u32| if c & 1 == 1 { 0xedb8_8320 ^ (c >> 1) } else { c >> 1 };
    !bytes.iter().fold(u32::MAX, |c, b| (0..8).fold(c ^ u32::from(*b), |c, _| step(c)))
}

/// A PNG file that says it is of a size.
fn claims(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = png(&GrayImage::from_pixel(8, 8, Luma([0])));
    bytes[16..20].copy_from_slice(&width.to_be_bytes());
    bytes[20..24].copy_from_slice(&height.to_be_bytes());
    let sum = crc(&bytes[12..29]);
    bytes[29..33].copy_from_slice(&sum.to_be_bytes());
    bytes
}

#[test]
fn bombs_are_refused_before_they_are_opened() {
    for (width, height) in [(60_000, 60_000), (u32::MAX >> 1, 1), (1, 60_000_000), (8_000, 8_000)] {
        let result = code_in(&claims(width, height)[..]);
        assert!(matches!(result, Err(PictureError::TooLarge | PictureError::Damaged)), "{width} {height}: {result:?}");
    }
    let mut jpeg = jpeg(&GrayImage::from_pixel(16, 16, Luma([0])), 80);
    let frame = jpeg.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0xff; 4]);
    assert_eq!(code_in(&jpeg[..]), Err(PictureError::TooLarge));
    // Longer than any photo.
    assert_eq!(code_in(std::io::repeat(0)), Err(PictureError::TooLarge));
    assert_eq!(code_in_pixels::<Code>(10_000, 10_000, Vec::new()), Err(PictureError::TooLarge));
    assert_eq!(code_in_pixels::<Code>(10, 10, vec![0; 399]), Err(PictureError::Damaged));
}

#[test]
fn broken_pictures_are_errors_and_never_more() {
    assert_eq!(code_in(&[][..]), Err(PictureError::NotAPicture));
    assert_eq!(code_in(&b"GIF89a\x01\x00\x01\x00\x00\x00\x00;"[..]), Err(PictureError::NotAPicture));
    let photo = Photo { size: (200, 200), code: 180.0, angle: 3.0, tilt: 0.0, noise: 0 }.take(&code().to_string());
    let whole = png(&photo);
    assert_eq!(code_in(&whole[..]), Ok(code()));
    for cut in [9, 33, 60, whole.len() / 2] {
        assert_eq!(code_in(&whole[..cut]), Err(PictureError::Damaged), "{cut} of {}", whole.len());
    }
    // Single bytes of a photo changed: it may be read or not, and nothing else comes of it.
    let small = jpeg(&photo, 50);
    for at in (0..small.len()).step_by(small.len() / 40) {
        let mut bytes = small.clone();
        bytes[at] ^= 0x55;
        if let Ok(read) = code_in(&bytes[..]) {
            assert_eq!(read, code(), "byte {at}: another code is never read");
        }
    }
}

#[test]
fn a_code_is_read_for_what_it_is_of() {
    let key = NetworkKey::from_secret(&[9; 32]);
    let name = "n".repeat(64);
    for name in [String::new(), name] {
        let invite = Invite { network: key.network(), key: key.clone(), name };
        let picture = crate::netkey::code(&invite.to_string()).unwrap().png().unwrap();
        assert_eq!(super::code_in(&picture[..]), Ok(invite.clone()));
        assert_eq!(super::code_in(format!(" {invite}\n").as_bytes()), Ok(invite));
        assert_eq!(super::code_in::<Code>(&picture[..]), Err(PictureError::Code(CodeError::Other)));
    }
    let picture = Qr::of(&code().to_string()).unwrap().png().unwrap();
    assert_eq!(super::code_in::<Invite>(&picture[..]), Err(PictureError::Code(CodeError::Other)));
    let foreign = Qr::of("https://example.org/menu").unwrap().png().unwrap();
    assert_eq!(super::code_in::<Invite>(&foreign[..]), Err(PictureError::Code(CodeError::Foreign)));
}
