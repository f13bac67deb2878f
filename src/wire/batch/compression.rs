//! The codecs of a batch's records, both ways, with a bound on what comes out.
//!
//! gzip: RFC 1952 · snappy: xerial's framing (magic, two versions, then blocks with a length each), or one raw block
//! as some clients send it · lz4: its frame format · zstd: its frame format.

use std::io::{self, Read, Write};

use super::Error;

/// The codec in the low three bits of a batch's attributes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Compression {
    #[default]
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

impl Compression {
    /// # Errors
    /// `UnknownCompression` for ids that no codec has.
    pub fn from_id(id: u8) -> Result<Compression, Error> {
        Ok(match id {
            0 => Compression::None,
            1 => Compression::Gzip,
            2 => Compression::Snappy,
            3 => Compression::Lz4,
            4 => Compression::Zstd,
            other => return Err(Error::UnknownCompression(other)),
        })
    }

    pub fn id(self) -> u8 {
        self as u8
    }

    /// Kafka's name, as in `compression.type`.
    pub fn name(self) -> &'static str {
        match self {
            Compression::None => "none",
            Compression::Gzip => "gzip",
            Compression::Snappy => "snappy",
            Compression::Lz4 => "lz4",
            Compression::Zstd => "zstd",
        }
    }
}

/// A codec and how hard it tries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CompressionSettings {
    pub codec: Compression,
    /// gzip 1–9, zstd as libzstd counts; None is the codec's own default. The others have no levels here.
    pub level: Option<i32>,
}

impl From<Compression> for CompressionSettings {
    fn from(codec: Compression) -> CompressionSettings {
        CompressionSettings { codec, level: None }
    }
}

const XERIAL_MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
const XERIAL_HEADER_LEN: usize = 16;
/// The block size of Apache's snappy writer.
const XERIAL_BLOCK: usize = 32 * 1024;

/// Appends `data`, compressed, to `out`.
pub fn compress(settings: CompressionSettings, data: &[u8], out: &mut Vec<u8>) {
    let written = match settings.codec {
        Compression::None => {
            out.extend_from_slice(data);
            Ok(())
        }
        Compression::Gzip => {
            let level = settings.level.filter(|level| (0..=9).contains(level)).map(|level| level as u32);
            let level = level.map_or_else(flate2::Compression::default, flate2::Compression::new);
            let mut encoder = flate2::write::GzEncoder::new(&mut *out, level);
            encoder.write_all(data).and_then(|()| encoder.finish().map(drop))
        }
        Compression::Snappy => compress_xerial(data, out),
        Compression::Lz4 => {
            let mut frame = lz4_flex::frame::FrameInfo::new();
            // Apache's reader knows no other layout: 64 KiB blocks that stand alone.
            frame.block_mode = lz4_flex::frame::BlockMode::Independent;
            frame.block_size = lz4_flex::frame::BlockSize::Max64KB;
            let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(frame, &mut *out);
            encoder.write_all(data).and_then(|()| encoder.finish().map(drop).map_err(io::Error::other))
        }
        Compression::Zstd => zstd::stream::copy_encode(data, &mut *out, settings.level.unwrap_or(3)),
    };
    written.expect("writing to memory does not fail");
}

fn compress_xerial(data: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    out.extend_from_slice(&XERIAL_MAGIC);
    out.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 1]);
    let mut encoder = snap::raw::Encoder::new();
    for chunk in data.chunks(XERIAL_BLOCK) {
        let block = encoder.compress_vec(chunk).map_err(io::Error::other)?;
        out.extend_from_slice(&(block.len() as u32).to_be_bytes());
        out.extend_from_slice(&block);
    }
    Ok(())
}

/// Decompresses `data` to at most `limit` bytes.
///
/// # Errors
/// `TooLarge` beyond `limit`, `Decompress` with the codec's reason.
pub fn decompress(codec: Compression, data: &[u8], limit: usize) -> Result<Vec<u8>, Error> {
    match codec {
        Compression::None if data.len() > limit => Err(Error::TooLarge(limit)),
        Compression::None => Ok(data.to_vec()),
        Compression::Gzip => read_bounded(flate2::read::MultiGzDecoder::new(data), data.len(), limit),
        Compression::Snappy => decompress_snappy(data, limit),
        Compression::Lz4 => read_bounded(lz4_flex::frame::FrameDecoder::new(data), data.len(), limit),
        Compression::Zstd => {
            let decoder = zstd::stream::read::Decoder::with_buffer(data).map_err(decompress_error)?;
            read_bounded(decoder, data.len(), limit)
        }
    }
}

fn decompress_error(error: impl std::fmt::Display) -> Error {
    Error::Decompress(error.to_string())
}

fn read_bounded(reader: impl Read, compressed: usize, limit: usize) -> Result<Vec<u8>, Error> {
    let mut out = Vec::with_capacity(compressed.saturating_mul(2).min(limit));
    reader.take(limit as u64 + 1).read_to_end(&mut out).map_err(decompress_error)?;
    if out.len() > limit {
        return Err(Error::TooLarge(limit));
    }
    Ok(out)
}

fn decompress_snappy(data: &[u8], limit: usize) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    let mut blocks = match data.strip_prefix(&XERIAL_MAGIC) {
        Some(_) if data.len() >= XERIAL_HEADER_LEN => &data[XERIAL_HEADER_LEN..],
        Some(_) => return Err(Error::Decompress("snappy header is cut off".into())),
        None => {
            decompress_snappy_block(data, &mut out, limit)?;
            return Ok(out);
        }
    };
    while !blocks.is_empty() {
        // xerial's reader accepts streams glued together, each with its header.
        if blocks.starts_with(&XERIAL_MAGIC) && blocks.len() >= XERIAL_HEADER_LEN {
            blocks = &blocks[XERIAL_HEADER_LEN..];
            continue;
        }
        let cut = || Error::Decompress("snappy block is cut off".into());
        let (length, rest) = blocks.split_first_chunk::<4>().ok_or_else(cut)?;
        let length = u32::from_be_bytes(*length) as usize;
        let block = rest.get(..length).ok_or_else(cut)?;
        decompress_snappy_block(block, &mut out, limit)?;
        blocks = &rest[length..];
    }
    Ok(out)
}

fn decompress_snappy_block(block: &[u8], out: &mut Vec<u8>, limit: usize) -> Result<(), Error> {
    let length = snap::raw::decompress_len(block).map_err(decompress_error)?;
    // A block of n bytes holds at most some 64 n / 3: a copy of 64 bytes costs at least three. What claims more lies,
    // and would have us allocate for nothing.
    if length > limit.saturating_sub(out.len()) || length / 32 > block.len() {
        return Err(Error::TooLarge(limit));
    }
    let at = out.len();
    out.resize(at + length, 0);
    let written = snap::raw::Decoder::new().decompress(block, &mut out[at..]).map_err(decompress_error)?;
    out.truncate(at + written);
    Ok(())
}
