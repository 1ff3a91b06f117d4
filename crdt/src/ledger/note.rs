//! What ledgers say to each other, as bytes. The type bytes 16 to 21 are those of frames of replication.

use super::contradiction::Contradiction;
use crate::codec::{DecodeError, Reader, Writer};
use crate::frontier::{End, MAX_NODE, NodeHash};
use crate::ids::DeviceId;
use crate::statement::Signed;

/// Most devices in a vector.
pub const MAX_VECTOR: usize = 8_192;
/// Most statements in one note.
pub const MAX_TOLD: usize = 64;
/// Most changed ends beside a statement; where more changed, receivers ask for nodes.
pub const MAX_CHANGES: usize = 64;
/// Most nodes asked for or sent at once.
pub const MAX_NODES: usize = 64;

/// A statement, and what changed in its frontier since the one before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The statement.
    pub signed: Signed,
    /// Ends that changed; they count once the root is right. None where they would be too many.
    pub changes: Vec<End>,
}

/// A note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// A hash over the statements known. Where it differs, one side answers with a vector.
    Digest([u8; 32]),
    /// The devices whose statements are known, ascending.
    Vector {
        /// Whether the receiver should answer with its own where this side knows more.
        ask: bool,
        /// What is known of them.
        all: Vec<Line>,
    },
    /// Statements.
    Told(Vec<Told>),
    /// "Send me these nodes of frontiers."
    AskNodes(Vec<NodeHash>),
    /// Those of them that are known.
    Nodes(Vec<Vec<u8>>),
    /// "This start of a device said two things that cannot both be true."
    Contradiction(Box<Contradiction>),
}

/// What is known of a device, in short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// Who.
    pub device: DeviceId,
    /// The number of its latest statement.
    pub counter: u64,
    /// A hash over that statement and the starts of the device that are known to contradict themselves.
    pub print: [u8; 32],
}

impl Note {
    /// The first and the last type byte.
    pub const TYPES: std::ops::RangeInclusive<u8> = 16..=21;

    /// Appends type byte and fields.
    pub fn write(&self, w: &mut Writer) {
        match self {
            Self::Digest(d) => {
                w.u8(16).bytes(d);
            }
            Self::Vector { ask, all } => {
                w.u8(17).u8(u8::from(*ask)).u32(all.len() as u32);
                for line in all {
                    w.bytes(&line.device.0).u64(line.counter).bytes(&line.print);
                }
            }
            Self::Told(told) => {
                w.u8(18).u8(told.len() as u8);
                for t in told {
                    w.bytes(&t.signed.encode()).u8(t.changes.len() as u8);
                    t.changes.iter().for_each(|e| e.write(w));
                }
            }
            Self::AskNodes(nodes) => {
                w.u8(19).u8(nodes.len() as u8);
                for node in nodes {
                    w.bytes(node);
                }
            }
            Self::Nodes(nodes) => {
                w.u8(20).u8(nodes.len() as u8);
                for node in nodes {
                    w.u16(node.len() as u16).bytes(node);
                }
            }
            Self::Contradiction(pair) => {
                w.u8(21);
                pair.write(w);
            }
        }
    }

    /// Reads the fields that follow a type byte. Nothing is allocated beyond what the bytes can hold.
    ///
    /// # Errors
    /// [`DecodeError`] where they are not a note within the bounds.
    pub fn read(kind: u8, r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match kind {
            16 => Self::Digest(r.array()?),
            17 => {
                let ask = match r.u8()? {
                    0 => false,
                    1 => true,
                    _ => return Err(DecodeError::Invalid("flag")),
                };
                let n = r.u32()? as usize;
                if n > MAX_VECTOR || n.saturating_mul(72) > r.remaining() {
                    return Err(DecodeError::Invalid("number of devices"));
                }
                let mut all: Vec<Line> = Vec::with_capacity(n);
                for _ in 0..n {
                    let line = Line { device: DeviceId(r.array()?), counter: r.u64()?, print: r.array()? };
                    if all.last().is_some_and(|last| last.device >= line.device) {
                        return Err(DecodeError::Invalid("order of devices"));
                    }
                    all.push(line);
                }
                Self::Vector { ask, all }
            }
            18 => {
                let mut told = Vec::new();
                for _ in 0..count(r, MAX_TOLD)? {
                    let signed = Signed::read(r)?;
                    let n = count(r, MAX_CHANGES)?;
                    let changes = (0..n).map(|_| End::read(r)).collect::<Result<_, _>>()?;
                    told.push(Told { signed, changes });
                }
                Self::Told(told)
            }
            19 => Self::AskNodes((0..count(r, MAX_NODES)?).map(|_| r.array()).collect::<Result<_, _>>()?),
            20 => {
                let mut nodes = Vec::new();
                for _ in 0..count(r, MAX_NODES)? {
                    let len = usize::from(r.u16()?);
                    if len > MAX_NODE {
                        return Err(DecodeError::Invalid("length of a node"));
                    }
                    nodes.push(r.take(len)?.to_vec());
                }
                Self::Nodes(nodes)
            }
            21 => Self::Contradiction(Box::new(Contradiction::read(r)?)),
            _ => return Err(DecodeError::Invalid("frame type")),
        })
    }
}

fn count(r: &mut Reader<'_>, max: usize) -> Result<usize, DecodeError> {
    let n = usize::from(r.u8()?);
    if n > max { Err(DecodeError::Invalid("number of items")) } else { Ok(n) }
}
