use std::sync::atomic::{AtomicUsize, Ordering};

use prometheus_client::registry::Registry;
use schema::{Ack, Batch, ErrorKind, Position, Refusal};

use super::*;
use crate::Settings;
use crate::decode::{self, Context, Decoded};
use crate::gate::Gate;
use crate::metrics::Metrics;

#[derive(Debug)]
struct Still;

impl Clock for Still {
    fn now_unix_nano(&self) -> i64 {
        1
    }
}

struct Never;

#[async_trait::async_trait]
impl Sink for Never {
    async fn append(&self, _batch: Batch) -> Result<Ack, Refusal> {
        Ok(Ack { position: Position(1) })
    }
}

/// Decodes seen, poisonous or not.
static DECODED: AtomicUsize = AtomicUsize::new(0);

fn poisoned(
    signal: Signal,
    encoding: Encoding,
    body: &[u8],
    cx: &Context<'_>,
) -> Result<Decoded, decode::Error> {
    DECODED.fetch_add(1, Ordering::SeqCst);
    assert!(body != b"poison", "a fault in the decoder");
    decode::decode(signal, encoding, body, cx)
}

fn exporter() -> (Arc<Exporter>, Gate, Budget) {
    let budget = Budget::new(1 << 20);
    let components = Components {
        sink: Arc::new(Never),
        catalog: Arc::new(Catalog::default()),
        budget: budget.clone(),
        clock: Arc::new(Still),
        meter: Default::default(),
        node_id: "node".into(),
    };
    let metrics = Metrics::new(&mut Registry::default());
    let mut exporter = Exporter::new(&Settings::default(), components, metrics).unwrap();
    exporter.decode = poisoned;
    let gate = Gate::new();
    gate.set_ready(true);
    (Arc::new(exporter), gate, budget)
}

/// Scenario: a payload makes the decoder panic; it comes again, plain and
/// compressed; another comes.
/// Guarantees: G21 and F37, INTERNAL without a delay, then refused without a
/// decode; others are served, and no bytes stay reserved.
#[tokio::test]
async fn otlp_g21_a_poisonous_payload_is_quarantined() {
    let (exporter, gate, budget) = exporter();
    let send = async |body: &'static [u8], compression| {
        let upload = Upload {
            signal: Signal::Logs,
            door: Door::OtlpGrpc,
            encoding: Encoding::Protobuf,
            compression,
            body: Bytes::from_static(body),
            permit: exporter.admit(&gate, None).unwrap(),
            until: None,
        };
        exporter.export(upload).await
    };
    let first = send(b"poison", None).await.unwrap_err();
    assert_eq!((first.refusal.kind, first.reason), (ErrorKind::Internal, "panic"));
    assert_eq!(first.refusal.retry_after, None);
    assert_eq!(DECODED.load(Ordering::SeqCst), 1);

    let zlib = b"\x78\x01\x01\x06\x00\xf9\xffpoison\x09\x1a\x02\x99";
    for (body, compression) in [(&b"poison"[..], None), (zlib, Some(Compression::Deflate))] {
        let again = send(body, compression).await.unwrap_err();
        assert_eq!((again.refusal.kind, again.reason), (ErrorKind::Internal, "quarantined"));
    }
    assert_eq!(DECODED.load(Ordering::SeqCst), 1);
    assert!(send(b"", None).await.is_ok());
    assert_eq!(DECODED.load(Ordering::SeqCst), 2);
    assert_eq!(budget.used(), 0);
}
