//! Walks a segment frame by frame. Where no frame is valid it looks for the
//! next one that is (F19). Memory is bounded by the segment's length, whatever
//! lengths the bytes claim.

use arrow::buffer::{Buffer, MutableBuffer};
use schema::Position;

use super::File;
use super::frame::{ALIGN, FIXED, Frame, Kind, Seal};
use super::segment;
use crate::Error;

/// Read ahead by this much, so that small frames cost few calls.
const WINDOW: u64 = 256 << 10;

pub(super) enum Found {
    /// The header is intact; see [`Scanner::payload`].
    Frame(Frame),
    /// No valid frame starts in these bytes.
    Hole { from: u64, to: u64 },
}

pub(super) struct Scanner {
    file: Box<dyn File>,
    segment: Position,
    seal: Seal,
    at: u64,
    end: u64,
    window: Vec<u8>,
    window_at: u64,
}

impl Scanner {
    /// Walks the bytes `at..end`.
    pub fn new(file: Box<dyn File>, segment: Position, seal: Seal, at: u64, end: u64) -> Scanner {
        Scanner { file, segment, seal, at, end, window: Vec::new(), window_at: 0 }
    }

    pub fn next(&mut self) -> Result<Option<Found>, Error> {
        if self.at >= self.end {
            return Ok(None);
        }
        if let Some(frame) = self.parse(self.at)? {
            self.at = frame.end();
            return Ok(Some(Found::Frame(frame)));
        }
        let from = self.at;
        self.at = (self.at + 1).next_multiple_of(ALIGN);
        while self.at < self.end && self.parse(self.at)?.is_none() {
            self.at += ALIGN;
        }
        self.at = self.at.min(self.end);
        Ok(Some(Found::Hole { from, to: self.at }))
    }

    /// The payload, unless it is cut off or not what was written.
    pub fn payload(&mut self, frame: &Frame) -> Result<Option<Buffer>, Error> {
        let (at, length) = (frame.payload_at(), u64::from(frame.payload_length));
        if at.saturating_add(length) > self.end {
            return Ok(None);
        }
        let mut payload = MutableBuffer::from_len_zeroed(length as usize);
        let read = self.file.read_at(at, &mut payload).map_err(self.failed())?;
        let whole = read as u64 == length && frame.holds(&payload);
        Ok(whole.then(|| payload.into()))
    }

    /// Any bytes of the segment, for the quarantine.
    pub fn bytes(&self, from: u64, to: u64) -> Result<Vec<u8>, Error> {
        let mut bytes = vec![0; to.min(self.end).saturating_sub(from) as usize];
        let read = self.file.read_at(from, &mut bytes).map_err(self.failed())?;
        bytes.truncate(read);
        Ok(bytes)
    }

    fn parse(&mut self, at: u64) -> Result<Option<Frame>, Error> {
        let Some(head) = self.window(at, FIXED as u64)?.and_then(Frame::head_length) else {
            return Ok(None);
        };
        let whole = (FIXED + head) as u64;
        let seal = self.seal.clone();
        let bytes = self.window(at, whole)?;
        let frame = bytes.and_then(|bytes| Frame::parse(bytes, at, &seal));
        // A segment has one header, and it is not read here.
        Ok(frame.filter(|frame| frame.kind != Kind::Header))
    }

    fn window(&mut self, at: u64, length: u64) -> Result<Option<&[u8]>, Error> {
        if at + length > self.end {
            return Ok(None);
        }
        let held = self.window_at..self.window_at + self.window.len() as u64;
        if at < held.start || at + length > held.end {
            self.window.resize(WINDOW.max(length).min(self.end - at) as usize, 0);
            let read = self.file.read_at(at, &mut self.window).map_err(self.failed())?;
            self.window.truncate(read);
            self.window_at = at;
        }
        let from = (at - self.window_at) as usize;
        Ok(self.window.get(from..from + length as usize))
    }

    fn failed(&self) -> impl FnOnce(std::io::Error) -> Error + use<> {
        Error::disk(format!(
            "write-ahead log segment {} could not be read; check the disk",
            segment::name(self.segment)
        ))
    }
}
