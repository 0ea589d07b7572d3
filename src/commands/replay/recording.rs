//! Recorded requests out of files: one JSON request per line, as the
//! Collector's file exporter writes, or protobuf after a 4-byte big-endian
//! length; plain, gzip or zstd. Nothing but the current request is in memory.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Result, anyhow, bail};
use collector::rewrite::{self, Encoding, Peek};
use flate2::read::MultiGzDecoder;
use schema::Signal;

/// A longer message is a wrong file, not telemetry: OTLP's limit is 64 MiB.
const LONGEST: u64 = 1 << 30;

/// One recorded request.
#[derive(Debug)]
pub struct Message {
    pub signal: Signal,
    pub encoding: Encoding,
    pub body: Vec<u8>,
    pub peek: Peek,
    /// File and number, for errors.
    pub place: String,
}

/// A file being read.
pub struct Recording {
    path: PathBuf,
    source: Box<dyn BufRead + Send>,
    /// `None`: told by the file's name, which says nothing.
    signal: Option<Signal>,
    encoding: Encoding,
    count: u64,
}

impl Recording {
    /// `signal` is for protobuf files whose name does not tell it; JSON tells it
    /// per line. `read` counts the bytes taken from disk.
    pub fn open(path: &Path, signal: Option<Signal>, read: &Arc<AtomicU64>) -> Result<Recording> {
        let context = || format!("cannot read {}", path.display());
        let file = File::open(path).with_context(context)?;
        let mut raw = BufReader::with_capacity(1 << 16, Counted { file, read: read.clone() });
        let magic = raw.fill_buf().with_context(context)?;
        let mut source: Box<dyn BufRead + Send> = match magic {
            [0x28, 0xb5, 0x2f, 0xfd, ..] => {
                Box::new(BufReader::new(zstd::Decoder::with_buffer(raw).with_context(context)?))
            }
            [0x1f, 0x8b, ..] => Box::new(BufReader::new(MultiGzDecoder::new(raw))),
            _ => Box::new(raw),
        };
        let head = source.fill_buf().with_context(context)?;
        let first = head.iter().find(|byte| !byte.is_ascii_whitespace());
        // As the first byte of a length, a brace would mean two gigabytes.
        let json = first == Some(&b'{');
        let encoding = if json { Encoding::Json } else { Encoding::Protobuf };
        let signal = signal.or_else(|| signal_of_name(path));
        if !json && signal.is_none() {
            return Err(crate::cli::Usage(format!(
                "the name of {} does not tell its signal; name it *.traces.*, *.logs.* or *.metrics.*, or say --signal",
                path.display()
            ))
            .into());
        }
        Ok(Recording { path: path.to_owned(), source, signal, encoding, count: 0 })
    }

    pub fn next(&mut self) -> Result<Option<Message>> {
        let place = format!("{}, request {}", self.path.display(), self.count + 1);
        let body = match self.encoding {
            Encoding::Json => self.line(),
            Encoding::Protobuf => self.frame(),
        };
        let Some(body) = body.with_context(|| place.clone())? else { return Ok(None) };
        self.count += 1;
        let signal = match (self.encoding, self.signal) {
            (Encoding::Protobuf, Some(signal)) => signal,
            _ => rewrite::json::signal(&body).ok_or_else(|| {
                anyhow!("{place}: neither resourceSpans, resourceLogs nor resourceMetrics; not OTLP/JSON")
            })?,
        };
        let peek = rewrite::peek(signal, self.encoding, &body).with_context(|| place.clone())?;
        Ok(Some(Message { signal, encoding: self.encoding, body, peek, place }))
    }

    /// The next line that is not blank.
    fn line(&mut self) -> Result<Option<Vec<u8>>> {
        loop {
            let mut line = Vec::new();
            let read = (&mut self.source).take(LONGEST).read_until(b'\n', &mut line)?;
            if read == 0 {
                return Ok(None);
            }
            if read as u64 == LONGEST {
                bail!("a line of more than {LONGEST} bytes; not OTLP/JSON lines");
            }
            if !line.trim_ascii().is_empty() {
                return Ok(Some(line));
            }
        }
    }

    fn frame(&mut self) -> Result<Option<Vec<u8>>> {
        if self.source.fill_buf()?.is_empty() {
            return Ok(None);
        }
        let mut length = [0; 4];
        self.source.read_exact(&mut length).context("the file ends inside of a length")?;
        let length = u64::from(u32::from_be_bytes(length));
        if length > LONGEST {
            bail!("a message of {length} bytes; not length-delimited OTLP (4 bytes, big-endian)");
        }
        let mut body = Vec::new();
        let read = (&mut self.source).take(length).read_to_end(&mut body)?;
        if (read as u64) < length {
            bail!("the file ends inside of a message: {read} of {length} bytes");
        }
        Ok(Some(body))
    }
}

/// `day.traces.otlp.zst` holds traces.
fn signal_of_name(path: &Path) -> Option<Signal> {
    let name = path.file_name()?.to_str()?;
    let mut parts = name.split('.').rev();
    parts.find_map(|part| Signal::ALL.into_iter().find(|signal| signal.as_str() == part))
}

/// Several recordings as one, the earliest request first.
pub struct Merged {
    /// Each with its next request; exhausted ones are gone.
    heads: Vec<(Recording, Message)>,
}

impl Merged {
    pub fn open(
        files: &[PathBuf],
        signal: Option<Signal>,
        read: &Arc<AtomicU64>,
    ) -> Result<Merged> {
        let mut heads = Vec::new();
        for file in files {
            let mut recording = Recording::open(file, signal, read)?;
            if let Some(message) = recording.next()? {
                heads.push((recording, message));
            }
        }
        Ok(Merged { heads })
    }

    pub fn next(&mut self) -> Result<Option<Message>> {
        let earliest = self.heads.iter().enumerate().min_by_key(|(_, head)| head.1.peek.first_time);
        let Some((index, _)) = earliest else { return Ok(None) };
        let following = match self.heads.get_mut(index) {
            Some((recording, _)) => recording.next()?,
            None => None,
        };
        match following {
            Some(following) => {
                let head = self.heads.get_mut(index);
                Ok(head.map(|(_, message)| std::mem::replace(message, following)))
            }
            None => Ok(Some(self.heads.remove(index).1)),
        }
    }
}

/// Counts what is read from disk, for the progress bar.
struct Counted {
    file: File,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let count = self.file.read(out)?;
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn logs(time: u64) -> String {
        format!(
            r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"timeUnixNano":"{time}"}}]}}]}}]}}"#
        )
    }

    /// A log request of one record at `time`, as protobuf.
    fn frame(time: u64) -> Vec<u8> {
        let mut record = vec![0x09];
        record.extend(time.to_le_bytes());
        let wrap = |tag: u8, inner: Vec<u8>| [vec![tag, inner.len() as u8], inner].concat();
        let body = wrap(0x0a, wrap(0x12, wrap(0x12, record)));
        [(body.len() as u32).to_be_bytes().to_vec(), body].concat()
    }

    fn write(dir: &tempfile::TempDir, name: &str, bytes: &[u8]) -> PathBuf {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    fn times(files: &[PathBuf]) -> Result<Vec<u64>> {
        let mut merged = Merged::open(files, None, &Arc::default())?;
        let mut times = Vec::new();
        while let Some(message) = merged.next()? {
            assert_eq!(message.signal, Signal::Logs);
            times.push(message.peek.first_time.unwrap());
        }
        Ok(times)
    }

    /// Scenario: the same kind of requests as JSON lines and as frames, plain,
    /// gzip (two members) and zstd, in four files whose times interleave.
    /// Guarantees: every request is read once, in order of time.
    #[test]
    fn every_form_is_read_and_merged_by_time() {
        let dir = tempfile::tempdir().unwrap();
        let lines = format!("{}\r\n\n  {}", logs(1), logs(8));
        let gzip = |bytes: &[u8]| {
            let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            out.write_all(bytes).unwrap();
            out.finish().unwrap()
        };
        let files = [
            write(&dir, "a.json", lines.as_bytes()),
            write(&dir, "b.logs.otlp.gz", &[gzip(&frame(2)), gzip(&frame(5))].concat()),
            write(
                &dir,
                "c.logs.zst",
                &zstd::encode_all(&[frame(3), frame(4)].concat()[..], 1).unwrap(),
            ),
            write(&dir, "d.logs.pb", &frame(7)),
            write(&dir, "empty.logs.pb", b""),
        ];
        assert_eq!(times(&files).unwrap(), [1, 2, 3, 4, 5, 7, 8]);
    }

    /// Scenario: files that are cut, of another kind, or do not tell their signal.
    /// Guarantees: an error that names the file and what is wrong with it.
    #[test]
    fn what_is_no_recording_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let whole = [frame(1), frame(2)].concat();
        for (name, bytes, said) in [
            ("cut.logs.pb", &whole[..whole.len() - 1], "request 2"),
            ("head.logs.pb", &whole[..2], "inside of a length"),
            ("other.json", &b"{\"a\": 1}"[..], "not OTLP/JSON"),
            ("text.logs.txt", &b"hello, world"[..], "not length-delimited"),
            ("nameless.pb", &whole[..], "--signal"),
        ] {
            let error = format!("{:#}", times(&[write(&dir, name, bytes)]).unwrap_err());
            assert!(error.contains(name) && error.contains(said), "{name}: {error}");
        }
    }

    /// Scenario: names with the signal in any place.
    /// Guarantees: the part nearest to the end counts.
    #[test]
    fn the_name_tells_the_signal() {
        let of = |name: &str| signal_of_name(Path::new(name));
        assert_eq!(of("x/2022-08-22.traces.otlp.zst"), Some(Signal::Traces));
        assert_eq!(of("traces/day.metrics.pb"), Some(Signal::Metrics));
        assert_eq!(of("mylogs.pb"), None);
    }
}
