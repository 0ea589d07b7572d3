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

    /// Where the walk ends.
    pub fn end(&self) -> u64 {
        self.end
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

#[cfg(test)]
mod tests {
    use schema::WalId;

    use super::*;
    use crate::wal::frame::Draft;
    use crate::wal::{Files, Memory};

    fn scan(bytes: &[u8]) -> (Scanner, Seal) {
        let files = Memory::new();
        files.put("s", bytes);
        let seal = Seal::of(WalId(7), Position(1));
        let end = bytes.len() as u64;
        (Scanner::new(files.open("s").unwrap(), Position(1), seal.clone(), 0, end), seal)
    }

    fn frame(out: &mut Vec<u8>, payload: &[u8], seal: &Seal) {
        let draft = Draft::begin(out, |head| head.extend_from_slice(b"head"));
        out.extend_from_slice(payload);
        draft.finish(out, 0, Kind::Rows, (Position(1), Position(1)), seal).unwrap();
    }

    /// Scenario: a header that passed its checksum claims a payload of 4 GiB.
    /// Guarantees: F19: nothing is allocated for it, and the walk ends.
    #[test]
    fn fault_f19_a_hostile_length_allocates_nothing() {
        let (_, seal) = scan(&[]);
        let mut bytes = Vec::new();
        frame(&mut bytes, b"payload", &seal);
        let (mut scanner, _) = scan(&bytes);
        let Some(Found::Frame(mut found)) = scanner.next().unwrap() else { panic!("a frame") };
        found.payload_length = u32::MAX;
        assert!(scanner.payload(&found).unwrap().is_none());
        assert!(scanner.next().unwrap().is_none());
    }

    /// Scenario: valid frames of the same log lie inside another frame's
    /// payload and at the place of a lost one, moved from where they were.
    /// Guarantees: F19: resync takes a frame only where it was written.
    #[test]
    fn fault_f19_a_moved_frame_is_no_frame() {
        let (_, seal) = scan(&[]);
        let mut inner = Vec::new();
        frame(&mut inner, b"forged", &seal);
        let mut bytes = vec![0xEE; 64];
        frame(&mut bytes, &inner, &seal);
        frame(&mut bytes, b"second", &seal);
        bytes[64] ^= 1;
        let (mut scanner, _) = scan(&bytes);
        let Some(Found::Hole { from: 0, to }) = scanner.next().unwrap() else { panic!("a hole") };
        let Some(Found::Frame(found)) = scanner.next().unwrap() else { panic!("a frame") };
        assert_eq!(found.offset, to);
        assert_eq!(scanner.payload(&found).unwrap().unwrap().as_slice(), b"second");
        assert!(scanner.next().unwrap().is_none());
    }
}
