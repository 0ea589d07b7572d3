//! Ranges of a local file, read into memory of whoever asks for them.
//!
//! Disk work is done by threads of a pool, and the allocator keeps memory by
//! thread: what such a thread allocates and another frees is its own to take
//! again, at its next turn, and until then it lies there once per thread of the
//! pool (benches/README.md). So [`room`] is made where the bytes will be used, and
//! a thread of the pool only fills it.

use std::fs::File;
use std::io::{Error, ErrorKind, Result};
use std::ops::Range;

use bytes::Bytes;
use rustix::buffer::spare_capacity;
use rustix::io::{Errno, pread};

/// What one range is read into. Nothing of it is touched before there are bytes for
/// it, so that a length that lies costs no more memory than the file has bytes.
#[derive(Debug)]
pub struct Room {
    start: u64,
    wanted: usize,
    bytes: Vec<u8>,
}

/// Room for one range.
pub fn room(range: &Range<u64>) -> Result<Room> {
    let wanted = range.end.checked_sub(range.start).and_then(|wanted| wanted.try_into().ok());
    let wanted: usize = wanted.ok_or_else(|| {
        Error::new(ErrorKind::InvalidInput, format!("{range:?} is no range of a file"))
    })?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(wanted)?;
    Ok(Room { start: range.start, wanted, bytes })
}

impl Room {
    /// Blocking: reads what there is room for.
    pub fn fill(mut self, file: &File) -> Result<Room> {
        while self.bytes.len() < self.wanted {
            let at = self.start + self.bytes.len() as u64;
            match pread(file, spare_capacity(&mut self.bytes), at) {
                Ok(0) => return Err(self.short()),
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.bytes.truncate(self.wanted);
        Ok(self)
    }

    fn short(&self) -> Error {
        let (start, wanted, came) = (self.start, self.wanted, self.bytes.len());
        let why = format!("the file ends after {came} of {wanted} bytes from {start}");
        Error::new(ErrorKind::UnexpectedEof, why)
    }

    pub fn bytes(self) -> Bytes {
        self.bytes.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: ranges of a file of ten bytes, some of them beyond its end, one turned
    /// round, one longer than any memory.
    /// Guarantees: those inside give their bytes, the others an error that says why.
    #[test]
    fn what_is_not_there_is_an_error() {
        let path = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(path.path(), b"0123456789").unwrap();
        let file = File::open(path.path()).unwrap();
        let read = |range: Range<u64>| Ok(room(&range)?.fill(&file)?.bytes());
        assert_eq!(read(0..10).unwrap(), "0123456789");
        assert_eq!(read(3..5).unwrap(), "34");
        assert_eq!(read(7..7).unwrap(), "");
        let fails = |range: Range<u64>| -> String {
            let failed: Result<Bytes> = read(range);
            failed.unwrap_err().to_string()
        };
        assert_eq!(fails(8..12), "the file ends after 2 of 4 bytes from 8");
        assert_eq!(fails(50..51), "the file ends after 0 of 1 bytes from 50");
        assert_eq!(fails(Range { start: 5, end: 3 }), "5..3 is no range of a file");
        assert!(fails(0..u64::MAX >> 1).contains("memory"), "{}", fails(0..u64::MAX >> 1));
    }
}
