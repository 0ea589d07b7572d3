//! A bloom filter asked for one value.
//!
//! A filter of a row group is 128 KiB, and a value is in one block of it. Only
//! that is fetched.

use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::Result;
use parquet::file::metadata::ColumnChunkMetaData;
use twox_hash::XxHash64;

/// Bytes of a block: eight words of 32 bits.
const BLOCK: u64 = 32;

/// By Parquet's specification of split-block bloom filters.
const SALT: [u32; 8] = [
    0x47b6_137b,
    0x4497_4d91,
    0x8824_ad5b,
    0xa2b7_289d,
    0x7054_95c7,
    0x2df1_424b,
    0x9efc_4947,
    0x5c6b_fb31,
];

/// Whether a chunk certainly does not have a text.
pub(super) async fn lacks(
    reader: &mut dyn AsyncFileReader,
    chunk: &ColumnChunkMetaData,
    text: &str,
) -> Result<bool> {
    let place = chunk.bloom_filter_offset().zip(chunk.bloom_filter_length());
    let Some((Ok(start), Ok(length))) = place.map(|(o, l)| (u64::try_from(o), u64::try_from(l)))
    else {
        return Ok(false);
    };
    // Blocks are a power of two in number, and the header is shorter than one.
    let Some(size) = length.checked_ilog2().map(|log| 1u64 << log).filter(|size| *size >= BLOCK)
    else {
        return Ok(false);
    };
    let header = length - size;
    if header == 0 || header > BLOCK {
        return Ok(false);
    }
    let hash = XxHash64::oneshot(0, text.as_bytes());
    let at = start + header + (((hash >> 32) * (size / BLOCK)) >> 32) * BLOCK;
    let block = reader.get_bytes(at..at + BLOCK).await?;
    Ok(!has(&block, hash as u32))
}

fn has(block: &[u8], hash: u32) -> bool {
    block.chunks_exact(4).zip(SALT).all(|(word, salt)| {
        let word = word.iter().rev().fold(0, |word, byte| word << 8 | u32::from(*byte));
        word & 1 << (hash.wrapping_mul(salt) >> 27) != 0
    })
}
