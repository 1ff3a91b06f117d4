//! `verify`: shows a safety number, takes the word of the person that it matches, reads the other side's code.

use std::path::PathBuf;

use cairn_actors::api::ApiError;
use cairn_crdt::ids::DeviceId;
use cairn_crdt::safety::Code;
use clap::Args;

use super::backend::Backend;
use super::error::Failure;
use super::text::{Out, note};
use super::{human, json};
use crate::local::resolve::ConvRef;
use crate::qr::{self, PictureError, Qr, QrError};

/// What `verify` is asked.
#[derive(Debug, Clone, Default, Args)]
pub struct VerifyArgs {
    /// Who: @name, person:NAME or id:ID; may be left out with --scan
    #[arg(value_name = "WHO", required_unless_present = "scan")]
    pub who: Option<ConvRef>,
    /// They match: mark this device as verified
    #[arg(long, conflicts_with_all = ["forget", "scan"])]
    pub confirm: bool,
    /// Take that back
    #[arg(long, conflicts_with = "scan")]
    pub forget: bool,
    /// Read the code that the other device shows from a picture (PNG, JPEG), or from text; `-` reads standard input
    #[arg(long, value_name = "FILE")]
    pub scan: Option<PathBuf>,
    /// Write the code to show the other side as a picture (PNG)
    #[arg(long, value_name = "FILE")]
    pub qr: Option<PathBuf>,
}

impl From<PictureError> for Failure {
    fn from(e: PictureError) -> Self {
        Self::failed(e.name(), e.to_string())
    }
}

impl From<QrError> for Failure {
    fn from(e: QrError) -> Self {
        let name = match e {
            QrError::Exists(_) => "file_exists",
            QrError::TooLong | QrError::Io(_) => "picture_not_written",
        };
        Self::failed(name, e.to_string())
    }
}

/// Does what was asked, then prints the safety number as it is now.
///
/// # Errors
/// `not_a_person` where a room was named, what a picture lacks, and what the backend answers.
pub async fn verify(backend: &mut impl Backend, out: &mut Out, args: &VerifyArgs) -> Result<(), Failure> {
    let who = match &args.who {
        Some(who) => Some(person(backend, who).await?),
        None => None,
    };
    let device = match (&args.scan, who) {
        (Some(file), meant) => {
            let code = read(file)?;
            backend.scan(&code.to_string(), meant).await?.id
        }
        (None, Some(device)) if args.confirm || args.forget => backend.set_verified(device, args.confirm).await?.id,
        (None, Some(device)) => device,
        (None, None) => return Err(Failure::Usage("WHO is missing: @name, person:NAME or id:ID".into())),
    };
    let safety = backend.safety(device).await?;
    let code = Qr::of(&safety.code)?;
    if let Some(file) = &args.qr {
        code.save(file)?;
        if !out.json {
            note(&format!("cairn: the code for {} to read is in {}", safety.peer.label(), file.display()));
        }
    }
    if out.json {
        return out.line(&json::safety(&safety));
    }
    let asked = args.confirm || args.forget || args.scan.is_some();
    out.lines(if asked { human::verified(&safety, out.style) } else { human::safety(&safety, &code, out.style) })
}

async fn person(backend: &mut impl Backend, who: &ConvRef) -> Result<DeviceId, Failure> {
    let place = backend.resolve(who).await?;
    let room = || ApiError::new("not_a_person", format!("{} is no person: name one with @name", place.title));
    Ok(place.peer.ok_or_else(room)?)
}

fn read(file: &std::path::Path) -> Result<Code, Failure> {
    Ok(if file.as_os_str() == "-" { qr::code_in(std::io::stdin().lock())? } else { qr::code_in_file(file)? })
}
