//! A QR code as squares, as lines for a terminal, and as a PNG file.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;

use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};
use qrcodegen::{QrCode, QrCodeEcc};

/// The empty margin that readers need, in squares (ISO/IEC 18004, 6.3.8).
const QUIET: u32 = 4;
/// Pixels of a square in a file.
const PIXELS: u32 = 8;

/// Why there is no QR code.
#[derive(Debug, thiserror::Error)]
pub enum QrError {
    /// The text does not fit.
    #[error("the text is too long for a QR code")]
    TooLong,
    /// There is a file of that name.
    #[error("{0} is there already, and is not replaced")]
    Exists(String),
    /// The file could not be written.
    #[error("the picture could not be written: {0}")]
    Io(io::Error),
}

/// A QR code.
#[derive(Debug, Clone)]
pub struct Qr {
    side: u32,
    dark: Vec<bool>,
}

impl Qr {
    /// The code of a text, with room for a sixth of it to be unreadable (error correction M).
    ///
    /// # Errors
    /// [`QrError::TooLong`].
    pub fn of(text: &str) -> Result<Self, QrError> {
        let code = QrCode::encode_text(text, QrCodeEcc::Medium).map_err(|_| QrError::TooLong)?;
        let side = code.size();
        let dark = (0..side).flat_map(|y| (0..side).map(move |x| (x, y))).map(|(x, y)| code.get_module(x, y)).collect();
        Ok(Self { side: u32::try_from(side).unwrap_or(0), dark })
    }

    /// Squares along a side, with the margin.
    #[must_use]
    pub fn side(&self) -> u32 {
        self.side + 2 * QUIET
    }

    /// Whether a square is dark, counted from the upper left corner of the margin.
    #[must_use]
    pub fn is_dark(&self, x: u32, y: u32) -> bool {
        let inside = |v: u32| v.checked_sub(QUIET).filter(|v| *v < self.side);
        let (Some(x), Some(y)) = (inside(x), inside(y)) else { return false };
        usize::try_from(y * self.side + x).ok().and_then(|at| self.dark.get(at)).copied().unwrap_or(false)
    }

    /// Lines of half blocks, two rows of squares each, dark ones drawn. `painted`: black on white whatever the colours of
    /// the terminal are; else as on paper.
    #[must_use]
    pub fn lines(&self, painted: bool) -> Vec<String> {
        let row = |y: u32| -> String {
            let blocks = (0..self.side()).map(|x| match (self.is_dark(x, y), self.is_dark(x, y + 1)) {
                (true, true) => '█',
                (true, false) => '▀',
                (false, true) => '▄',
                (false, false) => ' ',
            });
            blocks.collect()
        };
        let rows = (0..self.side()).step_by(2).map(row);
        if painted { rows.map(|r| format!("\x1b[30;107m{r}\x1b[0m")).collect() } else { rows.collect() }
    }

    /// A PNG file of it, eight pixels a square, grey.
    ///
    /// # Errors
    /// [`QrError::Io`].
    pub fn png(&self) -> Result<Vec<u8>, QrError> {
        let side = self.side() * PIXELS;
        let pixel = |i: u32| if self.is_dark(i % side / PIXELS, i / side / PIXELS) { 0 } else { 255 };
        let pixels: Vec<u8> = (0..side * side).map(pixel).collect();
        let mut out = Vec::new();
        let encoder = PngEncoder::new(&mut out);
        let written = encoder.write_image(&pixels, side, side, ExtendedColorType::L8);
        written.map_err(|e| QrError::Io(io::Error::other(e)))?;
        Ok(out)
    }

    /// Writes a PNG file; never over one. It is the owner's alone where the system has file modes: it may hold a key.
    ///
    /// # Errors
    /// [`QrError`].
    pub fn save(&self, file: &Path) -> Result<(), QrError> {
        let png = self.png()?;
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut out = options.open(file).map_err(|e| match e.kind() {
            io::ErrorKind::AlreadyExists => QrError::Exists(file.display().to_string()),
            _ => QrError::Io(e),
        })?;
        out.write_all(&png).map_err(QrError::Io)
    }
}
