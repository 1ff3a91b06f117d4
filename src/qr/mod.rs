//! QR codes: made and drawn (`draw`), and read from pictures (`read`).

mod draw;
mod read;

#[cfg(test)]
mod tests;

pub use draw::{Qr, QrError};
pub use read::{FILE_MAX, Meaning, PictureError, code_in, code_in_file, code_in_pixels};
