//! Pages as bytes, compressed, with a checksum.
//!
//! A page that the Parquet library writes has none. Where zstd compresses, its frame
//! can carry one: four bytes, which every reader checks without knowing of it.

use bytes::Bytes;
use zstd::bulk::Compressor;

use crate::Error;

/// What the chunks of a file share.
pub struct Press {
    zstd: Compressor<'static>,
    /// Of the page that is put together.
    pub body: Vec<u8>,
}

impl Press {
    pub fn new(zstd_level: i32) -> Result<Press, Error> {
        let mut zstd = Compressor::new(zstd_level).map_err(unpacked)?;
        zstd.include_checksum(true).map_err(unpacked)?;
        Ok(Press { zstd, body: Vec::new() })
    }

    /// What was put in the body, compressed where the column is.
    pub fn take(&mut self, is_plain: bool) -> Result<Bytes, Error> {
        match is_plain {
            true => Ok(self.body.clone().into()),
            false => Ok(self.zstd.compress(&self.body).map_err(unpacked)?.into()),
        }
    }
}

fn unpacked(source: std::io::Error) -> Error {
    Error::Internal(format!("a page could not be compressed: {source}"))
}
